"""Tour, scenarios and steered walks on probed code, and the branches they reach: ``python -m scripts.branches``.

Exit codes: 0 every source branch is reached or argued; 1 one is neither, or an argument is wrong; 2 an option or a file
cannot be used.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from scripts.branches.coverage import Coverage
from scripts.branches.report import ARGUMENTS, ArgumentError, Report, check_arguments, load_arguments
from scripts.branches.sites import COMPILER, PRODUCTION
from scripts.branches.tour import STOPS, take
from scripts.branches.walks import Run, play_scenarios, regimes, walk
from scripts.chain.artifacts import artifact

WIDTH = 140


@click.command()
@click.option("--steps", default=1_000, show_default=True, help="Compared steps of each walk; 0 for none.")
@click.option("--seed", default=0, show_default=True, help="Seed of the first walk of each regime.")
@click.option("--seeds", default=1, show_default=True, help="Walks of each regime, with consecutive seeds.")
@click.option("--json", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write the summary there.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write what was reached there.")
@click.option(
    "--also",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Add what an earlier run with --save reached; the sources must be the same.",
)
def main(steps: int, seed: int, seeds: int, target: Path | None, save: Path | None, also: tuple[Path, ...]) -> None:
    """Which branches of the contracts' bytecode are reached, and which source line lacks what."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = max(console.width, WIDTH)
    if steps < 0 or seeds < 0:
        raise click.UsageError("--steps and --seeds: wanted is a number from 0 on")
    try:
        arguments = load_arguments()
        coverage = sum_of(Coverage.load(path) for path in also)
    except (ArgumentError, OSError, ValueError, KeyError) as error:
        raise click.UsageError(str(error)) from error
    began = time.monotonic()
    runs = perform(console, steps, range(seed, seed + seeds))
    coverage |= sum_of(run.coverage for run in runs)
    report = Report(coverage, arguments)
    complaints = check_arguments(arguments, coverage)
    tell(console, report, complaints)
    seconds = round(time.monotonic() - began, 1)
    compared = sum(run.steps for run in runs)
    console.print(f"{len(runs)} runs, {compared:,} compared steps, {seconds} s; arguments: {ARGUMENTS.name}")
    if save is not None:
        coverage.save(save)
    if target is not None:
        target.write_text(json.dumps(summary(report, compared, seconds, (steps, seed, seeds)), indent=2) + "\n")
    sys.exit(1 if report.open() or complaints else 0)


def perform(console: Console, steps: int, seeds: range) -> list[Run]:
    """Everything, in order, with a bar."""
    walks = [(regime, seed) for regime in regimes() for seed in seeds] if steps else []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    runs = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("tour", total=len(STOPS) + len(walks))
        for stop in STOPS:
            progress.update(bar, description=f"tour: {stop.__name__.replace('_', ' ')}")
            runs.append(take(stop))
            progress.update(bar, advance=1)
        progress.update(bar, description="scenarios")
        runs += play_scenarios()
        for regime, seed in walks:
            progress.update(bar, description=f"walk: {regime.name}, seed {seed}")
            runs.append(walk(regime, seed, steps))
            progress.update(bar, advance=1)
    return runs


def sum_of(parts: Any) -> Coverage:
    """Union."""
    whole = Coverage()
    for part in parts:
        whole |= part
    return whole


def tell(console: Console, report: Report, complaints: list[str]) -> None:
    """Tables, and every line that lacks something."""
    table = Table("contract", title="Branches that the source has, two for each condition")
    for name in ("reached", "argued", "open", "of", "compiler's: reached", "of "):
        table.add_column(name, justify="right")
    rows = report.by_contract()
    total = {key: sum(row[key] for row in rows.values()) for key in next(iter(rows.values()))}
    for name, row in {**rows, "all": total}.items():
        table.add_row(name, *(f"{value:,}" for value in row.values()), style="bold" if name == "all" else None)
    console.print(table)
    table = Table("the compiler's own", "reached", "of", "what it is")
    for kind, counts in report.by_class().items():
        table.add_row(kind, f"{counts['reached']:,}", f"{counts['total']:,}", COMPILER[kind])
    console.print(table)
    for line in report.open_by_source():
        where = f"{line['file']}:{line['line']} {line['function']}"
        only = f"  (reached in others than {', '.join(line['contracts'])})" if line["elsewhere"] else ""
        console.print(f"{where}: {line['construct']} {line['condition']} -> {line['outcome']}{only}")
    for complaint in complaints:
        console.print(f"{ARGUMENTS.name}: {complaint}")


def summary(report: Report, steps: int, seconds: float, options: tuple[int, int, int]) -> dict[str, Any]:
    """What is committed: counts, no lists, and what they were counted on."""
    digest = hashlib.sha256()
    for name in PRODUCTION:
        digest.update(artifact(name).bytecode)  # ends with the compiler's hash over all sources
    return {
        "sources": digest.hexdigest(),
        "walks": dict(zip(("steps", "seed", "seeds"), options, strict=True)),
        "compared_steps": steps,
        "seconds": seconds,
        "contracts": report.by_contract(),
        "compiler": report.by_class(),
        "open": [
            {key: line[key] for key in ("file", "function", "construct", "condition", "outcome", "contracts")}
            for line in report.open_by_source()
        ],
    }


if __name__ == "__main__":
    main()
