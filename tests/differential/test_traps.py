"""Traps found by reading other engines (research: perp_engines.md §5.3), each as a test on contract and model."""

from __future__ import annotations

from fractions import Fraction

import pytest

from python_ref import constants as c
from scripts.chain import account
from scripts.system import KEEPER, WAD
from tests.differential.book import Book, OpenBook, books, perp, wad

U = 1_000_001
TINY = {"min_size": U, "lot_exp": 0}


def defaulting(open_book: OpenBook, price: int = 120, **market: int) -> Book:
    """Longs a 6 and b 4 at 100 against s 10 with margin 80; at ``price`` he is bankrupt, but not resolved."""
    book = open_book(perp(100, **market))
    for who, money in (("a", 500), ("b", 500), ("s", 80), ("x", 500), ("y", 500)):
        book.deposit(who, money)
    book.open("a", "s", 6, 100)
    book.open("b", "s", 4, 100)
    book.open("x", "y", 1, 100)
    book.price(price)
    return book


def test_trap_1_nobody_can_restart_a_clock(open_book: OpenBook) -> None:
    """T1: dYdX v3 ``mark()`` restarts the timer for anybody, so that an ADL can be blocked for ever.

    There is no timer. After everything that strangers and the bankrupt may call, resolve works in the same second
    and takes what it would have taken.
    """
    book = defaulting(open_book, 109)
    stranger = account(77)
    for who in "abs":
        book.must("settle", stranger, book.id(who), 0)
    book.deposit("x", 1)
    book.deposit("s", "0.000001")
    book.refused("rerank: same band", "rerank", stranger, book.id("s"), 0)
    book.refused("liquidation: bankrupt", "liquidate", book.owner("x"), book.id("s"), 0, book.id("x"), 2**128)
    book.refused("margin: bankrupt", "take_over", stranger, book.id("s"), 0)
    book.must("settle", stranger, book.id("s"), 0)
    receipt = book.resolve("s")
    assert receipt["deficit"] == receipt["seized"] == wad("9.999999")
    assert receipt["finished"]


def test_trap_2_equity_below_minus_notional(open_book: OpenBook) -> None:
    """T2: dYdX v3 cannot deleverage an account that is short and has negative margin as well.

    q is short 1 in market 0 and long 10 in market 1, which falls from 100 to 2: cash -9xx, equity far below the
    notional of 122. He is resolved at once; what winners may not give is booked to the wei.
    """
    book = open_book(perp(100), perp(100, name="OTHER"))
    for who, money in (("q", 80), ("w", 5000), ("v", 5000)):
        book.deposit(who, money)
    book.open("w", "q", 1, 100)
    book.open("q", "v", 10, 100, 1)
    book.price(102)
    book.price(2, 1)
    equity = wad(80 - 2 - 980)
    assert book.value("q") + Fraction(book.size("q", 1) * 2) == equity < -wad(122)
    assert book.cash("q") < 0 > book.size("q")
    receipt = book.resolve("q")
    assert receipt["deficit"] == -equity
    assert receipt["finished"]
    assert receipt["seized"] <= wad(102 + 20) // 40
    assert receipt["booked"] == receipt["deficit"] - receipt["seized"]
    assert book.size("q") == book.size("q", 1) == book.cash("q") == 0


def test_trap_3_an_empty_fund_disables_nothing(open_book: OpenBook) -> None:
    """T3: an empty pool disables GMX's ADL. Here nobody ever paid into the fund: cover is zero, ADL goes on."""
    book = defaulting(open_book, 110)
    receipt = book.resolve("s")
    assert (receipt["cover"], receipt["seized"], receipt["booked"]) == (0, wad(20), 0)
    assert 0 <= wad(500 + 60) - Fraction(wad(20) * 6, 11) - book.value("a") <= 112
    assert book.market().oi == wad(1)


def test_trap_4_counter_side_liquidator_does_not_escape(open_book: OpenBook) -> None:
    """T4: Mai's liquidator on the other side nets his position before the loss is shared and bears none of it.

    a, the largest winner, may not take the bankrupt's position at all, nor close against him; his share of the loss
    is what it is for the others, 2 per unit closed.
    """
    book = defaulting(open_book, 110)
    book.refused("liquidation: bankrupt", "liquidate", book.owner("a"), book.id("s"), 0, book.id("a"), 2**128)
    assert book.trade("s", "a", 6, 110).reason == "margin: bankrupt"
    before = {who: book.value(who) for who in "abx"}
    book.resolve("s")
    for who, size in (("a", 6), ("b", 4), ("x", 1)):
        assert 0 <= before[who] - book.value(who) - Fraction(wad(20) * size, 11) <= 112


