"""Results of mutants, one JSON line each, appended as soon as they are known, so that a run can be gone on with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from scripts.chain.artifacts import CONTRACTS
from scripts.mutants.build import STORE
from scripts.mutants.operators import Mutant

KILLED, SURVIVED, SAME_CODE, NOT_COMPILED = "killed", "survived", "same code", "does not compile"
CONFIRMED = "survived alone"
"""A survivor of a shared build that also survives as it would be deployed."""


@dataclass(frozen=True)
class Result:
    """What became of a mutant: ``by`` says where it was noticed, ``seconds`` how long that took.

    ``source`` is a digest of the file that it is an edit of.
    """

    mutant: str
    status: str
    by: str = ""
    seconds: float = 0.0
    source: str = ""


class State:
    """The results so far. Those of a file that has changed since count for nothing."""

    def __init__(self, folder: Path = STORE) -> None:
        self.file = folder / "results.jsonl"

    def read(self, mutants: Iterable[Mutant]) -> dict[str, Result]:
        """Results of these mutants by name; of several the last. A line that a kill cut short is passed over."""
        sources = {mutant.name: source_of(mutant.file) for mutant in mutants}
        found = {}
        if self.file.is_file():
            for line in self.file.read_text().splitlines():
                try:
                    result = Result(**json.loads(line))
                except (json.JSONDecodeError, TypeError):
                    continue
                if sources.get(result.mutant) == result.source:
                    found[result.mutant] = result
        return found

    def add(self, mutant: Mutant, result: Result) -> None:
        """Append a result; several processes may."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab+") as file:
            file.seek(0, 2)
            if file.tell():
                file.seek(-1, 2)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            line = json.dumps(asdict(replace(result, source=source_of(mutant.file))))
            file.write(line.encode() + b"\n")

    def forget(self, mutants: Iterable[Mutant]) -> None:
        """Drop the results of these mutants."""
        names = {mutant.name for mutant in mutants}
        if not self.file.is_file():
            return
        lines = [line for line in self.file.read_text().splitlines() if not any(name in line for name in names)]
        self.file.write_text("".join(f"{line}\n" for line in lines))


@cache
def source_of(file: str) -> str:
    """A digest of a file under contracts/."""
    return hashlib.sha256((CONTRACTS / file).read_bytes()).hexdigest()[:12]
