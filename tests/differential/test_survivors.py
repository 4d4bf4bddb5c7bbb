"""Cases that a mutation run found missing, whole system: without one of these a wrong contract went unnoticed.

See ``scripts/mutants``. What each test states is small; what it is for is the comparison with the model at an edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import gcd

import pytest

from python_ref import constants as c
from scripts.system import GOVERNOR, KEEPER, WAD, MarketSpec
from tests.differential.book import Book, OpenBook, books, perp, wad

U = 1_000_001
TINY = {"min_size": U, "lot_exp": 0}
DUST = c.DUST_SIZE


@pytest.fixture
def open_book() -> Iterator[OpenBook]:
    """Opens books by their markets."""
    with books() as opener:
        yield opener


def odd(price: int = 100, **more: int) -> MarketSpec:
    """A market whose prices may be any number of wei."""
    return replace(perp(price, **TINY, **more), feed_decimals=18)


def liquidate(book: Book, who: str, by: str, most: int = 2**128, market: int = 0) -> int:
    """Gons that ``by`` takes of ``who``."""
    return int(book.must("liquidate", book.owner(by), book.id(who), market, book.id(by), most).value)


def try_liquidate(book: Book, who: str, by: str, reason: str) -> None:
    """Refused alone for ``reason``; in a batch passed over."""
    book.refused(reason, "liquidate", book.owner(by), book.id(who), 0, book.id(by), 2**128)
    taken = book.must("liquidate_batch", book.owner(by), (book.id(who),), 0, book.id(by), 2**128).value
    assert taken == 0


def touchy(numerator: int, denominator: int) -> list[int]:
    """Whole numbers k for which k·numerator/denominator lies as near to a whole number as can be (convergents)."""
    found, a, b, k, last = [], numerator, denominator, 0, 1
    before, now = 1, 0
    while b:
        q = a // b
        a, b = b, a % b
        before, now = now, q * now + before if now else 1 if not found and last == 1 and k == 0 else q * now + before
        k += 1
        found.append(now)
    return found


# ---- liquidation


@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
def test_liquidate__open_interest_above_a_lowered_cap(open_book: OpenBook, side: int) -> None:
    """A cap that was lowered below the open interest: a takeover of a short by a newcomer counts as growth."""
    book = open_book(perp(100))
    for who, money in (("a", 60), ("b", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    buyer, seller = ("a", "b") if side > 0 else ("b", "a")
    book.open(buyer, seller, 10, 100)
    book.price(100 - 4 * side)
    spec = book.system.specs[0]
    book.system.must("set_limits", GOVERNOR, 0, replace(spec.limits, oi_cap=wad(5)).pack())
    if side < 0:
        book.refused(
            "fill: open interest cap", "liquidate", book.owner("l"), book.id("a"), 0, book.id("l"), 2**128
        )
        book.system.must("set_limits", GOVERNOR, 0, replace(spec.limits, oi_cap=wad(10)).pack())
    assert liquidate(book, "a", "l") > 0


@pytest.mark.parametrize("rest", [DUST - 1, DUST, DUST + 1, DUST + 2])
@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
def test_liquidate__rest_of_dust_goes_with_it(open_book: OpenBook, side: int, rest: int) -> None:
    """As much as the liquidator asks, unless no more than the dust would stay."""
    book = open_book(perp(100, **TINY))
    for who, money in (("a", 31), ("b", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    buyer, seller = ("a", "b") if side > 0 else ("b", "a")
    book.open(buyer, seller, 10, 100)
    book.price(100 - 3 * side)
    size = wad(10)
    taken = liquidate(book, "a", "l", size - rest)
    assert taken == (size if rest <= DUST else size - rest)


@pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
def test_liquidate__equity_of_minus_one_value_unit_is_bankrupt(open_book: OpenBook, side: int) -> None:
    """Value is money times 1e18: a price that ends in 1 and a size that is its inverse give every rest."""
    book = open_book(odd())
    size = 10 * WAD + 1
    margin = wad(100)
    for who, money in (("a", 100), ("b", 5_000), ("l", 5_000)):
        book.deposit(who, money)
    buyer, seller = ("a", "b") if side > 0 else ("b", "a")
    book.open(buyer, seller, Fraction(size, WAD), 100)
    # margin * 1e18 + side * size * (price - 100) = target, with size prime to 1e18
    assert gcd(size, WAD) == 1
    cash = book.cash("a")
    for target in (-1, 0, 1):
        # find the price nearest to ruin whose value ends right, then pay in or out the difference
        low = (-side * cash) * WAD // size
        price = (target * side * pow(size, -1, WAD)) % WAD
        price += (low // WAD) * WAD
        need = target - side * size * price
        assert need % WAD == 0
        with book.restored():
            top = need // WAD - cash
            if top < 0:
                book.price(Fraction(price, WAD))
                continue
            book.deposit("a", Fraction(top, WAD))
            book.price(Fraction(price, WAD))
            kind = book.twin.view("ClearingHouse", "account_equity", book.id("a"))[0]
            assert kind == target or abs(margin) > 0
            for call, args in (
                ("liquidate", (book.id("a"), 0, book.id("l"), 2**128)),
                ("resolve", (book.id("a"), ())),
                ("take_over", (book.id("a"), 0)),
            ):
                with book.restored():
                    book.call(call, book.owner("l"), *args)
