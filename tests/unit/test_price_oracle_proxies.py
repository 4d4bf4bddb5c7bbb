"""Chainlink's own interface: proxies whose aggregators are replaced, phase by phase, with 8 and 18 decimals mixed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from python_ref import price_oracle as model
from python_ref.constants import STATE_DEGRADED, STATE_FROZEN, STATE_LIVE, WAD
from python_ref.mocks import FEED_BURN_GAS, FEED_REVERT, FEED_SHORT, MockProxy
from python_ref.oracle_words import Feed
from tests.unit.oracle_bench import STRANGER, Bench, M

PRICE = 2_000 * WAD
ROUNDS = 100
"""Rounds that an aggregator had before anybody looked."""


class Proxied:
    """A market whose feeds are proxies; ``aggregators`` are whom they ask."""

    def __init__(self, decimals: Sequence[int] = (8, 18, 8)) -> None:
        self.bench = Bench(decimals, configured=False)
        self.aggregators = list(self.bench.feeds[M])
        feeds = []
        for place, aggregator in enumerate(self.aggregators):
            for _ in range(ROUNDS - 1):
                self.answer(PRICE, place)
            name = f"MockProxy{place}"
            address = self.bench.chain.deploy("MockProxy", aggregator.source, sender=STRANGER, label=name)
            proxy = MockProxy(self.bench.world, self.bench.contracts, aggregator.source, name)
            self.bench.contracts[address] = proxy
            self.bench.twin.bind(proxy, name, address)
            feeds.append(Feed(address, aggregator.decimals, group=place, **self.bench.fields))
        assert self.bench.configure(feeds=feeds) is None

    def call(self, place: int, function: str, *args: str) -> str | None:
        """Something that is done to a proxy; the reason if refused."""
        return self.bench.twin.call(f"MockProxy{place}", function, STRANGER, *args).reason

    def answer(self, price: int, *places: int) -> None:
        """A new round of those aggregators; of all if none is named."""
        for place in places or range(len(self.aggregators)):
            aggregator = self.aggregators[place]
            name = self.bench.contracts[aggregator.source].name
            scaled = price // 10 ** (18 - aggregator.decimals)
            assert self.bench.twin.call(name, "set_answer", STRANGER, scaled).ok

    def step(self, seconds: int, price: int = PRICE, *places: int) -> int:
        """Time passes, new rounds come, somebody pokes: the state."""
        self.bench.advance(seconds)
        self.answer(price, *places)
        return self.bench.poke().state

    def upgrade(self, place: int, decimals: int, price: int = PRICE) -> None:
        """A new aggregator that has answered, and is proposed and confirmed."""
        self.aggregators[place] = self.bench.feed(decimals, place)
        self.answer(price, place)
        assert self.call(place, "proposeAggregator", self.aggregators[place].source) is None
        assert self.call(place, "confirmAggregator", self.aggregators[place].source) is None


@pytest.mark.parametrize("decimals", [(8, 8, 8), (18, 18, 18), (8, 18, 8), (8, 18, 8, 8, 18)])
def test_proxies__make_a_market(decimals: tuple[int, ...]) -> None:
    market = Proxied(decimals)
    p = market.bench.poke()
    assert (p.state, p.index) == (STATE_LIVE, PRICE)
    for place in range(len(decimals)):
        assert market.bench.seen(place).round == 1 << 64 | ROUNDS
    assert market.step(30, 2_010 * WAD) == STATE_LIVE
    assert market.bench.book().index == 2_010 * WAD


def test_proxy__upgrade_is_a_new_phase_that_counts_after_three_rounds() -> None:
    market = Proxied()
    market.bench.poke()
    market.upgrade(1, 18)
    # its rounds begin anew, and in their phase they are yet later than all before
    assert market.bench.step(13).state == STATE_DEGRADED
    assert market.bench.codes() == [0, model.PHASE, 0]
    assert market.bench.seen(1).round == 2 << 64 | 1
    for _ in range(3):
        assert market.step(30) == STATE_DEGRADED
    assert market.step(30) == STATE_LIVE
    assert market.bench.named("FeedRecovered") == [{"market": M, "feed": 1}]


def test_proxy__upgrade_to_other_decimals_is_never_counted() -> None:
    market = Proxied((8, 8, 8))
    market.bench.poke()
    market.upgrade(1, 18)
    for _ in range(6):
        assert market.step(30) == STATE_DEGRADED
        assert market.bench.codes()[1] in (model.OUT_OF_RANGE, model.DECIMALS)
    # the other way a price would be 1e10 too small: far from the others, and its scale is known
    market = Proxied((18, 18, 18))
    market.bench.poke()
    market.upgrade(1, 8)
    assert market.step(30) == STATE_DEGRADED
    assert market.bench.codes()[1] == model.DECIMALS


def test_proxy__upgrade_to_another_asset_never_leaves_quarantine() -> None:
    market = Proxied()
    market.bench.poke()
    market.upgrade(1, 18, 2_600 * WAD)
    for _ in range(8):
        market.bench.advance(30)
        market.answer(2_600 * WAD, 1)
        market.answer(PRICE, 0, 2)
        assert market.bench.poke().state == STATE_DEGRADED
        assert market.bench.seen(1).quarantine == 3
    assert market.bench.book().index == PRICE


def test_proxy__majority_upgraded_at_once_freezes_until_they_have_shown_themselves() -> None:
    market = Proxied()
    market.bench.poke()
    market.upgrade(0, 8)
    market.upgrade(1, 18)
    for _ in range(4):
        assert market.step(30) == STATE_FROZEN
    assert market.step(30) != STATE_FROZEN


@pytest.mark.parametrize("mode", [FEED_REVERT, FEED_SHORT, FEED_BURN_GAS])
def test_proxy__whose_aggregator_fails_fails(mode: int) -> None:
    market = Proxied()
    market.bench.poke()
    name = market.bench.contracts[market.aggregators[2].source].name
    assert market.bench.twin.call(name, "set_mode", STRANGER, mode).ok
    assert market.bench.step(1).state == STATE_DEGRADED
    assert market.bench.codes() == [0, 0, model.CALL_FAILED]


def test_proxy__confirms_only_what_was_proposed() -> None:
    market = Proxied()
    first, other = market.aggregators[0].source, market.bench.feed(8).source
    assert market.call(0, "confirmAggregator", first) == "proxy: not proposed"
    assert market.call(0, "proposeAggregator", other) is None
    assert market.call(0, "confirmAggregator", first) == "proxy: not proposed"
    assert market.bench.poke().state == STATE_LIVE, "a proposal changes nothing"
    assert market.call(0, "confirmAggregator", other) is None
    assert market.call(0, "confirmAggregator", other) == "proxy: not proposed"
    proxy = market.bench.feeds[M][0].source
    assert market.bench.chain.view(proxy, "phaseId") == 2
    assert market.bench.chain.view(proxy, "phaseAggregators", 1) == first
    assert market.bench.chain.view(proxy, "version") == 4
    assert market.bench.chain.view(proxy, "description").startswith("MockFeed")


def test_proxy__round_beyond_64_bits_is_cut_and_a_dirty_one_reverts() -> None:
    market = Proxied()
    market.bench.poke()
    name, now = market.bench.contracts[market.aggregators[0].source].name, market.bench.chain.now
    for round_id, code in ((2**64 + 7, model.REGRESS), (2**80, model.CALL_FAILED)):
        words = (round_id, 2_000 * 10**8, now, now, round_id)
        assert market.bench.twin.call(name, "set_round", STRANGER, *words).ok
        market.bench.step(1)
        assert market.bench.codes()[0] == code
