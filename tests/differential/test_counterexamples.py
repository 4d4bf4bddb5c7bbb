"""The counterexamples that forced the rules of the mechanism (research: mechanism_rules.md §3), one test each.

Those answered by rules 1-7, 10-36 and 44 are here, with the numbers of the text wherever a market can be set up so.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from python_ref import constants as c
from scripts.chain import make_chain
from scripts.chain.artifacts import DELEGATES, artifact
from scripts.system import GOVERNOR, KEEPER, WAD, actor
from tests.differential.book import Book, OpenBook, books, perp, wad

ELSEWHERE = {
    14: "rule 9: a rebase needs no lock and no notice here, so one wei of bad debt is cut at once by anybody",
    19: "rule 38: ranked plans are not built",
    20: "rules 40 to 42: the fund's token, tests/unit/test_backstop_fund.py",
    21: "rule 43: settlement is not built; `rebase: settlement needed` refuses instead",
    25: "rule 8: the lowest claim index, test_regressions.py",
}
"""Counterexample: where it is, or why it cannot be here."""

U = 1_000_001
TINY = {"min_size": U, "lot_exp": 0}


def wei(amount: int) -> Fraction:
    """Base or money wei as whole units."""
    return Fraction(amount, WAD)


def widen(book: Book, width_bps: int, market: int = 0) -> None:
    """Give the market's interval another half-width from the next poke on."""
    feeds, rules = book.system.feed_args(market, width_bps=width_bps)
    outcome = book.twin.call("PriceOracle", "set_feeds", GOVERNOR, market, feeds, rules)
    assert outcome.ok, outcome.reason


def freeze(book: Book, market: int) -> None:
    """All feeds of a market fail."""
    for i in range(book.system.specs[market].n_feeds):
        book.twin.call(book.system.feed_name(market, i), "set_mode", KEEPER, 1)
    book.advance(13)
    book.twin.call("PriceOracle", "poke", KEEPER, market)


def test_table__names_every_counterexample_without_a_test() -> None:
    """A counterexample of the list has either a test or a line that says where it is."""
    tested = {int(name.split("_")[2]) for name in globals() if name.startswith("test_counterexample_")}
    assert tested | set(ELSEWHERE) == set(range(1, 28))
    assert not tested & set(ELSEWHERE)


def test_counterexample_1_dust_fill_drags_a_flat_balance_under_the_cut(open_book: OpenBook) -> None:
    """Rule 5. Bad debt is open; an attacker (exposed) fills one unit of the flat whale's resting order.

    ========  ==========  ==================
    account   before      after the cut
    ========  ==========  ==================
    whale     1,000,000   1,000,000 (exempt)
    attacker  exposed     pays his full share
    ========  ==========  ==================
    """
    book = open_book(perp(100))
    for who, money in (("whale", 10**6), ("attacker", 5000), ("a", 1000), ("z", 50)):
        book.deposit(who, money)
    book.open("attacker", "a", 1, 100)
    book.open("a", "z", 10, 100)
    order, signature = book.system.order(actor("whale"), 0, wad(1), wad(200))
    book.price(120)
    debt = book.resolve("z")["booked"]
    assert debt > 0
    assert book.trade("whale", "attacker", 1, 120).reason == "ledger: closed to newcomers"
    mate, mate_signature = book.system.order(actor("attacker"), 0, -wad(1), wad(100))
    outcome = book.twin.call("Orders", "settle_orders", KEEPER, order, signature, mate, mate_signature, wad(1))
    assert outcome.reason == "ledger: closed to newcomers"
    exposed = book.domain.exposed
    book.must("rebase_claims", KEEPER)
    assert book.cash("whale") == wad(10**6)
    assert book.domain.claim_index == c.INDEX_ONE * (exposed - debt) // exposed
    mate, mate_signature = book.system.order(actor("attacker"), 0, -wad(1), wad(100))
    outcome = book.twin.call("Orders", "settle_orders", KEEPER, order, signature, mate, mate_signature, wad(1))
    assert outcome.reason == "fill: nothing to fill", "an order of an earlier claim epoch may only reduce"
    assert book.size("whale") == 0


