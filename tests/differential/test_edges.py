"""To the last wei: equity, sizes, prices and labels that lie exactly on an edge, and one unit to both sides.

Found missing by a mutation run (``scripts/mutants``); what each state is for is the comparison with the model.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from python_ref import constants as c
from python_ref.fixed_math import log2_band
from python_ref.mocks import FEED_REVERT
from scripts.system import FILLER, GOVERNOR, KEEPER, WAD
from tests.differential.book import OpenBook, perp, wad
from tests.differential.test_survivors import DUST, SIDES, U, attempt, broke, enter, odd, wei

S = 10 * WAD + 1
"""A size prime to 1e18: with it and a price of any digits a value leaves any rest."""


def rest(price: int, size: int, value: int, modulus: int = WAD) -> int:
    """The least price from ``price`` on at which ``size`` is worth ``value`` modulo ``modulus``."""
    return price + (value - size * price) * pow(size, -1, modulus) % modulus


# ---- equity


@SIDES
@pytest.mark.parametrize("value", [-2, -1, 0, 1])
def test_solvency__at_the_index_to_one_value_unit(open_book: OpenBook, side: int, value: int) -> None:
    """The favourable edge still says solvent, the index just not any more."""
    book = open_book(odd(width_bps=20))
    price = rest((93 if side > 0 else 106) * WAD, side * S, value)
    cash = (value - side * S * price) // WAD
    for who, money in (("a", wei(cash + side * 100 * S)), ("b", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    book.provide(100, 0)
    enter(book, "a", "b", side, S)
    book.price(wei(price))
    assert book.value("a") * WAD == value
    attempt(book, "a", "l")


@SIDES
@pytest.mark.parametrize("value", [-2, -1, 0, 1, 2])
def test_trade__leaves_equity_of_one_value_unit(open_book: OpenBook, side: int, value: int) -> None:
    """A reduction at so bad a price that nothing is left: at the edge that favours what remains."""
    book = open_book(odd())
    for who, money in (("a", 80), ("b", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    enter(book, "a", "b", side, S + WAD)
    price = rest(100 * WAD, side * S, value)
    book.price(wei(price))
    # what one unit is sold or bought for
    at = side * ((value - side * S * price) // WAD - book.cash("a"))
    for more in (-1, 0, 1):
        with book.restored():
            book.trade(*(("l", "a") if side > 0 else ("a", "l")), 1, wei(at + more))


@pytest.mark.parametrize("digit", range(1, 5))
def test_withdraw__fifth_of_the_notional_to_one_value_unit(open_book: OpenBook, digit: int) -> None:
    """A fifth is rounded up: equity of one value unit less is too little."""
    book = open_book(odd())
    # of a notional 5 k + 4 with 4 k + 4 a whole number of wei, the cash k less the notional leaves exactly k
    price = rest(100 * WAD, S, digit - 5, 5 * WAD // 4)
    notional = S * price
    least = notional // 5
    book.deposit("a", 5_000)
    book.deposit("b", 5_000)
    enter(book, "a", "b", 1, S)
    book.price(wei(price))
    book.rest_at(wei(price))
    book.advance(c.RESIDENCY_S)
    book.price(wei(price))
    for short in (0, 1):
        with book.restored():
            target = -((notional - least) // WAD) - short
            book.withdraw("a", wei(book.cash("a") - target))


@SIDES
def test_trade__gift_that_saves(open_book: OpenBook, side: int) -> None:
    """Insolvent at the index, but not at the edge: one who is given enough may grow, and is asked nothing more."""
    book = open_book(perp(100, width_bps=100))
    book.deposit("a", 70)
    for who in ("b", "g"):
        book.deposit(who, 5_000)
    enter(book, "a", "b", side, wad(10))
    book.rest_at(100 - 4 * side)
    book.price(Fraction(100) - Fraction(73 * side, 10))
    assert book.value("a") < 0
    price = 60 if side > 0 else 140
    pair = ("a", "g") if side > 0 else ("g", "a")
    for size in (1, 2, 3):
        with book.restored():
            book.trade(*pair, size, price)
    assert book.trade(*pair, 3, price).ok


@SIDES
def test_take_over__one_wei_below_the_threshold(open_book: OpenBook, side: int) -> None:
    book = open_book(perp(100))
    for who, money in (("a", 51), ("b", 5_000)):
        book.deposit(who, money)
    book.provide(1_000, 0)
    enter(book, "a", "b", side, wad(10))
    price = 100 - 4 * side
    book.price(price)
    need = 10 * price * WAD * 25_000 * 660_000 // 10**12
    book.deposit("a", wei(need - 1 - int(book.value("a"))))
    with book.restored():
        book.deposit("a", wei(1))
        book.refused("backstop: above threshold", "take_over", KEEPER, book.id("a"), 0)
    book.must("take_over", KEEPER, book.id("a"), 0)


def test_take_over__late_cash_goes_with_it(open_book: OpenBook) -> None:
    """While there is bad debt a deposit waits; the bucket inherits it with the rest."""
    book = open_book(perp(100), perp(100, name="OTHER"))
    for who, money in (("a", 51), ("b", 5_000), ("z", 60)):
        book.deposit(who, money)
    book.provide(1_000, 0)
    book.open("a", "b", 10, 100)
    book.open("z", "b", 10, 100, 1)
    book.price(80, 1)
    book.price(96)
    book.resolve("z")
    assert book.domain.bad_debt > 0
    book.deposit("a", 2)
    assert book.late("a") == wad(2)
    book.must("take_over", KEEPER, book.id("a"), 0)
    assert (book.late("a"), book.cash("a")) == (0, 0)


# ---- sizes


@SIDES
@pytest.mark.parametrize("left", [1, DUST - 1, DUST, DUST + 1, DUST + 2])
def test_trade__rest_of_dust(open_book: OpenBook, side: int, left: int) -> None:
    """What is no more than dust goes to the house; one wei more is a position, of the least size."""
    book = open_book(odd())
    for who, money in (("a", 1), ("b", 1_000), ("l", 1_000), ("k", 1_000)):
        book.deposit(who, money)
    enter(book, "a", "b", side, 3 * U)
    enter(book, "l", "k", side, 3 * U)
    pair = ("l", "a") if side > 0 else ("a", "l")
    # the house has no residue yet, of which a short's dust could be paid
    fits = side > 0 or left > DUST
    assert book.trade(*pair, wei(3 * U - left), 100).ok == fits
    assert book.size("a") == side * (left if left > DUST else 0 if fits else 3 * U)


@SIDES
@pytest.mark.parametrize("left", [1, DUST - 1, DUST, DUST + 1])
def test_net__rest_of_dust(open_book: OpenBook, side: int, left: int) -> None:
    """Of a long that netting leaves no more than dust nothing is left; a short keeps it."""
    book = broke(open_book, {"u": side * wad(3), "z": -side * wad(5), "y": side * (wad(5) + left)})
    book.strict = False
    book.must("resolve", KEEPER, book.id("z"), (book.id("y"),))
    assert book.size("y") == (0 if side > 0 and left <= DUST else side * left)


@SIDES
@pytest.mark.parametrize("value", [-2, -1, 0, 1])
@pytest.mark.parametrize("width", [0, 20])
def test_net__others_equity_to_one_value_unit(open_book: OpenBook, side: int, value: int, width: int) -> None:
    """Only who is bankrupt at the edge that favours him is netted."""
    book = open_book(odd(width_bps=width), perp(100, name="OTHER"))
    price = rest((93 if side > 0 else 106) * WAD, side * S, value)
    cash = (value - side * S * price) // WAD
    for who, money in (("a", wei(cash + side * 100 * S)), ("b", 5_000), ("z", 1_000)):
        book.deposit(who, money)
    enter(book, "a", "b", side, S)
    enter(book, "z", "b", -side, S)
    book.open("z", "b", 100, 100, 1)
    book.price(60, 1)
    book.price(wei(price))
    assert book.value("a") * WAD == value
    outcome = book.must("resolve", KEEPER, book.id("z"), (book.id("a"),))
    assert any(e.name == "Netted" for e in outcome.events) == (value < 0 and width == 0)


@SIDES
def test_net__wiped_leg_of_another(open_book: OpenBook, side: int) -> None:
    """A leg that a deleveraging wiped is none, though its owner is bankrupt and named."""
    book = open_book(perp(100, rank=c.RANK_PROFIT), perp(100, name="OTHER"))
    for who, money in (("y", 1_000), ("s", 60), ("z", 1_000), ("w", 10**5)):
        book.deposit(who, money)
    enter(book, "y", "s", side, wad(10))
    book.open("y", "w", 100, 100, 1)
    book.open("z", "w", 100, 100, 1)
    book.price(100 + 8 * side)
    book.resolve("s")
    assert book.size("y") == 0
    book.rest_at(100 + 8 * side)
    book.price(100, 1)
    for sign in (1, -1):
        with book.restored():
            enter(book, "z", "w", sign, wad(5))
            book.price(70, 1)
            outcome = book.must("resolve", KEEPER, book.id("z"), (book.id("y"),))
            assert not any(e.name == "Netted" for e in outcome.events)


def test_flat__with_one_gon_too_little(open_book: OpenBook) -> None:
    """Wiped at a price that leaves cash of -1: no position, not released, and written off."""
    spare = 0
    for _ in range(3):
        book = open_book(odd())
        with book.restored():
            book.strict = False
            book.rest_at(110)
            for who, money in (("a", wei(wad(90) + spare)), ("s", 50), ("w", 10**5)):
                book.deposit(who, money)
            book.open("a", "w", 10, 110)
            book.rest_at(95)
            book.open("w", "s", 10, 95)
            book.price(101)
            book.resolve("s")
            assert book.size("a") == 0
            if book.cash("a") != -1:
                spare -= book.cash("a") + 1
                continue
            book.call("rerank", KEEPER, book.id("a"), 0)
            book.refused("backstop: no position", "take_over", KEEPER, book.id("a"), 0)
            book.settle("a")
            book.advance(c.RESIDENCY_S)
            book.price(101)
            book.refused("release: not flat", "release", KEEPER, book.id("a"))
            debt = book.domain.bad_debt
            book.must("resolve", KEEPER, book.id("a"), ())
            assert (book.cash("a"), book.domain.bad_debt) == (0, debt + 1)
            return
    pytest.fail("no deposit leaves -1")


# ---- open interest


@SIDES
def test_liquidate__that_closes_under_a_lowered_cap(open_book: OpenBook, side: int) -> None:
    """The liquidator was on the other side: open interest falls, though it still is above the cap."""
    book = open_book(perp(100))
    for who, money in (("a", 60), ("b", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    enter(book, "a", "l", side, wad(10))
    enter(book, "b", "l", side, wad(10))
    book.price(100 - 4 * side)
    limits = replace(book.system.specs[0].limits, oi_cap=wad(5))
    book.system.must("set_limits", GOVERNOR, 0, limits.pack())
    assert book.must("liquidate", book.owner("l"), book.id("a"), 0, book.id("l"), 2**128).value > 0


def test_liquidate__that_grows_by_what_shorts_are_rounded_up(open_book: OpenBook) -> None:
    """Three shorts of a deleveraged band read a wei more than it holds: the last one's liquidator takes that too."""
    book = open_book(odd())
    for who, money in (("a", 1_000), ("b", 1_000), ("d", 1_000), ("s", 200), ("k", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    for who, size in (("a", 10 * WAD + 3), ("b", 10 * WAD + 1), ("d", 10 * WAD + 7)):
        enter(book, who, "k", -1, size)
    enter(book, "k", "s", -1, 13 * WAD + 5)
    book.price(84)
    book.resolve("s")
    book.rest_at(100)
    sizes = {who: -book.size(who) for who in "abd"}
    assert sum(sizes.values()) > book.side_band(False).oi
    for who in "ab":
        assert book.close(who, "k").ok
    over = -book.size("d") - book.side_band(False).oi
    assert over > 0
    book.advance(c.RESIDENCY_S)
    book.price(100)
    book.strict = False
    assert book.withdraw("d", wei(book.cash("d") - sizes["d"] * 121)).ok
    # so near to ruin that all of it goes
    before = book.market().oi
    price = book.cash("d") * WAD // sizes["d"] - 10**12
    book.price(wei(price))
    ask = (book.owner("l"), book.id("d"), 0, book.id("l"), 2**128)
    # handing over is not growth, whatever the rounding says: no cap stops it
    book.system.must("set_limits", GOVERNOR, 0, replace(book.system.specs[0].limits, oi_cap=1).pack())
    assert book.must("liquidate", *ask).value == sizes["d"]
    assert book.market().oi == before + over


# ---- frozen legs


def test_share_out__bucket_pays_nothing_for_a_frozen_leg(open_book: OpenBook) -> None:
    book = open_book(perp(100), perp(100, name="OTHER"))
    for who, money in (("z", 700), ("w", 10**5)):
        book.deposit(who, money)
    book.provide(500, 0)
    book.open("z", "w", 5, 100)
    book.open("z", "w", 30, 100, 1)
    book.advance(60)
    for feed in range(2):
        book.must("set_mode", KEEPER, FEED_REVERT, contract=book.system.feed_name(0, feed))
    book.twin.call("PriceOracle", "poke", KEEPER, 0)
    book.price(70, 1)
    assert book.resolve("z")["cover"] == 0


# ---- labels


@SIDES
@pytest.mark.parametrize("wei_below", [0, 1, 2, 3])
@pytest.mark.parametrize("deficit", [20 * WAD, 20 * WAD + 1, 20 * WAD + 9, 20 * WAD + 10, 20 * WAD + 11])
def test_resolve__limit_label_rounds_for_the_winners(
    open_book: OpenBook, side: int, wei_below: int, deficit: int
) -> None:
    """Price of a close that gives up ``deficit`` over ten units, and the anchor within some wei of it."""
    close = 100 * WAD - side * 2 * WAD
    book = open_book(odd(wei(close - side * wei_below), rank=c.RANK_LEVERAGE, octave_bits=0))
    start = 80 if side > 0 else 125
    book.rest_at(start)
    book.deposit("s", Fraction(20 if side > 0 else 25) * 10 - wei(deficit))
    book.deposit("a", 300)
    book.open(*(("a", "s") if side > 0 else ("s", "a")), 10, start)
    book.price(100)
    assert -book.value("s") == deficit
    book.resolve("s")


def test_label__of_a_bankruptcy_price_of_exactly_one_wei(open_book: OpenBook) -> None:
    """One wei is a price; its label is that of the lowest octaves, not zero."""
    book = open_book(odd(1, rank=c.RANK_LEVERAGE, octave_bits=0))
    book.deposit("s", 10**6)
    seen = set()
    for lacks in range(-20, 60):
        with book.restored():
            book.deposit("a", wei(10 * WAD - lacks))
            book.open("a", "s", 10, 1)
            seen.add(book.position("a").band)
    assert {0, 128 - 60, 128 - 59} < seen


@pytest.mark.parametrize("top", [c.MAX_PRICE - 1, c.MAX_PRICE, c.MAX_PRICE + 1])
def test_label__of_the_highest_price(open_book: OpenBook, top: int) -> None:
    """Anchors of which the label of a half octave begins exactly there."""
    low, high = c.MAX_PRICE // 2, c.MAX_PRICE
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if log2_band(top, middle, 1) >= 129 else (low, middle)
    found = [anchor for anchor in range(low - 3, low + 4) if log2_band(top, anchor, 1) != log2_band(top - 1, anchor, 1)]
    for anchor in found[:1]:
        book = open_book(odd(Fraction(anchor, WAD), rank=c.RANK_LEVERAGE, octave_bits=1))
        book.deposit("b", 10**10)
        book.deposit("a", 10**10)
        book.open("b", "a", 1, Fraction(anchor, WAD))
        assert book.position("a").band == log2_band(c.MAX_PRICE, anchor, 1)
    assert found


# ---- the last market


def test_last_market__receipt_and_netting(open_book: OpenBook) -> None:
    """A receipt of the sixteenth market locks it, and two bankrupts are netted there."""
    last = c.MAX_MARKETS - 1
    book = open_book(
        *(perp(100, name=f"M{k}", rank=c.RANK_PROFIT if k == last else c.RANK_SINGLE) for k in range(c.MAX_MARKETS))
    )
    for who, money in (("w", 10**5), ("s", 4_000), ("y", 1_500), ("z", 1_500)):
        book.deposit(who, money)
    book.strict = False
    for i in range(34):
        book.price(100 + 2 * i, last)
        book.deposit(f"l{i}", 10**4)
        book.open(f"l{i}", "s", 1, 100 + 2 * i, last)
    book.rest_at(166, last)
    book.price(100, 1)
    book.open("y", "z", 5, 166, last)
    for who in "yz":
        book.open(who, "w", 80, 100, 1)
    with book.restored():
        book.strict = False
        book.price(60, 1)
        book.price(166, last)
        outcome = book.must("resolve", KEEPER, book.id("z"), (book.id("y"),))
        assert any(e.name == "Netted" for e in outcome.events)
    with book.restored():
        book.strict = False
        book.price(270, last)
        assert not book.resolve("s")["finished"]
        assert book.system.clearing_house.load_limits(last).open_receipts == 1
        book.refused("market: receipt open", "fill", FILLER, last, book.id("l33"), book.id("w"), WAD, 270 * WAD, 0)
        book.must("resolve", KEEPER, book.id("s"), ())
        assert book.system.clearing_house.load_limits(last).open_receipts == 0
    # assessed with the leg of the last market once only
    for act in ("liquidate", "withdraw"):
        with book.restored():
            book.strict = False
            for price in (104, 110, 120, 150):
                with book.restored():
                    book.strict = False
                    book.price(price, 1)
                    book.price(price, last)
                    if act == "withdraw":
                        book.advance(c.RESIDENCY_S)
                        book.withdraw("y", 100)
                    else:
                        book.call("liquidate", book.owner("w"), book.id("y"), last, book.id("w"), 2**128)


def test_rebase__bucket_of_a_market_to_come(open_book: OpenBook) -> None:
    """What the fund has set aside for a market that is not listed yet is exempt: no bad debt is paid of it."""
    book = open_book(perp(100))
    book.fill_treasury(100)
    book.must("set_cap", GOVERNOR, 1, 10**30, contract="BackstopFund")
    book.must("top_up", KEEPER, 1, wad(50), contract="BackstopFund")
    for who, money in (("z", 60), ("w", 5_000)):
        book.deposit(who, money)
    book.open("z", "w", 10, 100)
    book.price(80)
    book.resolve("z")
    debt = book.domain.bad_debt
    assert debt > wad(50)
    book.must("rebase_claims", KEEPER)
    assert book.events("Rebased")[0]["bad_debt"] == debt
    assert book.cash("fund/2") == wad(50)
