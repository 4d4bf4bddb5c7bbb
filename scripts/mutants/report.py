"""The score, as tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.mutants.equivalent import Argued
from scripts.mutants.operators import Mutant
from scripts.mutants.source import SUBSYSTEMS
from scripts.mutants.state import CONFIRMED, KILLED, NOT_COMPILED, SAME_CODE, SURVIVED, Result

_COUNTED = {KILLED: "killed", SAME_CODE: "same_code", NOT_COMPILED: "not_compiled"}
_COUNTED |= {SURVIVED: "survived", CONFIRMED: "survived"}


@dataclass
class Count:
    """Mutants by what became of them. The score is killed over killed and survived: equivalents do not count."""

    killed: int = 0
    survived: int = 0
    argued: int = 0
    same_code: int = 0
    not_compiled: int = 0

    @property
    def score(self) -> float | None:
        """Percent, or None where nothing counts."""
        counted = self.killed + self.survived
        return 100 * self.killed / counted if counted else None

    def as_dict(self) -> dict[str, Any]:
        """For the summary."""
        score = self.score
        return {**self.__dict__, "score": None if score is None else round(score, 2)}


@dataclass
class Summary:
    """Everything that a run tells."""

    digest: str
    seconds: float
    mutants: int
    tried: int
    subsystems: dict[str, Count]
    operators: dict[str, Count]
    survivors: list[Mutant] = field(default_factory=list)
    noticed_by_walks: list[str] = field(default_factory=list)
    """Mutants that a walk noticed first; others were left to a test or a scenario, or were not noticed."""

    def reaches(self, least: float) -> bool:
        """Whether every subsystem has at least that score."""
        return all(count.score is None or count.score >= least for count in self.subsystems.values())

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        total = Count()
        for count in self.subsystems.values():
            for name, value in count.__dict__.items():
                setattr(total, name, getattr(total, name) + value)
        return {
            "sources": self.digest,
            "seconds": round(self.seconds),
            "mutants": self.mutants,
            "tried": self.tried,
            "total": total.as_dict(),
            "subsystems": {name: count.as_dict() for name, count in self.subsystems.items()},
            "operators": {name: count.as_dict() for name, count in sorted(self.operators.items())},
            "noticed_by_walks": sorted(self.noticed_by_walks),
            "survivors": [
                {"file": m.file, "function": m.function, "before": m.before, "after": m.after} for m in self.survivors
            ],
        }


def summarise(mutants: Sequence[Mutant], results: Mapping[str, Result], argued: Argued, digest: str) -> Summary:
    """Count the results of these mutants."""
    present = {m.subsystem for m in mutants}
    subsystems = {name: Count() for name in SUBSYSTEMS if name in present}
    operators = {m.operator: Count() for m in mutants}
    summary = Summary(digest, 0.0, len(mutants), 0, subsystems, operators)
    for mutant in mutants:
        result = results.get(mutant.name)
        if result is None:
            continue
        summary.tried += 1
        summary.seconds += result.seconds
        if result.status == KILLED and result.by.startswith("walk "):
            summary.noticed_by_walks.append(mutant.name)
        what = _COUNTED[result.status]
        if what == "survived":
            if argued.argument(mutant) is not None:
                what = "argued"
            else:
                summary.survivors.append(mutant)
        for count in (subsystems[mutant.subsystem], operators[mutant.operator]):
            setattr(count, what, getattr(count, what) + 1)
    return summary


def show(summary: Summary, console: Console) -> None:
    """Tables per subsystem and per operator, then the survivors."""
    for title, counts in (("subsystem", summary.subsystems), ("operator", dict(sorted(summary.operators.items())))):
        table = Table(title=f"mutation score by {title}")
        for column in (title, "killed", "survived", "equivalent, argued", "same code", "not compiled", "score"):
            table.add_column(column, justify="left" if column == title else "right")
        for name, count in counts.items():
            score = "-" if count.score is None else f"{count.score:.1f} %"
            cells = (count.killed, count.survived, count.argued, count.same_code, count.not_compiled)
            table.add_row(name, *(f"{cell:,}" for cell in cells), score)
        console.print(table)
    for mutant in summary.survivors:
        console.print(f"contracts/{mutant.file}:{mutant.line} {mutant.function} ({mutant.operator})", style="bold")
        console.print(f"  - {mutant.before}", markup=False)
        console.print(f"  + {mutant.after}", markup=False)


def write(summary: Summary, file: Path) -> None:
    """The summary as JSON."""
    file.write_text(json.dumps(summary.as_dict(), indent=1) + "\n")
