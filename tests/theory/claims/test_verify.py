from collections import Counter

from theory.claims.claim import Claim, Evidence, require
from theory.claims.verify import CLAIMS, verify


def test_every_theorem_of_the_paper_is_among_the_claims() -> None:
    names = {claim.name for claim in CLAIMS}
    layers = {"G.1", "G.6", "G.6, INDEX to AR", "G.7", "G.8, EQ to MQAR", "G.8/G.11"}
    based = {"G.3", "G.15", "G.17", "G.18", "G.20", "G.21", "G.22", "G.23", "G.23, growth"}
    recall = {"G.24-26, SD to GAR", "G.24-26, GAR to SD", "G.24-26, there and back"}
    passes = {"G.27/29", "G.27-deterministic", "G.29-deterministic", "G.29, cost", "G.29, bound"}
    assert layers | based | recall | passes <= names


def test_claims_have_names_of_their_own() -> None:
    assert Counter(claim.name for claim in CLAIMS).most_common(1)[0][1] == 1


def test_a_claim_that_fails_is_reported_and_the_others_are_checked() -> None:
    def planted() -> Evidence:
        require(sum((1, 2)) == 4, "1 + 2 is not 4")
        return Evidence(1, "one sum")

    sound = Claim("sound", "2 is even", lambda: Evidence(1, "the number 2"))
    failed, held = verify([Claim("planted", "1 + 2 = 4", planted), sound])
    assert (failed.claim, failed.holds, failed.scope) == ("planted", False, "1 + 2 is not 4")
    assert (held.claim, held.holds, held.instances) == ("sound", True, 1)


def test_a_check_that_breaks_or_looks_at_nothing_has_shown_nothing() -> None:
    def broken() -> Evidence:
        raise ValueError("size_a = -1")

    checks = [broken, lambda: Evidence(0, "nothing"), lambda: Evidence(2, "two things")]
    claims = [Claim(f"claim {place}", "so it is", check) for place, check in enumerate(checks)]
    verdicts = list(verify(claims))
    assert [verdict.holds for verdict in verdicts] == [False, False, True]
    assert "size_a = -1" in verdicts[0].scope
    assert "must look at one" in verdicts[1].scope
