"""The claims of three modules hold, and each is refuted when its subject is broken."""

from math import comb, log2

import pytest

from theory.algorithms.hash_tower import HashTower
from theory.algorithms.kernel_attention import KernelAttention
from theory.algorithms.multi_pass import JustReadTwice, MultiPass
from theory.algorithms.one_pass import Fingerprint, OnePass
from theory.claims import algorithms, protocols, reductions
from theory.claims.claim import ClaimFailed
from theory.passes.protocols import run_protocol
from theory.passes.tower import tower_for

CLAIMS = [*algorithms.CLAIMS, *protocols.CLAIMS, *reductions.CLAIMS]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_the_claim_holds(claim):
    evidence = claim.evidence()
    assert evidence.instances >= (4 if claim.strength == "formula" else 30)
    assert evidence.scope


def test_names_are_unique():
    names = [claim.name for claim in CLAIMS]
    assert len(set(names)) == len(names)


class StoresTheFirst(JustReadTwice):
    def _plan(self, boundary):
        plan = super()._plan(boundary)
        return type(plan)(True, boundary - 1, 2)


class ForgetsTheLastChunk(MultiPass):
    def _begin_copy(self, state):
        begun = super()._begin_copy(state)
        if begun.copy < self.passes:
            return begun
        return type(begun)(begun.copy, begun.position, begun.boundary, frozenset(), begun.hit)


class StoresEverything(MultiPass):
    def chunk_size(self, size_a):
        return self.length


class Swaps(OnePass):
    def _key(self, element):
        return element // 2


class NarrowHash(Fingerprint):
    def _key(self, element):
        return super()._key(element) % 2


class MissesTheRest(Fingerprint):
    def _key(self, element):
        return 0 if element == self.coins % self.universe else 1


class MissesTheLast(HashTower):
    def _read_element(self, state, element):
        return (
            state
            if self._level(state) % 2 and element % 2
            else super()._read_element(state, element)
        )


class HashesToFewer(HashTower):
    def _cell(self, level, element):
        return super()._cell(level, element) % 7


class DeclaresTwice(HashTower):
    def bits(self, state):
        return 3 * super().bits(state)


class FewerSigns(KernelAttention):
    def answer(self, state):
        return state.best if self.search else state.score > 0


def chatty(model, first, second, passes):
    transcript = run_protocol(model, first, second, passes)
    return type(transcript)((*transcript.messages, 1), transcript.answer)


class OneCallShort(reductions.RecallToDisjointness):
    def instances(self, source):
        return super().instances(source)[:-1]


class OneCallMore(reductions.RecallToDisjointness):
    def instances(self, source):
        return (*super().instances(source), super().instances(source)[0])

    def answer(self, source, answers):
        return super().answer(source, answers[:-1])


class LosesTheFirstElement(reductions.DisjointnessToRecall):
    def answer(self, source, answers):
        return super().answer(source, answers) - {0}


class AlwaysEqual(reductions.EqualityToRecall):
    def answer(self, source, answers):
        return True


class Upside(reductions.IndexToRecall):
    def answer(self, source, answers):
        return 1 - super().answer(source, answers)


@pytest.mark.parametrize(
    ("name", "module", "attribute", "broken"),
    [
        ("G.15", algorithms, "JustReadTwice", StoresTheFirst),
        ("one pass, order", algorithms, "JustReadTwice", StoresTheFirst),
        ("one pass, order", algorithms, "OnePass", Swaps),
        ("p passes, chunks", algorithms, "MultiPass", ForgetsTheLastChunk),
        ("p passes, factor", algorithms, "MultiPass", StoresEverything),
        ("fingerprint, error", algorithms, "Fingerprint", NarrowHash),
        ("fingerprint, error", algorithms, "Fingerprint", MissesTheRest),
        ("fingerprint, space", algorithms, "fingerprint_bits_for", lambda *_: 80),
        ("p passes, tower error", algorithms, "is_right", lambda *_: True),
        ("p passes, tower", algorithms, "HashTower", MissesTheLast),
        ("p passes, tower", algorithms, "HashTower", HashesToFewer),
        ("p passes, tower", algorithms, "HashTower", DeclaresTwice),
        ("p passes, tower bits", algorithms, "tower_for", lambda a, b, p, e: tower_for(a, b, 1, e)),
        (
            "membership filter",
            algorithms,
            "membership_bits",
            lambda n, a, b, error: log2(comb(n, a)),
        ),
        ("kernel attention", algorithms, "KernelAttention", FewerSigns),
        ("kernel attention", algorithms, "separates", lambda *_: False),
        ("G.29, cost", protocols, "run_protocol", chatty),
        ("G.29, bound", protocols, "OnePass", Swaps),
        ("G.29, too small", protocols, "fooled_instance", lambda *_: None),
        ("G.29, too small", protocols, "fooled_instance", lambda *_: ((0,), (0,))),
        ("G.27/29", protocols, "multi_pass_bits", lambda *_: 1),
        ("G.24-26, SD to GAR", reductions, "DisjointnessToRecall", LosesTheFirstElement),
        ("G.24-26, GAR to SD", reductions, "RecallToDisjointness", OneCallShort),
        ("G.24-26, GAR to SD", reductions, "RecallToDisjointness", OneCallMore),
        ("G.24-26, there and back", reductions, "DisjointnessToRecall", LosesTheFirstElement),
        ("G.8, EQ to MQAR", reductions, "EqualityToRecall", AlwaysEqual),
        ("G.6, INDEX to AR", reductions, "IndexToRecall", Upside),
    ],
)
def test_the_claim_is_refuted_when_it_is_false(monkeypatch, name, module, attribute, broken):
    monkeypatch.setattr(module, attribute, broken)
    (claim,) = (claim for claim in CLAIMS if claim.name == name)
    with pytest.raises(ClaimFailed):
        claim.evidence()
