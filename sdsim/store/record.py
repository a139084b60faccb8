"""The file of one finished run: what is written, and the check that it is whole."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from sdsim.config import STRICT, Reader, RunConfig, StateSource, config_id, run_id
from sdsim.reading import reason
from sdsim.store.provenance import commit, versions
from sdsim.training.result import RunResult, SliceResult

SCHEMA = 4
"""Version of the run files; those of another version are refused by name."""

RECORD = "run.json"
"""Name of the file in a run's folder."""


class OtherSchemaError(ValueError):
    """A run's file was written by another version, in a schema that this one does not read."""


_RUN_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, config=STRICT)
class Record:
    """A run, its result, and what made it: the content of its file.

    Attributes:
        schema: version of the file.
        run_id: of the config.
        config: the `RunConfig`, as plain data.
        params, train_loss, steps_done, ensemble, seconds, slices, bidirectional_prefix, converged,
            state_source, reader: as in `RunResult`.
        device: name of the torch device.
        versions: of Python, sdsim, torch and numpy.
        commit: of the checkout, see `sdsim.store.provenance.commit`.
    """

    schema: int
    run_id: str
    config: dict[str, Any]
    params: int
    train_loss: float | None
    steps_done: int
    ensemble: int
    seconds: float
    slices: list[SliceResult]
    device: str
    versions: dict[str, str]
    commit: str | None
    bidirectional_prefix: bool | None = None
    converged: bool | None = None
    state_source: StateSource = "measured"
    reader: Reader | None = None

    @classmethod
    def of(cls, config: RunConfig, result: RunResult, device: str) -> Record:
        """The record of a run that this process has done."""
        names = RunResult.__dataclass_fields__.keys() & cls.__dataclass_fields__.keys()
        measured = {name: getattr(result, name) for name in names}
        return cls(
            **measured | {"seconds": round(result.seconds, 3)},
            schema=SCHEMA,
            run_id=run_id(config),
            config=asdict(config),
            device=device,
            versions=versions(),
            commit=commit(),
        )

    def __post_init__(self) -> None:
        if config_id(self.config) != self.run_id:
            raise ValueError("its config has another id")
        task = self.config["task"]
        # In a recall task that begins with its queries, the sides stand the other way round.
        sizes = [sorted((measured.size_a, measured.size_b)) for measured in self.slices]
        if sizes != [sorted(pair) for pair in task["test_sizes"] or task["train_sizes"]]:
            raise ValueError("its slices are not those of its config")
        known = {measured.state_bits is not None for measured in self.slices}
        if known != {self.state_source != "unknown"}:
            raise ValueError("its states are not what it says of them")
        drawn = 0 if "machine" in self.config["model"] else self.config["test"].get("validation", 0)
        for measured in self.slices:
            correct = measured.validation_correct
            if (correct is None) == bool(drawn) or (correct or 0) > drawn * measured.answers:
                raise ValueError("its validation is not that of its config")

    def text(self) -> str:
        """The content of the file."""
        return json.dumps(asdict(self), indent=1) + "\n"


_RECORD = TypeAdapter(Record)


def read_record(folder: Path) -> Record:
    """The record of one run's folder.

    Raises:
        ValueError: naming what is wrong with it: not a run, not readable, damaged, of another
            schema.
    """
    file = folder / RECORD
    if not _RUN_ID.fullmatch(folder.name):
        raise ValueError(f"{folder} is not a run (a run's folder is named by its 16-digit id)")
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text)
        schema = content.get("schema") if isinstance(content, dict) else SCHEMA
        if schema != SCHEMA:
            raise OtherSchemaError(f"{file} has schema {schema}, this version reads {SCHEMA}")
        record: Record = _RECORD.validate_json(text, strict=True)
    except OtherSchemaError:
        raise
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{file} is damaged ({reason(error)})") from error
    if record.run_id != folder.name:
        raise ValueError(f"{file} does not belong to this folder: it is run {record.run_id}")
    return record
