"""`sdsim generate`: prompts, continued by a trained model."""

from __future__ import annotations

import itertools
import sys
from dataclasses import field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig
from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import console
from sdsim.conf import defaults_of
from sdsim.conf.compose import plain, validate
from sdsim.config import STRICT, Count
from sdsim.text.config import SamplingConfig, Strategy

if TYPE_CHECKING:
    from sdsim.text.pretrained import PretrainedModel

HELP = """\
sdsim generate: continue prompts with a trained model.

  sdsim generate checkpoint=runs/jrt_tiny 'prompt=The for statement, in short,'
  sdsim generate checkpoint=runs/jrt_tiny prompt_file=question.txt
  cat question.txt | sdsim generate checkpoint=runs/jrt_tiny
  sdsim generate checkpoint=runs/jrt_tiny/model 'prompt=["The if","A class"]' max_new_tokens=20
  sdsim generate checkpoint=… prompt=… temperature=0.8 top_k=40 top_p=0.95 seed=1
  sdsim generate checkpoint=… prompt=… strategy=read_twice 'stop=["\\n"]'

The checkpoint is a folder of `sdsim pretrain` (finished or not) or of `sdsim import`, or a name on
the Hugging Face hub. A prompt is taken as written, commas and line breaks included (quotes around
the whole of it are dropped); several stand in a list of quoted texts. Without one, it is read from
standard input. A prompt shorter than the prefix that JRT-RNN was trained with is read as it is
(left_pad), repeated until it fills the prefix (read_twice), or read again after each new token
(iterate).
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim generate``.

    Attributes:
        checkpoint: folder of a model, or its name on the Hugging Face hub.
        prompt: text to continue, or a list of texts; null: what `prompt_file` holds.
        prompt_file: file with one prompt; -: standard input, as without any prompt.
        strategy: how a prompt shorter than the prefix is read: left_pad, read_twice or iterate.
        stop: strings of which the first to appear ends a text, before it; in them, \\n is a line
            break.
        allow_longer: whether prompts may be longer than the sequences of training.
        device: name of the torch device, such as cpu or cuda.
        threads: threads of torch, on the CPU.
    """

    checkpoint: str
    prompt: tuple[str, ...] | None = None
    prompt_file: str | None = None
    strategy: Strategy = "left_pad"
    stop: tuple[str, ...] = ()
    allow_longer: bool = False
    device: str = "cpu"
    threads: Count = 2
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        if self.prompt is not None and self.prompt_file is not None:
            raise ValueError(f"prompt_file = {self.prompt_file!r}: there is a prompt already")


def parse_generate(config: DictConfig) -> Config:
    """The settings that a composed config describes, those of sampling beside the others.

    Raises:
        ValueError: in one line that names each field that is wrong.
    """
    values = plain(config)
    for name in ("prompt", "stop"):
        if values[name] is not None and not isinstance(values[name], list):
            values[name] = [values[name]]
    values["stop"] = [str(text).replace("\\n", "\n") for text in values["stop"] or []]
    names = [setting.name for setting in fields(SamplingConfig)]
    chosen = {name: values.pop(name) for name in names if name in values}
    sampling = validate(SamplingConfig, chosen)
    return validate(Config, {**values, "sampling": sampling})


def run(config: Config) -> None:
    """Print the prompts and what the model makes of them, token by token."""
    prompts = config.prompt or (_read_prompt(config.prompt_file),)
    import torch

    from sdsim.text.generate import generate_text
    from sdsim.text.tokenizer import end_of_text
    from sdsim.training.device import check_device

    check_device(config.device)
    torch.set_num_threads(config.threads)
    model = _load(config.checkpoint)
    tokenizer = model.tokenizer()
    pieces = generate_text(
        model.eval().to(config.device),
        tokenizer,
        prompts,
        config.sampling,
        strategy=config.strategy,
        stop=config.stop,
        end=end_of_text(tokenizer),
        allow_longer=config.allow_longer,
    )
    if len(prompts) == 1:
        first = next(pieces, (0, ""))  # what is wrong with the prompt comes out before it
        sys.stdout.write(prompts[0])
        for _, text in itertools.chain([first], pieces):
            sys.stdout.write(text)
            sys.stdout.flush()
        sys.stdout.write("\n")
        return
    texts = list(prompts)
    for number, text in pieces:
        texts[number] += text
    for number, text in enumerate(texts, 1):
        console.print(f"[{number}] {text}", soft_wrap=True)


def _read_prompt(file: str | None) -> str:
    """The prompt in a file, or on standard input; the line break at its end is not part of it."""
    if file is None and sys.stdin.isatty():
        raise ValueError("prompt is missing: give prompt=…, prompt_file=…, or standard input")
    try:
        text = sys.stdin.read() if file in (None, "-") else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"prompt_file = {file!r}: cannot be read ({error})") from error
    if not text.strip():
        raise ValueError("prompt is missing: give prompt=…, prompt_file=…, or standard input")
    return text.removesuffix("\n")


def _load(checkpoint: str) -> PretrainedModel:
    from sdsim.text.pretrained import load_pretrained
    from sdsim.text.run_folder import trained_model

    path = Path(checkpoint)
    unfinished = path.is_dir() and not (path / "config.json").exists()
    return trained_model(path) if unfinished else load_pretrained(checkpoint)


COMMAND = Command(
    name="generate",
    summary="continue prompts with a trained model",
    help=HELP,
    settings={name: value for name, value in defaults_of(Config).items() if name != "sampling"}
    | defaults_of(SamplingConfig),
    parse=parse_generate,
    run=run,
    meanings={"": (SamplingConfig, Config)},
    texts=("prompt", "stop"),
)
