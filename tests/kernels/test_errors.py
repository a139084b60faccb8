"""Invalid input: every error names the argument, its value and what is allowed."""

from typing import Any

import pytest
import torch

from kernels import (
    PrefixState,
    prefix_linear_attention,
    prefix_linear_attention_step,
    prefix_state,
    read_state,
)

B, N, M, H, D, E = 2, 4, 3, 2, 3, 5


def arguments() -> dict[str, Any]:
    return {
        "q": torch.zeros(B, N, H, D),
        "k": torch.zeros(B, N, H, D),
        "v": torch.zeros(B, N, H, E),
        "k_enc": torch.zeros(B, M, H, D),
        "v_enc": torch.zeros(B, M, H, E),
        "mask": torch.ones(B, N, dtype=torch.bool),
        "initial_state": PrefixState.zeros(B, H, D, E),
    }


def state_with(**changes: torch.Tensor) -> PrefixState:
    state = PrefixState.zeros(B, H, D, E)
    return PrefixState(**{"kv": state.kv, "k": state.k, **changes})


def test_the_arguments_below_are_otherwise_valid() -> None:
    assert prefix_linear_attention(**arguments()).shape == (B, N, H, E)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": torch.zeros(B, N, D)}, r"q must have shape \(B, N, H, D\), got \(2, 4, 3\)"),
        ({"q": [1.0]}, "q must be a tensor, got list"),
        ({"q": torch.zeros(B, N, H, D, dtype=torch.int64)}, r"q must have .*, got torch\.int64"),
        ({"q": torch.zeros(B, N, H, 0)}, "q must have D of at least 1, got shape"),
        ({"k": torch.zeros(B, N, H, D + 1)}, r"k must have shape \(2, 4, 2, 3\), got \(2, 4, 2, 4"),
        ({"k": torch.zeros(B, N, H, D).double()}, r"k must have dtype torch\.float32, got .*64"),
        ({"k": torch.zeros(B, N, H, D, device="meta")}, "k must be on cpu, got meta"),
        ({"v": torch.zeros(B, N + 1, H, E)}, r"v must have shape \(2, 4, 2, any ≥ 1\), got"),
        ({"v": torch.zeros(B, N, H, 0)}, r"v must have shape \(2, 4, 2, any ≥ 1\), got"),
        ({"v": torch.zeros(B, N, H, E).half()}, r"v must have dtype torch\.float32, got .*16"),
        ({"v": None}, "v must be a tensor, got NoneType"),
        ({"k_enc": None}, "k_enc must be given together with v_enc, got None"),
        ({"v_enc": None}, "v_enc must be given together with k_enc, got None"),
        ({"k_enc": torch.zeros(B, N + 1, H, D)}, "k_enc must have M ≤ N = 4 positions, got M = 5"),
        ({"k_enc": torch.zeros(B, M, H)}, r"k_enc must have shape \(B, M, H, D\), got"),
        ({"k_enc": torch.zeros(B, M, H, 1)}, r"k_enc must have shape \(2, 3, 2, 3\), got"),
        ({"k_enc": torch.zeros(B, M, H, D).double()}, "k_enc must have dtype"),
        ({"v_enc": torch.zeros(B, M - 1, H, E)}, r"v_enc must have shape \(2, 3, 2, 5\), got"),
        ({"mask": torch.ones(B, N)}, r"mask must have dtype torch\.bool, got torch\.float32"),
        ({"mask": torch.ones(B, M, dtype=torch.bool)}, r"mask must have shape \(2, 4\), got"),
        ({"mask": [True]}, "mask must be a tensor, got list"),
        ({"scale": 0.0}, r"scale must be a finite number above 0, got 0\.0"),
        ({"scale": -1}, "scale must be a finite number above 0, got -1"),
        ({"scale": float("nan")}, "scale must be a finite number above 0, got nan"),
        ({"scale": "1"}, "scale must be a finite number above 0, got '1'"),
        (
            {"backend": "cuda"},
            "backend must be one of auto, reference, chunked, triton, got 'cuda'",
        ),
        ({"initial_state": torch.zeros(1)}, "initial_state must be a PrefixState, got Tensor"),
        (
            {"initial_state": PrefixState.zeros(B, H, D + 1, E)},
            r"initial_state\.kv must have shape \(2, 2, 10, 5\), got \(2, 2, 15, 5\)",
        ),
        (
            {"initial_state": state_with(k=torch.zeros(B, H, 1))},
            r"initial_state\.k must have shape \(2, 2, 10\), got \(2, 2, 1\)",
        ),
        (
            {"initial_state": PrefixState.zeros(B, H, D, E, dtype=torch.float64)},
            r"initial_state\.kv must have dtype torch\.float32, got torch\.float64",
        ),
    ],
)
def test_forward(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prefix_linear_attention(**{**arguments(), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": torch.zeros(B, N, H, D)}, r"q must have shape \(B, H, D\), got"),
        ({"k": torch.zeros(B, H, 1)}, r"k must have shape \(2, 2, 3\), got"),
        ({"v": torch.zeros(B, 1, E)}, r"v must have shape \(2, 2, any ≥ 1\), got"),
        ({"state": PrefixState.zeros(B, H, D, E + 1)}, r"state\.kv must have shape \(2, 2, 10, 5"),
        ({"state": None}, "state must be a PrefixState, got NoneType"),
        ({"scale": -2.0}, r"scale must be a finite number above 0, got -2\.0"),
    ],
)
def test_step(changes: dict[str, Any], message: str) -> None:
    valid = {
        "q": torch.zeros(B, H, D),
        "k": torch.zeros(B, H, D),
        "v": torch.zeros(B, H, E),
        "state": PrefixState.zeros(B, H, D, E),
    }
    prefix_linear_attention_step(**valid)
    with pytest.raises(ValueError, match=message):
        prefix_linear_attention_step(**{**valid, **changes})


def test_a_step_cannot_write_over_an_expanded_state() -> None:
    zeros = PrefixState.zeros(1, H, D, E)
    shared = PrefixState(zeros.kv.expand(B, -1, -1, -1), zeros.k.expand(B, -1, -1))
    token = torch.ones(B, H, D), torch.ones(B, H, D), torch.ones(B, H, E)
    prefix_linear_attention_step(*token, shared)
    with pytest.raises(ValueError, match="in_place must be False for a state that is expanded"):
        prefix_linear_attention_step(*token, shared, in_place=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": torch.zeros(B, H, D)}, r"k must have shape \(B, N, H, D\), got"),
        ({"v": torch.zeros(B, 1, H, E)}, r"v must have shape \(2, 4, 2, any ≥ 1\), got"),
        ({"mask": torch.ones(B, M, dtype=torch.bool)}, r"mask must have shape \(2, 4\), got"),
        ({"scale": 0}, "scale must be a finite number above 0, got 0"),
        ({"initial_state": PrefixState.zeros(1, H, D, E)}, r"initial_state\.kv must have shape"),
    ],
)
def test_prefix_state(changes: dict[str, Any], message: str) -> None:
    valid = {name: arguments()[name] for name in ("k", "v", "mask", "initial_state")}
    prefix_state(**valid)
    with pytest.raises(ValueError, match=message):
        prefix_state(**{**valid, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": torch.zeros(B, H, D)}, r"q must have shape \(B, N, H, D\), got"),
        ({"state": PrefixState.zeros(1, H, D, E)}, r"state\.kv must have shape \(2, 2, 10, any"),
        ({"scale": 0}, "scale must be a finite number above 0, got 0"),
    ],
)
def test_read_state(changes: dict[str, Any], message: str) -> None:
    valid = {"q": arguments()["q"], "state": PrefixState.zeros(B, H, D, E)}
    read_state(**valid)
    with pytest.raises(ValueError, match=message):
        read_state(**{**valid, **changes})
