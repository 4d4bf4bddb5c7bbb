"""What a person should take from an attack: whether this oracle held, lost as is known, or did what nobody expected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from scripts.attacks.expect import DUST
from scripts.attacks.report_text import not_live
from scripts.attacks.result import DEPLOYMENTS, Run

HELD = "held"
LOST = "lost (known)"
CONTROL = "control"
DIFFERS = "differs"
HARMED = "harmed"
NOT_RUN = "not run"

MEANING = {
    HELD: "no profit for the attacker, nobody healthy closed, and all expectations met",
    CONTROL: "no attack: a real move of the price. What it costs is the price of protection",
    LOST: "a loss that this design is known not to prevent; it came as expected",
    HARMED: "as the file expects, but the attacker gained or healthy accounts were closed",
    NOT_RUN: "the defended deployment is not in the file of results",
    DIFFERS: "an expectation was not met: a bug in the contracts, the attack or the expectation",
}
"""The verdicts, and what each says; the later the worse."""

_ORDER = list(MEANING)


@dataclass(frozen=True)
class Variant:
    """The runs of one attack as one variant of its file has it."""

    runs: dict[str, Run]  # by deployment

    @property
    def first(self) -> Run:
        """Any run: what they have in common."""
        return next(iter(self.runs.values()))

    @property
    def key(self) -> str:
        """A name to link to."""
        words = f"{self.first.attack} {self.first.variant}".lower().replace("%", " percent").split()
        return "".join(c for c in "-".join(words) if c.isalnum() or c in "-_")

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
        return HELD if defended.metrics.attacker_profit <= DUST and not defended.metrics.wrongful_count else HARMED


@dataclass(frozen=True)
class Worst:
    """What the summary says of one deployment: each number from the variant in which it is greatest."""

    attacker_profit: float
    wrongful_count: int
    bad_debt: float
    not_live: float  # seconds


@dataclass(frozen=True)
class Attack:
    """One file of the library."""

    name: str
    variants: list[Variant]

    @property
    def first(self) -> Run:
        """Any run: what they have in common."""
        return self.variants[0].first

    @property
    def label(self) -> str:
        """Its number in the catalogue, A07; of an attack that is not from there the file's name."""
        number = self.name.split("_")[0]
        return number.upper() if number[:1] == "a" and number[1:].isdigit() else self.name

    @property
    def control(self) -> bool:
        """Whether nothing is attacked here."""
        return self.first.control

    @property
    def verdict(self) -> str:
        """The worst of its variants'."""
        return max((variant.verdict for variant in self.variants), key=_ORDER.index)

    def worst(self, deployment: str) -> Worst | None:
        """Over the variants; None if the deployment was not played."""
        return worst([variant.runs[deployment] for variant in self.variants if deployment in variant.runs])


def worst(runs: list[Run]) -> Worst | None:
    """The greatest of each number; None of no runs."""
    if not runs:
        return None
    metrics = [run.metrics for run in runs]
    return Worst(
        max(m.attacker_profit for m in metrics),
        max(m.wrongful_count for m in metrics),
        max(m.bad_debt for m in metrics),
        max(map(not_live, runs)),
    )


def attacks(runs: Iterable[Run]) -> list[Attack]:
    """Runs put together by attack and variant, in the order of their names.

    :class:`ValueError` if one is there twice.
    """
    found = []
    for name, of_name in groupby(sorted(runs, key=_name), key=lambda run: run.attack):
        variants = [Variant(_by_deployment(list(group))) for _, group in groupby(of_name, key=_name)]
        found.append(Attack(name, variants))
    return found


def _by_deployment(runs: list[Run]) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for run in runs:
        if run.deployment in found:
            which = f"{run.attack}, {run.variant}" if run.variant else run.attack
            raise ValueError(f"{which}: two runs of the deployment {run.deployment}; remove one")
        found[run.deployment] = run
    return {deployment: found[deployment] for deployment in DEPLOYMENTS if deployment in found}


def _name(run: Run) -> tuple[str, str]:
    return run.attack, run.variant