@pytest.mark.parametrize(("gap", "booked"), [(15, "7.125"), (20, "12"), (25, "16.875")])
def test_counterexample_2_a_gap_is_billed_to_its_own_domain(open_book: OpenBook, gap: int, booked: str) -> None:
    """Rule 3. One unit long and short with 5 % each; a gap of 15, 20, 25 % leaves 7.1, 12.0, 16.9 of 100.

    The bound ``J - IM - mm·(1 + J)`` is exact, and a second deployment, of another group, does not move.
    """
    other = Book(make_chain(), perp(100, name="STRANGERS"))
    other.deposit("c", 1000)
    other.deposit("d", 1000)
    other.open("c", "d", 1, 100)
    strangers = dict(other.now.words)
    book = open_book(perp(100))
    book.deposit("a", 5)
    book.deposit("b", 5)
    book.open("a", "b", 1, 100)
    book.price(100 + gap)
    receipt = book.resolve("b")
    assert receipt["deficit"] == wad(gap - 5)
    assert receipt["booked"] == wad(booked)
    assert book.domain.bad_debt == wad(booked)
    assert other.now.words == strangers


def test_counterexample_3_leave_and_be_recognised_later(open_book: OpenBook) -> None:
    """Rule 4. A long 100 at 100 (500) against B (500); at 112 C takes A's side with 560; B lacks 700.

    =======  ======  ====================  ==========
    account  cash    unrecognised claim    after all
    =======  ======  ====================  ==========
    A        500     1700, flat            1339.39
    C        560     long 100, 560         220.61
    B        500     bankrupt              0
    =======  ======  ====================  ==========

    A is not let out before B is recognised; the vault of 1560 pays both in the same proportion.
    """
    book = open_book(perp(100))
    for who, money in (("A", 500), ("B", 500), ("C", 560)):
        book.deposit(who, money)
    book.open("A", "B", 100, 100)
    book.rest_at(112)
    assert book.close("A", "C").ok
    assert book.cash("A") == wad(1700) > book.vault == wad(1560)
    book.refused("ledger: in residency", "release", KEEPER, book.id("A"))
    receipt = book.resolve("B")
    assert (receipt["deficit"], receipt["seized"], receipt["booked"]) == (wad(700), wad(280), wad(420))
    book.must("rebase_claims", KEEPER)
    book.settle("C")
    book.advance(c.RESIDENCY_S)
    for who in "AC":
        book.must("release", KEEPER, book.id(who))
    # 1700 and 280 times 1560 / 1980
    assert 0 <= Fraction(wad(1700) * 1560, 1980) - book.cash("A") <= 2
    assert 0 <= Fraction(wad(280) * 1560, 1980) - book.cash("C") <= 2
    for who in "AC":
        assert book.withdraw(who, wei(book.cash(who))).ok
    assert 0 <= book.vault <= 4


def test_counterexample_4_a_bankrupt_cannot_be_taken_past_the_winners(open_book: OpenBook) -> None:
    """Rule 13. E = -60, N = 1000: the winner's fresh account may not take the position at the clean price.

    Only resolve is left: the winner gives 25 (2.5 % of 1000), 35 is booked.
    """
    book = open_book(perp(100, initial=30_000))
    for who, money in (("z", 40), ("w", 5000), ("fresh", 5000)):
        book.deposit(who, money)
    book.rest_at(110)
    book.open("z", "w", 10, 110)
    book.open("fresh", "w", 1, 110)
    book.price(100)
    assert book.value("z") == -wad(60)
    fresh = book.owner("fresh")
    book.refused("liquidation: bankrupt", "liquidate", fresh, book.id("z"), 0, book.id("fresh"), 2**128)
    assert book.trade("fresh", "z", 10, 100).reason == "margin: bankrupt"
    assert book.trade("w", "z", 10, 100).reason == "margin: bankrupt"
    book.refused("margin: bankrupt", "take_over", KEEPER, book.id("z"), 0)
    assert book.must("liquidate_batch", fresh, (book.id("z"),), 0, book.id("fresh"), 2**128).value == 0
    before = book.value("w")
    receipt = book.resolve("z")
    assert (receipt["seized"], receipt["booked"]) == (wad(25), wad(35))
    assert 0 <= before - book.value("w") - wad(25) <= 101, "and a wei of size"


