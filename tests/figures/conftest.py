from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from sdsim.config import (
    AlgorithmConfig,
    EvalConfig,
    ModelConfig,
    RunConfig,
    TaskConfig,
    TrainConfig,
)
from sdsim.store.store import Store
from sdsim.training.result import CurvePoint, QuantizedResult, RunResult, SliceResult
from sdsim.training.tasks import eval_tasks

MIXERS = {
    "gru": ("gru",),
    "based": ("base_conv", "linear_attention"),
    "jrt_rnn": ("base_conv", "prefix_linear_attention"),
    "based_noncausal": ("circular_base_conv", "noncausal_linear_attention"),
    "mamba2": ("mamba2",),
    "prefix_mamba2": ("prefix_mamba2",),
    "my_model": ("lstm",),
    "jrt_tiny": ("base_conv", "prefix_linear_attention", "sliding_window_attention", "base_conv"),
    "my_based": ("base_conv", "linear_attention", "sliding_window_attention"),
    "passes=3, gru": ("gru",),
    "my_mixer": ("package.module.Mixer",),
}
RECALL = {"name": "associative_recall", "kind": "synthetic.AssociativeRecall"}

WriteRun = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def write_run(store: Path) -> WriteRun:
    """Store a run that never ran: ``correct`` maps (|A|, |B|) to right answers of `examples`.

    The state of every slice is 4 × width bytes, of a streaming algorithm `budget` bits; n is 12
    unless said. `quantized` maps bits per number to right answers of each slice, `validation` is
    like `correct`. With an `order` it is recall; with `numbers` the state is within a budget of so
    many bits.
    """

    def write(
        correct: Mapping[tuple[int, int], int],
        *,
        model: str = "gru",
        width: int = 8,
        seed: int = 0,
        lr: float = 1e-3,
        steps: int = 100,
        passes: int = 1,
        examples: int = 10,
        vocab_size: int = 16,
        diverged: bool = False,
        quantized: Mapping[int, int] | None = None,
        order: str | None = None,
        budget: int | None = None,
        numbers: int | None = None,
        converged: bool | None = None,
        validation: Mapping[tuple[int, int], int] | None = None,
        curve: Sequence[CurvePoint] = (),
    ) -> None:
        network = None
        if budget is None:
            own = {} if numbers is None else {"state_numbers": (numbers,)}
            network = ModelConfig(
                model, MIXERS[model], width=width, state_bits_per_number=len(own), **own
            )
        quantized = quantized or {}
        options = {"answer": "token", "common": 1} if order is None else {"order": order}
        config = RunConfig(
            network or AlgorithmConfig("fingerprint", "fingerprint", budget=budget),
            TaskConfig(
                vocab_size=vocab_size,
                train_sizes=tuple(correct),
                passes=passes,
                options=options,
                **({} if order is None else RECALL),
            ),
            TrainConfig(lr=lr, steps=steps),
            EvalConfig(examples, bits=tuple(quantized), validation=examples if validation else 0),
            seed,
        )
        loss = None if diverged or budget else 0.5
        slices = [
            SliceResult.of(
                task,
                examples=examples,
                answers=1,
                correct=right,
                loss=loss,
                state_numel=None if budget else width,
                state_bits=budget or numbers or 32 * width,
                quantized=[
                    QuantizedResult(bits, bits * width, few) for bits, few in quantized.items()
                ],
                validation_correct=None if validation is None else validation[sizes],
            )
            for task, (sizes, right) in zip(eval_tasks(config.task), correct.items(), strict=True)
        ]
        result = RunResult(
            slices,
            params=1,
            train_loss=loss,
            steps_done=0 if budget else steps,
            ensemble=1,
            seconds=1.0,
            converged=converged,
            curve=list(curve),
        )
        Store(store).write(config, result, device="cpu")

    return write
