"""Running mutants: in groups that share a build, each until it is noticed; survivors then built and tried alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

from vyper.exceptions import VyperException

from scripts.chain.artifacts import Artifact, artifact
from scripts.mutants.build import compile_many, compile_mutant
from scripts.mutants.operators import Mutant
from scripts.mutants.state import CONFIRMED, KILLED, NOT_COMPILED, SAME_CODE, SURVIVED, Result
from scripts.mutants.suite import Suite

GROUP = 400
"""Mutants in one build: more would not fit into the 64 KiB that a jump can reach."""

NAMES = ("LiquidationEngine", "ProRata", "BandQueue", "MarketAdmin", "AccountDesk", "LiquidationDesk")
NAMES += ("DefaultManager", "RebaseManager", "ClearingHouse", "BackstopFund", "Governor", "ModuleHarness")
"""Contracts that hold mutated code and are deployed on a tape."""

Report = Callable[[Mutant, Result], None]


def groups(mutants: Sequence[Mutant], size: int = GROUP, jobs: int = 1) -> list[list[Mutant]]:
    """Even groups, as many for each of ``jobs``, that mix all files, so that no contract grows more than another."""
    count = jobs * max(1, -(-len(mutants) // (size * jobs)))
    by_file = sorted(mutants, key=lambda m: m.file)
    return [by_file[i::count] for i in range(count)]


def run(mutants: Sequence[Mutant], suite: Suite, known: Iterable[str], report: Report) -> None:
    """Try every mutant that is not ``known`` yet; each result is reported at once."""
    done = set(known)
    for group in groups(mutants):
        if all(mutant.name in done for mutant in group):
            continue
        build = compile_many(group, [name for name in NAMES if any(name in users(m.file) for m in group)])
        different = suite.first_difference(build.code, 0)
        if different is not None:
            raise RuntimeError(f"a build with every mutant asleep differs from the original: {different}")
        for number, mutant in build.numbered.items():
            if mutant.name not in done:
                report(mutant, _try_in(build.code, number, mutant, suite))
        for mutant in build.rejected:
            if mutant.name not in done:
                report(mutant, alone(mutant, suite))


def confirm(mutants: Sequence[Mutant], suite: Suite, report: Report) -> None:
    """Build each of these survivors of a shared build by itself and try it again; each result is reported at once."""
    for mutant in mutants:
        report(mutant, alone(mutant, suite))


def _try_in(code: Mapping[str, Artifact], number: int, mutant: Mutant, suite: Suite) -> Result:
    began = time.monotonic()
    noticed = suite.first_difference(code, number, *near(mutant))
    status = SURVIVED if noticed is None else KILLED
    return Result(mutant.name, status, noticed or "", round(time.monotonic() - began, 3))


def alone(mutant: Mutant, suite: Suite) -> Result:
    """The mutant built by itself, as it would be deployed."""
    began = time.monotonic()
    try:
        code = compile_mutant(mutant, users(mutant.file))
    except VyperException:
        return Result(mutant.name, NOT_COMPILED, seconds=round(time.monotonic() - began, 3))
    if all(code[name].bytecode == artifact(name).bytecode for name in code):
        return Result(mutant.name, SAME_CODE, seconds=round(time.monotonic() - began, 3))
    noticed = suite.first_difference(code, 0, *near(mutant))
    status = CONFIRMED if noticed is None else KILLED
    return Result(mutant.name, status, noticed or "", round(time.monotonic() - began, 3))


def near(mutant: Mutant) -> tuple[str, str]:
    """Where a mutant is, closest first."""
    return f"{mutant.file} {mutant.function}", mutant.file


@cache
def users(file: str) -> tuple[str, ...]:
    """Contracts of :data:`NAMES` that hold code of ``file``."""
    from scripts.mutants.source import importers

    found = importers(file)
    return tuple(name for name in NAMES if name in found)