def test_counterexample_5_reductions_lose_nothing_to_strangers(open_book: OpenBook) -> None:
    """Rule 18. Long 10 with E = 1 % of N sells all to its owner's other account at 2 % below: -10 for the fund.

    Refused; at the floor, x - E/|q| = 99, it may close, and what one account loses the other has.
    """
    book = open_book(perp(100, fill_band=20_000))
    for who, money in (("e/1", 50), ("e/2", 5000), ("w", 5000)):
        book.deposit(who, money)
    book.open("e/1", "w", 10, 100)
    book.price(96)
    assert book.value("e/1") == wad(10)
    for price in ("94.1", "94.99"):
        assert book.trade("e/2", "e/1", 10, price).reason == "margin: would be bankrupt"
    assert book.trade("e/2", "e/1", 5, "94.99").reason == "margin: worse than floor price"
    both = book.value("e/1") + book.value("e/2")
    assert book.close("e/1", "e/2", price=wad(95) + 10).ok
    assert 0 <= book.cash("e/1") <= 100
    assert book.value("e/1") + book.value("e/2") == both
    assert book.domain.bad_debt == 0


def gap_book(open_book: OpenBook) -> Book:
    """Long z 10 at 100 with 40 (zero-equity price 96) against w; then the interval is 10 % wide."""
    book = open_book(perp(100, initial=30_000))
    for who, money in (("z", 40), ("w", 5000)):
        book.deposit(who, money)
    book.open("z", "w", 10, 100)
    widen(book, 1000)
    return book


def test_counterexample_6_amounts_are_measured_at_the_index(open_book: OpenBook) -> None:
    """Rule 12. Index 80, kind edge 88, zero-equity price 96, 10 units, fund 100.

    At the kind edge the deficit would be 80, the fund would pay all and winners close at 88. At the index: D = 160,
    the fund pays 100, winners give 20 (price 82), 40 is booked.
    """
    book = gap_book(open_book)
    book.provide(100 + wei(c.BUCKET_RESERVE), 0)
    book.price(80)
    before = book.value("w")
    receipt = book.resolve("z")
    assert receipt["deficit"] == wad(160)
    assert receipt["cover"] == wad(100)
    assert receipt["seized"] == wad(20)
    assert receipt["booked"] == wad(40)
    assert book.events("BandDeleveraged")[0]["quote"] == wad(820)
    assert before - book.value("w") == wad(20)


def test_counterexample_6_between_index_and_kind_edge_all_wait(open_book: OpenBook) -> None:
    """Rule 12. While E_kind >= 0 > E(x) nothing is resolved and the fund takes nothing over."""
    book = gap_book(open_book)
    book.provide(1000, 0)
    book.price(90)
    kind, at_index, _ = book.twin.view("ClearingHouse", "account_equity", book.id("z"))
    assert kind == wad(30) > 0 > at_index == -wad(60)
    book.refused("resolve: not bankrupt", "resolve", KEEPER, book.id("z"), ())
    book.refused("backstop: above threshold", "take_over", KEEPER, book.id("z"), 0)
    book.price("88.2")
    book.refused("margin: insolvent at index", "take_over", KEEPER, book.id("z"), 0)
    assert book.trade("w", "z", 10, "88.2").reason == "margin: would be bankrupt"
    assert book.trade("w", "z", 10, 97).reason == "margin: insolvent at index"
    assert book.cash("fund/1") == wad(1000)


def test_counterexample_7_the_fund_buys_nothing_at_a_stale_edge(open_book: OpenBook) -> None:
    """Rule 16. The fund inherits the whole account for no price, only while it is solvent at the index.

    z (long 10, E = 14, M = 24.35) is inherited: the bucket's value grows by exactly E, z is left flat with nothing.
    """
    book = open_book(perp(100, initial=30_000, backstop=660_000))
    for who, money in (("z", 40), ("w", 5000)):
        book.deposit(who, money)
    book.provide(1000, 0)
    book.open("z", "w", 10, 100)
    book.price("97.4")
    equity, bucket = book.value("z"), book.value("fund/1")
    assert equity == wad(14)
    book.must("take_over", KEEPER, book.id("z"), 0)
    assert book.value("fund/1") == bucket + equity
    assert (book.size("fund/1"), book.size("z"), book.cash("z")) == (wad(10), 0, 0)
    assert book.size("w") == -wad(10)


