"""Every method timed in every case."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median, quantiles

import torch

from .case import Case, What
from .device import Roofline
from .foresight import Foresight, halved
from .meters import peak_bytes, seconds_taken
from .methods import METHODS, Inputs, UnavailableError


@dataclass(frozen=True)
class Timing:
    """One method in one case.

    Attributes:
        what, batch, length: of the case.
        method: a name of `METHODS`.
        seconds, seconds_low, seconds_high: median and quartiles of the calls; None if not run.
        calls: how many were timed.
        speedup: seconds of torch's own attention (the fastest that ran) over these; None without.
        needed_bytes, needed_operations: the work of JRT-RNN, `Case.work`.
        limit: seconds that this work takes at the device's roofline.
        attained: the fraction of the roofline, limit / seconds, of the methods that compute
            JRT-RNN; else None.
        peak_bytes: most bytes held at once by tensors that a call makes, its result included.
        reason: why it was not run.
    """

    what: What
    batch: int
    length: int
    method: str
    seconds: float | None
    seconds_low: float | None
    seconds_high: float | None
    calls: int
    speedup: float | None
    needed_bytes: int
    needed_operations: int
    limit: float
    attained: float | None
    peak_bytes: int | None
    reason: str | None


def measure(
    cases: Sequence[Case],
    roofline: Roofline,
    *,
    methods: Sequence[str] | None = None,
    repeats: int = 9,
    max_seconds: float = 60.0,
    max_bytes: float = 8e9,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Timing]:
    """Time every method in every case, in the order given.

    Args:
        cases: in the order in which they are measured.
        roofline: of the cases' device.
        methods: names of `METHODS`; None = all.
        repeats: timed calls of each, after one that warms up; at most 3 of calls of a second or
            more.
        max_seconds: that the timed calls of a method in a case may take.  Shorter sequences tell
            beforehand how long one call takes; where that exceeds this, the method is not run.
        max_bytes: a case with larger inputs is not run, nor the quadratic form where it would hold
            more at once; the other methods hold about as much as their inputs.
        progress: called after each case with the number of cases done and of all cases.

    Raises:
        ValueError: a name is unknown, or `repeats` below 1.
    """
    names = list(METHODS) if methods is None else list(methods)
    if unknown := [name for name in names if name not in METHODS]:
        raise ValueError(f"methods must be of {', '.join(METHODS)}, got {', '.join(unknown)}")
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    foresight = {name: _foresight(name, max_seconds, max_bytes) for name in names}
    timings = []
    for done, case in enumerate(cases, start=1):
        inputs = None if case.input_bytes > max_bytes else Inputs.of(case)
        trials: dict[str, _Trial] = {}
        for name in names:
            trial = trials[name] = _Trial()
            if inputs is not None and foresight[name].seconds(case) > max_seconds:
                trial.reason = f"more than {max_seconds:g} s"
            else:
                trial.prepare(name, case, inputs, max_bytes)
        _time_in_turns(trials.values(), case.device, repeats, max_seconds)
        for name, trial in trials.items():
            if trial.seconds:
                foresight[name].learn(case, median(trial.seconds))
        timings += _timings(case, roofline, trials)
        progress(done, len(cases))
    return timings


def _foresight(name: str, max_seconds: float, max_bytes: float) -> Foresight[Case]:
    """How long a method takes in a case, told by shorter sequences, fewer of them, fewer heads."""

    def measure(case: Case) -> float:
        started = time.perf_counter()
        trial = _Trial()
        trial.prepare(name, case, Inputs.of(case), max_bytes)
        taken = time.perf_counter() - started
        if trial.call is None:
            return 0.0  # it will say so again
        # The first call may have compiled something.
        return taken if taken > max_seconds / 4 else seconds_taken(trial.call, case.device)

    def smaller(case: Case) -> Case | None:
        sizes = halved(case.length, case.batch, case.heads, least=(16, 1, 1))
        if sizes is None:
            return None
        length, batch, heads = sizes
        return replace(case, length=length, batch=batch, heads=heads)

    return Foresight(measure, smaller, max_seconds)


@dataclass
class _Trial:
    """One method in one case: the call to time, or why there is none; then its times."""

    call: Callable[[], object] | None = None
    reason: str | None = None
    peak_bytes: int | None = None
    seconds: list[float] = field(default_factory=list)

    def prepare(self, name: str, case: Case, inputs: Inputs | None, max_bytes: float) -> None:
        try:
            if inputs is None:
                raise UnavailableError(f"inputs of more than {max_bytes / 1e9:g} GB")
            call = METHODS[name](case, inputs, max_bytes)
            self.peak_bytes = peak_bytes(call)  # and warms up
            self.call = call
        except (UnavailableError, RuntimeError) as error:
            self.reason = str(error).split("\n")[0]


def _time_in_turns(
    trials: Iterable[_Trial], device: torch.device, repeats: int, max_seconds: float
) -> None:
    for turn in range(repeats):
        for trial in trials:
            first = trial.seconds[0] if trial.seconds else 0.0
            in_time = (turn + 1) * first < max_seconds and (first < 1 or turn < 3)
            if trial.call is not None and in_time:
                trial.seconds.append(seconds_taken(trial.call, device))


def _timings(case: Case, roofline: Roofline, trials: dict[str, _Trial]) -> list[Timing]:
    medians = {name: median(trial.seconds) for name, trial in trials.items() if trial.seconds}
    softmax = [seconds for name, seconds in medians.items() if name.startswith("sdpa")]
    needed_bytes, needed_operations = case.work
    limit = roofline.seconds(case)

    def timing(name: str, trial: _Trial) -> Timing:
        seconds, several = medians.get(name), len(trial.seconds) > 1
        low, _, high = (
            quantiles(trial.seconds, n=4, method="inclusive") if several else [seconds] * 3
        )
        ours = name.startswith("jrt-rnn")
        return Timing(
            what=case.what,
            batch=case.batch,
            length=case.length,
            method=name,
            seconds=seconds,
            seconds_low=low,
            seconds_high=high,
            calls=len(trial.seconds),
            speedup=min(softmax) / seconds if softmax and seconds is not None else None,
            needed_bytes=needed_bytes,
            needed_operations=needed_operations,
            limit=limit,
            attained=limit / seconds if ours and seconds is not None else None,
            peak_bytes=trial.peak_bytes,
            reason=trial.reason,
        )

    return [timing(name, trial) for name, trial in trials.items()]
