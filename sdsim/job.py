"""What one process is asked to do: runs, and where."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sdsim.config import RunConfig
from sdsim.tracking import TrackingConfig


@dataclass(frozen=True)
class Job(RunConfig):
    """A run, or several, and where they are done and stored.

    Attributes:
        store: folder of runs.
        device: name of the torch device.
        threads: of torch, on the CPU.
        members: pairs (train.lr, seed): a run of each of these, else as the config says, that may
            be trained as one; empty: the one run.
        deadline: seconds since 1970 from which training stops, to be gone on with later.
        tracking: where curves go.
    """

    store: str = "runs"
    device: str = "cpu"
    threads: int = 1
    members: tuple[tuple[float, int], ...] = ()
    deadline: float | None = None
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threads < 1:
            raise ValueError(f"threads = {self.threads}: must be at least 1")
        if len(set(self.members)) < len(self.members):
            raise ValueError(f"members = {list(self.members)}: each pair once")
        _ = self.runs

    @property
    def runs(self) -> list[RunConfig]:
        """What is done, without the where."""
        one = RunConfig(self.model, self.task, self.train, self.test, self.seed)
        return [
            replace(one, train=replace(self.train, lr=lr), seed=seed) for lr, seed in self.members
        ] or [one]
