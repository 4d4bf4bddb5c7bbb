"""Median of Chainlink-compatible feeds, with an interval and a state. Mirror of ``contracts/PriceOracle.vy``.

The one thing left out is gas: the contract also refuses a poke (``oracle: too little gas``) whose caller hands on too
little of it to serve a healthy feed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from python_ref.constants import MAX_MARKETS, MAX_PRICE, STATE_DEGRADED, STATE_FROZEN, STATE_LIVE, WAD
from python_ref.world import Key, Revert, World, require

N_FEEDS = 3
QUORUM = 2
BPS = 10_000

CACHE_S = 12
"""Seconds for which one poke serves everybody."""

TAU_S = 900
"""Time constant of the slow reference, seconds."""

FUTURE_S = 15
"""Seconds by which a feed's clock may run ahead of the block's."""

MAX_DECIMALS = 18
MAX_AGE_S = 172_800
MAX_OUTLIER_BPS = 1_000
MAX_WIDTH_BPS = 1_000

OK = 0
CALL_FAILED = 1
SHORT = 2
NONPOSITIVE = 3
INCOMPLETE = 4
FUTURE = 5
STALE = 6
OUT_OF_RANGE = 7

ZERO_ADDRESS = "0x" + "00" * 20


class Feed(Protocol):
    """What the oracle asks of a feed."""

    def decimals(self, sender: str) -> int:
        """Decimals of the answer; a :class:`Revert` where the call fails or answers no word."""

    def latestRoundData(self, sender: str) -> bytes:  # noqa: N802
        """The bytes on the wire; a :class:`Revert` where the call fails."""


@dataclass
class Prices:
    """WAD money per base unit, and the state: ``IPriceOracle.Prices``."""

    index: int
    mark: int
    low: int
    high: int
    credit_low: int
    credit_high: int
    state: int


@dataclass
class Cache:
    """All that ``prices`` reads of a market."""

    index: int = 0  # uint87, last accepted median, WAD; zero only before the first
    ref: int = 0  # uint87, slow reference, WAD
    poked_at: int = 0  # uint40, second of the last poke; zero only before the first
    state: int = 0  # uint8
    width_bps: int = 0  # uint16, half-width of the interval when the index was accepted

    def pack(self) -> int:
        """The word."""
        return self.index | self.ref << 87 | self.poked_at << 174 | self.state << 214 | self.width_bps << 222

    @classmethod
    def unpack(cls, word: int) -> Cache:
        """The fields of ``word``."""
        mask = (1 << 87) - 1
        return cls(word & mask, word >> 87 & mask, word >> 174 & (1 << 40) - 1, word >> 214 & 0xFF, word >> 222)


@dataclass(frozen=True)
class Reading:
    """One feed's answer: a code, and if that is OK the price (WAD) and the word to remember."""

    code: int
    price: int = 0
    seen: int = 0


def _step(x: int, ref: int, elapsed: int) -> int:
    """``(x − ref)·elapsed/TAU_S`` toward zero, as the machine divides signed numbers."""
    product = (x - ref) * elapsed
    return product // TAU_S if product >= 0 else -(-product // TAU_S)