def test_counterexample_8_the_cap_is_the_lowest_rate(open_book: OpenBook) -> None:
    """Rule 21. With rates that rise with size the bankrupt's own rate (5 %) as a cap breaks small healthy winners.

    =======  =======================  =======================================
    account  position at 109          ADL of half the side at d = 1 %
    =======  =======================  =======================================
    s        short 500 (rate 5 %)     lacks 1400: seized 545 (1 %), 855 booked
    b        long 10, E 13, M 11.85   healthy before and after; d = 5 %: -14
    =======  =======================  =======================================
    """
    book = open_book(perp(100, initial=20_000, maintenance=10_000, depth=1_250_000, penalty=5_000))
    for who, money in (("a", 50_000), ("s", 3100), ("t", 50_000), ("b", 23)):
        book.deposit(who, money)
    book.open("a", "s", 500, 100)
    book.open("a", "t", 500, 100)
    book.rest_at(110)
    # s would be gone at 110: it is not resolved before the market is complete
    book.open("b", "t", 10, 110)
    book.price(109)
    risk = book.system.specs[0].risk
    before = book.value("b")
    assert before == wad(13)
    receipt = book.resolve("s")
    assert (receipt["deficit"], receipt["seized"], receipt["booked"]) == (wad(1400), wad(545), wad(855))
    notional = book.size("b") * 109
    rate = Fraction(risk.maintenance, c.PPM) + Fraction(notional, WAD * risk.depth)
    assert book.value("b") > notional * rate
    assert 0 <= before - book.value("b") - Fraction(wad(10) * 545, 1010) <= 111


def test_counterexample_9_both_shorts_leave_though_their_sizes_round_up(open_book: OpenBook) -> None:
    """Rule 28. Open interest 10, two shorts of 5, ADL of 3: 4 + 4 > 7, so the second could not leave his band.

    In wei and odd: two shorts of 5,000,001, a bankrupt long of 3,000,002. Each leaves to a maker; the second takes
    what is left in the band and the residue stands for the rest.
    """
    book = open_book(perp(100, rank=c.RANK_PROFIT, **TINY))
    for who in "abwm":
        book.deposit(who, 100)
    book.deposit("z", wei(6 * 3_000_002))
    book.open("z", "a", wei(3_000_002), 100)
    book.open("w", "a", wei(1_999_999), 100)
    book.open("w", "b", wei(5_000_001), 100)
    book.price(92)
    book.resolve("z")
    assert book.size("a") == book.size("b") == -3_500_001
    assert book.band("a").oi == 7_000_000
    book.rest_at(92)
    book.open("w", "m", 1, 92)
    assert book.market().residue == 0
    assert book.close("a", "m").ok
    assert book.band("m").oi == WAD + 3_500_001
    band = book.position("b").band
    assert book.side_band(False, band).oi == 3_499_999, "less than b owes"
    assert book.close("b", "m").ok
    assert book.size("a") == book.size("b") == book.side_band(False, band).oi == 0
    assert book.market().residue == 2
    book.advance(c.RESIDENCY_S)
    for who in "ab":
        book.must("release", KEEPER, book.id(who))


def test_counterexample_10_rank_is_not_dodged_in_a_flash(open_book: OpenBook) -> None:
    """Rule 31. Deposit 500, be ranked last, call the ADL, withdraw: saves up to mm·N at no cost.

    The riskiest long a deposits; a safer label is refused in that second and the ADL closes him, not b; nor may he
    withdraw before his residency is over.
    """
    book = open_book(perp(100, rank=c.RANK_LEVERAGE))
    for who, money in (("a", 60), ("b", 400), ("s", 80), ("t", 1000)):
        book.deposit(who, money)
    book.open("a", "s", 10, 100)
    book.open("b", "t", 10, 100)
    assert book.position("a").band > book.position("b").band
    book.price(110)
    book.deposit("a", 500)
    book.refused("rerank: too early", "rerank", book.owner("a"), book.id("a"), 0)
    b = book.value("b")
    receipt = book.resolve("s")
    assert receipt["seized"] == wad(20)
    assert (book.size("a"), book.size("b"), book.value("b")) == (0, wad(10), b)
    assert book.cash("a") == wad(60 + 500 + 100 - 20)
    book.refused("ledger: in residency", "withdraw", book.owner("a"), book.id("a"), wad(1), book.owner("a"))


