"""``resolve`` (SPEC §8): netting, cover, eligible bands, gap cap, write-off, receipts that stay open.

Every call is followed by INV-8, INV-9, INV-10, INV-11 and INV-17.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from python_ref import constants as c
from python_ref.invariants import (
    Snapshot,
    inv_8_adl_never_grows_or_flips,
    inv_9_receipts_add_up,
    inv_10_queue_closes_in_rank_order,
    inv_11_index_only_falls,
    inv_17_adl_keeps_the_healthy_healthy,
)
from python_ref.policies import Side
from scripts.chain.artifacts import compile_source
from scripts.system import GOVERNOR, LIMITS, RISK, WAD, Actor, MarketSpec, System, actor
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
    limits,
    market_words,
    move,
    ok,
    position,
    prices,
    refused,
    word,
)

NO_FEES = replace(RISK, taker_fee=0)
PRICE = 1_000 * WAD
QUEUE, PROFIT, SINGLE, SPREAD, OTHER = range(5)
QUEUES = (QUEUE, PROFIT, OTHER)

deployed = books.deployed_fixture(
    MarketSpec("QUEUE", PRICE, risk=NO_FEES),
    MarketSpec("PROFIT", PRICE, risk=NO_FEES, limits=replace(LIMITS, rank=c.RANK_PROFIT)),
    MarketSpec("SINGLE", PRICE, risk=NO_FEES, limits=replace(LIMITS, rank=c.RANK_SINGLE), policy="ProRata"),
    MarketSpec("SPREAD", PRICE, risk=NO_FEES, policy="ProRata"),
    MarketSpec("OTHER", 100 * WAD, risk=NO_FEES),
)
system = books.system_fixture()

A, B, C, D = ALICE.account(), BOB.account(), CAROL.account(), DAVE.account()
SIDES = pytest.mark.parametrize("side", [1, -1], ids=["long", "short"])
MARKETS = pytest.mark.parametrize("market", [QUEUE, PROFIT, SINGLE, SPREAD])
SIZE = 100 * WAD
LP = actor("provider")


# ---- building and closing --------------------------------------------------------------------------


def trade(s: System, who: bytes, other: bytes, change: int, market: int, price: int | None = None) -> None:
    """``who``'s position changes by signed ``change`` at the index."""
    buyer, seller = (who, other) if change > 0 else (other, who)
    ok(s.trade(market, buyer, seller, abs(change), prices(s, market).index if price is None else price))


