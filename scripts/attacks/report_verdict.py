"""What a person should take from an attack: whether this oracle held, lost as is known, or did what nobody expected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from scripts.attacks.result import DEPLOYMENTS, Run

HELD = "held"
LOST = "lost (known)"
CONTROL = "control"
DIFFERS = "differs"
HARMED = "harmed"
NOT_RUN = "not run"

MEANING = {
    HELD: "no profit for the attacker, nobody healthy closed, and all expectations met",
    LOST: "a loss that this design is known not to prevent; it came as expected",
    CONTROL: "no attack: a real move of the price. What it costs is the price of protection",
    HARMED: "as the file expects, but the attacker gained or healthy accounts were closed",
    DIFFERS: "an expectation was not met: a bug in the contracts, the attack or the expectation",
    NOT_RUN: "the defended deployment is not in the file of results",
}
"""The verdicts, and what each says."""


@dataclass(frozen=True)
class Attack:
    """The runs of one attack, or of one variant of it."""

    key: str
    runs: dict[str, Run]  # by deployment

    @property
    def first(self) -> Run:
        """Any run: what they have in common."""
        return next(iter(self.runs.values()))

    @property
    def label(self) -> str:
        """Its number in the catalogue, A07; of an attack that is not from there the file's name."""
        name = self.first.attack
        number = name.split("_")[0]
        return number.upper() if number[:1] == "a" and number[1:].isdigit() else name

    @property
    def control(self) -> bool:
        """Whether nothing is attacked here."""
        return self.first.control

    @property
    def verdict(self) -> str:
        """One of :data:`MEANING`. A difference anywhere counts, the rest is judged by the defended deployment."""
        if any(not run.ok for run in self.runs.values()):
            return DIFFERS
        defended = self.runs.get(DEPLOYMENTS[-1])
        if defended is None:
            return NOT_RUN
        if defended.control:
            return CONTROL
        if defended.lost_known:
            return LOST
        return HELD if defended.metrics.attacker_profit <= 0 and not defended.metrics.wrongful_count else HARMED


def attacks(runs: Iterable[Run]) -> list[Attack]:
    """Runs put together by attack and variant, in the order of their names.

    :class:`ValueError` if one is there twice.
    """
    found = []
    for (name, variant), group in groupby(sorted(runs, key=_name), key=_name):
        by_deployment: dict[str, Run] = {}
        for run in group:
            if run.deployment in by_deployment:
                which = f"{name}, {variant}" if variant else name
                raise ValueError(f"{which}: two runs of the deployment {run.deployment}; remove one")
            by_deployment[run.deployment] = run
        key = "-".join((name + " " + variant).lower().split())
        ordered = {d: by_deployment[d] for d in DEPLOYMENTS if d in by_deployment}
        found.append(Attack("".join(c for c in key if c.isalnum() or c in "-_"), ordered))
    return found


def _name(run: Run) -> tuple[str, str]:
    return run.attack, run.variant
