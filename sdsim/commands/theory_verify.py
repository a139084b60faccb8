"""`sdsim theory verify`: every numbered claim, checked on instances."""

from __future__ import annotations

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, console

HELP = """\
sdsim theory verify: check every numbered claim of the theory on many instances; exit 1 if one
fails.

A check on instances is no proof: the column "on" says how far each one reaches.
"""


def run(config: object) -> None:
    """Check all claims, and print what each rests on."""
    from rich.table import Table

    from theory.claims.verify import CLAIMS, verify

    verdicts = []
    with Bar("checking", "claims") as bar:
        for verdict in verify():
            verdicts.append(verdict)
            bar.show(len(verdicts), len(CLAIMS))
    table = Table()
    for name in ("claim", "what was checked", "on", "instances", "verdict", "seconds"):
        table.add_column(name, justify="right" if name in ("instances", "seconds") else "left")
    for verdict in verdicts:
        table.add_row(
            verdict.claim,
            verdict.statement,
            verdict.scope,
            f"{verdict.instances:,}",
            "holds" if verdict.holds else "FAILS",
            f"{verdict.seconds:.1f}",
        )
    console.print(table)
    failed = [verdict.claim for verdict in verdicts if not verdict.holds]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(verdicts)} claims fail: {', '.join(failed)}")
    console.print(f"all {len(verdicts)} claims hold on these instances")


COMMAND = Command(
    name="theory verify",
    summary="check every numbered claim of the theory on many instances",
    help=HELP,
    settings={},
    parse=lambda config: None,
    run=run,
    meanings={},
)
