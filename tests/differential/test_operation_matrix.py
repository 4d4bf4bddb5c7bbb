"""SPEC §15: every operation in every state, for a long and for a short, by contract and model alike.

The oracle is one that says what it is told, so that all five states can be had without feeds. One table mirrors the
SPEC's; below it, what each restriction does to the wei.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_ref import constants as c
from python_ref.invariants import Snapshot, check_all
from python_ref.lens import Lens
from python_ref.words import Limits, Market
from scripts.chain import Outcome, make_chain
from scripts.system import GOVERNOR, KEEPER, LIMITS, RISK, WAD, MarketSpec, System, actor, deploy

LIVE, DEGRADED, FROZEN = c.STATE_LIVE, c.STATE_DEGRADED, c.STATE_FROZEN
RECOVERY, SETTLEMENT = c.STATE_RECOVERY, c.STATE_SETTLEMENT
STATES = (LIVE, DEGRADED, FROZEN, RECOVERY, SETTLEMENT)
NAMES = ("LIVE", "DEGRADED", "FROZEN", "RECOVERY", "SETTLEMENT")

M = 0
"""The market whose state changes; market 1 stays LIVE."""
OTHER = 1
P = 100 * WAD
RATES = replace(RISK, initial=50_000, maintenance=25_000, penalty=5_001, taker_fee=0, fill_band=500_000)
SIZES = replace(LIMITS, min_size=10**15, lot_exp=0)


def who(name: str, sub: int = 0) -> bytes:
    """Account id of an actor."""
    return actor(name).account(sub)


@cache
def deployed() -> System:
    """Two markets at 100: in M a rich pair, a thin long and a thin short, and the bucket long; one exempt account."""
    specs = [MarketSpec(name, P, RATES, SIZES, "BandQueue", width_bps=0) for name in ("M", "OTHER")]
    system = deploy(make_chain(), specs, 18, oracle="MockOracle", full_every=50)
    for market in (M, OTHER):
        tell(system, market, LIVE)
    for name, money in {
        "long": 700,
        "short": 700,
        "flat": 1_000,
        "exempt": 1_000,
        "maker": 50_000,
        "whale": 50_000,
    }.items():
        system.fund_account(actor(name).address, money * WAD)
    for name in ("weak_long", "weak_short"):
        system.fund_account(actor(name).address, 60 * WAD)
    trade(system, "long", "short", 10)
    trade(system, "weak_long", "maker", 10)
    trade(system, "maker", "weak_short", 10)
    trade(system, "whale", "maker", 5)
    trade(system, "flat", "maker", 1)
    trade(system, "maker", "flat", 1)
    must(system.provide(actor("provider").address, 10_000 * WAD))
    must(system.twin.call("BackstopFund", "set_cap", GOVERNOR, M, 10**30))
    must(system.twin.call("BackstopFund", "top_up", KEEPER, M, 1_000 * WAD))
    shares = system.fund.shares_of("", actor("provider").address)
    must(system.twin.call("BackstopFund", "request_withdrawal", actor("provider").address, shares // 2))
    system.twin.advance(86_401)
    return system


def must(outcome: Outcome) -> Outcome:
    """It has to go through."""
    assert outcome.ok, outcome.reason
    return outcome


def tell(system: System, market: int, state: int, price: int = P, paused: int = 0, width_ppm: int = 0) -> None:
    """Let the oracle say this; ``width_ppm`` to either side, the credit edges twice as far."""
    by = price * width_ppm // c.PPM
    prices = (price, price, price - by, price + by, price - 2 * by, price + 2 * by, state, paused)
    must(system.twin.call("PriceOracle", "set_prices", KEEPER, market, prices))


def trade(system: System, buyer: str, seller: str, size: int, market: int = M, price: int = P) -> Outcome:
    """A trade that has to go through."""
    return must(system.trade(market, who(buyer), who(seller), size * WAD, price))


@pytest.fixture
def system() -> Iterator[System]:
    """The system as deployed; what a test does is undone."""
    mark = deployed().twin.snapshot()
    yield deployed()
    deployed().twin.revert(mark)


def test_states__are_in_order_of_severity() -> None:
    assert STATES == (0, 1, 2, 3, 4)


# ---- the table -----------------------------------------------------------------------------------

Run = Callable[[System, bool], Outcome]


def names(is_long: bool) -> tuple[str, str]:
    """The account that acts and its rich opposite."""
    return ("long", "short") if is_long else ("short", "long")


def fill(system: System, is_long: bool, size: int, market: int = M, rich: bool = True) -> Outcome:
    """The side grows by ``size`` (shrinks if negative) against the maker, or against its opposite that shrinks too."""
    mine, other = names(is_long)[0], "maker" if rich else names(is_long)[1]
    buys = is_long == (size > 0)
    buyer, seller = (mine, other) if buys else (other, mine)
    return system.trade(market, who(buyer), who(seller), abs(size) * WAD, P)


def at(loss: int) -> Callable[[bool], int]:
    """A price at which the side has lost ``loss`` per unit, WAD hundredths."""
    return lambda is_long: P - loss * WAD // 100 if is_long else P + loss * WAD // 100


def no_loss(_: bool) -> int:
    return P


def weak(is_long: bool) -> bytes:
    return who("weak_long" if is_long else "weak_short")


def do_liquidate(system: System, is_long: bool) -> Outcome:
    # the rich opposite only reduces by it
    taker = "short" if is_long else "long"
    return system.call("liquidate", actor(taker).address, weak(is_long), M, who(taker), 10**30)


def do_liquidate_opening(system: System, is_long: bool) -> Outcome:
    return system.call("liquidate", actor("exempt").address, weak(is_long), M, who("exempt"), WAD)


def do_liquidate_batch(system: System, is_long: bool) -> Outcome:
    taker = "short" if is_long else "long"
    return system.call("liquidate_batch", actor(taker).address, (weak(is_long),), M, who(taker), 10**30)


def with_bucket_leg(run: Run) -> Run:
    """The bucket inherits the weak account while M is LIVE, then the state of the row comes."""

    def inner(system: System, is_long: bool) -> Outcome:
        told = system.twin.model("PriceOracle").prices("", M)
        tell(system, M, LIVE, at(480)(is_long))
        must(system.call("take_over", KEEPER, weak(is_long), M))
        tell(system, M, told.state, P)
        return run(system, is_long)

    return inner


def do_claim_withdrawal(system: System, is_long: bool) -> Outcome:
    return system.twin.call("BackstopFund", "claim_withdrawal", actor("provider").address)


def do_skim(system: System, is_long: bool) -> Outcome:
    system.twin.advance(c.RESIDENCY_S)
    return system.twin.call("BackstopFund", "skim", GOVERNOR, M, WAD)


def do_top_up(system: System, is_long: bool) -> Outcome:
    return system.twin.call("BackstopFund", "top_up", KEEPER, M, WAD)


def do_set_risk(change: dict[str, int]) -> Run:
    return lambda system, _: system.call("set_risk", GOVERNOR, M, replace(RATES, **change).pack())


def do_set_limits(change: dict[str, int]) -> Run:
    return lambda system, _: system.call("set_limits", GOVERNOR, M, replace(SIZES, **change).pack())


def do_deposit(system: System, is_long: bool) -> Outcome:
    return system.fund_account(actor(names(is_long)[0]).address, WAD)


def do_transfer_in(system: System, is_long: bool) -> Outcome:
    mine = actor(names(is_long)[0])
    must(system.fund_account(mine.address, WAD, 1))
    return system.call("transfer", mine.address, mine.account(1), mine.account(), WAD)


def do_withdraw(name: str | None = None) -> Run:
    def run(system: System, is_long: bool) -> Outcome:
        mine = actor(name or names(is_long)[0])
        return system.call("withdraw", mine.address, mine.account(), WAD, mine.address)

    return run


def do_transfer_out(system: System, is_long: bool) -> Outcome:
    mine = actor(names(is_long)[0])
    return system.call("transfer", mine.address, mine.account(), mine.account(1), WAD)


def do_settle(system: System, is_long: bool) -> Outcome:
    return system.call("settle", KEEPER, who(names(is_long)[0]), M)


def do_rerank(system: System, is_long: bool) -> Outcome:
    # richer, and patient: a safer band
    mine = names(is_long)[0]
    must(system.fund_account(actor(mine).address, 100 * WAD))
    system.twin.advance(c.RERANK_DELAY_S)
    return system.call("rerank", KEEPER, who(mine), M)


def do_claim(system: System, is_long: bool) -> Outcome:
    return system.call("claim", KEEPER, who(names(is_long)[0]), M)


@dataclass(frozen=True)
class Row:
    """One operation: its outcome in each state ("" goes through), and the price at which it is tried."""

    name: str
    run: Run
    outcomes: tuple[str, str, str, str, str]
    price: Callable[[bool], int] = no_loss


YES = ("", "", "", "", "")
IN_PLAY = ("", "", "market: frozen", "", "market: settled")
UNHEALTHY = ("", "", "market: frozen", "market: in recovery", "market: settled")
TABLE = (
    Row("deposit", do_deposit, YES),
    Row("transfer in", do_transfer_in, YES),
    Row("withdraw, exempt", do_withdraw("exempt"), YES),
    Row("release", lambda s, _: s.call("release", KEEPER, who("flat")), YES),
    Row("withdraw with a leg", do_withdraw(), ("", "", *("margin: frozen",) * 3)),
    Row("transfer out with a leg", do_transfer_out, ("", "", *("margin: frozen",) * 3)),
    Row(
        "increase",
        lambda s, side: fill(s, side, 1),
        ("", "market: not live", "market: frozen", "market: not live", "market: settled"),
    ),
    Row(
        "open",
        lambda s, side: s.trade(M, *((who("exempt"), who("long")) if side else (who("short"), who("exempt"))), WAD, P),
        ("", "market: not live", "market: frozen", "market: not live", "market: settled"),
    ),
    Row("increase elsewhere", lambda s, side: fill(s, side, 1, OTHER), ("", "", *("margin: frozen",) * 3)),
    Row("reduce", lambda s, side: fill(s, side, -1, rich=False), IN_PLAY),
    Row("close", lambda s, side: fill(s, side, -10, rich=False), IN_PLAY),
    Row("rerank", do_rerank, IN_PLAY),
    Row("liquidate", do_liquidate, UNHEALTHY, at(400)),
    Row("liquidate in a batch", do_liquidate_batch, UNHEALTHY, at(400)),
    Row("liquidate by one who opens", do_liquidate_opening, UNHEALTHY, at(400)),
    Row("take over", lambda s, side: s.call("take_over", KEEPER, weak(side), M), UNHEALTHY, at(480)),
    Row("resolve", lambda s, side: s.call("resolve", KEEPER, weak(side), ()), YES, at(700)),
    Row("settle", do_settle, YES),
    Row("sweep fees", lambda s, _: s.call("sweep_fees", KEEPER, M), YES),
    Row("fund: claim", do_claim_withdrawal, YES),
    Row("fund: claim, with a leg", with_bucket_leg(do_claim_withdrawal), ("", *("fund: market not live",) * 4)),
    Row("fund: skim", do_skim, YES),
    Row("fund: skim, with a leg", with_bucket_leg(do_skim), ("", *("fund: market not live",) * 4)),
    Row("fund: top up", do_top_up, YES),
    Row("fund: top up, with a leg", with_bucket_leg(do_top_up), ("", *("fund: market not live",) * 4)),
    Row("loosen the initial rate", do_set_risk({"initial": 49_999}), ("", *("admin: not live",) * 4)),
    Row("loosen the maintenance rate", do_set_risk({"maintenance": 24_999}), ("", *("admin: not live",) * 4)),
    Row("loosen the fill band", do_set_risk({"fill_band": 500_001}), ("", *("admin: not live",) * 4)),
    Row("change the penalty", do_set_risk({"penalty": 5_000}), ("", *("admin: not live",) * 4)),
    Row("change the fund's share", do_set_risk({"fund_share": 0}), ("", *("admin: not live",) * 4)),
    Row("change the taker fee", do_set_risk({"taker_fee": 1}), ("", *("admin: not live",) * 4)),
    Row("change the maker fee", do_set_risk({"maker_fee": 1}), ("", *("admin: not live",) * 4)),
    Row("change the target", do_set_risk({"target": 1_300_000}), ("", *("admin: not live",) * 4)),
    Row("change the backstop", do_set_risk({"backstop": 0}), ("", *("admin: not live",) * 4)),
    Row(
        "tighten all of the risk",
        do_set_risk({"initial": 60_000, "maintenance": 30_000, "fill_band": 1, "depth": 10**9}),
        YES,
    ),
    Row("raise the cap", do_set_limits({"oi_cap": SIZES.oi_cap + 1}), ("", *("admin: not live",) * 4)),
    Row("allow smaller positions", do_set_limits({"min_size": 10**15 - 1}), ("", *("admin: not live",) * 4)),
    Row("change the lot", do_set_limits({"lot_exp": 1}), ("", *("admin: not live",) * 4)),
    Row("tighten all of the limits", do_set_limits({"oi_cap": 0, "min_size": 10**16}), YES),
    Row(
        "change the policy",
        lambda s, _: s.call("set_policy", GOVERNOR, M, s.addresses["ProRata"]),
        ("", *("admin: not live",) * 4),
    ),
    Row("claim", do_claim, ("claim: not settled",) * 4 + ("",)),
)


@pytest.mark.parametrize("is_long", [True, False], ids=["long", "short"])
@pytest.mark.parametrize("state", STATES, ids=NAMES)
@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_matrix(system: System, row: Row, state: int, is_long: bool) -> None:
    tell(system, M, state, row.price(is_long))
    outcome = row.run(system, is_long)
    assert (outcome.reason or "") == row.outcomes[state], outcome.reason
    assert outcome.ok == (row.outcomes[state] == "")


# ---- DEGRADED: liquidation -----------------------------------------------------------------------


def liquidated(outcome: Outcome) -> dict[str, Any]:
    """The fields of the only liquidation in a call."""
    (event,) = [e for e in must(outcome).events if e.name == "Liquidated"]
    return event.fields


def size_of(system: System, account: bytes, market: int = M) -> int:
    """Signed size, gons."""
    return Snapshot(system.twin.world).leg(account, market).size


@pytest.mark.parametrize("is_long", [True, False], ids=["long", "short"])
def test_liquidate__half_at_a_time_where_degraded(system: System, is_long: bool) -> None:
    victim, sign = weak(is_long), 1 if is_long else -1
    mark = system.twin.snapshot()
    tell(system, M, LIVE, at(480)(is_long))
    whole = abs(liquidated(do_liquidate(system, is_long))["size"])
    assert 5 * WAD < whole < 10 * WAD, "else half would be no restriction"
    assert system.clearing_house.load_account_word(victim).liquidated == 0
    system.twin.revert(mark)

    tell(system, M, DEGRADED, at(480)(is_long))
    assert liquidated(do_liquidate(system, is_long))["size"] == -sign * 5 * WAD
    assert system.clearing_house.load_account_word(victim).liquidated == system.chain.now << 12
    for wait in (0, c.LIQUIDATION_DELAY_S - 1):
        system.twin.advance(wait)
        assert do_liquidate(system, is_long).reason == "liquidation: too soon"
        assert must(do_liquidate_batch(system, is_long)).value == 0
    system.twin.advance(1)
    tell(system, M, DEGRADED, at(600)(is_long))
    assert liquidated(do_liquidate(system, is_long))["size"] == -sign * 25 * WAD // 10
    assert size_of(system, victim) == sign * 25 * WAD // 10


def test_liquidate__the_pause_is_of_degraded_markets_alone(system: System) -> None:
    tell(system, M, DEGRADED, at(480)(True))
    must(do_liquidate(system, True))
    tell(system, M, LIVE, at(500)(True))
    must(do_liquidate(system, True))


@pytest.mark.parametrize(
    ("size", "taken"), [(10 * WAD, 10 * WAD), (10 * WAD + 1, 5 * WAD + 1), (10 * WAD + 2, 5 * WAD + 1)]
)
def test_liquidate__half_is_rounded_up_and_the_smallest_goes_whole(system: System, size: int, taken: int) -> None:
    system.fund_account(actor("victim").address, 60 * WAD)
    trade(system, "whale", "maker", 100)
    must(system.trade(M, who("victim"), who("maker"), size, P))
    must(system.call("set_limits", GOVERNOR, M, replace(SIZES, min_size=10 * WAD).pack()))
    tell(system, M, DEGRADED, P - 590 * WAD // 100)
    outcome = system.call("liquidate", actor("maker").address, who("victim"), M, who("maker"), 10**30)
    assert -liquidated(outcome)["size"] == taken


def test_liquidate__a_wei_bars_nobody(system: System) -> None:
    tell(system, M, DEGRADED, at(480)(True))
    taker = actor("short")
    assert must(system.call("liquidate", taker.address, weak(True), M, who("short"), 1)).value == 1
    system.twin.advance(c.LIQUIDATION_DELAY_S - 1)
    share = (5 * WAD - 1) * 4_096 // (10 * WAD - 1)
    assert share == 2_047
    assert must(do_liquidate(system, True)).value == -(-(10 * WAD - 1) * share // 4_096)
    assert do_liquidate(system, True).reason == "liquidation: too soon"
    system.twin.advance(1)
    assert must(do_liquidate(system, True)).value > 0, "the minute is that of its first"


@given(st.integers(10**16, 10 * WAD), st.lists(st.integers(1, 6 * WAD), min_size=1, max_size=6), st.integers(0, 9))
def test_liquidate__never_more_than_half_in_a_minute(size: int, takes: list[int], step: int) -> None:
    system = deployed()
    mark = system.twin.snapshot()
    try:
        must(system.fund_account(actor("victim").address, 6 * size))
        must(system.trade(M, who("victim"), who("maker"), size, P))
        tell(system, M, DEGRADED, P - 590 * WAD // 100)
        before, taken = size_of(system, who("victim")), 0
        for most in takes:
            outcome = system.call("liquidate", actor("maker").address, who("victim"), M, who("maker"), most)
            assert outcome.ok or outcome.reason in ("liquidation: too soon", "liquidation: healthy"), outcome.reason
            taken += outcome.value or 0
            system.twin.advance(step)
        assert taken == before - size_of(system, who("victim"))
        assert 0 < taken <= (before + 1) // 2
    finally:
        system.twin.revert(mark)


@pytest.mark.parametrize("is_long", [True, False], ids=["long", "short"])
@pytest.mark.parametrize(("state", "penalty"), [(LIVE, 5_001), (DEGRADED, 2_500)])
def test_liquidate__half_the_penalty_where_degraded(system: System, state: int, penalty: int, is_long: bool) -> None:
    x = at(400)(is_long)
    tell(system, M, state, x)
    told = liquidated(do_liquidate(system, is_long))
    size = abs(told["size"])
    if is_long:
        price = -(-x * (c.PPM - penalty) // c.PPM)
        assert told["quote"] == -(-size * price // WAD)
    else:
        price = x * (c.PPM + penalty) // c.PPM
        assert told["quote"] == size * price // WAD


# ---- DEGRADED: no profit is paid out -------------------------------------------------------------


@pytest.mark.parametrize("is_long", [True, False], ids=["long", "short"])
@pytest.mark.parametrize("state", [LIVE, DEGRADED], ids=NAMES[:2])
@pytest.mark.parametrize("gain", [30, -20], ids=["profit", "loss"])
def test_withdraw__no_profit_counts_where_degraded(system: System, gain: int, state: int, is_long: bool) -> None:
    mine = actor(names(is_long)[0])
    x = P + gain * WAD if is_long else P - gain * WAD
    tell(system, M, state, x, width_ppm=1_000)
    edge = x - x // 500 if is_long else x + x // 500
    profit = 10 * (edge - P) if is_long else 10 * (P - edge)
    equity = 700 * WAD + profit - (max(0, profit) if state == DEGRADED else 0)
    free = equity - 10 * edge // 5
    assert Lens(system.clearing_house).account(mine.account()).free == free
    lens = system.chain.deploy("Lens", system.clearing_house.address, system.addresses["PriceOracle"], sender=KEEPER)
    assert system.chain.view(lens, "account", mine.account())[12] == free
    assert system.call("withdraw", mine.address, mine.account(), free + 1, mine.address).reason == (
        "margin: below withdrawal"
    )
    must(system.call("withdraw", mine.address, mine.account(), free, mine.address))


def test_withdraw__profit_of_a_live_market_counts(system: System) -> None:
    trade(system, "long", "maker", 10, OTHER)
    system.twin.advance(c.RESIDENCY_S)
    tell(system, M, DEGRADED)
    tell(system, OTHER, LIVE, 2 * P)
    mine = actor("long")
    # 700 + 1,000 of profit, less a fifth of 3,000
    assert system.call("withdraw", mine.address, mine.account(), 1_100 * WAD + 1, mine.address).reason == (
        "margin: below withdrawal"
    )
    must(system.call("withdraw", mine.address, mine.account(), 1_100 * WAD, mine.address))


# ---- funding -------------------------------------------------------------------------------------


def funding_after(system: System, frozen_s: int) -> Market:
    """A premium of 1 %, 1,000 s, a freeze of ``frozen_s``, 500 s more, then a trade at the index."""
    twin = system.twin
    must(system.trade(M, who("long"), who("maker"), WAD, P + WAD))
    twin.advance(1_000)
    must(system.trade(M, who("long"), who("maker"), WAD, P))
    twin.advance(200)
    if frozen_s:
        tell(system, M, FROZEN)
        twin.advance(frozen_s)
        assert system.trade(M, who("maker"), who("long"), WAD, P).reason == "market: frozen"
    tell(system, M, RECOVERY, paused=frozen_s)
    twin.advance(300)
    tell(system, M, LIVE, paused=frozen_s)
    must(system.trade(M, who("maker"), who("long"), WAD, P))
    return Market.unpack(*system.clearing_house.load_market("", M)[:2])


@pytest.mark.parametrize("frozen_s", [0, 1, 86_400])
def test_funding__frozen_time_is_not_back_accrued(system: System, frozen_s: int) -> None:
    after = funding_after(system, frozen_s)
    rate = 10_000 * 1_000 // c.PREMIUM_TAU_S
    assert after.funding == rate * P * 500 // (c.PPM * c.FUNDING_PERIOD_S)
    assert after.rate == rate - rate * 500 // c.PREMIUM_TAU_S
    assert after.accrued == system.chain.now - frozen_s


def test_funding__nothing_accrues_in_settlement(system: System) -> None:
    must(system.trade(M, who("long"), who("maker"), WAD, P + WAD))
    system.twin.advance(1_000)
    must(system.trade(M, who("long"), who("maker"), WAD, P))
    before = Market.unpack(*system.clearing_house.load_market("", M)[:2])
    tell(system, M, SETTLEMENT)
    system.twin.advance(10_000)
    must(do_claim(system, True))
    after = Market.unpack(*system.clearing_house.load_market("", M)[:2])
    assert before.rate > 0
    assert (after.funding, after.rate, after.accrued) == (before.funding, before.rate, before.accrued)


def test_funding__a_market_listed_without_a_price_waits_for_one(system: System) -> None:
    now = system.chain.now
    tell(system, 2, FROZEN, paused=40)
    must(system.call("add_market", GOVERNOR, 2, RATES.pack(), SIZES.pack(), P, system.addresses["ProRata"]))
    assert Market.unpack(*system.clearing_house.load_market("", 2)[:2]).accrued == now - 40
    system.twin.advance(10)
    # told up to now only: the clock seems to run backwards by what the listing could not know
    tell(system, 2, LIVE, paused=55)
    must(system.trade(2, who("long"), who("maker"), WAD, P))
    assert Market.unpack(*system.clearing_house.load_market("", 2)[:2]).accrued == now - 40


def test_fill__its_price_is_reported(system: System) -> None:
    must(system.trade(M, who("long"), who("maker"), WAD, P + 7))
    assert system.twin.view("PriceOracle", "reported", M) == P + 7
    assert system.twin.view("PriceOracle", "reported", OTHER) == 0


# ---- what a default leaves -----------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES, ids=NAMES)
def test_resolve__a_leg_that_is_not_live_stays(system: System, state: int) -> None:
    system.fund_account(actor("two").address, 60 * WAD)
    trade(system, "two", "maker", 5, M)
    trade(system, "two", "maker", 5, OTHER)
    tell(system, M, state, P - 10 * WAD)
    tell(system, OTHER, LIVE, P - 10 * WAD)
    must(system.call("resolve", KEEPER, who("two"), ()))
    assert size_of(system, who("two"), M) == (0 if state < FROZEN else 5 * WAD)
    assert size_of(system, who("two"), OTHER) == 0


def test_fund__a_leg_in_another_market_counts(system: System) -> None:
    must(with_bucket_leg(do_top_up)(system, True))
    tell(system, OTHER, FROZEN)
    must(do_top_up(system, True))  # no bucket has a leg there
    tell(system, M, RECOVERY)
    outcome = system.twin.call("BackstopFund", "top_up", KEEPER, OTHER, WAD)
    assert outcome.reason == "fund: market not live"


# ---- SETTLEMENT ----------------------------------------------------------------------------------

TRADERS = ("long", "short", "weak_long", "weak_short", "maker", "whale")


def balances(system: System) -> dict[Any, int]:
    """Words of all accounts, of the domain and the moving ones of M."""
    kept = ("accounts", "global_words", "settled")
    words = system.twin.world.words.items()
    of_market = {("markets", M << 3), ("markets", M << 3 | 1), ("markets", M << 3 | 3)}
    return {key: word for key, word in words if key[0] == "ClearingHouse" and (key[1] in kept or key[1:] in of_market)}


def check(system: System) -> Snapshot:
    """All invariants that hold at any moment."""
    house = system.clearing_house.address
    return check_all(system.twin.world, system.token.balanceOf("", house) * system.unit)


@given(
    st.permutations(TRADERS),
    st.integers(60, 140),
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(TRADERS), st.booleans(), st.integers(10**15, 3 * WAD)), max_size=4),
)
def test_claim__order_does_not_matter(
    order: list[str], price: int, with_default: bool, trades: list[tuple[str, bool, int]]
) -> None:
    system = deployed()
    mark = system.twin.snapshot()
    try:
        tell(system, M, LIVE, at(480)(True))
        must(system.call("take_over", KEEPER, who("weak_long"), M))
        tell(system, M, LIVE)
        for name, buys, size in trades:  # odd sizes, and funding under way; some are refused
            system.trade(M, *((who(name), who("flat")) if buys else (who("flat"), who(name))), size, P + 7)
            system.twin.advance(600)
        traders = [name for name in (*order, "flat") if size_of(system, who(name))]
        if with_default:
            tell(system, M, LIVE, 107 * WAD)
            system.call("resolve", KEEPER, who("weak_short"), ())  # a trade may have saved him
            traders = [name for name in traders if size_of(system, who(name))]
        tell(system, M, SETTLEMENT, price * WAD)
        system.twin.advance(1)
        start, legs = Snapshot(system.twin.world), {}
        for name in traders:
            leg, cash = start.leg(who(name), M), start.accounts[who(name)].cash
            legs[name] = cash + leg.pending + leg.size * price
        before = system.twin.snapshot()
        for name in sorted(traders):
            must(system.call("claim", KEEPER, who(name), M))
        expected, receipts = balances(system), check(system).domain.open_receipts
        system.twin.revert(before)

        for name in traders:
            assert Snapshot(system.twin.world).is_settled(M) == (name != traders[0])
            must(system.call("claim", KEEPER, who(name), M))
            check(system)
        assert balances(system) == expected
        end = Snapshot(system.twin.world)
        assert (receipts, end.is_settling(M), end.markets[M].oi) == (0, False, 0)
        for name, worth in legs.items():
            assert abs(end.accounts[who(name)].cash - max(0, worth)) <= 1
        # what the bankrupt lacked is the bucket's and, beyond that, bad debt
        lacking = sum(max(0, -worth) for worth in legs.values())
        bucket = end.accounts[system.bucket(M)].cash
        heir = start.leg(system.bucket(M), M)
        rich = start.accounts[system.bucket(M)].cash + heir.pending + heir.size * price
        debt = end.domain.bad_debt - start.domain.bad_debt
        assert abs(bucket + lacking - debt - rich) <= 10
        assert debt == 0 or bucket <= c.BUCKET_RESERVE
    finally:
        system.twin.revert(mark)


def claim_all(system: System, *traders: str) -> None:
    """All close."""
    for name in traders:
        must(system.call("claim", KEEPER, who(name), M))


def test_claim__locks_the_domain_until_the_last(system: System) -> None:
    tell(system, M, SETTLEMENT, 110 * WAD)
    must(do_claim(system, True))
    must(system.fund_account(actor("exempt").address, WAD))
    exempt, mine = actor("exempt"), actor("long")
    must(system.call("withdraw", exempt.address, exempt.account(), WAD, exempt.address))
    system.twin.advance(c.RESIDENCY_S)
    assert system.call("release", KEEPER, who("flat")).reason == "ledger: locked"
    assert system.call("release", KEEPER, mine.account()).reason == "ledger: locked"
    trade(system, "flat", "long", 1, OTHER)
    system.twin.advance(c.RESIDENCY_S)
    assert system.call("withdraw", mine.address, mine.account(), 1, mine.address).reason == "ledger: locked"
    assert system.trade(OTHER, who("exempt"), who("maker"), WAD, P).reason == "ledger: closed to newcomers"
    assert system.call("rebase_claims", KEEPER).reason == "rebase: receipt open"
    assert system.call("set_policy", GOVERNOR, M, system.addresses["ProRata"]).reason == "market: receipt open"
    assert do_deposit(system, False).reason == "market: settled"
    assert do_transfer_in(system, False).reason == "market: settled"
    assert do_claim(system, True).reason == "settle: no position"
    claim_all(system, "short", "weak_long", "weak_short", "whale")
    assert system.clearing_house.load_globals_words().open_receipts == 1
    claim_all(system, "maker")
    assert system.clearing_house.load_globals_words().open_receipts == 0
    assert Limits.unpack(system.clearing_house.load_market("", M)[3]).open_receipts == 0
    system.twin.advance(c.RESIDENCY_S)
    # the weak short lacked 40 of its 100, and the bucket had them
    assert system.clearing_house.load_globals_words().bad_debt == 0
    must(system.call("release", KEEPER, who("short")))
    must(do_deposit(system, False))


def test_claim__the_shortfall_goes_to_the_bucket_then_to_all(system: System) -> None:
    tell(system, M, SETTLEMENT, 300 * WAD)
    claim_all(system, "weak_long", "short")
    assert system.clearing_house.load_account_word(who("short")).cash == 0
    domain = system.clearing_house.load_globals_words()
    # 10 short from 100 to 300 cost 2,000, he had 700; the bucket had 1,000 and keeps its reserve
    assert domain.bad_debt == 300 * WAD + c.BUCKET_RESERVE
    assert system.clearing_house.load_account_word(system.bucket(M)).cash == c.BUCKET_RESERVE
    claim_all(system, "weak_short", "maker", "whale", "long")
    assert system.clearing_house.load_globals_words().bad_debt == 2_240 * WAD + c.BUCKET_RESERVE
    must(system.call("rebase_claims", KEEPER))
    check(system)
    assert system.clearing_house.load_globals_words().bad_debt == 0


def test_claim__late_cash_pays_before_the_bucket(system: System) -> None:
    tell(system, OTHER, LIVE)
    system.fund_account(actor("debtor").address, 10 * WAD)
    trade(system, "debtor", "maker", 1, OTHER)
    tell(system, OTHER, LIVE, 50 * WAD)
    must(system.call("resolve", KEEPER, who("debtor"), ()))
    assert system.clearing_house.load_globals_words().bad_debt > 0
    must(system.fund_account(actor("short").address, 40 * WAD))
    assert system.clearing_house.load_account_word(who("short")).has_late
    tell(system, M, SETTLEMENT, 175 * WAD)
    outcome = must(system.call("claim", KEEPER, who("short"), M))
    paid = [e.fields["amount"] for e in outcome.events if e.name == "BucketPaid"]
    # he lacks 750 - 700 and had added 40
    assert paid == [10 * WAD]


def test_claim__who_has_another_leg_is_not_written_off(system: System) -> None:
    trade(system, "maker", "short", 1, OTHER)
    tell(system, M, SETTLEMENT, 300 * WAD)
    outcome = must(system.call("claim", KEEPER, who("short"), M))
    assert not [e for e in outcome.events if e.name in ("BucketPaid", "WrittenOff")]
    assert system.clearing_house.load_account_word(who("short")).cash == (700 - 2_000 + 100) * WAD


def test_claim__an_open_receipt_comes_first(system: System) -> None:
    # shorts in bands of their own, more than one walk closes
    for i in range(c.MAX_PLAN + 1):
        system.fund_account(actor(f"s{i}").address, (8 + 2 * i) * WAD)
        trade(system, "maker", f"s{i}", 1)
    system.fund_account(actor("giant").address, 900 * WAD)
    trade(system, "giant", "maker", 60)
    tell(system, M, LIVE, 83 * WAD)
    must(system.call("resolve", KEEPER, who("giant"), ()))
    assert system.clearing_house.load_account_word(who("giant")).in_receipt
    tell(system, M, SETTLEMENT, 60 * WAD)
    assert do_claim(system, True).reason == "market: receipt open"
    must(system.call("resolve", KEEPER, who("giant"), ()))
    must(do_claim(system, True))
    assert system.call("resolve", KEEPER, who("giant"), ()).reason == "market: receipt open"
    must(system.call("claim", KEEPER, who("giant"), M))
    check(system)


def test_claim__dust_does_not_keep_a_settlement_open(system: System) -> None:
    least, dusty = c.DUST_SIZE + 1, 2
    limits = replace(SIZES, min_size=least, rank=c.RANK_SINGLE)
    tell(system, dusty, LIVE)
    must(system.call("add_market", GOVERNOR, dusty, RATES.pack(), limits.pack(), P, system.addresses["ProRata"]))
    for name, cash in {"a": WAD, "l": 6 * least, "t": WAD, "z": 6 * least}.items():
        must(system.fund_account(actor(name).address, cash))
    must(system.trade(dusty, who("a"), who("t"), least + 5, P))
    must(system.trade(dusty, who("l"), who("z"), least, P))
    for bankrupt, price in (("l", 90), ("z", 150)):
        tell(system, dusty, LIVE, price * WAD)
        must(system.call("resolve", KEEPER, who(bankrupt), ()))
    assert 0 < size_of(system, who("a"), dusty) <= -size_of(system, who("t"), dusty) <= c.DUST_SIZE
    tell(system, dusty, SETTLEMENT, P)
    names_of = [e.name for e in must(system.call("claim", KEEPER, who("a"), dusty)).events]
    assert (names_of[0], names_of[-1]) == ("SettlementOpened", "SettlementClosed")
    assert system.fund_account(actor("t").address, WAD).reason == "market: settled"
    must(system.call("claim", KEEPER, who("t"), dusty))
    must(system.fund_account(actor("t").address, WAD))
    assert system.clearing_house.load_globals_words().open_receipts == 0
    check(system)
