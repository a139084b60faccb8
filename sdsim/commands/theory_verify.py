"""`sdsim theory verify`: every numbered claim, checked on instances."""

from __future__ import annotations

from collections import Counter

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, console

HELP = """\
sdsim theory verify: check every numbered claim of the theory; exit 1 if one fails.

Each claim is printed with what it assumes and with its strength:
  exhaustive    every instance, message or protocol of the sizes named was gone through
  construction  what does it was built and run
  sample        some instances were drawn or chosen; others might refute it
  formula       two expressions agree; nothing was measured, so that nothing is proved
  cited         a theorem of the literature; nothing is checked here
A check on instances is no proof: the column "on" says how far each one reaches.
"""

_COLUMNS = ("claim", "statement", "assumes", "strength", "on", "instances", "verdict", "seconds")


def run(config: object) -> None:
    """Check all claims, and print what each assumes and rests on."""
    from rich.table import Table

    from theory.claims.claim import STRENGTHS
    from theory.claims.verify import CLAIMS, verify

    verdicts = []
    with Bar("checking", "claims") as bar:
        for verdict in verify():
            verdicts.append(verdict)
            bar.show(len(verdicts), len(CLAIMS))
    table = Table()
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in ("instances", "seconds") else "left")
    for verdict in verdicts:
        claim = verdict.claim
        table.add_row(
            claim.name,
            claim.statement,
            claim.hypotheses,
            claim.strength,
            verdict.scope,
            f"{verdict.instances:,}" if verdict.instances else "-",
            verdict.finding.upper() if verdict.finding == "fails" else verdict.finding,
            f"{verdict.seconds:.1f}",
        )
    console.print(table)
    failed = [verdict.claim.name for verdict in verdicts if verdict.finding == "fails"]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(verdicts)} claims fail: {', '.join(failed)}")
    count = Counter(verdict.claim.strength for verdict in verdicts)
    on_instances = sum(count[strength] for strength in ("exhaustive", "construction", "sample"))
    console.print(
        f"{on_instances} claims hold on these instances "
        f"({', '.join(f'{count[each]} {each}' for each in STRENGTHS[:3])}); "
        f"{count['formula']} formulas agree; {count['cited']} are cited and not checked"
    )


COMMAND = Command(
    name="theory verify",
    summary="check every numbered claim of the theory, and say what each rests on",
    help=HELP,
    settings={},
    parse=lambda config: None,
    run=run,
    meanings={},
)
