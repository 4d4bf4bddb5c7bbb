"""``rebase_claims`` and ``repay_bad_debt`` (SPEC §9, §10)."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from python_ref import constants as c
from python_ref.invariants import Snapshot, inv_12_rebase_leaves_ratios
from scripts.system import GOVERNOR, KEEPER, LIMITS, RISK, WAD, MarketSpec, System, actor
from tests import books
from tests.books import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    ceil_div,
    domain,
    event,
    events,
    exposure,
    leg,
    market_words,
    move,
    ok,
    position,
    prices,
    refused,
    word,
)

PRICE = 1_000 * WAD
NO_FEES = replace(RISK, taker_fee=0)
STEEP = replace(RISK, taker_fee=0, depth=10_000_000)

deployed = books.deployed_fixture(
    MarketSpec("ETH", PRICE, risk=NO_FEES),
    MarketSpec("OTHER", PRICE, risk=STEEP, limits=replace(LIMITS, rank=c.RANK_PROFIT)),
)
system = books.system_fixture()

A, B, C, D = ALICE.account(), BOB.account(), CAROL.account(), DAVE.account()
LP = actor("provider")
SIZE = 100 * WAD


def trade(s: System, who: bytes, other: bytes, change: int, market: int = 0) -> None:
    """``who``'s position changes by signed ``change`` at the index."""
    buyer, seller = (who, other) if change > 0 else (other, who)
    ok(s.trade(market, buyer, seller, abs(change), prices(s, market).index))


