"""What a poke costs when every feed does its worst: bounded, and stated in SPEC §14.2."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from python_ref.constants import STATE_FROZEN, STATE_LIVE, WAD
from python_ref.mocks import FEED_BURN_GAS
from python_ref.world import Revert
from scripts.chain import Chain, compile_source
from scripts.chain.artifacts import CONTRACTS
from tests.unit.oracle_bench import MAJOR, QUOTE, STRANGER, Bench, M

SPITEFUL = """
# pragma version 0.4.3
# answers with the last of its gas, and after a while burns all that it is given to name its decimals
LEAVE: constant(uint256) = 1_000
PRICE: immutable(int256)
turns_at: uint256

@deploy
def __init__(price: int256):
    PRICE = price

@external
def turn(at: uint256):
    self.turns_at = at

@view
@external
def latestRoundData() -> (uint256, int256, uint256, uint256, uint256):
    for _: uint256 in range(100_000):
        if msg.gas < LEAVE:
            break
    return block.timestamp, PRICE, 1, block.timestamp, block.timestamp

@view
@external
def decimals() -> uint256:
    assert self.turns_at == 0 or block.timestamp < self.turns_at, UNREACHABLE
    for _: uint256 in range(100_000):
        if msg.gas < LEAVE:
            break
    return 8
"""


class Spiteful:
    """The model of the above."""

    def __init__(self, bench: Bench, price: int) -> None:
        self.bench, self.price, self.turns_at = bench, price, 0

    def latestRoundData(self, sender: str) -> bytes:  # noqa: N802
        now = self.bench.chain.now
        return b"".join(word.to_bytes(32, "big") for word in (now, self.price, 1, now, now))

    def decimals(self, sender: str) -> int:
        if self.turns_at and self.bench.chain.now >= self.turns_at:
            raise Revert("")
        return 8


def spiteful_bench(chain: Chain, n: int) -> Bench:
    """``n`` feeds of a market, ``n`` of its quote and the sequencer's, which take all they can get."""
    bench = Bench([8] * n, replace(MAJOR, quote=QUOTE), chain=chain, configured=False)
    bench.add(QUOTE, [8] * n, WAD, MAJOR, configured=False)
    code = compile_source("SpitefulFeed", SPITEFUL)
    for book, price in ((QUOTE, 10**8), (M, 2_000 * 10**8)):
        feeds = [bench.odd(code, Spiteful(bench, price), 8, group, price) for group in range(n)]
        assert bench.configure(book, feeds) is None
    assert bench.reason("set_sequencer", bench.odd(code, Spiteful(bench, 0), 8, 0, 0).source) is None
    return bench


def worst(bench: Bench) -> dict[str, int]:
    """Gas of a poke of the market and its quote: while the feeds are merely greedy, then spiteful."""
    spent = {}
    for stage in ("first", "greedy"):
        bench.advance(13)
        spent[stage] = bench.call("poke", M).gas
        assert bench.state() == STATE_LIVE, stage
    for book in (M, QUOTE):
        for feed in bench.feeds[book]:
            assert bench.chain.call(STRANGER, feed.source, "turn", bench.chain.now + 13).ok
            bench.contracts[feed.source].turns_at = bench.chain.now + 13
    bench.advance(13)
    spent["spiteful"] = bench.call("poke", M).gas
    assert bench.state() == STATE_FROZEN
    assert len(bench.named("FeedFailed")) == 2 * len(bench.feeds[M])
    return spent


def bound() -> dict[int, int]:
    """Gas by the number of feeds as SPEC §14.2 states it."""
    text = (CONTRACTS / "SPEC.md").read_text()
    found = re.search(r"costs at most ([\d.]+) million gas with 3 feeds, ([\d.]+) with 5 and ([\d.]+) with 7", text)
    assert found, "SPEC §14.2 does not state it"
    return {n: int(float(figure) * 10**6) for n, figure in zip((3, 5, 7), found.groups(), strict=True)}


@pytest.mark.parametrize("n", [3, 5, 7])
@pytest.mark.parametrize("kind", ["revm", "anvil"])
def test_gas__of_the_worst_feed_set_is_bounded(open_chain: Callable[[str], Chain], kind: str, n: int) -> None:
    spent = worst(spiteful_bench(open_chain(kind), n))
    most, limit = max(spent.values()), bound()[n]
    assert most <= limit, spent
    # a bound that is far off says nothing
    assert kind == "revm" or most >= limit * 9 // 10


@pytest.mark.parametrize("n", [3, 5, 7])
def test_gas__of_dead_feeds_is_less(open_chain: Callable[[str], Chain], n: int) -> None:
    bench = Bench([8] * n, MAJOR, chain=open_chain("revm"))
    bench.poke()
    calm = bench.call("poke", M).gas
    bench.advance(13)
    bench.mode(FEED_BURN_GAS)
    burnt = bench.call("poke", M).gas
    assert calm < n * 100_000 < burnt < bound()[n] // 2