def test_counterexample_10_who_waits_and_withdraws_is_put_back_by_anybody(open_book: OpenBook) -> None:
    """Rule 31, the slow form: deposit, wait, be ranked last, withdraw. The label stays safe only until anybody reranks.

    b, next in the queue otherwise, does it in the second of the default; a is closed as before.
    """
    book = open_book(perp(100, rank=c.RANK_LEVERAGE))
    for who, money in (("a", 210), ("b", 400), ("s", 80), ("t", 1000)):
        book.deposit(who, money)
    book.open("a", "s", 10, 100)
    book.open("b", "t", 10, 100)
    first = book.position("a").band
    book.deposit("a", 500)
    book.rest_at(100)
    safe = book.must("rerank", book.owner("a"), book.id("a"), 0).value
    assert safe < book.position("b").band < first
    assert book.withdraw("a", 500).ok
    assert book.position("a").band == safe
    book.price(110)
    assert book.must("rerank", book.owner("b"), book.id("a"), 0).value > book.position("b").band
    b = book.value("b")
    assert book.resolve("s")["seized"] == wad(20)
    assert (book.size("a"), book.size("b"), book.value("b")) == (0, wad(10), b)


def test_counterexample_11_a_cross_label_is_stale_until_anybody_reranks(open_book: OpenBook) -> None:
    """Rule 33. e's label in market 0 knows nothing of the fall in market 1 until somebody reranks him.

    The move to the riskier band is at once and by anybody; no account healthy at the index is broken by the ADL that
    follows (checked for all by the invariants).
    """
    book = open_book(perp(100, rank=c.RANK_LEVERAGE), perp(100, name="OTHER"))
    for who, money in (("e", 300), ("b", 120), ("s", 160), ("t", 1000), ("v", 1000)):
        book.deposit(who, money)
    book.open("e", "s", 10, 100)
    book.open("b", "s", 10, 100)
    book.open("e", "v", 10, 100, 1)
    label = book.position("e").band
    assert label < book.position("b").band
    book.price(75, 1)
    assert book.position("e").band == label
    new = book.must("rerank", KEEPER, book.id("e"), 0).value
    assert book.position("e").band == new > book.position("b").band > label
    assert book.size("e") == wad(10)
    book.price(109)
    assert book.resolve("s")["seized"] == wad(20)
    assert book.size("e") == book.size("b") == 0


def test_counterexample_12_labels_at_any_leverage(open_book: OpenBook) -> None:
    """Rule 32. log(bankruptcy price) has no value at leverage up to 1; at 16 per octave 25x to 100x share a band.

    Half and single leverage get the safest band, 0; 25x, 50x and 100x get three bands, riskiest last.
    """
    book = open_book(perp(100, rank=c.RANK_LEVERAGE, initial=10_000, maintenance=5_000, penalty=2_000))
    book.deposit("w", 10_000)
    bands = []
    for who, money in (("half", 200), ("one", 100), ("x25", 4), ("x50", 2), ("x100", 1)):
        book.deposit(who, money)
        book.open(who, "w", 1, 100)
        bands.append(book.position(who).band)
    assert bands[:2] == [0, 0]
    assert 0 < bands[2] < bands[3] < bands[4] <= c.BAND_CENTRE
    assert [book.size(who) for who in ("half", "x100")] == [wad(1), wad(1)]


def test_counterexample_13_two_bankrupts_do_not_seize_from_each_other(open_book: OpenBook) -> None:
    """Rule 25. Long p with E = -200 against short q with E = -100, 100 units at 100 (both lost in another market).

    They are netted at the index: bystanders x and y of the market keep size and value; in all 300 are accounted for.
    """
    book = open_book(perp(100), perp(100, name="OTHER"))
    for who, money in (("p", 1000), ("q", 1100), ("x", 900), ("y", 900), ("m", 10_000)):
        book.deposit(who, money)
    book.open("p", "q", 100, 100)
    book.open("x", "y", 10, 100)
    for who in "pq":
        book.open(who, "m", 20, 100, 1)
    book.price(40, 1)
    before = {who: (book.value(who), book.size(who)) for who in "xy"}
    first = book.resolve("p", "q", "x")
    (netted,) = book.events("Netted")
    assert (netted["size"], netted["quote"]) == (-wad(100), wad(10_000))
    second = book.resolve("q")
    assert first["deficit"] == wad(200)
    assert second["deficit"] == wad(100)
    total = sum(r["seized"] + r["booked"] for r in (first, second))
    assert total == wad(300)
    assert {who: (book.value(who), book.size(who)) for who in "xy"} == before
    assert book.market().oi == wad(10)


