"""One pass with errors: what bits an accuracy takes, and what accuracy bits allow.

The accuracy is the mean over uniform instances, which is what a test on random examples measures.
Under a random relabelling of the elements, known to both sides, each instance becomes a uniform one
of its kind. So an average error is an error on every instance with public coins: bounds for either
are bounds for both, and `theory.one_pass.with_error.index_bits` is among those here.

All bounds have one form. A state of S values splits the first sets into S classes, each read by the
best rule, of which `loss` says how often it is wrong given the set. Whatever the state says of the
set, its bits are at least what it takes to move a uniform set to one on which the rule loses so
little (the variational formula of Donsker and Varadhan 1975):

    log₂ S ≥ sup over τ ≥ 0 of (-δ τ - L(τ)) / ln 2
    L(τ) = ln max over rules of E e^(-τ · loss)

with the expectation over uniform sets. Each τ gives a valid bound; so the search for the best one
can lose, but never prove too much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import comb, exp, expm1, lgamma, log, log1p, log2, perm
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..checks import require_at_least, require_between, with_python_integers
from ..setting import check_sizes
from .exact import all_told_apart

# Less is lost below the least τ than rounding, which might prove too much, would spoil there.
_LOG_OF_LEAST_TAU, _LOG_OF_MOST_TAU = -12.0, 30.0
_SECTIONS = 60  # of that interval, each 0.618 times as long as the one before
_GOLDEN = (5**0.5 - 1) / 2

# What is computed of large sizes: terms of a sum or of a table, and block widths. The bounds that
# take more are left out.
_MOST_TERMS, _MOST_WIDTHS = 2**22, 64

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Tradeoff:
    """Bits against accuracy, by one family of rules.

    Attributes:
        log_moment: L(τ), convex, from 0 at τ = 0 down to the log of the chance of no loss.
    """

    log_moment: Callable[[float], float]

    def bits(self, error: float) -> float:
        """Bits that an error takes at least."""
        found = _largest(lambda tau: -error * tau - self.log_moment(tau))
        return max(0.0, found / log(2))

    def accuracy(self, bits: float) -> float:
        """The largest accuracy that so many bits leave possible."""
        least_error = _largest(lambda tau: -(bits * log(2) + self.log_moment(tau)) / tau)
        return min(1.0, 1 - least_error)


def _largest(function: Callable[[float], float]) -> float:
    """The largest value over τ of a function with one peak over log τ, by golden sections."""
    low, high = _LOG_OF_LEAST_TAU, _LOG_OF_MOST_TAU
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(exp(left)), function(exp(right))
    for _ in range(_SECTIONS):
        if at_left > at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = function(exp(left))
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = function(exp(right))
    return max(at_left, at_right)


def _log_comb(n: int, k: int) -> float:
    return log(comb(n, k))


def letters(count: int, alphabet: int) -> Tradeoff:
    """Independent uniform letters, each guessed from the message; the rate–distortion function.

    L(τ) = m ln((1 + (k - 1) e^(-τ/m)) / k) for m letters of an alphabet of k. It gives
    m (log₂ k - H₂(δ) - δ log₂(k - 1)), as Fano's inequality does.
    """

    def log_moment(tau: float) -> float:
        return count * (log1p((alphabet - 1) * exp(-tau / count)) - log(alphabet))

    return Tradeoff(log_moment)


@lru_cache(maxsize=64)
def distinct_letters(count: int, alphabet: int) -> Tradeoff:
    """A uniform ordered sample without replacement: m different letters of an alphabet of k.

    j given letters are as guessed with chance (k - j)!/k!, so that, with t = e^(τ/m) and w wrong
    ones, E t^(m - w) = Σ_j C(m, j) (t - 1)^j (k - j)!/k!; a guess with equal letters has less.
    """
    j = np.arange(count + 1)
    fixed = np.array([_log_comb(count, i) - log(perm(alphabet, i)) for i in range(count + 1)])

    def log_moment(tau: float) -> float:
        x = tau / count
        return float(np.logaddexp.reduce(fixed + j * log(-expm1(-x)) - (count - j) * x))

    return Tradeoff(log_moment)


def tournaments(universe: int, size_a: int) -> Tradeoff:
    """Searching with b = 2, exactly: a rule is a tournament on the elements.

    Of {x, y} it names the one that beats the other, and is right on a (n - a) of these pairs at
    most: on Σ_{x ∈ A} outdegree(x) - C(a, 2) of those with one element in A. E e^(-τ · loss) is
    Schur-convex in the outdegrees, and those of the transitive tournament majorize all others
    (Landau 1953). Its generating function is the Gaussian binomial coefficient over C(n, a).
    """
    pairs = size_a * (universe - size_a)
    i = np.arange(1, size_a + 1)
    log_sets = _log_comb(universe, size_a)

    def log_moment(tau: float) -> float:
        x = tau / pairs  # ∏ (1 - t^(n-a+i))/(1 - t^i) with t = e⁻ˣ
        terms = np.log(-np.expm1(-x * (universe - size_a + i))) - np.log(-np.expm1(-x * i))
        return float(terms.sum()) - log_sets

    return Tradeoff(log_moment)


@lru_cache(maxsize=64)
def rankings(universe: int, size_a: int, size_b: int) -> Tradeoff:
    """Searching, if no rule is better than a ranking of the elements: a *conjecture* for b > 2.

    The rule names the highest of B. Given A it is right on Σ_{x ∈ A} C(u_x, b - 1) of the B's, u_x
    the elements below x that are not in A. For b = 2 this is `tournaments`, proved. For b > 2 it is
    known to fail for n < 2a + b - 2, where other rules are better, and has held in every case that
    was enumerated above that; nothing that is drawn or named as proved rests on it.
    """
    outside = universe - size_a
    most = comb(outside, size_b - 1)
    # In whole numbers first: τ may be so large that rounding below 0 would count.
    loss = np.array([(most - comb(u, size_b - 1)) / (size_a * most) for u in range(outside + 1)])
    log_sets = _log_comb(universe, size_a)

    def log_moment(tau: float) -> float:
        # By the number of members so far: the log of the sum over places, after u non-members.
        sums: npt.NDArray[np.float64] = np.zeros(outside + 1)
        for _ in range(size_a):
            sums = np.logaddexp.accumulate(sums - tau * loss)
        return float(sums[-1]) - log_sets

    return Tradeoff(log_moment)


def membership(universe: int, size_a: int) -> Tradeoff:
    """Deciding with b = 1, exactly: whether B's one element is in A, half of the time.

    A rule is a set R, "yes" for its elements. With j of them in A it is wrong with chance
    (1 + r/(n - a) - j n/(a (n - a)))/2, j hypergeometric; the best of all r = |R| counts.
    """
    outside = universe - size_a
    r = np.arange(universe + 1)[:, None]
    j = np.arange(size_a + 1)[None]
    log_factorial = np.array([lgamma(i + 1) for i in range(universe + 1)])

    def log_choose(n: Integers, k: Integers) -> Floats:
        inside = (k >= 0) & (k <= n)
        n, k = np.where(inside, n, 0), np.where(inside, k, 0)
        value = log_factorial[n] - log_factorial[k] - log_factorial[n - k]
        return np.where(inside, value, -np.inf)

    log_chance = log_choose(r, j) + log_choose(universe - r, size_a - j)
    log_chance = log_chance - _log_comb(universe, size_a)
    # In whole numbers first: τ may be so large that rounding below 0 would count.
    loss = (size_a * outside + r * size_a - j * universe) / (2 * size_a * outside)

    def log_moment(tau: float) -> float:
        logs = log_chance - tau * loss
        largest = logs.max()
        return float(largest + np.log(np.exp(logs - largest).sum(axis=1).max()))

    return Tradeoff(log_moment)


@lru_cache(maxsize=256)
def _search_tradeoffs(universe: int, size_a: int, size_b: int) -> tuple[Tradeoff, ...]:
    """All that is proved of searching; none if b = 1, when nothing need be held.

    * `tournaments` on n - b + 2 elements: b - 2 elements outside A are given to the reader.
    * `letters`: blocks of k elements, some elements that A has and some that B has, drawn at random
      and known to all. A picks one element of each block; B has one block. To find the common
      element is to find what A picked there: m letters of an alphabet of k, where
      m k + (a - m) + (b - k) ≤ n. With k = 2 this is INDEX, see `index_length`.
    """
    if size_b == 1:
        return ()
    room = universe - size_a - size_b
    widths = [*range(2, min(size_b, _MOST_WIDTHS) + 1), size_b]  # some are enough where b is large
    blocks = {k: min(size_a, (room + k) // (k - 1)) for k in widths}
    pairs = [tournaments(universe - size_b + 2, size_a)] if size_a <= _MOST_TERMS else []
    return (*pairs, *(letters(m, k) for k, m in blocks.items() if m > 0))


@lru_cache(maxsize=8)  # a table may take 64 MB
def _decision_tradeoffs(universe: int, size_a: int, size_b: int) -> tuple[Tradeoff, ...]:
    """All that is proved of deciding.

    * `membership` in n - b + 1 elements: b - 1 elements outside A are given to the reader.
    * `letters` of an alphabet of 2: INDEX, see `index_length`.
    """
    index = letters(min(size_a, universe - size_a - size_b + 1), 2)
    if (universe - size_b + 2) * (size_a + 1) > _MOST_TERMS:
        return (index,)
    return membership(universe - size_b + 1, size_a), index


def _most_bits(tradeoffs: Iterable[Tradeoff], error: Fraction | float) -> float:
    require_between(0, 1, error=error)
    return max((each.bits(float(error)) for each in tradeoffs), default=0.0)


def _least_accuracy(tradeoffs: Iterable[Tradeoff], bits: float) -> float:
    if bits < 0:
        raise ValueError(f"bits = {bits}: at least 0 is needed")
    return min((each.accuracy(bits) for each in tradeoffs), default=1.0)


@with_python_integers
def search_bits(universe: int, size_a: int, size_b: int, error: Fraction | float) -> float:
    """Bits held between A and B at least, to name the common element with error δ.

    The largest of several bounds; with b = 2 it is the rate–distortion function itself. Without
    errors it is log₂ C(n, a) wherever all A's must be told apart.

    >>> [round(search_bits(32, 12, 4, error), 1) for error in (0, 0.1, 0.5)]
    [27.8, 11.7, 1.2]
    >>> round(search_bits(3, 2, 2, 0), 3)
    1.585

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1, the set that comes first.
        size_b: b = |B| ≥ 1, with a + b - 1 ≤ n.
        error: δ, 0 ≤ δ ≤ 1: on average over uniform A, common element and rest of B, or on every
            instance; public coins are allowed.

    Returns:
        Bits, a real number ≥ 0.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Ours, beyond the paper; see the module.
    """
    check_sizes(universe, size_a, size_b, "search")
    proved = _most_bits(_search_tradeoffs(universe, size_a, size_b), error)
    if error == 0 and size_b > 1 and all_told_apart(universe, size_a, size_b):
        return max(proved, log2(comb(universe, size_a)))
    return proved


@with_python_integers
def search_accuracy(universe: int, size_a: int, size_b: int, bits: float) -> float:
    """The largest accuracy of naming the common element that so many held bits leave possible.

    The inverse of `search_bits`.

    >>> [round(search_accuracy(32, 14, 2, bits), 2) for bits in (0, 10, 28.8)]
    [0.5, 0.86, 1.0]

    Raises:
        ValueError: for sizes as in `search_bits`, or negative bits.
    """
    check_sizes(universe, size_a, size_b, "search")
    return _least_accuracy(_search_tradeoffs(universe, size_a, size_b), bits)


@with_python_integers
def ranking_search_bits(universe: int, size_a: int, size_b: int, error: Fraction | float) -> float:
    """What `search_bits` would be if `rankings` were the best rules: a conjecture for b > 2.

    >>> [round(ranking_search_bits(32, *sizes, 0.1), 1) for sizes in ((12, 4), (4, 12))]
    [17.9, 11.7]

    Raises:
        ValueError: for sizes and errors as in `search_bits`, for b = 1, and for b > 2 where
            n < 2a + b - 2, where the conjecture is false.
    """
    return _most_bits([_best_rankings(universe, size_a, size_b)], error)


@with_python_integers
def ranking_search_accuracy(universe: int, size_a: int, size_b: int, bits: float) -> float:
    """The inverse of `ranking_search_bits`: a conjecture for b > 2.

    Raises:
        ValueError: for sizes as in `ranking_search_bits`, or negative bits.
    """
    return _least_accuracy([_best_rankings(universe, size_a, size_b)], bits)


def _best_rankings(universe: int, size_a: int, size_b: int) -> Tradeoff:
    """`rankings`, where they may be the best rules."""
    check_sizes(universe, size_a, size_b, "search")
    if size_b < 2 or not all_told_apart(universe, size_a, size_b):
        raise ValueError(
            f"universe = {universe}, size_a = {size_a}, size_b = {size_b}: rankings are no best "
            "rules unless size_b = 2, or size_b > 2 and universe ≥ 2 · size_a + size_b - 2"
        )
    return rankings(universe, size_a, size_b)


@with_python_integers
def decision_bits(universe: int, size_a: int, size_b: int, error: Fraction | float) -> float:
    """Bits held between A and B at least, to say with error δ whether they meet.

    Half of the instances are disjoint, half have one element in common. Never below INDEX; without
    errors it is log₂ C(n, a).

    >>> [round(decision_bits(32, 12, 4, error), 1) for error in (0, 0.1, 0.5)]
    [27.8, 14.3, 0.0]

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1, the set that comes first.
        size_b: b = |B| ≥ 1, with a + b ≤ n.
        error: δ, 0 ≤ δ ≤ 1: on average over these instances, or on every instance; public coins
            are allowed.

    Returns:
        Bits, a real number ≥ 0.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Ours, beyond the paper; see the module.
    """
    check_sizes(universe, size_a, size_b)
    proved = _most_bits(_decision_tradeoffs(universe, size_a, size_b), error)
    return max(proved, log2(comb(universe, size_a))) if error == 0 else proved


@with_python_integers
def decision_accuracy(universe: int, size_a: int, size_b: int, bits: float) -> float:
    """The largest accuracy of deciding that so many held bits leave possible.

    The inverse of `decision_bits`.

    Raises:
        ValueError: for sizes as in `decision_bits`, or negative bits.
    """
    check_sizes(universe, size_a, size_b)
    return _least_accuracy(_decision_tradeoffs(universe, size_a, size_b), bits)


@with_python_integers
def recall_bits(count: int, alphabet: int, error: Fraction | float) -> float:
    """Bits that a message must say about distinct letters, guessed with error δ on average.

    It is what a state must hold in associative recall, δ averaged over uniform instances:

    * context first: the values of m pairs, from k possible ones;
    * query first: which of the k pairs to come the m queries ask for.

    >>> [round(recall_bits(16, 16, error), 1) for error in (0, 0.25, 1)]
    [44.3, 27.3, 0.0]

    Args:
        count: m ≥ 1, letters, all different, in an order that matters.
        alphabet: k ≥ m.
        error: δ, 0 ≤ δ ≤ 1.

    Returns:
        Bits, a real number ≥ 0.

    Raises:
        ValueError: unless the arguments are as above.
    """
    return _most_bits([_letters_to_recall(count, alphabet)], error)


@with_python_integers
def recall_accuracy(count: int, alphabet: int, bits: float) -> float:
    """The largest share of letters that can be guessed from so many bits; see `recall_bits`.

    Raises:
        ValueError: for letters as in `recall_bits`, or negative bits.
    """
    return _least_accuracy([_letters_to_recall(count, alphabet)], bits)


def _letters_to_recall(count: int, alphabet: int) -> Tradeoff:
    require_at_least(1, count=count)
    require_at_least(count, alphabet=alphabet)
    return distinct_letters(count, alphabet)
