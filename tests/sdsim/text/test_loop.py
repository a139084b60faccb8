"""A resumed run is an unbroken run: in one process, in two, from two to one."""

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sdsim.conf.compose import validate
from sdsim.models import LanguageModel
from sdsim.text.checkpoint import checkpoints
from sdsim.text.config import CorpusConfig, PretrainConfig
from sdsim.text.corpus import prepare
from sdsim.text.flops import training_flops
from sdsim.text.loop import _parameter_groups, pretrain
from sdsim.text.presets import PRESETS, Preset, preset_of
from sdsim.text.pretrained import PretrainedModel
from sdsim.text.run_folder import LOG, RUN, describe_run, trained_model

LOSS = "validation_loss"
SEQUENCE = {"seq_len": 32, "prefix_len": 16}


@pytest.fixture
def config(tmp_path: Path, corpus: CorpusConfig) -> PretrainConfig:
    return PretrainConfig(
        str(tmp_path / "run"),
        corpus,
        **SEQUENCE,
        steps=12,
        batch_size=4,
        lr=3e-3,
        warmup=0.2,
        threads=1,
        save_every=4,
        log_every=1,
        validate_every=6,
        validation_windows=3,
    )


def log(config: PretrainConfig) -> dict[tuple[int, str], float]:
    """Numbers by step and name, without those of speed."""
    lines = [json.loads(line) for line in (Path(config.out) / LOG).read_text().splitlines()]
    names = ("loss", "ntp", "mlm", "grad_norm", "lr", "validation_loss")
    numbers = [
        ((line["step"], name), line[name]) for line in lines for name in names if name in line
    ]
    assert len(dict(numbers)) == len(numbers), "each number once"
    return dict(numbers)


def weights(config: PretrainConfig) -> dict[str, torch.Tensor]:
    return load_file(Path(config.out) / "model" / "model.safetensors")


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


class StopError(Exception):
    """Training that is interrupted."""


def stop_after(step: int) -> Any:
    def stop(now: int, numbers: object) -> None:
        if now == step:
            raise StopError

    return stop


def test_it_learns_and_logs_how(config: PretrainConfig) -> None:
    longer = replace(config, steps=150, log_every=10)
    folder = pretrain(longer)
    numbers = log(longer)
    assert numbers[150, "validation_loss"] < 0.7 * numbers[10, "loss"]
    assert numbers[150, "lr"] < numbers[40, "lr"] < 3e-3
    last = json.loads((Path(config.out) / LOG).read_text().splitlines()[-2])
    assert last["tokens"] == 150 * 4 * 32
    assert last["tokens_per_second"] > 0
    assert 0.05 < last["memory_gb"] < 50
    model = PretrainedModel.from_pretrained(folder)
    assert (model.seq_len, model.prefix_len) == (32, 16)
    assert model.tokenizer().get_vocab_size() == 280
    assert model.vocab_size == 288


def test_the_learning_rate_rises_then_falls_to_its_minimum(config: PretrainConfig) -> None:
    pretrain(replace(config, steps=10))
    rates = [rate for (_, name), rate in log(replace(config, steps=10)).items() if name == "lr"]
    warmup = [3e-3 / 3, 3e-3 * 2 / 3]  # of 0.2 · 10 steps, then a cosine over eight
    cosine = [8e-5 + (3e-3 - 8e-5) * (1 + math.cos(math.pi * k / 8)) / 2 for k in range(8)]
    assert rates == pytest.approx([*warmup, *cosine])


def test_throughput_is_that_of_the_steps_alone(config: PretrainConfig) -> None:
    """Neither the log, nor validation, nor a checkpoint counts."""
    found: list[float] = []

    def slow(step: int, numbers: Mapping[str, float]) -> None:
        time.sleep(0.5)
        found.extend(value for name, value in numbers.items() if name == "tokens_per_second")

    pretrain(replace(config, save_every=3, validate_every=3), on_numbers=slow)
    assert len(found) == 12
    assert min(found[1:]) > 4 * 32 / 0.5, "the first step also warms up"


