"""The processes of a run leave each other."""

import os
import subprocess
import sys

import pytest
from torch.distributed import TCPStore

ROUNDS = 24

PROGRAM = """
import os, sys
import torch
from torch import distributed, nn
from sdsim.text.distributed import distributed_context
from sdsim.text.parallel import parallelize

torch.set_num_threads(1)


def train(context, parallel):
    module = parallelize(nn.Linear(4, 4), [], context, parallel=parallel, dtype=torch.float32)
    module(torch.ones(2, 4)).sum().backward()
    context.wait()
    return module


def reduce(context):
    group = context.new_group("gloo")
    distributed.all_reduce(torch.ones(3), group=group)
    return group


uses = [lambda c: train(c, "ddp"), lambda c: train(c, "fsdp"), reduce]
for number, port in enumerate(sys.argv[1:]):
    os.environ["MASTER_PORT"] = port
    with distributed_context("cpu") as context:
        used = uses[number % len(uses)](context)
    del used
"""


@pytest.mark.slow
def test_leaving_does_not_hang() -> None:
    """torch's process groups, freed as Python frees them, hang about once in thirty times."""
    # The test is their torchrun: a port that is free now may be taken when its round begins.
    stores = [
        TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) for _ in range(ROUNDS)
    ]
    ports = [str(store.port) for store in stores]
    rendezvous = {
        "MASTER_ADDR": "127.0.0.1",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": "2",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *ports],
            env={**os.environ, **rendezvous, "RANK": rank},
        )
        for rank in "01"
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
