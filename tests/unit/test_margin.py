"""The judgement of a trade (SPEC §5, §6): each edge to the wei, rule 13, rule 18, several markets, the slope of rates.

The collateral has 18 decimals here, so a deposit moves equity by single wei.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import floor, trunc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_ref import constants as c
from python_ref.margin import price_share, requirement
from python_ref.words import Market
from scripts.system import GOVERNOR, RISK, WAD, MarketSpec, System
from scripts.twin import Twin
from tests import books
from tests.books import ALICE, BOB, CAROL, DAVE, ceil_div, exposure, leg, move, ok, prices, refused, word
from tests.harness import ask, module_twin

PRICE = 1_000 * WAD
NO_FEES = replace(RISK, taker_fee=0)

deployed = books.deployed_fixture(
    MarketSpec("ETH", PRICE, risk=NO_FEES),
    MarketSpec("BTC", 30_000 * WAD, risk=NO_FEES),
    MarketSpec("CVX", 2 * WAD, risk=replace(NO_FEES, depth=1_000_000)),
)
system = books.system_fixture()

A, B, C, D = ALICE.account(), BOB.account(), CAROL.account(), DAVE.account()
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])


def trade(s: System, who: bytes, other: bytes, change: int, price: int, market: int = 0) -> books.Outcome:
    """``who``'s position changes by signed ``change``."""
    buyer, seller = (who, other) if change > 0 else (other, who)
    return s.trade(market, buyer, seller, abs(change), price)


def credit(s: System, market: int, side: int) -> int:
    """The harsh edge."""
    p = prices(s, market)
    return p.credit_low if side > 0 else p.credit_high


def kind(s: System, market: int, side: int) -> int:
    """The kind edge."""
    p = prices(s, market)
    return p.high if side > 0 else p.low


# ---- initial margin --------------------------------------------------------------------------------


def least_cash(s: System, market: int, change: int, price: int, depth: int = 0) -> int:
    """Wei of cash with which a fresh account may just trade ``change`` at ``price``."""
    edge = credit(s, market, change)
    value = change * edge - change * price
    im = requirement(s.specs[market].risk.initial, depth, abs(change) * edge, c.INDEX_ONE)
    return ceil_div(im - value, WAD)


@SIDES
def test_judge_trade__initial_margin_to_the_wei(system: System, side: int) -> None:
    books.rich(system, BOB)
    price = PRICE + side * WAD
    books.fund(system, ALICE, least_cash(system, 0, side * 7 * WAD, price) - 1)
    refused(trade(system, A, B, side * 7 * WAD, price), "margin: below initial")
    books.fund(system, ALICE, 1)
    ok(trade(system, A, B, side * 7 * WAD, price))
    r = exposure(system, A)
    assert 0 <= r.e_credit - r.im_credit < WAD


