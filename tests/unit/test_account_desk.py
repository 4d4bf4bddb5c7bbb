"""``settle``, ``rerank``, ``take_over``, ``sweep_fees`` (SPEC §4.2, §4.5, §9)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from python_ref import constants as c
from python_ref.words import Limits, Position, Risk
from scripts.system import GOVERNOR, LIMITS, RISK, WAD, MarketSpec, System, actor
from tests import books
from tests.books import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    domain,
    event,
    events,
    exposure,
    leg,
    market_words,
    move,
    ok,
    position,
    prices,
    refused,
    word,
)

PRICE = 1_000 * WAD
NO_FEES = replace(RISK, taker_fee=0)
LEVERAGE, PROFIT, SINGLE = range(3)

deployed = books.deployed_fixture(
    MarketSpec("LEVERAGE", PRICE, risk=NO_FEES),
    MarketSpec("PROFIT", PRICE, risk=NO_FEES, limits=replace(LIMITS, rank=c.RANK_PROFIT)),
    MarketSpec("SINGLE", PRICE, risk=NO_FEES, limits=replace(LIMITS, rank=c.RANK_SINGLE), policy="ProRata"),
)
system = books.system_fixture()

A, B, C, D = ALICE.account(), BOB.account(), CAROL.account(), DAVE.account()
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
SIZE = 100 * WAD
LP = actor("provider")


def trade(s: System, who: bytes, other: bytes, change: int, market: int = 0) -> books.Outcome:
    """``who``'s position changes by signed ``change`` at the index."""
    buyer, seller = (who, other) if change > 0 else (other, who)
    return ok(s.trade(market, buyer, seller, abs(change), prices(s, market).index))


