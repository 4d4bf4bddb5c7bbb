"""Parameters in, frontier out: ``make frontier``, or ``python -m scripts.attacks.sweep``.

Every choice of rules is played against the same attacks and controls on the defended deployment; what it cost is kept
as soon as it is known, and the page shows wrongful liquidations against bad debt against time locked out.

Exit codes: 0 all points are played; 1 a run failed; 2 an option, an attack or a directory cannot be used; 3 the budget
is spent, 130 interrupted: either way the same command goes on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.attacks import attack as files
from scripts.attacks.attack import Attack
from scripts.attacks.frontier import COSTS, PARAMETERS, Point, Rules, clouds, effects, frontier
from scripts.attacks.grid import GRID, Job, Outcome, changed, choices, jobs, play_all, points, variants
from scripts.attacks.report_page import render
from scripts.attacks.result import RESULTS
from scripts.campaign.journal import Journal, JournalError
from scripts.campaign.versions import digests
from scripts.campaign.workers import Lost
from scripts.chain import artifact
from scripts.chain.artifacts import paths
from scripts.scenario.nodes import ScenarioError

SWEEPS = RESULTS.parent / "sweeps"
ATTACKS = ("a02", "a29", "a35", "a40", "a41")
"""Three quick jumps, a halt, and the control that every protection must be paid with."""

REASON = 300
"""Letters that are told of why a run failed; the attack alone, by ``make attack``, tells all."""


class SweepError(ValueError):
    """A sweep that cannot be: which option, why."""


class SweepJournal(Journal):
    """Outcomes of a sweep, one line each; see :class:`Journal`."""

    def outcomes(self) -> Iterator[Outcome]:
        """Jobs that are done."""
        return (Outcome(**record["outcome"]) for record in self.records)

    def keep(self, outcome: Outcome) -> None:
        """Append a job that is done."""
        elapsed = round(time.monotonic() - self._began, 3)
        self._append({"outcome": outcome.__dict__, "session": self._session, "elapsed_s": elapsed})


def page(found: Sequence[Point], left: int) -> str:
    """The page of the points that are there; ``left`` are not yet."""
    return render(
        "frontier.html.j2",
        points=found,
        best=frontier(found),
        current=next((point for point in found if point.rules is None), None),
        runs=list(found[0].runs),
        left=left,
        clouds=clouds(found),
        effects=effects(found),
        parameters=PARAMETERS,
        costs=COSTS,
    )


def summary(found: Sequence[Point], head: dict[str, Any], left: int) -> dict[str, Any]:
    """What the page shows, for programs."""
    best = frontier(found)
    return {
        "sweep": head,
        "left": left,
        "points": [
            {
                "rules": None if point.rules is None else dict(zip(PARAMETERS, point.rules, strict=True)),
                "costs": dict(zip(COSTS, point.costs, strict=True)),
                "frontier": point in best,
                "runs": point.runs,
            }
            for point in found
        ],
    }


class Values(click.ParamType):
    """Whole numbers with commas between, each once."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """A tuple of them."""
        if isinstance(value, tuple):
            return value
        try:
            found = tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r}: whole numbers with commas between are wanted, as in 500,1500", param, ctx)
        if min(found) < 0 or len(set(found)) < len(found):
            self.fail(f"{value!r}: numbers are 0 or more, each once", param, ctx)
        return found


def _parameters(command: Any) -> Any:
    for name, (title, unit) in reversed(PARAMETERS.items()):
        default = ",".join(map(str, GRID[name]))
        option = click.option(
            f"--{name.replace('_', '-')}", name, type=Values(), default=default, help=f"{title}, {unit}"
        )
        command = option(command)
    return command


@click.command(context_settings={"show_default": True})
@_parameters
@click.option("--attacks", "names", default=",".join(ATTACKS), help="numbers or files, with all their variants")
@click.option("--points", "count", type=click.IntRange(0), default=24, help="drawn from the grid; 0: all of it")
@click.option("--seed", type=click.IntRange(0), default=1, help="of the draw")
@click.option("--seeds", type=click.IntRange(1), default=1, help="runs of each attack, with different noise")
@click.option("--budget", type=click.FloatRange(0), default=0.0, help="seconds after which to stop; 0: none")
@click.option("--jobs", "processes", type=click.IntRange(1), default=os.cpu_count() or 1, help="processes")
@click.option("--name", default="sweep", help="of the directory under .build/attacks/sweeps")
@click.option("--fresh", is_flag=True, help="forget what the directory holds instead of going on")
def main(
    names: str,
    count: int,
    seed: int,
    seeds: int,
    budget: float,
    processes: int,
    name: str,
    fresh: bool,
    **grid: tuple[int, ...],
) -> None:
    """Sweep the oracle's parameters over attacks and controls, and draw the frontier."""
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        found = _find(names.split(","))
        rules = choices(grid, count, seed)
        todo = jobs(rules, [(str(file), attack.variant) for file, attack in found], seeds)
        _check(found, rules)
        head = {
            "grid": {parameter: list(values) for parameter, values in grid.items()},
            "points": count,
            "seed": seed,
            "seeds": seeds,
            "attacks": [Job(None, str(file), attack.variant, 0).run for file, attack in found],
            **digests("contracts", "python_ref"),
            "scripts/attacks": _digest([file for file, _ in found]),
        }
        directory = SWEEPS / name
        with SweepJournal(directory, head, fresh) as journal:
            sys.exit(_run(journal, head, todo, processes, budget))
    except (SweepError, JournalError) as error:
        errors.print(str(error))
        sys.exit(2)


