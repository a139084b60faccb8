"""`python -m kernels FOLDER`: time the kernels on a GPU where only torch and triton are installed.

Table 5 of arXiv:2407.05483 by length and by batch, decoding and training, in bfloat16 on the first
CUDA device, as one JSON file each: `prefill.json`, `decode.json` and `train.json`.
"""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from .bench import Case, What, device_name, measure, measure_roofline, versions

LENGTHS = [2048 << i for i in range(7)]  # to 131,072
BATCHES = [1 << i for i in range(7)]  # to 64
CASES: dict[What, list[tuple[int, int]]] = {
    "prefill": sorted(
        {(16, n) for n in LENGTHS[:5]} | {(b, 16384) for b in BATCHES} | {(1, n) for n in LENGTHS}
    ),
    "decode": [(batch, 16384) for batch in BATCHES],
    "train": [(16, n) for n in LENGTHS[:3]] + [(1, n) for n in LENGTHS],
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write(f"{__doc__}")
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    if not torch.cuda.is_available():
        sys.stderr.write("no CUDA device: nothing to measure\n")
        return 2
    folder, device, dtype = Path(arguments[0]), torch.device("cuda"), torch.bfloat16
    folder.mkdir(parents=True, exist_ok=True)
    roofline = measure_roofline(device, dtype)
    for what, sizes in CASES.items():
        cases = [Case(what, batch, length, dtype, device) for batch, length in sizes]
        timings = measure(cases, roofline, repeats=21, max_seconds=5.0, max_bytes=40e9)
        report = {
            "title": f"{what}: H = 16, D = 16, E = 64, bfloat16, on {device_name(device)}",
            "what": what,
            "device": device_name(device),
            "versions": versions(),
            "command": shlex.join(["python", "-m", str(__package__), *arguments]),
            "ceilings": asdict(roofline),
            "rows": [asdict(timing) for timing in timings],
        }
        (folder / f"{what}.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
