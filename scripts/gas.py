"""Gas of every entry point on a real node, against targets and the last published figures: ``python -m scripts.gas``.

What is measured is the receipt's ``gasUsed`` on anvil. Every measured transaction stands alone in a block, at least
60 s after the one before, so funding moves each time. Nothing is warm. The oracle is poked by a transaction of its
own two seconds earlier, as a keeper would do it; what that poke costs is a row of its own.

"First" is the first time ever: new accounts, slots that were zero. "Second" is the same accounts again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.chain import Chain, ChainUnavailable, Outcome, account, make_chain
from scripts.chain.artifacts import ROOT
from scripts.rules import PROFILES
from scripts.system import GOVERNOR, KEEPER, WAD, Actor, MarketSpec, System, actor, deploy

SNAPSHOT = ROOT / "tests" / "gas_snapshot.json"
DRIFT_PERCENT = 2
PRICE = 1_000 * WAD
UNIT_SIZE = 10 * WAD
POKE_LEAD_S = 2
GAP_S = 60
CALM_S = 45 * 900
"""What the oracle's slow reference remembers: after it the credit edges are those of the index and the last premium."""


@dataclass(frozen=True)
class Row:
    """One operation: gas of the first and of the second occurrence, None where there is no such thing."""

    name: str
    first: int | None
    second: int | None
    target: int | None = None  # of the second occurrence
    dydx: int | None = None  # dYdX v3, measured

    @property
    def steady(self) -> int:
        """The figure that a target is about: the second occurrence where there is one."""
        figure = self.second if self.second is not None else self.first
        assert figure is not None
        return figure

    @property
    def over(self) -> bool:
        """Whether the figure is above its target."""
        return self.target is not None and self.steady > self.target


@dataclass(frozen=True)
class Slope:
    """Gas per further market or band, second occurrence: the difference of two rows over the difference in count."""

    name: str
    gas: int
    target: int | None = None

    @property
    def over(self) -> bool:
        """Whether the slope is above its target."""
        return self.target is not None and self.gas > self.target


@dataclass
class Report:
    """All that one run measured."""

    rows: list[Row] = field(default_factory=list)
    slopes: list[Slope] = field(default_factory=list)

    def figures(self) -> dict[str, int]:
        """Flat form: what the snapshot file holds."""
        flat = {}
        for row in self.rows:
            for when, gas in (("first", row.first), ("second", row.second)):
                if gas is not None:
                    flat[f"{row.name} | {when}"] = gas
        return flat | {f"{slope.name} | slope": slope.gas for slope in self.slopes}


_TRADE = (
    "20 cold slots read and 12 written (78 k), 5 to 6 events (16 k), signatures and calls between contracts (12 k), "
    "the transaction and its data (30 k): what is left to save is arithmetic, with two band labels by leverage"
)
_LIQUIDATION = (
    "the taker is margined and ranked as in a trade, and both accounts' positions, bands and cells are written: some "
    "80 k of storage; v3 has neither bands nor funding by index, nor a margin test at three edges"
)
_DEFAULT = (
    "one transaction closes the leg against everybody in the band, where v3 pays its price per counterparty; it reads "
    "the account four times (test, netting, cover, close) so that each stage stands on stored state"
)
REASONS: dict[str, str] = {
    "signed fill, two signatures": _TRADE,
    "take, one signature": _TRADE,
    "liquidation, in part": _LIQUIDATION,
    "liquidation, in full": _LIQUIDATION,
    "resolve over 1 band, 3 accounts in each": _DEFAULT,
    "resolve over 1 band, 300 accounts in each": _DEFAULT,
    "resolve, per band from 1 to 2": "band, cell and bitmap read and written (13 k), an event (2.8 k)",
    "resolve, per band from 2 to 5": "band and cell cold, read and written (10 k), an event (2.8 k)",
    "resolve, per band from 5 to 10": "as from 2 to 5, and from the ninth band on the policy is asked again",
    "rebase_claims, 1 market": "the bucket is looked at, and the domain's two words are written",
}
"""Row or slope: why it is over its target."""


