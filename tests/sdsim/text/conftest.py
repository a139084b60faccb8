"""A corpus, and its tokens, for all tests of training."""

import json

import pytest

from sdsim.text.config import CorpusConfig
from sdsim.text.corpus import prepare


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> CorpusConfig:
    folder = tmp_path_factory.mktemp("corpus")
    source = folder / "text.jsonl"
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    texts = [" ".join(words[(n * k) % 8] for k in range(40)) + f" {n}." for n in range(300)]
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    config = CorpusConfig(
        str(folder / "tokens"), (str(source),), vocab_size=280, validation_every=10
    )
    prepare(config)
    return config
