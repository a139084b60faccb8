"""Cards: a fixed protocol, made-up runs of which every number is known, and the command."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hydra.core.config_loader import ConfigLoader

import figures
from figures.card import answers
from kernels.bench import threads
from sdsim.card import measure as measuring
from sdsim.card.carried import state_bits, state_numbers
from sdsim.card.measure import measure
from sdsim.card.protocol import PROTOCOLS, Protocol
from sdsim.card.record import CARD, Speed, read_card
from sdsim.config import ModelConfig, RunConfig
from sdsim.store.held import Held, write_rows
from sdsim.store.record import read_record
from sdsim.store.store import Store
from sdsim.store.table import load
from sdsim.store.weights import config_of
from sdsim.sweep import launch
from sdsim.sweep.plan import Plan
from sdsim.training.result import RunResult, SliceResult
from sdsim.training.tasks import eval_tasks
from tests.conftest import Run
from theory import search_bits

GRU = ModelConfig("gru", ("gru",), width=8, depth=2)
WORDS = ["model=gru", "model.width=8", "model.depth=2"]
EXAMPLES = 100
SMALL = Protocol(
    seeds=(0, 1),
    rates=(1e-3, 2e-3, 4e-3),
    pairs=((2, 6), (6, 2)),
    bits=(4, 8),
    passes=(2,),
    passes_pairs=((6, 2),),
    passes_bits=(4,),
    recall_bits=(4, 8),
    test_examples=EXAMPLES,
    validation_examples=EXAMPLES,
)


def right(run: RunConfig, size_a: int) -> int:
    """Answers of a run that nobody trained: more bits, more readings and a shorter A help."""
    bits = sum(getattr(run.model, "state_numbers", ()))
    at_its_best = 80 + 2 * bits * run.task.passes - size_a - run.seed
    return min(EXAMPLES, at_its_best) - (0 if run.train.lr == 2e-3 else 5)


def result(run: RunConfig) -> RunResult:
    slices = [
        SliceResult.of(
            task,
            examples=EXAMPLES,
            answers=1,
            correct=right(run, task.size_a),
            loss=0.5,
            state_numel=1,
            state_bits=sum(getattr(run.model, "state_numbers", ())) or 256,
            quantized=[],
            validation_correct=right(run, task.size_a),
        )
        for task in eval_tasks(run.task)
    ]
    return RunResult(
        slices, params=1, train_loss=0.5, steps_done=100, ensemble=1, seconds=1.0, converged=True
    )


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps whose runs are made up, speeds that are not measured."""

    def made_up(plan: Plan, loader: ConfigLoader, on_progress: launch.Progress) -> None:
        store = Store(plan.job.store)
        for identity, planned in plan.runs.items():
            if identity not in store:
                store.write(planned.config, result(planned.config), device="cpu")

    monkeypatch.setattr(launch, "launch", made_up)
    monkeypatch.setattr(measuring, "speeds", lambda runs: [Speed(1.0, 2.0)] * len(runs))


@pytest.mark.usefixtures("untrained")
def test_a_card_has_the_numbers_of_its_runs(tmp_path: Path) -> None:
    store = tmp_path / "gru"
    with threads(2):
        card = measure(GRU, store, "quick", WORDS, protocol=SMALL)
        assert torch.get_num_threads() == 2
    assert card == read_card(store)
    assert card.device.endswith("1 thread")  # that the speeds are of, whatever torch has
    assert (card.lr, card.state_bits, card.has_budget) == (2e-3, 32 * 8 * 2, True)
    table = load(store)
    assert len(table.filter(table["lr"] != 2e-3)) == 2 * 2  # two other rates, two seeds
    for run in table.filter(state_bits=8, passes=1, size_a=6, lr=2e-3)["run_id"]:
        write_rows(store / run, Held, [Held(6, 2, 8, 5.0, 4.0, 6.0, 12.97, 60)])
    said = answers(load(store), card)

    def about(question: str, **where: object) -> dict[str, Any]:
        (found,) = said.filter(question=question, **where).iter_rows(named=True)
        return found

    assert about("state")["value"] == 512
    rate = about("learning rate")
    assert (rate["value"], rate["low"], rate["high"]) == (2e-3, 2e-3, 2e-3)
    assert rate["note"].startswith("1 of 3 rates")
    gap = about("order gap", budget=8)
    # Means over the seeds 0 and 1: 80 + 16 - 2 and 80 + 16 - 6 of a hundred, less the seed.
    assert (gap["value"], gap["seeds"]) == (pytest.approx(0.04), 2)
    assert gap["beside"] == pytest.approx(1 / 6 - 1 / 2)
    gain = about("gain of reading again", passes=2, budget=4)
    assert gain["value"] == pytest.approx(0.08)
    assert gain["beside"] == pytest.approx((82 + 81) / 200)
    short = about("bits needed", size_a=2, size_b=6, passes=1)
    assert 4 < short["value"] < 8
    assert short["beside"] == pytest.approx(search_bits(16, 2, 6, (1 - 1 / 6) * 0.1))
    long = about("bits needed", size_a=6, passes=1)
    assert long["value"] is None
    assert "not with 8 bits" in long["note"]
    held = about("bits held of A", size_a=6, budget=8)
    assert (held["value"], held["low"], held["high"]) == (5.0, 5.0, 5.0)
    assert about("training")["beside"] == 1.0
    data, paths = figures.draw_card(store)
    assert len(data) == len(said)
    assert [path.name for path in paths] == ["gru.pdf", "gru.png", "gru.csv"]


