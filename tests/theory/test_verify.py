from collections import Counter

from theory.claims.claim import Claim, Evidence, require
from theory.verify import CLAIMS, verify


def test_every_theorem_of_the_paper_is_among_the_claims() -> None:
    names = " ".join(claim.name for claim in CLAIMS)
    theorems = ["G.1", "G.3", "G.6", "G.7", "G.8/G.11", "G.15", "G.17", "G.18", "G.20", "G.21"]
    for theorem in [*theorems, "G.22", "G.23", "G.24-26", "G.27", "G.29"]:
        assert theorem in names


def test_claims_have_names_of_their_own() -> None:
    assert Counter(claim.name for claim in CLAIMS).most_common(1)[0][1] == 1


def test_a_claim_that_fails_is_told_and_the_others_are_checked() -> None:
    def planted() -> Evidence:
        require(sum((1, 2)) == 4, "1 + 2 is not 4")
        return Evidence(1, "one sum")

    sound = Claim("sound", "2 is even", lambda: Evidence(1, "the number 2"))
    failed, held = verify([Claim("planted", "1 + 2 = 4", planted), sound])
    assert (failed.claim, failed.holds, failed.scope) == ("planted", False, "1 + 2 is not 4")
    assert (held.claim, held.holds, held.instances) == ("sound", True, 1)
