"""``liquidate`` and ``liquidate_batch`` (SPEC §7): boundaries, the price of rule 17, the size, the taker, the split."""

from __future__ import annotations

from dataclasses import replace

import pytest

from python_ref import constants as c
from python_ref.invariants import Snapshot, inv_6_liquidation_never_worsens
from python_ref.margin import price_share, requirement
from scripts.system import GOVERNOR, LIMITS, RISK, WAD, MarketSpec, System
from tests import books
from tests.books import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    ceil_div,
    domain,
    event,
    events,
    exposure,
    leg,
    market_words,
    move,
    ok,
    prices,
    refused,
    word,
)

PRICE = 1_000 * WAD
NO_FEES = replace(RISK, taker_fee=0)
STEPS = 2**16

deployed = books.deployed_fixture(
    MarketSpec("ETH", PRICE, risk=NO_FEES),
    MarketSpec("BTC", 30_000 * WAD, risk=NO_FEES),
    MarketSpec("CVX", 2 * WAD, risk=replace(NO_FEES, depth=1_000_000)),
    MarketSpec("BIG", PRICE, risk=NO_FEES, limits=replace(LIMITS, min_size=20 * WAD)),
)
system = books.system_fixture()

A, B, C, D = ALICE.account(), BOB.account(), CAROL.account(), DAVE.account()
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
SIZE = 100 * WAD


def trade(s: System, who: bytes, other: bytes, change: int, price: int, market: int = 0) -> books.Outcome:
    """``who``'s position changes by signed ``change``."""
    buyer, seller = (who, other) if change > 0 else (other, who)
    return s.trade(market, buyer, seller, abs(change), price)


def kind_edge(s: System, market: int, side: int) -> int:
    """The edge that favours the account."""
    p = prices(s, market)
    return p.high if side > 0 else p.low


