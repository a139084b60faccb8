from fractions import Fraction

import numpy as np
import pytest

from theory.based import theorem_g22
from theory.based.random_signs import RandomSignKernel
from theory.based.recurrent_layers import MLP
from theory.claims import based as claims
from theory.claims.based import CLAIMS
from theory.claims.claim import ClaimFailed, Evidence

BY_NAME = {claim.name: claim for claim in CLAIMS}


@pytest.mark.parametrize(
    "claim", [claim for claim in CLAIMS if claim.check], ids=lambda claim: claim.name
)
def test_claim_holds(claim):
    evidence = claim.evidence()
    assert isinstance(evidence, Evidence)
    assert evidence.instances >= 15
    assert evidence.scope


def test_every_claim_has_a_name_and_a_statement_of_its_own():
    assert len(BY_NAME) == len({claim.statement for claim in CLAIMS}) == len(CLAIMS)


def refuted(name, counterexample):
    with pytest.raises(ClaimFailed, match=counterexample):
        BY_NAME[name].evidence()


def test_a_threshold_of_one_half_is_refuted(monkeypatch):
    one, half = np.array([[1]]), np.array([Fraction(-3, 4)], dtype=object)
    monkeypatch.setattr(theorem_g22, "threshold", lambda: MLP(one, half, one, np.array([0])))
    refuted("G.22", r"row \d+ of A = ")


def test_the_literal_shift_is_refuted(monkeypatch):
    def literal(layout):
        taps = np.zeros((layout.length, layout.length), dtype=np.int64)
        for separator in range(1, layout.reading):
            size_a, size_b = layout.sizes(separator)
            taps[0 if size_a <= size_b else size_a + 1, separator] = 1
        return taps

    monkeypatch.setattr(claims, "shift_to_front", literal)
    refuted("G.20", r"\|A\| = 1, \|B\| = 0")
    monkeypatch.setattr(theorem_g22, "shift_to_front", literal)
    refuted("G.21", "A = ")
    refuted("G.22", "A = ")


def test_too_few_random_signs_are_refuted(monkeypatch):
    def short(universe, size, seed):
        return RandomSignKernel(universe, size, seed, dimension=8 * size)

    monkeypatch.setattr(claims, "RandomSignKernel", short)
    refuted("G.17", "RandomSignKernel")
    refuted("G.18", "RandomSignKernel")
    refuted("G.23", "row")


def test_linear_growth_of_random_signs_is_refuted(monkeypatch):
    def linear(universe, sizes, seed):
        return ({size: 160 * size for size in sizes},) * 2

    monkeypatch.setattr(claims, "smallest_random_dimensions", linear)
    refuted("G.23, growth", r"ε takes f")


def test_a_kernel_below_welchs_bound_is_refuted(monkeypatch):
    allows = claims.welch_allows
    monkeypatch.setattr(claims, "welch_allows", lambda n, f, epsilon: allows(n, f, epsilon / 2))
    refuted("G.23, Welch", "below Welch's")
    monkeypatch.setattr(claims, "welch_allows", allows)
    monkeypatch.setattr(claims, "welch_dimension", lambda n, epsilon: 8)
    refuted("G.23, Welch", "28 lines")


def test_a_quarter_of_the_random_signs_is_refuted(monkeypatch):
    formula = claims.random_sign_dimension_for_one_instance
    monkeypatch.setattr(
        claims, "random_sign_dimension_for_one_instance", lambda *sizes: formula(*sizes) // 4
    )
    refuted("G.23, on average", "instances solved")
