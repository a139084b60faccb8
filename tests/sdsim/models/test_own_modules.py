"""Any module trains, by its import path; what cannot be measured of it is said."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sdsim.config import EvalConfig, ModelConfig, ModuleConfig, RunConfig, run_id
from sdsim.models import LanguageModel, WholeModel
from sdsim.models.lookahead import earlier_outputs, measured_reader, reached
from sdsim.store.store import Store
from sdsim.store.table import load
from sdsim.store.weights import load_model
from sdsim.training import checkpoint
from sdsim.training.result import RunResult
from sdsim.training.run import execute
from sdsim.training.tasks import check_run
from sdsim.training.trainer import SequentialTrainer
from tests.sdsim.models import own_modules

HERE = "tests.sdsim.models.own_modules"


def model(*names: str, **changes: object) -> ModelConfig:
    settings: dict[str, object] = {"width": 8, "depth": 1, "mlp": "none"}
    return ModelConfig("own", tuple(names), **settings | changes)  # type: ignore[arg-type]


def own(name: str) -> str:
    return f"{HERE}.{name}"


@pytest.mark.parametrize(
    ("config", "bits", "source", "reader"),
    [
        (model(own("RunningMean")), None, "unknown", "causal"),
        (model(own("RunningMean"), stated_state_bits=77), 77, "stated", "causal"),
        (model(own("Stating"), depth=2), 512, "stated", "causal"),
        (model("gru", own("Stating"), depth=2), None, "unknown", "causal"),
        (model(own("Centred")), None, "unknown", "noncausal"),
        (model(own("AsInFla")), None, "unknown", "causal"),
        (model(own("Liar")), 256, "measured", "noncausal"),
        (ModuleConfig("own", own("Whole")), None, "unknown", "causal"),
        (ModuleConfig("own", own("Whole"), {"width": 4}, 128), 128, "stated", "causal"),
    ],
    ids=str,
)
def test_a_module_is_trained_tested_and_stored(
    config: ModelConfig | ModuleConfig,
    bits: int | None,
    source: str,
    reader: str,
    small_run: RunConfig,
    store: Store,
) -> None:
    run = replace(small_run, model=config, train=replace(small_run.train, steps=4))
    result = execute(run)
    store.write(run, result, device="cpu")
    table = load(store.path)
    assert table["state_bits"].to_list() == [bits] * 2
    assert table["state_source"].unique().to_list() == [source]
    assert table["reader"].unique().to_list() == [reader]
    assert result.bidirectional_prefix is (reader == "noncausal")
    assert result.train_loss is not None


def test_a_module_that_looks_ahead_is_named_with_what_it_sees(
    small_run: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    run = replace(small_run, train=replace(small_run.train, steps=1))
    execute(replace(run, model=model(own("Centred"), own("RunningMean"), depth=2)))
    assert "own looks ahead: a change of token 1 reaches outputs from 0 on" in caplog.text
    caplog.clear()
    execute(replace(run, model=model(own("RunningMean"))))
    assert "looks ahead" not in caplog.text


def test_weights_of_zero_hide_no_lookahead() -> None:
    built = LanguageModel(model(own("Centred")), 12)
    for parameter in built.layers.parameters():
        torch.nn.init.zeros_(parameter)
    assert measured_reader(built, 12, 6, 6)[0] == "noncausal"
    assert not built.layers[0].norm1.weight.any()  # the model is left as it is


def test_a_prefix_is_looked_ahead_in_as_far_as_it_goes() -> None:
    prefix = LanguageModel(model("prefix_linear_attention"), 12)
    assert measured_reader(prefix, 12, 6, 4)[0] == "prefix"
    _, ahead = measured_reader(prefix, 12, 6, 4)
    assert ahead == {1: [0], 2: [0, 1], 3: [0, 1, 2]}
    assert measured_reader(LanguageModel(model("gru"), 12), 12, 6, 4) == ("causal", {})


def test_what_a_change_reaches_is_found_position_by_position() -> None:
    x, other = torch.randn(2, 2, 5, 3).unbind()
    found = reached(lambda x: x.roll(-2, 1), x, other)
    assert earlier_outputs(found) == {2: [0], 3: [1], 4: [2]}
    assert found.nonzero().tolist() == [[0, 3], [1, 4], [2, 0], [3, 1], [4, 2]]
    some = reached(lambda x: x.roll(-2, 1), x, other, range(0, 5, 4))
    assert some.nonzero().tolist() == [[0, 3], [4, 2]]


def test_examples_of_a_batch_that_reach_each_other_are_an_error(small_run: RunConfig) -> None:
    with pytest.raises(ValueError, match="the batch first"):
        execute(replace(small_run, model=model(own("BatchSecond"))))
    with pytest.raises(ValueError, match="not finite"):
        reached(lambda x: x / 0, torch.ones(1, 2, 1), torch.zeros(1, 2, 1))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (model("torch.nn.GRU"), r"'torch\.nn\.GRU': it cannot be built"),
        (model("torch.nn.Flatten", arguments={"axis": 1}), "takes no axis; it takes start_dim"),
        (model("torch.nn.LayerNorm"), r"it needs normalized_shape.*\+model\.arguments\."),
        (model("torch.nn.functional.relu", arguments={"input": 1}), "it cannot be built"),
        (model("math.pi"), "neither a class nor a function"),
        (model("builtins.dict"), "its parameters cannot be found"),
        (model("sdsim.models.Mixer"), "a mixer without prefill, step"),
        (model("no.such.Layer"), "cannot be imported"),
        (ModuleConfig("own", "torch.nn.nothing"), "has no nothing"),
        (model(own("Stating"), stated_state_bits=5), "the modules do"),
        (model(own("Liar"), stated_state_bits=5), "every layer's state is measured"),
        (model(own("RunningMean"), state_bits_per_number=2), "layer 0 has no prefill and step"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_module_is_one_line(
    config: ModelConfig | ModuleConfig, message: str, small_run: RunConfig
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        check_run(replace(small_run, model=config))
    assert "\n" not in str(error.value)


def test_a_module_of_another_shape_is_refused_before_it_is_trained(small_run: RunConfig) -> None:
    with pytest.raises(ValueError, match=r"it maps \(2, 9, 8\) to \(2, 9, 4\)"):
        execute(replace(small_run, model=model(own("halving"))))
    with pytest.raises(ValueError, match=r"model\.module = 'torch\.nn\.Identity': it maps tokens"):
        execute(replace(small_run, model=ModuleConfig("own", "torch.nn.Identity")))


def test_what_needs_the_state_is_refused(small_run: RunConfig) -> None:
    run = replace(small_run, model=model(own("RunningMean")), test=EvalConfig(10, bits=(2,)))
    with pytest.raises(ValueError, match=r"test\.bits = \[2\]: the state of own cannot"):
        check_run(run)
    built = LanguageModel(model(own("RunningMean")), 12)
    with pytest.raises(ValueError, match="its state cannot be reached"):
        built.prefill(torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="takes no padding"):
        built(torch.zeros(1, 3, dtype=torch.int64), mask=torch.ones(1, 3, dtype=torch.bool))


@pytest.mark.parametrize("path", ["arguments", "stated_state_bits"])
def test_built_in_mixers_take_no_settings_of_modules(path: str) -> None:
    with pytest.raises(ValueError, match=f"model.{path}: it is for mixers given by import paths"):
        model("gru", **{path: {"x": 1} if path == "arguments" else 4})


def test_settings_of_modules_leave_ids_of_other_runs_as_they_are(small_run: RunConfig) -> None:
    assert run_id(small_run) == "84c1d92fd82296ae"
    plain = replace(small_run, model=model(own("RunningMean")))
    others = [model(own("RunningMean"), **x) for x in ({"arguments": {"dropout": 0.5}},)]
    assert len({run_id(replace(plain, model=other)) for other in [plain.model, *others]}) == 2


def test_a_module_with_buffers_and_dropout_resumes_as_if_never_interrupted(
    small_run: RunConfig, tmp_path: Path
) -> None:
    config = model(own("Stating"), "gru", own("RunningMean"), depth=3, arguments={})
    run = replace(small_run, model=config)
    random = torch.get_rng_state()
    whole = SequentialTrainer(run, torch.device("cpu"))
    for _ in range(6):
        whole.step()
    first = SequentialTrainer(run, torch.device("cpu"))
    for _ in range(3):
        first.step()
    checkpoint.save(tmp_path / "x.safetensors", first.snapshot(0, 1.0))
    snapshot = checkpoint.load(tmp_path / "x.safetensors", run)
    assert snapshot is not None
    assert list(snapshot.buffers) == ["layers.0.mixer.module.seen"]
    second = SequentialTrainer(run, torch.device("cpu"), snapshot)
    for _ in range(3):
        second.step()
    for name, tensor in whole.model(0).weights().items():
        torch.testing.assert_close(second.model(0).weights()[name], tensor, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)


def test_dropout_of_a_module_depends_on_seed_and_step_alone(small_run: RunConfig) -> None:
    config = model(own("RunningMean"), arguments={"dropout": 0.5})

    def trained() -> Tensor:
        torch.rand(3)  # whatever else draws
        trainer = SequentialTrainer(replace(small_run, model=config), torch.device("cpu"))
        trainer.step()
        trainer.step()
        return trainer.losses.clone()

    assert torch.equal(trained(), trained())


def test_weights_of_modules_are_kept_once_each_and_read_back(
    small_run: RunConfig, store: Store
) -> None:
    from torch import device

    run = replace(small_run, model=ModuleConfig("own", own("Whole")))
    trainer = SequentialTrainer(run, device("cpu"))
    trainer.step()
    kept = trainer.model(0)
    assert "module.tied.weight" not in kept.weights()
    result = RunResult(execute(run).slices, 1, 0.5, 1, 1, 1.0, state_source="unknown")
    store.write(
        run, result, device="cpu", weights={n: w.detach() for n, w in kept.weights().items()}
    )
    read = load_model(store.path, run_id(run))
    tokens = torch.randint(12, (2, 5))
    assert isinstance(read, WholeModel)
    assert torch.equal(read(tokens), kept(tokens))
    with pytest.raises(RuntimeError, match="is missing"):
        read.load_weights({})


def test_modules_train_in_the_sequential_mode_alone(small_run: RunConfig) -> None:
    from torch import device

    from sdsim.training.modes import throughput, trainers

    runs = [replace(small_run, model=model(own("RunningMean")), seed=seed) for seed in (0, 1)]
    with pytest.raises(ValueError, match="modules that are no Mixer train sequentially"):
        next(trainers("vmap", runs, device("cpu")))
    assert throughput("vmap", runs, device("cpu")) == 0
    mixers = [replace(run, model=model(own("Liar"))) for run in runs]
    assert next(trainers("vmap", mixers, device("cpu"))).steps_done == 0


def test_names_of_parameters_are_the_configs_or_usual_others() -> None:
    built = LanguageModel(model(own("AsInFla"), width=12), 12)
    assert "width 12" in repr(built)
    assert own_modules.AsInFla.__name__ in repr(built)