def _find(names: Sequence[str]) -> list[tuple[Path, Attack]]:
    found = []
    for name in names:
        matching = files.find(name)
        if not matching:
            raise SweepError(f"--attacks {name}: none in {files.LIBRARY.name}/; give a number, as a02, or a file")
        for file in matching:
            try:
                found += [(file, attack) for attack in variants(str(file)).values()]
            except (ScenarioError, OSError) as error:
                raise SweepError(f"--attacks {name}: {error}") from None
    return found


def _check(found: Sequence[tuple[Path, Attack]], rules: Sequence[Rules]) -> None:
    """Every point must be one that the oracle accepts, in every attack."""
    for file, attack in found:
        for point in rules:
            for market in changed(attack, Job(point, str(file), attack.variant, 0)).markets:
                if not market.rules.fits():
                    values = ", ".join(f"{name} {value}" for name, value in zip(PARAMETERS, point, strict=True))
                    raise SweepError(f"{values}: the oracle does not accept these together (SPEC §14); change the grid")


def _digest(used: Sequence[Path]) -> str:
    """Of the files of the attacks and of what plays them, but not of what shows them."""
    found = sha256()
    code = {path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith(("report", "frontier"))}
    for path in sorted(code | set(used)):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def _run(journal: SweepJournal, head: dict[str, Any], todo: list[Job], processes: int, budget: float) -> int:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    done = {outcome.place: outcome for outcome in journal.outcomes()}
    left = [place for place in range(len(todo)) if place not in done]
    if done:
        console.print(f"{journal.directory}: {len(done)} runs are done, {len(left)} to go")
    for contract in paths():
        artifact(contract)  # compiled once, before processes share the cache
    code, lost, began = 0, 0, time.monotonic()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("runs", total=len(todo), completed=len(done))
        try:
            with closing(play_all(todo, left, processes)) as results:
                for result in results:
                    if isinstance(result, Lost):
                        lost += 1
                        console.print(f"{todo[result.seed]}: {result.reason.splitlines()[0][:REASON]}")
                    else:
                        journal.keep(result)
                        done[result.place] = result
                    progress.update(bar, advance=1)
                    if budget and time.monotonic() - began > budget:
                        code = 3
                        break
        except KeyboardInterrupt:
            code = 130
    _finish(journal, head, todo, done, console)
    return 1 if lost else code if len(done) < len(todo) else 0


def _finish(
    journal: SweepJournal, head: dict[str, Any], todo: list[Job], done: dict[int, Outcome], console: Console
) -> None:
    """Write page and summary of what there is."""
    found = points(todo, done)
    left = len({job.rules for job in todo}) - len(found)
    if left:
        console.print(f"{len(done)} of {len(todo)} runs are done; the same command goes on from {journal.directory}")
    if not found:
        console.print("no choice of rules has all its runs yet, so there is no page")
        return
    for path, text in (
        (journal.directory / "frontier.json", json.dumps(summary(found, head, left), indent=1, sort_keys=True) + "\n"),
        (journal.directory / "frontier.html", page(found, left)),
    ):
        path.write_text(text)
        console.print(str(path))


if __name__ == "__main__":
    main()