def test_an_interrupted_run_is_resumed(config: PretrainConfig) -> None:
    """Bit for bit: whatever step it stopped at, with or without a checkpoint there."""
    pretrain(config)
    for step in (3, 4, 6, 11):
        broken = replace(config, out=f"{config.out}-{step}", save_async=step == 6)
        with pytest.raises(StopError):
            pretrain(broken, on_numbers=stop_after(step))
        with (Path(broken.out) / LOG).open("a") as file:
            file.write('{"step": 3, "lo')  # as a crash may leave it
        pretrain(broken)
        assert log(broken) == log(config)
        assert_equal(weights(broken), weights(config))


def test_held_out_loss_ends_a_run(config: PretrainConfig) -> None:
    """At the first validation that is the second in a row without a new lowest loss."""
    patient = replace(config, steps=400, lr=0.3, min_lr=0.3, validate_every=2, stop_after=2)
    folder = pretrain(patient)
    losses = {step: loss for (step, name), loss in log(patient).items() if name == LOSS}
    last = max(losses)
    assert last < 400
    *before, first, second = losses.values()
    assert min(first, second) >= min(before)
    assert all(
        min(before[place : place + 2]) < min(before[:place]) for place in range(1, len(before))
    )
    before_again = (folder / "model.safetensors").read_bytes()
    assert pretrain(patient) == folder
    assert {step for step, _ in log(patient)} == {step for step, _ in log(patient) if step <= last}
    assert (folder / "model.safetensors").read_bytes() == before_again

    broken = replace(patient, out=f"{config.out}-broken")
    with pytest.raises(StopError):
        pretrain(broken, on_numbers=stop_after(last - 1))
    pretrain(broken)
    assert log(broken) == log(patient)
    assert_equal(weights(broken), weights(patient))


def test_a_batch_in_parts_is_the_batch(config: PretrainConfig) -> None:
    pretrain(config)
    parts = replace(config, out=f"{config.out}-parts", micro_batch_size=1, recompute=True)
    pretrain(parts)
    assert log(parts) == pytest.approx(log(config), rel=2e-4)


def test_what_is_done_is_not_done_again(config: PretrainConfig) -> None:
    folder = pretrain(config)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert pretrain(config, on_numbers=lambda *_: pytest.fail("no step is left")) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert [step for step, _ in checkpoints(Path(config.out) / "checkpoints")] == [8, 12]


def test_an_unfinished_run_can_be_used(config: PretrainConfig) -> None:
    with pytest.raises(StopError):
        pretrain(config, on_numbers=stop_after(9))
    early = trained_model(Path(config.out))
    folder = pretrain(config)
    late = trained_model(Path(config.out))
    assert not torch.equal(early.embedding.weight, late.embedding.weight)
    assert torch.equal(
        late.embedding.weight, PretrainedModel.from_pretrained(folder).embedding.weight
    )
    assert early.tokenizer().get_vocab_size() == 280
    with pytest.raises(ValueError, match="neither a model nor a checkpoint"):
        trained_model(Path(config.out).parent)


def command(config: PretrainConfig, processes: int, *settings: str) -> list[str]:
    """The same run by the command line, in so many processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    start = [sys.executable] if processes == 1 else [*launcher, f"--nproc-per-node={processes}"]
    corpus = config.corpus
    return [
        *(*start, "-m", "sdsim", "pretrain", f"out={config.out}", f"tokens={corpus.tokens}"),
        *(f"data={corpus.data[0]}", f"vocab_size={corpus.vocab_size}", "validation_every=10"),
        *(f"seq_len={config.seq_len}", f"prefix_len={config.prefix_len}"),
        *(f"steps={config.steps}", f"batch_size={config.batch_size}", f"lr={config.lr}"),
        *(f"min_lr={config.min_lr}", f"warmup={config.warmup}", "threads=1"),
        *(f"save_every={config.save_every}", "log_every=1", "validate_every=6"),
        *("validation_windows=3", *settings),
    ]


def run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def kill_at(words: list[str], config: PretrainConfig, step: int) -> None:
    """Start a run and kill all its processes once it has logged a step."""
    started = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    path = Path(config.out) / LOG
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and started.poll() is None:
        if path.exists() and f'"step": {step},' in path.read_text():
            break
        time.sleep(0.01)
    # torchrun's processes are sessions of their own, which a killed torchrun leaves behind.
    for process in (started.pid, *descendants(started.pid)):
        kill(process)
    assert started.wait() == -signal.SIGKILL, "it ended before it could be killed"


def kill(process: int) -> None:
    """Kill a process that may just have ended: a worker ends by itself once its launcher has."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def descendants(process: int) -> list[int]:
    """The processes that one has started, and those that they have, as Linux lists them."""
    found: list[int] = []
    # A process or thread may end meanwhile.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


