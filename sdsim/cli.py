"""The `sdsim` command: one word says what to do, Hydra overrides say how."""

from __future__ import annotations

import difflib
import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import hydra
import polars as pl
import torch
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from rich.logging import RichHandler
from rich.table import Table

import sdsim
from sdsim import conf, results
from sdsim.bench import Report, bench, load_reports, notes, shown
from sdsim.bench_config import BenchConfig, What
from sdsim.console import Bar, as_table, console, errors
from sdsim.generate import Sampling, Strategy, generate_text
from sdsim.models.config import STRICT
from sdsim.models.pretrained import load_pretrained
from sdsim.models.released import import_released
from sdsim.pretrain.corpus import prepare
from sdsim.pretrain.loop import check_ready, pretrain, trained
from sdsim.pretrain.processes import is_first
from sdsim.pretrain.tokenizer import end_of_text, load_tokenizer
from sdsim.run import Conditions, execute_all
from sdsim.sweep import apart, run_one, sweep
from sdsim.tracking import tracked
from sdsim.train import check_device
from sdsim.upgrade import upgrade
from theory.claims.verify import CLAIMS, verify
from theory.memory import memory_needs

OVERVIEW = """\
sdsim: how much must a recurrent model remember, and what has the order of its input to do with it?

  sdsim sweep            train a grid of small models (order by state size), store every run
  sdsim figures          draw every figure from stored runs, and print their table
  sdsim train            train one model, or a few
  sdsim theory bounds    print the bits that disjointness takes: bounds and algorithms
  sdsim theory verify    run every numbered claim of the theory on many instances
  sdsim theory figures   draw memory over time and against order, as theory has it
  sdsim pretrain         train a model on text, of up to 1.3B parameters
  sdsim generate         continue prompts with such a model
  sdsim import           read one of the paper's released checkpoints
  sdsim confirm          the full-scale layouts on disjointness and recall, and their speed
  sdsim bench            measure the generator, and attention: prefill, decoding, training
  sdsim upgrade          rewrite runs that an earlier version stored

  sdsim COMMAND --help         what it does, examples, every setting
  sdsim COMMAND --cfg job      the settings as they would be used
  sdsim --version

Invalid input ends in one line and exit code 2; with HYDRA_FULL_ERROR=1 set, in a traceback.
"""

SHOWN = (
    *("model", "size_a", "size_b", "order", "state_bytes", "chance"),
    *("accuracy", "accuracy_low", "accuracy_high", "above_chance", "loss"),
)
"""Columns of a run's table, a row per pair of sizes."""

_FULL_ERROR = "HYDRA_FULL_ERROR"
_MULTIRUN = ("-m", "--multirun")
_QUESTIONS = ("-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "--resolve")
_KEPT = ": finished runs are stored, the same command does the others"
_AFTER_INTERRUPTION = {
    "sweep": _KEPT,
    "train": _KEPT,
    "pretrain": ": the same command goes on from the newest checkpoint",
}
FAILURE, USAGE_ERROR, INTERRUPTED = 1, 2, 130


def main() -> None:
    """Entry point. Exits with 0, 1 (a run failed), 2 (invalid input) or 130 (Ctrl-C)."""
    # What the hub has to say, errors say.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=errors, show_time=False, show_path=False)],
    )
    sys.exit(_dispatch(sys.argv[1:]))


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        console.print(OVERVIEW, end="", markup=False)
        return 0
    if words[0] == "--version":
        console.print(f"sdsim {sdsim.__version__}, torch {torch.__version__}")
        return 0
    name, *arguments = words
    if name == "theory" and arguments and f"theory {arguments[0]}" in COMMANDS:
        name = f"theory {arguments.pop(0)}"
    if name not in COMMANDS:
        hint = _did_you_mean(" ".join(words[:2]) if name == "theory" else name, COMMANDS)
        errors.print(f"sdsim: {name} is no command{hint} There are {', '.join(COMMANDS)}.")
        return USAGE_ERROR
    debugging = os.environ.get(_FULL_ERROR) == "1"
    try:
        _run(name, arguments)
    except KeyboardInterrupt:
        errors.print(f"interrupted{_AFTER_INTERRUPTION.get(name, '')}")
        return INTERRUPTED
    except (ValueError, RuntimeError, OSError) as error:
        if debugging:
            raise
        errors.print(f"sdsim {name}: {_one_line(error)}")
        return USAGE_ERROR if isinstance(error, ValueError) else FAILURE
    return 0


