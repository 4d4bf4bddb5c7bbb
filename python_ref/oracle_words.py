"""What the oracle stores: prices, feeds, rules, books, observations and their words. Mirror of the layouts that
``contracts/PriceOracle.vy`` states at its storage variables; SPEC §14.1.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field, fields

from python_ref.constants import BPS, MAX_MARKETS, STATE_FROZEN, STATE_LIVE

MAX_BOOKS = 32
MAX_OUTLIER_BPS = 1_000

MASK_40 = (1 << 40) - 1
MASK_87 = (1 << 87) - 1
MASK_128 = (1 << 128) - 1


@dataclass
class Prices:
    """WAD money per base unit, the state, and the seconds without a price in all: ``IPriceOracle.Prices``."""

    index: int
    mark: int
    low: int
    high: int
    credit_low: int
    credit_high: int
    state: int
    paused: int = 0


@dataclass(frozen=True)
class Feed:
    """One feed of a book; ages in seconds, bounds in the feed's own answers and excluded."""

    source: str
    decimals: int
    max_age: int
    heartbeat: int
    deviation: int  # bps, half-width that the feed stands for
    group: int  # provider, below 16
    flux: bool = False  # an aggregator whose answeredInRound means something
    least: int = 0
    most: int = 2**128 - 1

    @property
    def bounded(self) -> bool:
        """Whether there are bounds beyond those of every answer."""
        return self.least > 0 or self.most < 2**128 - 1

    def pack(self) -> int:
        """The word in ``feeds``."""
        return (
            int(self.source, 16)
            | self.decimals << 160
            | self.max_age << 168
            | self.heartbeat << 192
            | self.deviation << 216
            | self.group << 232
            | self.flux << 236
            | self.bounded << 237
        )

    def pack_bounds(self) -> int:
        """The word in ``bounds``."""
        return self.least | self.most << 128

    @classmethod
    def unpack(cls, word: int, bounds: int) -> Feed:
        """The feed of two words."""
        return cls(
            f"0x{word & (1 << 160) - 1:040x}",
            word >> 160 & 0xFF,
            word >> 168 & 0xFFFFFF,
            word >> 192 & 0xFFFFFF,
            word >> 216 & 0xFFFF,
            word >> 232 & 0xF,
            bool(word >> 236 & 1),
            bounds & MASK_128,
            bounds >> 128,
        )

    def as_tuple(self) -> tuple[str | int | bool, ...]:
        """As the ABI has it."""
        return astuple(self)


_RULE_WIDTHS = {"n": 4, "freeze": 32, "quote": 8}


@dataclass(frozen=True)
class Rules:
    """How a book judges its feeds; distances in bps, times in seconds. Zero switches a rule off where SPEC says so."""

    outlier: int = 500
    soft: int = 0
    jump: int = 0
    clamp: int = 0
    speed: int = 0  # bps per second
    step: int = 0
    tau_fast: int = 0
    tau_ref: int = 900
    hold: int = 0
    calm: int = 0
    grace: int = 0
    freeze: int = 0
    quote: int = 0  # book of the quote; 0 none

    def pack(self, n: int) -> int:
        """The word in ``rules``, with the number of feeds in front."""
        word, shift = n, 4
        for f in fields(self):
            word |= getattr(self, f.name) << shift
            shift += _RULE_WIDTHS.get(f.name, 16)
        return word

    @classmethod
    def unpack(cls, word: int) -> Rules:
        """The rules of a word; the number of feeds is its lowest four bits."""
        values, word = [], word >> 4
        for f in fields(cls):
            width = _RULE_WIDTHS.get(f.name, 16)
            values.append(word & (1 << width) - 1)
            word >>= width
        return cls(*values)

    def as_tuple(self) -> tuple[int, ...]:
        """As the ABI has it."""
        return astuple(self)

    def fits(self) -> bool:
        """Whether every field lies within what the oracle accepts."""
        return (
            0 < self.outlier <= MAX_OUTLIER_BPS
            and max(self.soft, self.jump, self.clamp, self.speed, self.step) <= BPS
            and (self.speed == 0) == (self.step == 0)
            and 0 < self.tau_ref < 2**16
            and max(self.tau_fast, self.hold, self.calm, self.grace) < 2**16
            and self.freeze < 2**32
            and (self.quote == 0 or MAX_MARKETS <= self.quote < MAX_BOOKS)
        )

    def tightens(self, old: Rules) -> bool:
        """Whether no rule is looser than in ``old``, and none that is neither looser nor tighter differs."""

        def narrower(name: str) -> bool:
            now, before = int(getattr(self, name)), int(getattr(old, name))
            return before == 0 or 0 < now <= before

        same = all(getattr(self, name) == getattr(old, name) for name in ("tau_fast", "tau_ref", "freeze", "quote"))
        longer = all(getattr(self, name) >= getattr(old, name) for name in ("hold", "calm", "grace"))
        return same and longer and all(map(narrower, ("outlier", "soft", "jump", "clamp", "speed", "step")))