def test_counterexample_15_a_deposit_is_not_taxed(open_book: OpenBook) -> None:
    """Rule 6. 200 deposited while a tenth of the claims is bad debt would lose 16.7.

    It waits as plain money, counts as equity at once, and after the cut is 200 still, while the rest lost its share.
    """
    book = open_book(perp(100))
    for who, money in (("a", 800), ("b", 1000), ("z", 50)):
        book.deposit(who, money)
    book.open("a", "z", 10, 100)
    book.price(120)
    debt = book.resolve("z")["booked"]
    _, equity, _ = book.twin.view("ClearingHouse", "account_equity", book.id("a"))
    book.deposit("a", 200)
    assert book.late("a") == wad(200)
    assert book.twin.view("ClearingHouse", "account_equity", book.id("a"))[1] == equity + wad(200)
    gons = book.cash("a")
    book.must("rebase_claims", KEEPER)
    index = book.domain.claim_index
    assert debt == wad(120)
    assert index < c.INDEX_ONE
    assert book.late("a") == wad(200)
    assert book.size("a") == 0
    book.rest_at(120)
    book.open("a", "b", 1, 120)
    assert book.late("a") == 0
    worth = book.value("a") * index / c.INDEX_ONE
    assert 0 <= Fraction(gons * index, c.INDEX_ONE) + wad(200) - worth <= 130


def test_counterexample_16_cut_before_or_after_recognition(open_book: OpenBook) -> None:
    """Rules 1, 7. A hidden deficit of 100 real, a cut of a tenth: 90 is the true deficit, an engine took 100.

    z0 and z1 are bankrupt in two markets. Cut between their receipts, or after both: every claim is the same.
    """
    ends = []
    for early in (True, False):
        with books() as opener:
            book = opener(perp(100), perp(100, name="OTHER"))
            for who, money in (("a", 1000), ("b", 2000), ("z/0", 50), ("z/1", 50)):
                book.deposit(who, money)
            book.open("a", "z/0", 10, 100)
            book.open("b", "z/1", 10, 100, 1)
            book.price(130)
            book.price(115, 1)
            first = book.resolve("z/0")
            if early:
                book.must("rebase_claims", KEEPER)
            second = book.resolve("z/1")
            assert (first["booked"], second["booked"]) == (wad("217.5"), wad("71.25")), "receipts are in gons"
            book.must("rebase_claims", KEEPER)
            index = book.domain.claim_index
            ends.append([Fraction(book.cash(who) * index, c.INDEX_ONE) for who in "ab"])
    for early_end, late_end in zip(*ends, strict=True):
        assert abs(early_end - late_end) <= 2


def test_counterexample_17_each_market_is_covered_by_its_own_bucket(open_book: OpenBook) -> None:
    """Rules 14, 15. One fund, two deficits of 100: whoever is resolved first had the cover.

    Buckets of 100 and 60: each deficit is covered by its own in either order; before the cut the bucket that has
    something left pays for strangers.
    """
    ends = []
    for order in ((0, 1), (1, 0)):
        with books() as opener:
            book = opener(perp(100), perp(100, name="OTHER"))
            reserve = wei(c.BUCKET_RESERVE)
            book.provide(160 + reserve, 0)
            book.provide(60 + reserve, 1)
            for who in "ab":
                book.deposit(who, 1000)
            for market, who in ((0, "a"), (1, "b")):
                book.deposit(f"z/{market}", 100)
                book.open(who, f"z/{market}", 10, 100, market)
                book.price(120, market)
            receipts = {m: book.resolve(f"z/{m}") for m in order}
            assert receipts[0]["cover"] == wad(100)
            assert receipts[1]["cover"] == wad(60)
            assert receipts[0]["seized"] == 0
            assert (receipts[1]["seized"], receipts[1]["booked"]) == (wad(30), wad(10))
            assert book.cash("fund/1") == wad(60) + c.BUCKET_RESERVE
            book.must("rebase_claims", KEEPER)
            assert book.domain.claim_index == c.INDEX_ONE, "the other bucket paid the 10 that were left"
            assert book.cash("fund/1") == wad(50) + c.BUCKET_RESERVE
            ends.append({who: book.value(who, 120) for who in ("a",)})
    assert ends[0] == ends[1]


