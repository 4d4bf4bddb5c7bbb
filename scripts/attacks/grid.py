"""Which runs a sweep consists of, how one is played, and the points that they add up to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from random import Random

from scripts.attacks import attack as files
from scripts.attacks.attack import Attack
from scripts.attacks.frontier import COSTS, PARAMETERS, Point, Rules
from scripts.attacks.runner import Runner
from scripts.campaign.workers import Lost, on_cluster
from scripts.chain import make_chain

GRID: dict[str, tuple[int, ...]] = {
    "jump": (500, 1_500, 3_000, 6_000),
    "tau_fast": (15, 60, 300),
    "speed": (5, 20, 100),
    "grace": (0, 300, 600, 3_600),
    "freeze": (3_600, 14_400),
}
"""Values around those of the profiles, loose and tight."""


@dataclass(frozen=True)
class Job:
    """One run: a choice of rules, none for those of the file, against one variant of one attack."""

    rules: Rules | None
    file: str
    variant: str
    seed: int

    def __str__(self) -> str:
        """What is played with which rules."""
        if self.rules is None:
            return f"{self.run}, rules of the file"
        values = (f"{name} {value}" for name, value in zip(PARAMETERS, self.rules, strict=True))
        return f"{self.run}, {', '.join(values)}"

    @property
    def run(self) -> str:
        """What is played, whatever the rules."""
        return " ".join(filter(None, (Path(self.file).stem, self.variant, f"#{self.seed}" if self.seed else "")))


@dataclass(frozen=True)
class Outcome:
    """What a job cost."""

    place: int  # of the job in the sweep
    costs: dict[str, float]


def choices(grid: dict[str, tuple[int, ...]], count: int, seed: int) -> list[Rules]:
    """Points of the grid in random order, ``count`` of them, or all if it is 0."""
    points = list(product(*(grid[name] for name in PARAMETERS)))
    Random(seed).shuffle(points)
    return points[: count or None]


def jobs(rules: Sequence[Rules], attacks: Sequence[tuple[str, str]], seeds: int) -> list[Job]:
    """All runs of a point before the next, first those with the rules of the files."""
    return [
        Job(point, file, variant, seed)
        for point in (None, *rules)
        for file, variant in attacks
        for seed in range(seeds)
    ]


def changed(attack: Attack, job: Job) -> Attack:
    """The attack as the job wants it: its rules in every market, and the noise of its seed."""
    if job.seed:
        attack = replace(attack, seed=f"{attack.seed} {job.seed}")
    if job.rules is None:
        return attack
    values = dict(zip(PARAMETERS, job.rules, strict=True))
    markets = tuple(replace(market, rules=replace(market.rules, **values)) for market in attack.markets)
    return replace(attack, markets=markets)


@cache
def variants(file: str) -> dict[str, Attack]:
    """The variants of an attack by name."""
    return {attack.variant: attack for attack in files.load(Path(file))}


def measure(place: int, todo: Sequence[Job]) -> Outcome:
    """Play a job on revm; a difference between contracts and model is raised."""
    job = todo[place]
    with make_chain("revm") as chain:
        metrics = Runner(changed(variants(job.file)[job.variant], job), "defended", chain).play().metrics
    return Outcome(place, {cost: float(getattr(metrics, cost)) for cost in COSTS})


def here(todo: Sequence[Job], places: Sequence[int]) -> Iterator[Outcome | Lost]:
    """One after another, in this process."""
    for place in places:
        try:
            yield measure(place, todo)
        except Exception as error:
            yield Lost(place, f"{type(error).__name__}: {error}")


def play_all(todo: Sequence[Job], places: Sequence[int], processes: int) -> Iterator[Outcome | Lost]:
    """The jobs at these places, on so many processes, as they are ready."""
    processes = min(processes, len(places))
    if processes < 2:
        yield from here(todo, places)
    else:
        yield from on_cluster(todo, places, _unwatched, jobs=processes, walk=measure)  # type: ignore[arg-type,misc]


def _unwatched(_: object) -> None:
    """A run is too short to be watched."""


def points(todo: Sequence[Job], done: dict[int, Outcome]) -> list[Point]:
    """Choices of rules all of whose runs are done."""
    by_rules: dict[Rules | None, dict[str, dict[str, float] | None]] = {}
    for place, job in enumerate(todo):
        outcome = done.get(place)
        by_rules.setdefault(job.rules, {})[job.run] = outcome.costs if outcome else None
    return [
        Point(rules, {name: costs for name, costs in runs.items() if costs is not None})
        for rules, runs in by_rules.items()
        if None not in runs.values()
    ]
