"""How fast calls are compared: ``make bench``, or ``python -m scripts.bench``.

One sequence of mixed operations (22 accounts, two markets, refusals included), steered by the campaigns' regime
"crowd" in walks of 500 calls, is recorded once and played on every backend by the twin, which compares return value,
revert reason, events and every storage word after each call: on revm and ape word by word, on anvil by one digest of
all words. The baseline is ape as its users drive it: one transaction after the other through ape's contract objects to
an anvil node, of which only success is looked at and nothing is compared. Slow drivers play the beginning. Rates are of
one process on this machine, today.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import ape
import click
from eth_utils import to_checksum_address
from rich.console import Console
from rich.table import Table

from scripts.campaign.operations import Operations
from scripts.campaign.regimes import BY_NAME
from scripts.campaign.setup import SPECS, Setup, build
from scripts.campaign.steering import Steering
from scripts.chain import KINDS, ChainUnavailable, make_chain
from scripts.chain.anvil import AnvilChain
from scripts.chain.base import GAS_LIMIT
from scripts.twin import Step, Twin

TRADERS, SECONDS = 20, 2
SETUP = Setup(specs=SPECS[:2])
LIFE = 500
"""Calls after which a walk starts on a fresh deployment, before its books are worn out."""

BASELINE = "ape, plain"
SHARE = {"revm": 1.0, "anvil": 0.2, "ape": 0.05, BASELINE: 0.04}
"""How much of the sequence each driver plays."""


@dataclass(frozen=True)
class Sequence:
    """A walk from a fresh deployment: money first, then what is timed."""

    opening: list[Step]
    steps: list[Step]


def record(steps: int, seed: int) -> list[Sequence]:
    """Walks of at most ``LIFE`` calls each, over all kinds of operations, ``steps`` calls in all."""
    regime = replace(BY_NAME["crowd"], setup=SETUP, traders=TRADERS, seconds=SECONDS)
    walks: list[Sequence] = []
    while (left := steps - sum(len(walk.steps) for walk in walks)) > 0:
        with make_chain("revm") as chain:
            ops = Operations(chain, SETUP, TRADERS, SECONDS)
            steering = Steering(ops, regime, Random(f"{seed} {len(walks)}"))
            steering.open()
            opening = len(ops.trace)
            end = opening + min(left, LIFE)
            while len(ops.trace) < end:
                steering.move()
            walks.append(Sequence(ops.trace[:opening], ops.trace[opening:end]))
    return walks


def cut(walks: list[Sequence], steps: int) -> list[Sequence]:
    """The beginning: the first walks, the last of them cut short."""
    taken: list[Sequence] = []
    for walk in walks:
        left = steps - sum(len(t.steps) for t in taken)
        if left > 0:
            taken.append(Sequence(walk.opening, walk.steps[:left]))
    return taken


def compared(kind: str, walks: list[Sequence]) -> dict[str, Any]:
    """Play on a chain of ``kind``, comparing everything; openings are not timed."""
    steps = words = 0
    spent = 0.0
    for walk in walks:
        with make_chain(kind) as chain:
            twin = build(chain, SETUP).twin
            _play(twin, walk.opening)
            began = time.perf_counter()
            for step in walk.steps:
                _play(twin, [step])
                words += twin.words
            spent += time.perf_counter() - began
            steps += len(walk.steps)
            twin.check_all()
    return _row(kind, steps, spent, words // steps)


def plain_ape(walks: list[Sequence]) -> dict[str, Any]:
    """The same calls through ape's own contract objects to a node; nothing is compared."""
    from ape.logging import LogLevel, logger

    logger.set_level(LogLevel.ERROR + 1)  # it calls every refused transaction an error
    steps, spent = 0, 0.0
    for walk in walks:
        with make_chain("anvil") as chain:
            assert isinstance(chain, AnvilChain)
            twin = build(chain, SETUP).twin
            _play(twin, walk.opening)
            chain.rpc("evm_setAutomine", True)
            with _ape_on(chain.url) as provider:
                driver = _PlainApe(twin, provider)
                began = time.perf_counter()
                for step in walk.steps:
                    driver.make(step)
                spent += time.perf_counter() - began
                steps += len(walk.steps)
    return _row(BASELINE, steps, spent, 0)


class _PlainApe:
    """ape as a script uses it: contract objects, accounts that the node unlocks, one transaction after the other."""

    def __init__(self, twin: Twin, provider: Any) -> None:
        self.twin, self.provider = twin, provider
        self.contracts: dict[str, Any] = {}

    def make(self, step: Step) -> None:
        if step.name not in self.contracts:
            known = self.twin.chain.contract(self.twin.address(step.name))
            self.contracts[step.name] = ape.Contract(
                to_checksum_address(known.address), abi=list(known.artifact.abi), fetch_from_explorer=False
            )
        accounts = self.provider.account_manager.test_accounts
        self.provider.set_timestamp(step.now)
        getattr(self.contracts[step.name], step.function)(
            *step.args,
            sender=accounts.impersonate_account(to_checksum_address(step.sender)),
            raise_on_revert=False,
            gas_limit=GAS_LIMIT,
            max_fee=0,
            max_priority_fee=0,
        )


@contextmanager
def _ape_on(url: str) -> Iterator[Any]:
    with ape.networks.ethereum.local.use_provider("foundry", provider_settings={"host": url}) as provider:
        yield provider


def _play(twin: Twin, steps: list[Step]) -> None:
    for step in steps:
        twin.advance(max(0, step.now - twin.chain.now))
        twin.call(step.name, step.function, step.sender, *step.args)


def _row(driver: str, steps: int, spent: float, words: int) -> dict[str, Any]:
    return {"driver": driver, "steps": steps, "seconds": spent, "rate": steps / spent, "words": words}


@click.command(help="How fast calls are compared, against ape's own driver in the same run.")
@click.option("--steps", type=click.IntRange(min=200), default=6_000, show_default=True, help="calls in the sequence")
@click.option("--seed", type=int, default=1, show_default=True, help="of the sequence")
@click.option("--json", "target", type=click.Path(dir_okay=False, path_type=Path), help="also write the figures there")
def main(steps: int, seed: int, target: Path | None) -> None:
    """The command."""
    errors = Console(stderr=True, markup=False, highlight=False)
    whole = record(steps, seed)
    rows = []
    for driver in (*KINDS, BASELINE):
        errors.print(f"{driver} …", style="dim")
        part = cut(whole, int(steps * SHARE[driver]))
        try:
            rows.append(plain_ape(part) if driver == BASELINE else compared(driver, part))
        except ChainUnavailable as error:
            errors.print(f"{driver}: {error}")
    base = next((row["rate"] for row in rows if row["driver"] == BASELINE), None)
    table = Table(title="Calls a second, one process", title_justify="left")
    for name in ("driver", "calls", "seconds", "calls/s", "words compared a call", f"× {BASELINE}"):
        table.add_column(name, justify="left" if name == "driver" else "right")
    for row in rows:
        row["ratio"] = row["rate"] / base if base else None
        ratio = f"{row['ratio']:,.0f}" if row["ratio"] else "–"
        cells = f"{row['steps']:,}", f"{row['seconds']:.1f}", f"{row['rate']:,.0f}", f"{row['words']:,}", ratio
        table.add_row(row["driver"], *cells)
    Console(width=110).print(table)
    if target is not None:
        target.write_text(json.dumps({"seed": seed, "accounts": TRADERS + SECONDS, "rows": rows}, indent=1) + "\n")
    sys.exit(0 if base else 1)


if __name__ == "__main__":
    main()
