"""Golden vectors of other engines (research: perp_engines.md §2.12b) for the formulas that this ledger shares."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import pytest

from python_ref import constants as c
from scripts.chain import make_chain
from scripts.system import KEEPER, WAD
from tests.differential.book import Book, OpenBook, perp, wad

APPLIES = {
    "v3 bankruptcy transfer, maker long": "yes: the same 43 of 100, and the last part takes 57, not a new quotient",
    "v3 bankruptcy transfer, maker short": "yes, but rounded for the bankrupt on this side too: 43, not 42",
    "v4 bkQuote, negative": "yes: a leg's share of the deficit 7 by maintenance 3:7, cumulative: 2 and 5 (v4 took 3)",
    "v4 bkQuote, positive": "no: only a deficit is shared; an account with equity left is never resolved",
    "drift index": "yes, on 50 accounts: what is collected is never short of the loss",
    "mai size": "yes: the same 0.8333 where fee < maintenance; the other row is refused as a configuration",
    "previous-mark ADL": "yes: taken equals needed, whatever the price was before",
    "floor pro rata": "yes: three equal bands give 34, 33, 33 by cumulative split, no remainders to hand out",
    "error feedback": "yes, as its opposite: each event floors alone, so three events take 3 wei and never less",
    "FCFS against snapshot": "yes, for the cut: 300/180/120 in every order; settlement itself is not built",
}
"""Row: whether it applies, and what holds here."""

U = 1_000_001
TINY = {"min_size": U, "lot_exp": 0}


def wei(amount: int) -> Fraction:
    """Base or money wei as whole units."""
    return Fraction(amount, WAD)


def quotes(book: Book) -> list[int]:
    """What each band was closed for in the last call."""
    return [e["quote"] for e in book.events("BandDeleveraged")]


def test_v3_transfer__short_defaults_against_two_long_bands(open_book: OpenBook) -> None:
    """Position 7, deficit 100 wei, bands of 3 and 4: ``ceil(300/7) = 43`` from the first, 57 from the second.

    ======  ======  =====  ==========
    long    size    entry  receives
    ======  ======  =====  ==========
    a       3u      100    3u·110 - 43
    b       4u      103    4u·110 - 57
    ======  ======  =====  ==========
    """
    book = open_book(perp(100, rank=c.RANK_PROFIT, **TINY))
    book.deposit("a", 1)
    book.deposit("b", 1)
    book.deposit("s", wei(58 * U - 100))
    book.open("a", "s", wei(3 * U), 100)
    book.rest_at(103)
    book.open("b", "s", wei(4 * U), 103)
    book.price(110)
    receipt = book.resolve("s")
    assert quotes(book) == [3 * U * 110 - 43, 4 * U * 110 - 57]
    assert (receipt["deficit"], receipt["seized"], receipt["booked"]) == (100, 100, 0)
    assert book.cash("s") == 0


def test_v3_transfer__long_defaults_against_two_short_bands(open_book: OpenBook) -> None:
    """The mirror: shorts pay 43 and 57 more than the index. v3 rounds the other way here and leaves 58/4."""
    book = open_book(perp(100, rank=c.RANK_PROFIT, **TINY))
    book.deposit("a", 1)
    book.deposit("b", 1)
    # 7u at 90 against cost 3u·100 + 4u·97
    book.deposit("l", wei(58 * U - 100))
    book.open("l", "a", wei(3 * U), 100)
    book.rest_at(97)
    book.open("l", "b", wei(4 * U), 97)
    book.price(90)
    receipt = book.resolve("l")
    assert quotes(book) == [3 * U * 90 + 43, 4 * U * 90 + 57]
    assert (receipt["deficit"], receipt["seized"], receipt["booked"]) == (100, 100, 0)
    assert book.cash("l") == 0


def test_v4_quote__deficit_split_by_maintenance(open_book: OpenBook) -> None:
    """Deficit 7 wei over legs with maintenance 3 and 7: cumulative shares 2 and 5, where v4 takes 3 for 2.1."""
    book = open_book(perp(100, **TINY), perp(100, name="OTHER", **TINY))
    book.deposit("w", 1)
    book.deposit("s", wei(10 * 10 * U - 7))
    book.open("w", "s", wei(3 * U), 100)
    book.open("w", "s", wei(7 * U), 100, 1)
    book.price(110)
    book.price(110, 1)
    receipt = book.resolve("s")
    assert quotes(book) == [3 * U * 110 - 2, 7 * U * 110 - 5]
    assert (receipt["deficit"], receipt["seized"], receipt["booked"]) == (7, 7, 0)


def test_drift_index__never_short_of_the_loss(open_book: OpenBook) -> None:
    """Loss 50,000,001 wei over 50 accounts of 1e7 wei: drift's ceiling of the index collects one too little."""
    book = open_book(perp(100, **TINY))
    size = 10**7
    book.deposit("s", wei(50 * size * 10 - 50_000_001))
    longs = [f"l{i}" for i in range(50)]
    for who in longs:
        book.deposit(who, wei(size * 100))
        book.open(who, "s", wei(size), 100)
    book.price(110)
    receipt = book.resolve("s")
    assert receipt["seized"] == 50_000_001
    paid = sum(size * 10 + size * 100 - book.cash(who) for who in longs)
    assert 50_000_001 <= paid <= 50_000_001 + 50
    assert book.market().pot >= sum(book.leg(who).pending for who in longs)