def sick(s: System, side: int, share_of_m: int, market: int = 0, size: int = SIZE) -> None:
    """Alice holds ``side·size`` with equity of ``share_of_m`` ppm of maintenance at the kind edge; Carol waits."""
    price = s.specs[market].price
    books.rich(s, BOB, CAROL)
    steep = s.specs[market].risk.depth != 0  # asks for about twice the margin
    books.fund(s, ALICE, size * price // WAD // (20 if steep else 40))
    ok(trade(s, A, B, side * size, price, market))
    move(s, market, price * (1_000 - side * (70 if steep else 40)) // 1_000)
    r = exposure(s, A)
    assert r.e_kind < 0
    books.top_up_to(s, ALICE, r.m_kind * share_of_m // c.PPM)


def liquidate(
    s: System, market: int = 0, max_size: int = 2**256 - 1, account: bytes = A, taker: bytes = C
) -> books.Outcome:
    """Carol liquidates Alice; INV-6 is checked where it goes through."""
    edges = {m: prices(s, m) for m, spec in enumerate(s.specs)}
    before = Snapshot(s.twin.world)
    sides = before.legs(account)
    outcome = s.call("liquidate", CAROL.address, account, market, taker, max_size)
    if outcome.ok:
        kind = {m: edges[m].high if held.is_long else edges[m].low for m, held in sides.items()}
        after = Snapshot(s.twin.world)
        inv_6_liquidation_never_worsens(before, after, account, kind, {m: p.index for m, p in edges.items()})
    return outcome


# ---- who can be liquidated -------------------------------------------------------------------------


@SIDES
def test_liquidate__healthy_boundary_is_strict(system: System, side: int) -> None:
    sick(system, side, c.PPM)
    r = exposure(system, A)
    assert 0 <= r.e_kind - r.m_kind < WAD
    refused(liquidate(system), "liquidation: healthy")


@SIDES
def test_liquidate__one_wei_below_maintenance(system: System, side: int) -> None:
    sick(system, side, c.PPM - 1)
    r = exposure(system, A)
    books.top_up_to(system, ALICE, r.m_kind - WAD)
    assert exposure(system, A).e_kind < r.m_kind
    ok(liquidate(system))


@SIDES
def test_liquidate__equity_of_zero_is_not_bankrupt(system: System, side: int) -> None:
    sick(system, side, 0)
    assert exposure(system, A).e_kind == 0
    ok(liquidate(system))
    assert (leg(system, A).size, word(system, A).cash) == (0, 0)


@SIDES
def test_liquidate__one_wei_less_is_bankrupt(system: System, side: int) -> None:
    sick(system, side, -1)
    books.top_up_to(system, ALICE, -WAD)
    assert exposure(system, A).e_kind == -WAD
    refused(liquidate(system), "liquidation: bankrupt")


def test_liquidate__no_position(system: System) -> None:
    books.rich(system, ALICE, CAROL)
    refused(liquidate(system), "liquidation: no position")


def test_liquidate__own_account(system: System) -> None:
    sick(system, 1, 500_000)
    refused(system.call("liquidate", ALICE.address, A, 0, A, WAD), "liquidation: own account")


def test_liquidate__stranger_for_the_taker(system: System) -> None:
    sick(system, 1, 500_000)
    refused(system.call("liquidate", DAVE.address, A, 0, C, WAD), "ledger: not authorised")
    system.must("set_operator", CAROL.address, DAVE.address, True)
    ok(system.call("liquidate", DAVE.address, A, 0, C, WAD))


def test_liquidate__zero_size(system: System) -> None:
    sick(system, 1, 500_000)
    refused(liquidate(system, max_size=0), "liquidation: zero size")


def test_liquidate__frozen(system: System) -> None:
    sick(system, 1, 500_000)
    books.feeds_down(system, 0, 2)
    refused(liquidate(system), "market: frozen")


def test_liquidate__degraded_market_wants_a_taker_who_reduces(system: System) -> None:
    sick(system, 1, 500_000)
    ok(trade(system, C, B, -SIZE, prices(system).index))
    books.feeds_down(system, 0, 1)
    ok(liquidate(system))
    assert leg(system, C).size > -SIZE


def test_liquidate__a_taker_may_grow_in_a_degraded_market(system: System) -> None:
    sick(system, 1, 500_000)
    books.feeds_down(system, 0, 1)
    ok(liquidate(system))


# ---- price -----------------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("share_of_m", [100_000, 400_000, 900_000, 999_999])
def test_liquidate__price_of_rule_17(system: System, side: int, share_of_m: int) -> None:
    """The account gets the better of the index less the penalty and its own bankruptcy price at the kind edge."""
    sick(system, side, share_of_m)
    p, r, k = prices(system), exposure(system, A), kind_edge(system, 0, side)
    share = price_share(r.e_kind, r.m_kind, r.m_kind, side * SIZE)
    penalised = (
        ceil_div(p.index * (c.PPM - RISK.penalty), c.PPM) if side > 0 else p.index * (c.PPM + RISK.penalty) // c.PPM
    )
    own = k - side * share
    price = max(penalised, own) if side > 0 else min(penalised, own)
    fields = event(ok(liquidate(system)), "Liquidated")
    size = abs(fields["size"])
    assert fields["size"] * side < 0
    exact = size * price
    assert fields["quote"] == (ceil_div(exact, WAD) if side > 0 else exact // WAD)
    # both branches are met in this table
    assert (price == own) == (share_of_m in (100_000, 400_000))


@SIDES
def test_liquidate__penalty_split(system: System, side: int) -> None:
    sick(system, side, 900_000)
    x = prices(system).index
    cash, fees = word(system, C).cash, market_words(system).fees
    fields = event(ok(liquidate(system)), "Liquidated")
    size = abs(fields["size"])
    discount = size * x // WAD - fields["quote"] if side > 0 else fields["quote"] - ceil_div(size * x, WAD)
    assert discount > 0
    assert fields["fund_fee"] == discount * RISK.fund_share // c.PPM > 0
    assert market_words(system).fees - fees == fields["fund_fee"]
    assert cash - word(system, C).cash == side * fields["quote"] + fields["fund_fee"]
    assert leg(system, C).size == side * size


@SIDES
def test_liquidate__no_discount_no_fee(system: System, side: int) -> None:
    """Near zero equity the account's price is beyond the index: the taker pays it and the fund gets nothing."""
    sick(system, side, 50_000)
    x = prices(system).index
    fields = event(ok(liquidate(system)), "Liquidated")
    assert side * (fields["quote"] * WAD - abs(fields["size"]) * x) > 0
    assert fields["fund_fee"] == 0


# ---- size ------------------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize(("market", "share_of_m"), [(0, 980_000), (0, 700_000), (0, 620_000), (2, 900_000)])
def test_liquidate__least_step_that_restores_the_target(
    system: System, side: int, market: int, share_of_m: int
) -> None:
    size = SIZE if market == 0 else 10_000 * WAD
    sick(system, side, share_of_m, market, size)
    p, r, k = prices(system, market), exposure(system, A), kind_edge(system, market, side)
    share = price_share(r.e_kind, r.m_kind, r.m_kind, side * size)
    if side > 0:
        price = max(ceil_div(p.index * (c.PPM - RISK.penalty), c.PPM), k - share)
    else:
        price = min(p.index * (c.PPM + RISK.penalty) // c.PPM, k + share)
    risk, claim_index = system.specs[market].risk, domain(system).claim_index

    def heals(step: int) -> bool:
        part = ceil_div(size * step, STEPS)
        needed = requirement(risk.maintenance, risk.depth, (size - part) * k, claim_index)
        return (r.e_kind - part * abs(k - price)) * c.PPM >= needed * risk.target

    steps = next(step for step in range(1, STEPS + 1) if heals(step))
    assert 1 < steps < STEPS
    taken = ok(liquidate(system, market)).value
    assert taken == ceil_div(size * steps, STEPS)
    assert exposure(system, A).e_kind * c.PPM >= exposure(system, A).m_kind * RISK.target
    refused(liquidate(system, market), "liquidation: healthy")


@SIDES
def test_liquidate__whole_where_no_part_heals(system: System, side: int) -> None:
    sick(system, side, 10_000)
    assert ok(liquidate(system)).value == SIZE
    assert word(system, A).legs == 0
    assert word(system, A).cash >= 0


@SIDES
def test_liquidate__whole_where_the_rest_is_below_the_minimum(system: System, side: int) -> None:
    sick(system, side, 650_000, 3)
    system.must("set_limits", GOVERNOR, 3, replace(LIMITS, min_size=10**15).pack())
    mark = system.twin.snapshot()
    part = ok(liquidate(system, 3)).value
    system.twin.revert(mark)
    rest = SIZE - part
    assert 0 < rest < SIZE
    for min_size, taken in ((rest, part), (rest + 1, SIZE)):
        mark = system.twin.snapshot()
        system.must("set_limits", GOVERNOR, 3, replace(LIMITS, min_size=min_size).pack())
        if taken == part and part < min_size:
            # the taker's own position would be below the minimum: he holds some already
            ok(trade(system, C, B, side * min_size, prices(system, 3).index, 3))
        assert ok(liquidate(system, 3)).value == taken
        system.twin.revert(mark)


def test_liquidate__max_size_clamps(system: System) -> None:
    sick(system, 1, 650_000)
    assert ok(liquidate(system, max_size=WAD)).value == WAD
    assert leg(system, A).size == SIZE - WAD
    assert exposure(system, A).e_kind < exposure(system, A).m_kind
    ok(liquidate(system))


# ---- taker -----------------------------------------------------------------------------------------


@SIDES
def test_liquidate__taker_must_meet_initial_margin(system: System, side: int) -> None:
    sick(system, side, 650_000)
    books.fund(system, DAVE, 10 * WAD)
    refused(system.call("liquidate", DAVE.address, A, 0, D, 10 * WAD), "margin: below initial")
    books.fund(system, DAVE, 190 * WAD)
    ok(system.call("liquidate", DAVE.address, A, 0, D, 10 * WAD))


@SIDES
def test_liquidate__taker_with_an_opposite_position(system: System, side: int) -> None:
    sick(system, side, 650_000)
    ok(trade(system, C, B, -side * 3 * WAD, prices(system).index))
    oi = market_words(system).oi
    taken = ok(liquidate(system)).value
    assert leg(system, C).size == side * (taken - 3 * WAD)
    assert market_words(system).oi < oi


def test_liquidate__taker_below_the_minimum_size(system: System) -> None:
    sick(system, 1, 650_000, 3)
    refused(liquidate(system, 3, max_size=WAD), "fill: below minimum size")


def test_liquidate__newcomer_as_taker_while_bad_debt(system: System) -> None:
    sick(system, 1, 650_000)
    ok(trade(system, C, B, 10 * WAD, prices(system).index))
    books.fund(system, DAVE, 10_000 * WAD)
    ok(trade(system, D, B, 400 * WAD, prices(system).index))
    move(system, 0, 900 * WAD)
    ok(system.call("resolve", ALICE.address, D, ()))
    assert domain(system).bad_debt > 0
    # Alice is bankrupt too by now; a deposit while there is bad debt waits as late cash and counts
    books.top_up_to(system, ALICE, exposure(system, A).m_kind // 2)
    assert word(system, A).has_late
    books.fund(system, BOB, WAD, 1)
    refused(system.call("liquidate", BOB.address, A, 0, BOB.account(1), WAD), "ledger: closed to newcomers")
    ok(liquidate(system))


def test_liquidate__late_cash_pays_and_a_release_folds_it(system: System) -> None:
    """Whole while the bad debt stands: flat with negative cash and as much late cash; nobody is shut in by it."""
    sick(system, 1, 650_000)
    books.fund(system, DAVE, 10_000 * WAD)
    ok(trade(system, D, B, 400 * WAD, prices(system).index))
    move(system, 0, 900 * WAD)
    ok(system.call("resolve", BOB.address, D, ()))
    assert domain(system).bad_debt > 0
    r = exposure(system, A)
    books.top_up_to(system, ALICE, r.m_kind // 100)
    books.rich(system, BOB, amount=10**6 * WAD)
    assert ok(system.call("liquidate", BOB.address, A, 0, B, 2**256 - 1)).value == SIZE
    a = word(system, A)
    assert (a.legs, a.has_late) == (0, True)
    assert a.cash < 0
    system.twin.advance(c.RESIDENCY_S)
    refused(system.call("release", BOB.address, A), "release: not flat")
    system.must("rebase_claims", BOB.address)
    outcome = ok(system.call("release", BOB.address, A))
    assert event(outcome, "LateFolded")["account"] == A
    assert 0 <= word(system, A).cash < WAD * 10


@SIDES
def test_liquidate__cross_account_only_the_named_leg(system: System, side: int) -> None:
    books.rich(system, BOB, CAROL)
    books.fund(system, ALICE, 4_000 * WAD)
    ok(trade(system, A, B, side * SIZE, PRICE))
    ok(trade(system, A, B, side * 2 * WAD, 30_000 * WAD, 1))
    move(system, 0, PRICE * (1_000 - side * 30) // 1_000)
    system.set_price(1, 30_000 * WAD)
    r = exposure(system, A)
    assert 0 < r.e_kind < r.m_kind
    other = leg(system, A, 1).size
    taken = ok(liquidate(system)).value
    assert 0 < taken <= SIZE
    assert leg(system, A, 1).size == other
    if leg(system, A).size == 0 and exposure(system, A).e_kind < exposure(system, A).m_kind:
        ok(liquidate(system, 1))
    assert exposure(system, A).e_kind >= exposure(system, A).m_kind


# ---- several ---------------------------------------------------------------------------------------


def test_liquidate_batch__skips_what_cannot_be(system: System) -> None:
    sick(system, 1, 650_000)
    books.fund(system, ALICE, 100 * WAD, 2)  # bankrupt: margin of a smaller position, all gone
    index = prices(system).index
    ok(trade(system, ALICE.account(2), B, WAD, index))
    healthy, bankrupt, empty, exempt = B, ALICE.account(2), D, DAVE.account(7)
    books.rich(system, DAVE)
    ok(trade(system, D, C, WAD, index))
    ok(trade(system, D, C, -WAD, index))
    move(system, 0, index * 85 // 100)
    books.top_up_to(system, ALICE, exposure(system, A).m_kind // 2)
    assert exposure(system, bankrupt).e_kind < 0
    outcome = system.call("liquidate_batch", CAROL.address, (healthy, bankrupt, empty, exempt, A, A), 0, C, 2**256 - 1)
    taken = [fields["account"] for fields in events(ok(outcome), "Liquidated")]
    assert set(taken) == {A}
    assert outcome.value == sum(-fields["size"] for fields in events(outcome, "Liquidated"))


def test_liquidate_batch__nothing_to_do_accrues_and_takes_nothing(system: System) -> None:
    books.rich(system, ALICE, BOB, CAROL)
    ok(trade(system, A, B, WAD, PRICE))
    system.twin.advance(60)
    system.set_price(0, PRICE)
    outcome = ok(system.call("liquidate_batch", CAROL.address, (A, B, D), 0, C, WAD))
    assert outcome.value == 0
    assert len(events(outcome, "FundingAccrued")) == 1
    assert ok(system.call("liquidate_batch", CAROL.address, (), 0, C, WAD)).value == 0


@pytest.mark.parametrize("count", [16, 17])
def test_liquidate_batch__at_most_sixteen(system: System, count: int) -> None:
    books.rich(system, BOB, CAROL)
    outcome = system.call("liquidate_batch", CAROL.address, (B,) * count, 0, C, WAD)
    assert outcome.reason == (None if count == 16 else "")


def test_liquidate_batch__stranger_and_own_account(system: System) -> None:
    books.rich(system, BOB, CAROL)
    refused(system.call("liquidate_batch", DAVE.address, (B,), 0, C, WAD), "ledger: not authorised")
    refused(system.call("liquidate_batch", CAROL.address, (B, C), 0, C, WAD), "liquidation: own account")
    refused(system.call("liquidate_batch", CAROL.address, (B,), 4, C, WAD), "market: not listed")