def test_trap_5_leaving_in_the_same_block_is_no_free_option(open_book: OpenBook) -> None:
    """T5: with any index, whoever leaves in the block before the loss is recognised pays nothing.

    b closes in the second of the default. He cannot be released, and the cut takes the same share of his cash as of
    the claims of those who stay.
    """
    book = defaulting(open_book, 120)
    assert book.close("b", "x").ok
    gone = book.cash("b")
    assert gone == wad(580)
    book.refused("ledger: in residency", "release", KEEPER, book.id("b"))
    assert book.resolve("s")["booked"] > 0
    book.advance(c.RESIDENCY_S)
    book.refused("ledger: locked", "release", KEEPER, book.id("b"))
    book.must("rebase_claims", KEEPER)
    index = book.domain.claim_index
    assert index < c.INDEX_ONE
    book.must("release", KEEPER, book.id("b"))
    assert book.cash("b") == gone * index // c.INDEX_ONE


def test_trap_6_negative_cash_is_no_default(open_book: OpenBook) -> None:
    """T6: Mai charges the insurance fund when cash is below zero although equity is not.

    a long 10 with cash -950 and equity 50 is not bankrupt: resolve is refused, the bucket keeps its money.
    """
    book = open_book(perp(100))
    book.provide(1000, 0)
    for who, money in (("a", 60), ("w", 1000)):
        book.deposit(who, money)
    book.open("a", "w", 10, 100)
    book.price(99)
    assert book.cash("a") == -wad(940)
    bucket = book.cash("fund/1")
    book.refused("resolve: not bankrupt", "resolve", KEEPER, book.id("a"), ())
    assert book.cash("fund/1") == bucket == wad(1000)
    book.price("93.9")
    assert book.resolve("a")["cover"] == wad(1)
    assert book.cash("fund/1") == wad(999)


def test_trap_7_fund_and_winners_do_not_pay_twice(open_book: OpenBook) -> None:
    """T7: drift's index is short by units although "ceil", and its metric counts what the fund covered again.

    Deficit 40 with a bucket of 15: the fund pays 15 first, the winners 25 and not a wei more; nothing is booked.
    """
    book = defaulting(open_book, 112)
    book.provide(15, 0)
    before = {who: book.value(who) for who in "abx"}
    reserve = c.BUCKET_RESERVE
    receipt = book.resolve("s")
    assert receipt["deficit"] == wad(40)
    assert receipt["cover"] == wad(15) - reserve
    assert receipt["seized"] == wad(25) + reserve
    assert receipt["booked"] == 0
    lost = sum(before[who] - book.value(who) for who in "abx")
    assert 0 <= lost - receipt["seized"] <= 3 * 113


@pytest.mark.parametrize("factor", ["0.5", "1.5"])
def test_trap_8_a_price_band_does_not_stop_a_default(open_book: OpenBook, factor: str) -> None:
    """T8: drift's band stops liquidations when the price moves by half. Here the index is what feeds agree on.

    After a move of 50 % in one step the loser is resolved at the new index at once. A deposit into the fund that
    would mint nothing is refused.
    """
    book = open_book(perp(100))
    for who, money in (("a", 1000), ("b", 60), ("c", 60), ("d", 1000)):
        book.deposit(who, money)
    book.open("a", "b", 10, 100)
    book.open("c", "d", 10, 100)
    book.price(Fraction(100) * Fraction(factor))
    loser = "b" if factor == "1.5" else "c"
    receipt = book.resolve(loser)
    assert receipt["deficit"] == wad(440)
    assert receipt["seized"] == wad(10) * book.index() // WAD * 25 // 1000
    outcome = book.twin.call("BackstopFund", "deposit", book.owner("a"), 0)
    assert outcome.reason in ("fund: locked", "fund: zero shares")