def test_mai_size__least_part_that_heals(open_book: OpenBook) -> None:
    """Equity 5, size 1, price 100, margin 10 %, fee 4 %: 0.8333 is taken, rounded up to 1/65536."""
    book = open_book(perp(100, initial=110_000, maintenance=100_000, penalty=40_000, target=1_000_000, fund_share=0))
    book.deposit("a", 15)
    book.deposit("w", 1000)
    book.deposit("l", 1000)
    book.rest_at(110)
    book.open("a", "w", 1, 110)
    book.price(100)
    assert book.value("a") == wad(5)
    taken = book.must("liquidate", book.owner("l"), book.id("a"), 0, book.id("l"), 2**128).value
    assert 0 <= taken - Fraction(5, 6) * WAD <= Fraction(WAD, 65536)
    assert book.value("a") == wad(5) - 4 * taken
    assert 10 * book.value("a") >= wad(100) - 100 * taken


def test_mai_size__fee_above_margin_is_no_configuration() -> None:
    """The other row of Mai (fee 14 % against margin 10 %, where the formula's sign flips) cannot be listed."""
    spec = perp(100, initial=110_000, maintenance=100_000, penalty=140_000)
    with pytest.raises(AssertionError, match="market: penalty"):
        Book(make_chain(), spec)


@pytest.mark.parametrize("previous", [95, 90])
def test_previous_mark__taken_equals_needed(open_book: OpenBook, previous: int) -> None:
    """Long 10 with bankruptcy price 91, price 85 after 95 or 90: needed 60. Previous-mark ADL takes 100 or 50."""
    book = open_book(perp(100, initial=90_000, maintenance=80_000))
    for who, money in (("l", 90), ("s", 1000)):
        book.deposit(who, money)
    book.open("l", "s", 10, 100)
    book.price(previous)
    book.price(85)
    before = book.value("s")
    receipt = book.resolve("l")
    assert (receipt["deficit"], receipt["seized"], receipt["booked"]) == (wad(60), wad(60), 0)
    assert before - book.value("s") == wad(60)
    assert quotes(book) == [wad(910)]


def test_pro_rata__cumulative_split_of_100_over_three_equal_bands(open_book: OpenBook) -> None:
    """D = 100 over three equal bands: 34, 33, 33; the sum is exact without handing out remainders."""
    book = open_book(perp(100, rank=c.RANK_PROFIT, policy="ProRata", initial=30_000, **TINY))
    size = 2 * U
    book.deposit("s", wei(size * (10 + 7 + 4) - 100))
    for i, who in enumerate("abc"):
        book.rest_at(100 + 3 * i)
        book.deposit(who, 1)
        book.open(who, "s", wei(size), 100 + 3 * i)
    book.price(110)
    receipt = book.resolve("s")
    assert sorted(size * 110 - quote for quote in quotes(book)) == [33, 33, 34]
    assert (receipt["deficit"], receipt["seized"], receipt["booked"]) == (100, 100, 0)


def test_error_feedback__each_event_rounds_alone(open_book: OpenBook) -> None:
    """D = 1 three times over three equal longs: feedback takes 333, 333, 334; here each event takes 1 wei or more.

    Nothing of one event depends on another: the third takes what the first took.
    """
    book = open_book(perp(100, **TINY))
    size = 10**7
    for who in "abcw":
        book.deposit(who, 1)
    for who in "abc":
        book.open(who, "w", wei(size), 100)
    taken = []
    for i in range(3):
        name = f"s{i}"
        book.deposit(name, wei(10 * U - 1))
        book.rest_at(100)
        book.open("a", name, wei(U), 100)
        book.price(110)
        before = sum(book.cash(who) + book.size(who) * 110 for who in "abc")
        receipt = book.resolve(name)
        assert (receipt["deficit"], receipt["seized"]) == (1, 1)
        taken.append(before - sum(book.cash(who) + book.size(who) * 110 for who in "abc"))
    # a wei of cash or of size (worth 110) per account
    assert all(1 <= loss <= 1 + 3 * 111 for loss in taken)


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_fcfs__cut_pays_the_same_in_every_order(open_book: OpenBook, order: tuple[str, ...]) -> None:
    """Claims 500, 300, 200 on six tenths: first come would get 500, 100, 0. Here 300, 180, 120 whoever leaves first.

    Bad debt is 0.4 of the exposed claims: z is short 10 at 100 with 50, at 200 he lacks 950, the winner y (300)
    gives 50 of it, and y's claim of 1250 shrinks to 750 with the others.
    """
    book = open_book(perp(100))
    for who, money in (("a", 500), ("b", 300), ("c", 200), ("y", 300), ("z", 50)):
        book.deposit(who, money)
    for who, mate in (("a", "b"), ("b", "c")):
        book.open(who, mate, 1, 100)
        book.close(who, mate)
    book.open("y", "z", 10, 100)
    book.price(200)
    assert book.resolve("z")["booked"] == wad(900)
    book.must("rebase_claims", KEEPER)
    assert book.domain.claim_index == 6 * 10**35
    book.settle("y")
    book.advance(c.RESIDENCY_S)
    paid = {}
    for who in (*order, "y"):
        book.must("release", KEEPER, book.id(who))
        paid[who] = book.cash(who)
        assert book.withdraw(who, Fraction(paid[who], WAD)).ok
    assert paid == {"a": wad(300), "b": wad(180), "c": wad(120), "y": wad(750)}
    assert book.vault == 0


def test_table__states_every_row() -> None:
    """Ten rows, each said to apply or not."""
    assert len(APPLIES) == 10
    assert sum(text.startswith("no:") for text in APPLIES.values()) == 1
