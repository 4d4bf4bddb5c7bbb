"""Mutants that are argued to do nothing: what is said about them lies in ``tests/mutants/equivalent.yaml``.

An entry names a mutant by content: file, function, statement before and after. It may argue for several at once by
a list of ``after``. An entry whose mutant is gone, or is noticed after all, is complained about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from scripts.chain.artifacts import ROOT
from scripts.mutants.operators import Mutant
from scripts.mutants.state import KILLED, Result

FILE = ROOT / "tests" / "mutants" / "equivalent.yaml"
_FIELDS = {"file", "function", "before", "after", "occurrence", "argument"}


class EquivalentError(ValueError):
    """The file cannot be used: where, and what is wrong."""


@dataclass(frozen=True)
class Entry:
    """One argument for one mutant."""

    file: str
    function: str
    before: str
    after: str
    occurrence: int
    argument: str

    def fits(self, mutant: Mutant) -> bool:
        """Whether this entry is about ``mutant``."""
        return (self.file, self.function, self.before, self.after, self.occurrence) == (
            mutant.file,
            mutant.function,
            mutant.before,
            mutant.after,
            mutant.occurrence,
        )


class Argued:
    """All entries."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._known = {(e.file, e.function, e.before, e.after, e.occurrence): e for e in entries}

    def argument(self, mutant: Mutant) -> str | None:
        """Why a mutant is equivalent, if somebody says so."""
        entry = self._known.get((mutant.file, mutant.function, mutant.before, mutant.after, mutant.occurrence))
        return None if entry is None else entry.argument

    def problems(self, everything: Sequence[Mutant], results: Mapping[str, Result]) -> Iterator[str]:
        """Entries that are out of date."""
        names = {(m.file, m.function, m.before, m.after, m.occurrence): m.name for m in everything}
        for key, entry in self._known.items():
            where = f"{FILE.name}: {entry.file} {entry.function}: {entry.before!r} -> {entry.after!r}"
            if key not in names:
                yield f"{where}: there is no such mutant any more; delete the entry"
            elif (result := results.get(names[key])) is not None and result.status == KILLED:
                yield f"{where}: it is not equivalent, {result.by} notices it; delete the entry"


def load(file: Path = FILE) -> Argued:
    """Read the entries; raises :class:`EquivalentError`."""
    if not file.is_file():
        return Argued(())
    try:
        data = yaml.safe_load(file.read_text()) or []
    except yaml.YAMLError as error:
        raise EquivalentError(f"{file.name}: not YAML: {error}") from error
    entries = []
    for i, item in enumerate(data, 1):
        if (
            not isinstance(item, dict)
            or not {"file", "function", "before", "after", "argument"} <= set(item) <= _FIELDS
        ):
            raise EquivalentError(f"{file.name}: entry {i}: wants file, function, before, after and argument")
        if not str(item["argument"]).strip():
            raise EquivalentError(f"{file.name}: entry {i}: argument is empty")
        afters = item["after"] if isinstance(item["after"], list) else [item["after"]]
        for after in afters:
            occurrences = item.get("occurrence", 1)
            for occurrence in occurrences if isinstance(occurrences, list) else [occurrences]:
                argument = " ".join(str(item["argument"]).split())
                entries.append(Entry(item["file"], item["function"], item["before"], after, occurrence, argument))
    return Argued(entries)