@pytest.mark.slow
def test_a_killed_run_is_resumed(config: PretrainConfig) -> None:
    long = replace(config, steps=60, save_every=9)
    pretrain(long)
    killed = replace(long, out=f"{long.out}-killed")
    for step in (5, 20, 37):
        kill_at(command(killed, 1), killed, step)
    run(command(killed, 1))
    assert log(killed) == log(long)
    assert_equal(weights(killed), weights(long))


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_are_one(config: PretrainConfig, parallel: str) -> None:
    """Killed in two processes, resumed in two, then in one: the losses of one process alone.

    Two processes add up gradients in another order, hence the tolerance.
    """
    long = replace(config, steps=40, save_every=7)
    pretrain(long)
    two = replace(long, out=f"{long.out}-two")
    kill_at(command(two, 2, f"parallel={parallel}"), two, 16)
    more = ("save_async=true", "micro_batch_size=1")
    kill_at(command(two, 2, f"parallel={parallel}", *more), two, 31)
    assert checkpoints(Path(two.out) / "checkpoints")
    pretrain(two)
    assert log(two) == pytest.approx(log(long), rel=2e-3)
    for name, expected in weights(long).items():
        torch.testing.assert_close(weights(two)[name], expected, rtol=0, atol=3e-3, msg=name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 3, "micro_batch_size": 2}, "micro_batch_size = 2: must divide the 3"),
        ({"micro_batch_size": 0}, "micro_batch_size = 0: must be greater than or equal to 1"),
        ({"steps": 0}, "steps = 0: must be greater than or equal to 1"),
        ({"lr": -1.0}, "lr = -1.0: must be greater than 0"),
        ({"min_lr": 1.0}, "min_lr = 1.0: must lie between 0 and lr = 0.003"),
        ({"warmup": 1.0}, "warmup = 1.0: must be less than 1"),
        ({"beta2": 1.0}, "beta2 = 1.0: must be less than 1"),
        ({"seq_len": 1}, "seq_len = 1: must be greater than or equal to 2"),
        ({"prefix_len": -1}, "prefix_len = -1: must be greater than or equal to 0"),
        ({"peak_tflops": 0}, "peak_tflops = 0: must be greater than 0"),
        ({"dtype": "float16"}, "dtype = 'float16': must be 'float32' or 'bfloat16'"),
        ({"parallel": "tp"}, "parallel = 'tp': must be 'ddp' or 'fsdp'"),
        ({"prefix_len": 32}, "prefix_len = 32: must lie between 0 and seq_len - 1 = 31"),
        ({"preset": "jrt_7b"}, "preset = 'jrt_7b': one of jrt_360m"),
        ({"seq_len": 100_000, "prefix_len": 5}, "fewer than a sequence of seq_len = 100000"),
        ({"seed": -1}, "seed = -1: must be greater than or equal to 0"),
    ],
)
def test_errors_before_any_work(
    config: PretrainConfig, settings: dict[str, Any], message: str
) -> None:
    def too_late(step: int, numbers: object) -> None:
        pytest.fail(f"step {step} was taken")

    with pytest.raises(ValueError, match=message):
        pretrain(validate(PretrainConfig, asdict(config) | settings), on_numbers=too_late)


def test_an_unknown_preset_is_refused_at_once(config: PretrainConfig) -> None:
    with pytest.raises(ValueError, match="preset = 'jrt_7b': one of jrt_360m"):
        replace(config, preset="jrt_7b")


def test_processes_must_divide_the_batch(config: PretrainConfig) -> None:
    with pytest.raises(ValueError, match="batch_size = 4: must be a multiple of the 3 processes"):
        config.accumulation(3)
    assert config.accumulation(2) == (2, 1)
    assert replace(config, micro_batch_size=1).accumulation(2) == (1, 2)


