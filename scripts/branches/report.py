"""What was reached of what is there, by contract and by source line, and what was argued to be out of reach."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from scripts.branches.coverage import Coverage
from scripts.branches.sites import COMPILER, PRODUCTION, Site, probed
from scripts.chain.artifacts import ROOT

ARGUMENTS = ROOT / "tests" / "branches" / "unreachable.yaml"

Key = tuple[str, str, str, str, str]
"""File, function, construct, condition, outcome: what names a source branch whatever line it is on."""


@dataclass(frozen=True)
class Branch:
    """One outcome of one jump."""

    site: Site
    taken: bool

    @property
    def outcome(self) -> str:
        """Its name: "true", "fails", ..."""
        return self.site.taken if self.taken else self.site.passed

    @property
    def key(self) -> Key:
        """What an argument names it by."""
        s = self.site
        return s.file, s.function, s.construct, s.text, self.outcome


@dataclass(frozen=True)
class Argument:
    """Why no call can reach a branch, in all contracts that have it or in some of them."""

    key: Key
    contracts: tuple[str, ...]
    because: str

    def covers(self, branch: Branch) -> bool:
        """Whether it speaks of that branch."""
        return branch.key == self.key and (not self.contracts or branch.site.contract in self.contracts)


class ArgumentError(ValueError):
    """An argument that says nothing, of nothing, or what is not true."""


@cache
def branches(contracts: Sequence[str] = PRODUCTION) -> tuple[Branch, ...]:
    """Every outcome of every jump."""
    return tuple(Branch(site, taken) for name in contracts for site in probed(name).sites for taken in (True, False))


def source_branches() -> list[Branch]:
    """Those that somebody wrote."""
    return [branch for branch in branches() if branch.site.from_source]


def load_arguments(path: Path = ARGUMENTS) -> list[Argument]:
    """Read the file; :class:`ArgumentError` with the entry's place where one is incomplete or given twice."""
    found: list[Argument] = []
    for number, entry in enumerate(yaml.safe_load(path.read_text()) or [], 1):
        where = f"{path.name}: entry {number}"
        fields = {"file", "function", "construct", "condition", "outcome", "because", "contracts"}
        if not isinstance(entry, dict) or not fields - {"contracts"} <= set(entry) <= fields:
            raise ArgumentError(f"{where}: wanted are {', '.join(sorted(fields))}")
        contracts = tuple(entry.get("contracts", ()))
        if unknown := set(contracts) - set(PRODUCTION):
            raise ArgumentError(f"{where}: no contract {', '.join(sorted(unknown))}")
        if not str(entry["because"]).strip():
            raise ArgumentError(f"{where}: because: say why")
        key = tuple(" ".join(str(entry[f]).split()) for f in ("file", "function", "construct", "condition", "outcome"))
        argument = Argument(key, contracts, " ".join(str(entry["because"]).split()))
        if any(a.key == argument.key and (not a.contracts or set(a.contracts) & set(contracts)) for a in found):
            raise ArgumentError(f"{where}: argued before")
        found.append(argument)
    return found


def check_arguments(arguments: Iterable[Argument], coverage: Coverage | None = None) -> list[str]:
    """Complaints: arguments of branches that are not there, and of branches that were reached after all."""
    by_key: dict[Key, list[Branch]] = defaultdict(list)
    for branch in source_branches():
        by_key[branch.key].append(branch)
    complaints = []
    for argument in arguments:
        name = " · ".join(argument.key)
        mine = [branch for branch in by_key.get(argument.key, []) if argument.covers(branch)]
        if not mine or set(argument.contracts) - {branch.site.contract for branch in mine}:
            complaints.append(f"no such branch: {name} {', '.join(argument.contracts)}".rstrip())
        for branch in mine:
            if coverage is not None and coverage.has(branch.site, branch.taken):
                complaints.append(f"reached after all in {branch.site.contract}: {name}")
    return complaints


@dataclass(frozen=True)
class Report:
    """The account of one coverage."""

    coverage: Coverage
    arguments: Sequence[Argument]

    def reached(self, branch: Branch) -> bool:
        """Whether it ran."""
        return self.coverage.has(branch.site, branch.taken)

    def argued(self, branch: Branch) -> bool:
        """Whether it is said to be out of reach."""
        return any(argument.covers(branch) for argument in self.arguments)

    def open(self) -> list[Branch]:
        """Source branches neither reached nor argued."""
        return [b for b in source_branches() if not self.reached(b) and not self.argued(b)]

    def open_by_source(self) -> list[dict[str, Any]]:
        """The same by source line, with the contracts that lack it and whether any other has it."""
        groups: dict[Key, list[Branch]] = defaultdict(list)
        for branch in self.open():
            groups[branch.key].append(branch)
        return [
            {
                "file": key[0],
                "line": found[0].site.line,
                "function": key[1],
                "construct": key[2],
                "condition": key[3],
                "outcome": key[4],
                "contracts": sorted({branch.site.contract for branch in found}),
                "elsewhere": any(self.reached(b) for b in source_branches() if b.key == key),
            }
            for key, found in sorted(groups.items(), key=lambda item: (item[0][0], item[1][0].site.line))
        ]

    def by_contract(self) -> dict[str, dict[str, int]]:
        """Source branches of each contract: reached, argued, open, total; and reached instructions of the compiler."""
        table = {}
        for name in PRODUCTION:
            mine = [b for b in branches() if b.site.contract == name]
            written = [b for b in mine if b.site.from_source]
            checks = [b for b in mine if not b.site.from_source]
            reached = sum(map(self.reached, written))
            argued = sum(not self.reached(b) and self.argued(b) for b in written)
            table[name] = {
                "reached": reached,
                "argued": argued,
                "open": len(written) - reached - argued,
                "total": len(written),
                "compiler_reached": sum(map(self.reached, checks)),
                "compiler_total": len(checks),
            }
        return table

    def by_class(self) -> dict[str, dict[str, int]]:
        """The compiler's own checks and loops: outcomes reached and total, by class."""
        reached: Counter[str] = Counter()
        total: Counter[str] = Counter()
        for branch in branches():
            if not branch.site.from_source:
                total[branch.site.construct] += 1
                reached[branch.site.construct] += self.reached(branch)
        return {kind: {"reached": reached[kind], "total": total[kind]} for kind in COMPILER}
