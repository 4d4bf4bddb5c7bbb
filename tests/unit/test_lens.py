"""Lens.vy against python_ref/lens.py, and previews against what the ledger then does, on random books.

The model lets the ledger run on a scratch copy, so an equal preview is already an executed one; the tests below also
execute for real, because a preview is a promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_ref import constants as c
from python_ref.lens import Lens
from python_ref.world import Revert
from scripts.chain import Chain, make_chain
from scripts.chain.artifacts import artifact
from scripts.system import GOVERNOR, KEEPER, LIMITS, RISK, MarketSpec, System, actor, deploy

WAD = c.WAD
CODE_LIMIT = 23_000
"""Bytes; `scripts.sizes` fails beyond them."""

TRADERS = [actor(f"trader {i}") for i in range(9)]
MAKER = actor("maker")
PROVIDER = actor("provider")
NOBODY = actor("nobody").account()

SINGLE = replace(LIMITS, rank=c.RANK_SINGLE)
PROFIT = replace(LIMITS, rank=c.RANK_PROFIT, octave_bits=5)
STEEP = replace(RISK, depth=40_000_000)
"""A requirement that grows with the position."""

MARKETS = (
    MarketSpec("CVX", 23 * WAD // 10),
    MarketSpec("ETH", 4_000 * WAD, limits=PROFIT, risk=STEEP),
    MarketSpec("BTC", 60_000 * WAD, limits=SINGLE, policy="ProRata"),
    MarketSpec("SOL", 150 * WAD, policy="ProRata"),
)
EXACT = MarketSpec("EXACT", 100 * WAD, limits=SINGLE, feed_decimals=18, width_bps=0)
"""A market whose edges are the index, to the atom."""


def open_system(chain: Chain, specs: Iterable[MarketSpec] = MARKETS) -> System:
    """A system with its Lens bound."""
    system = deploy(chain, tuple(specs))
    address = chain.deploy("Lens", system.clearing_house.address, system.addresses["PriceOracle"], sender=GOVERNOR)
    system.twin.bind(Lens(system.clearing_house), "Lens", address)
    return system


def ask(system: System, function: str, *args: Any) -> Any:
    """A view of the Lens, the same on both sides."""
    return system.twin.view("Lens", function, *args)


@contextmanager
def undone(system: System) -> Iterator[None]:
    """Whatever happens inside is rolled back on both sides."""
    mark = system.twin.snapshot()
    try:
        yield
    finally:
        system.twin.revert(mark)


@pytest.fixture(scope="module")
def deployed() -> Iterator[System]:
    """Four markets: both ranks and SINGLE, both policies, with and without depth."""
    with make_chain() as chain:
        yield open_system(chain)


@pytest.fixture
def system(deployed: System) -> Iterator[System]:
    """The deployed system, afresh."""
    with undone(deployed):
        yield deployed


@pytest.fixture
def exact(chain: Chain) -> System:
    """One market without an interval and without depth."""
    return open_system(chain, [EXACT])


class Book:
    """A random book under way."""

    def __init__(self, system: System, seed: int) -> None:
        self.system = system
        self.random = Random(seed)
        self.prices = [spec.price for spec in system.specs]
        for trader in TRADERS:
            assert system.fund_account(trader.address, self.random.randrange(500, 20_000) * WAD).ok
        assert system.fund_account(MAKER.address, 50_000 * WAD).ok
        assert system.provide(PROVIDER.address, 2_000 * WAD).ok

    @property
    def accounts(self) -> list[bytes]:
        """Everybody, buckets included."""
        buckets = [self.system.bucket(market) for market in range(len(self.prices))]
        return [trader.account() for trader in (*TRADERS, MAKER)] + buckets

    def step(self, jump: int = 3) -> None:
        """One random deed: a trade, a price move of up to ``jump`` percent, upkeep. Refusals are part of it."""
        r, system = self.random, self.system
        market = r.randrange(len(self.prices))
        kind = r.randrange(12)
        if kind < 5:
            buyer, seller = r.sample([*TRADERS, MAKER], 2)
            price = self.prices[market] * (10_000 + r.randrange(-50, 51)) // 10_000
            worth = r.randrange(5_000, 200_000)
            size = worth * WAD * WAD // price // 10**12 * 10**12
            system.trade(market, buyer.account(), seller.account(), size, price)
        elif kind < 8:
            self.move(market, r.uniform(-jump, jump))
        elif kind == 8:
            account = r.choice(self.accounts)
            deeds = ["settle", "rerank"]
            if system.specs[market].policy == "BandQueue":
                # netting the fund's inventory under a policy that reads bands is the one inexact preview
                deeds.append("take_over")
            system.call(r.choice(deeds), KEEPER, account, market)
        elif kind == 9:
            system.fund_account(r.choice(TRADERS).address, r.randrange(1, 500) * WAD)
        elif kind == 10:
            system.call("sweep_fees", KEEPER, market)
        else:
            taker = r.choice(TRADERS)
            victims = tuple(t.account() for t in TRADERS if t is not taker)
            system.call("liquidate_batch", taker.address, victims, market, taker.account(), 10**30)

    def move(self, market: int, percent: float) -> None:
        """Let some time pass and move a price."""
        self.system.twin.advance(self.random.randrange(1, 900))
        self.prices[market] = int(self.prices[market] * (1 + percent / 100)) // 10**10 * 10**10
        for m, price in enumerate(self.prices):
            self.system.set_price(m, price)
        if self.random.random() < 0.05:
            # one market's feeds fall silent, so that it is FROZEN until the next move
            self.system.twin.advance(3_700)
            for m, price in enumerate(self.prices):
                if m != market:
                    self.system.set_price(m, price)

    def bankrupts(self) -> list[bytes]:
        """Who lacks equity at the kind edge now."""
        house = self.system.clearing_house
        with undone(self.system):
            words = {account: house.load_account_word(account) for account in self.accounts}
            return [a for a, word in words.items() if word.legs and house._assess(a, word, None, 0).e_kind < 0]


def look_at_everything(book: Book) -> None:
    """Every view of every account and market, contract against model."""
    system = book.system
    markets = range(len(book.prices))
    for account in (*book.accounts, NOBODY):
        ask(system, "account", account)
        ask(system, "preview_resolve", account)
        for market in markets:
            ask(system, "liq_price", account, market)
            ask(system, "adl_light", account, market)
            size = book.random.randrange(1, 10 ** book.random.randrange(18, 24))
            deficit = book.random.randrange(10 ** book.random.randrange(1, 23))
            ask(system, "my_cut", account, market, book.random.random() < 0.5, size, deficit)
    for market in markets:
        ask(system, "coverage", market)
    ask(system, "digest", tuple(book.accounts), tuple(markets))


def resolve(system: System, account: bytes) -> Any:
    """Resolve an account and hold the receipt against the preview of the same block; the preview, None if refused."""
    refused, preview = "", None
    try:
        preview = ask(system, "preview_resolve", account)
    except Revert as revert:
        refused = revert.reason
    outcome = system.call("resolve", KEEPER, account, ())
    if preview is None:
        assert outcome.reason == refused
        return None
    if not preview[0] and not preview[1]:
        assert outcome.reason == "resolve: not bankrupt"
        return preview
    assert outcome.ok, outcome.reason
    receipts = [e.fields for e in outcome.events if e.name == "ReceiptWritten"]
    bankrupt, finished, _, netted, deficit, cover, seized, booked, legs, bands, largest, cuts = preview
    assert outcome.value == finished
    if not bankrupt:
        assert receipts == []
        return preview
    fields = ("finished", "deficit", "cover", "seized", "booked", "legs", "bands", "largest_cut")
    assert tuple(receipts[0][f] for f in fields) == (finished, deficit, cover, seized, booked, legs, bands, largest)
    deleveraged = [e.fields for e in outcome.events if e.name == "BandDeleveraged"]
    names = ("market", "is_long", "band", "size", "quote", "open_interest")
    assert cuts == tuple(tuple(f[name] for name in names) for f in deleveraged)
    assert netted == sum(abs(e.fields["size"]) for e in outcome.events if e.name == "Netted")
    return preview


# ---- against the model ---------------------------------------------------------------------------


def test_size__leaves_room_for_a_fix() -> None:
    assert artifact("Lens").size <= CODE_LIMIT


@given(seed=st.integers(0, 2**32))
def test_views__equal_the_model_on_random_books(deployed: System, seed: int) -> None:
    with undone(deployed):
        book = Book(deployed, seed)
        if seed % 3 < 2:
            _, book.prices[seed % 3] = inherit(deployed, seed % 3)
        for i in range(60):
            book.step(3 if i < 35 else 9)
            for account in book.bankrupts():
                if book.random.random() < 0.7:
                    resolve(deployed, account)
            if i % 30 == 29:
                look_at_everything(book)
        if deployed.call("rebase_claims", KEEPER).ok:
            for _ in range(10):
                book.step(9)
            look_at_everything(book)


def test_views__equal_the_model_after_a_rebase(system: System) -> None:
    long, short, other = TRADERS[0], TRADERS[1], TRADERS[2]
    book = Book(system, 1)
    price = book.prices[0]
    system.fund_account(long.address, 10_000 * WAD)
    system.fund_account(short.address, 100_000 * WAD)
    assert system.trade(0, long.account(), short.account(), 200_000 * WAD, price).ok
    assert system.trade(0, other.account(), MAKER.account(), 2_000 * WAD, price).ok
    system.twin.advance(30)
    system.set_price(0, price * 80 // 100)
    before = ask(system, "account", short.account())
    preview = resolve(system, long.account())
    assert preview[7] > 0, "no bad debt"
    assert system.fund_account(other.address, 77 * WAD).ok
    late = ask(system, "account", other.account())
    assert late[6] == 77 * WAD
    look_at_everything(book)
    assert system.must("rebase_claims", KEEPER).ok
    claim_index = system.clearing_house.load_globals_words().claim_index
    assert claim_index < c.INDEX_ONE
    after = ask(system, "account", short.account())
    assert after[5] < before[5] + preview[4]
    assert abs(after[8] * c.INDEX_ONE - ask_gons(system, short.account()) * claim_index) < 2 * c.INDEX_ONE
    look_at_everything(book)


def ask_gons(system: System, account: bytes) -> int:
    """Equity at the index, gons, by the ledger."""
    house = system.clearing_house
    with undone(system):
        return house._assess(account, house.load_account_word(account), None, 0).e_index // WAD


def test_digest__tells_every_word_in_use(system: System) -> None:
    book = Book(system, 3)
    for _ in range(25):
        book.step()
    accounts, markets = tuple(book.accounts), tuple(range(len(book.prices)))
    seen = ask(system, "digest", accounts, markets)
    lens, world = Lens(system.clearing_house), system.clearing_house.world
    house = system.clearing_house
    held = ("accounts", "markets", "global_words")
    used = [key for key in world.words if key[0] == "ClearingHouse" and key[1] in held]
    for market in markets:
        for is_long in (True, False):
            for band in range(c.N_BANDS):
                if house.load_bitmap(market, is_long) >> band & 1:
                    state = house.load_band(market, is_long, band)
                    used.append(("ClearingHouse", "bands", house._band_index(market, is_long, band)))
                    cell = house._cell_index(market, is_long, band, state.epoch, state.scale)
                    used.append(("ClearingHouse", "cells", cell))
    assert len(used) > 40
    fund = system.fund.address.removeprefix("0x")
    for key in used:
        if key[1] == "accounts" and key[2] not in accounts:
            assert key[2].hex() == fund + "00" * 12, "only the treasury is left out"
            continue
        word = world.words[key]
        world.words[key] = word ^ 1 << 5
        assert lens.digest(accounts, markets) != seen, key
        world.words[key] = word
    assert lens.digest(accounts, markets) == seen


# ---- prices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_long", [True, False])
@pytest.mark.parametrize("cash", [2_100, 3_333, 7_777])
def test_liq_price__is_the_last_price_at_which_nobody_may_liquidate(exact: System, is_long: bool, cash: int) -> None:
    trader, other, taker = TRADERS[0], TRADERS[1], TRADERS[2]
    exact.fund_account(trader.address, cash * WAD + 123_457 * 10**12)
    for rich in (other, taker):
        exact.fund_account(rich.address, 10**6 * WAD)
    pair = (trader, other) if is_long else (other, trader)
    size = 1_000 * WAD + 777 * 10**12
    assert exact.trade(0, pair[0].account(), pair[1].account(), size, 100 * WAD).ok
    price = ask(exact, "liq_price", trader.account(), 0)
    legs = ask(exact, "account", trader.account())[13]
    assert legs[0][5] == price
    assert price < 100 * WAD if is_long else price > 100 * WAD
    beyond = price - 1 if is_long else price + 1
    for at, reason in ((price, "liquidation: healthy"), (beyond, None)):
        with undone(exact):
            exact.twin.advance(1)
            exact.set_price(0, at)
            assert ask(exact, "account", trader.account())[3] == (reason is None)
            outcome = exact.call("liquidate", taker.address, trader.account(), 0, taker.account(), 10**30)
            assert outcome.reason == reason
    bankruptcy = legs[0][6]
    for at, bankrupt in ((bankruptcy, False), (bankruptcy - 1 if is_long else bankruptcy + 1, True)):
        with undone(exact):
            exact.twin.advance(1)
            exact.set_price(0, at)
            assert ask(exact, "account", trader.account())[4] == bankrupt
            assert exact.call("resolve", KEEPER, trader.account(), ()).ok == bankrupt


def test_liq_price__knows_its_ends(exact: System) -> None:
    rich, poor = TRADERS[0], TRADERS[1]
    exact.fund_account(rich.address, 10**6 * WAD)
    exact.fund_account(poor.address, 200 * WAD)
    assert exact.trade(0, rich.account(), poor.account(), 50 * WAD, 100 * WAD).ok
    assert ask(exact, "liq_price", rich.account(), 0) == 0, "a long that can pay its whole price"
    assert ask(exact, "liq_price", NOBODY, 0) == 0
    assert ask(exact, "liq_price", rich.account(), 7) == 0, "no such position"


def test_free__is_the_most_that_can_be_withdrawn(system: System) -> None:
    book = Book(system, 11)
    for _ in range(25):
        book.step(1)
    system.twin.advance(c.RESIDENCY_S)
    tried = 0
    for trader in (*TRADERS, MAKER):
        free = ask(system, "account", trader.account())[12]
        for amount, fits in ((free, True), (free + 1, False)):
            if amount > 0:
                with undone(system):
                    outcome = system.call("transfer", trader.address, trader.account(), trader.account(9), amount)
                    assert outcome.ok == fits, outcome.reason
                    tried += 1
    assert tried > len(TRADERS)


# ---- defaults ------------------------------------------------------------------------------------


def crowd(system: System, shorts: Sequence[int]) -> tuple[bytes, int]:
    """A long that is bankrupt now against shorts of these sizes in market 0; its account and the size."""
    victim, price = TRADERS[0], MARKETS[0].price
    total = sum(shorts)
    system.fund_account(victim.address, total * price // WAD * WAD // 40)
    for i, size in enumerate(shorts, 1):
        system.fund_account(TRADERS[i].address, size * price // WAD * WAD // (4 * i))
        assert system.trade(0, victim.account(), TRADERS[i].account(), size * WAD, price).ok
    system.twin.advance(30)
    system.set_price(0, price * 96 // 100)
    return victim.account(), total * WAD


def test_adl_light__follows_the_order_by_open_interest(system: System) -> None:
    sizes = [1_000, 2_000, 3_000, 4_000]
    crowd(system, sizes)
    house = system.clearing_house
    bands = [house.load_position(TRADERS[i].account(), 0).band for i in range(1, 5)]
    assert sorted(bands, reverse=True) == bands, "shorts with less cash lie in lower bands, deleveraged first"
    assert len(set(bands)) == 4
    lights = [ask(system, "adl_light", TRADERS[i].account(), 0) for i in range(1, 5)]
    # ahead of the four: 9, 7, 4 and 0 tenths of the side
    assert lights == [1, 2, 3, 5]
    assert ask(system, "adl_light", NOBODY, 0) == 0


def test_my_cut__is_what_resolve_then_takes(system: System) -> None:
    victim, size = crowd(system, [1_000, 2_000, 3_000, 4_000])
    preview = ask(system, "preview_resolve", victim)
    deficit, cover = preview[4], preview[5]
    cuts, before = {}, {}
    for trader in TRADERS[1:5]:
        cuts[trader] = ask(system, "my_cut", trader.account(), 0, True, size, deficit - cover)
        before[trader] = ask(system, "account", trader.account())
        assert ask(system, "my_cut", trader.account(), 0, False, size, deficit - cover) == (0, 0, 0, 0)
    resolve(system, victim)
    for trader, (cut, quote, change, price) in cuts.items():
        old, new = before[trader], ask(system, "account", trader.account())
        assert cut == abs(old[13][0][1] - new[13][0][1]) > 0
        assert quote == new[13][0][3] - old[13][0][3] < 0
        assert abs(new[8] - old[8] - change) <= 1
        assert price == -quote * WAD // cut
    assert sum(cut for cut, *_ in cuts.values()) == size


def test_my_cut__crosses_a_scale(exact: System) -> None:
    whale, crumb, short = TRADERS[0], TRADERS[1], TRADERS[2]
    for trader, cash in ((whale, 25 * 10**6), (crumb, 1), (short, 10**9)):
        exact.fund_account(trader.address, cash * WAD)
    assert exact.trade(0, whale.account(), short.account(), 10**7 * WAD, 100 * WAD).ok
    assert exact.trade(0, crumb.account(), short.account(), 10**15, 100 * WAD).ok
    exact.twin.advance(1)
    exact.set_price(0, 97 * WAD)
    deficit = ask(exact, "preview_resolve", whale.account())[4]
    expected = ask(exact, "my_cut", short.account(), 0, True, 10**7 * WAD, deficit)
    before = ask(exact, "account", short.account())[13][0]
    resolve(exact, whale.account())
    after = ask(exact, "account", short.account())[13][0]
    assert exact.clearing_house.load_band(0, False, 0).scale == 1
    assert expected[:2] == (after[1] - before[1], after[3] - before[3])


def test_preview_resolve__shows_a_walk_cut_short(chain: Chain) -> None:
    limits = replace(PROFIT, octave_bits=6)
    system = open_system(chain, [MarketSpec("LADDER", 100 * WAD, limits=limits)])
    victim, price = TRADERS[0], 100 * WAD
    system.fund_account(victim.address, 1_500 * WAD)
    for i in range(36):
        rung = actor(f"rung {i}")
        system.fund_account(rung.address, 1_000 * WAD)
        assert system.trade(0, victim.account(), rung.account(), WAD, price).ok
        price = price * 102 // 100
        system.twin.advance(20)
        system.set_price(0, price)
    system.set_price(0, 20 * WAD)
    system.twin.advance(13)
    system.set_price(0, 20 * WAD)
    first = resolve(system, victim.account())
    assert first[:2] == (True, False)
    assert first[9] == c.MAX_PLAN
    view = ask(system, "account", victim.account())
    assert view[1], "in a receipt"
    assert ask(system, "account", actor("rung 35").account())[12] == 0, "nobody withdraws while a receipt is open"
    second = resolve(system, victim.account())
    assert second[:2] == (True, True)
    assert second[9] == 36 - c.MAX_PLAN


def inherit(system: System, market: int) -> tuple[int, int]:
    """Let the bucket of ``market`` inherit a long of 400,000; its size and the price then."""
    heavy, price = actor("heavy"), MARKETS[market].price
    system.fund_account(heavy.address, 14_000 * WAD)
    system.fund_account(MAKER.address, 500_000 * WAD)
    system.provide(PROVIDER.address, 50_000 * WAD)
    for call in (("set_cap", GOVERNOR, market, 10**6 * WAD), ("top_up", KEEPER, market, 30_000 * WAD)):
        assert system.twin.call("BackstopFund", *call).ok
    size = 400_000 * WAD * WAD // price // 10**12 * 10**12
    assert system.trade(market, heavy.account(), MAKER.account(), size, price).ok
    for permille in range(980, 950, -1):
        system.twin.advance(13)
        system.set_price(market, price * permille // 1_000)
        if system.call("take_over", KEEPER, heavy.account(), market).ok:
            return size, price * permille // 1_000
    raise AssertionError("never inherited")


@pytest.mark.parametrize("market", range(len(MARKETS)))
@pytest.mark.parametrize("share", [1, 3])
def test_preview_resolve__nets_the_funds_inventory_first(system: System, market: int, share: int) -> None:
    size, price = inherit(system, market)
    long, late = TRADERS[0], actor("late")
    want = size * share // 2 // 10**12 * 10**12
    system.fund_account(long.address, 200_000 * WAD)
    system.fund_account(late.address, want * price // WAD // 16)
    assert system.trade(market, long.account(), late.account(), want, price).ok
    system.twin.advance(30)
    system.set_price(market, price * 110 // 100)
    account = late.account()
    lens = Lens(system.clearing_house)
    executed = lens.preview_resolve(account)
    assert executed.bankrupt
    assert executed.netted == min(size, want)
    if not executed.exact and MARKETS[market].policy == "ProRata":
        # the policy read the bands before the netting; the totals that no band has a say in still hold
        seen = system.chain.view(system.twin.address("Lens"), "preview_resolve", account)
        assert seen[:6] == (True, True, False, executed.netted, executed.deficit, executed.cover)
        system.must("resolve", KEEPER, account, ())
    else:
        resolve(system, account)


@pytest.mark.parametrize("inherited", [False, True])
def test_resolve__closes_the_last_short_against_the_residue(exact: System, inherited: bool) -> None:
    """Found by a campaign (fixed): with the dust of two closings at the house the last short could not default."""
    size, dust = 1_000 * WAD, 10**6
    *passers, heavy, short = TRADERS[:6]
    for trader in passers:
        exact.fund_account(trader.address, 50_000 * WAD)
    exact.fund_account(short.address, 20_000 * WAD)
    exact.fund_account(heavy.address, 3_000 * WAD)
    assert exact.provide(PROVIDER.address, 50_000 * WAD).ok
    for call in (("set_cap", GOVERNOR, 0, 10**6 * WAD), ("top_up", KEEPER, 0, 30_000 * WAD)):
        assert exact.twin.call("BackstopFund", *call).ok
    if inherited:
        assert exact.trade(0, heavy.account(), short.account(), size, 100 * WAD).ok
        exact.twin.advance(13)
        exact.set_price(0, 9_750 * WAD // 100)
        assert exact.call("take_over", KEEPER, heavy.account(), 0).ok
        exact.twin.advance(13)
        exact.set_price(0, 100 * WAD)
    assert exact.trade(0, passers[0].account(), short.account(), size, 100 * WAD).ok
    left = size
    for giver, taker in pairwise(passers):
        left -= dust  # reduce-only trades need not be whole lots; what they leave is the house's
        outcome = exact.trade(0, taker.account(), giver.account(), left, 100 * WAD, c.FLAG_SELLER_REDUCE_ONLY)
        assert outcome.ok, outcome.reason
    assert exact.clearing_house.load_market_words(0).residue == (len(passers) - 1) * dust
    exact.twin.advance(13)
    exact.set_price(0, 130 * WAD)
    preview = resolve(exact, short.account())
    assert preview[:2] == (True, True)
    assert preview[3] == (size if inherited else 0)
    assert exact.clearing_house.load_market_words(0).residue == exact.clearing_house.load_market_words(0).oi == 0


def test_coverage__counts_what_the_bucket_can_pay(system: System) -> None:
    _, price = inherit(system, 0)
    equity, available, fees, open_interest, cap = ask(system, "coverage", 0)
    with undone(system):
        house = system.clearing_house
        real = system.chain.view(house.address, "account_equity", system.bucket(0))
    assert equity == real[2]
    assert 0 < available < equity
    assert fees == house.load_market_words(0).fees > 0
    assert open_interest == house.load_market_words(0).oi
    assert cap == open_interest * price // WAD * RISK.maintenance // c.PPM
