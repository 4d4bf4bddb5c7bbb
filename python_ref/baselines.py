"""Two oracles to compare with: the naive integration of a feed, and the typical one.

Mirrors of ``contracts/baselines/``. They answer the interface of ``PriceOracle`` with one number for everything and are
always LIVE; what they refuse is refused by everything that needs a price. Prices are WAD, ages seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from python_ref.constants import MAX_PRICE, STATE_FROZEN, STATE_LIVE, WAD
from python_ref.fixed_math import decay, uint
from python_ref.oracle_words import Feed, Prices
from python_ref.price_oracle import MAX_DECIMALS, MAX_FEEDS, ZERO_ADDRESS, Source
from python_ref.world import Key, Revert, World, require

LATEST = 0
MEAN = 1
MEDIAN = 2
AVERAGE = 3

_ADDRESS = (1 << 160) - 1
_PRICE = (1 << 87) - 1


class Baseline:
    """Whose feeds, and what everybody ignores; ``sources.vy``."""

    def __init__(
        self, world: World, governor: str, contracts: Mapping[str, Source], *, name: str = "PriceOracle"
    ) -> None:
        """``contracts`` says what feed lives at an address; ``name`` is where the words are kept."""
        self.world = world
        self.contracts = contracts
        self.name = name
        self.world.set(self._key("governor"), int(governor, 16))

    def _key(self, variable: str, *indices: int) -> Key:
        return (self.name, variable, *indices)

    def set_feeds(
        self, sender: str, market: int, feeds: Sequence[Sequence[int | str | bool]], rules: Sequence[int]
    ) -> None:
        """Replace the feeds of a market; of the fields of a ``Feed`` only source, decimals and max_age matter.

        ``oracle: not governor``, ``oracle: no feeds``, ``oracle: feed decimals``, ``oracle: feed max_age``.
        """
        require(len(feeds) <= MAX_FEEDS, "")
        require(int(sender, 16) == self.world.get(self._key("governor")), "oracle: not governor")
        require(len(feeds) > 0, "oracle: no feeds")
        words = [0] * MAX_FEEDS
        for i, given in enumerate(feeds):
            feed = Feed(*given)  # type: ignore[arg-type]
            require(feed.decimals <= MAX_DECIMALS, "oracle: feed decimals")
            require(feed.max_age < 2**24, "oracle: feed max_age")
            words[i] = int(feed.source, 16) | feed.decimals << 160 | feed.max_age << 168
        self.world.set(self._key("counts", market), len(feeds))
        for i, word in enumerate(words):
            self.world.set(self._key("feeds", market, i), word)

    def set_reporter(self, sender: str, reporter: str) -> None:
        """Ignored: a baseline does not lean on fills."""

    def set_sequencer(self, sender: str, feed: str) -> None:
        """Ignored: a baseline does not know that a sequencer can be down."""

    def report(self, sender: str, market: int, price: int) -> None:
        """Ignored: a baseline does not lean on fills."""

    def _has_feeds(self, market: int) -> bool:
        return self.world.get(self._key("counts", market)) > 0

    def _feed(self, market: int, place: int) -> int:
        return self.world.get(self._key("feeds", market, place))

    def _ask(self, word: int) -> tuple[int, int]:
        """Price and stamp of a feed's last answer, read as a typed call reads it: anything odd reverts."""
        source = self.contracts.get(f"0x{word & _ADDRESS:040x}")
        if source is None:
            raise Revert("")
        answer = source.latestRoundData(ZERO_ADDRESS)
        require(len(answer) >= 160, "")
        round_id, _, _, updated_at, answered_in = (int.from_bytes(answer[i : i + 32], "big") for i in range(0, 160, 32))
        require(round_id < 2**80 and answered_in < 2**80, "")
        value = int.from_bytes(answer[32:64], "big", signed=True)
        price = uint(value * 10 ** (MAX_DECIMALS - (word >> 160 & 0xFF)))
        require(price < MAX_PRICE, "oracle: out of range")
        return price, updated_at


def _flat(price: int) -> Prices:
    return Prices(price, price, price, price, price, price, STATE_LIVE, 0)


def _none() -> Prices:
    return Prices(0, 0, 0, 0, 0, 0, STATE_FROZEN, 0)


class StalenessOracle(Baseline):
    """The typical integration: the first feed, its age and its sign; ``StalenessOracle.vy``."""

    def prices(self, sender: str, market: int) -> Prices:
        """The first feed's latest answer. ``oracle: stale`` if old or not positive; a future stamp underflows."""
        if not self._has_feeds(market):
            return _none()
        word = self._feed(market, 0)
        price, updated_at = self._ask(word)
        require(price > 0 and uint(self.world.now - updated_at) <= word >> 168, "oracle: stale")
        return _flat(price)

    def peek(self, sender: str, market: int) -> Prices:
        """The same."""
        return self.prices(sender, market)

    def poke(self, sender: str, market: int) -> Prices:
        """The same."""
        return self.prices(sender, market)


class NaiveOracle(Baseline):
    """The naive integration: no check at all; ``NaiveOracle.vy``."""

    def __init__(
        self,
        world: World,
        governor: str,
        contracts: Mapping[str, Source],
        aggregation: int = LATEST,
        tau: int = 0,
        *,
        name: str = "PriceOracle",
    ) -> None:
        """``aggregation`` 0 latest, 1 mean, 2 median, 3 average with time constant ``tau`` seconds."""
        require(aggregation <= AVERAGE, "oracle: aggregation")
        require(aggregation != AVERAGE or tau > 0, "oracle: tau")
        super().__init__(world, governor, contracts, name=name)
        self.aggregation = aggregation
        self.tau = tau

    def prices(self, sender: str, market: int) -> Prices:
        """The feeds' answers as they are now; an average keeps the one of now."""
        if not self._has_feeds(market):
            return _none()
        price = self._price(market)
        if self.aggregation == AVERAGE:
            self.world.set(self._key("averages", market), price | self.world.now << 87)
        return _flat(price)

    def poke(self, sender: str, market: int) -> Prices:
        """The same."""
        return self.prices(sender, market)

    def peek(self, sender: str, market: int) -> Prices:
        """The same, keeping nothing."""
        return _flat(self._price(market)) if self._has_feeds(market) else _none()

    def _price(self, market: int) -> int:
        if self.aggregation in (MEAN, MEDIAN):
            return self._of_many(market)
        price, _ = self._ask(self._feed(market, 0))
        word = self.world.get(self._key("averages", market))
        if self.aggregation == LATEST or word == 0:
            return price
        weight = decay(self.world.now - (word >> 87), self.tau)
        return (price * (WAD - weight) + (word & _PRICE) * weight) // WAD

    def _of_many(self, market: int) -> int:
        """Mean or median of the feeds that answer something positive. ``oracle: no answer``."""
        found: list[int] = []
        for i in range(self.world.get(self._key("counts", market))):
            word = self._feed(market, i)
            source = self.contracts.get(f"0x{word & _ADDRESS:040x}")
            try:
                answer = source.latestRoundData(ZERO_ADDRESS) if source else b""
            except Revert:
                continue
            value = int.from_bytes(answer[32:64], "big", signed=True)
            if len(answer) < 160 or value <= 0:
                continue
            price = uint(value * 10 ** (MAX_DECIMALS - (word >> 160 & 0xFF)))
            require(price < MAX_PRICE, "oracle: out of range")
            found.append(price)
        require(len(found) > 0, "oracle: no answer")
        if self.aggregation == MEAN:
            return sum(found) // len(found)
        found.sort()
        return (found[(len(found) - 1) // 2] + found[len(found) // 2]) // 2