def default(s: System, market: int, side: int, size: int = SIZE, who: books.Actor = ALICE) -> None:
    """``who`` stands against Bob and is resolved after a loss of 3 %."""
    books.fund(s, who, size * PRICE // WAD // 40)
    trade(s, who.account(), B, side * size, market)
    move(s, market, PRICE * (1_000 - side * 30) // 1_000)
    assert ok(s.call("resolve", DAVE.address, who.account(), ())).value is True


# ---- settle ----------------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("market", [LEVERAGE, PROFIT, SINGLE])
def test_settle__pays_what_an_adl_left_pending(system: System, market: int, side: int) -> None:
    books.rich(system, BOB, CAROL)
    trade(system, C, B, side * 50 * WAD, market)
    default(system, market, side)
    before, pot = word(system, B), market_words(system, market).pot
    held = leg(system, B, market)
    assert held.pending != 0
    basis = position(system, B, market)
    outcome = ok(system.call("settle", CAROL.address, B, market))
    after = word(system, B)
    assert after.cash == before.cash + held.pending
    assert market_words(system, market).pot == pot - held.pending
    assert leg(system, B, market) == replace(held, pending=0)
    assert event(outcome, "Settled")["size"] == held.size
    # rule 30: the basis is not rewritten by a touch, only the checkpoint is
    assert replace(position(system, B, market), c0=basis.c0) == basis
    assert after.touched == before.touched


@SIDES
def test_settle__twice_pays_once(system: System, side: int) -> None:
    books.rich(system, BOB, CAROL)
    trade(system, C, B, side * 50 * WAD)
    default(system, LEVERAGE, side)
    system.must("settle", CAROL.address, B, 0)
    cash = word(system, B).cash
    for _ in range(3):
        system.must("settle", CAROL.address, B, 0)
        # a checkpoint is rounded up and a settlement down: each touch may cost a wei, none may pay one
        assert cash - 1 <= word(system, B).cash <= cash
        cash = word(system, B).cash


@SIDES
def test_settle__wiped_position_is_cleared(system: System, side: int) -> None:
    books.rich(system, BOB)
    default(system, LEVERAGE, side)
    assert leg(system, B).size == 0
    assert word(system, B).legs == 1
    pending, cash = leg(system, B).pending, word(system, B).cash
    system.must("settle", CAROL.address, B, 0)
    assert (word(system, B).legs, word(system, B).cash) == (0, cash + pending)
    assert position(system, B) == Position()
    refused(system.call("settle", CAROL.address, B, 0), "settle: no position")
    assert abs(market_words(system).pot) <= 2


@SIDES
def test_settle__wiped_position_does_not_touch_the_next_epoch(system: System, side: int) -> None:
    """A band that was wiped and opened again belongs to the new ones alone."""
    books.rich(system, BOB, CAROL, DAVE)
    default(system, SINGLE, side)
    trade(system, C, D, -side * 7 * WAD, SINGLE)
    held = leg(system, C, SINGLE)
    pending, cash = leg(system, B, SINGLE).pending, word(system, B).cash
    system.must("settle", CAROL.address, B, SINGLE)
    assert word(system, B).cash == cash + pending
    assert leg(system, C, SINGLE) == held
    assert market_words(system, SINGLE).oi == 7 * WAD


@SIDES
def test_settle__scale_moved(system: System, side: int) -> None:
    """Nearly all of a band goes, its scale is bumped; the settlement anchors anew at the band's state."""
    books.rich(system, BOB, CAROL, amount=10**12 * WAD)
    system.must("set_limits", GOVERNOR, SINGLE, replace(LIMITS, min_size=10**7, lot_exp=0).pack())
    rest = 10**9
    trade(system, C, B, side * rest, SINGLE)
    size = 10**19 - rest
    books.fund(system, ALICE, 260 * WAD)
    trade(system, A, B, side * size, SINGLE)
    move(system, SINGLE, PRICE * (1_000 - side * 30) // 1_000)
    assert ok(system.call("resolve", DAVE.address, A, ())).value is True
    house = system.clearing_house
    band = house.load_band(SINGLE, side < 0, 0)
    assert band.scale > 0
    held, cash = leg(system, B, SINGLE), word(system, B).cash
    assert abs(abs(held.size) - rest) <= 1
    system.must("settle", CAROL.address, B, SINGLE)
    now = position(system, B, SINGLE)
    assert (now.scale, now.a0, now.q0) == (band.scale, band.a, abs(held.size))
    assert word(system, B).cash == cash + held.pending
    assert leg(system, B, SINGLE) == replace(held, pending=0)
    cash = word(system, B).cash
    system.must("settle", CAROL.address, B, SINGLE)
    assert cash - 1 <= word(system, B).cash <= cash


@pytest.mark.parametrize("market", [0, 1, 15, 16, 2**255, 2**256 - 1])
def test_settle__no_position(system: System, market: int) -> None:
    books.rich(system, ALICE, BOB)
    if market == 1:
        trade(system, A, B, WAD, 0)
    refused(system.call("settle", CAROL.address, A, market), "settle: no position")


def test_settle__reads_no_price(system: System) -> None:
    books.rich(system, ALICE, BOB)
    trade(system, A, B, WAD)
    books.feeds_down(system, 0, 3)
    ok(system.call("settle", CAROL.address, A, 0))


def settled_cash(s: System, side: int, order: tuple[int, ...], early: bool) -> list[int]:
    """Two defaults of Alice and Eve against three winners, settled in ``order`` after both or (early) after each."""
    eve, winners = actor("eve"), (B, C, D)
    mark = s.twin.snapshot()
    try:
        books.rich(s, BOB, CAROL, DAVE)
        books.fund(s, ALICE, 1_750 * WAD)
        books.fund(s, eve, 2_000 * WAD)
        for winner, alices, eves in ((B, 37, 5), (C, 21, 22), (D, 11, 13)):
            trade(s, A, winner, side * (alices * WAD + 10**12), SINGLE)
            trade(s, eve.account(), winner, side * eves * WAD, SINGLE)
        for per_mille, loser in ((30, A), (60, eve.account())):
            move(s, SINGLE, PRICE * (1_000 - side * per_mille) // 1_000)
            outcome = ok(s.call("resolve", DAVE.address, loser, ()))
            assert events(outcome, "BandDeleveraged")
            if early or loser != A:
                for i in order:
                    s.must("settle", CAROL.address, winners[i], SINGLE)
        return [word(s, winner).cash for winner in winners]
    finally:
        s.twin.revert(mark)


@SIDES
@pytest.mark.parametrize("order", [(2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_settle__in_any_order_and_at_any_time(system: System, side: int, order: tuple[int, ...]) -> None:
    """INV-14: what everybody gets does not depend on who is settled when; each early settlement may cost a wei."""
    expected = settled_cash(system, side, (0, 1, 2), False)
    assert settled_cash(system, side, order, False) == expected
    for late, early in zip(expected, settled_cash(system, side, order, True), strict=True):
        assert 0 <= late - early <= 2


# ---- rerank ----------------------------------------------------------------------------------------


@SIDES
def test_rerank__riskier_at_once_safer_after_the_delay(system: System, side: int) -> None:
    books.rich(system, BOB)
    books.fund(system, ALICE, 10_000 * WAD)
    trade(system, A, B, side * SIZE)
    trade(system, A, B, side * SIZE, PROFIT)
    old = position(system, A).band
    # a loss elsewhere brings Alice's own bankruptcy price nearer: riskier, by anybody, at once
    system.twin.advance(13)
    system.set_price(0, PRICE)
    system.set_price(PROFIT, PRICE * (1_000 - side * 40) // 1_000)
    outcome = ok(system.call("rerank", DAVE.address, A, 0))
    risky = outcome.value
    assert (risky > old) == (side > 0)
    assert event(outcome, "Reranked") == {"account": A, "market": 0, "old_band": old, "new_band": risky}
    assert position(system, A).band == risky
    refused(system.call("rerank", DAVE.address, A, 0), "rerank: same band")
    # equity comes back through a deposit, which also touches the account
    books.fund(system, ALICE, 50_000 * WAD)
    refused(system.call("rerank", DAVE.address, A, 0), "rerank: too early")
    system.twin.advance(c.RERANK_DELAY_S - 1)
    system.set_price(0, PRICE)
    system.set_price(PROFIT, PRICE * (1_000 - side * 40) // 1_000)
    refused(system.call("rerank", DAVE.address, A, 0), "rerank: too early")
    system.twin.advance(1)
    safe = ok(system.call("rerank", DAVE.address, A, 0)).value
    assert (safe < risky) == (side > 0)
    assert leg(system, A).size == side * SIZE


@SIDES
def test_rerank__profit_rank_has_nothing_to_move(system: System, side: int) -> None:
    """The entry changes only in trades, which rank at once when riskier; a safer label waits for the delay."""
    books.rich(system, ALICE, BOB)
    trade(system, A, B, side * WAD, PROFIT)
    old = position(system, A, PROFIT).band
    # adding at a worse price makes the average entry worse, hence safer
    move(system, PROFIT, PRICE * (1_000 + side * 100) // 1_000)
    books.calm(system, PROFIT)
    trade(system, A, B, side * 9 * WAD, PROFIT)
    assert position(system, A, PROFIT).band == old
    refused(system.call("rerank", DAVE.address, A, PROFIT), "rerank: too early")
    move(system, PROFIT, PRICE * (1_000 + side * 100) // 1_000)
    new = ok(system.call("rerank", DAVE.address, A, PROFIT)).value
    assert (new > old) == (side > 0)
    # adding at a better price makes it riskier: the trade itself moves it
    move(system, PROFIT, PRICE * (1_000 - side * 200) // 1_000)
    trade(system, A, B, side * 90 * WAD, PROFIT)
    now = position(system, A, PROFIT).band
    assert (now < new) == (side > 0)
    refused(system.call("rerank", DAVE.address, A, PROFIT), "rerank: same band")


def test_rerank__single_band(system: System) -> None:
    books.rich(system, ALICE, BOB)
    trade(system, A, B, WAD, SINGLE)
    refused(system.call("rerank", DAVE.address, A, SINGLE), "rerank: same band")


def test_rerank__no_position(system: System) -> None:
    books.rich(system, ALICE)
    refused(system.call("rerank", DAVE.address, A, 0), "settle: no position")
    refused(system.call("rerank", DAVE.address, A, 3), "market: not listed")


def test_rerank__frozen(system: System) -> None:
    books.rich(system, ALICE, BOB)
    trade(system, A, B, WAD)
    books.feeds_down(system, 0, 2)
    refused(system.call("rerank", DAVE.address, A, 0), "market: frozen")


@SIDES
def test_rerank__keeps_open_interest_and_pays_pending(system: System, side: int) -> None:
    """Carol won from an ADL and lost elsewhere since; her pending cash is paid as she moves."""
    books.rich(system, BOB, DAVE)
    books.fund(system, ALICE, 2_500 * WAD)
    books.fund(system, CAROL, 20_000 * WAD)
    trade(system, A, C, side * SIZE)
    trade(system, D, C, side * 50 * WAD)
    trade(system, C, B, SIZE, PROFIT)
    system.twin.advance(60)
    system.set_price(PROFIT, PRICE)
    system.set_price(0, PRICE * (1_000 - side * 30) // 1_000)
    ok(system.call("resolve", DAVE.address, A, ()))
    system.twin.advance(60)
    system.set_price(0, PRICE * (1_000 - side * 30) // 1_000)
    system.set_price(PROFIT, PRICE * 850 // 1_000)
    held, cash, oi = leg(system, C), word(system, C).cash, market_words(system).oi
    assert held.pending != 0
    label = ok(system.call("rerank", DAVE.address, C, 0)).value
    assert label != held.band
    assert leg(system, C) == replace(held, pending=0, band=label)
    assert word(system, C).cash == cash + held.pending
    assert abs(market_words(system).oi - oi) <= 1


# ---- take_over -------------------------------------------------------------------------------------


def fill_bucket(s: System, market: int, amount: int) -> None:
    """Give a bucket ``amount`` of cash."""
    ok(s.provide(LP.address, amount))
    ok(s.twin.call("BackstopFund", "set_cap", GOVERNOR, market, amount))
    ok(s.twin.call("BackstopFund", "top_up", DAVE.address, market, amount))


def nearly(s: System, side: int, share_of_m: int = 500_000) -> None:
    """Alice has ``side·SIZE`` and equity of ``share_of_m`` ppm of maintenance at the kind edge."""
    books.rich(s, BOB)
    books.fund(s, ALICE, 2_500 * WAD)
    trade(s, A, B, side * SIZE)
    move(s, 0, PRICE * (1_000 - side * 40) // 1_000)
    books.top_up_to(s, ALICE, exposure(s, A).m_kind * share_of_m // c.PPM)


@SIDES
def test_take_over__bucket_inherits_size_and_cash(system: System, side: int) -> None:
    nearly(system, side)
    fill_bucket(system, 0, 10_000 * WAD)
    bucket, cash = system.bucket(0), word(system, A).cash
    fields = event(ok(system.call("take_over", DAVE.address, A, 0)), "TakenOver")
    assert (fields["account"], fields["bucket"], fields["size"], fields["cash"]) == (A, bucket, side * SIZE, cash)
    assert leg(system, bucket).size == side * SIZE
    assert word(system, bucket).cash == 10_000 * WAD + cash
    assert (word(system, A).cash, word(system, A).legs, word(system, A).exposed) == (0, 0, True)
    assert exposure(system, bucket).e_credit >= exposure(system, bucket).im_credit


@SIDES
def test_take_over__opposite_inventory_closes(system: System, side: int) -> None:
    fill_bucket(system, 0, 20_000 * WAD)
    books.rich(system, BOB)
    books.fund(system, CAROL, 2_500 * WAD)
    trade(system, C, B, -side * SIZE)
    move(system, 0, PRICE * (1_000 + side * 21) // 1_000)
    ok(system.call("take_over", DAVE.address, C, 0))
    books.calm(system, 0)
    books.fund(system, ALICE, 2_600 * WAD)
    trade(system, A, B, side * SIZE)
    move(system, 0, PRICE)
    ok(system.call("take_over", DAVE.address, A, 0))
    bucket = system.bucket(0)
    assert (leg(system, bucket).size, word(system, bucket).legs) == (0, 0)


@SIDES
def test_take_over__threshold_is_strict(system: System, side: int) -> None:
    fill_bucket(system, 0, 10_000 * WAD)
    nearly(system, side, RISK.backstop)
    r = exposure(system, A)
    assert r.e_kind * c.PPM >= r.m_kind * RISK.backstop
    refused(system.call("take_over", DAVE.address, A, 0), "backstop: above threshold")


@SIDES
def test_take_over__just_below_the_threshold(system: System, side: int) -> None:
    fill_bucket(system, 0, 10_000 * WAD)
    nearly(system, side, RISK.backstop - 1)
    assert exposure(system, A).e_kind * c.PPM < exposure(system, A).m_kind * RISK.backstop
    ok(system.call("take_over", DAVE.address, A, 0))


@SIDES
def test_take_over__bankrupt_and_insolvent_at_the_index(system: System, side: int) -> None:
    fill_bucket(system, 0, 10_000 * WAD)
    nearly(system, side, -1)
    refused(system.call("take_over", DAVE.address, A, 0), "margin: bankrupt")
    books.top_up_to(system, ALICE, 0)
    refused(system.call("take_over", DAVE.address, A, 0), "margin: insolvent at index")
    missing = -(exposure(system, A).e_index // WAD)
    ok(system.fund_account(ALICE.address, missing - 1))
    refused(system.call("take_over", DAVE.address, A, 0), "margin: insolvent at index")
    ok(system.fund_account(ALICE.address, 1))
    ok(system.call("take_over", DAVE.address, A, 0))


@SIDES
def test_take_over__bucket_must_meet_initial_margin(system: System, side: int) -> None:
    nearly(system, side)
    refused(system.call("take_over", DAVE.address, A, 0), "margin: below initial")
    r = exposure(system, A)
    missing = -((r.e_credit - r.im_credit) // WAD)
    fill_bucket(system, 0, missing - 1)
    refused(system.call("take_over", DAVE.address, A, 0), "margin: below initial")
    ok(system.twin.call("BackstopFund", "set_cap", GOVERNOR, 0, 2 * missing))
    ok(system.provide(LP.address, WAD))
    ok(system.twin.call("BackstopFund", "top_up", DAVE.address, 0, 1))
    ok(system.call("take_over", DAVE.address, A, 0))


def test_take_over__own_account(system: System) -> None:
    fill_bucket(system, 0, 10_000 * WAD)
    refused(system.call("take_over", DAVE.address, system.bucket(0), 0), "backstop: own account")


def test_take_over__not_a_single_leg(system: System) -> None:
    fill_bucket(system, 0, 10_000 * WAD)
    refused(system.call("take_over", DAVE.address, A, 0), "backstop: not a single leg")
    nearly(system, 1)
    refused(system.call("take_over", DAVE.address, A, PROFIT), "backstop: not a single leg")
    books.fund(system, ALICE, 20_000 * WAD)
    trade(system, A, B, WAD, PROFIT)
    move(system, 0, PRICE * 770 // 1_000)
    refused(system.call("take_over", DAVE.address, A, 0), "backstop: not a single leg")


def test_take_over__wiped_position_is_none(system: System) -> None:
    books.rich(system, BOB)
    default(system, LEVERAGE, 1)
    assert word(system, B).legs == 1
    refused(system.call("take_over", DAVE.address, B, 0), "backstop: no position")


def test_take_over__frozen_or_not_listed(system: System) -> None:
    nearly(system, 1)
    books.feeds_down(system, 0, 2)
    refused(system.call("take_over", DAVE.address, A, 0), "market: frozen")
    refused(system.call("take_over", DAVE.address, A, 3), "market: not listed")
    refused(system.call("take_over", DAVE.address, A, 16), "market: not listed")


# ---- sweep_fees ------------------------------------------------------------------------------------


def test_sweep_fees__to_the_bucket(system: System) -> None:
    system.must("set_risk", GOVERNOR, PROFIT, RISK.pack())
    books.rich(system, ALICE, BOB)
    trade(system, A, B, SIZE, PROFIT)
    fees = market_words(system, PROFIT).fees
    assert fees == 100_000 * WAD * RISK.taker_fee // c.PPM
    exposed = domain(system).exposed
    outcome = system.must("sweep_fees", DAVE.address, PROFIT)
    assert event(outcome, "FeesSwept") == {"market": PROFIT, "amount": fees, "repaid": 0}
    assert word(system, system.bucket(PROFIT)).cash == fees
    assert (market_words(system, PROFIT).fees, domain(system).exposed) == (0, exposed)
    assert event(system.must("sweep_fees", DAVE.address, PROFIT), "FeesSwept")["amount"] == 0


@pytest.mark.parametrize("enough", [True, False])
def test_sweep_fees__bad_debt_first(system: System, enough: bool) -> None:
    books.rich(system, BOB, CAROL)
    system.must("set_risk", GOVERNOR, PROFIT, RISK.pack())
    trade(system, C, B, (10_000 if enough else 100) * WAD, PROFIT)
    fees = market_words(system, PROFIT).fees
    books.fund(system, ALICE, 2_500 * WAD)
    trade(system, A, B, SIZE)
    move(system, 0, PRICE * 950 // 1_000)
    system.must("resolve", DAVE.address, A, ())
    debt, exposed = domain(system).bad_debt, domain(system).exposed
    assert (fees > debt) == enough
    repaid = min(fees, debt)
    outcome = system.must("sweep_fees", DAVE.address, PROFIT)
    assert event(outcome, "FeesSwept")["repaid"] == repaid
    assert domain(system).bad_debt == debt - repaid
    assert domain(system).exposed == exposed - repaid
    assert word(system, system.bucket(PROFIT)).cash == fees - repaid


@pytest.mark.parametrize("market", [3, 15, 16, 2**253, 2**254, 2**255, 2**256 - 1])
def test_sweep_fees__not_a_listed_market(system: System, market: int) -> None:
    """An index whose high bits a shift would drop must not reach market 0 and pay somebody else."""
    system.must("set_risk", GOVERNOR, LEVERAGE, RISK.pack())
    books.rich(system, ALICE, BOB)
    trade(system, A, B, SIZE)
    fees = market_words(system).fees
    outcome = system.call("sweep_fees", DAVE.address, market)
    if market >= c.MAX_MARKETS:
        refused(outcome, "market: not listed")
    assert market_words(system).fees == fees > 0


def test_words__of_the_fixture_are_what_was_listed(system: System) -> None:
    """The listing stored rank and rates as given, or the tests above prove nothing of the ranks."""
    for market, rank in ((LEVERAGE, c.RANK_LEVERAGE), (PROFIT, c.RANK_PROFIT), (SINGLE, c.RANK_SINGLE)):
        words = system.twin.view("ClearingHouse", "load_market", market)
        assert Limits.unpack(words[3]).rank == rank
        assert Risk.unpack(words[2]) == NO_FEES
    assert events(system.must("sweep_fees", DAVE.address, LEVERAGE), "FeesSwept")
