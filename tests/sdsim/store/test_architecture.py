"""What the names of a config's mixers say of the model, held against the mixers themselves."""

import subprocess
import sys

import pytest

from sdsim.models.registry import MIXERS
from sdsim.store.architecture import BIDIRECTIONAL_MIXERS, architecture, reader


def test_the_bidirectional_mixers_are_those_that_say_so() -> None:
    assert set(BIDIRECTIONAL_MIXERS) == {
        name for name in MIXERS if MIXERS[name].bidirectional_prefix
    }
    for _, causal in BIDIRECTIONAL_MIXERS.values():
        assert not MIXERS[causal].bidirectional_prefix


@pytest.mark.parametrize(
    ("mixers", "expected"),
    [
        (["gru"], ("causal", "gru")),
        (["base_conv", "linear_attention"], ("causal", "base_conv+linear_attention")),
        (["base_conv", "prefix_linear_attention"], ("prefix", "base_conv+linear_attention")),
        (["prefix_gla", "base_conv", "prefix_gla"], ("prefix", "base_conv+gla")),
        (
            ["circular_base_conv", "noncausal_linear_attention"],
            ("noncausal", "base_conv+linear_attention"),
        ),
        (["circular_base_conv", "prefix_gla"], ("prefix", "base_conv+gla")),
        (["mine.Mixer"], ("unknown", "mine.Mixer")),
        (["mine.Mixer", "prefix_gla"], ("prefix", "gla+mine.Mixer")),
    ],
)
def test_reader_and_architecture(mixers: list[str], expected: tuple[str, str]) -> None:
    model = {"name": "jrt_rnn", "mixers": mixers}
    assert (reader(model), architecture(model)) == expected


def test_a_streaming_algorithm_has_neither() -> None:
    model = {"name": "jrt_rnn", "machine": "one_pass"}
    assert reader(model) is None
    assert architecture(model) is None


def test_stored_runs_are_read_without_torch() -> None:
    code = "import sys, sdsim.store.table; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