class Bench:
    """A system with ``markets`` markets ranked LEVERAGE under BandQueue, and a clock that keeps the rules above.

    ``oracle``: fields of their :class:`MarketSpec`.
    """

    def __init__(self, chain: Chain, markets: int = 1, **oracle: Any) -> None:
        specs = [MarketSpec(f"M{i}", PRICE, **oracle) for i in range(markets)]
        self.system: System = deploy(chain, specs, full_every=10**9)
        self.markets = range(markets)
        self.prices = [PRICE] * markets
        self.system.fund_account(KEEPER, 10**6 * WAD)
        assert self.system.provide(account(50), 10**6 * WAD).ok
        for market in self.markets:
            self.system.twin.call("BackstopFund", "set_cap", GOVERNOR, market, 10**6 * WAD)
        self.open(actor("background long"), actor("background short"), 50 * WAD, 20_000 * WAD)
        # The next measured call must not be the first to write the sample that these trades left.
        self.wait(GAP_S)

    # the clock

    def wait(self, seconds: int) -> None:
        """Let time pass; the oracle is poked at its end, and the next call runs ``POKE_LEAD_S`` later."""
        self.system.twin.advance(seconds - POKE_LEAD_S)
        for market in self.markets:
            self.system.set_price(market, self.prices[market])
        self.system.twin.advance(POKE_LEAD_S)

    def calm(self) -> None:
        """Wait until the slow reference has reached the index."""
        self.wait(GAP_S)
        self.wait(CALM_S)

    def move(self, price: int, market: int = 0) -> None:
        """Let the market's price be ``price``."""
        self.prices[market] = price
        self.wait(GAP_S)

    # transactions

    def measure(self, function: str, sender: str, *args: Any, contract: str = "ClearingHouse") -> Outcome:
        """One transaction, in the block after the poke; it has to go through."""
        self.wait(GAP_S)
        return self.run(function, sender, *args, contract=contract)

    def run(self, function: str, sender: str, *args: Any, contract: str = "ClearingHouse") -> Outcome:
        """One transaction now; it has to go through."""
        outcome = self.system.twin.call(contract, function, sender, *args)
        assert outcome.ok, f"{function}: {outcome.reason}"
        return outcome

    def fund(self, who: Actor, amount: int) -> None:
        """Give the actor's account ``amount`` of money."""
        outcome = self.system.fund_account(who.address, amount)
        assert outcome.ok, outcome.reason

    def trade(self, buyer: Actor, seller: Actor, size: int, market: int = 0) -> Outcome:
        """An unsigned trade a little above the index, so that funding is never still. The seller is the taker."""
        price = self.prices[market] * 10_002 // 10_000
        outcome = self.system.trade(market, buyer.account(), seller.account(), size, price)
        assert outcome.ok, outcome.reason
        return outcome

    def open(self, buyer: Actor, seller: Actor, size: int, cash: int, markets: Iterable[int] = (0,)) -> None:
        """Fund both with ``cash`` per market and open ``size`` in each."""
        for market in markets:
            self.fund(buyer, cash)
            self.fund(seller, cash)
            self.trade(buyer, seller, size, market)

    def settle(self, maker: Actor, taker: Actor, size: int) -> Outcome:
        """A signed fill with two signatures in market 0: positive ``size`` is bought by the taker."""
        self.wait(GAP_S)
        s = self.system
        price = self.prices[0] * 10_002 // 10_000
        ours, our_sig = s.order(maker, 0, -size, price)
        theirs, their_sig = s.order(taker, 0, size, price)
        return self.run("settle_orders", KEEPER, ours, our_sig, theirs, their_sig, abs(size), contract="Orders")

    def take(self, maker: Actor, taker: Actor, size: int) -> Outcome:
        """A take of the maker's order in market 0: positive ``size`` is bought by the taker."""
        self.wait(GAP_S)
        price = self.prices[0] * 10_002 // 10_000
        order, signature = self.system.order(maker, 0, -size, price)
        args = order, signature, taker.account(), abs(size), False
        return self.run("take", taker.address, *args, contract="Orders")


