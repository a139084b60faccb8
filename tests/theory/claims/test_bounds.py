from fractions import Fraction
from math import comb, log2, perm

import pytest

from theory.claims import automata, one_pass, passes, with_error
from theory.claims.claim import ClaimFailed
from theory.counting import ceil_log2
from theory.one_pass.automata import Cut, Profile, profile
from theory.one_pass.exact import one_pass_bits
from theory.one_pass.rate_distortion import letters
from theory.one_pass.with_error import binary_entropy
from theory.passes.bounds import two_way_bits
from theory.passes.exhaustive import Conversations, TinyProtocols
from theory.passes.rank import disjointness_matrix, rank

CLAIMS = [*one_pass.CLAIMS, *with_error.CLAIMS, *automata.CLAIMS, *passes.CLAIMS]
BY_NAME = {claim.name: claim for claim in CLAIMS}


@pytest.mark.parametrize("name", [claim.name for claim in CLAIMS if claim.check])
def test_claim_holds(name):
    evidence = BY_NAME[name].evidence()
    assert evidence.instances > 0
    assert evidence.scope


def test_names_are_distinct():
    assert len(BY_NAME) == len(CLAIMS)


def _wider(found: Profile) -> Profile:
    """The profile of a machine with one state more at every cut."""
    cuts = tuple(Cut(cut.tokens, cut.lower + 1, cut.upper + 1) for cut in found.cuts)
    return Profile(found.universe, found.size_a, found.size_b, found.problem, cuts)


def _as_in_the_paper(n, a, b):
    """The condition as first written: it leaves out b = 2 in a narrow universe."""
    return a == n or (b >= 2 and n >= 2 * a + b - 2)


def _less(bits, n, a):
    """As if accuracy were bought bit by bit."""
    return 0.4 + 0.6 * bits / log2(comb(n, a)) if comb(n, a) > 1 else 0.9


@pytest.mark.parametrize(
    ("name", "module", "function", "wrong"),
    [
        ("disjointness-rank", one_pass, "rank", lambda matrix: rank(matrix) - 1),
        ("one-pass", one_pass, "comb", lambda n, a: comb(n, a) + 1),
        ("one-pass-search", one_pass, "all_told_apart", _as_in_the_paper),
        ("one-pass-search", one_pass, "all_told_apart", lambda n, a, b: True),
        ("one-pass-search-counterexample", one_pass, "_names_differ", lambda *_: True),
        ("INDEX", with_error, "_fewest_errors", lambda length, bits: 0),
        ("INDEX-reduction", with_error, "index_length", lambda n, a, b, problem: a),
        (
            "INDEX-room",
            with_error,
            "index_bits",
            lambda n, a, b, error: a * (1 - binary_entropy(error)),
        ),
        ("search-bits", with_error, "search_accuracy", lambda n, a, b, bits: _less(bits, n, a)),
        ("decision-bits", with_error, "decision_accuracy", lambda n, a, b, bits: _less(bits, n, a)),
        ("recall-bits", with_error, "recall_accuracy", lambda m, k, bits: bits / log2(perm(k, m))),
        ("tournaments", with_error, "tournaments", lambda n, a: letters(a, 2)),
        ("rankings", with_error, "rankings", lambda n, a, b: letters(a * n, b)),
        ("fingerprints", with_error, "fingerprint_bits", lambda a, b, error: a),
        ("profile", automata, "profile", lambda *arguments: _wider(profile(*arguments))),
        ("profile-peak", automata, "profile", lambda *arguments: _wider(profile(*arguments))),
        ("profile-search", automata, "profile", lambda *arguments: _wider(profile(*arguments))),
        ("G.27-deterministic", passes, "two_way_bits", lambda n, a, b: one_pass_bits(n, a) + 1),
        ("G.29-deterministic", passes, "multi_pass_bits", lambda n, a, b, p: two_way_bits(n, a, b)),
        ("memoryless", passes, "tiny_protocols", lambda n: [TinyProtocols(4, 1, 1, 2, 2, 2, 2)]),
        ("memoryless", passes, "tiny_protocols", lambda n: [TinyProtocols(4, 1, 1, 2, 2, 3, 2)]),
    ],
)
def test_a_wrong_bound_is_refuted(monkeypatch, name, module, function, wrong):
    monkeypatch.setattr(module, function, wrong)
    with pytest.raises(ClaimFailed, match=r"\d"):
        BY_NAME[name].evidence()


def test_singletons_agree_with_all_conversations():
    for n in range(2, 7):
        for messages in (1, 3):
            least = ceil_log2(Conversations(disjointness_matrix(n, 1, 1)).fewest_states(messages))
            assert passes._singletons_told_apart(messages, least) >= n
            assert passes._singletons_told_apart(messages, least - 1) < n


def test_fano_is_compared_exactly():
    assert with_error._fano_holds(1, 0, 1)  # half of two guesses wrong: no bit is needed
    assert not with_error._fano_holds(1, 0, 0)
    assert not with_error._fano_holds(2, 1, 0)
    assert with_error._fano_holds(2, 1, 1)  # 2 (1 - H₂(1/8)) < 1 bit
    assert 2 * (1 - binary_entropy(Fraction(1, 8))) < 1
