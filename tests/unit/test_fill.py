"""``fill``: every reason of SPEC §6, on both sides of its edge, and the arithmetic of a trade."""

from __future__ import annotations

from dataclasses import replace

import pytest

from python_ref import constants as c
from scripts.system import FILLER, GOVERNOR, LIMITS, RISK, WAD, MarketSpec, System
from tests import books
from tests.books import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    domain,
    event,
    events,
    leg,
    market_words,
    move,
    ok,
    prices,
    refused,
    word,
)

PRICE = 2_000 * WAD
SLOPED = replace(RISK, depth=10_000_000)
RANKED = replace(LIMITS, rank=c.RANK_PROFIT)
CAPPED = replace(LIMITS, oi_cap=10 * WAD, min_size=10**16, lot_exp=15)

deployed = books.deployed_fixture(
    MarketSpec("ETH", PRICE),
    MarketSpec("CVX", 2 * WAD, risk=SLOPED),
    MarketSpec("CAP", 100 * WAD, limits=CAPPED),
    MarketSpec("PROFIT", PRICE, limits=RANKED),
    MarketSpec("SINGLE", PRICE, limits=replace(LIMITS, rank=c.RANK_SINGLE), policy="ProRata"),
    *(MarketSpec(f"M{i}", 10 * WAD) for i in range(5, 9)),
)
system = books.system_fixture()

A, B, C = ALICE.account(), BOB.account(), CAROL.account()
BUYER_REDUCE, SELLER_REDUCE, BUYER_TAKER = c.FLAG_BUYER_REDUCE_ONLY, c.FLAG_SELLER_REDUCE_ONLY, c.FLAG_BUYER_IS_TAKER


# ---- the order itself ------------------------------------------------------------------------------


def test_fill__same_account_on_both_sides(system: System) -> None:
    books.rich(system, ALICE)
    refused(system.trade(0, A, A, WAD, PRICE), "fill: same account")


@pytest.mark.parametrize(
    ("size", "fine"), [(0, False), (10**12, True), (c.MAX_SIZE + 10**12, False), (2**256 - 1, False)]
)
def test_fill__size_out_of_range(system: System, size: int, fine: bool) -> None:
    books.rich(system, ALICE, BOB)
    outcome = system.trade(4 if fine else 0, A, B, size, PRICE)
    # the smallest size passes this check and stops at the next that it can
    refused(outcome, "fill: below minimum size" if fine else "fill: size")


@pytest.mark.parametrize("market", [9, 15, 16, 2**253, 2**256 - 1])
def test_fill__market_not_listed(system: System, market: int) -> None:
    refused(system.trade(market, A, B, WAD, PRICE), "market: not listed")


def test_fill__price_band_edges_exactly(system: System) -> None:
    books.rich(system, ALICE, BOB)
    p = prices(system)
    least = books.ceil_div(p.low * (c.PPM - RISK.fill_band), c.PPM)
    most = p.high * (c.PPM + RISK.fill_band) // c.PPM
    refused(system.trade(0, A, B, WAD, least - 1), "fill: price below band")
    refused(system.trade(0, A, B, WAD, most + 1), "fill: price above band")
    ok(system.trade(0, A, B, WAD, least))
    ok(system.trade(0, A, B, WAD, most))


@pytest.mark.parametrize("price", [0, c.MAX_PRICE, 2**255, 2**256 - 1])
def test_fill__absurd_price(system: System, price: int) -> None:
    """Both sides refuse alike, also where a product leaves the word."""
    books.rich(system, ALICE, BOB)
    assert not system.trade(0, A, B, WAD, price).ok


def test_fill__lot(system: System) -> None:
    books.rich(system, ALICE, BOB)
    refused(system.trade(2, A, B, WAD + 10**14, 100 * WAD), "fill: lot")
    ok(system.trade(2, A, B, WAD + 10**15, 100 * WAD))


def test_fill__open_interest_cap_exactly(system: System) -> None:
    books.rich(system, ALICE, BOB, CAROL)
    refused(system.trade(2, A, B, 10 * WAD + 10**15, 100 * WAD), "fill: open interest cap")
    ok(system.trade(2, A, B, 10 * WAD, 100 * WAD))
    # at the cap, positions may change hands and shrink
    ok(system.trade(2, C, A, 4 * WAD, 100 * WAD))
    refused(system.trade(2, C, DAVE.account(), 10**16, 100 * WAD), "margin: below initial")
    ok(system.trade(2, B, C, 4 * WAD, 100 * WAD))
    ok(system.trade(2, A, B, 4 * WAD, 100 * WAD))


