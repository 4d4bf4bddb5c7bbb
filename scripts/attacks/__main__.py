"""Play attacks and hold them against their expectations: ``make attacks``, ``make attack NAME=a02``.

Exit codes: 0 everything came as expected; 1 something did not, or contract and model differ, or the chain cannot be
had; 2 a file or an option cannot be used.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from scripts.attacks.attack import LIBRARY, Attack, find, load
from scripts.attacks.expect import show
from scripts.attacks.play import Failed, results, title
from scripts.attacks.result import DEPLOYMENTS, RESULTS, Run, write
from scripts.chain import BACKEND, KINDS
from scripts.scenario.nodes import ScenarioError

CONTROL = "a41"
"""Shown beside every attack: what the protection costs where nothing is wrong but the price."""

WIDTH = 150
COST = ("bad_debt", "wrongful_notional", "user_lockout_seconds")


def collect(names: tuple[str, ...]) -> list[Attack]:
    """The attacks of those names, or all of the library; always with the control."""
    files = [file for name in names for file in _found(name)] if names else sorted(LIBRARY.glob("*.yaml"))
    control = [file for file in find(CONTROL) if file not in files]
    attacks = []
    for file in dict.fromkeys([*files, *control]):
        try:
            attacks += load(file)
        except ScenarioError as error:
            raise click.UsageError(f"{file.name}: {error}") from None
    return attacks


def _found(name: str) -> list[Path]:
    files = find(name)
    if not files:
        known = ", ".join(sorted(file.stem for file in LIBRARY.glob("*.yaml")))
        raise click.UsageError(f"no attack is called {name!r}; name a file, or one of {known}")
    return files


@click.command()
@click.argument("names", nargs=-1)
@click.option("--backend", type=click.Choice(KINDS), default=BACKEND, show_default=True, help="the chain to play on")
@click.option(
    "--deployment", "deployments", type=click.Choice(DEPLOYMENTS), multiple=True, help="only this one; may be repeated"
)
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="attacks at the same time")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="where the runs are written: .build/attacks/results.json of all, last.json of some",
)
@click.option("--events", is_flag=True, help="tell what happened in every run")
def main(
    names: tuple[str, ...], backend: str, deployments: tuple[str, ...], jobs: int, out: Path | None, events: bool
) -> None:
    """Play attacks (NAMES: the beginning of a name like a02, or a file of your own; all if none is given)."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = max(console.width, WIDTH)
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    attacks = collect(names)
    wanted = tuple(d for d in DEPLOYMENTS if d in deployments) or DEPLOYMENTS
    work = [(attack, wanted, backend) for attack in attacks]
    runs: list[Run] = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    failed = False
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("deploying", total=len(work))
        for done in results(work, jobs):
            if isinstance(done, Failed):
                errors.print(f"{done.name}: {done.why}")
                failed = True
                name = done.name
            else:
                runs += done
                name = title(done[0].attack, done[0].variant)
            progress.update(bar, advance=1, description=name)
            if not console.is_terminal:
                console.print(f"played: {name}", style="dim")
    out = out or (RESULTS.with_name("last.json") if names else RESULTS)
    try:
        write(runs, out)
    except OSError as error:
        raise click.UsageError(f"--out {out}: {error.strerror}") from None
    if events:
        for run in runs:
            _tell(console, run)
    _print(console, runs)
    console.print(f"written: {out}", style="dim")
    sys.exit(1 if failed or not all(run.ok for run in runs) else 0)


def _tell(console: Console, run: Run) -> None:
    console.print(f"{title(run.attack, run.variant)}, {run.deployment}", style="bold")
    for event in run.events:
        console.print(f"  {event.t:>8,.0f} s  {event.kind:<12}{event.text}{'  WRONGFUL' if event.wrongful else ''}")


def _print(console: Console, runs: list[Run]) -> None:
    """Expectation, result and verdict of every run, and below them what protection costs in the control."""
    table = Table(title="attacks: what is expected of each deployment, and what came of it", title_justify="left")
    for column in ("attack", "deployment", "metric", "expected", "result", "verdict"):
        table.add_column(column, overflow="fold")
    last = ""
    for run in (run for run in runs if not run.control):
        last = _rows(table, run, last)
    for run in (run for run in runs if run.control):
        last = _rows(table, run, last)
        for metric in COST:
            table.add_row(
                "", run.deployment, metric, "cost of protection", show(getattr(run.metrics, metric)), "control"
            )
    console.print(table)
    lines = [line for run in runs for line in run.expected]
    lost = sorted({title(run.attack, run.variant) for run in runs if run.lost_known})
    console.print(
        f"{len(runs)} runs, {sum(run.calls for run in runs):,} calls compared, {len(lines)} expectations, "
        f"{sum(not line.ok for line in lines)} differ; known to be lost: {', '.join(lost) or 'none'}"
    )


def _rows(table: Table, run: Run, last: str) -> str:
    name = title(run.attack, run.variant)
    for line in run.expected or ():
        verdict = "DIFFERS" if not line.ok else "lost (known)" if line.known else "ok"
        style = "red" if not line.ok else "yellow" if line.known else None
        label = f"{name}\n{run.title}" if name != last else ""
        table.add_row(label, run.deployment, line.metric, line.wanted, line.got, verdict, style=style)
        last = name
    return last


if __name__ == "__main__":
    main()
