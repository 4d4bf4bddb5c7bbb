"""What is run to see which branches are reached: the tour, the scenario files, and steered walks with a look around."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from scripts.branches.coverage import Coverage, CoverageChain
from scripts.branches.look import bind_lens, look
from scripts.campaign.operations import Operations
from scripts.campaign.regimes import REGIMES, Regime
from scripts.campaign.steering import Steering
from scripts.campaign.walk import PROVIDERS
from scripts.chain.artifacts import ROOT
from scripts.scenario import load, play

SCENARIOS = ROOT / "tests" / "scenarios"
LOOK_EVERY = 120
"""Steps between two looks around."""


@dataclass(frozen=True)
class Run:
    """One thing that was run: its name, the compared calls it made, and what it reached."""

    name: str
    steps: int
    coverage: Coverage


def play_scenarios(folder: Path = SCENARIOS) -> Iterator[Run]:
    """Every scenario file."""
    for path in sorted(folder.glob("*.yaml")):
        with CoverageChain() as chain:
            steps = play(load(path), chain).steps
            yield Run(path.stem, steps, chain.coverage())


def walk(regime: Regime, seed: int, steps: int, tick: Callable[[int], None] | None = None) -> Run:
    """One steered walk of that many steps on one deployment; ``tick`` is told of each further step."""
    r = Random(seed)
    with CoverageChain() as chain:
        ops = Operations(chain, regime.setup, regime.traders, regime.seconds)
        bind_lens(ops.system)
        steering = Steering(ops, regime, r)
        steering.open()
        looked = 0
        while ops.steps < steps:
            before = ops.steps
            steering.move()
            if tick is not None:
                tick(ops.steps - before)
            if ops.steps - looked >= LOOK_EVERY:
                looked = ops.steps
                look(ops.system, r.sample(ops.accounts, min(3, len(ops.accounts))), PROVIDERS, r)
        ops.finish()
        return Run(f"{regime.name} {seed}", ops.steps, chain.coverage())


def regimes() -> tuple[Regime, ...]:
    """Those of campaigns, in their order."""
    return tuple(REGIMES)