def _bands(outcome: Outcome) -> list[int]:
    """Bands in which the call left positions, in order."""
    return [event.fields["band"] for event in outcome.events if event.name == "PositionChanged"]


def _sizes(outcome: Outcome) -> list[int]:
    """Sizes of the positions that the call changed, in order."""
    return [event.fields["size"] for event in outcome.events if event.name == "PositionChanged"]


# ---- the rows ------------------------------------------------------------------------------------

CASH = 2_000 * WAD
"""For 10 units at 1,000: leverage 5, own bankruptcy price 20 % away."""
THIN = 25 * WAD
"""Cash per unit of a trader at leverage 40: he is unhealthy after a fall of 1.5 %, bankrupt after 2.6 %."""
STEP = WAD // 100
"""A small increase, after which the label is the same."""


def custody(bench: Bench) -> list[Row]:
    """Deposits and withdrawals of an exempt account."""
    s = bench.system
    owner = actor("saver")
    for function in ("mint", "approve"):
        receiver = owner.address if function == "mint" else s.clearing_house.address
        bench.run(function, KEEPER if function == "mint" else owner.address, receiver, 10**12, contract="Token")
    deposits = [bench.measure("deposit", owner.address, owner.account(), 10**9).gas for _ in range(2)]
    out = [bench.measure("withdraw", owner.address, owner.account(), 10**8, owner.address).gas for _ in range(2)]
    return [
        Row("deposit", deposits[0], deposits[1], dydx=101_000),
        Row("withdraw, exempt", out[0], out[1], dydx=100_631),
    ]


def fills(bench: Bench) -> list[Row]:
    """Trades by two signatures, by one, and by a filler without any; one market each."""
    buyer, seller = actor("signing buyer"), actor("signing seller")
    for who in (buyer, seller):
        bench.fund(who, CASH)
    opened = bench.settle(seller, buyer, UNIT_SIZE)
    # Neighbours keep the two bands open when the pair has left, as in any market that is in use.
    bench.open(actor("neighbour long"), actor("neighbour short"), UNIT_SIZE, CASH)
    steady = bench.settle(seller, buyer, STEP)
    assert _bands(steady) == _bands(opened)
    closed = bench.settle(seller, buyer, -UNIT_SIZE - STEP)
    assert _sizes(closed) == [0, 0]
    reopened = bench.settle(seller, buyer, UNIT_SIZE)
    closed_again = bench.settle(seller, buyer, -UNIT_SIZE)
    rows = [
        Row("signed fill, two signatures", opened.gas, steady.gas, 165_000, 171_273),
        Row("signed fill, both open from flat", opened.gas, reopened.gas),
        Row("signed fill, both close", closed.gas, closed_again.gas),
    ]
    takes = []
    buyer, seller = actor("taking buyer"), actor("resting seller")
    for who in (buyer, seller):
        bench.fund(who, CASH)
    for size in (UNIT_SIZE, STEP):
        takes.append(bench.take(seller, buyer, size))
    assert _bands(takes[0]) == _bands(takes[1])
    rows.append(Row("take, one signature", takes[0].gas, takes[1].gas, 150_000))
    plain = []
    buyer, seller = actor("plain buyer"), actor("plain seller")
    for who in (buyer, seller):
        bench.fund(who, CASH)
    for size in (UNIT_SIZE, STEP):
        bench.wait(GAP_S)
        plain.append(bench.trade(buyer, seller, size))
    assert _bands(plain[0]) == _bands(plain[1])
    return [*rows, Row("fill alone, no signature", plain[0].gas, plain[1].gas)]


