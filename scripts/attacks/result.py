"""What a run of an attack leaves behind: series, events, metrics and the verdict, and the file that holds many runs.

Numbers are floats in plain units (money, base units, prices in money per unit), times are seconds from the first step.
``.build/attacks/results.json`` is a list of runs, one for each attack and deployment; the report is made from it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[2] / ".build" / "attacks" / "results.json"

DEPLOYMENTS = ("naive", "typical", "defended")
"""The three oracles that every attack is run against."""

KINDS = ("liquidation", "takeover", "adl", "resolve", "rebase", "trade", "move", "refused", "state", "blocked")
"""What an event can be: a liquidation; an inheritance by the fund; one account's part in a deleveraging; a default
resolved; claims cut; a trade of an actor; a deposit, withdrawal or transfer; a step of an actor that was refused; a
change of the oracle's state; a poke or an operation of the keeper that the oracle made fail."""


@dataclass(frozen=True)
class Happening:
    """One thing that happened: what the chart marks and the table of accounts lists."""

    t: float
    kind: str  # one of KINDS
    account: str  # who, by the name of the file; "" where it is nobody
    size: float  # base units, signed as the position or the trade
    price: float  # at which it was done; 0 where there is none
    text: str  # one line for a person
    wrongful: bool = False  # closed though healthy at the true price


@dataclass(frozen=True)
class Expectation:
    """One line of the file's ``expect`` and what came of it."""

    metric: str
    wanted: str  # as in the file, e.g. "<= 0" or "DEGRADED@300 FROZEN@600"
    got: str
    ok: bool
    known: bool = False  # the wanted value is a loss: what is known not to be defended


@dataclass
class Metrics:
    """The metrics of research oracles §4. Money unless said otherwise; None: not measured on this chain."""

    attacker_profit: float = 0.0  # what its accounts could be paid at the true price, and has been, less what it put in
    wrongful_count: int = 0  # closings, wholly or in part, of accounts healthy at the true price; once per account
    wrongful_notional: float = 0.0  # their size at the true price
    double_liq: int = 0  # accounts wrongfully closed whose opposite side was wrongfully closed, too
    late_liq_bad_debt: float = 0.0  # part of bad_debt of accounts that were bankrupt at truth, too, when resolved
    bad_debt: float = 0.0  # what bankrupts lacked when resolved, at the deployment's index, or lack at the end
    insurance_drawdown: float = 0.0  # most that the fund was below its start, at the true price
    adl_count: int = 0  # accounts deleveraged
    adl_notional: float = 0.0  # their size at the true price
    adl_regret: float = 0.0  # what they would have had more at the mean truth of the ten minutes after
    overcredit_peak: float = 0.0  # while LIVE: highest credit_low / truth - 1, or truth / credit_high - 1
    mark_err_peak: float = 0.0  # highest |mark / truth - 1| while the mark is used (not FROZEN)
    mark_err_area: float = 0.0  # its integral over time, seconds
    time_in_state: list[float] = field(default_factory=lambda: [0.0] * 5)  # seconds, by state
    t_detect: float | None = None  # seconds from the first fault to the first state that is not LIVE
    t_recover: float | None = None  # seconds from the end of the last fault to LIVE for good
    user_lockout_seconds: float = 0.0  # seconds of FROZEN or of an oracle that reverts, with positions open
    gas_poke_max: float | None = None  # dearest poke, gas of the receipt


@dataclass
class Run:
    """One attack against one deployment."""

    attack: str  # stem of the file: a02_pyth_5402
    title: str
    source: str  # the incident
    about: str  # what happens, in a few sentences; "" if the file says nothing
    note: str  # where this differs from the research text, and why; "" if nowhere
    deployment: str  # one of DEPLOYMENTS
    variant: str  # "" or the name of the file's variant, e.g. "3 of 5 feeds"
    chain: str  # revm, anvil, ape
    step_s: float
    calls: int  # calls made on the contracts and the model, each compared
    t: list[float] = field(default_factory=list)
    truth: list[float] = field(default_factory=list)
    index: list[float] = field(default_factory=list)  # 0 where the oracle gave no answer (reverted)
    mark: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    credit_low: list[float] = field(default_factory=list)
    credit_high: list[float] = field(default_factory=list)
    state: list[int] = field(default_factory=list)  # -1 where the oracle gave no answer
    codes: list[list[int]] = field(default_factory=list)  # per step, per feed; -1 where there are none
    feeds: list[list[float]] = field(default_factory=list)  # per step, per feed: what it answers, 0 if nothing usable
    events: list[Happening] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)  # {from, to, feeds, text}: what was broken and when
    metrics: Metrics = field(default_factory=Metrics)
    expected: list[Expectation] = field(default_factory=list)
    lost_known: bool = False  # an expectation names a loss that is known not to be defended
    control: bool = False  # no fault: a real move, whose cost is the price of protection

    @property
    def ok(self) -> bool:
        """Whether everything came as expected."""
        return all(line.ok for line in self.expected)


def write(runs: list[Run], path: Path = RESULTS) -> None:
    """Write the runs as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(run) for run in runs], allow_nan=False) + "\n")


def read(path: Path = RESULTS) -> list[Run]:
    """The runs of a file that :func:`write` made."""
    return [_run(entry) for entry in json.loads(path.read_text())]


def _run(entry: dict[str, Any]) -> Run:
    run = Run(**entry)
    run.events = [Happening(**event) for event in entry["events"]]
    run.expected = [Expectation(**line) for line in entry["expected"]]
    run.metrics = Metrics(**entry["metrics"])
    return run
