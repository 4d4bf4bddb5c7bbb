"""Cases that a mutation run found missing, whole system: without one of these a wrong contract went unnoticed.

See ``scripts/mutants``. What each test states is small; what it is for is the comparison with the model at an edge.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from python_ref import constants as c
from python_ref.mocks import FEED_REVERT
from scripts.chain import make_chain
from scripts.system import GOVERNOR, KEEPER, WAD, MarketSpec
from tests.differential.book import Book, OpenBook, perp, wad

U = 1_000_001
TINY = {"min_size": U, "lot_exp": 0}
DUST = c.DUST_SIZE

SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])


def wei(amount: int) -> Fraction:
    """Base or money wei as whole units."""
    return Fraction(amount, WAD)


def odd(price: int | Fraction = 100, **more: int) -> MarketSpec:
    """A market whose prices may be any number of wei."""
    return replace(perp(price, **{**TINY, **more}), feed_decimals=18)


def enter(book: Book, who: str, other: str, side: int, size: int, market: int = 0) -> None:
    """``who`` takes ``size`` wei of ``side`` at 100."""
    buyer, seller = (who, other) if side > 0 else (other, who)
    book.open(buyer, seller, wei(size), 100, market)


def attempt(book: Book, who: str, by: str, market: int = 0) -> None:
    """Everything that can be done about an account, each from the same state; contract and model agree on all."""
    me, other = book.id(who), book.id(by)
    size = book.size(who, market)
    buyer, seller, flag = (by, who, c.FLAG_SELLER_REDUCE_ONLY) if size > 0 else (who, by, c.FLAG_BUYER_REDUCE_ONLY)
    for act in (
        lambda: book.call("liquidate", book.owner(by), me, market, other, 2**128),
        lambda: book.call("liquidate_batch", book.owner(by), (me,), market, other, 2**128),
        lambda: book.call("resolve", KEEPER, me, ()),
        lambda: book.call("take_over", KEEPER, me, market),
        lambda: book.call("settle", KEEPER, me, market),
        lambda: book.call("rerank", KEEPER, me, market),
        lambda: book.close(who, by, market) if size else None,
        lambda: book.trade(buyer, seller, wei(max(1, abs(size) // 2)), wei(book.index(market)), market, flag),
        lambda: book.trade(seller, buyer, wei(U), wei(book.index(market)), market),
        lambda: book.withdraw(who, wei(1)),
    ):
        with book.restored():
            act()


# ---- liquidation


@SIDES
def test_liquidate__open_interest_above_a_lowered_cap(open_book: OpenBook, side: int) -> None:
    """A cap lowered below the open interest stops new positions, and nobody from liquidating either side."""
    book = open_book(perp(100))
    for who, money in (("a", 60), ("b", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    enter(book, "a", "b", side, wad(10))
    book.price(100 - 4 * side)
    limits = book.system.specs[0].limits
    ask = (book.owner("l"), book.id("a"), 0, book.id("l"), 2**128)
    book.system.must("set_limits", GOVERNOR, 0, replace(limits, oi_cap=wad(5)).pack())
    assert book.must("liquidate", *ask).value > 0


@SIDES
@pytest.mark.parametrize("rest", [DUST - 1, DUST, DUST + 1, DUST + 2])
def test_liquidate__rest_of_dust_goes_with_it(open_book: OpenBook, side: int, rest: int) -> None:
    """As much as the liquidator asks, unless no more than the dust would stay."""
    book = open_book(perp(100, **TINY))
    for who, money in (("a", 51), ("b", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    enter(book, "a", "b", side, wad(10))
    # below maintenance, but so near to ruin that all of it may go
    book.price(100 - 5 * side)
    ask = (book.owner("l"), book.id("a"), 0, book.id("l"))
    with book.restored():
        assert book.must("liquidate", *ask, 2**128).value == wad(10)
    taken = book.must("liquidate", *ask, wad(10) - rest).value
    assert taken == (wad(10) if rest <= DUST else wad(10) - rest)


@SIDES
@pytest.mark.parametrize("value", [-2, -1, 0, 1])
def test_solvency__to_one_value_unit(open_book: OpenBook, side: int, value: int) -> None:
    """Equity is judged in money times 1e18; a size prime to 1e18 and a price of any digits give every rest."""
    book = open_book(odd())
    size = 10 * WAD + 1
    whole = 94 if side > 0 else 105
    price = whole * WAD + value * side * pow(size, -1, WAD) % WAD
    cash, rest = divmod(value - side * size * price, WAD)
    assert rest == 0
    for who, money in (("a", wei(cash + side * 100 * size)), ("b", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    book.provide(100, 0)
    enter(book, "a", "b", side, size)
    book.price(wei(price))
    assert book.value("a") * WAD == value
    attempt(book, "a", "l")


@SIDES
@pytest.mark.parametrize("move", [3, 4, 5, 6, 9])
def test_liquidate__prices_that_leave_a_rest(open_book: OpenBook, side: int, move: int) -> None:
    """Every quotient of a liquidation has a fraction, where the penalty sets the price and where equity does."""
    spec = odd(penalty=5_003, maintenance=25_003, fund_share=333_337, target=1_200_007, backstop=660_013)
    book = open_book(spec)
    for who, money in (("a", 51), ("b", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    book.provide(100, 0)
    enter(book, "a", "b", side, wad(10) + 7)
    for digit in (1, 3, 333_333_333_333_333_333):
        for share in (0, 5, 10, 15, 20, 24):
            with book.restored():
                price = (100 - side * move) * WAD + side * digit
                book.price(wei(price))
                need = (wad(10) + 7) * price // WAD * share // 1_000
                lacks = need - int(book.value("a", wei(price)))
                if lacks > 0:
                    book.deposit("a", wei(lacks))
                attempt(book, "a", "l")


def cut(book: Book, z: str = "z", other: str = "w") -> int:
    """A default beyond all cover, then the cut; the claim index."""
    book.deposit(z, Fraction(51) + wei(123_456_789_012_345_677))
    book.deposit(other, Fraction(5_000) + wei(765_432_109_876_543_213))
    book.open(z, other, 10, 100)
    book.price(80)
    book.resolve(z)
    assert book.domain.bad_debt > 0
    book.must("rebase_claims", KEEPER)
    book.rest_at(100)
    return int(book.domain.claim_index)


@SIDES
def test_liquidate__least_size_after_a_cut(open_book: OpenBook, side: int) -> None:
    """What may stay of a position is real size, and claims are gons: around the size that just may stay."""
    book = open_book(perp(100))
    index = cut(book)
    assert index < c.INDEX_ONE
    for who, money in (("a", 52), ("b", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    enter(book, "a", "b", side, wad(10))
    enter(book, "l", "b", side, wad(20))
    book.price(Fraction(100) - side * Fraction("2.9"))
    ask = (book.owner("l"), book.id("a"), 0, book.id("l"), 2**128)
    size = abs(book.size("a"))
    with book.restored():
        taken = book.must("liquidate", *ask).value
    assert 0 < taken < size
    limits = book.system.specs[0].limits
    real = (size - taken) * index // c.INDEX_ONE
    seen = set()
    for least in (real - 1, real, real + 1, real + 2):
        with book.restored():
            book.system.must("set_limits", GOVERNOR, 0, replace(limits, min_size=least).pack())
            seen.add(book.must("liquidate", *ask).value)
    assert seen == {taken, size}


# ---- a position of one wei


def crumb(open_book: OpenBook, side: int = 1, **market: int) -> Book:
    """``a`` holds one wei on ``side``: what a deleveraging left of the least size that there is."""
    book = open_book(odd(**market))
    for who, money in (("a", 1), ("b", 2_000), ("s", 60), ("t", 10), ("l", 5_000), ("k", 5_000)):
        book.deposit(who, money)
    book.provide(100, 0)
    big = wad(10)
    # of a long 1.5 are left, of a short a half: the one is rounded down, the other up
    left = (big + U) * (3 if side > 0 else 1) // (2 * 10**6)
    enter(book, "a", "s", side, U)
    enter(book, "b", "t", side, left)
    enter(book, "b", "s", side, big - left)
    book.price(100 + 8 * side)
    book.resolve("s")
    assert book.size("a") == side
    # these may take a wei, as they have enough for what remains to be no dust
    book.rest_at(100 + 8 * side)
    book.open("l", "k", wei(3 * U), 100 + 8 * side)
    return book


@SIDES
def test_crumb__can_be_done_with_as_with_any_position(open_book: OpenBook, side: int) -> None:
    book = crumb(open_book, side)
    for by in "lk":
        attempt(book, "a", by)


@SIDES
@pytest.mark.parametrize("width", [0, 50])
def test_crumb__is_liquidated_and_resolved_as_the_position_that_it_is(
    open_book: OpenBook, side: int, width: int
) -> None:
    """With a fifth of the worth of one wei, at prices about that which ruins him."""
    book = crumb(open_book, side, width_bps=width)
    book.advance(c.RESIDENCY_S)
    book.price(100 + 8 * side)
    keep = -80 if side > 0 else 114
    book.must("withdraw", book.owner("a"), book.id("a"), book.cash("a") - keep, book.owner("a"))
    for price in range(-5, 31, 3):
        with book.restored():
            book.price(abs(keep) + side * Fraction(price, 10))
            for by in "lk":
                attempt(book, "a", by)


def test_crumb__is_closed_against_the_other_side(open_book: OpenBook) -> None:
    """A bankrupt short of one wei: of the longs it is those with the lowest entries that are closed."""
    book = crumb(open_book, -1, rank=c.RANK_PROFIT)
    book.advance(c.RESIDENCY_S)
    book.price(92)
    book.must("withdraw", book.owner("a"), book.id("a"), book.cash("a") - 114, book.owner("a"))
    assert book.position("l").band < book.position("t").band
    book.price(120)
    book.resolve("a")
    assert [e["band"] for e in book.events("BandDeleveraged")] == [book.position("l").band]


def test_crumb__is_ranked_as_the_long_that_it_is(open_book: OpenBook) -> None:
    """One wei whose owner took out nearly all that it is worth belongs among the riskier longs, at once."""
    book = crumb(open_book, rank=c.RANK_LEVERAGE, octave_bits=0)
    book.advance(c.RESIDENCY_S)
    book.price(108)
    assert book.position("a").band == 0
    book.must("withdraw", book.owner("a"), book.id("a"), book.cash("a") + 80, book.owner("a"))
    book.deposit("a", wei(1))
    book.must("rerank", KEEPER, book.id("a"), 0)
    assert book.position("a").band == 127


@pytest.mark.parametrize("width", [0, 10])
def test_crumb__at_a_price_of_one_wei(open_book: OpenBook, width: int) -> None:
    """The least value that there is: what it is worth, what it asks for, and what is lacking of it."""
    book = crumb(open_book, 1, width_bps=width)
    book.advance(c.RESIDENCY_S)
    book.price(108)
    cash = book.cash("a")
    for keep in (10**6, 0, -80):
        with book.restored():
            if keep < 10**6:
                book.must("withdraw", book.owner("a"), book.id("a"), cash - keep, book.owner("a"))
            book.rest_at(wei(1))
            for left in (1, 2, 10**5):
                with book.restored():
                    book.withdraw("a", wei(max(1, book.cash("a") - left)))
            for by in "lk":
                attempt(book, "a", by)
            for down in (1, 2):
                book.advance(60)
                for feed in range(down):
                    book.must("set_mode", KEEPER, FEED_REVERT, contract=book.system.feed_name(0, feed))
                book.twin.call("PriceOracle", "poke", KEEPER, 0)
                attempt(book, "a", "l")


# ---- what a cut leaves


@pytest.mark.parametrize("bucket", [0, 5])
def test_rebase__of_the_last_gon(open_book: OpenBook, bucket: int) -> None:
    """One gon of bad debt is bad debt: it is cut, paid by a bucket, or repaid by fees."""
    book = open_book(perp(100, taker_fee=500), perp(100, name="OTHER", taker_fee=500))
    for who, money in (("z", 60), ("w", 5_000), ("g", 5_000), ("x", 5_000)):
        book.deposit(who, money)
    if bucket:
        book.provide(bucket, 1)
    book.open("z", "w", 10, 100)
    book.open("x", "w", 1, 100, 1)
    book.price(80)
    book.price(100, 1)
    book.resolve("z")
    debt = book.domain.bad_debt
    assert debt > 1
    book.must("repay_bad_debt", book.owner("g"), book.id("g"), debt - 1)
    assert book.domain.bad_debt == 1
    with book.restored():
        book.deposit("x", 1)
        assert book.late("x") == wad(1)
    for market in (0, 1):
        with book.restored():
            assert book.market(market).fees > 1
            book.must("sweep_fees", KEEPER, market)
            assert book.domain.bad_debt == 0
    with book.restored():
        book.must("rebase_claims", KEEPER)
        assert (book.domain.bad_debt, book.domain.claim_epoch) == (0, 0 if bucket else 1)
    book.must("repay_bad_debt", book.owner("g"), book.id("g"), 1)
    assert book.domain.bad_debt == 0


def near_whole(numerator: int, denominator: int) -> list[int]:
    """Denominators of the convergents: k·numerator/denominator lies as near to a whole number as it can."""
    found, a, b, before, now = [], numerator, denominator, 0, 1
    while b:
        q, (a, b) = a // b, (b, a % b)
        if found:
            before, now = now, q * now + before
        found.append(now)
    return found


def test_convert__amounts_that_come_out_all_but_whole(open_book: OpenBook) -> None:
    """After a cut: money whose gons, and gons whose money, lie within 1e-18 of a whole number; one wei around each."""
    book = open_book(perp(100, **TINY))
    index = cut(book)
    book.deposit("a", 100)
    book.deposit("e", 1_000)
    book.open("a", "e", wei(2 * U), 100)
    amounts = [k for k in near_whole(c.INDEX_ONE, index) + near_whole(index, c.INDEX_ONE) if 10**15 < k < 10**23]
    assert len(amounts) > 10
    amounts = amounts[::3]
    book.deposit("rich", 10**6)
    book.open("rich", "e", 1, 100)
    for k in amounts:
        for d in (-1, 0, 1):
            with book.restored():
                book.deposit("a", wei(k + d))
            with book.restored():
                book.trade("rich", "w", wei(k + d), 100)
            with book.restored():
                book.advance(c.RESIDENCY_S)
                book.price(100)
                book.withdraw("rich", wei(k + d))
    # what is owed again, and given for
    book.deposit("z", 500)
    book.open("z", "w", 60, 100)
    book.price(50)
    book.resolve("z")
    assert book.domain.bad_debt > wad(100)
    book.deposit("g", 10**5)
    for k in amounts:
        for d in (-1, 0, 1):
            with book.restored():
                book.call("repay_bad_debt", book.owner("g"), book.id("g"), k + d)


def test_markets__sixteen_of_them(open_book: OpenBook) -> None:
    """The last market that there can be is traded in, pays with its bucket, and there is none behind it."""
    book = Book(make_chain("revm"), *(perp(100, name=f"M{k}", taker_fee=500) for k in range(c.MAX_MARKETS)))
    last = c.MAX_MARKETS - 1
    for who, money in (("a", 5_000), ("b", 5_000), ("z", 60)):
        book.deposit(who, money)
    book.open("a", "b", 1, 100, last)
    book.open("z", "b", 10, 100, 0)
    for market in (last, c.MAX_MARKETS):
        book.call("sweep_fees", KEEPER, market)
        book.call("settle", KEEPER, book.id("a"), market)
        book.call("rerank", KEEPER, book.id("a"), market)
        book.call("fill", book.owner("a"), market, book.id("a"), book.id("b"), WAD, 100 * WAD, 0)
        book.trade("a", "b", 1, 100, market)
        book.call("liquidate", book.owner("a"), book.id("b"), market, book.id("a"), WAD)
    book.price(90)
    book.price(100, last)
    book.fill_treasury(1_000)
    book.must("set_cap", GOVERNOR, last, 10**30, contract="BackstopFund")
    book.must("top_up", KEEPER, last, wad(5), contract="BackstopFund")
    book.resolve("z")
    assert book.domain.bad_debt > wad(5)
    book.must("rebase_claims", KEEPER)
    assert [e["payer"] for e in book.events("BadDebtRepaid")] == [book.system.bucket(last)]
    # nine positions are too many
    for market in range(1, c.MAX_LEGS + 2):
        book.price(100, market)
        book.trade("a", "b", 1, 100, market)
    book.price(70, last)
    book.deposit("y", 60)
    book.price(100, last)
    book.trade("y", "b", 10, 100, last)
    book.price(85, last)
    book.call("resolve", KEEPER, book.id("y"), (book.id("a"),))


# ---- bands


def test_deleverage__to_exactly_the_least_factor(open_book: OpenBook) -> None:
    """A of exactly 1e27 is not rescaled yet, and one wei less is."""
    left = 10**10
    for less in (0, 1):
        book = open_book(perp(100, **TINY))
        with book.restored():
            for who, money in (("b", 2_000), ("s", 51), ("t", 10), ("l", 5_000)):
                book.deposit(who, money)
            book.open("b", "t", wei(left - less), 100)
            book.open("b", "s", wei(wad(10) - left + less), 100)
            book.price(108)
            book.resolve("s")
            band = book.band("b")
            assert (band.scale, band.a) == ((1, c.SCALE_STEP * (c.MIN_A - 10**17)) if less else (0, c.MIN_A))
            attempt(book, "b", "l")


def test_label__of_a_bankruptcy_price_of_a_few_wei(open_book: OpenBook) -> None:
    """A long whose money pays for all but some wei: one wei is a price, none is not."""
    book = open_book(odd(rank=c.RANK_LEVERAGE, octave_bits=0))
    book.deposit("s", 10**6)
    seen = set()
    for lacks in range(-30, 70, 5):
        with book.restored():
            book.deposit("a", wei(wad(1000) - lacks))
            book.open("a", "s", 10, 100)
            seen.add(book.position("a").band)
    assert len(seen) > 2


def test_label__of_a_bankruptcy_price_beyond_all_prices(open_book: OpenBook) -> None:
    """A short so rich that only a price of 1e26 wei, ten octaves above the anchor, ruins him."""
    book = open_book(odd(Fraction(10**26, 2**10 * WAD), rank=c.RANK_LEVERAGE, octave_bits=0))
    book.deposit("b", 10**8)
    for money in (99, 101, 10**3):
        with book.restored():
            book.deposit("a", 10**6 * money)
            book.open("b", "a", 1, Fraction(10**26, 2**10 * WAD))
            assert book.position("a").band == (128 + 9 if money < 100 else 128 + 10)


# ---- default


def test_resolve__close_price_is_ranked_with_funding_taken_off(open_book: OpenBook) -> None:
    """After a day of dear funding the labels lie some percent from the prices: so does the limit of who is eligible."""
    book = open_book(perp(100, rank=c.RANK_LEVERAGE, octave_bits=6))
    for who, money in (("s", 52), ("w", 10**5), ("v", 10**5), ("x", 2_000)):
        book.deposit(who, money)
    book.open("v", "w", 10, 105)
    for _ in range(8):
        book.advance(10_800)
        book.price(100)
        book.open("v", "w", 1, 105)
    assert book.market().funding > 10 * WAD
    longs = [f"l{k}" for k in range(8)]
    for k, who in enumerate(longs):
        book.deposit(who, 11 + 4 * k)
        book.open(who, "x", 1, 100)
    book.open("x", "s", 8, 100)
    for price in (106, 107, 108, 112):
        with book.restored():
            book.price(price)
            book.call("resolve", KEEPER, book.id("s"), ())
    # and the other side: longs that go under against shorts of many labels
    for price in (93, 90, 84):
        with book.restored():
            book.price(price)
            for who in longs[:3]:
                book.call("resolve", KEEPER, book.id(who), ())


def test_resolve__limit_label_to_the_wei(open_book: OpenBook) -> None:
    """The close price, the gap cap below the index, lies one wei under the anchor: the band below is not eligible."""
    book = open_book(odd(Fraction("97.5") + wei(1), rank=c.RANK_LEVERAGE, octave_bits=0))
    book.rest_at(80)
    book.deposit("s", 41)
    book.deposit("a", 300)
    book.open("a", "s", 10, 80)
    assert book.position("a").band == 127
    book.price(100)
    book.resolve("s")


def broke(open_book: OpenBook, sizes: dict[str, int], deposit: int = 1_000) -> Book:
    """Everybody named is ruined by the second market and holds signed ``sizes`` (wei) of the first, against ``w``."""
    book = open_book(odd(), perp(100, name="OTHER"))
    book.deposit("w", 10**6)
    for who in sizes:
        book.deposit(who, deposit)
        book.open(who, "w", 100, 100, 1)
    for who, size in sizes.items():
        enter(book, who, "w", 1 if size > 0 else -1, abs(size))
    book.price(70, 1)
    book.price(100)
    return book


@pytest.mark.parametrize("one", [5, -5])
def test_net__nothing_is_left_for_the_second(open_book: OpenBook, one: int) -> None:
    """The first of the others closes it all; neither size zero nor an account without the leg is netted."""
    book = broke(open_book, {"z": wad(one), "y": -wad(one), "x": -wad(one), "u": wad(1)})
    book.deposit("n", 1_000)
    for others in (("y", "x"), ("x", "y", "u"), ("u", "n", "x"), ("z", "y"), ("n",), ("y", "y")):
        with book.restored():
            book.call("resolve", KEEPER, book.id("z"), tuple(book.id(who) for who in others))


@pytest.mark.parametrize("one", [5, -5])
def test_net__eight_others_and_the_bucket(open_book: OpenBook, one: int) -> None:
    """The bucket comes after all that are named, however many."""
    book = open_book(perp(100, name="FIRST"), perp(100, name="OTHER"))
    side = 1 if one > 0 else -1
    book.deposit("w", 10**6)
    book.provide(500, 0)
    for who, money in (("k", 51), ("z", 1_000)):
        book.deposit(who, money)
    enter(book, "k", "w", -side, wad(10))
    book.price(100 + 4 * side)
    book.must("take_over", KEEPER, book.id("k"), 0)
    book.rest_at(100)
    book.price(100, 1)
    enter(book, "z", "w", side, wad(5))
    book.open("z", "w", 100, 100, 1)
    book.price(70, 1)
    book.price(100)
    eight = tuple(book.id(f"n{k}") for k in range(8))
    for others in (eight, eight[:7], ()):
        with book.restored():
            book.must("resolve", KEEPER, book.id("z"), others)
            assert book.size("fund/1") == -side * wad(5)


@SIDES
def test_resolve__crumbs_on_either_side(open_book: OpenBook, side: int) -> None:
    """Positions of a wei, left by a deleveraging, are netted, closed and inherited like others."""
    book = open_book(odd(), perp(100, name="OTHER"))
    for who, money in (("a", 2_000), ("b", 2_000), ("s", 60), ("t", 10), ("l", 10**5), ("z", 1_000)):
        book.deposit(who, money)
    big = wad(10)
    left = (big + U) * 3 // (2 * 10**6)
    enter(book, "a", "s", side, U)
    enter(book, "b", "t", side, left)
    enter(book, "b", "s", side, big - left)
    book.open("a", "l", 100, 100, 1)
    book.open("z", "l", 100, 100, 1)
    book.price(100 + 8 * side)
    book.price(100, 1)
    book.resolve("s")
    assert abs(book.size("a")) in (1, 2)
    book.rest_at(100)
    book.price(100, 1)
    enter(book, "z", "l", -side, wad(1))
    book.price(70, 1)
    book.price(100)
    for who, other in (("a", "z"), ("z", "a"), ("a", "l"), ("z", "l")):
        with book.restored():
            book.call("resolve", KEEPER, book.id(who), (book.id(other),))
            attempt(book, "a", "l")
