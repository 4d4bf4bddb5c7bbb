"""The 26 known bugs of other ledgers (research: rebase.md §6), each as a test on contract and model together.

Every step of a book is also compared with the exact ledger and checked against all invariants; see ``book.py``.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from python_ref import constants as c
from scripts.system import GOVERNOR, KEEPER, WAD
from tests.differential.book import Book, OpenBook, perp, wad

NOT_APPLICABLE = {
    12: "batch debt against shares (bold #505): no account here holds a share of a batch; bands have one size index "
    "whose window [1e27, 1e36] bug 17 tests, and the fund's share price is tested in tests/unit/test_backstop_fund.py",
}
"""Bug number: why there is nothing to test."""

U = 1_000_001
"""Wei; the smallest position where dust matters."""
TINY = {"min_size": U, "lot_exp": 0}


def wei(amount: int) -> Fraction:
    """Base wei as whole units."""
    return Fraction(amount, WAD)


def one_sided_book(open_book: OpenBook) -> Book:
    """Longs a 60, b 40 and shorts s 30 (margin 330), t 70, all at 100; rebase.md §1.3."""
    book = open_book(perp(100))
    for who, money in (("a", 2000), ("b", 3000), ("s", 330), ("t", 2000)):
        book.deposit(who, money)
    book.open("a", "s", 30, 100)
    book.open("a", "t", 30, 100)
    book.open("b", "t", 40, 100)
    return book


def total(book: Book, price: int, who: str) -> Fraction:
    """Sum of the values of the named accounts (one letter each) at ``price``, gons."""
    return sum((book.value(name, price) for name in who), Fraction(0))


def test_table__names_every_bug_without_a_test() -> None:
    """A bug of the list has either a test or a line that says why not."""
    tested = {int(name.split("_")[2]) for name in globals() if name.startswith("test_bug_")}
    assert tested | set(NOT_APPLICABLE) == set(range(1, 27))
    assert not tested & set(NOT_APPLICABLE)


def test_bug_1_funding_with_unequal_indices_mints_nothing(open_book: OpenBook) -> None:
    """Percolator #134: K and F accrued with a flat one while A_L differs from A_S.

    ========  ====  ====
    account   size  after the ADL of s at 112
    ========  ====  ====
    a / b     60/40  42 / 28 (A_L = 0.7)
    t         -70   -70 (A_S = 1)
    ========  ====  ====

    Funding of either sign moves money between the sides; the sum of all claims stays.
    """
    book = one_sided_book(open_book)
    book.price(112)
    receipt = book.resolve("s")
    assert receipt["deficit"] == wad(30)
    assert (book.size("a"), book.size("b"), book.size("t")) == (wad(42), wad(28), wad(-70))
    assert book.band("a").a * 10 == 7 * c.ONE_A
    assert book.band("t").a == c.ONE_A
    book.open("a", "t", 1, 117)
    whole = total(book, 112, "abt")
    for premium_price, sign in ((117, -1), (106, 1)):
        for _ in range(4):
            before = book.value("b", 112)
            book.advance(1800)
            book.price(112)
            book.open("a", "t", 1, premium_price)
            drop = total(book, 112, "abt") - whole
            assert -20 <= drop <= 0, f"claims changed by {float(drop)} wei"
        # the average premium has the sign of the last samples now
        assert sign * (book.value("b", 112) - before) > WAD // 100


def test_bug_2_every_path_reads_the_lazy_size(open_book: OpenBook) -> None:
    """Percolator #134, #183, #115: the stored basis was used as the live size in trade, health and close.

    a bought 60 (basis 60) and holds 42 after an ADL: a close is clamped to 42, margin is that of 42, and a close in
    two halves to a fresh account keeps the sum of sizes.
    """
    book = one_sided_book(open_book)
    book.deposit("fresh", 3000)
    book.price(112)
    book.resolve("s")
    assert book.position("a").q0 == wad(60)
    kind, at_index, _ = book.twin.view("ClearingHouse", "account_equity", book.id("a"))
    assert kind == at_index == book.value("a")
    book.open("fresh", "a", 20, 112)
    assert (book.size("a"), book.size("fresh")) == (wad(22), wad(20))
    book.close("a", "fresh")
    assert (book.size("a"), book.size("fresh"), book.size("b")) == (0, wad(42), wad(28))
    assert book.size("fresh") + book.size("b") == -book.size("t") == book.market().oi


@pytest.mark.parametrize("by", ["trade", "liquidation", "adl"])
def test_bug_3_open_interest_zero_strands_nobody(open_book: OpenBook, by: str) -> None:
    """Percolator #100, #101, #132, #139, #141: open interest reached zero while a basis survived; funds were stuck.

    Longs a 60 and b 40 against shorts s 30 (bankrupt at 112) and t 70. After the first ADL exactly all open interest
    goes by trade, by liquidation and trade, or by a second ADL. Then each leaves with all he has.
    """
    book = one_sided_book(open_book)
    book.price(112)
    book.resolve("s")
    if by == "trade":
        book.unwind("ab", "t")
    elif by == "liquidation":
        book.deposit("l", 2000)
        book.price("125.5")
        taken = book.must("liquidate", book.owner("l"), book.id("t"), 0, book.id("l"), 2**128).value
        assert 0 < taken <= wad(70)
        assert book.size("t") == taken - wad(70)
        book.unwind("ab", "tl")
    else:
        book.price(130)
        receipt = book.resolve("t")
        assert receipt["deficit"] == wad(100)
        assert receipt["booked"] == 0
        for long in "ab":
            assert book.size(long) == 0
            book.settle(long)
    assert book.market().oi == 0
    assert book.market().pot == 0
    book.advance(c.RESIDENCY_S)
    for who in "abt" + ("l" if by == "liquidation" else ""):
        book.must("release", KEEPER, book.id(who))
        money = book.cash(who)
        if money:
            assert book.withdraw(who, Fraction(money, WAD)).ok
        assert book.cash(who) == 0
    assert book.vault == book.domain.exposed <= book.market().fees + 10


def test_bug_4_flips_keep_both_sides_equal(open_book: OpenBook) -> None:
    """Percolator #109, #171: open interest masked when both parties of a trade cross from one side to the other.

    Four accounts trade random sizes back and forth, flipping often, with an ADL before so that the sides' indices
    differ. After each trade both sides changed by the same amount and the residue kept its sign.
    """
    book = one_sided_book(open_book)
    for who in "cd":
        book.deposit(who, 5000)
    book.price(112)
    book.resolve("s")
    random, flips = Random(4), 0
    for _ in range(40):
        buyer, seller = random.sample("abcdt", 2)
        before = {who: book.size(who) for who in "abcdt"}
        size = random.choice((1, 7, 30, 60, 90))
        if not book.trade(buyer, seller, size, 112).ok:
            continue
        after = {who: book.size(who) for who in "abcdt"}
        flips += sum(before[who] * after[who] < 0 for who in after)
        assert after[buyer] - before[buyer] == before[seller] - after[seller] == wad(size)
        longs = sum(size for size in after.values() if size > 0)
        shorts = -sum(size for size in after.values() if size < 0)
        assert longs <= book.market().oi <= shorts
        assert shorts - longs <= 10
    assert flips >= 5


def test_bug_5_phantom_dust_does_not_block_a_market(open_book: OpenBook) -> None:
    """Percolator spec v10: dust left by a truncated index kept a side from ever being empty.

    Three longs of 1,000,001 wei share an ADL that leaves an odd rest; after all have closed, no band bit is set, the
    rest is the house's, and the market opens and closes again.
    """
    book = open_book(perp(100, **TINY))
    for who in "abct":
        book.deposit(who, 100)
    book.deposit("s", wei(9 * U))
    for long in "abc":
        book.open(long, "t", wei(10 * U), 100)
    book.open("c", "s", wei(U + 1), 100)
    book.price(110)
    book.resolve("s")
    for long in "abc":
        assert book.close(long, "t").ok
    market = book.market()
    assert book.now.word("markets", 4) == 0
    assert 0 <= market.residue == market.oi <= 3
    book.open("a", "b", 1, 110)
    book.close("a", "b")
    assert book.size("a") == book.size("b") == 0
    assert book.market().residue >= 0


def test_bug_6_two_wipes_leave_a_late_settler_whole(open_book: OpenBook) -> None:
    """Percolator #57: a reset without an epoch, so that a second wipe reached accounts of the first.

    ===========  =========================  ============================
    wipe         whole long side            long price received
    ===========  =========================  ============================
    1 (at 112)   a 30 against s 30          deficit 30 on 30: 111
    2 (at 118)   b 30 against r 30          deficit on b alone
    ===========  =========================  ============================

    a, two epochs behind, settles once: 30·11 above his deposit, and nothing of the second wipe.
    """
    book = open_book(perp(100))
    for who, money in (("a", 1000), ("b", 1000), ("s", 330), ("r", 170)):
        book.deposit(who, money)
    book.open("a", "s", 30, 100)
    book.price(112)
    assert book.resolve("s")["seized"] == wad(30)
    book.advance(900)
    book.price(112)
    book.open("b", "r", 30, 112)
    book.price(118)
    assert book.resolve("r")["seized"] == wad(10)
    assert book.system.clearing_house.load_band(0, True, 0).epoch == 2
    for who, cash in (("a", 1330), ("b", 1170)):
        assert 0 <= wad(cash) - book.cash(who) <= 1
        seen = book.cash(who)
        book.settle(who)
        assert book.cash(who) == seen
        assert book.size(who) == 0
        book.refused("settle: no position", "settle", KEEPER, book.id(who), 0)
    assert 0 <= book.market().pot <= 2


def test_bug_7_survivors_of_a_quintillionth_do_not_underflow(open_book: OpenBook) -> None:
    """GHSA-m9f3-hrx8-x2g3, liquity/dev #316, #333, bold #199: P underflowed, and the scale was bumped only once.

    Three ADLs each leave 1e-18 of the long side (two scale bumps at once), then another ADL of a half: none reverts,
    A stays in its window, and open interest is exactly what was left.
    """
    book = open_book(perp(100, **TINY))
    for who in "hw":
        book.deposit(who, 100)
    book.open("h", "w", wei(U), 100)
    for i in range(3):
        before = book.side_band(True)
        receipt = book.squeeze(str(i), U * 10**18)
        assert (receipt["booked"], receipt["finished"]) == (0, True)
        band = book.side_band(True)
        assert band.scale == before.scale + 2
        assert c.MIN_A <= band.a <= c.ONE_A
        assert band.oi == U
        assert book.size("h") == 0, "1e-18 of a million wei is nothing"
    book.squeeze("last", U)
    assert book.side_band(True).oi == U
    assert book.side_band(True).scale == 6
    assert 0 < book.size("nlast") <= U // 2 + 1
    book.settle("h")
    assert book.cash("h") >= wad(100) - 10


def test_bug_8_no_rounding_is_carried_into_the_next_event(open_book: OpenBook) -> None:
    """bold #427, #438, #540, #552: error feedback across changing totals paid out more than there was.

    60 deleveragings of random part of a changing side; after each the pot holds what all positions have pending and
    the longs own no more than the open interest.
    """
    book = open_book(perp(100, **TINY))
    for who in "abcw":
        book.deposit(who, 100)
    for who, size in (("a", 3 * U), ("b", 5 * U + 1), ("c", 7 * U + 2)):
        book.open(who, "w", wei(size), 100)
    random, short_changed = Random(8), 0
    for i in range(60):
        book.squeeze(str(i), random.randrange(U, 4 * U))
        names = ["a", "b", "c", *(f"n{k}" for k in range(i + 1))]
        owed = sum(book.leg(who).pending for who in names) + book.leg("w").pending
        sizes = sum(book.size(who) for who in names)
        assert owed <= book.market().pot
        assert sizes <= book.market().oi
        short_changed += sizes < book.side_band(True).oi
    assert short_changed > 20


def test_bug_9_debits_across_ten_scales_are_not_dropped(open_book: OpenBook) -> None:
    """bold SCALE_SPAN = 2 (research T4d): what happened beyond N scales was forgotten, which is theft with debits.

    Short h never acts while ten scales pass over him, each a charge (shorts pay the gap of a bankrupt long). What he
    is charged is within 3 wei of the exact ledger, on the house's side.
    """
    book = open_book(perp(100, **TINY))
    for who in "hw":
        book.deposit(who, 100)
    book.open("w", "h", wei(U), 100)
    for i in range(5):
        book.squeeze(str(i), U * 10**18, is_long=False)
    assert book.side_band(False).scale >= 10
    exact = book.follower.ledger.cash(book.id("h"))
    assert 0 <= exact - book.cash("h") <= 3
    assert book.size("h") == -1, "more than eight scales behind a short owes one wei"
    book.settle("h")
    assert 0 <= exact - book.cash("h") <= 3


def test_bug_10_a_newcomer_after_many_adls_is_exact(open_book: OpenBook) -> None:
    """liquity/dev #310, bold known issue 22: after repeated redistribution a new stake is rounded to nothing.

    After four scales an account opens 3 units: it reads exactly 3, and 1.5 after an ADL of a half, within 2 wei.
    """
    book = open_book(perp(100, **TINY))
    for who in "hw":
        book.deposit(who, 100)
    book.open("h", "w", wei(U), 100)
    for i in range(2):
        book.squeeze(str(i), U * 10**18)
    book.rest_at(100)
    book.deposit("x", 1000)
    book.deposit("y", 1000)
    book.open("x", "y", 3, 100)
    assert book.side_band(True).scale == 4
    assert book.size("x") == wad(3)
    book.squeeze("half", wad(3) + U)
    assert 0 <= wad("1.5") - book.size("x") <= 2


def test_bug_11_the_last_one_out_is_paid(open_book: OpenBook) -> None:
    """liquity/dev #23, #85: the last depositor could not withdraw. (Random orders: test_regressions.)

    After an ADL of 1/3 with odd sizes a, b, c close against t in turn, then all are released and withdraw; what
    rounding left stays with the house.
    """
    book = open_book(perp(100, **TINY))
    for who in "abct":
        book.deposit(who, 1000)
    book.deposit("s", wei(30 * U))
    for who in "abc":
        book.open(who, "t", wei(2 * U), 100)
    book.open("c", "s", wei(3 * U + 1), 100)
    book.price(112)
    book.resolve("s")
    for who in "abc":
        assert book.close(who, "t").ok
    assert book.size("t") == 0
    assert 0 <= book.market().residue <= 4
    book.advance(c.RESIDENCY_S)
    for who in "cabt":
        book.must("release", KEEPER, book.id(who))
        assert book.withdraw(who, Fraction(book.cash(who), WAD)).ok
        assert book.cash(who) == 0


def test_bug_13_deficit_without_an_opposite_side_is_bad_debt_exactly(open_book: OpenBook) -> None:
    """Mango sets 0, Mai reverts, Drift has CantResolve when nobody is left to bear a loss.

    =======  =======================  ==========================================
    account  position                 at 121
    =======  =======================  ==========================================
    s        short 10 at 100, margin  bankrupt by another market; closes all longs
    a        long 10 at 130, 70       wiped at no more than 121: owes 20 or more
    =======  =======================  ==========================================

    a has no position and no opposite side: his whole debt is booked, nothing is seized.
    """
    book = open_book(perp(100), perp(100, name="OTHER"))
    for who, money in (("a", 70), ("b", 1000), ("s", 500), ("m", 5000)):
        book.deposit(who, money)
    book.open("b", "s", 10, 100)
    book.open("s", "m", 5, 100, 1)
    book.rest_at(130)
    book.price(100, 1)
    book.open("a", "b", 10, 130)
    book.price(121)
    book.price(20, 1)
    first = book.resolve("s")
    assert first["finished"]
    assert book.size("a") == 0
    debt = -book.cash("a")
    assert debt >= wad(20)
    booked_before = book.domain.bad_debt
    receipt = book.resolve("a")
    assert (receipt["deficit"], receipt["booked"]) == (debt, debt)
    assert receipt["seized"] == receipt["cover"] == 0
    assert book.domain.bad_debt == booked_before + debt
    assert book.cash("a") == 0


def test_bug_14_a_loss_below_one_wei_each_is_still_collected(open_book: OpenBook) -> None:
    """Mai's half-up social loss collects 0 of 1.2e8 wei from 1e9 contracts (research T5b).

    30 longs of 1,000,001 wei; a bankrupt short of half their size lacks 7 wei. Each long gives a part of a wei; what
    is collected is at least what is owed.
    """
    book = open_book(perp(100, **TINY))
    book.deposit("t", 100)
    longs = [f"l{i}" for i in range(30)]
    size = 15 * U
    book.deposit("s", Fraction(10 * size - 7, WAD))
    for i, who in enumerate(longs):
        book.deposit(who, 1)
        book.open(who, "t" if i < 15 else "s", wei(U), 100)
    book.price(110)
    before = sum(book.value(who) for who in longs)
    receipt = book.resolve("s")
    assert (receipt["deficit"], receipt["seized"], receipt["booked"]) == (7, 7, 0)
    paid = before - sum(book.value(who) for who in longs)
    # half a wei of size each may go to the house as well, worth 110
    assert 7 <= paid <= 7 + 30 * (1 + 110)


def test_bug_15_only_the_opposite_side_pays(open_book: OpenBook) -> None:
    """Drift and Mango divide a loss by long + short: losers pay as well.

    ADL of s (30 short) at 112: t, on the side of the bankrupt, changes by nothing; the longs give up exactly 15.
    """
    book = one_sided_book(open_book)
    book.deposit("s", 15)
    book.price(112)
    before = {who: book.value(who) for who in "abt"}
    receipt = book.resolve("s")
    assert receipt["deficit"] == receipt["seized"] == wad(15)
    assert book.value("t") == before["t"]
    assert before["a"] - book.value("a") == wad(9)
    assert before["b"] - book.value("b") == wad(6)


def test_bug_16_index_zero_bricks_nothing(open_book: OpenBook) -> None:
    """EigenLayer magnitude 0, Cosmos #1287, ScalableMapping at -1e27: an index of zero closed a market for ever.

    s owes 8950 on a margin of 50; the band of his winner is wiped whole. A gift repays the debt, and the band opens
    again at once with a fresh index. (A cut of nearly everything: test_regressions, lowest claim index.)
    """
    book = open_book(perp(100))
    for who, money in (("a", 50), ("s", 50), ("donor", 10_000)):
        book.deposit(who, money)
    book.open("a", "s", 10, 100)
    book.rest_at(1000)
    receipt = book.resolve("s")
    assert book.size("a") == 0
    assert receipt["booked"] == wad(8950) - receipt["seized"]
    book.must("repay_bad_debt", book.owner("donor"), book.id("donor"), wad(10_000))
    assert book.domain.bad_debt == 0
    book.deposit("c", 1000)
    book.open("c", "a", 1, 1000)
    assert book.size("c") == wad(1)
    assert book.side_band(True).epoch == 1
    assert book.side_band(True).a == c.ONE_A


def test_bug_17_no_unchecked_arithmetic_and_no_index_below_its_floor(open_book: OpenBook) -> None:
    """yETH, November 2025 (Vyper): a product term rounded to zero in unchecked arithmetic.

    What computes money and sizes uses no ``unsafe_``; survivors of one part in 1e22 and ADLs that close
    next to nothing leave A in [1e27, 1e36].
    """
    sources = Path(__file__).resolve().parents[2] / "contracts"
    for name in ("bands", "margin"):
        assert "unsafe_" not in (sources / "modules" / f"{name}.vy").read_text(), f"{name} computes without checks"
    book = open_book(perp(100, **TINY))
    for who in "hw":
        book.deposit(who, 100)
    book.open("h", "w", wei(U), 100)
    for i, size in enumerate((10**28, U, 10**28)):
        book.squeeze(str(i), size)
        band = book.side_band(True)
        assert c.MIN_A <= band.a <= c.ONE_A
        assert band.oi == U
    book.rest_at(100)
    book.deposit("x", 10**4)
    book.deposit("y", 10**4)
    book.open("x", "y", 1000, 100)
    book.squeeze("least", U)
    band = book.side_band(True)
    assert c.MIN_A <= band.a <= c.ONE_A
    assert 0 <= wad(1000) - book.size("x") <= U + 10**6


def test_bug_18_a_donation_changes_no_index(open_book: OpenBook) -> None:
    """Raft 2023, Radiant, HopeLend: tokens sent to the contract moved an index.

    Tokens sent to the ClearingHouse change no word of it; opening and closing in an empty market loses, by fees.
    """
    book = open_book(perp(100, taker_fee=500))
    for who in "ab":
        book.deposit(who, 1000)
    words = dict(book.now.words)
    house = book.system.clearing_house.address
    book.twin.call("Token", "mint", KEEPER, book.owner("a"), wad(10**6))
    assert book.twin.call("Token", "transfer", book.owner("a"), house, wad(10**6)).ok
    assert book.now.words == words
    book.check()
    for _ in range(3):
        book.open("a", "b", 1, 100)
        book.close("a", "b")
    assert book.cash("a") + book.cash("b") == wad(2000) - 6 * wad("0.05")
    assert book.domain.claim_index == c.INDEX_ONE


def cut(book: Book, deficit_of: str = "z") -> None:
    """A default of 10 short at 100 with 50 that leaves bad debt at 120, and the rebase."""
    book.deposit(deficit_of, 50)
    book.deposit("winner", 10_000)
    book.open("winner", deficit_of, 10, 100)
    book.price(120)
    assert book.resolve(deficit_of)["booked"] == wad(120)
    book.must("rebase_claims", KEEPER)


def test_bug_19_deposit_and_withdraw_in_a_loop_never_profits(open_book: OpenBook) -> None:
    """Aave v3 #852: rounding half up both ways paid the one who went in and out.

    At an odd claim index an exposed account deposits and withdraws odd amounts 20 times, and an exempt one becomes
    exposed and exempt again: neither ever gains, each loses at most a wei per step.
    """
    book = open_book(perp(100))
    for who in "abcd":
        book.deposit(who, 5000)
    book.open("a", "b", 10, 100)
    cut(book)
    index = book.domain.claim_index
    assert index < c.INDEX_ONE
    assert c.INDEX_ONE % index
    book.rest_at(100)
    worth = Fraction(book.cash("a") * index, c.INDEX_ONE)
    for i in range(20):
        atoms = 10**18 + 7 * i + 1
        book.deposit("a", wei(atoms))
        book.advance(c.RESIDENCY_S)
        assert book.withdraw("a", wei(atoms)).ok
    lost = worth - Fraction(book.cash("a") * index, c.INDEX_ONE)
    assert 0 < lost <= 40
    before = book.cash("c"), book.cash("d")
    book.price(100)
    for _ in range(3):
        book.open("c", "d", 1, 100)
        book.close("c", "d")
        book.advance(c.RESIDENCY_S)
        for who in "cd":
            book.must("release", KEEPER, book.id(who))
        book.price(100)
    for who, money in zip("cd", before, strict=True):
        assert 0 <= money - book.cash(who) <= 12


def test_bug_20_dust_shares_cost_allowance(open_book: OpenBook) -> None:
    """Lido #796, #1399: when a share is worth less than a wei it moved for no allowance (research T9c).

    The ledger's claims cannot be moved by allowance; the fund's token can: moving one wei costs at least one wei, and
    without allowance nothing moves.
    """
    book = open_book(perp(100))
    book.provide(1000, 0, "lp")
    fund, thief, lp = "BackstopFund", book.owner("thief"), book.owner("lp")
    held = book.twin.view(fund, "shares_of", lp)
    book.refused("fund: allowance", "transferFrom", thief, lp, thief, 1, contract=fund)
    book.twin.call(fund, "approve", lp, thief, 5)
    moved = 0
    for _ in range(6):
        outcome = book.twin.call(fund, "transferFrom", thief, lp, thief, 1)
        moved += outcome.ok
    assert 1 <= moved <= 5
    gone = held - book.twin.view(fund, "shares_of", lp)
    assert book.twin.view(fund, "balanceOf", thief) <= 5
    assert 0 < gone * book.twin.view(fund, "nav_index") // 10**36 <= 5
    assert book.twin.view(fund, "allowance", lp, thief) <= 5 - moved


def test_bug_21_changing_sides_and_transfers_are_exact(open_book: OpenBook) -> None:
    """OUSD ToB-22: transfers above the balance, totals that drift when an account opts in or out.

    Exempt transfers move exactly their amount; more than the balance is refused; becoming exposed and exempt again
    changes the two totals by what the account's balance changes by, to the wei.
    """
    book = open_book(perp(100))
    for who in ("a", "a/1", "b", "c", "d"):
        book.deposit(who, 5000)
    book.open("c", "d", 10, 100)
    cut(book)
    owner = book.owner("a")
    before = book.domain.exempt
    book.must("transfer", owner, book.id("a"), book.id("a/1"), 10**18 + 1)
    assert (book.cash("a"), book.cash("a/1")) == (wad(4999) - 1, wad(5001) + 1)
    assert book.domain.exempt == before
    book.refused("ledger: insufficient cash", "transfer", owner, book.id("a"), book.id("a/1"), wad(4999))
    book.rest_at(100)
    money, gons = book.cash("b"), book.domain.exposed
    book.open("b", "c", 1, 100)
    book.close("b", "c")
    assert book.domain.exempt == before - money
    assert book.domain.exposed - gons == book.cash("b")
    book.advance(c.RESIDENCY_S)
    book.must("release", KEEPER, book.id("b"))
    assert book.domain.exposed == gons
    assert book.domain.exempt == before - money + book.cash("b")
    assert 0 <= money - book.cash("b") <= 2


def test_bug_22_an_adl_is_applied_once(open_book: OpenBook) -> None:
    """Voltz v2: an ADL was propagated twice. Here the view equals the settlement, and a second one changes nothing."""
    book = one_sided_book(open_book)
    book.price(112)
    book.resolve("s")
    for who in "abt":
        leg, cash = book.leg(who), book.cash(who)
        stored = book.now.accounts[book.id(who)].cash
        book.settle(who)
        assert book.now.accounts[book.id(who)].cash == stored + leg.pending == cash
        assert book.size(who) == leg.size
        words = dict(book.now.words)
        book.settle(who)
        assert book.now.words == words
    assert book.market().pot == 0


@pytest.mark.parametrize("payer", ["long", "short"])
def test_bug_23_funding_beyond_the_margin_freezes_nothing(open_book: OpenBook, payer: str) -> None:
    """Flatmoney #127, GMX #109: funding larger than a side's margin froze the market, or was claimed twice.

    At 5 % per 8 hours for days the payer's margin is gone. He is resolved like anybody; the receiver is paid, the
    market trades on, and claims are what they were.
    """
    book = open_book(perp(100))
    for who, money in (("p", 60), ("r", 60), ("x", 1000), ("y", 1000)):
        book.deposit(who, money)
    long, short = ("p", "r") if payer == "long" else ("r", "p")
    book.open(long, short, 10, 100)
    premium = 105 if payer == "long" else 95
    book.open("x", "y", "0.001", premium)
    for _ in range(20):
        book.advance(3000)
        book.price(100)
        book.open("x", "y", "0.001", premium)
    assert book.value("p") < 0
    before = book.value("r")
    assert before > wad(100)
    receipt = book.resolve("p")
    assert receipt["seized"] + receipt["booked"] == receipt["deficit"]
    assert receipt["seized"] == wad(25), "the gap cap: 2.5 % of 1000"
    lost = before - book.value("r")
    # x or y bears a thousandth with him; the last minutes' funding has come in
    assert lost < receipt["seized"] < lost + WAD
    book.must("rebase_claims", KEEPER)
    book.advance(1800)
    book.price(100)
    assert book.trade("x", "y", 1, 100).ok


def test_bug_24_trading_with_oneself_leaves_the_fund_no_loss(open_book: OpenBook) -> None:
    """Percolator #38: two accounts of one owner trade a loss into existence and leave it to the insurance.

    e/1 is long 10 with equity 15 (M is 24.6): it may not sell to e/2 two per cent below the index, nor may a healthy
    account be left below zero. At the floor price its equity, not more, is gone, and no bad debt arises.
    """
    book = open_book(perp(100, fill_band=20_000))
    for who, money in (("e/1", 50), ("e/2", 10_000), ("w", 10_000)):
        book.deposit(who, money)
    book.open("e/1", "w", 10, 100)
    book.price("96.5")
    assert book.value("e/1") == wad(15)
    for price in ("94.6", "94.999"):
        assert book.trade("e/2", "e/1", 5, price).reason == "margin: worse than floor price"
    assert book.close("e/1", "e/2", price=wad("95") + 10).ok
    assert 0 <= book.cash("e/1") <= 100
    assert book.domain.bad_debt == 0
    book.open("w", "e/2", 1, "96.5")  # a fill at the index, so that no premium is left in the mark
    book.rest_at(100)
    book.deposit("e/3", 51)
    book.open("e/3", "w", 10, 100)
    book.price("97.5")
    book.system.must("set_risk", GOVERNOR, 0, replace(book.system.specs[0].risk, fill_band=90_000).pack())
    assert book.value("e/3") > wad("24.375"), "healthy"
    assert book.trade("e/2", "e/3", 10, "94.8").reason == "margin: would be bankrupt"
    assert book.close("e/3", "e/2", price=wad("94.9")).ok
    assert 0 <= book.cash("e/3") < WAD // 1000, "a second of funding"
    assert book.domain.bad_debt == 0


def test_bug_25_who_leaves_before_the_lock_still_bears_the_cut(open_book: OpenBook) -> None:
    """bold known issues 24, 25; MixBytes Lido V3 H-1: leave before the loss is recognised, or before the lock.

    Seconds before the default of s is recognised a closes his winning position and tries to leave: he is in
    residency. The lock stands in the transaction that books the debt, and the cut reaches him like c.
    """
    book = open_book(perp(100))
    for who, money in (("a", 1000), ("s", 50), ("c", 1000), ("d", 1000)):
        book.deposit(who, money)
    book.open("a", "s", 10, 100)
    book.open("c", "d", 1, 100)
    book.price(120)
    assert book.close("a", "c").ok
    book.refused("ledger: in residency", "release", KEEPER, book.id("a"))
    book.refused("ledger: in residency", "withdraw", book.owner("a"), book.id("a"), 1, book.owner("a"))
    receipt = book.resolve("s")
    assert receipt["booked"] > 0
    book.advance(c.RESIDENCY_S)
    for who in "acd":
        book.refused("ledger: locked", "withdraw", book.owner(who), book.id(who), 1, book.owner(who))
    book.refused("ledger: locked", "release", KEEPER, book.id("a"))
    gons = {who: book.cash(who) for who in "acd"}
    book.must("rebase_claims", KEEPER)
    assert {who: book.cash(who) for who in "acd"} == gons
    exposed, debt = book.domain.exposed, receipt["booked"]
    assert book.domain.claim_index == c.INDEX_ONE * (exposed - debt) // exposed
    book.must("release", KEEPER, book.id("a"))
    assert book.cash("a") == gons["a"] * book.domain.claim_index // c.INDEX_ONE


def test_bug_26_cash_index_floors_and_moves_before_the_size_index(open_book: OpenBook) -> None:
    """Truncating division (T10a), A written before C (T5g), and units burnt without their cash (T5i).

    Shorts a 60 and b 40 meet a bankrupt long of 30. C falls by exactly floor(-A·quote/OI) of the old A, and for
    both e' = f·e(p) + (1-f)·e(close price).
    """
    book = open_book(perp(100, **TINY))
    for who in "abw":
        book.deposit(who, 2000)
    unit = 7 * U
    book.deposit("z", Fraction(5 * 30 * unit + 1, WAD))
    book.open("z", "a", wei(30 * unit), 100)
    book.open("w", "a", wei(30 * unit), 100)
    book.open("w", "b", wei(40 * unit), 100)
    book.price("93.5")
    before = {who: (book.value(who), book.cash(who), book.size(who)) for who in "ab"}
    receipt = book.resolve("z")
    (event,) = book.events("BandDeleveraged")
    quote, oi = event["quote"], event["open_interest"]
    cell = book.system.clearing_house.load_cell(0, False, 0, 0, 0)
    assert cell.c == -c.ONE_A * quote // oi
    assert c.ONE_A * quote % oi, "an exact division would not show the rounding"
    assert book.side_band(False).a == -(-c.ONE_A * 7 // 10)
    assert receipt["seized"] == receipt["deficit"]
    for who in "ab":
        value, cash, size = before[who]
        at_close = cash + Fraction(size * quote, event["size"])
        expected = Fraction(7, 10) * value + Fraction(3, 10) * at_close
        assert 0 <= expected - book.value(who) <= 2 + 94
