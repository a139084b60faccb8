"""Tokenizers of the `tokenizers` library: from a file or the hub, or trained on the corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from sdsim.reading import is_failure, reason

END_OF_TEXT = "<|endoftext|>"
_ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "[SEP]")


def identity_of(name: str) -> str:
    """What identifies a tokenizer: the digest of its file, or its name on the hub."""
    path = Path(name, "tokenizer.json") if Path(name).is_dir() else Path(name)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else name


def load_tokenizer(name: str) -> Tokenizer:
    """A tokenizer by the path of its ``tokenizer.json``, or by its name on the Hugging Face hub.

    It keeps all of a text: truncation, padding and random merges that its file asks for are off.

    Raises:
        ValueError: if there is no such file, or the hub does not give it.
    """
    path = Path(name)
    if path.is_dir():
        path /= "tokenizer.json"
    if path.exists():
        return whole(read_tokenizer(path))
    if path.suffix == ".json":
        raise ValueError(f"tokenizer = {name!r}: there is no such file")
    try:
        return whole(Tokenizer.from_pretrained(name))
    except BaseException as error:  # the library raises nothing narrower
        if not is_failure(error):
            raise
        raise ValueError(
            f"tokenizer = {name!r}: not a tokenizer.json, and not available from the hub "
            f"({reason(error)})"
        ) from error


def read_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer as its file describes it.

    Raises:
        ValueError: naming a file that is missing or damaged.
    """
    try:
        return Tokenizer.from_file(str(path))
    except BaseException as error:  # the library raises nothing narrower
        if not is_failure(error):
            raise
        raise ValueError(f"{path} is damaged or missing: {reason(error)}") from error


def whole(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, changed so that the tokens of a text are all there and no others.

    The name of a special token, such as ``<|endoftext|>``, is text like any other.
    """
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if isinstance(tokenizer.model, models.BPE):
        tokenizer.model.dropout = None
    return tokenizer


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """The tokens of each text, without any that stand for no part of it.

    Raises:
        ValueError: for a text with characters that the tokenizer does not know, if it has no token
            for what it does not know.
    """
    if _drops_the_unknown(tokenizer):
        for text in texts:
            _check_known(tokenizer, text)
    try:
        encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"the tokenizer cannot read a text: {reason(error)}") from error
    return [encoding.ids for encoding in encoded]


def _drops_the_unknown(tokenizer: Tokenizer) -> bool:
    """Whether characters may get lost without a word: other kinds of models raise an error."""
    model = tokenizer.model
    if not isinstance(model, models.BPE) or model.unk_token is not None or model.byte_fallback:
        return False
    parts = [part for part in (tokenizer.normalizer, tokenizer.pre_tokenizer) if part is not None]
    if not any(b'"ByteLevel"' in part.__getstate__() for part in parts):
        return True
    return any(tokenizer.token_to_id(byte) is None for byte in pre_tokenizers.ByteLevel.alphabet())


def _check_known(tokenizer: Tokenizer, text: str) -> None:
    """Raise `ValueError` for a character that a BPE has no token to begin with."""
    normalizer, splitter, model = tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.model
    normal = text if normalizer is None else normalizer.normalize_str(text)
    pieces = [normal] if splitter is None else [x for x, _ in splitter.pre_tokenize_str(normal)]
    begin, end = model.continuing_subword_prefix or "", model.end_of_word_suffix or ""
    for letter in sorted(set().union(*pieces)):
        forms = (letter, begin + letter, letter + end, begin + letter + end)
        if all(tokenizer.token_to_id(form) is None for form in forms):
            raise ValueError(
                f"the tokenizer has no token for {letter!r}, nor for what it does not know: it "
                "would be left out; choose another tokenizer"
            )


def ids_of(tokenizer: Tokenizer) -> list[int]:
    """The ids that stand for a token, ascending."""
    return sorted(set(tokenizer.get_vocab().values()))


def vocab_size_of(tokenizer: Tokenizer) -> int:
    """One more than the largest id of a token."""
    return max(ids_of(tokenizer), default=-1) + 1


def train_tokenizer(documents: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE of exactly `vocab_size` tokens, `END_OF_TEXT` included.

    Raises:
        ValueError: if the documents do not give so many tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    found = tokenizer.get_vocab_size()
    if found != vocab_size:
        raise ValueError(
            f"vocab_size = {vocab_size}: the text gives a BPE of {found} tokens; choose that many, "
            "or more text"
        )
    return tokenizer


def end_of_text(tokenizer: Tokenizer) -> int:
    """The token that ends a document.

    Raises:
        ValueError: if the tokenizer has none.
    """
    for name in _ENDS:
        token = tokenizer.token_to_id(name)
        if token is not None:
            return int(token)
    raise ValueError(f"tokenizer: it has no token that ends a text ({', '.join(_ENDS)})")


def padded_vocab_size(vocab_size: int) -> int:
    """Rows of the embedding: a tokenizer's tokens and [MASK], padded to a multiple of 8.

    [MASK] is the last one.

    >>> padded_vocab_size(50_257)  # GPT-2's
    50264
    """
    return -(-(vocab_size + 1) // 8) * 8