@SIDES
def test_judge_trade__initial_margin_after_the_reference_lags(system: System, side: int) -> None:
    """The slow reference is the harsh edge after the price moved in the trader's favour."""
    books.rich(system, BOB)
    move(system, 0, PRICE * (100 + side * 5) // 100)
    p = prices(system)
    assert credit(system, 0, side) == (p.credit_low if side > 0 else p.credit_high) != (p.low if side > 0 else p.high)
    books.fund(system, ALICE, least_cash(system, 0, side * WAD, p.index) - 1)
    refused(trade(system, A, B, side * WAD, p.index), "margin: below initial")
    books.fund(system, ALICE, 1)
    ok(trade(system, A, B, side * WAD, p.index))


@SIDES
def test_judge_trade__rate_grows_with_the_notional(system: System, side: int) -> None:
    books.rich(system, BOB)
    depth, small, large = 1_000_000, 10**18, 100_000 * WAD
    for change in (side * small, side * large):
        who = ALICE if abs(change) == small else CAROL
        flat = least_cash(system, 2, change, 2 * WAD)
        steep = least_cash(system, 2, change, 2 * WAD, depth)
        assert steep > flat
        books.fund(system, who, steep - 1)
        refused(trade(system, who.account(), B, change, 2 * WAD, 2), "margin: below initial")
        books.fund(system, who, 1)
        ok(trade(system, who.account(), B, change, 2 * WAD, 2))


@SIDES
def test_judge_trade__two_markets_share_one_cash(system: System, side: int) -> None:
    books.rich(system, BOB)
    first = least_cash(system, 0, side * 3 * WAD, PRICE)
    books.fund(system, ALICE, first)
    ok(trade(system, A, B, side * 3 * WAD, PRICE))
    refused(trade(system, A, B, -side * 10**17, 30_000 * WAD, 1), "margin: below initial")
    second = least_cash(system, 1, -side * 10**17, 30_000 * WAD)
    books.fund(system, ALICE, second - 2)
    refused(trade(system, A, B, -side * 10**17, 30_000 * WAD, 1), "margin: below initial")
    books.fund(system, ALICE, 2)
    ok(trade(system, A, B, -side * 10**17, 30_000 * WAD, 1))
    r = exposure(system, A)
    assert r.e_credit >= r.im_credit


@SIDES
def test_judge_trade__flip_is_an_increase(system: System, side: int) -> None:
    books.rich(system, BOB)
    books.fund(system, ALICE, least_cash(system, 0, side * WAD, PRICE))
    ok(trade(system, A, B, side * WAD, PRICE))
    # twice the size on the other side needs twice the margin; the same size has it but for the spread
    refused(trade(system, A, B, -side * 3 * WAD, PRICE), "margin: below initial")
    refused(trade(system, A, B, -side * 2 * WAD, PRICE - side * WAD), "margin: below initial")
    ok(trade(system, A, B, -side * (WAD + WAD // 2), PRICE))
    assert leg(system, A).size == -side * WAD // 2


# ---- the matrix: sign × equity × direction ---------------------------------------------------------


def indebted(s: System, side: int, size: int = 100 * WAD) -> None:
    """Alice has ``side·size`` at the least margin; then the price turns against her by just over her equity.

    Carol stands on the other side too, with plenty.
    """
    books.rich(s, BOB, CAROL)
    books.fund(s, ALICE, least_cash(s, 0, side * size, PRICE))
    ok(trade(s, A, B, side * size, PRICE))
    ok(trade(s, C, B, side * size, PRICE))
    move(s, 0, PRICE * (1_000 - side * 35) // 1_000)


def maintenance(s: System, side: int, size: int) -> int:
    """Maintenance of Alice's one leg at the kind edge, value."""
    return requirement(NO_FEES.maintenance, 0, size * kind(s, 0, side), c.INDEX_ONE)


@SIDES
@pytest.mark.parametrize("state", ["bankrupt", "zero", "below", "at", "above"])
@pytest.mark.parametrize("direction", ["increase", "reduce", "close", "flip"])
def test_judge_trade__matrix(system: System, side: int, state: str, direction: str) -> None:
    size = 100 * WAD
    indebted(system, side, size)
    m = maintenance(system, side, size)
    r = exposure(system, A)
    assert r.e_kind < 0
    # at the index an account of zero equity at the kind edge is insolvent, so rule 18 lets it not trade at all
    spread = size * abs(kind(system, 0, side) - prices(system).index)
    target = {"bankrupt": -WAD, "zero": 0, "below": m - WAD, "at": m, "above": 4 * m}[state]
    if state == "below":
        assert target > spread
    books.top_up_to(system, ALICE, target)
    change = side * {"increase": WAD, "reduce": -WAD, "close": -size, "flip": -size - WAD}[direction]
    outcome = trade(system, A, B, change, prices(system).index)
    if state == "bankrupt":
        refused(outcome, "margin: bankrupt")
    elif direction == "increase":
        refused(outcome, "margin: below initial") if state != "above" else ok(outcome)
    elif direction == "flip":
        # equity at the harsh edges is equity at the index once the old leg is gone
        ok(outcome) if state in ("below", "at", "above") else refused(outcome, "margin: below initial")
    elif state == "zero":
        refused(outcome, "margin: would be bankrupt")
    else:
        ok(outcome)


@SIDES
def test_judge_trade__insolvent_at_the_index(system: System, side: int) -> None:
    """Solvent at the kind edge and not at the index: he may not sell even at a price that harms nobody."""
    size = 100 * WAD
    indebted(system, side, size)
    spread = size * abs(kind(system, 0, side) - prices(system).index)
    books.top_up_to(system, ALICE, spread - WAD)
    assert exposure(system, A).e_index < 0 < exposure(system, A).e_kind
    refused(trade(system, A, B, -side * WAD, kind(system, 0, side)), "margin: insolvent at index")
    books.fund(system, ALICE, 1)
    assert exposure(system, A).e_index >= 0
    ok(trade(system, A, B, -side * WAD, kind(system, 0, side)))


@SIDES
def test_judge_trade__would_be_bankrupt(system: System, side: int) -> None:
    """A solvent account may not close at a price that leaves it with less than nothing."""
    size = 100 * WAD
    indebted(system, side, size)
    books.top_up_to(system, ALICE, maintenance(system, side, size))
    e = exposure(system, A).e_kind
    # the price per unit at which the whole equity is given up, rounded to Alice's good
    gone = e // size
    price = kind(system, 0, side) - side * gone
    refused(trade(system, A, B, -side * size, price - side), "margin: would be bankrupt")
    ok(trade(system, A, B, -side * size, price))
    assert word(system, A).cash >= 0


@SIDES
@pytest.mark.parametrize("part", [WAD, 30 * WAD + 7 * 10**12, 100 * WAD])
def test_judge_trade__floor_price_exactly(system: System, side: int, part: int) -> None:
    """INV-5, rule 18: below maintenance, what is given up against the index is at most the leg's share of equity."""
    size = 100 * WAD
    indebted(system, side, size)
    books.top_up_to(system, ALICE, maintenance(system, side, size) - WAD)
    x, r = prices(system).index, exposure(system, A)
    share = price_share(r.e_index, r.m_index, r.m_index, side * size)
    assert share > 0
    worst = x - side * share
    if side > 0 and part * worst % WAD:
        worst += 1  # the quote is floored, which is against a seller
    refused(trade(system, A, B, -side * part, worst - side), "margin: worse than floor price")
    ok(trade(system, A, B, -side * part, worst))
    after = exposure(system, A)
    assert after.e_index * r.m_index >= r.e_index * after.m_index - r.m_index * WAD


@SIDES
def test_judge_trade__floor_price_counts_the_fee(system: System, side: int) -> None:
    size = 100 * WAD
    indebted(system, side, size)
    books.top_up_to(system, ALICE, maintenance(system, side, size) - WAD)
    x, r = prices(system).index, exposure(system, A)
    share = price_share(r.e_index, r.m_index, r.m_index, side * size)
    system.must("set_risk", GOVERNOR, 0, replace(NO_FEES, taker_fee=1_000, maker_fee=1_000).pack())
    part = 10 * WAD
    refused(trade(system, A, B, -side * part, x - side * share), "margin: worse than floor price")

    # just at the floor with the fee: the price that much better, found by the sum it makes
    def given_up(price: int) -> int:
        quote = part * price // WAD
        fee = ceil_div(quote * 1_000, c.PPM)
        cash = quote - fee if side > 0 else -ceil_div(part * price, WAD) - fee
        return -(cash * WAD - side * part * x)

    price = x - side * share
    while given_up(price) > part * share:
        price += side * ceil_div(given_up(price) - part * share, 2 * part)
    refused(trade(system, A, B, -side * part, price - side), "margin: worse than floor price")
    ok(trade(system, A, B, -side * part, price))


@SIDES
def test_judge_trade__above_maintenance_no_floor(system: System, side: int) -> None:
    size = 100 * WAD
    indebted(system, side, size)
    books.top_up_to(system, ALICE, maintenance(system, side, size))
    x, r = prices(system).index, exposure(system, A)
    share = price_share(r.e_index, r.m_index, r.m_index, side * size)
    ok(trade(system, A, B, -side * WAD, x - side * (share + 1)))


@SIDES
def test_judge_trade__floor_price_in_a_cross_account(system: System, side: int) -> None:
    """The leg's share is by maintenance; the other leg keeps its own."""
    books.rich(system, BOB)
    books.fund(system, ALICE, 4_000 * WAD)
    ok(trade(system, A, B, side * 100 * WAD, PRICE))
    ok(trade(system, A, B, side * 2 * WAD, 30_000 * WAD, 1))
    move(system, 0, PRICE * (1_000 - side * 30) // 1_000)
    system.set_price(1, 30_000 * WAD)
    r = exposure(system, A)
    assert r.e_index > 0
    assert r.e_kind < r.m_kind
    x = prices(system, 0).index
    own = requirement(NO_FEES.maintenance, 0, 100 * x, c.INDEX_ONE) * WAD
    share = price_share(r.e_index, own, r.m_index, side * 100 * WAD)
    assert 0 < share < price_share(r.e_index, r.m_index, r.m_index, side * 100 * WAD)
    refused(trade(system, A, B, -side * 10 * WAD, x - side * (share + 1)), "margin: worse than floor price")
    ok(trade(system, A, B, -side * 10 * WAD, x - side * share))


# ---- frozen legs are valued at their last prices ---------------------------------------------------


def test_assess__frozen_leg_at_its_last_price(system: System) -> None:
    books.rich(system, ALICE, BOB)
    ok(trade(system, A, B, WAD, PRICE))
    before = exposure(system, A)
    books.feeds_down(system, 0, 2)
    after = exposure(system, A)
    assert (after.e_kind, after.m_kind) == (before.e_kind, before.m_kind)
    assert (before.worst, after.worst) == (c.STATE_LIVE, c.STATE_FROZEN)


@pytest.mark.parametrize("exposed", [True, False])
def test_account_equity__three_edges(system: System, exposed: bool) -> None:
    books.rich(system, ALICE, BOB)
    if exposed:
        ok(trade(system, A, B, 5 * WAD + 10**12, PRICE))
        move(system, 0, PRICE + 12_345 * 10**13)
    answer = system.call("account_equity", DAVE.address, A).value
    r = exposure(system, A)
    assert answer == (tuple(e // WAD for e in (r.e_kind, r.e_index, r.e_credit)) if exposed else (10**9 * WAD,) * 3)


# ---- the arithmetic on any input -------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared() -> Iterator[Twin]:
    """The modules' insides and their model."""
    with module_twin() as made:
        yield made


claim_indices = st.one_of(st.integers(c.MIN_CLAIM_INDEX, c.INDEX_ONE), st.just(c.INDEX_ONE))


@given(
    st.integers(0, 2**24 - 1),
    st.one_of(st.just(0), st.integers(1, 2**40 - 1)),
    st.one_of(st.integers(0, 2**200), st.integers(0, 10**40)),
    claim_indices,
)
def test_requirement__rounds_up(shared: Twin, rate_ppm: int, depth: int, notional: int, claim_index: int) -> None:
    answer = ask(shared, "requirement", rate_ppm, depth, notional, claim_index)
    rate = Fraction(rate_ppm, c.PPM)
    if depth:
        real = Fraction(notional * claim_index, c.INDEX_ONE)
        rate += real / (Fraction(depth) * WAD * WAD)
    if answer is None:
        assert notional > 10**40
        return
    exact = notional * rate
    # the slope's part is worked out in whole money units, then in parts of 1e18
    assert exact - 2 * Fraction(notional, WAD * max(depth, 1)) - 1 <= answer
    assert answer <= exact + Fraction(notional, WAD) + 1
    if not depth:
        assert answer == ceil_div(notional * rate_ppm, c.PPM)


@given(
    st.integers(-(2**180), 2**180),
    st.integers(0, 2**180),
    st.integers(0, 2**180),
    st.integers(-(2**104) + 1, 2**104 - 1),
)
def test_price_share__rounds_down(shared: Twin, equity: int, leg_margin: int, others: int, size: int) -> None:
    total = leg_margin + others
    answer = ask(shared, "price_share", equity, leg_margin, total, size)
    if total == 0 or size == 0:
        assert answer == 0
    elif answer is not None:
        exact = Fraction(equity * leg_margin, total * abs(size))
        assert answer <= exact
        assert exact - answer <= 1 + Fraction(leg_margin, WAD * abs(size))


@given(
    st.integers(-(2**80), 2**80),
    st.integers(-c.MAX_PREMIUM_PPM, c.MAX_PREMIUM_PPM),
    st.integers(-c.MAX_PREMIUM_PPM, c.MAX_PREMIUM_PPM),
    st.one_of(st.integers(0, 10), st.integers(0, 10**6)),
    st.integers(1, c.MAX_PRICE),
    st.integers(c.STATE_LIVE, c.STATE_SETTLEMENT),
    st.one_of(st.just(0), st.integers(0, 10**6)),
)
def test_accrue__left_riemann(
    shared: Twin, funding: int, rate: int, sample: int, dt: int, index: int, state: int, paused: int
) -> None:
    """The time that passed is paid at the old rate; then the rate moves towards the sample and never beyond it.

    The clock leaves out the seconds without a price; one that seems to run backwards stands still.
    """
    now = shared.chain.now - paused
    before = Market(funding=funding, rate=rate, sample=sample, accrued=now - dt, fees=5, pot=-7, oi=11, residue=13)
    early = replace(before, accrued=now + dt)
    assert Market(*shared.view("ClearingHouse", "accrue", early, index, state, paused)) == early
    after = Market(*shared.view("ClearingHouse", "accrue", before, index, state, paused))
    if dt == 0 or state in (c.STATE_FROZEN, c.STATE_SETTLEMENT):
        assert after == before
        return
    paid = floor(Fraction(rate * index * dt, c.PPM * c.FUNDING_PERIOD_S))
    step = Fraction((sample - rate) * min(dt, c.PREMIUM_TAU_S), c.PREMIUM_TAU_S)
    assert after == replace(before, funding=funding + paid, rate=rate + trunc(step), accrued=now)
    assert min(rate, sample) <= after.rate <= max(rate, sample)
    if dt >= c.PREMIUM_TAU_S:
        assert after.rate == sample
