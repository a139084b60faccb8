"""Full-scale layouts on a CUDA device: what they say, learn and write (`make test-gpu`)."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from sdsim.text import CorpusConfig, PretrainConfig, pretrain
from sdsim.text.config import SamplingConfig
from sdsim.text.generate import generate
from sdsim.text.presets import build, preset_of
from sdsim.text.pretrained import PretrainedModel

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
KINDS = ["jrt_tiny", "based_tiny", "transformer_tiny"]


@pytest.mark.parametrize("preset", KINDS)
def test_a_gpu_reads_as_a_cpu_does(preset: str) -> None:
    model = build(preset).eval()
    tokens = torch.randint(2047, (2, 256), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model(tokens, 128)
        found = model.cuda()(tokens.cuda(), 128).cpu()
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("preset", KINDS)
def test_a_gpu_writes_what_it_reads(preset: str) -> None:
    chosen = preset_of(preset)
    model = PretrainedModel(asdict(chosen.config), 64, 256, 128).cuda().eval()
    prompts = [[1, 2, 3], list(range(40))]
    rows: list[list[int]] = [[], []]
    for row, token in generate(model, prompts, SamplingConfig(20)):
        rows[row].append(token)
    with torch.inference_mode():
        for prompt, tokens in zip(prompts, rows, strict=True):
            text = torch.tensor([prompt + tokens]).cuda()
            scores = model(text, len(prompt))[0, len(prompt) - 1 : -1, :-1]
            best = scores.max(-1).values
            chosen_scores = scores.gather(1, torch.tensor(tokens).cuda()[:, None])[:, 0]
            torch.testing.assert_close(chosen_scores, best, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_learns_in_bfloat16(corpus: CorpusConfig, tmp_path: Path, compiled: bool) -> None:
    config = PretrainConfig(
        str(tmp_path / "run"),
        corpus,
        steps=60,
        batch_size=8,
        lr=3e-3,
        seq_len=32,
        prefix_len=16,
        device="cuda",
        compile=compiled,
        validation_windows=4,
    )
    numbers: dict[str, float] = {}
    pretrain(config, on_numbers=lambda _, line: numbers.update(line))
    assert numbers["loss"] < 4.5
    assert numbers["memory_gb"] > 0
    broken = replace(config, out=str(tmp_path / "half"), save_every=30, recompute=True)
    pretrain(broken)
