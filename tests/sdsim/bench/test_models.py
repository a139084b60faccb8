"""Whole models, timed side by side."""

import polars as pl
import pytest
import torch

from sdsim.bench import models
from sdsim.bench.config import BenchConfig, ModelTask
from sdsim.bench.report import display_table, measure, notes
from sdsim.models import LanguageModel, ModelConfig
from sdsim.text.presets import PRESETS as PRESETS_BY_NAME

PRESETS = ("jrt_tiny", "based_tiny", "transformer_tiny")


@pytest.mark.parametrize("what", ["model_prefill", "model_decode", "model_train"])
def test_every_model_is_timed_in_every_case(what: ModelTask) -> None:
    config = BenchConfig(what=(what,), lengths=(64, 32), repeats=2, threads=1)
    seen: list[tuple[int, int]] = []
    report = measure(config, what, lambda done, total: seen.append((done, total)))
    table = report.table
    assert table.select("length", "method").rows() == [(n, m) for n in (32, 64) for m in PRESETS]
    assert seen == [(1, 2), (2, 2)]
    per_call = 1 if what == "model_decode" else table["length"]
    speed = (per_call / table["seconds"]).to_list()
    assert table["tokens_per_second"].to_list() == pytest.approx(speed)
    transformer = table.filter(method="transformer_tiny")
    assert transformer["speedup"].to_list() == [1, 1]
    assert (table["calls"] == 2).all()
    if what == "model_train":
        assert table["mfu"].is_between(0, 2, closed="right").all()
    else:
        assert table["mfu"].null_count() == len(table)
    assert ("mfu" in display_table(report).columns) == (what == "model_train")
    assert "over the Transformer" in notes(report)[0]


def test_what_takes_too_long_is_not_tried_at_twice_the_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """16 tokens take 10 s, so that 32 take 20."""
    real = models.seconds_taken
    monkeypatch.setattr(models, "seconds_taken", lambda *args: real(*args) + 10)
    config = BenchConfig(
        what=("model_prefill",), lengths=(16, 32), repeats=2, max_seconds=15, presets=PRESETS[:2]
    )
    report = measure(config, "model_prefill")
    assert report.table["reason"].to_list() == [None, None, *["more than 15 s"] * 2]
    assert report.table["calls"].to_list() == [1, 1, 0, 0], "nor is a second call"
    assert report.table["speedup"].null_count() == 4, "there is no Transformer"
    assert len(display_table(report)) == 2
    assert notes(report)[-1] == "  based_tiny: more than 15 s (batch by length: 1 by 32)"


def test_what_does_not_fit_in_memory_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    build = models.LanguageModel

    def small_models_alone(config: ModelConfig, vocab_size: int) -> LanguageModel:
        if config.name == "based_tiny":
            raise torch.OutOfMemoryError
        return build(config, vocab_size)

    monkeypatch.setattr(models, "LanguageModel", small_models_alone)
    config = BenchConfig(
        what=("model_prefill",), lengths=(32, 64), repeats=1, presets=PRESETS[1:], threads=1
    )
    report = measure(config, "model_prefill")
    reasons = report.table.filter(method="based_tiny")["reason"].to_list()
    assert reasons == ["out of memory"] * 2
    assert report.table.filter(method="transformer_tiny")["calls"].to_list() == [1, 1]
    assert notes(report)[-1] == "  based_tiny: out of memory"


def test_the_transformer_is_known_by_its_mixers(monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = {"plain": PRESETS_BY_NAME["transformer_tiny"], "other": PRESETS_BY_NAME["jrt_tiny"]}
    monkeypatch.setattr(models, "preset_of", renamed.__getitem__)
    timings = models.time_models(
        "model_decode",
        ["other", "plain"],
        [(1, 16)],
        device=torch.device("cpu"),
        dtype=torch.float32,
        peak_flops=None,
        repeats=1,
    )
    other, plain = timings
    assert plain.speedup == 1
    assert other.seconds is not None
    assert other.speedup == pytest.approx((plain.seconds or 0) / other.seconds)


def test_reading_is_linear_in_the_length() -> None:
    """Fourfold text, about fourfold time; a quadratic reader takes eightfold and more."""
    config = BenchConfig(
        what=("model_prefill",), lengths=(2048, 8192), repeats=3, presets=PRESETS[::2], threads=1
    )
    table = measure(config, "model_prefill").table.filter(pl.col("seconds").is_not_null())
    short, long = (
        dict(table.filter(length=n).select("method", "seconds").rows()) for n in (2048, 8192)
    )
    assert long["jrt_tiny"] < 6.5 * short["jrt_tiny"]
    assert short["jrt_tiny"] < short["transformer_tiny"]
    assert 2 * long["jrt_tiny"] < long["transformer_tiny"]


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ValueError, match="presets: 'gpt' is not one of jrt_360m"):
        BenchConfig(presets=("gpt",))
