"""`sdsim slices`: perplexity where models can recall from the context, and elsewhere (Figure 3)."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from omegaconf import DictConfig
from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, as_table, console, print_paths
from sdsim.conf import defaults_of
from sdsim.conf.compose import plain, validate
from sdsim.config import STRICT, Count
from sdsim.evaluation.answers import Dtype
from sdsim.files import check_writable, write_text

if TYPE_CHECKING:
    from sdsim.evaluation.answerers import Answerer
    from sdsim.evaluation.losses import Losses
    from sdsim.evaluation.slices import Contexts, ScoredTokens
    from sdsim.text.corpus import Corpus

HELP = """\
sdsim slices: the perplexity of models on AR hits (associative recall: the second token of a bigram
that stood earlier in the same context, and is rare in training) and on all other tokens, over how
often the bigram occurs in training and how far back it stood: the paper's Figure 3. The text is the
held-out part of a corpus, whose training part is counted once. Intervals are over documents.

  sdsim slices model=runs/jrt_tiny
  sdsim slices 'model=[runs/based_tiny,runs/jrt_tiny]' sequences=500
  sdsim slices model=gpt2 data=texts tokens=tokens/gpt2 seq_len=1024

A model is a folder of `sdsim pretrain`, read on the tokens that it was trained on; or any other
that `sdsim evaluate` takes, with tokens=…: a folder of tokens made by its tokenizer, from data=… if
they are not there yet. Losses are stored as they come: the same command resumes.
"""

_LONGEST = 2048  # tokens of a context, unless models were trained on shorter ones


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim slices``.

    Attributes:
        checkpoints: folders of models, GGUF files or names on the Hugging Face hub, which have one
            tokenizer; also model=…; perplexities are compared with the first one's.
        tokens: folder of the tokens; null: those that the first model was trained on.
        data: files, folders or hf:<dataset> of which tokens are made if the folder holds none.
        text_field: column or key that holds the text, in data.
        validation_every: every so many documents of data, one is held out.
        sequences: most held-out contexts that are read, the first ones.
        seq_len: tokens of a context, of which the second half is compared; null: the shortest that
            a model was trained on, at most 2048.
        rare: a bigram is rare that has fewer occurrences in training.
        far: least distance of an earlier occurrence, in tokens, where perplexity is shown over
            frequency; null: half a context.
        batch_size: contexts in a batch.
        store: folder of the losses, the table and the figure.
        device: name of the torch device, such as cpu or cuda.
        dtype: of the weights: float32, bfloat16 or float16.
        threads: threads of torch, on the CPU.
    """

    checkpoints: tuple[str, ...] = ()
    tokens: str | None = None
    data: tuple[str, ...] = ()
    text_field: str = "text"
    validation_every: Annotated[int, Field(ge=2)] = 100
    sequences: Count = 1000
    seq_len: Annotated[int, Field(ge=4)] | None = None
    rare: Count = 1000
    far: Count | None = None
    batch_size: Count = 4
    store: str = "runs/slices"
    device: str = "cpu"
    dtype: Dtype = "float32"
    threads: Count = 2

    def __post_init__(self) -> None:
        if not self.checkpoints:
            raise ValueError("model is missing: give one or several as model=…")
        if len(set(self.checkpoints)) < len(self.checkpoints):
            raise ValueError(f"model = {list(self.checkpoints)}: one stands there twice")
        if self.data and self.tokens is None:
            raise ValueError("tokens is missing: the folder for the tokens of data")


def parse_slices(config: DictConfig) -> Config:
    """The settings that a composed config describes.

    Raises:
        ValueError: in one line that names each field that is wrong.
    """
    values = plain(config)
    for name in ("checkpoints", "data"):
        if isinstance(values[name], str):
            values[name] = [values[name]]
    return validate(Config, values)


