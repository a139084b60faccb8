"""`sdsim import`: one of the paper's released checkpoints, as a model of ours."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import console
from sdsim.config import STRICT, Count
from sdsim.files import check_writable

HELP = """\
sdsim import: read one of the paper's released checkpoints, by the names of its tensors.

  sdsim import checkpoint=JRT-360M-30B preset=jrt_360m out=models/jrt_360m
  sdsim import checkpoint=JRT-360M-30B/pytorch_model.bin allow_pickle=true out=models/jrt_360m

The checkpoint is a folder with model.safetensors or pytorch_model.bin, or that file; a pickle is
read on request only, and then nothing but tensors. Each tensor that is missing, left over or of
another shape is named. The window of sliding-window layers, which no tensor tells, is read from
the config.json beside the weights; where there is none, say `window`: the keys that a token sees,
its own included. A released window_size w means window=w//2+1: 65 for 128, 129 for 256. The model
reads the padding of short prompts as the released code does.
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim import``.

    Attributes:
        checkpoint: folder or file of the released weights.
        out: folder to write the model to; it must be empty.
        preset: which model it is: jrt, based or transformer, with _360m or _1b3.
        tokenizer: a tokenizer.json, or a name on the Hugging Face hub.
        window: keys that a token sees in sliding-window layers, its own included; null: what the
            checkpoint's config.json says.
        allow_pickle: whether a pytorch_model.bin may be read.
    """

    checkpoint: str
    out: str
    preset: str = "jrt_360m"
    tokenizer: str = "gpt2"
    window: Count | None = None
    allow_pickle: bool = False


def run(config: Config) -> None:
    """Read the tensors, write the model and its tokenizer."""
    from sdsim.text.released import import_released
    from sdsim.text.tokenizer import load_tokenizer

    out = Path(config.out)
    check_writable(out, "out")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"out = {config.out!r}: the folder is not empty")
    tokenizer = load_tokenizer(config.tokenizer)
    model = import_released(
        config.checkpoint, config.preset, window=config.window, allow_pickle=config.allow_pickle
    )
    model.save_with(tokenizer, out)
    count = sum(parameter.numel() for parameter in model.parameters())
    if "sliding_window_attention" in model.config.mixers:
        console.print(f"sliding windows: {model.config.window} keys, a token's own included")
    use = f"sdsim generate {quote(f'checkpoint={out}')}"
    console.print(f"{count:,} parameters are in {out}; `{use}` uses them")


COMMAND = Command.of(
    Config,
    name="import",
    summary="read one of the paper's released checkpoints",
    help=HELP,
    run=run,
)