@pytest.mark.usefixtures("untrained")
def test_a_model_whose_state_grows_has_a_card_without_budgets(tmp_path: Path) -> None:
    attention = ModelConfig("attention", ("softmax_attention",), width=8, depth=1)
    words = ["model=attention", "model.width=8", "model.depth=1"]
    card = measure(attention, tmp_path / "attention", "quick", words, protocol=SMALL)
    assert not card.has_budget
    questions = answers(load(tmp_path / "attention"), card)["question"].to_list()
    assert "order gap" in questions
    assert "bits needed" not in questions
    figures.draw_card(tmp_path / "attention")


def test_the_quick_card_is_a_part_of_the_full_one() -> None:
    quick, full = asdict(PROTOCOLS["quick"]), asdict(PROTOCOLS["full"])
    for name, values in quick.items():
        if isinstance(values, tuple):
            assert set(values) <= set(full[name]), name
        else:
            assert values == full[name], name


@pytest.mark.usefixtures("untrained")
def test_a_module_of_ones_own_has_a_card_without_budgets(tmp_path: Path) -> None:
    own = ModelConfig("own", ("torch.nn.Identity",), width=8, depth=1)
    words = ["model=own", "model.mixers=[torch.nn.Identity]", "model.width=8", "model.depth=1"]
    card = measure(own, tmp_path / "own", "quick", words, protocol=SMALL)
    assert (card.state_bits, card.has_budget) == (None, False)
    data, _ = figures.draw_card(tmp_path / "own")
    assert data.row(0, named=True)["value"] is None
    assert "order gap" in data["question"].to_list()


@pytest.mark.usefixtures("untrained")
def test_runs_of_a_card_differ_from_the_model_that_was_asked_for_in_budgets_alone(
    tmp_path: Path,
) -> None:
    measure(GRU, tmp_path / "gru", "quick", WORDS, protocol=SMALL)
    for run in set(load(tmp_path / "gru")["run_id"]):
        config = config_of(read_record(tmp_path / "gru" / run))
        assert isinstance(config.model, ModelConfig)
        assert config.model.state_bits_per_number == 1
        assert replace(config.model, state_bits_per_number=0, state_numbers=()) == GRU


@pytest.mark.parametrize(
    ("mixers", "depth", "expected"),
    [
        (("gru",), 2, [8, 0]),
        (("base_conv", "linear_attention"), 4, [0, 8, 0, 0]),
        (("base_conv", "prefix_linear_attention"), 4, [0, 4, 0, 0]),  # crosses twice
    ],
)
def test_one_layer_carries_the_budget(
    mixers: tuple[str, ...], depth: int, expected: list[int]
) -> None:
    model = ModelConfig("mine", mixers, width=16, depth=depth)
    assert state_numbers(model, 8) == expected


def test_a_budget_that_crossings_cannot_share_is_refused() -> None:
    model = ModelConfig("jrt_rnn", ("base_conv", "prefix_linear_attention"))
    with pytest.raises(ValueError, match="crosses a boundary 2 times"):
        state_numbers(model, 5)


def test_state_of_attention_grows_with_the_tokens() -> None:
    model = ModelConfig("attention", ("softmax_attention",), width=8, depth=1)
    assert state_bits(model, 20) == 2 * state_bits(model, 10) == 20 * 2 * 8 * 32


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=gru", "task.vocab_size=3"], "no such setting"),
        (["model=one_pass"], "a streaming algorithm is not trained"),
        (["model=gru", "model.state_bits_per_number=2"], "the protocol sets the budgets"),
        (["model=gru", "size=big"], "must be 'quick' or 'full'"),
        (["cards=nowhere"], "no card is there"),
        (["model=gru", "model.heads=3", "model.mixers=[linear_attention]"], "does not divide"),
    ],
)
def test_what_is_no_card_is_refused_in_one_line(
    run: Run, tmp_path: Path, words: list[str], said: str
) -> None:
    code, _, errors = run("card", *words)
    assert code == 2
    assert len(errors.strip().splitlines()) == 1
    assert said in errors
    assert not any(tmp_path.iterdir())


@pytest.mark.usefixtures("untrained")
def test_cards_are_drawn_again_from_what_is_stored(run: Run, tmp_path: Path) -> None:
    measure(GRU, tmp_path / "cards" / "gru", "quick", WORDS, protocol=SMALL)
    shutil.copytree(tmp_path / "cards" / "gru", tmp_path / "cards" / "other")
    code, output, _ = run("card", "cards=cards")
    assert code == 0
    assert "bits needed" in output
    compared = pl.read_csv(tmp_path / "cards" / "comparison.csv")
    assert compared["name"].to_list() == ["gru", "other"]
    assert compared["gain"].to_list() == pytest.approx([0.08, 0.08])
    assert compared["training"].to_list() == [1.0, 1.0]
    assert {path.name for path in (tmp_path / "cards").glob("*.png")} == {
        "gru.png",
        "other.png",
        "comparison.png",
    }


@pytest.mark.usefixtures("untrained")
def test_a_card_of_another_protocol_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    measure(GRU, tmp_path / "gru", "quick", WORDS, protocol=SMALL)
    file = tmp_path / "gru" / CARD
    file.write_text(json.dumps(json.loads(file.read_text()) | {"protocol": 99}))
    code, _, errors = run("card", "cards=.")
    assert code == 2
    assert "protocol 99" in errors