def test_fill__cap_lowered_below_the_open_interest(system: System) -> None:
    books.rich(system, ALICE, BOB)
    ok(system.trade(2, A, B, 10 * WAD, 100 * WAD))
    system.must("set_limits", GOVERNOR, 2, replace(CAPPED, oi_cap=WAD).pack())
    ok(system.trade(2, B, A, WAD, 100 * WAD))  # a trade that lowers the open interest does not ask
    refused(system.trade(2, A, B, WAD, 100 * WAD), "fill: open interest cap")


@pytest.mark.parametrize("first_is_buyer", [True, False])
def test_fill__minimum_size_of_what_is_left(system: System, first_is_buyer: bool) -> None:
    books.rich(system, ALICE, BOB, CAROL)
    least = CAPPED.min_size

    def trade(own: bytes, other: bytes, size: int, opening: bool) -> books.Outcome:
        buyer, seller = (own, other) if opening == first_is_buyer else (other, own)
        return system.trade(2, buyer, seller, size, 100 * WAD)

    refused(trade(A, B, least - 10**15, True), "fill: below minimum size")
    ok(trade(A, B, 3 * least, True))
    ok(trade(C, B, 3 * least, True))
    refused(trade(A, B, 2 * least + 10**15, False), "fill: below minimum size")
    ok(trade(A, B, 2 * least, False))
    ok(trade(A, B, least, False))
    assert word(system, A).legs == 0


# ---- reduce-only -----------------------------------------------------------------------------------


def test_fill__reduce_only_without_a_position(system: System) -> None:
    books.rich(system, ALICE, BOB, CAROL)
    refused(system.trade(0, A, B, WAD, PRICE, BUYER_REDUCE), "fill: nothing to fill")
    refused(system.trade(0, A, B, WAD, PRICE, SELLER_REDUCE), "fill: nothing to fill")
    ok(system.trade(0, A, B, WAD, PRICE))
    # a position on the side of the trade is none to reduce
    refused(system.trade(0, A, C, WAD, PRICE, BUYER_REDUCE), "fill: nothing to fill")
    refused(system.trade(0, C, B, WAD, PRICE, SELLER_REDUCE), "fill: nothing to fill")


def test_fill__reduce_only_clamps_to_the_position(system: System) -> None:
    books.rich(system, ALICE, BOB, CAROL)
    ok(system.trade(0, A, B, 3 * WAD, PRICE))
    assert ok(system.trade(0, C, A, 5 * WAD, PRICE, SELLER_REDUCE)).value == 3 * WAD
    assert leg(system, A).size == 0
    assert ok(system.trade(0, B, C, 5 * WAD, PRICE, BUYER_REDUCE)).value == 3 * WAD
    assert market_words(system).oi == 0


def test_fill__both_reduce_only_takes_the_smaller(system: System) -> None:
    books.rich(system, ALICE, BOB, CAROL)
    ok(system.trade(0, A, B, 3 * WAD, PRICE))
    ok(system.trade(0, C, B, 2 * WAD, PRICE))
    assert ok(system.trade(0, B, C, 9 * WAD, PRICE, BUYER_REDUCE | SELLER_REDUCE)).value == 2 * WAD
    assert (leg(system, C).size, leg(system, B).size) == (0, -3 * WAD)


# ---- fees, quotes, flips, averages -----------------------------------------------------------------


@pytest.mark.parametrize("buyer_is_taker", [True, False])
def test_fill__fees_and_quote(system: System, buyer_is_taker: bool) -> None:
    system.must("set_risk", GOVERNOR, 0, replace(RISK, maker_fee=100).pack())
    books.rich(system, ALICE, BOB)
    size, price = 10**18 + 3 * 10**12, PRICE + 7
    outcome = ok(system.trade(0, A, B, size, price, BUYER_TAKER if buyer_is_taker else 0))
    quote = size * price // WAD
    taker, maker = (books.ceil_div(quote * fee, c.PPM) for fee in (RISK.taker_fee, 100))
    buyer_fee, seller_fee = (taker, maker) if buyer_is_taker else (maker, taker)
    fields = event(outcome, "Traded")
    assert (fields["size"], fields["quote"], fields["buyer_fee"], fields["seller_fee"]) == (
        size,
        quote,
        buyer_fee,
        seller_fee,
    )
    assert word(system, A).cash == 10**9 * WAD - quote - buyer_fee
    assert word(system, B).cash == 10**9 * WAD + quote - seller_fee
    assert market_words(system).fees == taker + maker


@pytest.mark.parametrize("first", [WAD, -WAD])
def test_fill__flip_takes_the_new_price_as_entry(system: System, first: int) -> None:
    books.rich(system, ALICE, BOB)
    other_price = PRICE + 10 * WAD

    def trade(change: int, price: int) -> None:
        buyer, seller = (A, B) if change > 0 else (B, A)
        ok(system.trade(0, buyer, seller, abs(change), price))

    trade(first, PRICE)
    trade(-3 * first, other_price)
    assert leg(system, A).size == -2 * first
    assert leg(system, A).entry == other_price
    assert market_words(system).oi == 2 * WAD


