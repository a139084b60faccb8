from collections import Counter
from collections.abc import Callable
from typing import get_args

import pytest

from theory.claims.claim import STRENGTHS, Claim, Evidence, Strength, require
from theory.claims.verify import CLAIMS, verify


def sampled(name: str, check: Callable[[], Evidence], strength: Strength = "sample") -> Claim:
    return Claim(name, "so it is", check, hypotheses="none", strength=strength)


def two_things() -> Evidence:
    return Evidence(2, "two things")


def test_every_theorem_of_the_paper_is_among_the_claims() -> None:
    names = {claim.name for claim in CLAIMS}
    layers = {"G.1", "G.6", "G.6, INDEX to AR", "G.7", "G.8, EQ to MQAR", "G.8/G.11"}
    based = {"G.3", "G.15", "G.17", "G.18", "G.20", "G.21", "G.22", "G.23", "G.23, growth"}
    recall = {"G.24-26, SD to GAR", "G.24-26, GAR to SD", "G.24-26, there and back"}
    passes = {"G.27/29", "G.27-deterministic", "G.29-deterministic", "G.29, cost", "G.29, bound"}
    assert layers | based | recall | passes <= names


def test_claims_have_names_of_their_own() -> None:
    assert Counter(claim.name for claim in CLAIMS).most_common(1)[0][1] == 1


def test_claims_of_every_strength_are_among_them() -> None:
    assert {claim.strength for claim in CLAIMS} == set(STRENGTHS) == set(get_args(Strength))


def test_what_is_false_in_a_narrow_universe_says_that_it_must_be_wide() -> None:
    hypotheses = {claim.name: claim.hypotheses for claim in CLAIMS}
    for name in ("G.27-deterministic", "G.29-deterministic", "G.29, bound", "G.27/29", "profile"):
        assert "a + b ≤ n" in hypotheses[name]


@pytest.mark.parametrize(
    ("check", "hypotheses", "strength", "message"),
    [
        (two_things, "none", "proof", "strength = 'proof'"),
        (two_things, "", "sample", "hypotheses of planted are empty"),
        (two_things, "none", "cited", "check of planted"),
        (None, "none", "sample", "check of planted"),
    ],
)
def test_a_claim_says_what_it_assumes_and_rests_on(
    check: Callable[[], Evidence] | None, hypotheses: str, strength: Strength, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Claim("planted", "so it is", check, hypotheses=hypotheses, strength=strength)


def test_a_claim_that_fails_is_reported_and_the_others_are_checked() -> None:
    def planted() -> Evidence:
        require(sum((1, 2)) == 4, "1 + 2 is not 4")
        return Evidence(1, "one sum")

    sound = sampled("sound", lambda: Evidence(1, "the number 2"))
    failed, held = verify([sampled("planted", planted), sound])
    assert (failed.claim.name, failed.finding, failed.scope) == (
        "planted",
        "fails",
        "1 + 2 is not 4",
    )
    assert (held.claim.name, held.finding, held.instances) == ("sound", "holds", 1)


def test_a_formula_does_not_hold_but_agree_and_nothing_is_found_of_what_is_cited() -> None:
    cited = Claim("theirs", "so it is", None, hypotheses="none", strength="cited")
    formula, theirs = verify([sampled("ours", two_things, "formula"), cited])
    assert (formula.finding, formula.instances) == ("agrees", 2)
    assert (theirs.finding, theirs.instances) == ("not checked", 0)
    with pytest.raises(ValueError, match="theirs is cited"):
        cited.evidence()


def test_a_check_that_breaks_or_looks_at_nothing_has_shown_nothing() -> None:
    def broken() -> Evidence:
        raise ValueError("size_a = -1")

    checks = [broken, lambda: Evidence(0, "nothing"), two_things]
    claims = [sampled(f"claim {place}", check) for place, check in enumerate(checks)]
    verdicts = list(verify(claims))
    assert [verdict.finding for verdict in verdicts] == ["fails", "fails", "holds"]
    assert "size_a = -1" in verdicts[0].scope
    assert "must look at one" in verdicts[1].scope
