"""The directed tour as a part of a campaign: once, for the refusals that no walk can come to.

The stops are those of :mod:`scripts.branches.tour`; each knows how every one of its calls has to end.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from typing import Any

from scripts.branches.coverage import CoverageChain
from scripts.branches.tour import STOPS
from scripts.campaign.seed import TOUR, Failure, Result
from scripts.chain import Artifact, CallReverted, Outcome
from scripts.scenario.finding import finding_of


class NotingChain(CoverageChain):
    """Counts how deployments, calls and views of production contracts end."""

    def __init__(self, outcomes: Counter[str]) -> None:
        super().__init__()
        self._outcomes = outcomes

    def deploy(self, contract: str | Artifact, *args: Any, sender: str, label: str = "") -> str:
        """As ever, and counted where it is refused."""
        try:
            return super().deploy(contract, *args, sender=sender, label=label)
        except CallReverted as refusal:
            name = contract if isinstance(contract, str) else contract.name
            self._outcomes[f"{name}.__init__: {refusal.reason}"] += 1
            raise

    def _run(self, sender: str, address: str, function: str, args: tuple[Any, ...], *, keep: bool) -> Outcome:
        outcome = super()._run(sender, address, function, args, keep=keep)
        contract = self.contract(address)
        if "Mock" not in contract.artifact.name and contract.label != "Token":
            name = function.partition("(")[0]
            self._outcomes[f"{contract.label}.{name}: {'ok' if outcome.ok else outcome.reason}"] += 1
        return outcome


def take_tour() -> Result:
    """Visit every stop on revm; the first that does not end as it has to is the result's failure."""
    result = Result(TOUR, regimes=["tour"], worker=f"{socket.gethostname()}:{os.getpid()}")
    began, cpu = time.monotonic(), time.process_time()
    for at, stop in enumerate(STOPS):
        with NotingChain(result.outcomes) as chain:
            try:
                result.calls += stop(chain)
            except Exception as error:
                finding = finding_of(error, stop.__name__)
                result.failure = Failure(TOUR, at + 1, "tour", "revm", finding)
                break
    result.steps = sum(result.outcomes.values())
    result.wall_s, result.cpu_s = time.monotonic() - began, time.process_time() - cpu
    return result