@dataclass
class Book:
    """The four words of one price, and what the last poke made of them."""

    index: int = 0  # uint87, WAD, last accepted; zero only before the first
    mark: int = 0  # uint87
    poked_at: int = 0  # uint40
    state: int = 0  # uint4
    width: int = 0  # uint10, bps
    paused: int = 0  # uint28, seconds without a price in all
    fast: int = 0  # uint87
    ref: int = 0  # uint87
    accepted_at: int = 0  # uint40
    since: int = 0  # uint40, entry into the state
    pending: int = 0  # uint87, the price that waits for confirmation
    pending_at: int = 0
    clear_at: int = 0  # since when nothing was wrong (DEGRADED, FROZEN)
    soft_at: int = 0  # since when DEGRADED by the distance from ref alone
    sample: int = 0  # int24 ppm, premium of the last fill
    basis: int = 0  # int24 ppm
    cum: int = 0  # uint128, Σ index · seconds with a price
    clock: int = 0  # uint40, seconds with a price
    slot_at: int = 0  # clock of the last slot
    slots: int = 0  # uint32, written so far
    cause: int = field(default=0, compare=False)
    restart: bool = field(default=False, compare=False)
    new_slot: bool = field(default=False, compare=False)
    elapsed: int = field(default=0, compare=False)

    def cache(self) -> int:
        """Word ``cache``."""
        return (
            self.index
            | self.mark << 87
            | self.poked_at << 174
            | self.state << 214
            | self.width << 218
            | self.paused << 228
        )

    def averages(self) -> int:
        """Word ``averages``."""
        return self.fast | self.ref << 87 | self.accepted_at << 174 | self.since << 214

    def breaker(self) -> int:
        """Word ``breaker``."""
        word = self.pending | self.pending_at << 87 | self.clear_at << 127 | self.soft_at << 167
        return word | (self.sample % 2**24) << 207 | (self.basis % 2**24) << 231

    def history(self) -> int:
        """Word ``history``."""
        return self.cum | self.clock << 128 | self.slot_at << 168 | self.slots << 208

    @classmethod
    def unpack(cls, cache: int, averages: int, breaker: int, history: int) -> Book:
        """A book of its four words."""

        def signed(word: int) -> int:
            return (word & 0xFFFFFF ^ 1 << 23) - (1 << 23)

        return cls(
            cache & MASK_87,
            cache >> 87 & MASK_87,
            cache >> 174 & MASK_40,
            cache >> 214 & 0xF,
            cache >> 218 & 0x3FF,
            cache >> 228,
            averages & MASK_87,
            averages >> 87 & MASK_87,
            averages >> 174 & MASK_40,
            averages >> 214,
            breaker & MASK_87,
            breaker >> 87 & MASK_40,
            breaker >> 127 & MASK_40,
            breaker >> 167 & MASK_40,
            signed(breaker >> 207),
            signed(breaker >> 231),
            history & MASK_128,
            history >> 128 & MASK_40,
            history >> 168 & MASK_40,
            history >> 208,
        )

    def move(self, state: int, now: int, cause: int) -> None:
        """Enter a state."""
        self.state, self.since, self.clear_at, self.soft_at, self.cause = state, now, 0, 0, cause


@dataclass(frozen=True)
class Observation:
    """What is remembered of a feed."""

    answer: int = 0  # uint128, last seen, the feed's decimals
    round: int = 0  # uint80
    stamp: int = 0  # uint40
    code: int = 0  # uint4, of the last read
    quarantine: int = 0  # uint2, new rounds still to agree
    rounds: int = 0  # uint2, new rounds since a pending price

    def pack(self) -> int:
        """The word."""
        word = self.answer | self.round << 128 | self.stamp << 208
        return word | self.code << 248 | self.quarantine << 252 | self.rounds << 254

    @classmethod
    def unpack(cls, word: int) -> Observation:
        """The observation of a word."""
        return cls(
            word & MASK_128,
            word >> 128 & (1 << 80) - 1,
            word >> 208 & MASK_40,
            word >> 248 & 0xF,
            word >> 252 & 3,
            word >> 254,
        )


def unpack(cache: int, averages: int) -> Prices:
    """The prices that two words stand for: low rounds down, high up."""
    index, mark, ref = cache & MASK_87, cache >> 87 & MASK_87, averages >> 87 & MASK_87
    state, width = cache >> 214 & 0xF, cache >> 218 & 0x3FF
    least, most = (index, mark) if index < mark else (mark, index)
    if state != STATE_LIVE:
        fast = averages & MASK_87
        least, most = min(least, fast), max(most, fast)
    low = least * (BPS - width) // BPS
    high = (most * (BPS + width) + BPS - 1) // BPS
    return Prices(
        index=index,
        mark=mark,
        low=low,
        high=high,
        credit_low=min(low, ref),
        credit_high=max(high, ref),
        state=state if index else STATE_FROZEN,
        paused=cache >> 228,
    )