def liquidations(bench: Bench) -> list[Row]:
    """Liquidation of a long at leverage 40: in part by a fall of 1.8 %, in full by one of 2.3 %."""
    start = bench.prices[0]
    rows = []

    def victims(names: Sequence[str]) -> list[Actor]:
        """Reopen them; neighbours of the same leverage keep their band in use."""
        bench.prices[0] = start
        bench.calm()
        everybody = [actor(name) for name in names]
        for who in everybody:
            held = bench.system.clearing_house.load_account_word(who.account())
            cash = max(0, THIN * UNIT_SIZE // WAD - held.cash)
            if cash:
                bench.fund(who, cash)
            other = actor(f"other side of {who.name}")
            bench.fund(other, CASH)
            bench.trade(who, other, UNIT_SIZE)
        return everybody

    def liquidate(victim: Actor, taker: Actor) -> Outcome:
        return bench.measure("liquidate", taker.address, victim.account(), 0, taker.account(), 10**40)

    def holder(name: str) -> Actor:
        """A taker in a band shared with a neighbour, so large that what he takes does not move him out of it."""
        for who in (actor(name), actor(f"{name}'s neighbour")):
            bench.open(who, actor(f"other side of {who.name}"), 100 * UNIT_SIZE, 105 * CASH)
        return actor(name)

    def assert_stays(outcomes: Sequence[Outcome]) -> None:
        assert _bands(outcomes[-1])[1] == _bands(outcomes[-2])[1]

    # First: a taker without a position, in a band that nobody used. Second: the same account liquidated again, by
    # one who has taken over from it before.
    victim = victims(["part", "part neighbour"])[0]
    newcomer, taker = actor("new taker of parts"), holder("taker of parts")
    bench.fund(newcomer, CASH)
    parts = []
    for permille, by in ((982, newcomer), (980, taker), (978, taker)):
        bench.move(start * permille // 1_000)
        parts.append(liquidate(victim, by))
        assert 0 < _sizes(parts[-1])[0] < UNIT_SIZE
    assert_stays(parts)
    rows.append(Row("liquidation, in part", parts[0].gas, parts[-1].gas, 140_000, 142_196))

    bench.prices[0] = start
    bench.calm()
    newcomer, taker = actor("new taker of wholes"), holder("taker of wholes")
    bench.fund(newcomer, CASH)
    wholes = []
    for by in (newcomer, taker, taker):
        victim = victims(["whole", f"whole neighbour {len(wholes)}"])[0]
        bench.move(start * 977 // 1_000)
        wholes.append(liquidate(victim, by))
        assert _sizes(wholes[-1])[0] == 0
    assert_stays(wholes)
    rows.append(Row("liquidation, in full", wholes[0].gas, wholes[-1].gas, 130_000, 134_837))

    batch = victims([f"batch {i}" for i in range(5)])
    newcomer, taker = actor("new taker of batches"), holder("taker of batches")
    bench.fund(newcomer, 5 * CASH)
    batches = []
    for permille, by in ((982, newcomer), (978, taker)):
        bench.move(start * permille // 1_000)
        ids = tuple(who.account() for who in batch)
        batches.append(bench.measure("liquidate_batch", by.address, ids, 0, by.account(), 10**40))
        assert sum(event.name == "Liquidated" for event in batches[-1].events) == 5
    rows.append(Row("liquidate_batch, 5 accounts in part", batches[0].gas, batches[1].gas))

    takeovers = []
    for _ in range(2):
        victim = victims(["inherited", *([] if takeovers else ["inherited neighbour"])])[0]
        bench.run("top_up", KEEPER, 0, 1_000 * WAD, contract="BackstopFund")
        bench.move(start * 979 // 1_000)
        takeovers.append(bench.measure("take_over", KEEPER, victim.account(), 0))
    rows.append(Row("take_over by the fund's bucket", takeovers[0].gas, takeovers[1].gas))
    return rows


def upkeep(bench: Bench) -> list[Row]:
    """Settling, reranking, releasing, sweeping."""
    ann, ben = actor("kept long"), actor("kept short")
    bench.open(ann, ben, UNIT_SIZE, CASH)
    settles = [bench.measure("settle", KEEPER, ann.account(), 0).gas for _ in range(2)]
    reranks = []
    for _ in range(2):
        bench.fund(ann, CASH // 2)
        reranks.append(bench.measure("rerank", KEEPER, ann.account(), 0).gas)
    sweeps = []
    for _ in range(2):
        sweeps.append(bench.measure("sweep_fees", KEEPER, 0).gas)
        bench.trade(ann, ben, STEP)
    releases = []
    size = UNIT_SIZE + 2 * STEP
    for _ in range(2):
        bench.trade(ben, ann, size)
        releases.append(bench.measure("release", KEEPER, ben.account()).gas)
        size = UNIT_SIZE
        bench.trade(ann, ben, size)
    return [
        Row("settle a position", settles[0], settles[1]),
        Row("rerank to a safer band", reranks[0], reranks[1]),
        Row("sweep_fees", sweeps[0], sweeps[1]),
        Row("release", releases[0], releases[1]),
    ]


def poke(bench: Bench) -> int:
    """Gas of reading new answers of all feeds, when nothing is new to the storage."""
    gas = 0
    for _ in range(3):
        bench.system.twin.advance(GAP_S)
        bench.system.answer(0, bench.prices[0])
        gas = bench.run("poke", KEEPER, 0, contract="PriceOracle").gas
    return gas


def resolve(bench: Bench, bands: int, winners: int, tag: str, *, cover: bool = True, fall: int = 26) -> list[Outcome]:
    """Two deficits of the same account over the same ``bands``, the last of which is cut in part.

    The long loses 2.6 % at leverage 40. Shorts of ``winners`` accounts a band gain; the fund's bucket pays one part
    and the winners' price the other, all of them eligible.
    """
    start = bench.prices[0]
    bankrupt = actor(f"bankrupt {tag}")
    outcomes: list[Outcome] = []
    for turn in range(2):
        bench.prices[0] = start
        bench.calm()
        size = (20 + 21 * (bands - 1)) * WAD
        bench.fund(bankrupt, THIN * size // WAD)
        # He has the same leverage, hence the same band, so that the bankrupt does not leave it empty.
        neighbour = actor(f"neighbour of {tag} {turn}")
        bench.fund(neighbour, THIN * 10)
        for band in range(bands):
            # The riskiest short band first: own bankruptcy price 11 % above, then a 64th of an octave more each.
            each = (30 if band == bands - 1 else 21) * WAD // winners
            cash = each * (start * int(10**6 * 2 ** ((9.5 + band) / 64)) // 10**6 - start) // WAD
            ours = 20 * WAD if band == bands - 1 else each * winners
            for i in range(winners):
                winner = actor(f"winner {tag} {turn} {band} {i}")
                bench.fund(winner, cash)
                mine = min(each, ours)
                ours -= mine
                if mine:
                    bench.trade(bankrupt, winner, mine)
                if each > mine:
                    bench.trade(neighbour, winner, each - mine)
        if cover:
            bench.run("top_up", KEEPER, 0, 1 * WAD * bands, contract="BackstopFund")
        bench.move(start * (1_000 - fall) // 1_000)
        outcome = bench.measure("resolve", KEEPER, bankrupt.account(), ())
        receipt = next(event.fields for event in outcome.events if event.name == "ReceiptWritten")
        assert receipt["finished"], receipt
        assert receipt["bands"] == bands, receipt
        assert (receipt["cover"] > 0) == cover, receipt
        assert receipt["seized"] > 0, receipt
        outcomes.append(outcome)
    bench.prices[0] = start
    bench.calm()
    return outcomes


def with_positions(bench: Bench, count: int) -> dict[str, Outcome]:
    """The operations whose gas grows with the markets an account is in; each the second time."""
    buyer, seller = actor(f"buyer in {count}"), actor(f"seller in {count}")
    # Leverage 2.4, as a withdrawal wants it below 5; the label is then well inside a band.
    bench.open(buyer, seller, UNIT_SIZE, 4_100 * WAD, range(count))
    before = bench.settle(seller, buyer, STEP)
    found = {"fill": bench.settle(seller, buyer, STEP)}
    assert _bands(found["fill"]) == _bands(before)
    for _ in range(2):
        found["withdraw"] = bench.measure("withdraw", buyer.address, buyer.account(), 10**6, buyer.address)
    return found


def rebases(bench: Bench, count: int) -> list[int]:
    """Two cuts of all claims, after a fall of 5 % that the winners' price cannot carry."""
    gas = []
    start = bench.prices[0]
    for turn in range(2):
        bench.prices[0] = start
        bench.calm()
        long, short = actor("ruined"), actor(f"winner over the ruined {turn}")
        bench.fund(long, 26 * 10 * WAD)
        bench.fund(short, CASH)
        bench.trade(long, short, UNIT_SIZE)
        bench.move(start * 950 // 1_000)
        bench.run("resolve", KEEPER, long.account(), ())
        gas.append(bench.measure("rebase_claims", KEEPER).gas)
    return gas


def measure_all(open_chain: Callable[[], Chain], progress: Callable[[str], None] = lambda _: None) -> Report:
    """Every row and slope; each group on a chain of its own."""
    report = Report()

    def on_bench(markets: int, group: Callable[[Bench], Any], label: str, **oracle: Any) -> Any:
        progress(label)
        for attempt in range(5):
            try:
                with open_chain() as chain:
                    return group(Bench(chain, markets, **oracle))
            except RuntimeError as error:
                # On a busy machine the node sometimes misses its own block; that says nothing about gas.
                if attempt == 4 or "confirmation timeout" not in str(error):
                    raise
        raise AssertionError("unreachable")

    for group in (custody, fills, liquidations, upkeep):
        report.rows += on_bench(1, group, group.__name__)
    for n, rules in ((3, "off"), (3, "major"), (5, "major"), (7, "major")):
        label = f"poke the oracle, {n} feeds, rules {rules}"
        gas = on_bench(1, poke, label, n_feeds=n, rules=PROFILES[rules])
        report.rows.append(Row(label, None, gas))

    adl: dict[int, list[Outcome]] = {}
    for bands, winners in ((1, 3), (1, 300), (2, 3), (5, 3), (10, 3)):
        label = f"resolve over {bands} band{'s' * (bands > 1)}, {winners} accounts in each"
        outcomes = on_bench(1, lambda bench, b=bands, w=winners: resolve(bench, b, w, "adl"), label)
        target = 150_000 if bands == 1 else None
        dydx = 136_941 * bands * winners
        report.rows.append(Row(label, outcomes[0].gas, outcomes[1].gas, target, dydx))
        if winners == 3:
            adl[bands] = outcomes
    for low, high in ((1, 2), (2, 5), (5, 10)):
        rise = adl[high][1].gas - adl[low][1].gas
        report.slopes.append(Slope(f"resolve, per band from {low} to {high}", rise // (high - low), 20_000))

    many = {n: on_bench(n, lambda bench, k=n: with_positions(bench, k), f"{n} markets") for n in (1, 3, 8)}
    for key, name in (("fill", "signed fill, {} markets each"), ("withdraw", "withdraw, positions in {}")):
        for n in (1, 3, 8):
            report.rows.append(Row(name.format(n), None, many[n][key].gas))
        for low, high in ((1, 3), (3, 8)):
            rise = (many[high][key].gas - many[low][key].gas) // (high - low)
            what = "signed fill, per market of both accounts" if key == "fill" else "withdraw, per market"
            report.slopes.append(Slope(f"{what}, {low} to {high}", rise))

    cuts = {n: on_bench(n, lambda bench, k=n: rebases(bench, k), f"rebase, {n} markets") for n in (1, 3)}
    for n, (first, second) in cuts.items():
        target = 45_000 if n == 1 else None
        report.rows.append(Row(f"rebase_claims, {n} market{'s' * (n > 1)}", first, second, target))
    report.slopes.append(Slope("rebase_claims, per listed market", (cuts[3][1] - cuts[1][1]) // 2))
    return report


# ---- snapshot and table --------------------------------------------------------------------------


def drift(before: dict[str, int], now: dict[str, int]) -> list[str]:
    """What differs by more than ``DRIFT_PERCENT``, or is in one of the two only; empty if nothing."""
    lines = []
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            lines.append(f"{name}: no longer measured")
        elif name not in before:
            lines.append(f"{name}: not in the snapshot")
        elif abs(now[name] - before[name]) * 100 > DRIFT_PERCENT * before[name]:
            lines.append(f"{name}: {before[name]:,} -> {now[name]:,}")
    return lines


def show(report: Report, console: Console) -> None:
    """The table, the slopes, and why a figure is over its target."""

    def text(gas: int | None) -> str:
        return "–" if gas is None else f"{gas:,}"

    def verdict(entry: Row | Slope) -> str:
        if entry.target is None:
            return ""
        return f"[red]over by {_gas(entry) - entry.target:,}[/]" if entry.over else "[green]met[/]"

    table = Table(title="Gas of a transaction on anvil", caption=__doc__)
    for heading in ("operation", "first time", "second time", "target", "dYdX v3", "verdict"):
        table.add_column(heading, justify="left" if heading in ("operation", "verdict") else "right")
    for row in report.rows:
        figures = (row.first, row.second, row.target, row.dydx)
        table.add_row(row.name, *(text(gas) for gas in figures), verdict(row))
    slopes = Table(title="Slopes, second time")
    for heading in ("per further", "gas", "target", "verdict"):
        slopes.add_column(heading, justify="right" if heading in ("gas", "target") else "left")
    for slope in report.slopes:
        slopes.add_row(slope.name, text(slope.gas), text(slope.target), verdict(slope))
    console.print(table, slopes)
    for entry in (*report.rows, *report.slopes):
        if entry.over:
            console.print(f"{entry.name}: {REASONS.get(entry.name, 'no reason given')}")


def _gas(entry: Row | Slope) -> int:
    return entry.steady if isinstance(entry, Row) else entry.gas


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, compare. 1 if there is no node, or figures have drifted from the snapshot."""
    parser = argparse.ArgumentParser(description="Gas of every entry point, measured on anvil.")
    parser.add_argument("--update", action="store_true", help="write the snapshot instead of comparing with it")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        with make_chain("anvil"):
            pass
    except ChainUnavailable as error:
        print(f"gas is measured on a node only: {error}", file=sys.stderr)
        return 1
    report = measure_all(
        lambda: make_chain("anvil"), lambda label: print(f"measuring {label}", file=sys.stderr, flush=True)
    )
    show(report, console)
    figures = report.figures()
    text = json.dumps(figures, indent=2) + "\n"
    if options.json:
        options.json.write_text(text)
    if options.update:
        SNAPSHOT.write_text(text)
        return 0
    if not SNAPSHOT.exists():
        print("there is no snapshot: run with --update", file=sys.stderr)
        return 1
    changes = drift(json.loads(SNAPSHOT.read_text()), figures)
    for line in changes:
        print(f"drifted by more than {DRIFT_PERCENT} %: {line}", file=sys.stderr)
    return int(bool(changes))


if __name__ == "__main__":
    sys.exit(main())
