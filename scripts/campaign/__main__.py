"""Run a campaign: ``make fuzz``, or ``python -m scripts.campaign``.

Exit codes: 0 nothing differs (and with ``--require-coverage`` everything was reached); 1 a difference, a violation, a
lost seed or a gap in the coverage; 2 an option, a directory or a cluster cannot be used; 130 interrupted, to be gone
on with by the same command.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from scripts.campaign.journal import CAMPAIGNS, Journal, JournalError
from scripts.campaign.progress import Progress
from scripts.campaign.regimes import BY_NAME
from scripts.campaign.seed import TOUR, Result, Task
from scripts.campaign.summary import Summary, coverage_errors, merge, show
from scripts.campaign.tour import take_tour
from scripts.campaign.versions import digests
from scripts.campaign.workers import ClusterError, Lost, here, on_cluster
from scripts.chain import KINDS, ChainUnavailable, artifact
from scripts.chain.artifacts import paths

SHRINK_S = 60.0
"""Seconds that may be spent on making one failure small."""


@click.command(context_settings={"show_default": True})
@click.option("--steps", type=click.IntRange(1), default=20_000, help="calls of production contracts, over all seeds")
@click.option("--seed", type=click.IntRange(0), default=1, help="the first seed")
@click.option("--seeds", type=click.IntRange(1), default=len(BY_NAME), help="how many seeds")
@click.option("--backend", type=click.Choice(KINDS), default="revm")
@click.option("--jobs", type=click.IntRange(1), default=os.cpu_count() or 1, help="processes on this machine")
@click.option("--cluster", default="", metavar="ADDRESS", help="of a Dask scheduler, as tcp://host:port")
@click.option("--regime", "regimes", type=click.Choice(list(BY_NAME)), multiple=True, help="only these, in rotation")
@click.option("--ideal-every", type=click.IntRange(1), default=25, help="calls between looks at the exact ledger")
@click.option("--name", default="", help="of the directory under .build/campaigns")
@click.option("--fresh", is_flag=True, help="forget what the directory holds instead of going on")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write the summary there")
@click.option("--require-coverage", is_flag=True, help="fail on what is neither reached nor excused")
@click.option("--tour/--no-tour", default=True, help="once take the directed tour, on revm")
@click.option("--shrink/--no-shrink", default=True, help="make the trace of a failure small")
def main(
    steps: int,
    seed: int,
    seeds: int,
    backend: str,
    jobs: int,
    cluster: str,
    regimes: tuple[str, ...],
    ideal_every: int,
    name: str,
    fresh: bool,
    json_file: Path | None,
    require_coverage: bool,
    tour: bool,
    shrink: bool,
) -> None:
    """Drive contracts and model through random lives, compared and judged after every step."""
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if json_file is not None and not json_file.resolve().parent.is_dir():
        errors.print(f"--json {json_file}: there is no such directory to write to")
        sys.exit(2)
    task = Task(-(-steps // seeds), backend, ideal_every, regimes or tuple(BY_NAME))
    head = {**task.as_dict(), "seed": seed, "seeds": seeds, "digests": digests("contracts", "python_ref")}
    directory = CAMPAIGNS / (name or f"{backend}-{seeds}x{task.steps}-{seed}")
    try:
        with Journal(directory, head, fresh) as journal:
            todo = range(seed, seed + seeds)
            sys.exit(_run(journal, task, todo, jobs, cluster, json_file, require_coverage, tour, shrink))
    except (JournalError, ClusterError) as error:
        errors.print(str(error))
        sys.exit(2)
    except ChainUnavailable as error:
        errors.print(f"--backend {backend}: {error}")
        sys.exit(2)


def _run(
    journal: Journal,
    task: Task,
    seeds: range,
    jobs: int,
    cluster: str,
    json_file: Path | None,
    require_coverage: bool,
    tour: bool,
    shrink: bool,
) -> int:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 140)
    summary = merge(journal.results())
    began = time.monotonic()
    left = [seed for seed in seeds if seed not in summary.done]
    if summary.seeds:
        console.print(f"{journal.directory}: {summary.seeds} seeds are done, {len(left)} to go")
    for contract in paths():
        artifact(contract)  # compiled once, before processes share the cache
    if tour and TOUR not in summary.done:
        toured = take_tour()
        journal.add(toured)
        summary.add(toured)
    jobs = min(jobs, max(1, len(left)))
    code = 0
    with Progress(console, summary, len(seeds), task.steps, jobs) as progress:
        results: Iterator[Result | Lost] = (
            on_cluster(task, left, progress.pulse, cluster, jobs)
            if left and (cluster or jobs > 1)
            else here(task, left, progress.pulse)
        )
        try:
            with closing(results):  # type: ignore[type-var]
                for result in results:
                    if isinstance(result, Lost):
                        summary.lost.append(result)
                    else:
                        journal.add(result)
                        summary.add(result)
                    summary.wall_s = journal.earlier_s + time.monotonic() - began
                    progress.done(result.seed)
        except KeyboardInterrupt:
            code = 130
    summary.wall_s = journal.earlier_s + time.monotonic() - began
    show(summary, console)
    if code:
        console.print(f"interrupted; the same command goes on from {journal.directory}")
        return code
    if json_file is not None:
        parameters = {**task.as_dict(), "seed": seeds[0], "seeds": len(seeds), "jobs": jobs, "cluster": cluster}
        json_file.write_text(json.dumps(summary.as_dict(parameters), indent=1, sort_keys=True) + "\n")
    if shrink:
        _shrink(journal, summary, console)
    gaps = coverage_errors(summary) if require_coverage else []
    for gap in gaps:
        console.print(gap, style="red", markup=False)
    return 0 if summary.clean and not gaps else 1


def _shrink(journal: Journal, summary: Summary, console: Console) -> None:
    """A scenario for each way in which seeds failed; the first seed of each way stands for all."""
    from scripts.campaign.replay import Recorded, dump_trace, load_trace
    from scripts.campaign.shrink import NothingFails
    from scripts.campaign.shrink import shrink as make_small
    from scripts.campaign.tell import CannotTell, write_scenario

    known: set[Any] = set()
    for failure in sorted(summary.failures, key=lambda f: f.seed):
        if failure.finding.key in known or failure.seed == TOUR:
            continue
        known.add(failure.finding.key)
        path = journal.trace_path(failure.seed)
        recorded = load_trace(path)
        try:
            setup, steps, finding = make_small(recorded.setup, recorded.steps, recorded.finding, SHRINK_S)
        except NothingFails:
            console.print(
                f"seed {failure.seed}: its calls alone do not fail on revm: {path}", style="red", markup=False
            )
            continue
        small = journal.directory / f"seed-{failure.seed}.yaml"
        try:
            write_scenario(setup, steps, finding, small, recorded.origin)
        except CannotTell:
            small = small.with_suffix(".json")
            dump_trace(small, Recorded(setup, steps, finding, recorded.origin))
        console.print(f"seed {failure.seed}: {len(recorded.steps)} calls made {len(steps)}", markup=False)
        console.print(f"  {finding.report()}", markup=False)
        console.print(f"  make demo SCENARIO={small}" if small.suffix == ".yaml" else f"  {small}", markup=False)


if __name__ == "__main__":
    main()