def test_counterexample_18_no_share_goes_to_a_losing_side(open_book: OpenBook) -> None:
    """Rule 24. z is long 10 in a market that fell to 80 and short 10 in one that fell to 95; E = -10.

    By maintenance alone 5.4 of the 10 would fall to the longs of the second market, who lost themselves and are not
    eligible: bad debt. Weighted by what is eligible the shorts of the first give all 10.
    """
    book = open_book(perp(100, rank=c.RANK_PROFIT), perp(100, name="OTHER", rank=c.RANK_PROFIT))
    for who, money in (("z", 140), ("w", 1000), ("v", 1000)):
        book.deposit(who, money)
    book.open("z", "w", 10, 100)
    book.open("v", "z", 10, 100, 1)
    book.price(80)
    book.price(95, 1)
    loser = book.value("v", market=1)
    receipt = book.resolve("z")
    assert (receipt["deficit"], receipt["seized"], receipt["booked"]) == (wad(10), wad(10), 0)
    assert [e["quote"] for e in book.events("BandDeleveraged")] == [wad(810), wad(950)]
    assert book.cash("v") == loser


def test_counterexample_22_a_frozen_leg_shields_nobody(open_book: OpenBook) -> None:
    """Rule 35. A dust position in a market that freezes blocked the valuation of the whole account.

    It is valued at its last accepted price: withdrawing and opening are refused, liquidation of the live leg is not,
    and a default closes the live leg at once. The frozen leg keeps its share.
    """
    book = open_book(perp(100), perp(100, name="OTHER"))
    for who, money in (("e", 70), ("w", 5000), ("l", 5000)):
        book.deposit(who, money)
    book.open("w", "e", 10, 100)
    book.open("e", "w", "0.01", 100, 1)
    freeze(book, 1)
    book.price("104.6")
    book.advance(c.RESIDENCY_S)
    book.refused("margin: frozen", "withdraw", book.owner("w"), book.id("w"), wad(1), book.owner("w"))
    assert book.trade("w", "e", "0.01", 100, 1).reason == "market: frozen"
    taken = book.must("liquidate", book.owner("l"), book.id("e"), 0, book.id("l"), wad(1)).value
    assert 0 < taken <= wad(1)
    size = -book.size("e")
    book.price("108.5")
    value = book.value("e") + wad("0.01") * 100
    assert value < 0
    receipt = book.resolve("e")
    assert receipt["deficit"] == -(value // 1)
    assert book.events("LegClosed")[0]["size"] == size
    assert (book.size("e"), book.size("e", 1)) == (0, wad("0.01"))
    frozen_share = receipt["deficit"] - receipt["seized"] - receipt["booked"]
    assert 0 < frozen_share < receipt["deficit"] // 100
    assert book.domain.bad_debt == receipt["booked"] == 0


def test_counterexample_23_the_fill_band_lies_around_the_interval(open_book: OpenBook) -> None:
    """Rule 19. A band of 2 % around a lagging mark of 95 forbids all honest trade at 80.

    With [72, 88] accepted around 80, every price from 70.56 to 89.76 may be traded, and nothing beyond.
    """
    book = open_book(perp(100, fill_band=20_000))
    for who in "ab":
        book.deposit(who, 5000)
    book.open("a", "b", 10, 100)
    widen(book, 1000)
    book.price(80)
    assert book.trade("b", "a", 1, "70.55").reason == "fill: price below band"
    assert book.trade("b", "a", 1, "89.77").reason == "fill: price above band"
    for price in ("70.56", 80, "89.76"):
        assert book.trade("b", "a", 1, price).ok
    assert book.size("a") == wad(7)


def test_counterexample_24_primitives_have_no_door(open_book: OpenBook) -> None:
    """Rule 44. ``transfer`` could take from a flat account, ``fill`` expose one, ``deleverage_band`` move any money.

    Transfers need the owner, fills a filler; closing a band and writing off cannot be called from outside at all.
    """
    book = open_book(perp(100))
    for who in ("a", "a/1", "b"):
        book.deposit(who, 100)
    thief = book.owner("b")
    book.refused("ledger: not the owner", "transfer", thief, book.id("a"), book.id("b"), wad(1))
    book.refused("ledger: not the owner", "transfer", thief, book.id("b"), book.id("a"), wad(1))
    book.must("set_operator", book.owner("a"), thief, True)
    book.refused("ledger: not the owner", "transfer", thief, book.id("a"), book.id("a/1"), wad(1))
    book.refused("ledger: not the owner", "withdraw", thief, book.id("a"), wad(1), thief)
    book.refused("ledger: not a filler", "fill", thief, 0, book.id("b"), book.id("a"), wad(1), wad(100), 0)
    names = {
        entry["name"]
        for contract in ("ClearingHouse", *DELEGATES)
        for entry in artifact(contract).abi
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    assert "resolve" in names
    assert not {name for name in names if "deleverage" in name or "write" in name or "shift" in name}
    assert book.cash("a") == wad(100)


def test_counterexample_26_a_partial_liquidation_heals_with_rising_rates(open_book: OpenBook) -> None:
    """Rule 20. The closed form for the size flips its sign when the fee reaches k·mm and forgets that rates rise.

    The part taken is the least 1/65536 of the position after which E' >= 1.2·M' at rates of the rest; a penalty of
    the maintenance rate is no configuration.
    """
    spec = perp(100, depth=40_000)
    book = open_book(spec)
    for who, money in (("a", 110), ("w", 5000), ("l", 5000)):
        book.deposit(who, money)
    book.open("a", "w", 10, 100)
    book.price("93.5")
    equity = book.value("a")
    assert equity == wad(45)
    taken = book.must("liquidate", book.owner("l"), book.id("a"), 0, book.id("l"), 2**128).value

    def ratio_after(part: Fraction) -> Fraction:
        rest = (wad(10) - part) * Fraction("93.5")
        rate = Fraction(spec.risk.maintenance, c.PPM) + rest / (WAD * spec.risk.depth)
        return (equity - part * Fraction("93.5") * Fraction(spec.risk.penalty, c.PPM)) / (rest * rate)

    step = Fraction(wad(10), 65536)
    assert ratio_after(Fraction(taken)) >= Fraction(12, 10) > ratio_after(taken - step)
    paid = equity - book.value("a")
    assert 0 <= taken * Fraction("93.5") * Fraction(spec.risk.penalty, c.PPM) - paid < 1
    bad = replace(spec.risk, penalty=spec.risk.maintenance)
    book.refused("market: penalty", "set_risk", GOVERNOR, 0, bad.pack())


def test_counterexample_27_funding_of_the_residue_keeps_the_counter(open_book: OpenBook) -> None:
    """Rules 2, 29. Shorts' ceilings and the residue would make funding paid differ from funding received.

    After ADLs of both sides with odd sizes, hours of funding of either sign: X does not move by a wei, and the pot
    covers all that is pending up to the dust that the bucket's reserve backs.
    """
    book = open_book(perp(100, **TINY))
    for who in "abw":
        book.deposit(who, 1000)
    book.open("a", "w", wei(7 * U), 100)
    book.open("w", "b", wei(17 * U), 100)
    for i in range(4):
        book.squeeze(str(i), 2 * U + 13 * i, is_long=i % 2 == 0)
    book.rest_at(100)
    assert book.market().oi != sum(max(0, book.size(who)) for who in ("a", "b", "w", "n0", "n1", "n2", "n3"))
    book.deposit("x", 1000)
    book.deposit("y", 1000)
    names = ["a", "b", "w", "x", "y", "n0", "n1", "n2", "n3"]
    book.open("x", "y", 1, 105)
    exposed, worst = book.domain.exposed, 0
    for premium in (105, 105, 105, 95, 95, 95):
        book.advance(3500)
        book.price(100)
        book.open("x", "y", 1, premium)
        assert book.domain.exposed == exposed
        worst = min(worst, book.market().pot - sum(book.leg(who).pending for who in names))
    assert abs(book.market().funding) > WAD // 10
    assert worst >= -100
