"""Where two checks fail at once the first one names the reason, and contract and model agree on which that is.

Found missing by a mutation run (``scripts/mutants``): each test stands for two checks that could be exchanged, or for
one that another hides.
"""

from __future__ import annotations

import pytest

from python_ref import constants as c
from python_ref.mocks import FEED_NORMAL, FEED_REVERT
from scripts.chain import CallReverted, make_chain
from scripts.system import FILLER, KEEPER, WAD, actor
from tests.differential.book import Book, OpenBook, perp, wad
from tests.differential.test_regressions import many_bands

NOBODY = actor("nobody").address


def feeds(book: Book, market: int, down: int) -> None:
    """So many feeds of a market fail: 1 leaves it DEGRADED, 2 FROZEN."""
    book.advance(60)
    for feed in range(3):
        mode = FEED_REVERT if feed < down else FEED_NORMAL
        book.must("set_mode", KEEPER, mode, contract=book.system.feed_name(market, feed))
    book.twin.call("PriceOracle", "poke", KEEPER, market)


def test_constructor__decimals_before_the_next_delegate() -> None:
    with make_chain() as chain:
        token = chain.deploy("MockToken", "USD", 6, sender=KEEPER)
        with pytest.raises(CallReverted, match="ledger: token decimals"):
            chain.deploy("AccountDesk", token, 19, KEEPER, NOBODY, sender=KEEPER)


def test_fill__who_asks_before_what_is_asked(open_book: OpenBook) -> None:
    book = open_book(perp(100, lot_exp=15, fill_band=50_000))
    a, b = book.id("a"), book.id("b")
    book.refused("ledger: not a filler", "fill", KEEPER, 0, a, a, 0, WAD, 0)
    book.refused("fill: same account", "fill", FILLER, 0, a, a, 0, WAD, 0)
    book.refused("fill: size", "fill", FILLER, 16, a, b, 0, 100 * WAD, 0)
    for price, reason in ((94, "fill: price below band"), (106, "fill: price above band"), (100, "fill: lot")):
        book.refused(reason, "fill", FILLER, 0, a, b, WAD + 1, price * WAD, 0)


@pytest.mark.parametrize("flags", range(8))
def test_fill__lots_of_every_kind_of_order(open_book: OpenBook, flags: int) -> None:
    """Only what is left of a reduce-only order need not be whole lots."""
    book = open_book(perp(100, lot_exp=15))
    for who in "ab":
        book.deposit(who, 1_000)
    book.open("b", "a", 5, 100)
    outcome = book.call("fill", FILLER, 0, book.id("a"), book.id("b"), WAD + 1, 100 * WAD, flags)
    reduces = flags & (c.FLAG_BUYER_REDUCE_ONLY | c.FLAG_SELLER_REDUCE_ONLY)
    assert (outcome.reason or "") == ("" if reduces else "fill: lot")


@pytest.mark.parametrize("size", [c.MAX_SIZE - 1, c.MAX_SIZE, c.MAX_SIZE + 1])
def test_fill__largest_size(open_book: OpenBook, size: int) -> None:
    book = open_book(perp(100))
    book.deposit("a", 1)
    book.deposit("b", 1)
    outcome = book.call("fill", FILLER, 0, book.id("a"), book.id("b"), size, 100 * WAD, 0)
    assert outcome.reason == ("fill: size" if size > c.MAX_SIZE else "margin: below initial")


def test_receipt__account_and_market_of_an_open_one(open_book: OpenBook) -> None:
    """Everything about an account whose receipt is open, in its market, in others, and where there is none."""
    book = many_bands(open_book)
    assert not book.resolve("s")["finished"]
    s, w = book.id("s"), book.id("w")
    for market in (0, 1, 2, c.MAX_MARKETS, c.MAX_MARKETS + 1):
        for function in ("settle", "rerank", "take_over"):
            book.call(function, KEEPER, s, market)
        book.call("fill", FILLER, market, s, w, WAD, 100 * WAD, 0)
        book.call("fill", FILLER, market, w, s, WAD, 100 * WAD, 0)
        book.call("liquidate", book.owner("w"), s, market, w, WAD)
        book.call("liquidate_batch", book.owner("w"), (s, book.id("o")), market, w, WAD)
    book.refused("settle: no position", "settle", KEEPER, s, 1)
    book.refused("ledger: receipt open", "rerank", KEEPER, s, 1)
    book.refused("backstop: not a single leg", "take_over", KEEPER, s, 1)
    feeds(book, 0, 2)
    book.refused("market: frozen", "rerank", KEEPER, s, 0)
    book.refused("market: frozen", "rerank", KEEPER, book.id("l39"), 0)