def test_a_folder_holds_one_run(config: PretrainConfig) -> None:
    with pytest.raises(StopError):
        pretrain(config, on_numbers=stop_after(5))
    with pytest.raises(ValueError, match=r"another run, with lr = 0\.003 rather than 0\.001"):
        pretrain(replace(config, lr=1e-3))
    path = checkpoints(Path(config.out) / "checkpoints")[-1][1]
    (shard,) = path.glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"step-00000004 is damaged"):
        pretrain(config)


def test_a_run_is_identified_as_before(config: PretrainConfig) -> None:
    """Other keys, or other values for the same run, and a run begun earlier is not resumed."""
    with pytest.raises(StopError):
        pretrain(config, on_numbers=stop_after(1))
    stored = json.loads((Path(config.out) / RUN).read_text())
    assert stored.keys() == {"config", "tokens", "corpus", "model"}
    objective = {"ntp_weight": 1.0, "mlm_weight": 0.25, "mask_share": 0.15, "weighting": "paper"}
    assert stored["config"] == {
        "objective": objective,
        "preset": "jrt_tiny",
        "seq_len": 32,
        "prefix_len": 16,
        "steps": 12,
        "batch_size": 4,
        "lr": 3e-3,
        "min_lr": 8e-5,
        "warmup": 0.2,
        "beta1": 0.9,
        "beta2": 0.95,
        "eps": 1e-8,
        "weight_decay": 0.1,
        "clip_norm": 1.0,
        "seed": 0,
    }
    assert stored["corpus"].keys() == {"tokenizer", "train", "validation", "text"}
    assert stored["model"].keys() == {
        *("model", "vocab_size", "seq_len", "prefix_len", "token_count")
    }
    del stored["corpus"]["text"], stored["model"]["token_count"]  # as runs of earlier versions
    (Path(config.out) / RUN).write_text(json.dumps(stored))
    assert_resumes(config)


def assert_resumes(config: PretrainConfig) -> None:
    pretrain(config)
    model = trained_model(Path(config.out))
    assert model.tokenizer().get_vocab_size() == 280
    assert max(model.token_ids()) == 279


def test_a_run_is_not_resumed_on_another_text(config: PretrainConfig, tmp_path: Path) -> None:
    """Of as many tokens, as one digit for another gives."""
    source = tmp_path / "text.jsonl"
    source.write_text(Path(config.corpus.data[0]).read_text())
    tokens = str(tmp_path / "tokens")
    corpus = replace(
        config.corpus, tokens=tokens, data=(str(source),), tokenizer=config.corpus.tokens
    )
    other = replace(config, corpus=corpus)
    with pytest.raises(StopError):
        pretrain(other, on_numbers=stop_after(1))
    source.write_text(source.read_text().replace(" 7.", " 8."))
    with pytest.raises(ValueError, match="holds tokens of other text"):
        pretrain(other)
    shutil.rmtree(tokens)
    with pytest.raises(ValueError, match="the folder holds a run on another corpus"):
        pretrain(other)


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json", "config.json", "*"])
def test_a_finished_model_that_lost_a_file_gets_it_back(config: PretrainConfig, lost: str) -> None:
    folder = pretrain(config)
    expected = weights(config)
    kept = folder / "README.md"
    kept.write_text("mine")
    for path in folder.glob(lost):
        if path != kept:
            path.unlink()
    assert_equal(dict(trained_model(folder.parent).state_dict()), expected)
    assert pretrain(config) == folder
    assert_equal(weights(config), expected)
    assert_resumes(config)
    assert kept.read_text() == "mine"
    assert {
        path.name for path in folder.parent.iterdir() if path.name.startswith(".model")
    } == set()


def test_any_text_of_a_few_sequences_trains(config: PretrainConfig, tmp_path: Path) -> None:
    source = tmp_path / "one.txt"
    source.write_text("A text that is not long, but long enough. " * 12)
    corpus = CorpusConfig(str(tmp_path / "tokens"), (str(source),), vocab_size=257)
    small = replace(config, corpus=corpus)
    pretrain(small)
    assert log(small)[12, "validation_loss"] > 0


