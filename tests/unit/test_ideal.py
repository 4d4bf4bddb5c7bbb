"""The exact model against closed examples, laws that hold without rounding, and the counterexamples of the rules."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction as Q

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from python_ref.constants import RESIDENCY_S
from python_ref.ideal import IdealLedger, house
from python_ref.world import Revert

GAP = Q(25, 1000)
"""Maintenance rate of the examples: 2.5 %."""


def book(entries: dict[str, tuple[int | Q, int | Q]], price: int | Q = 100) -> IdealLedger:
    """A ledger whose exposed accounts hold (deposit, signed size opened at ``price``); sizes must cancel."""
    ledger = IdealLedger()
    for name, (money, size) in entries.items():
        ledger.deposit(name, money)
        ledger.expose(name)
        if size:
            ledger.fill(0, name, "desk", size, price)
    assert ledger.size("desk", 0) == 0, "the example's sizes do not cancel"
    ledger.check()
    return ledger


def random_book(seed: int, n: int = 8, price: int = 100) -> IdealLedger:
    """Accounts of leverage up to 50 on both sides of market 0."""
    rng = random.Random(seed)
    sizes = [rng.randrange(1, 50) for _ in range(n)]
    entries: dict[str, tuple[int | Q, int | Q]] = {}
    for i, size in enumerate(sizes):
        entries[f"long{i}"] = (Q(size * price, rng.randrange(2, 40)), size)
    for i, size in enumerate(rng.sample(sizes, n)):
        entries[f"short{i}"] = (Q(size * price, rng.randrange(2, 40)), -size)
    return book(entries, price)


def balances(ledger: IdealLedger) -> dict[str, tuple[Q, Q]]:
    """Cash and size in market 0 of every named account."""
    return {str(a): (ledger.cash(a), ledger.size(a, 0)) for a in ledger.accounts}


def reason_of(call: Callable[[], object]) -> str:
    """The reason with which ``call`` is refused."""
    with pytest.raises(Revert) as refused:
        call()
    return refused.value.reason


# ---------------------------------------------------------------- the law of a band


def worked_example() -> IdealLedger:
    """Longs a 60, b 40, shorts s 30, t 70 at 100; then funding of 0.5 per unit from longs to shorts."""
    ledger = book({"a": (2000, 60), "b": (600, 40), "s": (330, -30), "t": (3000, -70)})
    ledger.accrue_funding(0, Q(1, 2))
    return ledger


def test_worked_example_of_the_research() -> None:
    ledger = worked_example()
    assert ledger.equity("s", {0: 112}) == -15
    ledger.deleverage_band(0, True, ["a", "b"], 30, 3345, "s")
    assert (ledger.cash("a"), ledger.size("a", 0)) == (-2023, 42)
    assert (ledger.cash("b"), ledger.size("b", 0)) == (-2082, 28)
    assert (ledger.cash("s"), ledger.size("s", 0)) == (0, 0)
    assert ledger.size("t", 0) == -70
    assert ledger.equity("a", {0: 112}) == 2681
    assert ledger.equity("b", {0: 112}) == 1054
    ledger.check()


def test_worked_example_then_a_full_wipe() -> None:
    ledger = worked_example()
    ledger.deleverage_band(0, True, ["a", "b"], 30, 3345, "s")
    ledger.deleverage_band(0, True, ["a", "b"], 70, ledger.cash("t"), "t")
    assert all(not state.sizes for state in ledger.accounts.values())
    assert ledger.cash("a") + ledger.cash("b") == ledger.vault
    ledger.fill(0, "a", "b", 5, 112)
    ledger.check()


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 40), st.integers(60, 140))
@settings(max_examples=60, deadline=None)
def test_merges_of_one_side_commute(seed: int, first: int, second: int, price: int) -> None:
    results = []
    for order in ((0, 1), (1, 0)):
        ledger = random_book(seed)
        shorts = sorted(ledger.members(0, False), key=str)[:2]
        sizes = [min(first, -ledger.size(shorts[0], 0)), min(second, -ledger.size(shorts[1], 0))]
        longs = ledger.members(0, True)
        for i in order:
            ledger.deleverage_band(0, True, longs, sizes[i], sizes[i] * Q(price + i, 1), shorts[i])
        ledger.check()
        results.append(balances(ledger))
    # the quotes are fixed amounts here, so the second pro rata runs over proportionally smaller sizes
    assert results[0] == results[1]


@given(st.integers(0, 10**6), st.integers(1, 99), st.integers(50, 150), st.integers(50, 150))
@settings(max_examples=60, deadline=None)
def test_equity_after_a_cut_is_the_blend_at_the_close_price(seed: int, percent: int, close: int, price: int) -> None:
    ledger = random_book(seed)
    for is_long in (True, False):
        members = [a for a in ledger.members(0, is_long) if a != "desk"]
        oi = ledger.open_interest(0, is_long)
        kept = 1 - Q(percent, 100)
        before = {a: (ledger.equity(a, {0: price}), ledger.equity(a, {0: close})) for a in members}
        ledger.deleverage_band(0, is_long, members, oi * (1 - kept), oi * (1 - kept) * close, "desk")
        for a, (at_price, at_close) in before.items():
            assert ledger.equity(a, {0: price}) == kept * at_price + (1 - kept) * at_close
    ledger.check()


def test_a_band_gives_no_more_than_it_has() -> None:
    ledger = worked_example()
    assert reason_of(lambda: ledger.deleverage_band(0, True, ["b"], 41, 4100, "s")) == "ideal: size exceeds the band"


@given(st.integers(0, 10**6), st.integers(101, 160))
@settings(max_examples=150, deadline=None)
def test_the_gap_cap_protects_every_healthy_account(seed: int, index: int) -> None:
    ledger = random_book(seed)
    prices, rates = {0: Q(index)}, {0: GAP}
    for account in sorted(ledger.accounts, key=str):
        if ledger.size(account, 0) >= 0 or ledger.equity(account, prices) >= 0:
            continue
        healthy = {a for a in ledger.accounts if ledger.equity(a, prices) >= ledger.maintenance(a, prices, rates)}
        receipt = ledger.default(account, 0, index, GAP)
        assert receipt.seized + receipt.cover + receipt.booked == receipt.deficit
        for a in healthy:
            assert ledger.equity(a, prices) >= ledger.maintenance(a, prices, rates), f"{a} was broken"
        ledger.check()


def test_a_gap_above_the_lowest_rate_breaks_a_healthy_account() -> None:
    ledger = book({"winner": (1, 10), "other": (1000, 40), "bust": (40, -25), "rest": (1000, -25)})
    prices, rates = {0: Q(104)}, {0: GAP}
    assert ledger.equity("winner", prices) >= ledger.maintenance("winner", prices, rates)
    # 60 of deficit on 25 units: closing half of the side costs the winner 12 and frees 13 of maintenance
    capped = ledger.default("bust", 0, 104, GAP)
    assert capped.seized == 60
    assert ledger.equity("winner", prices) >= ledger.maintenance("winner", prices, rates)
    # eight times the cap breaks him
    again = book({"winner": (1, 10), "other": (1000, 40), "bust": (-400, -25), "rest": (1000, -25)})
    again.default("bust", 0, 104, 8 * GAP)
    assert again.equity("winner", prices) < again.maintenance("winner", prices, rates)


# ---------------------------------------------------------------- funding, residue, boundary


@given(st.integers(0, 10**6), st.lists(st.integers(-500, 500), max_size=6))
@settings(max_examples=40, deadline=None)
def test_funding_is_zero_sum_and_adds_up(seed: int, moves: list[int]) -> None:
    one, many = random_book(seed), random_book(seed)
    for move in moves:
        many.accrue_funding(0, Q(move, 100))
        many.check()
    one.accrue_funding(0, Q(sum(moves), 100))
    assert balances(one) == balances(many)


def test_funding_of_a_premium_over_eight_hours_is_the_premium() -> None:
    ledger = worked_example()
    assert ledger.accrue(0, Q(1, 100), 200, 28_800) == 2
    assert ledger.accrue(0, Q(1, 100), 200, 14_400) == 1


def test_liquidation_pays_the_fee_out_of_the_takers_pocket() -> None:
    ledger = book({"weak": (500, 10), "short": (500, -10)})
    ledger.deposit("taker", 900)
    ledger.liquidate(0, "weak", "taker", 4, 380, 6)
    assert (ledger.cash("weak"), ledger.size("weak", 0)) == (-120, 6)
    assert (ledger.cash("taker"), ledger.size("taker", 0)) == (514, 4)
    ledger.liquidate(0, "short", "taker", -1, 105, 2)
    assert (ledger.cash("short"), ledger.size("short", 0)) == (1395, -9)
    assert (ledger.cash("taker"), ledger.size("taker", 0)) == (617, 3)
    assert ledger.fees == {0: 8}
    ledger.sweep_fees(0, "bucket", 8)
    ledger.check()


def test_takeover_moves_cash_and_sizes_and_reads_no_price() -> None:
    ledger = book({"weak": (500, 10), "short": (500, -10)})
    ledger.deposit("bucket", 50)
    ledger.inherit("weak", "bucket")
    assert (ledger.cash("weak"), ledger.size("weak", 0)) == (0, 0)
    assert (ledger.cash("bucket"), ledger.size("bucket", 0)) == (-450, 10)
    ledger.check()


def test_rounding_leaves_a_long_residue_on_both_sides() -> None:
    ledger = book({"l": (500, 10), "s1": (500, -5), "s2": (500, -5)})
    for short in ("s1", "s2"):
        ledger.set_band(short, 0, False, 7)
    ledger.set_band("l", 0, True, 9)
    ledger.deleverage_band(0, False, ["s1", "s2"], Q(3), 300, "l")
    assert ledger.round_off("s1", 0, -4) == Q(1, 2)
    assert ledger.round_off("s2", 0, -4) == Q(1, 2)
    assert ledger.size(house(0, False, 7), 0) == 1
    assert ledger.residue(0) == 1
    assert set(ledger.members(0, False, 7)) == {"s1", "s2", house(0, False, 7)}
    # the band owes 7 with the crumb counted in; a ledger that still books 8 keeps the crumb outside
    assert ledger.align_band(0, False, 7, 8) == -1
    assert ledger.residue(0) == 1
    ledger.check()


# ---------------------------------------------------------------- rebase


def indebted(seed: int) -> IdealLedger:
    """A random book with an idle account, one default behind it and bad debt."""
    ledger = random_book(seed)
    ledger.deposit("flat", 1000)
    worst = min(ledger.accounts, key=lambda a: ledger.equity(a, {0: 100}) if ledger.size(a, 0) < 0 else Q(10**9))
    ledger.cover(worst, "long0", ledger.equity(worst, {0: 100}) + 5)
    ledger.default(worst, 0, 101, 0)
    assert ledger.bad_debt > 0
    return ledger


@given(st.integers(0, 10**6), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_rebase_leaves_equity_over_notional_at_every_price(seed: int, price: int) -> None:
    ledger = indebted(seed)
    at = {0: Q(price)}
    before = {a: (ledger.equity(a, at), ledger.notional(a, at)) for a in ledger.accounts}
    factor = ledger.rebase()
    assert 0 < factor < 1
    for a, (equity, notional) in before.items():
        if a != "flat":
            assert ledger.equity(a, at) == factor * equity
            assert ledger.notional(a, at) == factor * notional
    assert ledger.cash("flat") == 1000
    assert ledger.claims() == ledger.vault
    ledger.check()


def test_a_rebase_without_enough_claims_is_refused() -> None:
    ledger = book({"winner": (10, 10), "bust": (10, -10)})
    ledger.default("bust", 0, 200, 0)
    ledger.accounts["winner"].exposed = False
    assert reason_of(ledger.rebase) == "rebase: settlement needed"


@given(st.integers(0, 10**6), st.integers(112, 150))
@settings(max_examples=60, deadline=None)
def test_cutting_before_or_after_a_hidden_bankrupt_is_the_same(seed: int, index: int) -> None:
    """INV-18: with X counting the hidden negative equity, the order of cut and recognition is immaterial."""
    results = []
    for cut_first in (True, False):
        ledger = indebted(seed)
        hidden = [
            a for a in sorted(ledger.accounts, key=str) if ledger.size(a, 0) < 0 and ledger.equity(a, {0: index}) < 0
        ]
        assume(hidden)
        if cut_first:
            ledger.rebase()
        booked = sum(ledger.default(account, 0, index, GAP).booked for account in hidden)
        assume(booked > 0)
        ledger.rebase()
        ledger.check()
        results.append(balances(ledger))
    assert results[0] == results[1]


# ---------------------------------------------------------------- the rules' counterexamples


def test_rules_3_1_a_dust_fill_cannot_drag_a_flat_whale_under_the_cut() -> None:
    ledger = book({"attacker": (500_000, 1), "others": (1_500_000, -1)})
    ledger.deposit("whale", 1_000_000)
    ledger.bad_debt += 300_000
    ledger.vault -= 300_000
    refused = reason_of(lambda: ledger.fill(0, "attacker", "whale", 10, 100))
    assert refused == "ledger: closed to newcomers"
    before = ledger.equity("attacker", {0: 100})
    ledger.rebase()
    assert ledger.cash("whale") == 1_000_000
    assert before - ledger.equity("attacker", {0: 100}) == 75_000


def test_rules_3_2_a_gap_beyond_both_margins_is_billed_to_the_domain() -> None:
    ledger = book({"winner": (1000, 1), "bust": (5, -1)})
    receipt = ledger.default("bust", 0, 115, GAP)
    assert receipt.deficit == 10
    assert receipt.seized == Q(23, 8)
    assert receipt.booked == Q(57, 8)


def exit_race() -> IdealLedger:
    """A long 100 against an insolvent B at 112; A sells all to C."""
    ledger = book({"A": (500, 100), "B": (500, -100)})
    ledger.deposit("C", 560)
    ledger.now = 1000
    ledger.fill(0, "C", "A", 100, 112)
    return ledger


def test_rules_3_3_exit_then_recognise_would_claim_more_than_the_vault() -> None:
    ledger = exit_race()
    assert (ledger.cash("A"), ledger.vault) == (1700, 1560)
    ledger.now += RESIDENCY_S - 1
    assert reason_of(lambda: ledger.release("A")) == "ideal: residency"
    ledger.accounts["A"].exposed = False
    assert ledger.exposed_cash() == -140
    ledger.default("B", 0, 112, GAP)
    assert ledger.bad_debt / ledger.exposed_cash() == Q(3, 2)
    assert reason_of(ledger.rebase) == "rebase: settlement needed"


def test_rules_3_3_residency_lets_the_leaver_pay_his_share() -> None:
    ledger = exit_race()
    ledger.default("B", 0, 112, GAP)
    ledger.now += RESIDENCY_S
    assert reason_of(lambda: ledger.release("A")) == "ideal: exits are locked"
    assert ledger.rebase() == Q(1560, 1980)
    ledger.release("A")
    assert int(ledger.cash("A")) == 1339
    assert int(ledger.cash("C")) == 220
    assert ledger.cash("A") + ledger.cash("C") == 1560
    ledger.withdraw("A", ledger.cash("A"))
    ledger.check()


def test_rules_3_3_leaving_between_cut_and_recognition_shifts_the_loss() -> None:
    outcomes = []
    for leaves in (True, False):
        ledger = IdealLedger()
        for name, money in (("leaver", 300), ("rest", 700), ("hidden", 0)):
            ledger.deposit(name, money)
            ledger.expose(name)
        ledger.accounts["hidden"].cash -= 100
        ledger.bad_debt += 50
        ledger.vault -= 150
        ledger.rebase()
        if leaves:
            ledger.accounts["leaver"].exposed = False
        ledger.default("hidden", 0, 1, 0)
        ledger.rebase()
        ledger.check()
        outcomes.append((ledger.cash("leaver"), ledger.cash("rest")))
    assert outcomes[0] == (Q(850, 3), Q(1700, 3))
    assert outcomes[1] == (255, 595)


def test_rules_3_4_write_off_needs_a_receipt_and_a_flat_account() -> None:
    ledger = book({"winner": (500, 10), "bust": (60, -10)})
    assert reason_of(lambda: ledger.write_off("bust")) == "ideal: no receipt"
    ledger.open_receipt("bust")
    assert reason_of(lambda: ledger.write_off("bust")) == "ideal: not flat"
    ledger.close_receipt("bust")
    # a bankrupt taken over at the clean price would leave all 60 to the fund; ADL takes 25 from the winners
    assert ledger.default("bust", 0, 112, GAP).seized == 28


def test_rules_3_5_a_reduction_below_the_floor_leaves_a_loss_to_the_fund() -> None:
    for price, left in ((Q(98), -10), (Q(99), 0)):
        ledger = book({"long": (10, 10), "own": (500, -10)})
        assert ledger.equity("long", {0: 100}) == 10
        assert ledger.equity("own", {0: 100}) == 500
        ledger.fill(0, "own", "long", 10, price)
        assert ledger.equity("long", {0: 100}) == left
        assert ledger.equity("own", {0: 100}) == 510 - left


def test_rules_3_6_the_reference_price_decides_who_pays() -> None:
    outcomes = {}
    for name, x in (("mark", 95), ("index", 80)):
        ledger = book({"bust": (40, 10), "winner": (500, -10)})
        ledger.deposit("fund", 100)
        outcomes[name] = ledger.default("bust", 0, x, GAP, payer="fund", available=100)
    assert (outcomes["mark"].deficit, outcomes["mark"].cover, outcomes["mark"].price) == (10, 10, 95)
    at_index = outcomes["index"]
    assert (at_index.deficit, at_index.cover, at_index.seized, at_index.booked) == (160, 100, 20, 40)
    assert at_index.price == 82


def test_rules_3_8_the_cap_is_the_lowest_rate_not_the_accounts_own() -> None:
    outcomes = []
    for d in (Q(3, 100), Q(1, 100)):
        ledger = book({"big": (600, 500), "far": (10**6, -500)})
        quote = 250 * 100 * (1 - d)
        ledger.deleverage_band(0, True, ["big"], 250, quote, "far")
        outcomes.append(ledger.equity("big", {0: 100}))
    assert outcomes == [-150, 350]
    assert outcomes[1] >= ledger.maintenance("big", {0: 100}, {0: Q(1, 100)})


def test_rules_3_9_shorts_rounded_up_can_all_leave() -> None:
    ledger = book({"l": (5000, 10), "s1": (500, -5), "s2": (500, -5)})
    ledger.set_band("s1", 0, False, 0)
    ledger.set_band("s2", 0, False, 0)
    ledger.deleverage_band(0, False, ["s1", "s2"], 3, 300, "l")
    for short in ("s1", "s2"):
        ledger.fill(0, short, "l", 4, 100)
        ledger.round_off(short, 0, 0)
    assert ledger.size("l", 0) == -1
    assert ledger.residue(0) == 1
    ledger.check()


def test_rules_3_13_netting_bankrupts_first_seizes_from_no_bankrupt() -> None:
    def both() -> IdealLedger:
        return book({"long": (-200, 100), "short": (-100, -100)})

    ledger = both()
    direct = ledger.default("long", 0, 100, GAP)
    assert (direct.seized, ledger.equity("short", {0: 100})) == (200, -300)
    ledger = both()
    ledger.move(0, "long", "short", 100, 100 * 100)
    receipts = [ledger.default(a, 0, 100, GAP) for a in ("long", "short")]
    assert [r.seized for r in receipts] == [0, 0]
    assert ledger.bad_debt == 300
    ledger.check()


def test_rules_3_15_a_late_deposit_is_not_taxed() -> None:
    outcomes = []
    for protected in (True, False):
        ledger = book({"a": (400, 1), "b": (600, -1)})
        ledger.bad_debt += 100
        ledger.vault -= 100
        before = ledger.equity("a", {0: 100})
        ledger.deposit("a", 200)
        if not protected:
            ledger.fold_late("a")
        assert ledger.equity("a", {0: 100}) == before + 200
        factor = ledger.rebase()
        outcomes.append(ledger.equity("a", {0: 100}) - before * factor)
        ledger.check()
    assert outcomes == [200, 200 - Q(200, 12)]


def test_rules_3_16_no_rebase_while_a_receipt_is_open() -> None:
    ledger = book({"a": (900, 1), "bust": (-100, -1), "c": (200, 0)})
    ledger.bad_debt += 100
    ledger.vault -= 100
    ledger.open_receipt("bust")
    deficit = -ledger.equity("bust", {0: 100})
    assert reason_of(ledger.rebase) == "ideal: receipt open"
    ledger.close_receipt("bust")
    assert ledger.rebase() == Q(9, 10)
    # what the receipt would have gone on to take is a tenth too much
    assert -ledger.equity("bust", {0: 100}) == deficit * Q(9, 10) == 90


def test_rules_3_21_settlement_pays_out_of_the_sum_of_positives() -> None:
    ledger = IdealLedger()
    for name, money in (("x", 100), ("y", 50), ("z", 0)):
        ledger.deposit(name, money)
        ledger.expose(name)
    ledger.accounts["z"].cash -= 50
    ledger.vault -= 50
    ledger.check()
    paid = ledger.settlement_payouts({0: 1})
    assert (paid["x"], paid["y"], paid["z"]) == (Q(200, 3), Q(100, 3), 0)
    assert sum(paid.values()) == ledger.vault
    # who is paid first makes no difference: the factor was fixed by counting
    ledger.deposit("flat", 40)
    again = ledger.settlement_payouts({0: 1})
    assert again["flat"] == 40
    assert again["x"] == paid["x"]
