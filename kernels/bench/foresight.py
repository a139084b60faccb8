"""How long a call is going to take, foreseen from smaller cases, so that none is begun in vain."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Size = TypeVar("Size", bound=Hashable)

_GROWTH = (2.0, 4.0)  # of the time from one size to the next: linear work, quadratic work


class Foresight(Generic[Size]):
    """Seconds that a call takes at a size, without making it.

    An operator that has begun cannot be interrupted.  Therefore a size is approached from below:
    first the smallest, then each twice as large, until the next would exceed the limit.

    >>> seconds = {1: 1.0, 2: 1.5, 4: 6.0}
    >>> foresight = Foresight(seconds.__getitem__, lambda n: n // 2 or None, limit=20.0)
    >>> foresight.seconds(8), foresight.seconds(16)
    (24.0, 48.0)

    Args:
        measure: makes the call at a size; the seconds that it took.
        smaller: the size with half the work or a quarter, None for the smallest, which is taken to
            cost nothing.
        limit: seconds.
    """

    def __init__(
        self,
        measure: Callable[[Size], float],
        smaller: Callable[[Size], Size | None],
        limit: float,
    ) -> None:
        self._measure, self._smaller, self._limit = measure, smaller, limit
        self._known: dict[Size, float] = {}

    def seconds(self, size: Size) -> float:
        """Foreseen at this size, by measuring smaller ones: above the limit, only a lower bound."""
        half = self._smaller(size)
        if half is None:
            return 0.0
        if half not in self._known:
            foreseen = self.seconds(half)
            if foreseen > self._limit:
                return _GROWTH[0] * foreseen
            self.learn(half, self._measure(half))
        return self._growth(half) * self._known[half]

    def learn(self, size: Size, seconds: float) -> None:
        """Take note of what was measured at a size."""
        self._known[size] = seconds

    def _growth(self, size: Size) -> float:
        """By which the time grew up to this size, between that of linear and of quadratic work."""
        half = self._smaller(size)
        before = self._known.get(half) if half is not None else None
        least, most = _GROWTH
        return min(most, max(least, self._known[size] / before)) if before else least


def halved(*numbers: int, least: tuple[int, ...]) -> tuple[int, ...] | None:
    """The numbers with the first that is at least twice its least one halved; None without such.

    >>> halved(64, 3, least=(16, 1)), halved(16, 3, least=(16, 1)), halved(16, 1, least=(16, 1))
    ((32, 3), (16, 1), None)
    """
    for place, (number, floor) in enumerate(zip(numbers, least, strict=True)):
        if number >= 2 * floor:
            return (*numbers[:place], number // 2, *numbers[place + 1 :])
    return None