class PriceOracle:
    """Feeds, caches and the governor who sets the feeds. Prices are WAD, ages seconds, codes as above."""

    def __init__(self, world: World, governor: str, contracts: Mapping[str, Feed]) -> None:
        """Name the first governor. ``contracts`` says what feed lives at an address."""
        require(governor != ZERO_ADDRESS, "oracle: no governor")
        self.world = world
        self.contracts = contracts
        self.world.set(self._key("governor"), int(governor, 16))
        self.world.emit("PriceOracle", "GovernorSet", governor=governor)

    def _key(self, variable: str, *indices: int) -> Key:
        return ("PriceOracle", variable, *indices)

    def prices(self, sender: str, market: int) -> Prices:
        """The prices that an operation of this block is judged by; pokes when the cache is older than CACHE_S."""
        cache = self._load(market)
        if self._age(cache) > CACHE_S:
            cache = self._poke(market, cache)
        return self._unpack(cache)

    def poke(self, sender: str, market: int) -> Prices:
        """Read the feeds now, at most once per second of block time."""
        cache = self._load(market)
        if self._age(cache) > 0:
            cache = self._poke(market, cache)
        return self._unpack(cache)

    def peek(self, sender: str, market: int) -> Prices:
        """What :meth:`prices` would return in this block; writes nothing."""
        cache = self._load(market)
        if self._age(cache) > CACHE_S:
            cache, _ = self._survey(market, cache)
        return self._unpack(cache)

    def set_governor(self, sender: str, governor: str) -> None:
        """Hand the office to another address, at once. ``oracle: not governor``, ``oracle: no governor``."""
        require(int(sender, 16) == self.world.get(self._key("governor")), "oracle: not governor")
        require(governor != ZERO_ADDRESS, "oracle: no governor")
        self.world.set(self._key("governor"), int(governor, 16))
        self.world.emit("PriceOracle", "GovernorSet", governor=governor)

    def set_feeds(
        self,
        sender: str,
        market: int,
        feeds: Sequence[str],
        decimals: Sequence[int],
        max_ages: Sequence[int],
        outlier_bps: int,
        width_bps: int,
    ) -> None:
        """Replace the feeds and the parameters of a market; accepted prices stay until the next poke.

        Refuses, in this order: a stranger, a market ≥ 16, parameters out of range, then per feed an address without
        code, a repeated feed, decimals or an age out of range, no decimals or others than the feed's own.
        """
        require(int(sender, 16) == self.world.get(self._key("governor")), "oracle: not governor")
        require(market < MAX_MARKETS, "oracle: no such market")
        require(0 < outlier_bps <= MAX_OUTLIER_BPS, "oracle: outlier_bps")
        require(width_bps <= MAX_WIDTH_BPS, "oracle: width_bps")
        for i in range(N_FEEDS):
            feed = self.contracts.get(feeds[i])
            if feed is None:
                raise Revert("oracle: feed is no contract")
            require(feeds[i] != feeds[(i + 1) % N_FEEDS], "oracle: same feed twice")
            require(decimals[i] <= MAX_DECIMALS, "oracle: feed decimals")
            require(0 < max_ages[i] <= MAX_AGE_S, "oracle: feed max_age")
            try:
                answered = feed.decimals(ZERO_ADDRESS)
            except Revert:
                raise Revert("oracle: no decimals") from None
            require(answered == decimals[i], "oracle: other decimals")
        for i in range(N_FEEDS):
            self.world.set(self._key("feeds", market, i), int(feeds[i], 16) | decimals[i] << 160 | max_ages[i] << 168)
            self.world.set(self._key("observations", market, i), 0)
        self.world.set(self._key("params", market), outlier_bps | width_bps << 16)
        self.world.emit(
            "PriceOracle",
            "FeedsSet",
            market=market,
            feeds=tuple(feeds),
            decimals=tuple(decimals),
            max_ages=tuple(max_ages),
            outlier_bps=outlier_bps,
            width_bps=width_bps,
        )

    def _load(self, market: int) -> Cache:
        return Cache.unpack(self.world.get(self._key("cache", market)))

    def _age(self, cache: Cache) -> int:
        """Seconds since the last poke; without end if there was none. Reverts if the clock ran backwards."""
        if cache.poked_at == 0:
            return 2**256 - 1
        require(cache.poked_at <= self.world.now, "")
        return self.world.now - cache.poked_at

    def _unpack(self, cache: Cache) -> Prices:
        low = cache.index * (BPS - cache.width_bps) // BPS
        high = (cache.index * (BPS + cache.width_bps) + BPS - 1) // BPS
        return Prices(
            index=cache.index,
            mark=cache.index,
            low=low,
            high=high,
            credit_low=min(low, cache.ref),
            credit_high=max(high, cache.ref),
            state=cache.state if cache.index else STATE_FROZEN,
        )

    def _poke(self, market: int, cache: Cache) -> Cache:
        """Read the feeds, store what they said and log it."""
        if self.world.get(self._key("params", market)) == 0:
            return cache
        cache, readings = self._survey(market, cache)
        for i, reading in enumerate(readings):
            key = self._key("observations", market, i)
            before = self.world.get(key)
            if reading.code == OK:
                self.world.set(key, reading.seen)
            else:
                self.world.set(key, before & (1 << 248) - 1 | reading.code << 248)
            if reading.code != before >> 248:
                if reading.code == OK:
                    self.world.emit("PriceOracle", "FeedRecovered", market=market, feed=i)
                else:
                    self.world.emit("PriceOracle", "FeedFailed", market=market, feed=i, code=reading.code)
        self.world.set(self._key("cache", market), cache.pack())
        p = self._unpack(cache)
        self.world.emit(
            "PriceOracle", "PricePoked", market=market, index=p.index, low=p.low, high=p.high, state=p.state
        )
        return cache

    def _survey(self, market: int, cache: Cache) -> tuple[Cache, list[Reading]]:
        """What a poke of this second reads, and the cache that it makes of it."""
        params = self.world.get(self._key("params", market))
        if params == 0:
            return cache, []
        outlier_bps, width_bps = params & 0xFFFF, params >> 16
        readings = [self._read(self.world.get(self._key("feeds", market, i))) for i in range(N_FEEDS)]
        valid = sorted(reading.price for reading in readings if reading.code == OK)
        agreeing = median = 0
        if len(valid) >= QUORUM:
            median = valid[1] if len(valid) == N_FEEDS else sum(valid) // QUORUM
            agreeing = sum(abs(price - median) * BPS <= outlier_bps * median for price in valid)
        if agreeing < QUORUM:
            return Cache(cache.index, cache.ref, self.world.now, STATE_FROZEN, cache.width_bps), readings
        ref = cache.ref
        if cache.index == 0:
            ref = median
        elif cache.state != STATE_FROZEN:
            ref += _step(cache.index, ref, min(self._age(cache), TAU_S))
        state = STATE_LIVE if agreeing == N_FEEDS else STATE_DEGRADED
        return Cache(median, ref, self.world.now, state, width_bps), readings

    def _read(self, word: int) -> Reading:
        """One feed's answer, or the code of the first check that it fails."""
        decimals, max_age = word >> 160 & 0xFF, word >> 168
        try:
            answer = self.contracts[f"0x{word & (1 << 160) - 1:040x}"].latestRoundData(ZERO_ADDRESS)[:160]
        except Revert:
            return Reading(CALL_FAILED)
        if len(answer) != 160:
            return Reading(SHORT)
        round_id = int.from_bytes(answer[:32], "big")
        value = int.from_bytes(answer[32:64], "big", signed=True)
        updated = int.from_bytes(answer[96:128], "big")
        if round_id >= 2**80 or value >= 2**128:
            return Reading(OUT_OF_RANGE)
        if value <= 0:
            return Reading(NONPOSITIVE)
        if updated == 0:
            return Reading(INCOMPLETE)
        if updated > self.world.now + FUTURE_S:
            return Reading(FUTURE)
        if updated + max_age < self.world.now:
            return Reading(STALE)
        price = value * WAD // 10**decimals
        if price >= MAX_PRICE:
            return Reading(OUT_OF_RANGE)
        return Reading(OK, price, value | round_id << 128 | updated << 208)
