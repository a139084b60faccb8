"""All claims, checked on instances: what `sdsim theory verify` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import (
    algorithms,
    automata,
    based,
    layers,
    one_pass,
    passes,
    protocols,
    reductions,
    with_error,
)
from .claim import Claim, ClaimFailed

CLAIMS: tuple[Claim, ...] = (
    *one_pass.CLAIMS,
    *with_error.CLAIMS,
    *automata.CLAIMS,
    *passes.CLAIMS,
    *algorithms.CLAIMS,
    *protocols.CLAIMS,
    *reductions.CLAIMS,
    *layers.CLAIMS,
    *based.CLAIMS,
)
"""All claims; a new one is an entry in one of the modules of this package."""


@dataclass(frozen=True)
class Verdict:
    """The result of checking one claim on instances.

    Attributes:
        claim: its name.
        statement: what it says.
        holds: whether no instance refuted it.
        instances: how many were checked; 0 if it failed.
        scope: which ones; for a claim that failed, the counterexample, or how the check broke.
        seconds: time that the check took.
    """

    claim: str
    statement: str
    holds: bool
    instances: int
    scope: str
    seconds: float


def verify(claims: Sequence[Claim] = CLAIMS) -> Iterator[Verdict]:
    """Check claim after claim; a claim that fails does not keep the others from being checked.

    >>> from .claim import Evidence
    >>> claim = Claim("one", "1 = 1", lambda: Evidence(instances=1, scope="the number 1"))
    >>> [(verdict.claim, verdict.holds) for verdict in verify([claim])]
    [('one', True)]
    """
    for claim in claims:
        started = time.perf_counter()
        try:
            evidence = claim.check()
            holds, instances, scope = True, evidence.instances, evidence.scope
        except ClaimFailed as failure:
            holds, instances, scope = False, 0, str(failure)
        except Exception as error:  # the check itself broke: it shows nothing
            holds, instances, scope = False, 0, f"the check broke: {error!r}"
        seconds = time.perf_counter() - started
        yield Verdict(claim.name, claim.statement, holds, instances, scope, seconds)
