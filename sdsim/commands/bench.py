"""`sdsim bench`: how fast things are on this machine, side by side with their baselines."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from omegaconf import DictConfig

from sdsim.bench.config import BenchConfig, What
from sdsim.commands.command import Command
from sdsim.commands.console import Bar, as_table, console, print_paths
from sdsim.commands.figures import draw_reports
from sdsim.conf import defaults_of
from sdsim.conf.compose import parse
from sdsim.display import shown
from sdsim.files import check_writable

if TYPE_CHECKING:
    from sdsim.bench.report import Report

HELP = """\
sdsim bench: measure on this machine, side by side: medians and quartiles of several calls.

  sdsim bench generation    examples per second, against a loop over examples
  sdsim bench prefill       prefix linear attention over whole prompts, beside its quadratic form,
                            Based, JRT-Prompt (2N tokens), softmax attention and, where it is
                            installed, flash-linear-attention
  sdsim bench decode        one token after N others
  sdsim bench train         forward and backward pass
  sdsim bench sweep threads=1 workers=2 settings=2
                            training steps of a preset's runs: one by one, and as ensembles of
                            `members`; and what the whole preset would take
  sdsim bench sweep preset=paper device=cuda
  sdsim bench model_prefill 'lengths=[1024,2048,4096,8192]'
                            whole models of `presets`; also model_decode, model_train
  sdsim bench model_train 'lengths=[2048]' 'batches=[16]' device=cuda dtype=bfloat16 \\
      'presets=[jrt_360m,based_360m,transformer_360m]' out=results/bench/h100
  sdsim bench prefill 'batches=[2,4,8,16,32,64]' 'lengths=[16384]' device=cuda dtype=bfloat16 \\
      out=results/bench/h100

Lengths are N; the encoder reads N/2 of them. With `out`, the numbers are kept there as JSON and
CSV, and drawn; `sdsim figures bench=<folder>` draws them again.

With `out`, a sweep is kept after each case and may be stopped at any time (Ctrl-C, kill -9): the
same command resumes it from the first ensemble that is not complete. A complete one is printed and
not measured again, unless you delete <out>/sweep.json. A sweep of other settings, or of another
device, needs a folder of its own. The other benchmarks are kept at their end, and always measured.
"""


def run(config: BenchConfig) -> None:
    """Measure, print, and keep what was asked for."""
    from sdsim.bench.report import display_table, notes, resumable
    from sdsim.training.device import check_device

    check_device(config.device)
    out = None if config.out is None else Path(config.out)
    if out is not None:
        check_writable(out, "out")
    stored = {what: resumable(config, what) for what in config.what}
    for what in config.what:
        before = stored[what]
        if before is not None and not before.is_complete:
            console.print(f"{_kept(config, before)}; measuring the rest", soft_wrap=True)
        report = _measure(config, what)
        console.print(as_table(display_table(report), report.title))
        for line in notes(report):
            console.print(line, soft_wrap=True)
        if before is not None and before.is_complete:
            again = "; to measure again, delete it"
            console.print(f"{_kept(config, before)}{again}", soft_wrap=True)
        elif out is not None:
            print_paths(report.save(out))
            draw_reports([report], out)


def _measure(config: BenchConfig, what: What) -> Report:
    """`measure` with a bar; where it is interrupted, what is kept is said."""
    from sdsim.bench.report import measure, resumable

    try:
        with Bar(f"measuring {what}", "cases") as bar:
            return measure(config, what, bar.show)
    except KeyboardInterrupt as interrupt:
        if (kept := resumable(config, what)) is None:
            raise
        rest = "the same command measures the rest"
        raise KeyboardInterrupt(f": {_kept(config, kept)}; {rest}") from interrupt


def _kept(config: BenchConfig, report: Report) -> str:
    """How much of a report there is in `config.out`, in words."""
    path = shown(f"{config.out}/{report.what}.json")
    return f"{path} has {report.conditions.get('incomplete', 'all cases')}"


def shorthand(words: list[str]) -> list[str]:
    """``sdsim bench sweep`` for ``sdsim bench what=[sweep]``; ``patience`` is a former name."""
    words = [re.sub(r"^patience=", "max_seconds=", word) for word in words]
    chosen = [word for word in words if word in get_args(What)]
    others = [word for word in words if word not in chosen]
    for before, word in zip(["", *others], others, strict=False):
        if word.isidentifier() and not before.startswith("-"):  # as in --cfg job
            from sdsim.commands.errors import did_you_mean

            known = get_args(What)
            hint = did_you_mean(word, known)
            raise ValueError(f"{word}: no such benchmark{hint} Known: {', '.join(known)}.")
    return [*others, f"what=[{','.join(chosen)}]"] if chosen else others


def parse_bench(config: DictConfig) -> BenchConfig:
    """The settings, with Hydra's search path, where presets of one's own are."""
    return replace(parse(BenchConfig, config), searchpath=tuple(config.hydra.searchpath))


COMMAND = Command(
    name="bench",
    summary="measure the generator, attention, whole models, and training",
    help=HELP,
    settings=defaults_of(BenchConfig),
    parse=parse_bench,
    run=run,
    meanings={"": (BenchConfig,)},
    shorthand=shorthand,
    unlisted=("searchpath",),
)
