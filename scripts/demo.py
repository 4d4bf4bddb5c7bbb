"""Play a scenario on a local chain and tell it table by table: ``make demo``, or ``python -m scripts.demo``.

Exit codes: 0 told to the end; 1 the chain cannot be had, or the story went otherwise than expected; 2 the scenario
file or an option cannot be used.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.chain import BACKEND, Chain, ChainUnavailable, make_chain
from scripts.scenario import POLICIES, Result, Scenario, ScenarioError, load
from scripts.scenario.report import print_stage, print_summary, to_json, write_json
from scripts.scenario.runner import Player
from scripts.scenario.story import policy_of

DEFAULT = Path(__file__).resolve().parent.parent / "tests" / "scenarios" / "cvx_2025_10_10.yaml"

WIDTH = 150
"""Columns that the tables need; a narrower terminal folds the lines."""

BACKENDS = {
    "revm": "revm, in this process",
    "anvil": "an anvil node",
    "ape": "ape's local chain, in this process",
}


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    options = _options(arguments)
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = max(console.width, WIDTH)
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        scenario = load(options.scenario)
    except ScenarioError as error:
        errors.print(f"{options.scenario}: {error}")
        return 2
    if options.json is not None and not options.json.resolve().parent.is_dir():
        errors.print(f"{options.json}: there is no such directory to write to")
        return 2
    if options.policy is not None:
        scenario = scenario.with_policy(options.policy)
    try:
        chain = make_chain(options.backend)
    except ChainUnavailable as error:
        errors.print(f"{options.backend}: {error}")
        return 1
    started = time.monotonic()
    with chain:
        console.print(scenario.name, style="bold")
        console.print(f"chain: {BACKENDS[options.backend]}; {_policies(scenario)}")
        if scenario.about:
            console.print(scenario.about)
        console.print()
        try:
            result = perform(scenario, chain, console)
        except AssertionError as error:  # an expectation, a mismatch, an invariant or the exact ledger
            errors.print(f"{options.scenario}: {error}")
            return 1
    print_summary(console, result)
    console.print(f"{time.monotonic() - started:.1f} s", style="dim")
    if options.json is not None:
        try:
            write_json(options.json, to_json(result))
        except OSError as error:
            errors.print(f"{options.json}: {error.strerror}")
            return 2
        console.print(f"written: {options.json}")
    return 0 if all(result.bystanders.values()) else 1


def perform(scenario: Scenario, chain: Chain, console: Console) -> Result:
    """Play, print each stage as soon as it is over, and show how far it is."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("deploying and funding", total=len(scenario.steps))
        player = Player(scenario, chain)
        told = 0
        for step in scenario.steps:
            player.play(step)
            progress.update(bar, advance=1, description=player.stages[-1].title)
            while told < len(player.stages) - 1:
                told += 1
                print_stage(console, player.stages[told - 1], told)
        print_stage(console, player.stages[told], told + 1)
        progress.update(bar, description="comparing every word")
        return player.finish()


def _policies(scenario: Scenario) -> str:
    return f"policy: {', '.join(sorted({policy_of(spec) for spec in scenario.markets}))}"


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="Play a scenario and tell it table by table.")
    parser.add_argument("--policy", choices=sorted(POLICIES), help="deleveraging policy of all markets")
    where = f"chain to play on (default: {BACKEND})"
    parser.add_argument("--backend", choices=BACKENDS, default=BACKEND, help=where)
    parser.add_argument("--scenario", type=Path, default=DEFAULT, metavar="FILE", help="scenario file (YAML)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