def test_fill__average_entry_price(system: System) -> None:
    books.rich(system, ALICE, BOB)
    ok(system.trade(0, A, B, 2 * WAD, PRICE))
    ok(system.trade(0, A, B, WAD, PRICE + 10 * WAD))
    expected = (2 * PRICE + PRICE + 10 * WAD) // 3
    assert (leg(system, A).entry, leg(system, B).entry) == (expected, expected)
    ok(system.trade(0, B, A, WAD, PRICE - 10 * WAD))
    assert leg(system, A).entry == expected, "a reduction keeps the entry"


# ---- funding ---------------------------------------------------------------------------------------


def test_fill__sample_has_no_weight_in_its_own_second(system: System) -> None:
    books.rich(system, ALICE, BOB)
    ok(system.trade(0, A, B, WAD, PRICE * 101 // 100))
    m = market_words(system)
    assert (m.funding, m.rate, m.sample) == (0, 0, 10_000)
    system.twin.advance(360)
    system.set_price(0, PRICE)
    ok(system.trade(0, A, B, WAD, PRICE))
    m = market_words(system)
    # the whole interval was paid at the old rate, which was zero; then the average moved by a tenth
    assert (m.funding, m.rate, m.sample) == (0, 1_000, 0)
    system.twin.advance(360)
    system.set_price(0, PRICE)
    ok(system.trade(0, A, B, WAD, PRICE))
    m = market_words(system)
    assert m.funding == 1_000 * PRICE * 360 // (c.PPM * c.FUNDING_PERIOD_S)
    assert m.rate == 900


@pytest.mark.parametrize("sign", [1, -1])
def test_fill__premium_is_clamped(system: System, sign: int) -> None:
    system.must("set_risk", GOVERNOR, 0, replace(RISK, fill_band=100_000).pack())
    books.rich(system, ALICE, BOB)
    ok(system.trade(0, A, B, WAD, PRICE + sign * PRICE * 8 // 100))
    assert market_words(system).sample == sign * c.MAX_PREMIUM_PPM


@pytest.mark.parametrize("sign", [1, -1])
def test_fill__funding_is_paid_by_one_side_to_the_other(system: System, sign: int) -> None:
    books.rich(system, ALICE, BOB)
    size = 3 * WAD + 10**12
    ok(system.trade(0, A, B, size, PRICE + sign * PRICE // 200))
    cash = [word(system, account).cash for account in (A, B)]
    books.rich(system, CAROL, DAVE)
    for _ in range(2):
        # the first trade of others moves the average, the second accrues funding at it
        system.twin.advance(3_601)
        system.set_price(0, PRICE)
        ok(system.trade(0, DAVE.account(), C, WAD, PRICE + sign * PRICE // 200))
    for account in (A, B):
        system.must("settle", DAVE.address, account, 0)
    paid = cash[0] - word(system, A).cash
    received = word(system, B).cash - cash[1]
    assert paid * sign > 0, "longs pay when trades are above the index"
    assert 0 <= paid - received <= 2, "rounding is against both"


# ---- who may trade ---------------------------------------------------------------------------------


def test_fill__frozen_refuses_all(system: System) -> None:
    books.rich(system, ALICE, BOB)
    ok(system.trade(0, A, B, WAD, PRICE))
    books.feeds_down(system, 0, 2)
    refused(system.trade(0, A, B, WAD, PRICE), "market: frozen")
    refused(system.trade(0, B, A, WAD, PRICE), "market: frozen")
    books.feeds_down(system, 0, 0)
    ok(system.trade(0, B, A, WAD, PRICE))


def test_frozen_market__moves_no_position(system: System) -> None:
    """INV-13: nothing that changes a position goes through, deposits and exempt withdrawals do."""
    books.rich(system, BOB, CAROL)
    books.fund(system, ALICE, 3_000 * WAD)
    ok(system.trade(0, A, B, 50 * WAD, PRICE))
    move(system, 0, PRICE * 96 // 100)
    books.feeds_down(system, 0, 2)
    legs = leg(system, A), leg(system, B)
    for function, arguments in (
        ("liquidate", (A, 0, C, WAD)),
        ("liquidate_batch", ((A,), 0, C, WAD)),
        ("rerank", (A, 0)),
        ("take_over", (A, 0)),
    ):
        refused(system.call(function, CAROL.address, *arguments), "market: frozen")
    refused(system.trade(0, C, B, WAD, PRICE), "market: frozen")
    ok(system.call("resolve", CAROL.address, A, (B,)))
    ok(system.call("settle", CAROL.address, A, 0))
    assert (leg(system, A), leg(system, B)) == legs
    books.fund(system, ALICE, WAD)
    books.fund(system, DAVE, WAD)
    ok(system.call("withdraw", DAVE.address, DAVE.account(), WAD, DAVE.address))


def test_fill__degraded_refuses_an_increase_and_allows_a_reduction(system: System) -> None:
    books.rich(system, ALICE, BOB, CAROL)
    ok(system.trade(0, A, B, 2 * WAD, PRICE))
    books.feeds_down(system, 0, 1)
    refused(system.trade(0, A, B, WAD, PRICE), "market: not live")
    refused(system.trade(0, B, C, WAD, PRICE), "market: not live")
    refused(system.trade(0, B, A, 3 * WAD, PRICE), "market: not live")
    ok(system.trade(0, B, A, WAD, PRICE))
    ok(system.trade(0, B, A, WAD, PRICE))


def test_fill__another_leg_frozen_refuses_an_increase(system: System) -> None:
    books.rich(system, ALICE, BOB, CAROL)
    ok(system.trade(0, A, B, WAD, PRICE))
    ok(system.trade(3, A, C, WAD, PRICE))
    books.feeds_down(system, 0, 2)
    system.set_price(3, PRICE)
    refused(system.trade(3, A, C, WAD, PRICE), "margin: frozen")
    refused(system.trade(3, C, A, 2 * WAD, PRICE), "margin: frozen")
    ok(system.trade(3, C, A, WAD, PRICE))


def test_fill__ninth_market(system: System) -> None:
    books.rich(system, ALICE, BOB)
    for market in range(c.MAX_LEGS):
        ok(system.trade(market, A, B, WAD, system.specs[market].price))
    refused(system.trade(8, A, CAROL.account(), WAD, 10 * WAD), "margin: too many legs")
    ok(system.trade(7, B, A, WAD, 10 * WAD))
    ok(system.trade(8, A, B, WAD, 10 * WAD))


def test_fill__newcomers_closed_while_bad_debt(system: System) -> None:
    make_bad_debt(system)
    books.rich(system, DAVE)
    refused(system.trade(0, DAVE.account(), B, 10**16, prices(system).index), "ledger: closed to newcomers")
    refused(system.trade(0, B, DAVE.account(), 10**16, prices(system).index), "ledger: closed to newcomers")
    ok(system.trade(0, B, C, 10**16, prices(system).index))
    system.must("rebase_claims", DAVE.address)
    ok(system.trade(0, DAVE.account(), B, 10**16, prices(system).index))


def test_fill__sizes_are_real_and_books_are_in_gons_after_a_rebase(system: System) -> None:
    make_bad_debt(system)
    system.must("rebase_claims", DAVE.address)
    index = domain(system).claim_index
    assert index < c.INDEX_ONE
    x = prices(system).index
    books.rich(system, DAVE)
    gons_before = leg(system, B).size
    fields = event(ok(system.trade(0, DAVE.account(), B, WAD, x)), "Traded")
    gons = WAD * c.INDEX_ONE // index
    assert fields["size"] == gons
    assert fields["quote"] == gons * x // WAD
    assert leg(system, DAVE.account()).size == gons
    assert leg(system, B).size == gons_before - gons
    # a reduce-only order that asks for more is filled for what the gons are worth, rounded up
    filled = ok(system.trade(0, B, DAVE.account(), 7 * WAD, x, SELLER_REDUCE)).value
    assert filled == books.ceil_div(gons * index, c.INDEX_ONE) == WAD
    assert leg(system, DAVE.account()).size == 0


def make_bad_debt(system: System) -> None:
    """Alice goes bankrupt beyond what Bob can be made to give; Carol is exposed beside them."""
    books.fund(system, ALICE, 5_000 * WAD)
    books.rich(system, BOB, CAROL, amount=10**5 * WAD)
    ok(system.trade(0, C, B, WAD, PRICE))
    ok(system.trade(0, A, B, 50 * WAD, PRICE))
    move(system, 0, PRICE * 90 // 100)
    outcome = system.must("resolve", DAVE.address, A, ())
    assert event(outcome, "ReceiptWritten")["booked"] > 0
    assert domain(system).bad_debt > 0
    assert events(outcome, "BandDeleveraged")


def test_fill__stranger_is_not_a_filler(system: System) -> None:
    refused(system.call("fill", ALICE.address, 0, A, B, WAD, PRICE, 0), "ledger: not a filler")
    system.must("set_filler", GOVERNOR, FILLER, False)
    refused(system.trade(0, A, B, WAD, PRICE), "ledger: not a filler")