def bad_debt(s: System, per_mille: int = 60, rich: int = 10**5 * WAD) -> int:
    """Alice defaults in market 0 beyond the gap cap; the bad debt. Bob and Carol stand in both markets."""
    books.rich(s, BOB, CAROL, amount=rich)
    books.fund(s, ALICE, 2_500 * WAD)
    trade(s, C, B, WAD)
    trade(s, C, B, 3 * WAD, 1)
    trade(s, A, B, SIZE)
    move(s, 0, PRICE * (1_000 - per_mille) // 1_000)
    s.set_price(1, PRICE)
    ok(s.call("resolve", KEEPER, A, ()))
    assert domain(s).bad_debt > 0
    return domain(s).bad_debt


def give_bucket(s: System, market: int, amount: int) -> None:
    """Move ``amount`` into a bucket."""
    ok(s.provide(LP.address, amount))
    ok(s.twin.call("BackstopFund", "set_cap", GOVERNOR, market, amount))
    ok(s.twin.call("BackstopFund", "top_up", DAVE.address, market, amount))


def rebase(s: System) -> books.Outcome:
    """Rebase, and check INV-12."""
    before = Snapshot(s.twin.world)
    outcome = s.call("rebase_claims", KEEPER)
    if outcome.ok:
        log = outcome.events
        inv_12_rebase_leaves_ratios(before, Snapshot(s.twin.world), log)  # type: ignore[arg-type]
    return outcome


def test_rebase__index_and_counters(system: System) -> None:
    debt = bad_debt(system)
    before = domain(system)
    outcome = ok(rebase(system))
    after = domain(system)
    exact = c.INDEX_ONE * (before.exposed - debt) // before.exposed
    assert (after.claim_index, after.bad_debt, after.claim_epoch) == (exact, 0, 1)
    assert (after.exposed, after.exempt) == (before.exposed, before.exempt)
    assert event(outcome, "Rebased") == {
        "epoch": 1,
        "index_before": c.INDEX_ONE,
        "index_after": exact,
        "bad_debt": debt,
        "exposed": before.exposed,
    }
    assert system.twin.view("ClearingHouse", "claim_epoch") == 1


def test_rebase__a_second_one_multiplies(system: System) -> None:
    bad_debt(system)
    ok(rebase(system))
    first = domain(system).claim_index
    books.fund(system, DAVE, 2_500 * WAD)
    trade(system, D, B, SIZE)
    move(system, 0, PRICE * 880 // 1_000)
    system.set_price(1, PRICE)
    ok(system.call("resolve", KEEPER, D, ()))
    d = domain(system)
    assert d.bad_debt > 0
    ok(rebase(system))
    assert domain(system).claim_index == first * (d.exposed - d.bad_debt) // d.exposed
    assert domain(system).claim_epoch == 2


@pytest.mark.parametrize("account", [B, C])
def test_rebase__ratios_stay(system: System, account: bytes) -> None:
    """Equity over notional is the same number; equity over maintenance does not fall, where a slope is, it rises."""
    bad_debt(system)
    before, real = exposure(system, account), system.call("account_equity", KEEPER, account).value
    ok(rebase(system))
    after = exposure(system, account)
    assert (after.e_kind, after.e_index, after.e_credit) == (before.e_kind, before.e_index, before.e_credit)
    assert after.n_credit == before.n_credit
    assert Fraction(after.e_kind, after.m_kind) >= Fraction(before.e_kind, before.m_kind)
    assert after.m_kind < before.m_kind, "the slope of market 1 is by real notional"
    index = domain(system).claim_index
    now = system.call("account_equity", KEEPER, account).value
    for old, new in zip(real, now, strict=True):
        assert new == old * index // c.INDEX_ONE


def test_rebase__exempt_accounts_stay(system: System) -> None:
    books.fund(system, DAVE, 777)
    bad_debt(system)
    raw = system.twin.view("ClearingHouse", "load_account", D)
    ok(rebase(system))
    assert system.twin.view("ClearingHouse", "load_account", D) == raw
    assert system.call("account_equity", KEEPER, D).value == (777, 777, 777)


def test_rebase__no_bad_debt(system: System) -> None:
    refused(rebase(system), "rebase: no bad debt")
    bad_debt(system)
    ok(rebase(system))
    refused(rebase(system), "rebase: no bad debt")


# ---- buckets first ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_rebase__buckets_pay_first(system: System, spare: int) -> None:
    """A bucket of another market pays what it can spare; only the rest is cut. Two buckets in market order."""
    mark = system.twin.snapshot()
    debt = bad_debt(system)
    system.twin.revert(mark)
    give_bucket(system, 1, debt + spare + c.BUCKET_RESERVE)
    assert bad_debt(system) == debt, "the bucket of market 1 does not cover market 0"
    exposed = domain(system).exposed
    outcome = ok(rebase(system))
    paid = min(debt, debt + spare)
    assert event(outcome, "BadDebtRepaid") == {"payer": system.bucket(1), "units": 0, "amount": paid}
    assert word(system, system.bucket(1)).cash == c.BUCKET_RESERVE + spare + debt - paid
    assert (domain(system).bad_debt, domain(system).exposed) == (0, exposed - paid)
    assert domain(system).claim_epoch == (1 if spare < 0 else 0)
    assert len(events(outcome, "Rebased")) == (1 if spare < 0 else 0)
    if spare < 0:
        assert domain(system).claim_index == c.INDEX_ONE * (exposed - paid - 1) // (exposed - paid)
    else:
        assert domain(system).claim_index == c.INDEX_ONE


def test_rebase__bucket_keeps_its_reserve(system: System) -> None:
    give_bucket(system, 1, c.BUCKET_RESERVE)
    bad_debt(system)
    assert events(ok(rebase(system)), "BadDebtRepaid") == []
    assert word(system, system.bucket(1)).cash == c.BUCKET_RESERVE


def test_rebase__bucket_with_inventory_pays_what_its_margin_leaves(system: System) -> None:
    give_bucket(system, 1, 5_000 * WAD)
    books.rich(system, BOB, amount=10**5 * WAD)
    books.fund(system, DAVE, 1_300 * WAD)
    trade(system, D, B, 50 * WAD, 1)
    move(system, 1, PRICE * 978 // 1_000)
    system.set_price(0, PRICE)
    ok(system.call("take_over", KEEPER, D, 1))
    bucket = system.bucket(1)
    books.fund(system, ALICE, 2_500 * WAD)
    trade(system, A, B, SIZE)
    move(system, 0, PRICE * 800 // 1_000)
    system.set_price(1, PRICE * 978 // 1_000)
    ok(system.call("resolve", KEEPER, A, ()))
    r = exposure(system, bucket)
    available = (r.e_credit - r.im_credit) // WAD - c.BUCKET_RESERVE
    assert 0 < available < domain(system).bad_debt
    assert event(ok(rebase(system)), "BadDebtRepaid")["amount"] == available


# ---- when nothing is left to cut -------------------------------------------------------------------


def test_rebase__settlement_needed_below_the_least_index(system: System) -> None:
    """A cut to less than a thousandth is no rebase any more (rule 8): to the gon, steered by a gift."""
    for who in (ALICE, BOB):
        books.fund(system, who, 22 * WAD)
    trade(system, B, A, WAD)
    move(system, 0, 100 * PRICE)
    ok(system.call("resolve", KEEPER, A, ()))
    d = domain(system)
    assert d.exposed > d.bad_debt
    least = ceil_div(d.exposed * c.MIN_CLAIM_INDEX, c.INDEX_ONE)
    assert d.exposed - d.bad_debt < least
    refused(rebase(system), "rebase: settlement needed")
    gift = least - (d.exposed - d.bad_debt)
    books.fund(system, DAVE, gift)
    ok(system.call("repay_bad_debt", DAVE.address, D, gift - 1))
    refused(rebase(system), "rebase: settlement needed")
    ok(system.call("repay_bad_debt", DAVE.address, D, 1))
    ok(rebase(system))
    assert c.MIN_CLAIM_INDEX <= domain(system).claim_index <= c.MIN_CLAIM_INDEX + c.MIN_CLAIM_INDEX // 10**15
    # and no further: the next loss, however small, cannot be cut
    assert domain(system).claim_epoch == 1


def test_rebase__settlement_needed_where_the_winner_has_left(system: System) -> None:
    """Nobody resolved for a minute: Bob sold to Carol and was released with what Alice never had."""
    for who in (ALICE, BOB):
        books.fund(system, who, 22 * WAD)
    books.rich(system, CAROL, amount=10**5 * WAD)
    trade(system, B, A, WAD)
    move(system, 0, 150 * PRICE)
    books.calm(system, 0)
    trade(system, B, C, -WAD)
    move(system, 0, 150 * PRICE, c.RESIDENCY_S)
    ok(system.call("release", KEEPER, B))
    move(system, 0, 200 * PRICE)
    ok(system.call("resolve", KEEPER, A, ()))
    d = domain(system)
    assert d.exposed <= d.bad_debt
    refused(rebase(system), "rebase: settlement needed")


def test_add_market__closed_while_bad_debt(system: System) -> None:
    """A new market's bucket would be a newcomer (rule 5)."""
    bad_debt(system)
    arguments = (2, RISK.pack(), LIMITS.pack(), PRICE, system.addresses["ProRata"])
    refused(system.call("add_market", GOVERNOR, *arguments), "ledger: closed to newcomers")
    ok(rebase(system))
    ok(system.call("add_market", GOVERNOR, *arguments))


# ---- gifts -----------------------------------------------------------------------------------------


def test_repay_bad_debt__part_and_all(system: System) -> None:
    debt = bad_debt(system)
    books.fund(system, DAVE, debt + 5)
    before = domain(system)
    outcome = ok(system.call("repay_bad_debt", DAVE.address, D, debt - 3))
    assert event(outcome, "BadDebtRepaid") == {"payer": D, "units": debt - 3, "amount": debt - 3}
    assert domain(system) == replace(before, bad_debt=3, exempt=before.exempt - debt + 3)
    # no more than is owed
    ok(system.call("repay_bad_debt", DAVE.address, D, 8))
    assert (domain(system).bad_debt, word(system, D).cash) == (0, 5)
    refused(system.call("repay_bad_debt", DAVE.address, D, 1), "rebase: no bad debt")
    refused(rebase(system), "rebase: no bad debt")
    books.fund(system, ALICE, WAD, 1)
    trade(system, ALICE.account(1), B, 10**15)


def test_repay_bad_debt__reasons(system: System) -> None:
    debt = bad_debt(system)
    refused(system.call("repay_bad_debt", BOB.address, B, 1), "ledger: exposed")
    refused(system.call("repay_bad_debt", DAVE.address, B, 1), "ledger: not the owner")
    refused(system.call("repay_bad_debt", DAVE.address, D, 0), "rebase: no bad debt")
    books.fund(system, DAVE, debt - 1)
    refused(system.call("repay_bad_debt", DAVE.address, D, debt), "ledger: insufficient cash")
    ok(system.call("repay_bad_debt", DAVE.address, D, debt - 1))


def test_repay_bad_debt__rounds_against_the_giver(system: System) -> None:
    bad_debt(system)
    ok(rebase(system))
    index = domain(system).claim_index
    books.fund(system, ALICE, 2_500 * WAD)
    trade(system, A, B, SIZE)
    move(system, 0, PRICE * 870 // 1_000)
    system.set_price(1, PRICE)
    ok(system.call("resolve", KEEPER, A, ()))
    debt = domain(system).bad_debt
    books.fund(system, DAVE, 2 * debt)
    fields = event(ok(system.call("repay_bad_debt", DAVE.address, D, 1_001)), "BadDebtRepaid")
    gons = 1_001 * c.INDEX_ONE // index
    assert (fields["amount"], fields["units"]) == (gons, ceil_div(gons * index, c.INDEX_ONE))
    assert fields["units"] <= 1_001
    ok(system.call("repay_bad_debt", DAVE.address, D, 10**30))
    assert domain(system).bad_debt == 0


def test_rebase__positions_are_read_as_before(system: System) -> None:
    bad_debt(system)
    before = [(leg(system, who, m), position(system, who, m)) for who in (B, C) for m in (0, 1)]
    oi = [market_words(system, m).oi for m in (0, 1)]
    ok(rebase(system))
    assert [(leg(system, who, m), position(system, who, m)) for who in (B, C) for m in (0, 1)] == before
    assert [market_words(system, m).oi for m in (0, 1)] == oi
