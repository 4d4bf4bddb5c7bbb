"""A campaign's directory: what it is, and one line for every seed that is done. Nothing that was written is lost."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from scripts.campaign.replay import dump_trace
from scripts.campaign.seed import Result
from scripts.chain.artifacts import ROOT

CAMPAIGNS = ROOT / ".build" / "campaigns"


class JournalError(ValueError):
    """A directory that cannot be used: which, why, and what to do about it."""


class Journal:
    """An append-only file of JSON lines; a torn last line, as after a crash, is cut off and its seed done again.

    ``head`` says what the campaign is; a directory with another head is refused. Open one per campaign at a time.
    """

    def __init__(self, directory: Path, head: dict[str, Any], fresh: bool = False) -> None:
        """Begin in ``directory`` or go on there; ``fresh`` forgets what it holds."""
        self.directory = directory
        self.path = directory / "journal.jsonl"
        directory.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise JournalError(f"{directory}: another campaign is running there") from None
        if fresh:
            self._file.truncate(0)
        try:
            self.records = self._load(head)
        except JournalError:
            self._file.close()
            raise
        self._session, self._began = 1 + max((r["session"] for r in self.records), default=0), time.monotonic()

    def _load(self, head: dict[str, Any]) -> list[dict[str, Any]]:
        self._file.seek(0)
        raw = self._file.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            self._file.truncate(len(whole))
        lines = whole.splitlines()
        if not lines:
            self._append({"head": head})
            return []
        try:
            records = [json.loads(line) for line in lines]
            old = records[0]["head"]
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(f"{self.path}: not a campaign's journal ({error}); remove it or use --fresh") from None
        for field in head.keys() | old.keys():
            if old.get(field) != head.get(field):
                raise JournalError(
                    f"{self.directory}: {field} was {_show(old.get(field))}, now {_show(head.get(field))}; "
                    "take another --name, or --fresh to begin anew"
                )
        return records[1:]

    def results(self) -> Iterator[Result]:
        """Seeds that are done."""
        return (Result.from_dict(record["result"]) for record in self.records)

    @property
    def earlier_s(self) -> float:
        """Seconds that earlier sessions worked, up to their last seed."""
        spent: dict[int, float] = {}
        for record in self.records:
            spent[record["session"]] = max(spent.get(record["session"], 0.0), record["elapsed_s"])
        return sum(spent.values())

    def add(self, result: Result) -> None:
        """Keep a finished seed; a failure's trace goes to a file beside the journal."""
        if result.failure is not None and result.failure.recorded is not None:
            dump_trace(self.trace_path(result.seed), result.failure.recorded)
        elapsed = round(time.monotonic() - self._began, 3)
        self._append({"result": result.as_dict(), "session": self._session, "elapsed_s": elapsed})

    def trace_path(self, seed: int) -> Path:
        """Where the trace of a failed seed lies."""
        return self.directory / f"trace-{seed}.json"

    def _append(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()


def _show(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