def test_resolve__of_another_account_in_a_locked_market(open_book: OpenBook) -> None:
    """Nobody is netted in a market whose receipt is open, even if that would close all that he has there."""
    book = many_bands(open_book)
    book.deposit("q", 1_500)
    book.rest_at(100, 1)
    book.rest_at(178)
    book.price(100, 1)
    book.open("w", "q", 12, 178)
    book.open("q", "m", 24, 100, 1)
    book.price(240)
    book.price(30, 1)
    assert not book.resolve("s")["finished"]
    assert book.value("o") + 30 * book.size("o", 1) < 0
    assert book.value("q") + 30 * book.size("q", 1) < 0
    for who, others in (("o", ("q",)), ("q", ("o",)), ("o", ()), ("q", ("s",)), ("o", ("s",))):
        others_ids = tuple(book.id(other) for other in others)
        book.refused("market: receipt open", "resolve", KEEPER, book.id(who), others_ids)


@pytest.mark.parametrize("down", [0, 1, 2])
@pytest.mark.parametrize("down_there", [0, 1, 2])
def test_fill__market_that_is_not_live_before_a_frozen_leg(open_book: OpenBook, down: int, down_there: int) -> None:
    book = open_book(perp(100), perp(100, name="OTHER"))
    for who in "ab":
        book.deposit(who, 5_000)
    book.open("a", "b", 1, 100, 1)
    feeds(book, 1, down_there)
    feeds(book, 0, down)
    reasons = {0: "margin: frozen" if down_there == 2 else "", 1: "market: not live", 2: "market: frozen"}
    assert (book.trade("a", "b", 1, 100).reason or "") == reasons[down]


@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
@pytest.mark.parametrize("down", [0, 1, 2])
def test_net__frozen_leg_is_left_alone(open_book: OpenBook, side: int, down: int) -> None:
    """Two bankrupts with opposite legs: where the market is frozen they are neither netted nor closed."""
    book = open_book(perp(100), perp(100, name="OTHER"))
    for who, money in (("z", 700), ("y", 700), ("w", 10**5)):
        book.deposit(who, money)
    pair = ("z", "y") if side > 0 else ("y", "z")
    book.open(*pair, 5, 100)
    for who in "zy":
        book.open(who, "w", 30, 100, 1)
    feeds(book, 0, down)
    book.price(70, 1)
    outcome = book.must("resolve", KEEPER, book.id("z"), (book.id("y"),))
    assert any(e.name == "Netted" for e in outcome.events) == (down < 2)
    assert book.size("z") == (side * wad(5) if down == 2 else 0)


def test_fill__too_many_legs_before_too_little_margin(open_book: OpenBook) -> None:
    book = open_book(*(perp(100, name=f"M{k}") for k in range(c.MAX_LEGS + 1)))
    book.deposit("a", 8 * 6)
    book.deposit("b", 10**5)
    for market in range(c.MAX_LEGS):
        book.open("a", "b", 1, 100, market)
    for size in ("0.1", 10):
        assert book.trade("a", "x", size, 100, c.MAX_LEGS).reason == "margin: too many legs"


def test_custody__whose_it_is_before_how_much(open_book: OpenBook) -> None:
    book = open_book(perp(100))
    book.deposit("a", 10)
    mine, other = book.id("a"), book.id("a/1")
    stranger = book.owner("b")
    book.refused("ledger: not authorised", "deposit", stranger, mine, 0)
    book.refused("ledger: not the owner", "withdraw", stranger, mine, 0, stranger)
    book.refused("ledger: not the owner", "transfer", book.owner("a"), mine, book.id("b"), 0)
    book.refused("ledger: same account", "transfer", book.owner("a"), mine, mine, 0)
    book.refused("ledger: zero amount", "transfer", book.owner("a"), mine, other, 0)


def test_release__of_the_bucket(open_book: OpenBook) -> None:
    """The bucket is never released; while it holds a position that is the first reason."""
    book = open_book(perp(100))
    for who, money in (("a", 51), ("b", 5_000), ("c", 5_000)):
        book.deposit(who, money)
    book.provide(500, 0)
    bucket = book.system.bucket(0)
    book.refused("release: fund bucket", "release", KEEPER, bucket)
    book.open("a", "b", 10, 100)
    book.price(96)
    book.must("take_over", KEEPER, book.id("a"), 0)
    book.refused("release: not flat", "release", KEEPER, bucket)


def test_fill__frozen_leg_before_too_many(open_book: OpenBook) -> None:
    book = open_book(*(perp(100, name=f"M{k}") for k in range(c.MAX_LEGS + 1)))
    for who in "ab":
        book.deposit(who, 10**5)
    for market in range(c.MAX_LEGS):
        book.open("a", "b", 1, 100, market)
    feeds(book, 3, 2)
    assert book.trade("a", "x", 1, 100, c.MAX_LEGS).reason == "margin: frozen"