def _run(name: str, arguments: list[str]) -> None:
    """Run one command as a Hydra application; what is wrong comes out as an exception."""
    conf.register()
    flags = [word for word in arguments if word.startswith("-")]
    many = [flag for flag in flags if flag in _MULTIRUN]
    unknown = [flag for flag in flags if flag.split("=")[0] not in (*_MULTIRUN, *_QUESTIONS)]
    removed = [word for word in arguments if word.startswith("~")]
    if unknown or removed or (many and name not in ("sweep", "train")):
        raise ValueError(f"{' '.join(unknown + removed or many)}: settings are given as key=value")
    overrides = [word for word in arguments if word not in _MULTIRUN]
    if name == "bench":  # `sdsim bench sweep` for `sdsim bench what=[sweep]`
        words = [word for word in overrides if word in get_args(What)]
        overrides = [word for word in overrides if word not in words]
        overrides += [f"what=[{','.join(words)}]"] if words else []
    is_sweep = name == "sweep" or bool(many)
    try:
        if is_sweep and len(flags) == len(many):
            store, stored, runs = sweep(name, overrides)
            _say_what_is_done(store.path, stored, runs)
        else:
            _run_once(name, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(_explain(error, name)) from error


def _say_what_is_done(store: Path, stored: int, runs: int) -> None:
    if not runs:
        console.print("this shard has no run: the grid has fewer settings than shards")
        return
    which = "all runs are" if stored == runs else f"in time, {stored} of {runs} runs are"
    draws = f"; `sdsim figures store={store}` draws" if stored else ""
    console.print(f"{which} in {store}{draws}")
    if stored < runs:
        console.print("the same command goes on with the others")


def _run_once(name: str, arguments: list[str]) -> None:
    failures: list[Exception] = []

    def task(composed: DictConfig) -> None:
        # Kept from Hydra, whose report of a failed job adds lines of its own.
        try:
            COMMANDS[name](composed)
        except (ValueError, RuntimeError, OSError) as error:
            failures.append(error)

    file = _config_file(name)
    application = hydra.main(version_base="1.3", config_path=conf.SEARCH_PATH, config_name=file)
    before = os.environ.get(_FULL_ERROR)
    os.environ[_FULL_ERROR] = "1"  # else Hydra prints errors itself, and exits
    sys.argv = [f"sdsim {name}", *arguments]
    try:
        application(task)()
    finally:
        os.environ.pop(_FULL_ERROR) if before is None else os.environ.update({_FULL_ERROR: before})
    if failures:
        raise failures[0]


def _explain(error: Exception, command: str) -> str:
    """What is wrong with the overrides, without Hydra's advice on writing Hydra applications."""
    cause = error.__cause__
    key = getattr(cause, "full_key", None)
    if key and isinstance(cause, (ConfigAttributeError, ConfigKeyError)):
        hint = _did_you_mean(key, _settings(command))
        return f"{key} is no setting of this command{hint} `sdsim {command} --help` lists them."
    said = str(error).split("Config search path")[0].split("See https")[0]
    if "submitit_" in said:
        return "hydra/launcher=slurm needs submitit: pip install 'sdsim[slurm]'"
    reason = "" if cause is None else f": {str(cause).splitlines()[0]}"
    return _one_line(ValueError(said + reason))


def _settings(command: str) -> list[str]:
    with hydra.initialize_config_module("sdsim.conf", version_base="1.3"):
        return list(_leaves(hydra.compose(_config_file(command))))


def _config_file(command: str) -> str:
    return command.replace(" ", "_")


def _leaves(node: DictConfig, path: str = "") -> Iterator[str]:
    for key, value in node.items():
        name = f"{path}{key!s}"
        if isinstance(value, DictConfig):
            yield from _leaves(value, f"{name}.")
        else:
            yield name


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else "."


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _train(composed: DictConfig) -> None:
    job = conf.parse_job(composed)
    store = results.Store(job.store)
    check_device(job.device)
    job.tracking.check()
    store.check_writable()
    store.check_current()
    identities = [results.run_id(run) for run in job.runs]
    missing = [run for run in job.runs if results.run_id(run) not in store]
    torch.set_num_threads(job.threads)
    with Bar("training", "steps") as bar, tracked(job.tracking, store.path) as log:
        conditions = Conditions(
            torch.device(job.device),
            store.checkpoint,
            job.deadline,
            on_step=lambda done: bar.show(done, job.train.steps),
            track=log,
        )
        for run, result in execute_all(missing, conditions):
            store.write(run, result, device=job.device)
    if not all(identity in store for identity in identities):
        console.print("the deadline came first; the same command goes on from there")
        return
    there = "are there already" if not missing else "are stored"
    console.print(f"{', '.join(str(store.path / one) for one in identities)} {there}:")
    table = results.load(store.path).filter(pl.col("run_id").is_in(identities))
    console.print(as_table(table.select(SHOWN)))


@dataclass(frozen=True)
class FiguresConfig:
    """Settings of ``sdsim figures``.

    Attributes:
        store: the runs to read.
        bench: a folder that ``sdsim bench`` wrote, to be drawn instead.
        out: where to draw; None: into ``<store>/figures``, or `bench` itself.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    store: str
    out: str | None
    bench: str | None


def _figures(composed: DictConfig) -> None:
    # Here alone may the simulator look up at the figures.

    config = conf.parse(FiguresConfig, composed)
    if config.bench is not None:
        reports, out = load_reports(Path(config.bench)), Path(config.out or config.bench)
        results.check_writable(out, "out")
        _draw_reports(reports, out)
        return
    _show_figures(config.store, config.out)


def _show_figures(store: str, folder: str | None) -> None:
    import figures

    table = results.load(store)
    out = Path(folder or Path(store, "figures"))
    results.check_writable(out, "out")
    console.print(as_table(figures.summary_table(table)))
    for path in figures.draw_all(table, out):
        console.print(str(path), soft_wrap=True)


def _bench(composed: DictConfig) -> None:
    _measure(conf.parse(BenchConfig, composed))


def _measure(config: BenchConfig) -> None:
    check_device(config.device)
    out = None if config.out is None else Path(config.out)
    if out is not None:
        results.check_writable(out, "out")
    for what in config.what:
        with Bar(f"measuring {what}", "cases") as bar:
            report = bench(config, what, bar.show)
        console.print(as_table(shown(report), report.title))
        for line in notes(report):
            console.print(line, soft_wrap=True, markup=False)
        if out is not None:
            for path in report.save(out):
                console.print(str(path), soft_wrap=True)
            _draw_reports([report], out)


def _draw_reports(reports: list[Report], out: Path) -> None:
    import figures

    for report in reports:
        if report.what in ("generation", "sweep"):  # a table says it all
            continue
        for path in figures.draw_bench(report.what, report.title, report.table, out):
            console.print(str(path), soft_wrap=True)


@dataclass(frozen=True)
class ConfirmConfig:
    """Settings of ``sdsim confirm``; see its ``--help``."""

    __pydantic_config__: ClassVar[Any] = STRICT

    scale: Literal["tiny", "360m"]
    store: str
    device: str
    threads: int
    lengths: tuple[int, ...]
    batch: int
    dtype: Literal["float32", "bfloat16"]
    repeats: int
    overrides: tuple[str, ...]


def _confirm(composed: DictConfig) -> None:
    config = conf.parse(ConfirmConfig, composed)
    measured = BenchConfig(
        what=("model_prefill", "model_decode"),
        presets=tuple(f"{kind}_{config.scale}" for kind in ("jrt", "based", "transformer")),
        lengths=config.lengths,
        batches=(config.batch,),
        dtype=config.dtype,
        device=config.device,
        threads=config.threads,
        repeats=config.repeats,
        out=str(Path(config.store, "figures")),
    )
    places = [f"sweep=confirm_{config.scale}", f"store={config.store}", f"device={config.device}"]
    alone = ["hydra.launcher.n_jobs=1"] if config.device != "cpu" else []
    with apart():
        store, stored, runs = sweep("sweep", [*places, *alone, *config.overrides])
    _say_what_is_done(store.path, stored, runs)
    if stored < runs:
        return
    _measure(measured)
    _show_figures(config.store, None)


@dataclass(frozen=True)
class BoundsConfig:
    """Settings of ``sdsim theory bounds``; see `theory.memory_needs`."""

    __pydantic_config__: ClassVar[Any] = STRICT

    universe: int
    size_a: int
    size_b: int
    passes: int
    error: float


def _theory_bounds(composed: DictConfig) -> None:
    config = conf.parse(BoundsConfig, composed)
    error = Fraction(str(config.error))
    needs = memory_needs(config.universe, config.size_a, config.size_b, config.passes, error)
    title = (
        f"Bits to decide whether A meets B; n = {config.universe}, |A| = {config.size_a}, "
        f"|B| = {config.size_b}"
    )
    console.print(as_table(pl.DataFrame([asdict(need) for need in needs], strict=False), title))


def _theory_verify(composed: DictConfig) -> None:
    verdicts = []
    with Bar("verifying", "claims") as bar:
        for verdict in verify():
            verdicts.append(verdict)
            bar.show(len(verdicts), len(CLAIMS))
    table = Table()
    for name in ("claim", "what was checked", "on", "instances", "verdict", "seconds"):
        table.add_column(name, justify="right" if name in ("instances", "seconds") else "left")
    for one in verdicts:
        outcome = "holds" if one.holds else "FAILS"
        row = (one.claim, one.statement, one.scope, f"{one.instances:,}", outcome)
        table.add_row(*row, f"{one.seconds:.1f}")
    console.print(table)
    failed = [one.claim for one in verdicts if not one.holds]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(verdicts)} claims fail: {', '.join(failed)}")
    console.print(f"all {len(verdicts)} claims hold")


@dataclass(frozen=True)
class TheoryFiguresConfig:
    """Settings of ``sdsim theory figures``: the folder to draw into."""

    __pydantic_config__: ClassVar[Any] = STRICT

    out: str


def _theory_figures(composed: DictConfig) -> None:
    import figures

    config = conf.parse(TheoryFiguresConfig, composed)
    results.check_writable(Path(config.out), "out")
    for path in figures.draw_theory(config.out):
        console.print(str(path), soft_wrap=True)


@dataclass(frozen=True)
class UpgradeConfig:
    """Settings of ``sdsim upgrade``: the store."""

    __pydantic_config__: ClassVar[Any] = STRICT

    store: str


def _upgrade(composed: DictConfig) -> None:
    config = conf.parse(UpgradeConfig, composed)
    rewritten = upgrade(config.store)
    console.print(f"{rewritten} runs of an earlier version rewritten in {config.store}")


def _pretrain(composed: DictConfig) -> None:
    config = conf.parse_pretrain(composed)
    check_device(config.device)
    for place, name in ((config.out, "out"), (config.corpus.tokens, "tokens")):
        results.check_writable(Path(place), name)
    check_ready(config)  # before hours of making tokens
    if not is_first():
        pretrain(config)
        return
    with Bar("tokens", "documents") as bar:
        corpus = prepare(config.corpus, on_documents=lambda done: bar.show(done, done))
    console.print(
        f"{corpus.tokens('train'):,} tokens to train on, {corpus.tokens('validation'):,} held out "
        f"({corpus.unigram_entropy('validation'):.3f} nats by their frequencies alone), "
        f"{corpus.vocab_size:,} in the vocabulary"
    )

    def show(step: int, numbers: Mapping[str, float]) -> None:
        words = [f"{name.replace('_', ' ')} {_short(number)}" for name, number in numbers.items()]
        console.print(f"step {step:,} of {config.steps:,}: {', '.join(words)}", soft_wrap=True)

    folder = pretrain(config, on_numbers=show)
    console.print(f"the model is in {folder}; `sdsim generate checkpoint={folder}` asks it")


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


@dataclass(frozen=True)
class GenerateConfig:
    """Settings of ``sdsim generate``; see `sdsim.generate`."""

    __pydantic_config__: ClassVar[Any] = STRICT

    checkpoint: str
    prompt: tuple[str, ...]
    strategy: Strategy
    stop: tuple[str, ...]
    allow_longer: bool
    device: str
    threads: int
    sampling: Sampling


def _generate(composed: DictConfig) -> None:
    config = conf.parse_generate(GenerateConfig, composed)
    check_device(config.device)
    torch.set_num_threads(config.threads)
    path = Path(config.checkpoint)
    unfinished = path.is_dir() and not (path / "config.json").exists()
    model = trained(path) if unfinished else load_pretrained(config.checkpoint)
    tokenizer = model.tokenizer()
    pieces = generate_text(
        model.eval().to(config.device),
        tokenizer,
        config.prompt,
        config.sampling,
        strategy=config.strategy,
        stop=config.stop,
        end=end_of_text(tokenizer),
        allow_longer=config.allow_longer,
    )
    if len(config.prompt) == 1:
        first = next(pieces, (0, ""))  # what is wrong with the prompt comes out before it
        sys.stdout.write(config.prompt[0])
        for _, text in itertools.chain([first], pieces):
            sys.stdout.write(text)
            sys.stdout.flush()
        sys.stdout.write("\n")
        return
    texts = list(config.prompt)
    for row, text in pieces:
        texts[row] += text
    for number, text in enumerate(texts, 1):
        console.print(f"[{number}] {text}", markup=False, soft_wrap=True)


@dataclass(frozen=True)
class ImportConfig:
    """Settings of ``sdsim import``; see `sdsim.models.released.import_released`."""

    __pydantic_config__: ClassVar[Any] = STRICT

    checkpoint: str
    preset: str
    out: str
    tokenizer: str
    window: int | None
    allow_pickle: bool


def _import(composed: DictConfig) -> None:
    config = conf.parse(ImportConfig, composed)
    out = Path(config.out)
    results.check_writable(out, "out")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"out = {config.out!r}: the folder is not empty")
    tokenizer = load_tokenizer(config.tokenizer)
    model = import_released(
        config.checkpoint, config.preset, window=config.window, allow_pickle=config.allow_pickle
    )
    model.save_with(tokenizer, out)
    count = sum(parameter.numel() for parameter in model.parameters())
    console.print(f"{count:,} parameters are in {out}; `sdsim generate checkpoint={out}` asks them")


COMMANDS: dict[str, Callable[[DictConfig], object]] = {
    "sweep": run_one,  # of each job; `sweep` makes the jobs
    "figures": _figures,
    "train": _train,
    "pretrain": _pretrain,
    "generate": _generate,
    "import": _import,
    "confirm": _confirm,
    "bench": _bench,
    "theory bounds": _theory_bounds,
    "theory verify": _theory_verify,
    "theory figures": _theory_figures,
    "upgrade": _upgrade,
}


if __name__ == "__main__":
    main()