def lose(s: System, market: int, side: int, per_mille: int) -> None:
    """The price moves against ``side`` by so much of the listing price."""
    move(s, market, s.specs[market].price * (1_000 - side * per_mille) // 1_000)


def default(s: System, market: int, side: int, per_mille: int = 30, size: int = SIZE) -> int:
    """Alice stands against Bob with 2.5 % and loses ``per_mille``; her deficit at the index, gons."""
    books.rich(s, BOB, amount=10**6 * WAD)
    books.fund(s, ALICE, size * s.specs[market].price // WAD // 40)
    trade(s, A, B, side * size, market)
    lose(s, market, side, per_mille)
    r = exposure(s, A)
    assert r.e_kind < 0
    return -(r.e_index // WAD)


def fill_bucket(s: System, market: int, amount: int) -> None:
    """The bucket can pay exactly ``amount``."""
    ok(s.provide(LP.address, amount + c.BUCKET_RESERVE))
    ok(s.twin.call("BackstopFund", "set_cap", GOVERNOR, market, 2 * amount + c.BUCKET_RESERVE))
    ok(s.twin.call("BackstopFund", "top_up", DAVE.address, market, amount + c.BUCKET_RESERVE))
    assert word(s, s.bucket(market)).cash == amount + c.BUCKET_RESERVE


def resolve(s: System, account: bytes = A, net_with: tuple[bytes, ...] = ()) -> books.Outcome:
    """Resolve, and check what must hold after every resolution."""
    before = Snapshot(s.twin.world)
    # a frozen market stands at its last index; its funding does not move, nor does it here, where rates are zero
    index = {m: prices(s, m).index for m in range(len(s.specs))}
    outcome = s.call("resolve", DAVE.address, account, net_with)
    if outcome.ok:
        after: Any = Snapshot(s.twin.world)
        log: Any = outcome.events
        queues = [m for m in QUEUES if m < len(s.specs)]
        inv_8_adl_never_grows_or_flips(before, after, log)
        inv_9_receipts_add_up(after, log)
        inv_10_queue_closes_in_rank_order(after, log, queues)
        inv_11_index_only_falls(before, after)
        inv_17_adl_keeps_the_healthy_healthy(before, after, log, index)
    return outcome


def receipt(outcome: books.Outcome) -> dict[str, Any]:
    """The receipt of a call."""
    return event(ok(outcome), "ReceiptWritten")


# ---- who can be resolved ---------------------------------------------------------------------------


@SIDES
def test_resolve__equity_of_zero_is_not_bankrupt(system: System, side: int) -> None:
    default(system, QUEUE, side)
    books.top_up_to(system, ALICE, 0)
    assert exposure(system, A).e_kind == 0
    refused(resolve(system), "resolve: not bankrupt")


@SIDES
def test_resolve__one_wei_below_zero(system: System, side: int) -> None:
    default(system, QUEUE, side)
    books.top_up_to(system, ALICE, -WAD)
    assert receipt(resolve(system))["finished"]


def test_resolve__not_bankrupt(system: System) -> None:
    books.rich(system, BOB)
    for account in (B, D):
        refused(resolve(system, account), "resolve: not bankrupt")


@MARKETS
def test_resolve__wholly_frozen_account_waits(system: System, market: int) -> None:
    default(system, market, 1)
    books.feeds_down(system, market, 2)
    fields = receipt(resolve(system))
    assert (fields["cover"], fields["seized"], fields["booked"], fields["legs"]) == (0, 0, 0, 0)
    assert fields["finished"]
    assert leg(system, A, market).size == SIZE
    books.feeds_down(system, market, 0)
    assert receipt(resolve(system))["legs"] == 1


# ---- cover -----------------------------------------------------------------------------------------


@SIDES
@MARKETS
def test_resolve__fund_covers_exactly(system: System, market: int, side: int) -> None:
    deficit = default(system, market, side)
    fill_bucket(system, market, deficit)
    bob = exposure(system, B).e_index
    outcome = resolve(system)
    fields = receipt(outcome)
    assert (fields["deficit"], fields["cover"], fields["booked"]) == (deficit, deficit, 0)
    assert fields["seized"] <= 1
    assert event(outcome, "BucketPaid")["amount"] == deficit
    assert word(system, system.bucket(market)).cash == c.BUCKET_RESERVE
    assert (word(system, A).cash, word(system, A).legs) == (0, 0)
    assert 0 <= bob - exposure(system, B).e_index <= 2 * WAD


@SIDES
@MARKETS
@pytest.mark.parametrize("share", [0, 1, 2])
def test_resolve__winners_give_what_the_fund_lacks(system: System, market: int, side: int, share: int) -> None:
    deficit = default(system, market, side)
    cover = deficit * share // 2 - (1 if share == 2 else 0)
    if cover:
        fill_bucket(system, market, cover)
    x, bob = prices(system, market).index, exposure(system, B).e_index
    outcome = resolve(system)
    fields = receipt(outcome)
    assert (fields["cover"], fields["booked"]) == (cover, 0)
    assert deficit - cover <= fields["seized"] <= deficit - cover + 1
    # the close price is Alice's own zero-equity price: index and her residual per unit
    closed = event(outcome, "LegClosed")
    assert abs(closed["size"]) == SIZE
    assert side * (closed["quote"] - SIZE * x // WAD) in (deficit - cover, deficit - cover + 1)
    lost = bob - exposure(system, B).e_index
    assert (deficit - cover) * WAD <= lost <= (deficit - cover + 3) * WAD
    assert domain(system).bad_debt == 0


@SIDES
@MARKETS
def test_resolve__gap_cap_binds_and_the_rest_is_bad_debt(system: System, market: int, side: int) -> None:
    deficit = default(system, market, side, 50)
    x = prices(system, market).index
    cap = SIZE * x // WAD * NO_FEES.maintenance // c.PPM
    assert cap < deficit
    fields = receipt(resolve(system))
    assert cap <= fields["seized"] <= cap + 1
    assert 0 <= fields["seized"] + fields["booked"] - deficit <= 1
    assert domain(system).bad_debt == fields["booked"]
    assert word(system, A).cash == 0


@SIDES
def test_resolve__gap_cap_at_the_edge(system: System, side: int) -> None:
    """With a deficit of just the cap nothing is booked; a wei more is."""
    deficit = default(system, QUEUE, side, 50)
    x = prices(system).index
    cap = SIZE * x // WAD * NO_FEES.maintenance // c.PPM
    ok(system.fund_account(ALICE.address, deficit - cap - 1))
    mark = system.twin.snapshot()
    fields = receipt(resolve(system))
    assert (fields["deficit"], fields["booked"]) == (cap + 1, 1)
    system.twin.revert(mark)
    ok(system.fund_account(ALICE.address, 1))
    fields = receipt(resolve(system))
    assert (fields["deficit"], fields["booked"]) == (cap, 0)


@SIDES
def test_resolve__bucket_keeps_its_initial_margin_at_the_harsh_edge(system: System, side: int) -> None:
    """A bucket with inventory covers only with what its margin does not need."""
    default(system, OTHER, side, 30, 1_000 * WAD)
    fill_bucket(system, QUEUE, 10 * WAD)
    fill_bucket(system, OTHER, 10_000 * WAD)
    # the bucket of OTHER gets inventory of the bankrupt's side, so that nothing is netted
    books.rich(system, CAROL)
    books.fund(system, DAVE, 1_300 * WAD)
    trade(system, D, C, side * 600 * WAD, OTHER)
    lose(system, OTHER, side, 48)
    ok(system.call("take_over", CAROL.address, D, OTHER))
    bucket = system.bucket(OTHER)
    assert leg(system, bucket, OTHER).size == side * 600 * WAD
    lose(system, OTHER, side, 150)
    r = exposure(system, bucket)
    available = max(0, (r.e_credit - r.im_credit) // WAD - c.BUCKET_RESERVE)
    fields = receipt(resolve(system))
    assert fields["cover"] == available > 0
    r = exposure(system, bucket)
    assert 0 <= (r.e_credit - r.im_credit) // WAD - c.BUCKET_RESERVE <= 1


# ---- eligible bands --------------------------------------------------------------------------------


@SIDES
def test_resolve__profit_rank_closes_late_entries_at_the_index(system: System, side: int) -> None:
    """Whoever entered after the move would lose against his entry: his band gives size, not money."""
    default(system, PROFIT, side)
    books.rich(system, CAROL, amount=10**6 * WAD)
    trade(system, C, B, -side * 40 * WAD, PROFIT)
    x = prices(system, PROFIT).index
    assert position(system, B, PROFIT).band != position(system, C, PROFIT).band
    deficit = -(exposure(system, A).e_index // WAD)
    bob, carol = exposure(system, B).e_index, exposure(system, C).e_index
    outcome = resolve(system)
    walk = events(outcome, "BandDeleveraged")
    assert [f["band"] for f in walk] == [position(system, B, PROFIT).band, position(system, C, PROFIT).band]
    assert [f["size"] for f in walk] == [60 * WAD, 40 * WAD]
    assert abs(walk[1]["quote"] - 40 * x) <= 1, "the late one closes at the index"
    assert 0 <= carol - exposure(system, C).e_index <= 3 * WAD
    # Bob's sixty hundredths bear sixty hundredths of the gap; the rest is booked
    given = ceil_div(deficit * 60, 100)
    assert given * WAD <= bob - exposure(system, B).e_index <= (given + 3) * WAD
    assert 0 <= receipt(outcome)["booked"] - (deficit - given) <= 1


def test_resolve__leverage_rank_spares_who_would_be_bankrupted(system: System) -> None:
    """Carol's own bankruptcy price lies inside the close price, for a loss in another market."""
    books.rich(system, BOB, DAVE, amount=10**6 * WAD)
    books.fund(system, ALICE, 2_500 * WAD)
    books.fund(system, CAROL, 2_000 * WAD)
    trade(system, A, B, 60 * WAD, QUEUE)
    trade(system, A, C, 40 * WAD, QUEUE)
    trade(system, C, D, 200 * WAD, OTHER)
    lose(system, QUEUE, 1, 30)
    system.set_price(OTHER, 85 * WAD)
    ok(system.call("rerank", DAVE.address, C, QUEUE))
    assert 0 < exposure(system, C).e_kind < exposure(system, C).m_kind
    carol, x = exposure(system, C).e_index, prices(system).index
    outcome = resolve(system)
    walk = events(outcome, "BandDeleveraged")
    # shorts: lowest band first, but the eligible come before those that are not
    assert [f["band"] for f in walk] == [position(system, B).band, position(system, C).band]
    assert position(system, B).band > position(system, C).band
    assert abs(walk[1]["quote"] - 40 * x) <= 1
    assert 0 <= carol - exposure(system, C).e_index <= 3 * WAD
    assert receipt(outcome)["booked"] > 0


@SIDES
def test_resolve__queue_takes_the_riskiest_band_first(system: System, side: int) -> None:
    books.rich(system, BOB, amount=10**6 * WAD)
    books.fund(system, ALICE, 2_500 * WAD)
    books.fund(system, CAROL, 4_000 * WAD)
    trade(system, A, B, side * 80 * WAD, QUEUE)
    trade(system, A, C, side * 20 * WAD, QUEUE)
    lose(system, QUEUE, side, 30)
    walk = events(resolve(system), "BandDeleveraged")
    assert [f["size"] for f in walk] == [20 * WAD, 80 * WAD]
    risky, safe = position(system, C).band, position(system, B).band
    assert [f["band"] for f in walk] == [risky, safe]
    assert (risky < safe) == (side > 0)


@SIDES
def test_resolve__queue_stops_when_the_size_is_filled(system: System, side: int) -> None:
    books.rich(system, BOB, DAVE, amount=10**6 * WAD)
    books.fund(system, ALICE, 2_500 * WAD)
    books.fund(system, CAROL, 14_000 * WAD)
    trade(system, D, C, side * 150 * WAD, QUEUE)
    trade(system, A, B, side * SIZE, QUEUE)
    lose(system, QUEUE, side, 30)
    before = leg(system, B)
    (band,) = events(resolve(system), "BandDeleveraged")
    assert (band["size"], band["open_interest"]) == (SIZE, 150 * WAD)
    assert leg(system, B) == before, "Bob's safer band is not touched"
    assert abs(abs(leg(system, C).size) - 50 * WAD) <= 1


@SIDES
def test_resolve__pro_rata_cuts_every_band_alike(system: System, side: int) -> None:
    winners = many_winners(system, SPREAD, side, 12, size=10 * WAD)
    trade(system, D, B, side * 30 * WAD, SPREAD)
    lose(system, SPREAD, side, 30)
    outcome = resolve(system)
    walk = events(outcome, "BandDeleveraged")
    assert len(walk) == 13
    total = sum(f["open_interest"] for f in walk)
    assert total == 150 * WAD
    left = 120 * WAD
    for f in walk:
        assert 0 <= f["size"] - left * f["open_interest"] // total <= 8, "same fraction, up to rounding"
        assert abs(f["size"] - f["open_interest"] * 120 // 150) <= 64
    assert sum(f["size"] for f in walk) == 120 * WAD
    for who in winners:
        assert abs(abs(leg(system, who.account(), SPREAD).size) - 2 * WAD) <= 64
    assert receipt(outcome)["booked"] == 0


def many_winners(s: System, market: int, side: int, count: int, size: int = WAD) -> list[Actor]:
    """Alice has ``side·count·size`` at the least margin against ``count`` winners, each in a band of his own."""
    books.rich(s, BOB, DAVE, amount=10**7 * WAD)
    found = [actor(f"winner {i}") for i in range(count)]
    price = s.specs[market].price
    books.fund(s, ALICE, count * size * price // WAD // 40)
    for i, who in enumerate(found):
        # own bankruptcy price 5 % away and one band (1/64 octave) further each time
        ratio = 1.05 * 2 ** ((i + 0.5) / 64) - 1 if side > 0 else 1 - 2 ** (-(i + 0.5) / 64) / 1.05
        books.fund(s, who, int(size * price // WAD * ratio))
        trade(s, A, who.account(), side * size, market)
    assert len({position(s, who.account(), market).band for who in found}) == count
    return found


def test_resolve__house_takes_the_dust_that_the_residue_holds(system: System) -> None:
    """Longs' sizes round down; what their band is rid of stands in the residue, and closes with the last short."""
    eve = actor("eve")
    books.rich(system, BOB, amount=10**6 * WAD)
    books.fund(system, CAROL, 10_000 * WAD)
    books.fund(system, ALICE, 750 * WAD)
    books.fund(system, eve, 3_000 * WAD)
    trade(system, C, A, 30 * WAD, QUEUE)
    trade(system, C, eve.account(), 60 * WAD, QUEUE)
    trade(system, B, eve.account(), 40 * WAD, QUEUE)
    lose(system, QUEUE, -1, 28)
    resolve(system)
    held = leg(system, C).size
    assert 0 < 60 * WAD - held <= 2
    ok(system.trade(QUEUE, eve.account(), C, 100 * WAD, prices(system).index, c.FLAG_SELLER_REDUCE_ONLY))
    residue = market_words(system).residue
    assert residue == 60 * WAD - held
    move(system, QUEUE, PRICE * 150 // 100)
    outcome = resolve(system, eve.account())
    assert event(outcome, "HouseClosed")["size"] == residue
    assert receipt(outcome)["finished"]
    assert (market_words(system).oi, market_words(system).residue) == (0, 0)


@SIDES
def test_resolve__degraded_market_is_resolved(system: System, side: int) -> None:
    """Two feeds that agree are enough to close a bankrupt (rule 27: only FROZEN waits)."""
    default(system, QUEUE, side)
    books.feeds_down(system, QUEUE, 1)
    fields = receipt(resolve(system))
    assert (fields["legs"], fields["finished"], fields["booked"]) == (1, True, 0)


@SIDES
def test_resolve__funding_is_accrued_first(system: System, side: int) -> None:
    """What the bankrupt owes in funding belongs to his deficit; the winners get their part of it."""
    books.rich(system, BOB, CAROL, DAVE, amount=10**6 * WAD)
    books.fund(system, ALICE, 2_500 * WAD)
    trade(system, A, B, side * SIZE, QUEUE)
    for _ in range(2):
        ok(system.trade(QUEUE, C, D, WAD, PRICE * (1_000 + side * 15) // 1_000))
        system.twin.advance(3_600)
        system.set_price(QUEUE, PRICE)
    # long enough that the last fill's premium, which the mark leans on, does not save him
    system.twin.advance(4 * c.FUNDING_PERIOD_S)
    system.set_price(QUEUE, PRICE)
    deficit = -(exposure(system, A).e_index // WAD)
    assert deficit > 0, "bankrupt by funding alone: the price never moved"
    outcome = resolve(system)
    assert event(outcome, "FundingAccrued")["market"] == QUEUE
    fields = receipt(outcome)
    assert fields["deficit"] == deficit
    assert 0 <= fields["seized"] + fields["booked"] - deficit <= 1


# ---- netting ---------------------------------------------------------------------------------------


@SIDES
def test_resolve__two_bankrupts_net_at_the_index(system: System, side: int) -> None:
    """Carol stands opposite to Alice and lost elsewhere; both are bankrupt."""
    default(system, QUEUE, side)
    books.rich(system, DAVE, amount=10**6 * WAD)
    books.fund(system, CAROL, 5_000 * WAD)
    trade(system, C, B, -side * 40 * WAD, QUEUE)
    trade(system, C, D, 1_000 * WAD, OTHER)
    system.twin.advance(60)
    system.set_price(OTHER, 90 * WAD)
    system.set_price(QUEUE, prices(system, QUEUE).index)
    assert exposure(system, C).e_kind < 0
    x = prices(system).index
    outcome = resolve(system, A, (A, B, C, D))
    fields = event(outcome, "Netted")
    assert (fields["account"], fields["other"], fields["size"], fields["quote"]) == (A, C, -side * 40 * WAD, 40 * x)
    assert leg(system, C).size == 0
    assert sum(f["size"] for f in events(outcome, "BandDeleveraged")) == 60 * WAD
    assert receipt(outcome)["finished"]
    assert word(system, C).legs == 1 << OTHER, "Carol's other leg waits for its own resolution"
    receipt(resolve(system, C))


@SIDES
def test_resolve__netting_may_close_the_other_and_write_it_off(system: System, side: int) -> None:
    default(system, SINGLE, side)
    # Carol took the other side after the fall, and the price comes half the way back
    books.fund(system, CAROL, 2_500 * WAD)
    lose(system, SINGLE, side, 60)
    books.calm(system, SINGLE)
    trade(system, C, B, -side * SIZE, SINGLE)
    lose(system, SINGLE, side, 30)
    mid = prices(system, SINGLE).index
    assert exposure(system, A).e_kind < 0
    assert exposure(system, C).e_kind < 0
    outcome = resolve(system, A, (C,))
    assert abs(event(outcome, "Netted")["size"]) == SIZE
    assert events(outcome, "BandDeleveraged") == []
    written = {f["account"]: f["amount"] for f in events(outcome, "WrittenOff")}
    assert set(written) == {A, C}
    assert domain(system).bad_debt == sum(written.values())
    assert receipt(outcome)["deficit"] == written[A]
    assert mid == prices(system, SINGLE).index


@SIDES
def test_resolve__bucket_inventory_is_netted(system: System, side: int) -> None:
    """The fund gives up what it holds on the other side, at the index."""
    fill_bucket(system, QUEUE, 10_000 * WAD)
    books.rich(system, BOB, amount=10**6 * WAD)
    books.fund(system, CAROL, 900 * WAD)
    trade(system, C, B, -side * 40 * WAD, QUEUE)
    lose(system, QUEUE, -side, 18)
    ok(system.call("take_over", DAVE.address, C, QUEUE))
    bucket = system.bucket(QUEUE)
    assert leg(system, bucket).size == -side * 40 * WAD
    books.calm(system, QUEUE)
    books.fund(system, ALICE, 2_600 * WAD)
    trade(system, A, B, side * SIZE, QUEUE)
    lose(system, QUEUE, side, 12)
    assert exposure(system, A).e_kind < 0
    cash = word(system, bucket).cash
    outcome = resolve(system)
    fields = event(outcome, "Netted")
    assert (fields["other"], abs(fields["size"])) == (bucket, 40 * WAD)
    assert leg(system, bucket).size == 0
    x = prices(system).index
    paid = sum(f["amount"] for f in events(outcome, "BucketPaid"))
    assert word(system, bucket).cash == cash - side * 40 * x - paid
    assert sum(f["size"] for f in events(outcome, "BandDeleveraged")) == 60 * WAD


@SIDES
def test_resolve__bucket_itself_bankrupt(system: System, side: int) -> None:
    """A bucket is an account like any other; it does not pay for itself, and other buckets do not either."""
    fill_bucket(system, QUEUE, 3_000 * WAD)
    fill_bucket(system, OTHER, 3_000 * WAD)
    books.rich(system, BOB, amount=10**6 * WAD)
    books.fund(system, CAROL, 2_500 * WAD)
    trade(system, C, B, side * SIZE, QUEUE)
    lose(system, QUEUE, side, 20)
    ok(system.call("take_over", DAVE.address, C, QUEUE))
    bucket = system.bucket(QUEUE)
    lose(system, QUEUE, side, 100)
    assert exposure(system, bucket).e_kind < 0
    other = word(system, system.bucket(OTHER)).cash
    outcome = resolve(system, bucket)
    fields = receipt(outcome)
    assert fields["cover"] == 0
    assert fields["finished"]
    assert events(outcome, "BucketPaid") == []
    assert (word(system, bucket).cash, word(system, bucket).legs) == (0, 0)
    assert word(system, bucket).exposed
    assert word(system, system.bucket(OTHER)).cash == other


@pytest.mark.parametrize("count", [8, 9])
def test_resolve__at_most_eight_to_net_with(system: System, count: int) -> None:
    default(system, QUEUE, 1)
    outcome = resolve(system, A, (B,) * count)
    ok(outcome) if count == 8 else refused(outcome, "")


# ---- several legs ----------------------------------------------------------------------------------


def cross_default(s: System, first: int = QUEUE, second: int = PROFIT, late: bool = False) -> int:
    """Alice long 60 and 40 of two markets at 1,000 loses 3 % in both; her deficit. ``late``: all of the second
    market's winners entered after the fall."""
    books.rich(s, BOB, CAROL, amount=10**6 * WAD)
    books.fund(s, ALICE, 2_500 * WAD)
    trade(s, A, B, 60 * WAD, first)
    trade(s, A, B, 40 * WAD, second)
    s.twin.advance(60)
    for market in (first, second):
        s.set_price(market, PRICE * 97 // 100)
    if late:
        trade(s, C, B, -40 * WAD, second)
    r = exposure(s, A)
    assert r.e_kind < 0
    return -(r.e_index // WAD)


def test_resolve__two_legs_share_by_maintenance(system: System) -> None:
    deficit = cross_default(system)
    fill_bucket(system, QUEUE, 10 * WAD)
    outcome = resolve(system)
    fields = receipt(outcome)
    assert (fields["deficit"], fields["cover"], fields["legs"]) == (deficit, 10 * WAD, 2)
    gaps = {f["market"]: f["quote"] - abs(f["size"]) * f["index"] // WAD for f in events(outcome, "LegClosed")}
    left = deficit - 10 * WAD
    # the residual of both is split anew, so what one bucket paid helps both legs
    assert abs(gaps[QUEUE] - left * 60 // 100) <= 2
    assert abs(gaps[PROFIT] - left * 40 // 100) <= 2
    assert fields["booked"] == 0


def test_resolve__each_bucket_pays_for_its_own_leg_only(system: System) -> None:
    deficit = cross_default(system)
    fill_bucket(system, QUEUE, deficit)
    fill_bucket(system, PROFIT, deficit)
    outcome = resolve(system)
    paid = {f["market"]: f["amount"] for f in events(outcome, "BucketPaid")}
    assert paid[QUEUE] + paid[PROFIT] == deficit
    assert abs(paid[QUEUE] - deficit * 60 // 100) <= 1
    assert receipt(outcome)["seized"] <= 2


def test_resolve__leg_without_eligible_winners_passes_its_share_on(system: System) -> None:
    deficit = cross_default(system, late=True)
    outcome = resolve(system)
    gaps = {f["market"]: f["quote"] - abs(f["size"]) * f["index"] // WAD for f in events(outcome, "LegClosed")}
    cap = 60 * prices(system).index * NO_FEES.maintenance // c.PPM
    assert abs(gaps[QUEUE] - min(deficit, cap)) <= 1
    assert abs(gaps[PROFIT]) <= 1
    assert abs(receipt(outcome)["booked"] - max(0, deficit - cap)) <= 2


def test_resolve__nobody_eligible_anywhere(system: System) -> None:
    """All winners entered late: everything closes at the index and the deficit is booked."""
    books.rich(system, BOB, CAROL, amount=10**6 * WAD)
    books.fund(system, ALICE, 2_500 * WAD)
    for market, size in ((PROFIT, 60 * WAD), (QUEUE, 40 * WAD)):
        trade(system, A, B, size, market)
    system.must("set_policy", GOVERNOR, QUEUE, blind_policy(system))
    system.twin.advance(60)
    for market in (QUEUE, PROFIT):
        system.set_price(market, PRICE * 97 // 100)
    trade(system, C, B, -60 * WAD, PROFIT)
    deficit = -(exposure(system, A).e_index // WAD)
    outcome = system.call("resolve", DAVE.address, A, ())
    fields = receipt(outcome)
    assert fields["seized"] <= 2
    assert 0 <= fields["seized"] + fields["booked"] - deficit <= 2


class BlindPolicy:
    """Names the lowest band first and calls none of it eligible."""

    def plan(self, sender: str, side: Side) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """The lowest band, whole."""
        return ((side.bitmap & -side.bitmap).bit_length() - 1,), (2**256 - 1,), 0


BLIND = """
# pragma version 0.4.3
from contracts.interfaces import IPolicy
implements: IPolicy

@external
@view
def plan(side: IPolicy.Side) -> (DynArray[uint256, 8], DynArray[uint256, 8], uint256):
    for band: uint256 in range(256):
        if (side.bitmap >> band) & 1 == 1:
            return [band], [max_value(uint256)], 0
    return [], [], 0
"""

EMPTY = BLIND.replace("(side.bitmap >> band) & 1 == 1", "side.bitmap == 0")


class EmptyPolicy:
    """Names no band."""

    def plan(self, sender: str, side: Side) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Nothing."""
        return (), (), 0


class TrickPolicy:
    """Names bands that do not exist or twice, asks for more than there is, and calls more eligible than it names."""

    def plan(self, sender: str, side: Side) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """The lowest band between two that are not on offer, and again."""
        band = (side.bitmap & -side.bitmap).bit_length() - 1
        return (254, band, band, 253), (2**256 - 1,) * 4, 2**256 - 1


TRICK = BLIND.replace(
    "return [band], [max_value(uint256)], 0",
    "most: uint256 = max_value(uint256)\n            return [254, band, band, 253], [most, most, most, most], most",
)


def put_policy(s: System, name: str, source: str, model: Any) -> str:
    """Deploy a policy and tell the model where it is."""
    at = s.chain.deploy(compile_source(name, source), sender=GOVERNOR)
    s.clearing_house.registry.policies[at] = model
    return at


def blind_policy(s: System) -> str:
    """A policy under which nobody is eligible."""
    return put_policy(s, "BlindPolicy", BLIND, BlindPolicy())


def test_resolve__policy_that_names_nobody(system: System) -> None:
    default(system, QUEUE, 1)
    system.must("set_policy", GOVERNOR, QUEUE, put_policy(system, "EmptyPolicy", EMPTY, EmptyPolicy()))
    refused(resolve(system), "resolve: empty plan")


def test_resolve__policy_that_cheats_is_clamped(system: System) -> None:
    """The ledger takes no more of a band than there is, no band twice, none that is not offered (INV-8)."""
    deficit = default(system, QUEUE, 1)
    system.must("set_policy", GOVERNOR, QUEUE, put_policy(system, "TrickPolicy", TRICK, TrickPolicy()))
    books.fund(system, CAROL, 60_000 * WAD)
    trade(system, C, B, -40 * WAD, QUEUE)
    outcome = resolve(system)
    assert sum(f["size"] for f in events(outcome, "BandDeleveraged")) == SIZE
    assert receipt(outcome)["booked"] == 0
    assert receipt(outcome)["deficit"] == deficit


def test_resolve__frozen_leg_keeps_its_share(system: System) -> None:
    """What falls to a frozen leg is neither covered nor seized now; it stays as the account's debt until it thaws."""
    deficit = cross_default(system)
    books.feeds_down(system, PROFIT, 2)
    system.set_price(QUEUE, PRICE * 97 // 100)
    outcome = resolve(system)
    fields = receipt(outcome)
    assert fields["legs"] == 1
    assert fields["finished"]
    assert abs(fields["seized"] - deficit * 60 // 100) <= 2
    assert fields["booked"] == 0
    assert word(system, A).legs == 1 << PROFIT
    assert not word(system, A).in_receipt
    rest = -(exposure(system, A).e_index // WAD)
    assert abs(rest - (deficit - fields["seized"])) <= 2
    books.feeds_down(system, PROFIT, 0)
    fields = receipt(resolve(system))
    assert (fields["legs"], fields["booked"]) == (1, 0)
    assert word(system, A).legs == 0


def test_resolve__wiped_leg_is_dropped(system: System) -> None:
    """A leg that an earlier default closed whole leaves only its bit; it must not stand in the way of the write-off."""
    default(system, QUEUE, 1)
    books.rich(system, CAROL, amount=10**6 * WAD)
    # Bob's subaccount is the only winner of Alice and is bankrupt in another market
    poor = books.fund(system, DAVE, 2_000 * WAD)
    trade(system, poor, B, -WAD, QUEUE)
    trade(system, poor, C, 900 * WAD, OTHER)
    resolve(system)
    system.twin.advance(60)
    system.set_price(QUEUE, PRICE)
    system.set_price(OTHER, 90 * WAD)
    if exposure(system, poor).e_kind >= 0:
        pytest.fail("the book does not make Dave bankrupt")
    outcome = resolve(system, poor)
    assert receipt(outcome)["finished"]
    assert word(system, poor).legs == 0


# ---- receipts that stay open -----------------------------------------------------------------------


@pytest.fixture
def opened(system: System) -> list[Actor]:
    """Alice's default against forty bands, resolved once: thirty-two are closed, eight wait."""
    winners = many_winners(system, QUEUE, 1, 40)
    trade(system, D, B, WAD, SPREAD)
    lose(system, QUEUE, 1, 30)
    system.set_price(SPREAD, PRICE)
    outcome = resolve(system)
    fields = receipt(outcome)
    assert (fields["finished"], fields["bands"], outcome.value) == (False, c.MAX_PLAN, False)
    assert leg(system, A).size == 8 * WAD
    assert (word(system, A).in_receipt, domain(system).open_receipts, limits(system).open_receipts) == (True, 1, 1)
    return winners


def test_resolve__second_call_finishes(system: System, opened: list[Actor]) -> None:
    cash = word(system, A).cash
    outcome = resolve(system)
    fields = receipt(outcome)
    assert (fields["finished"], fields["bands"], outcome.value) == (True, 8, True)
    assert events(outcome, "ReceiptEnded")[0]["account"] == A
    assert (word(system, A).in_receipt, domain(system).open_receipts, limits(system).open_receipts) == (False, 0, 0)
    assert word(system, A).cash == 0 != cash
    assert all(leg(system, who.account()).size == 0 for who in opened)


def test_resolve__winners_of_both_calls_close_at_one_price(system: System, opened: list[Actor]) -> None:
    first = word(system, opened[0].account()).cash + leg(system, opened[0].account()).pending
    resolve(system)
    last = leg(system, opened[-1].account()).pending
    assert abs(leg(system, opened[0].account()).pending - last) <= 2
    assert first > 0


def test_resolve__price_recovers_with_an_open_receipt(system: System, opened: list[Actor]) -> None:
    move(system, QUEUE, PRICE * 120 // 100)
    assert exposure(system, A).e_kind >= 0
    outcome = resolve(system)
    assert outcome.value is True
    assert event(outcome, "ReceiptEnded")["account"] == A
    assert events(outcome, "ReceiptWritten") == []
    assert (word(system, A).in_receipt, domain(system).open_receipts, limits(system).open_receipts) == (False, 0, 0)
    refused(resolve(system), "resolve: not bankrupt")


def test_resolve__price_moves_on_with_an_open_receipt(system: System, opened: list[Actor]) -> None:
    move(system, QUEUE, PRICE * 80 // 100)
    fields = receipt(resolve(system))
    assert fields["finished"]
    assert fields["booked"] > 0


@pytest.mark.parametrize(
    ("reason", "call"),
    [
        ("market: receipt open", lambda s, w: s.trade(QUEUE, B, w.account(), WAD, prices(s).index)),
        ("market: receipt open", lambda s, w: s.call("rerank", DAVE.address, w.account(), QUEUE)),
        ("market: receipt open", lambda s, w: s.call("liquidate", BOB.address, w.account(), QUEUE, B, WAD)),
        ("market: receipt open", lambda s, w: s.call("liquidate", BOB.address, A, QUEUE, B, WAD)),
        ("market: receipt open", lambda s, w: s.call("take_over", DAVE.address, w.account(), QUEUE)),
        ("market: receipt open", lambda s, w: s.call("set_policy", GOVERNOR, QUEUE, s.addresses["ProRata"])),
        ("ledger: receipt open", lambda s, w: s.call("settle", DAVE.address, A, QUEUE)),
        ("ledger: closed to newcomers", lambda s, w: s.trade(SPREAD, C, B, WAD, PRICE)),
        ("ledger: locked", lambda s, w: s.call("withdraw", DAVE.address, D, 1, DAVE.address)),
        ("ledger: locked", lambda s, w: s.call("transfer", DAVE.address, D, DAVE.account(1), 1)),
        ("rebase: receipt open", lambda s, w: s.call("rebase_claims", DAVE.address)),
        # the defaulter himself, elsewhere
        ("ledger: receipt open", lambda s, w: s.trade(SPREAD, A, B, WAD, PRICE)),
        ("liquidation: no position", lambda s, w: s.call("liquidate", BOB.address, A, SPREAD, B, WAD)),
    ],
)
def test_open_receipt__locks(system: System, opened: list[Actor], reason: str, call: Any) -> None:
    books.rich(system, CAROL)
    refused(call(system, opened[-1]), reason)


def test_open_receipt__leaves_alone_who_has_no_part_in_it(system: System, opened: list[Actor]) -> None:
    """Other markets trade on, deposits and exempt withdrawals go through, winners settle."""
    books.rich(system, CAROL)
    ok(system.trade(SPREAD, D, B, WAD, PRICE))
    ok(system.call("withdraw", CAROL.address, C, WAD, CAROL.address))
    ok(system.call("settle", DAVE.address, opened[0].account(), QUEUE))
    ok(system.call("set_policy", GOVERNOR, SPREAD, system.addresses["BandQueue"]))


def test_open_receipt__locks_release(system: System, opened: list[Actor]) -> None:
    who = opened[0].account()
    ok(system.call("settle", DAVE.address, who, QUEUE))
    assert word(system, who).legs == 0
    system.twin.advance(c.RESIDENCY_S)
    system.set_price(QUEUE, PRICE * 97 // 100)
    refused(system.call("release", DAVE.address, who), "ledger: locked")
    resolve(system)
    ok(system.call("release", DAVE.address, who))


def test_open_receipt__another_default_in_its_market_waits(system: System, opened: list[Actor]) -> None:
    """Winners are paid in the order of receipts: a second default there may not pass the first."""
    move(system, QUEUE, PRICE * 250 // 100)
    loser = next(who.account() for who in opened[32:] if exposure(system, who.account()).e_kind < 0)
    refused(resolve(system, loser), "market: receipt open")
    assert resolve(system).value is True
    receipt(resolve(system, loser))


def test_resolve__largest_cut_and_bands_of_the_receipt(system: System) -> None:
    default(system, QUEUE, 1)
    books.rich(system, CAROL, amount=10**6 * WAD)
    trade(system, C, B, 60 * WAD, QUEUE)
    fields = receipt(resolve(system))
    assert (fields["bands"], fields["legs"]) == (1, 1)
    assert fields["largest_cut"] == SIZE * c.PPM // (160 * WAD)
    assert market_words(system).oi == 60 * WAD
