"""Measure the mutation score: ``make mutants``, or ``python -m scripts.mutants``.

Exit codes: 0 the score is reached; 1 it is not, or an argued equivalence is out of date; 2 an option cannot be used.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from pathlib import Path
from random import Random

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.mutants import report
from scripts.mutants.equivalent import EquivalentError, load
from scripts.mutants.odd import REGIMES
from scripts.mutants.operators import Mutant, all_mutants
from scripts.mutants.runner import confirm, groups, run
from scripts.mutants.source import SUBSYSTEMS, modules
from scripts.mutants.state import CONFIRMED, SURVIVED, State
from scripts.mutants.suite import DIRECTED, SCENARIOS, Suite, digest_of, directed, odd_walks, walks

SEEDS, STEPS = 21, 300


@click.command(context_settings={"show_default": True})
@click.option("--target", "targets", type=click.Choice(list(SUBSYSTEMS)), multiple=True, help="only these subsystems")
@click.option("--sample", type=click.IntRange(0), default=0, help="only so many mutants, chosen by --seed; 0: all")
@click.option("--seed", type=click.IntRange(0), default=1, help="of the sample")
@click.option("--budget", type=click.IntRange(0), default=0, help="seconds after which to stop; 0: none")
@click.option("--jobs", type=click.IntRange(1), default=1, help="processes")
@click.option(
    "--least", type=click.FloatRange(0, 100), default=95.0, help="score to reach, percent, in every subsystem"
)
@click.option("--fresh", is_flag=True, help="forget earlier results")
@click.option("--again", is_flag=True, help="try the survivors again")
@click.option("--confirm", "confirming", is_flag=True, help="then build each survivor alone and try it again")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="write the summary there as JSON")
def main(
    targets: tuple[str, ...],
    sample: int,
    seed: int,
    budget: int,
    jobs: int,
    least: float,
    fresh: bool,
    again: bool,
    confirming: bool,
    out: Path | None,
) -> None:
    """Break the contracts in every small way there is, and see whether the comparison with the model notices."""
    console, errors = Console(highlight=False), Console(stderr=True, highlight=False, soft_wrap=True)
    if out is not None and not out.resolve().parent.is_dir():
        errors.print(f"--out {out}: there is no such directory to write to")
        sys.exit(2)
    try:
        argued = load()
    except EquivalentError as error:
        errors.print(str(error))
        sys.exit(2)
    everything = list(all_mutants(modules()))
    mutants = choose(everything, targets, sample, seed)
    state = State()
    if fresh:
        state.forget(mutants)
    if again:
        found = state.read(mutants)
        state.forget(m for m in mutants if m.name in found and found[m.name].status in (SURVIVED, CONFIRMED))
    for alone in (False, True)[: 1 + confirming]:
        left = sorted(_left(mutants, state, alone), key=lambda m: argued.argument(m) is not None)
        if left:
            what = "survivors, each to build alone" if alone else "mutants to try"
            console.print(f"{len(mutants):,} mutants; {len(left):,} {what}; recording the tapes")
            if not _try(left, state, everything_recorded(), jobs, budget, alone, console):
                console.print(f"stopped after {budget} s: the same command goes on")
    results = state.read(mutants)
    summary = report.summarise(mutants, results, argued, digest_of(("contracts",)))
    report.show(summary, console)
    if out is not None:
        report.write(summary, out)
        console.print(f"written: {out}")
    problems = list(argued.problems(everything, results))
    for problem in problems:
        errors.print(problem)
    sys.exit(1 if problems or not summary.reaches(least) else 0)


def choose(everything: list[Mutant], targets: tuple[str, ...], sample: int, seed: int) -> list[Mutant]:
    """The mutants that are asked for, in a fixed order."""
    mutants = [m for m in everything if not targets or m.subsystem in targets]
    if 0 < sample < len(mutants):
        chosen = set(Random(seed).sample(sorted(m.name for m in mutants), sample))
        mutants = [m for m in mutants if m.name in chosen]
    return mutants


def everything_recorded() -> Suite:
    """Everything that a mutant has to survive, the cheapest first."""
    stages = [
        walks(range(SEEDS), STEPS),
        odd_walks(range(len(REGIMES)), STEPS),
        directed(SCENARIOS),
        directed(DIRECTED),
    ]
    return Suite(stages)


def _left(mutants: list[Mutant], state: State, alone: bool) -> list[Mutant]:
    """Those without a result; with ``alone`` the survivors of a shared build."""
    found = state.read(mutants)
    if alone:
        return [m for m in mutants if m.name in found and found[m.name].status == SURVIVED]
    return [m for m in mutants if m.name not in found]


def _try(
    mutants: list[Mutant], state: State, suite: Suite, jobs: int, budget: int, alone: bool, console: Console
) -> bool:
    """Run what is left in other processes, which append to the state; False if the budget ran out first."""
    parts = [mutants[i::jobs] for i in range(jobs)]
    if not alone:
        shared = groups(mutants, jobs=jobs)
        parts = [[mutant for group in shared[i::jobs] for mutant in group] for i in range(jobs)]
    context = multiprocessing.get_context("fork")  # the tapes are large and already here
    work = _confirm if alone else _work
    workers = [context.Process(target=work, args=(part, state, suite)) for part in parts if part]
    for worker in workers:
        worker.start()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    ends = time.monotonic() + budget if budget else None
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("mutants", total=len(mutants))
            while any(worker.is_alive() for worker in workers):
                alive = sum(r.status in (SURVIVED, CONFIRMED) for r in state.read(mutants).values())
                done = len(mutants) - len(_left(mutants, state, alone))
                progress.update(bar, completed=done, description=f"mutants, {alive} survive")
                if ends is not None and time.monotonic() > ends:
                    return False
                workers[0].join(1) if workers[0].is_alive() else time.sleep(1)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    if any(worker.exitcode for worker in workers):
        raise click.ClickException("a process failed; what it said is above")
    return True


def _work(mutants: list[Mutant], state: State, suite: Suite) -> None:
    run(mutants, suite, state.read(mutants), state.add)


def _confirm(mutants: list[Mutant], state: State, suite: Suite) -> None:
    confirm(mutants, suite, state.add)


if __name__ == "__main__":
    main()
