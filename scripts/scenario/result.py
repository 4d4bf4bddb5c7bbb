"""What a performance leaves behind: rows by stage, receipts, and how everybody came to his final equity. WAD."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from python_ref.oracle_words import Prices
from scripts.scenario.rows import Row
from scripts.scenario.story import Scenario

CAUSES = ("deposits", "prices", "trades", "liquidations", "fund", "ADL", "rebases", "unpaid", "other")
"""Why an account's equity changed; over all causes the changes of an account add up to its final equity.

prices: and funding; trades: fees and prices off the index; liquidations: penalties, and what takers earned; fund:
cover, takeovers, fees and money moved inside the fund; ADL: closed worse than at the index; unpaid: losses of a
bankrupt that others bear, so positive.
"""


@dataclass
class Stage:
    """What happened between two stage titles. ``gas`` sums all calls, ``top`` is the dearest."""

    title: str
    rows: list[Row] = field(default_factory=list)
    calls: int = 0
    gas: int = 0
    top: int = 0
    top_call: str = ""


@dataclass(frozen=True)
class Receipt:
    """One default as its receipt proves it, WAD real: ``cover + seized + booked`` is the deficit, within dust."""

    account: str
    deficit: int
    cover: int
    seized: int
    booked: int
    bands: int
    legs: int


@dataclass(frozen=True)
class Paid:
    """How an account came from its deposits to its final equity, WAD."""

    name: str
    changes: dict[str, int]
    equity: int

    @property
    def profit(self) -> int:
        """Final equity less deposits."""
        return self.equity - self.changes["deposits"]


@dataclass(frozen=True)
class Result:
    """A played scenario."""

    scenario: Scenario
    backend: str
    stages: list[Stage]
    receipts: list[Receipt]
    paid: list[Paid]
    providers: dict[str, tuple[int, int]]  # deposited, worth now
    bystanders: dict[str, bool]  # whether unchanged
    markets: dict[str, Prices]  # and quotes, as the oracle has them at the end
    surplus: int
    in_transit: int
    bad_debt: int
    claim_index: int
    claim_epoch: int
    checks: int
    steps: int
    compared: int
    drift: Fraction


def show_exactly(value: int) -> str:
    """A WAD number as a decimal without rounding."""
    sign, digits = "-" if value < 0 else "", str(abs(value)).rjust(19, "0")
    return f"{sign}{digits[:-18]}.{digits[-18:]}".rstrip("0").rstrip(".")