def alive(process: int) -> bool:
    """Whether a process runs, as Linux says; one that has ended may wait for its parent."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("after", ["start", "step", "end"])
def test_workers_end_with_their_launcher(config: PretrainConfig, after: str) -> None:
    """Killed alone, whenever it is: its workers end too, and the same command goes on."""
    long = replace(config, steps=40 if after == "end" else 100_000, save_every=20)
    path = Path(long.out) / LOG
    wanted = {"step": '"step": 5,', "end": '"step": 40,', "start": None}[after]
    output = Path(f"{long.out}-output")
    with output.open("w") as kept:
        started = subprocess.Popen(command(long, 2), stdout=kept, stderr=kept)
    deadline = time.monotonic() + 120
    workers: list[int] = []
    while time.monotonic() < deadline and started.poll() is None:
        workers = descendants(started.pid) or workers
        if len(workers) >= 2 and wanted is None:
            break
        if wanted is not None and path.exists() and wanted in path.read_text():
            break
        time.sleep(0.01)
    started.kill()
    assert started.wait() == -signal.SIGKILL, f"it ended by itself: {output.read_text()[-3000:]}"
    assert len(workers) >= 2
    # Those that were killed while they imported torch end once they have.
    deadline = time.monotonic() + (40 if after == "start" else 10)
    while time.monotonic() < deadline and any(map(alive, workers)):
        time.sleep(0.1)
    left = [worker for worker in workers if alive(worker)]
    for worker in left:
        kill(worker)
    assert not left
    before = path.read_text() if path.exists() else ""
    time.sleep(0.5)
    assert before == (path.read_text() if path.exists() else ""), "nobody writes"
    steps = [json.loads(line)["step"] for line in before.splitlines() if "lr" in json.loads(line)]
    assert steps == sorted(set(steps))


def test_fields_that_were_added_identify_a_run_where_they_are_not_the_default(
    config: PretrainConfig,
) -> None:
    with pytest.raises(StopError):
        pretrain(config, on_numbers=stop_after(1))
    released = replace(config.objective, form="released")
    with pytest.raises(ValueError, match=r"another run, with objective = \{.*'form': 'paper'"):
        pretrain(replace(config, objective=released))
    with pytest.raises(ValueError, match="with decay_embedding = True rather than False"):
        pretrain(replace(config, decay_embedding=False))
    other = replace(config, out=config.out + "-other", decay_norms=True, objective=released)
    with pytest.raises(StopError):
        pretrain(other, on_numbers=stop_after(1))
    with pytest.raises(ValueError, match="with decay_norms = True rather than False"):
        pretrain(replace(other, decay_norms=False))
    with pytest.raises(ValueError, match=r"'form': 'released'.* rather than .*'form': 'paper'"):
        pretrain(replace(other, objective=config.objective))


def test_the_released_form_is_trained_and_resumed(config: PretrainConfig) -> None:
    released = replace(config, objective=replace(config.objective, form="released"))
    pretrain(released)
    again = replace(released, out=config.out + "-again")
    with pytest.raises(StopError):
        pretrain(again, on_numbers=stop_after(6))
    pretrain(again)
    assert log(again) == log(released)
    assert_equal(weights(again), weights(released))
    with pytest.raises(ValueError, match=r"prefix_len = 31: must lie between 0 and seq_len - 2"):
        replace(released, prefix_len=31)


def test_two_do_not_train_in_one_folder(config: PretrainConfig) -> None:
    def again(*_: object) -> None:
        with pytest.raises(ValueError, match="another process is training there"):
            pretrain(config)
        raise StopError

    with pytest.raises(StopError):
        pretrain(config, on_numbers=again)


def test_a_loss_that_is_not_finite_ends_the_run(config: PretrainConfig) -> None:
    with pytest.raises(RuntimeError, match="diverged at step"):
        pretrain(replace(config, lr=1e30, min_lr=0, clip_norm=1e30, warmup=0))
    assert not (Path(config.out) / "model").exists()


def test_processes_that_begin_a_run_together_do_not_meet_half_of_it(
    config: PretrainConfig, tmp_path: Path
) -> None:
    """The first ones write which run the folder holds while the others ask."""
    corpus = prepare(config.corpus)
    with ThreadPoolExecutor(8) as pool:
        for number in range(12):
            begun = replace(config, out=str(tmp_path / f"begun-{number}"))
            for done in [pool.submit(describe_run, begun, corpus) for _ in range(8)]:
                done.result()


def test_what_is_not_finite_is_never_saved(config: PretrainConfig) -> None:
    """Nor does it push out a good checkpoint."""
    broken = replace(config, lr=1e30, min_lr=0, clip_norm=1e30, warmup=0, save_every=1, log_every=9)
    with pytest.raises(RuntimeError, match="diverged at step"):
        pretrain(broken)
    for _, path in checkpoints(Path(config.out) / "checkpoints"):
        (shard,) = path.glob("*.safetensors")
        assert all(tensor.isfinite().all() for tensor in load_file(shard).values())


def test_what_is_written_in_the_background_is_there_soon(config: PretrainConfig) -> None:
    seen: list[list[int]] = []

    def look(step: int, _: object) -> None:
        time.sleep(0.2)
        seen.append([number for number, _ in checkpoints(Path(config.out) / "checkpoints")])

    pretrain(replace(config, save_async=True, save_every=6, validate_every=12), on_numbers=look)
    assert seen[5] == []
    assert [6] in seen[6:9], "not only when the next one is saved"


def test_biases_and_norms_do_not_decay(
    config: PretrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    adamw = torch.optim.AdamW
    monkeypatch.setattr(
        torch.optim, "AdamW", lambda groups, **k: made.append(groups) or adamw(groups, **k)
    )
    pretrain(replace(config, steps=1))
    decaying, other = made[0]
    assert decaying["weight_decay"] == 0.1
    assert other["weight_decay"] == 0
    assert all(parameter.ndim > 1 for parameter in decaying["params"])
    assert {parameter.ndim for parameter in other["params"]} == {1}


@pytest.mark.parametrize("norms", [False, True])
@pytest.mark.parametrize("embedding", [False, True])
def test_the_decay_of_norms_and_embedding_can_be_chosen(
    config: PretrainConfig, norms: bool, embedding: bool
) -> None:
    chosen = replace(config, decay_norms=norms, decay_embedding=embedding)
    preset = preset_of(config.preset)
    model = PretrainedModel(asdict(preset.config), 64, preset.seq_len, preset.prefix_len)
    decaying, other = (
        {id(parameter) for parameter in group["params"]}
        for group in _parameter_groups(model, chosen)
    )
    assert not decaying & other
    for name, parameter in model.named_parameters():
        decays = "bias" not in name
        if "norm" in name:
            decays = norms
        if "embedding" in name:
            decays = embedding
        assert (id(parameter) in decaying) == decays, name
        assert (id(parameter) in other) != decays, name


def test_the_flops_of_a_transformer_are_the_usual_count() -> None:
    """6 per weight and token, and 6·N·width for each layer's causal attention."""
    with torch.device("meta"):
        preset: Preset = PRESETS["transformer_360m"]
        model = LanguageModel(preset.config, preset.vocab_size)
    count = sum(parameter.numel() for parameter in model.parameters())
    usual = 6 * count * 2048 + 24 * 6 * 1024 * 2048**2
    assert training_flops(model, 2048, 0, 2048) == pytest.approx(usual, rel=1e-3)


def test_activations_are_checkpointed_on_request(config: PretrainConfig) -> None:
    calls: list[int] = []

    class Counting(nn.Module):
        def forward(self, h: torch.Tensor, *_: object) -> torch.Tensor:
            calls.append(1)
            return h.sin()

    preset = PRESETS["jrt_tiny"]
    model = LanguageModel(preset.config, 16)
    model.layers = nn.ModuleList([Counting()])
    for recompute, expected in ((False, 1), (True, 2)):
        calls.clear()
        model.activation_checkpointing = recompute
        model(torch.zeros(1, 4, dtype=torch.int64)).sum().backward()
        assert len(calls) == expected
    assert math.isfinite(float(model.embedding.weight.grad.sum()))
