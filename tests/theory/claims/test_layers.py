"""The claims hold, and each check can fail: what it relies on is broken under it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import sympy

from theory.claims import layers as claims
from theory.claims.claim import Claim, ClaimFailed

BY_NAME = {claim.name: claim for claim in claims.CLAIMS}


_witness = claims._witness


def half_a_witness(best: claims.BestApproximation) -> Any:
    return {x: weight if x else 0 for x, weight in _witness(best).items()}


def test_names() -> None:
    assert list(BY_NAME) == [
        "G.1",
        "G.6",
        "G.6, layers",
        "G.7",
        "G.7, within ε",
        "G.7, growth within ε",
        "G.7, by sign",
        "value-degree",
        "G.8/G.11",
    ]


@pytest.mark.parametrize("claim", claims.CLAIMS, ids=lambda claim: claim.name)
def test_claim_holds(claim: Claim) -> None:
    evidence = claim.evidence()
    assert evidence.instances >= 5
    assert evidence.scope


@pytest.mark.parametrize(
    ("name", "broken", "replacement", "counterexample"),
    [
        ("G.1", "product_stack", lambda layers: claims.random_stack(1, 1, 1, seed=0), "product"),
        ("G.1", "_evaluate", lambda polynomial, point: Fraction(1, 97), "the polynomial's value"),
        ("G.6", "evaluate_message", lambda message, query: Fraction(1, 97), "Bob finds"),
        ("G.6", "message_bits", lambda *sizes: 0, "not those of the formula"),
        ("G.6, layers", "recall_layers", lambda *sizes, **bits: 1, "could carry INDEX"),
        ("G.7", "boolean_degree", lambda values: 1, "EQ has degree 1"),
        ("G.7", "layers_for_degree", lambda degree: 9, "layers for degree"),
        ("G.7", "binary_equality", lambda width: sympy.Poly(sympy.Symbol("z")), "not EQ's"),
        ("G.7, within ε", "boolean_degree", lambda values: 9, "degree 9 in the pair"),
        ("G.7, within ε", "_witness", lambda best: [Fraction(1)] * 9, "the witness sums to"),
        ("G.7, within ε", "_witness", lambda best: half_a_witness(best), "the witness"),
        ("G.7, growth within ε", "approximate_degree", lambda d, error: d, "d = 4: degree 4"),
        ("G.7, growth within ε", "approximate_degree", lambda d, error: 1, "d = 8: degree 1"),
        ("G.7, by sign", "sign_equality_stack", claims.binary_equality_stack, "d = 2"),
        ("value-degree", "boolean_degree", lambda values: 2, "the answer's bit has degree 2"),
        ("G.8/G.11", "_recall", lambda pairs, query: None, "recall of 0"),
        ("G.8/G.11", "least_degree", lambda points, values: 1, "EQ has degree 1"),
        ("G.8/G.11", "certifies", lambda *arguments: False, "certificate"),
        ("G.8/G.11", "layers_for_degree", lambda degree: 9, "layers for degree"),
    ],
)
def test_check_fails_when_its_ground_is_broken(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: str, replacement: Any, counterexample: str
) -> None:
    monkeypatch.setattr(claims, broken, replacement)
    with pytest.raises(ClaimFailed, match=counterexample):
        BY_NAME[name].evidence()
