"""Lens.vy against python_ref/lens.py, and previews against what the ledger then does, on random books."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from python_ref import constants as c
from python_ref.ledger import owner_of
from python_ref.lens import Lens
from python_ref.world import Revert
from scripts.chain import Chain
from scripts.chain.artifacts import artifact
from scripts.system import GOVERNOR, KEEPER, LIMITS, RISK, Actor, MarketSpec, System, actor, deploy

WAD = c.WAD
SIZE_LIMIT = 21_000
TRADERS = [actor(f"trader {i}") for i in range(9)]
MAKER = actor("maker")
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


class Book:
    """A random book under way."""

    def __init__(self, system: System, seed: int) -> None:
        self.system = system
        self.random = Random(seed)
        self.prices = [spec.price for spec in system.specs]
        for trader in TRADERS:
            assert system.fund_account(trader.address, self.random.randrange(500, 20_000) * WAD).ok
        assert system.fund_account(MAKER.address, 50_000 * WAD).ok

    @property
    def accounts(self) -> list[bytes]:
        """Everybody, buckets included."""
        buckets = [self.system.bucket(market) for market in range(len(self.prices))]
        return [trader.account() for trader in (*TRADERS, MAKER)] + buckets

    def step(self, jump: int = 3) -> None:
        """One random deed: a trade, a price move of up to ``jump`` percent, upkeep. Refusals are part of it."""
        r, system = self.random, self.system
        market = r.randrange(len(self.prices))
        kind = r.randrange(10)
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
            system.call(r.choice(["settle", "rerank", "take_over"]), KEEPER, account, market)
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

    def bankrupts(self) -> list[bytes]:
        """Who lacks equity at the kind edge now."""
        lens = Lens(self.system.clearing_house)
        return [account for account in self.accounts if lens.account(account).bankrupt]


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
            size = book.random.randrange(1, 10**book.random.randrange(18, 24))
            deficit = book.random.randrange(10**book.random.randrange(1, 23))
            ask(system, "my_cut", account, market, book.random.random() < 0.5, size, deficit)
    for market in markets:
        ask(system, "coverage", market)
    ask(system, "digest", tuple(book.accounts), tuple(markets))
