"""`sdsim pretrain`: a model of full scale, or a small one of its layout, trained on text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from shlex import quote
from typing import get_args

from omegaconf import DictConfig

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, console
from sdsim.conf import defaults_of
from sdsim.conf.compose import plain, validate
from sdsim.files import check_writable
from sdsim.text.config import CorpusConfig, ObjectiveConfig, PretrainConfig, Split

HELP = """\
sdsim pretrain: train a full-scale model, or a small one of its layout, on text.

  sdsim pretrain                                 jrt_tiny on Python's documentation, some minutes
  sdsim pretrain data=notes/ preset=based_tiny   on all text, JSONL and Parquet files of a folder
  sdsim pretrain 'data=[a.jsonl,b.parquet]' text_field=body tokenizer=tokenizer.json
  sdsim pretrain scale=small preset=gru_1m       on the corpus that `sdsim corpus` writes
  torchrun --nproc-per-node=8 -m sdsim pretrain scale=paper device=cuda \\
      data=hf:monology/pile-uncopyrighted tokens=/data/pile parallel=fsdp compile=true

Text becomes tokens once, in the folder `tokens`. A run may be stopped at any time (Ctrl-C, kill
-9): the same command resumes from its newest checkpoint, on any number of processes, and ends as
unbroken training would. Presets: jrt, based, transformer, each _tiny, _1m, _360m, _1b3;
mamba2_1m, gated_deltanet_1m, gru_1m. In <out>: log.jsonl, checkpoints/ and, at the end, model/.
"""


def parse_pretrain(config: DictConfig) -> PretrainConfig:
    """The pretraining run that a composed config describes, its corpus beside the other settings.

    Raises:
        ValueError: in one line that names each field that is wrong.
    """
    values = plain(config)
    for name in ("data", "held_out"):
        if isinstance(values[name], str):
            values[name] = [values[name]]
    names = [field.name for field in fields(CorpusConfig)]
    corpus = validate(CorpusConfig, {name: values.pop(name) for name in names if name in values})
    return validate(PretrainConfig, {**values, "corpus": corpus})


def run(config: PretrainConfig) -> None:
    """Make the tokens, train, say where the model is."""
    from sdsim.text.corpus import prepare
    from sdsim.text.distributed import is_first
    from sdsim.text.loop import check_ready, pretrain
    from sdsim.training.device import check_device

    check_device(config.device)
    for place, name in ((config.out, "out"), (config.corpus.tokens, "tokens")):
        check_writable(Path(place), name)
    check_ready(config)  # before hours of making tokens
    if not is_first():
        pretrain(config)
        return
    with Bar("tokens", "documents") as bar:
        corpus = prepare(config.corpus, on_documents=lambda done: bar.show(done, done))
    learned, kept = (
        len(corpus.sequences(split, config.length)) * config.length for split in get_args(Split)
    )
    entropy = corpus.unigram_entropy("validation" if corpus.tokens("validation") else "train")
    console.print(
        f"{learned:,} tokens to train on, {kept:,} held out ({entropy:.3f} nats by their "
        f"frequencies alone), {corpus.vocab_size:,} in the vocabulary"
    )

    def show(step: int, numbers: Mapping[str, float]) -> None:
        words = [f"{name.replace('_', ' ')} {_short(number)}" for name, number in numbers.items()]
        console.print(f"step {step:,} of {config.steps:,}: {', '.join(words)}", soft_wrap=True)

    folder = pretrain(config, on_numbers=show)
    use = f"sdsim generate {quote(f'checkpoint={folder}')}"
    console.print(f"the model is in {folder}; `{use}` uses it")


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.4g}"


_SETTINGS = defaults_of(CorpusConfig) | {
    name: value for name, value in defaults_of(PretrainConfig).items() if name != "corpus"
}

COMMAND = Command(
    name="pretrain",
    summary="train a model of up to 1.3B parameters on text",
    help=HELP,
    settings=_SETTINGS
    | {
        "objective": defaults_of(ObjectiveConfig),
        "out": "runs/${preset}",
        "tokens": "${out}/tokens",
    },
    parse=parse_pretrain,
    run=run,
    meanings={"": (CorpusConfig, PretrainConfig), "objective.": (ObjectiveConfig,)},
    groups={"scale": "tiny"},
    interrupted=": the same command resumes from the newest checkpoint",
)
