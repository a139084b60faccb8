from fractions import Fraction
from math import comb

import pytest

from theory import bounds
from theory.automata import Cut, Profile, profile
from theory.claims import bounds as claims
from theory.claims.claim import ClaimFailed

BY_NAME = {claim.name: claim for claim in claims.CLAIMS}


@pytest.mark.parametrize("name", BY_NAME)
def test_claim_holds(name):
    evidence = BY_NAME[name].check()
    assert evidence.instances > 0
    assert evidence.scope


def test_names_are_distinct():
    assert len(BY_NAME) == len(claims.CLAIMS)


def _wider(found: Profile) -> Profile:
    """The profile of a machine with one state more at every cut."""
    cuts = tuple(Cut(cut.tokens, cut.lower + 1, cut.upper + 1) for cut in found.cuts)
    return Profile(found.universe, found.size_a, found.size_b, found.problem, cuts)


def _as_in_the_paper(n, a, b):
    """The condition as first written: it leaves out b = 2 in a narrow universe."""
    return a == n or (b >= 2 and n >= 2 * a + b - 2)


@pytest.mark.parametrize(
    ("name", "function", "wrong"),
    [
        ("disjointness-rank", "rank", lambda matrix: bounds.rank(matrix) - 1),
        ("one-pass", "comb", lambda n, a: comb(n, a) + 1),
        ("one-pass-search", "all_told_apart", _as_in_the_paper),
        ("one-pass-search", "all_told_apart", lambda n, a, b: True),
        ("one-pass-search-counterexample", "_names_differ", lambda *_: True),
        ("INDEX", "_fewest_errors", lambda length, bits: 0),
        ("INDEX-reduction", "index_length", lambda n, a, b, problem: a),
        ("INDEX-room", "index_bits", lambda n, a, b, error: a * (1 - bounds.binary_entropy(error))),
        (
            "average-error",
            "average_search_bits",
            lambda n, a, b, error: bounds.one_pass_search_bits(n, a, b) * (1 - error),  # no Fano
        ),
        ("fingerprints", "fingerprint_bits", lambda a, b, error: a),
        ("profile", "profile", lambda *arguments: _wider(profile(*arguments))),
        ("profile-peak", "profile", lambda *arguments: _wider(profile(*arguments))),
        ("profile-search", "profile", lambda *arguments: _wider(profile(*arguments))),
        ("G.27-deterministic", "two_way_bits", lambda n, a, b: bounds.one_pass_bits(n, a) + 1),
        ("G.29-deterministic", "multi_pass_bits", lambda n, a, b, p: bounds.two_way_bits(n, a, b)),
    ],
)
def test_a_wrong_bound_is_refuted(monkeypatch, name, function, wrong):
    monkeypatch.setattr(claims, function, wrong)
    with pytest.raises(ClaimFailed, match=r"\d"):
        BY_NAME[name].check()


def test_singletons_agree_with_all_conversations():
    for n in range(2, 7):
        conversations = claims._Conversations(bounds.disjointness_matrix(n, 1, 1))
        for messages in (1, 3):
            least = conversations.least_message_bits(messages)
            assert claims._singletons_told_apart(messages, least) >= n
            assert claims._singletons_told_apart(messages, least - 1) < n


def test_fano_is_compared_exactly():
    assert claims._fano_holds(1, 0, 1)  # half of two guesses wrong: no bit is needed
    assert not claims._fano_holds(1, 0, 0)
    assert not claims._fano_holds(2, 1, 0)
    assert claims._fano_holds(2, 1, 1)  # 2 (1 - H₂(1/8)) < 1 bit
    assert 2 * (1 - bounds.binary_entropy(Fraction(1, 8))) < 1