def run(config: Config) -> None:
    """Read what was not read before, print perplexities, write the table and the figure."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # the bars of transformers; there is one of ours
    check_writable(Path(config.store), "store")
    import torch

    import figures
    from sdsim.evaluation.slices import slice_table
    from sdsim.training.device import check_device

    check_device(config.device)
    torch.set_num_threads(config.threads)
    losses, scored, length = _read(config)
    table = slice_table(losses, scored, rare=config.rare, far=config.far or length // 2)
    write_text(Path(config.store, "perplexity.csv"), table.write_csv())
    shown = table.filter(panel="all").drop("panel", "low", "high", "rare", "far")
    console.print(as_table(shown, "perplexity"))
    print_paths(figures.draw_text(config.store, config.store))


def _read(config: Config) -> tuple[list[tuple[str, Losses]], ScoredTokens, int]:
    """The losses of each model, the tokens that they are of, and the length of a context."""
    from sdsim.evaluation.answerers import load_answerer, quieten_transformers
    from sdsim.evaluation.slices import Contexts, ScoredTokens
    from sdsim.text.bigrams import bigram_counts

    quieten_transformers()
    answerers = [
        load_answerer(name, device=config.device, dtype=config.dtype) for name in config.checkpoints
    ]
    corpus = _corpus(config, answerers[0])
    for answerer in answerers:
        _check_tokenizer(answerer, corpus)
    length = config.seq_len or _shared_length(answerers)
    first = max(length // 2, *(answerer.prefix_len for answerer in answerers)) + 1
    for answerer in answerers:
        _check_length(answerer, length, first)
    contexts = Contexts.held_out(corpus, length, config.sequences)
    with Bar("counting bigrams", "tokens") as bar:
        counts = bigram_counts(corpus, bar.show)
    scored = ScoredTokens.of(contexts, counts, first)
    losses = [_losses(config, answerer, corpus, contexts, first) for answerer in answerers]
    return list(zip(config.checkpoints, losses, strict=True)), scored, length


def _losses(
    config: Config, answerer: Answerer, corpus: Corpus, contexts: Contexts, first: int
) -> Losses:
    from sdsim.evaluation.losses import Scored, identity_digest, losses_of

    scored = Scored(
        answerer.name,
        answerer.digest(),
        identity_digest(corpus.identity()),
        contexts.tokens.shape[1],
        first,
        config.dtype,
    )
    with Bar(f"reading with {answerer.name}", "contexts") as bar:
        return losses_of(
            answerer,
            contexts.tokens,
            scored,
            Path(config.store),
            batch_size=config.batch_size,
            device=config.device,
            on_sequences=bar.show,
        )


def _corpus(config: Config, answerer: Answerer) -> Corpus:
    """The corpus, made of `data` if it is not there yet."""
    from sdsim.text.config import CorpusConfig
    from sdsim.text.corpus import Corpus, prepare
    from sdsim.text.run_folder import corpus_of

    if config.tokens is None:
        try:
            folder, identity = corpus_of(Path(answerer.name))
        except ValueError as error:
            raise ValueError(f"tokens is missing: {error}; give a folder as tokens=…") from error
        corpus = Corpus(folder)
        differing = [name for name, value in identity.items() if corpus.identity()[name] != value]
        if differing:
            raise ValueError(
                f"tokens: {folder} holds another corpus than {answerer.name} was trained on "
                f"({', '.join(differing)} differ)"
            )
        return corpus
    if not config.data:
        return Corpus(config.tokens)
    with tempfile.TemporaryDirectory() as scratch, Bar("tokenizing", "documents") as bar:
        tokenizer = Path(scratch, "tokenizer.json")
        answerer.tokenizer().save(str(tokenizer))
        return prepare(
            CorpusConfig(
                config.tokens,
                config.data,
                text_field=config.text_field,
                tokenizer=str(tokenizer),
                validation_every=config.validation_every,
            ),
            lambda done: bar.show(done, 0),
        )


def _check_tokenizer(answerer: Answerer, corpus: Corpus) -> None:
    known = answerer.tokenizer().get_vocab()
    if not corpus.tokenizer.get_vocab().items() <= known.items():
        raise ValueError(
            f"tokens: those of {corpus.folder} are of another tokenizer than that of "
            f"{answerer.name}"
        )


def _shared_length(answerers: Sequence[Answerer]) -> int:
    """The shortest sequences that a model was trained on, or can read."""
    lengths = [answerer.trained_len or answerer.longest for answerer in answerers]
    return min([_LONGEST, *(length for length in lengths if length is not None)])


def _check_length(answerer: Answerer, length: int, first: int) -> None:
    if first >= length:
        raise ValueError(
            f"seq_len = {length}: {answerer.name} reads {answerer.prefix_len} tokens as a prefix, "
            "so that no token behind it can be compared"
        )
    if answerer.longest is not None and length > answerer.longest:
        raise ValueError(f"seq_len = {length}: {answerer.name} reads {answerer.longest} at most")


def _renamed(words: list[str]) -> list[str]:
    """``model`` is a group of Hydra's configs here."""
    return [re.sub(r"\Amodel=", "checkpoints=", word) for word in words]


COMMAND = Command(
    name="slices",
    summary="perplexity where a model can recall from its context, and elsewhere",
    help=HELP,
    settings=defaults_of(Config),
    parse=parse_slices,
    run=run,
    meanings={"": (Config,)},
    shorthand=_renamed,
    interrupted=": the losses so far are stored; the same command resumes",
)