def test_trap_9_the_caller_picks_nobody(open_book: OpenBook) -> None:
    """T9: dYdX v4's proposer picks whom to offset, and a skipped account leaves a deficit.

    Whoever calls, and whatever healthy accounts he names, the same bands give the same: words and receipt agree.
    """
    results = []
    for caller, named in ((KEEPER, ()), (account(5), ("a",)), (account(6), ("b", "x", "y", "s"))):
        with books() as opener:
            book = defaulting(opener, 110)
            outcome = book.must("resolve", caller, book.id("s"), tuple(book.id(who) for who in named))
            assert not [e for e in outcome.events if e.name == "Netted"]
            results.append(book.now.words)
    assert results[0] == results[1] == results[2]


def test_trap_10_sums_of_floors_stay_on_the_house_side(open_book: OpenBook) -> None:
    """T10: with lazy indices the floors sum to less than the open interest, and charging per open interest collects
    too little.

    After five odd ADLs of seven odd positions: longs own at most the open interest, the bands hold exactly it, and
    the charge was taken per band, so the pot covers all that is pending.
    """
    book = open_book(perp(100, **TINY))
    book.deposit("w", 100)
    for i in range(7):
        book.deposit(f"a{i}", 1)
        book.open(f"a{i}", "w", Fraction(3 * U + 17 * i, WAD), 100)
    for i in range(5):
        assert book.squeeze(str(i), U + 31 * i)["seized"] > 0
    names = [f"a{i}" for i in range(7)] + [f"n{i}" for i in range(5)]
    longs = sum(book.size(who) for who in names)
    oi = book.side_band(True).oi
    assert 0 < oi - longs <= len(names)
    assert book.market().oi == oi + book.market().residue <= -book.size("w")
    pending = sum(book.leg(who).pending for who in (*names, "w"))
    assert 0 <= book.market().pot - pending <= 2 * len(names)


def test_trap_11_a_cut_is_not_rounded_to_lots(open_book: OpenBook) -> None:
    """T11: a pro-rata cut rounded to lots loses material money ($371k per wave on 10 October 2025).

    Lots of one whole unit; an ADL closes 10 of 30 over longs of 17 and 13: sizes are exact to the wei, not to the lot.
    """
    book = open_book(perp(100, lot_exp=18, min_size=WAD))
    for who, money in (("a", 1000), ("b", 1000), ("t", 1000), ("s", 90)):
        book.deposit(who, money)
    book.open("a", "t", 17, 100)
    book.open("b", "t", 3, 100)
    book.open("b", "s", 10, 100)
    assert book.trade("a", "t", "0.5", 100).reason == "fill: lot"
    book.price(110)
    receipt = book.resolve("s")
    assert receipt["seized"] == receipt["deficit"] == wad(10)
    for who, size in (("a", 17), ("b", 13)):
        assert 0 <= Fraction(size * WAD * 2, 3) - book.size(who) < 1


def test_trap_12_splitting_an_account_changes_nothing(open_book: OpenBook) -> None:
    """T12: in a queue by account an owner changes whom ADL hits by splitting his position.

    One account of 10 or ten subaccounts of 1 with the same margin ratio lie in one band and give up the same, up to
    a wei of size and cash each.
    """
    lost: list[Fraction] = []
    for parts in (1, 10):
        with books() as opener:
            book = opener(perp(100, rank=c.RANK_LEVERAGE))
            names = [f"e/{i}" for i in range(parts)]
            for who in names:
                book.deposit(who, Fraction(100, parts))
            for who, money in (("o", 200), ("s", 130), ("t", 1000)):
                book.deposit(who, money)
            book.open("o", "t", 10, 100)
            for who in names:
                book.open(who, "s", Fraction(10, parts), 100)
            book.open("o", "s", 5, 100)
            bands = {book.position(who).band for who in names}
            assert len(bands) == 1
            assert bands != {book.position("o").band}
            book.price(110)
            before = sum(book.value(who) for who in names)
            size = sum(book.size(who) for who in names)
            receipt = book.resolve("s")
            assert receipt["seized"] == wad(20)
            lost += [before - sum(book.value(who) for who in names), size - sum(book.size(who) for who in names)]
    one_value, one_size, ten_value, ten_size = lost
    assert one_size > wad(1)
    assert 0 <= ten_size - one_size <= 10
    assert 0 <= ten_value - one_value <= 10 * 112
