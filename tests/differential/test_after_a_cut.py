"""Gons and money after a cut, at amounts where a quotient by the claim index is all but whole.

There alone it shows whether a division is by 1e36 or by one more or less, and which way it is rounded. Found missing
by a mutation run (``scripts/mutants``).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from python_ref import constants as c
from scripts.system import FILLER, GOVERNOR, KEEPER, WAD
from tests.differential.book import Book, OpenBook, perp
from tests.differential.test_survivors import U, cut, near_whole, odd, wei

ONE = c.INDEX_ONE


def wholes(index: int, low: int, high: int) -> list[int]:
    """Gons whose money is nearest to a whole number of wei, from above and from below."""
    return [k for k in near_whole(index, ONE) if low < k < high]


def hold(book: Book, who: str, other: str, gons: int) -> None:
    """``who`` is long exactly so many gons."""
    index = book.domain.claim_index
    while (left := gons - book.size(who)) > 0:
        real = max(1, left * index // ONE)
        book.must("fill", FILLER, 0, book.id(who), book.id(other), real, book.index(), 0)


def test_release__gons_all_but_whole(open_book: OpenBook) -> None:
    """What is paid out is rounded down, of money by 1e36."""
    book = open_book(odd())
    index = cut(book)
    book.deposit("e", 10**7)
    for gons in wholes(index, 10**19, 10**23):
        with book.restored():
            book.deposit("a", wei(gons * index // ONE))
            hold(book, "a", "e", WAD)
            # the price at which he is left with exactly so much
            price = gons - book.cash("a")
            book.close("a", "e", price=price)
            assert (book.size("a"), book.cash("a")) == (0, gons)
            book.advance(c.RESIDENCY_S)
            book.must("release", KEEPER, book.id("a"))
            assert book.events("Released")[0]["units"] == gons * index // ONE


def test_expose__money_all_but_whole(open_book: OpenBook) -> None:
    """What is exposed is rounded down, of gons by 1e36."""
    book = open_book(odd())
    index = cut(book)
    book.deposit("e", 10**7)
    amounts = [k for k in near_whole(ONE, index) + near_whole(index, ONE) if 10**17 < k < 10**23]
    for k in amounts:
        for units in (k - 1, k, k + 1):
            with book.restored():
                book.deposit("a", wei(units))
                book.open("a", "e", wei(2 * U), 100)
                assert book.events("Exposed")[0]["gons"] == units * ONE // index


def test_fill__reduce_only_and_least_size_of_gons_all_but_whole(open_book: OpenBook) -> None:
    """The real size of a clamped fill is rounded up, that of what stays is rounded down."""
    book = open_book(odd())
    index = cut(book)
    book.deposit("e", 10**9)
    book.deposit("a", 10**9)
    limits = book.system.specs[0].limits
    found = wholes(index, 10**17, 10**23)
    assert {k * index % ONE < ONE // 2 for k in found} == {True, False}
    for k in found:
        with book.restored():
            hold(book, "a", "e", k)
            assert book.size("a") == k
            outcome = book.call(
                "fill", FILLER, 0, book.id("e"), book.id("a"), 2 * k, 100 * WAD, c.FLAG_SELLER_REDUCE_ONLY
            )
            assert outcome.value == -(-k * index // ONE)
        with book.restored():
            hold(book, "a", "e", k + 2 * U * ONE // index)
            real = k * index // ONE
            for least in (real - 1, real, real + 1, real + 2):
                with book.restored():
                    book.system.must("set_limits", GOVERNOR, 0, replace(limits, min_size=least).pack())
                    outcome = book.call("fill", FILLER, 0, book.id("e"), book.id("a"), 2 * U, 100 * WAD, 0)
                    assert (outcome.reason or "") == ("" if least <= real else "fill: below minimum size")


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_fill__cap_is_real_and_rounded_down(open_book: OpenBook, over: int) -> None:
    """Open interest of so many gons is as much real size as it pays for, and a part of a wei is none."""
    book = open_book(odd())
    index = cut(book)
    book.deposit("a", 10**5)
    book.deposit("e", 10**5)
    with book.restored():
        book.open("a", "e", 7, 100)
        oi = book.market().oi
    assert oi * index % ONE
    cap = oi * index // ONE - over
    book.system.must("set_limits", GOVERNOR, 0, replace(book.system.specs[0].limits, oi_cap=cap).pack())
    assert (book.trade("a", "e", 7, 100).reason or "") == ("fill: open interest cap" if over > 0 else "")


def test_fill__cap_of_gons_all_but_whole(open_book: OpenBook) -> None:
    """Open interest grows to exactly the cap, of money by 1e36, and not a wei beyond."""
    book = open_book(odd())
    index = cut(book)
    book.deposit("a", 10**9)
    book.deposit("e", 10**9)
    limits = book.system.specs[0].limits
    assert book.market().oi == 0
    for k in wholes(index, 10**17, 10**23):
        for less in (0, 1):
            with book.restored():
                hold(book, "a", "e", k - 2 * U)
                cap = k * index // ONE - less
                book.system.must("set_limits", GOVERNOR, 0, replace(limits, oi_cap=cap).pack())
                reason = ""
                while not reason and (left := k - book.size("a")) > 0:
                    reason = book.trade("a", "e", wei(max(1, left * index // ONE)), 100).reason or ""
                assert reason == ("fill: open interest cap" if less else "")


@pytest.mark.parametrize("below", [True, False])
def test_liquidate__least_rest_all_but_whole(open_book: OpenBook, below: bool) -> None:
    """The least size in gons is rounded up, of gons by 1e36: a rest of exactly that stays."""
    book = open_book(odd())
    index = cut(book)
    pairs = [(q, round_near(q, index)) for q in near_whole(ONE, index) if 10**17 < q < 10**21]
    pairs = [(q, rest) for q, rest in pairs if (q * ONE < rest * index) == below]
    assert pairs
    limits = book.system.specs[0].limits
    for q, rest in pairs:
        size = rest * 2
        for _ in range(6):
            with book.restored():
                book.deposit("l", 10**6)
                book.deposit("b", 10**6)
                book.deposit("a", wei(53 * size // 10 * index // ONE))
                hold(book, "a", "b", size)
                hold(book, "l", "b", size)
                book.price("96.9")
                ask = (book.owner("l"), book.id("a"), 0, book.id("l"), 2**128)
                with book.restored():
                    taken = book.must("liquidate", *ask).value
                assert 0 < taken < size
                if size - taken == rest:
                    seen = []
                    for least in (q - 1, q, q + 1):
                        with book.restored():
                            book.system.must("set_limits", GOVERNOR, 0, replace(limits, min_size=least).pack())
                            seen.append(book.must("liquidate", *ask).value)
                    assert seen == [taken, taken if below else size, size]
                    break
                # the part that is taken hardly depends on the size
                size = rest * size // (size - taken) if abs(size - taken - rest) > 3 else size + rest - (size - taken)
        else:
            pytest.fail(f"no size leaves {rest}")


def indebted(open_book: OpenBook) -> tuple[Book, int]:
    """After the cut another default leaves bad debt; the index stays. ``a`` holds a unit for very little."""
    book = open_book(odd(), perp(100, name="OTHER"))
    index = cut(book)
    for who, money in (("a", 6), ("b", 10**6), ("y", 500), ("g", 10**6)):
        book.deposit(who, money)
    hold(book, "a", "b", WAD)
    book.price(100, 1)  # the other market's answers grew old while the first one rested
    book.open("y", "b", 60, 100, 1)
    book.price(60, 1)
    book.price(100)
    book.resolve("y")
    assert book.domain.bad_debt > 0
    return book, index


def test_late__money_all_but_whole(open_book: OpenBook) -> None:
    """Late money counts as so many gons, rounded down, of gons by 1e36: for solvency and when it is folded."""
    book, index = indebted(open_book)
    amounts = [k for k in near_whole(ONE, index) if 10**17 < k < 4 * 10**19]
    assert amounts
    for k in amounts:
        for units in (k - 1, k, k + 1):
            gons = units * ONE // index
            for value in (-1, 0):
                with book.restored():
                    price = value - book.cash("a") - gons
                    debt = book.domain.bad_debt
                    book.deposit("a", wei(units))
                    book.price(Fraction(price, WAD))
                    assert book.late("a") == units
                    outcome = book.call("resolve", KEEPER, book.id("a"), ())
                    assert outcome.ok == (value < 0)
                    if value < 0:
                        continue
                    book.must("repay_bad_debt", book.owner("g"), book.id("g"), 2 * debt)
                    book.trade("a", "b", 1, wei(price))
                    book.call("release", KEEPER, book.id("a"))
                    book.close("a", "b")
                    assert book.events("LateFolded")[0]["gons"] == gons


def test_repay__gons_all_but_whole(open_book: OpenBook) -> None:
    """What is given is rounded up, of money by 1e36."""
    book, index = indebted(open_book)
    debt = book.domain.bad_debt
    found = [k for k in wholes(index, 10**17, 10**23) if k < debt]
    assert found
    for k in found:
        with book.restored():
            give(book, debt - k)
            assert book.domain.bad_debt == k
            book.must("repay_bad_debt", book.owner("g"), book.id("g"), 2 * k)
            assert book.events("BadDebtRepaid")[0]["units"] == -(-k * index // ONE)


def round_near(q: int, index: int) -> int:
    """The whole number of gons next to ``q`` wei."""
    return (q * ONE + index // 2) // index


def give(book: Book, gons: int) -> None:
    """``g`` repays exactly so much bad debt, in two parts as one may not come out."""
    index = book.domain.claim_index
    for first in range(1, 99):
        left = gons - first * ONE // index
        second = -(-left * index // ONE)
        if second * ONE // index == left:
            for units in (first, second):
                book.must("repay_bad_debt", book.owner("g"), book.id("g"), units)
            return
    pytest.fail(f"{gons} is no sum of two amounts")


def test_rebase__to_just_below_the_least_index(open_book: OpenBook) -> None:
    """A cut that leaves an index of 1e33 - 1 is refused; a gon less of bad debt leaves 1e33."""
    book = open_book(odd())
    index = cut(book)
    for who, money in (("a", 200), ("z", 6), ("g", 10**6)):
        book.deposit(who, money)
    hold(book, "a", "z", WAD)
    exposed = book.domain.exposed
    # what is left of how much: above the ratio of the indices by less than 1e-33 of it
    numerators = near_whole(c.MIN_CLAIM_INDEX, index)
    pairs = [(q, (q * c.MIN_CLAIM_INDEX + index // 2) // index) for q in numerators if 10**19 < q < 10**22]
    pairs = [(q, left) for q, left in pairs if index * left // q == c.MIN_CLAIM_INDEX - 1]
    assert pairs
    claims, left = pairs[0]
    times = exposed // left + 1
    claims, left = times * claims, times * left
    low, high = 100 * WAD, 2 * claims
    while high - low > 1:
        # the debt that is booked grows with the price by a gon or none
        middle = (low + high) // 2
        with book.restored():
            book.price(Fraction(middle, WAD))
            booked = book.resolve("z")["booked"]
        low, high = (middle, high) if booked <= claims - exposed else (low, middle)
    book.price(Fraction(low, WAD))
    assert book.resolve("z")["booked"] == claims - exposed
    give(book, left - exposed)
    domain = book.domain
    assert (domain.exposed, domain.exposed - domain.bad_debt) == (claims, left)
    book.refused("rebase: settlement needed", "rebase_claims", KEEPER)
    book.must("repay_bad_debt", book.owner("g"), book.id("g"), 1)
    book.must("rebase_claims", KEEPER)


def test_near_whole__is_near() -> None:
    """What this file rests on, with numbers that are not those of a cut."""
    index = 975_124_034_295_738_721_026_439_509_797_397_263
    found = wholes(index, 10**17, 10**23)
    assert len(found) > 8
    for k in found:
        assert min(k * index % ONE, -k * index % ONE) < ONE // k
