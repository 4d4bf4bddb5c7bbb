"""Prices by quorum, with an interval, a breaker and five states. Mirror of ``contracts/PriceOracle.vy``, SPEC §14.

The one thing left out is gas: the contract also refuses a poke (``oracle: too little gas``) whose caller hands on too
little of it to serve a healthy feed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from python_ref.constants import (
    BPS,
    MAX_MARKETS,
    MAX_PRICE,
    PPM,
    STATE_DEGRADED,
    STATE_FROZEN,
    STATE_LIVE,
    STATE_RECOVERY,
    STATE_SETTLEMENT,
    WAD,
)
from python_ref.fixed_math import decay
from python_ref.oracle_words import (
    MASK_40,
    MASK_128,
    MAX_BOOKS,
    Book,
    Feed,
    Observation,
    Prices,
    Rules,
    unpack,
)
from python_ref.world import Key, Revert, World, require

MAX_FEEDS = 7

CACHE_S = 12
"""Seconds for which one poke serves everybody."""

FUTURE_S = 15
"""Seconds by which a feed's clock may run ahead of the block's."""

FRESH_S = 60
"""Seconds beyond its heartbeat after which an answer widens the interval, and makes the market DEGRADED."""

AGE_S_PER_BPS = 10
MAX_AGED_BPS = 300
MAX_WIDTH_BPS = 1_000
BASIS_TAU_S = 150
MAX_BASIS_PPM = 10_000
SLOTS = 64
SLOT_S = 60
RESEED_S = 1_800
MAX_JUMP_BPS = 5_000
CONFIRM_S = 300
CONFIRM_FAR_S = 900
CONFIRM_FAR_BPS = 10_000
PENDING_BPS = 500
QUARANTINE = 3
MAX_PAUSED_S = 2**28 - 1
NEW_ROUNDS = 2

MAX_DECIMALS = 18
MAX_AGE_S = 172_800
MAX_GROUPS = 16

OK = 0
CALL_FAILED = 1
SHORT = 2
NONPOSITIVE = 3
INCOMPLETE = 4
FUTURE = 5
STALE = 6
OUT_OF_RANGE = 7
BOUND = 8
REGRESS = 9
PHASE = 10
DECIMALS = 11

CAUSE_FIRST = 1
CAUSE_QUORUM = 2
CAUSE_SEQUENCER = 3
CAUSE_QUOTE = 4
CAUSE_TRIP = 5
CAUSE_CALM = 6
CAUSE_CONFIRMED = 7
CAUSE_GRACE = 8
CAUSE_FEW = 9
CAUSE_SOFT = 10
CAUSE_OLD = 11
CAUSE_HOLD = 12
CAUSE_SETTLED = 13

ZERO_ADDRESS = "0x" + "00" * 20


class Source(Protocol):
    """What the oracle asks of a feed."""

    def decimals(self, sender: str) -> int:
        """Decimals of the answer; a :class:`Revert` where the call fails or answers no word."""

    def latestRoundData(self, sender: str) -> bytes:  # noqa: N802
        """The bytes on the wire; a :class:`Revert` where the call fails."""


@dataclass
class Reading:
    """One feed read now."""

    code: int
    price: int = 0  # WAD, also of a feed in quarantine
    answer: int = 0
    round: int = 0
    stamp: int = 0
    is_new: bool = False  # another round than the last seen
    moved_phase: bool = False
    agrees: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the feeds say together; ``price`` 0 if there is none."""

    price: int = 0
    width: int = 0
    few: bool = False
    old: bool = False


@dataclass(frozen=True)
class Quote:
    """Another book that prices the unit of collateral; 1 and LIVE where there is none."""

    price: int = WAD
    width: int = 0
    state: int = STATE_LIVE

    @property
    def blind(self) -> bool:
        """Whether it stands in the way of a price."""
        return self.price == 0 or self.state in (STATE_FROZEN, STATE_SETTLEMENT)


def within(a: int, b: int, bps: int) -> bool:
    """Whether ``a`` lies within ``bps`` of ``b``."""
    return abs(a - b) * BPS <= bps * b


def jump_bps(a: int, b: int) -> int:
    """Distance of two prices in bps of the smaller, rounded down: ×2 and ÷2 are both 10,000."""
    return abs(a - b) * BPS // min(a, b)


class PriceOracle:
    """Feeds, books and the governor who sets them. Prices are WAD, ages seconds, codes as above."""

    def __init__(self, world: World, governor: str, contracts: Mapping[str, Source]) -> None:
        """Name the first governor. ``contracts`` says what feed lives at an address."""
        require(governor != ZERO_ADDRESS, "oracle: no governor")
        self.world = world
        self.contracts = contracts
        self.world.set(self._key("governor"), int(governor, 16))
        self.world.emit("PriceOracle", "GovernorSet", governor=governor)

    def _key(self, variable: str, *indices: int) -> Key:
        return ("PriceOracle", variable, *indices)

    # ---- prices ---------------------------------------------------------------------------------

    def prices(self, sender: str, market: int) -> Prices:
        """The prices that an operation of this block is judged by; pokes when the cache is older than CACHE_S."""
        return self._look(market, CACHE_S)

    def poke(self, sender: str, market: int) -> Prices:
        """Read the feeds now, at most once per second of block time."""
        return self._look(market, 0)

    def _look(self, market: int, age: int) -> Prices:
        get, cache, averages = self.world.get, self._key("cache", market), self._key("averages", market)
        if self._age(get(cache) >> 174 & MASK_40) > age:
            self._poke(market, self._load(market))
        return unpack(get(cache), get(averages))

    def peek(self, sender: str, market: int) -> Prices:
        """What :meth:`prices` would return in this block; writes nothing."""
        book = self._load(market)
        if self._age(book.poked_at) > CACHE_S:
            quote = Quote()
            if (other := self._rules(market).quote) != 0:
                other_book = self._load(other)
                if self._age(other_book.poked_at) > CACHE_S:
                    other_book, _ = self._survey(other, other_book, Quote())
                quote = self._as_quote(other_book)
            book, _ = self._survey(market, book, quote)
        return unpack(book.cache(), book.averages())

    def twap(self, sender: str, market: int, window: int) -> int:
        """Mean index of at least the last ``window`` seconds that had a price, as of the last poke; 0 if none."""
        return self._twap(market, self._load(market), window)

    def report(self, sender: str, market: int, price: int) -> None:
        """Tell the price (WAD) of a fill: its premium has weight from now on. ``oracle: not reporter``."""
        require(int(sender, 16) == self.world.get(self._key("reporter")), "oracle: not reporter")
        book = self._load(market)
        if book.index == 0:
            return
        premium = (price - book.index) * PPM
        premium = premium // book.index if premium >= 0 else -(-premium // book.index)
        book.sample = max(-MAX_BASIS_PPM, min(MAX_BASIS_PPM, premium))
        self.world.set(self._key("breaker", market), book.breaker())

    # ---- the governor's -------------------------------------------------------------------------

    def set_governor(self, sender: str, governor: str) -> None:
        """Hand the office to another address, at once. ``oracle: not governor``, ``oracle: no governor``."""
        self._only_governor(sender)
        require(governor != ZERO_ADDRESS, "oracle: no governor")
        self.world.set(self._key("governor"), int(governor, 16))
        self.world.emit("PriceOracle", "GovernorSet", governor=governor)

    def set_reporter(self, sender: str, reporter: str) -> None:
        """Name the contract whose fills lean on the mark; zero for none. ``oracle: not governor``."""
        self._only_governor(sender)
        self.world.set(self._key("reporter"), int(reporter, 16))
        self.world.emit("PriceOracle", "ReporterSet", reporter=reporter)

    def set_sequencer(self, sender: str, feed: str) -> None:
        """Name the L2's uptime feed; zero for none. ``oracle: not governor``, ``oracle: feed is no contract``."""
        self._only_governor(sender)
        require(feed == ZERO_ADDRESS or feed in self.contracts, "oracle: feed is no contract")
        self.world.set(self._key("sequencer"), int(feed, 16))
        self.world.emit("PriceOracle", "SequencerSet", feed=feed)

    def set_feeds(
        self, sender: str, market: int, feeds: Sequence[Sequence[int | str | bool]], rules: Sequence[int]
    ) -> None:
        """Replace the feeds and the rules of a book; accepted prices stay until the next poke.

        ``feeds`` and ``rules``: fields of :class:`Feed` and :class:`Rules`. Refuses, in this order: a stranger, a book
        ≥ 32, rules out of range, a quote of a quote, a number of feeds other than 3, 5, 7; per feed an address
        without code, a repeated feed, decimals, age, heartbeat, deviation, group or bounds out of range, no decimals
        or others than the feed's own; a group that holds a quorum; if there is a price, a market that is not LIVE
        and feeds that disagree with it.
        """
        self._only_governor(sender)
        wanted = Rules(*rules)
        require(market < MAX_BOOKS, "oracle: no such market")
        require(wanted.fits(), "oracle: rules")
        require(wanted.quote == 0 or market < MAX_MARKETS, "oracle: rules")
        given = [Feed(*feed) for feed in feeds]  # type: ignore[arg-type]
        require(len(given) in (3, 5, 7), "oracle: number of feeds")
        for i, feed in enumerate(given):
            self._check_feed(feed)
            require(all(feed.source != other.source for other in given[:i]), "oracle: same feed twice")
        self._check_groups(given)
        book = self._load(market)
        if book.index != 0:
            require(book.state == STATE_LIVE, "oracle: not live")
            readings = [self._read(feed, Observation()) for feed in given]
            quote = self._stored_quote(wanted)
            verdict = self._judge(given, wanted, quote, readings)
            agrees = verdict.price != 0 and within(verdict.price, book.index, wanted.outlier)
            require(agrees, "oracle: disagrees")
        for i in range(MAX_FEEDS):
            there = i < len(given)
            self.world.set(self._key("feeds", market, i), given[i].pack() if there else 0)
            self.world.set(self._key("bounds", market, i), given[i].pack_bounds() if there else 0)
            self.world.set(self._key("observations", market, i), 0)
        self.world.set(self._key("rules", market), wanted.pack(len(given)))
        self.world.emit(
            "PriceOracle",
            "FeedsSet",
            market=market,
            feeds=tuple(feed.as_tuple() for feed in given),
            rules=wanted.as_tuple(),
        )

    def replace_feed(self, sender: str, market: int, i: int, feed: Sequence[int | str | bool]) -> None:
        """Put a feed in the place of one that fails, at once; it starts in quarantine.

        Refuses, in this order: a stranger, a market without a price, one that is LIVE or settled, a place without a
        feed, what :meth:`set_feeds` refuses of a feed, an old feed that answers, a new one that does not answer
        within the outlier band of the index.
        """
        self._only_governor(sender)
        book = self._load(market) if market < MAX_BOOKS else Book()
        require(book.index != 0, "oracle: no price")
        require(book.state not in (STATE_LIVE, STATE_SETTLEMENT), "oracle: not replaceable")
        given = self._feeds(market)
        require(i < len(given), "oracle: no such feed")
        new = Feed(*feed)  # type: ignore[arg-type]
        self._check_feed(new)
        require(all(new.source != other.source for other in given), "oracle: same feed twice")
        key = self._key("observations", market, i)
        old = self._read(given[i], Observation.unpack(self.world.get(key)))
        require(old.code != OK, "oracle: feed answers")
        given[i] = new
        self._check_groups(given)
        reading = self._read(new, Observation())
        rules = self._rules(market)
        quote = self._stored_quote(rules)
        require(reading.code == OK and quote.price != 0, "oracle: disagrees")
        price = reading.price * WAD // quote.price
        require(within(price, book.index, rules.outlier), "oracle: disagrees")
        self.world.set(self._key("feeds", market, i), new.pack())
        self.world.set(self._key("bounds", market, i), new.pack_bounds())
        seen = Observation(reading.answer, reading.round, reading.stamp, PHASE, QUARANTINE)
        self.world.set(key, seen.pack())
        self.world.emit("PriceOracle", "FeedReplaced", market=market, place=i, feed=new.as_tuple())

    def tighten_rules(self, sender: str, market: int, rules: Sequence[int]) -> None:
        """Replace a book's rules by tighter ones, at once. ``oracle: no feeds``, ``rules``, ``loosens``."""
        self._only_governor(sender)
        word = self.world.get(self._key("rules", market)) if market < MAX_BOOKS else 0
        require(word != 0, "oracle: no feeds")
        wanted = Rules(*rules)
        require(wanted.fits(), "oracle: rules")
        require(wanted.tightens(Rules.unpack(word)), "oracle: loosens")
        self.world.set(self._key("rules", market), wanted.pack(word & 0xF))
        self.world.emit("PriceOracle", "RulesTightened", market=market, rules=wanted.as_tuple())

    def settle(self, sender: str, market: int) -> int:
        """End a market: anyone after ``freeze`` seconds of FROZEN, the governor at any time. The price, WAD.

        The mean of the last 1,800 seconds that had a price; of the whole life if that is shorter; else the index.
        ``oracle: no price``, ``oracle: settled``, ``oracle: not settleable``.
        """
        require(market < MAX_BOOKS, "oracle: no price")
        book = self._load(market)
        if self._age(book.poked_at) > 0:
            book = self._poke(market, book)
        require(book.index != 0, "oracle: no price")
        require(book.state != STATE_SETTLEMENT, "oracle: settled")
        if int(sender, 16) != self.world.get(self._key("governor")):
            freeze = self._rules(market).freeze
            due = book.state == STATE_FROZEN and freeze != 0 and self.world.now - book.since > freeze
            require(due, "oracle: not settleable")
        price = self._twap(market, book, RESEED_S)
        if price == 0:
            price = book.cum // book.clock if book.clock else book.index
        before = book.state
        book.index = book.mark = book.fast = book.ref = price
        book.width = book.pending = book.pending_at = book.sample = book.basis = 0
        book.move(STATE_SETTLEMENT, self.world.now, CAUSE_SETTLED)
        self._store(market, book)
        self._log_state(market, before, book)
        self.world.emit("PriceOracle", "MarketSettled", market=market, price=price)
        return price

    # ---- storage --------------------------------------------------------------------------------

    def _only_governor(self, sender: str) -> None:
        require(int(sender, 16) == self.world.get(self._key("governor")), "oracle: not governor")

    def _load(self, market: int) -> Book:
        return Book.unpack(
            *(self.world.get(self._key(word, market)) for word in ("cache", "averages", "breaker", "history"))
        )

    def _store(self, market: int, book: Book) -> None:
        self.world.set(self._key("cache", market), book.cache())
        self.world.set(self._key("averages", market), book.averages())
        self.world.set(self._key("breaker", market), book.breaker())
        self.world.set(self._key("history", market), book.history())

    def _rules(self, market: int) -> Rules:
        return Rules.unpack(self.world.get(self._key("rules", market)))

    def _feeds(self, market: int) -> list[Feed]:
        n = self.world.get(self._key("rules", market)) & 0xF
        return [
            Feed.unpack(self.world.get(self._key("feeds", market, i)), self.world.get(self._key("bounds", market, i)))
            for i in range(n)
        ]

    def _age(self, poked_at: int) -> int:
        """Seconds since a poke; without end if there was none. Reverts if the clock ran backwards."""
        if poked_at == 0:
            return 2**256 - 1
        require(poked_at <= self.world.now, "")
        return self.world.now - poked_at

    # ---- a poke ---------------------------------------------------------------------------------

    def _poke(self, market: int, before: Book) -> Book:
        """Read the feeds, store what they said and log it; the quote's book first."""
        quote = Quote()
        other = self._rules(market).quote
        if other != 0 and before.state != STATE_SETTLEMENT:
            other_book = self._load(other)
            if self._age(other_book.poked_at) > CACHE_S:
                other_book = self._poke_book(other, other_book, Quote())
            quote = self._as_quote(other_book)
        return self._poke_book(market, before, quote)

    def _poke_book(self, market: int, before: Book, quote: Quote) -> Book:
        if self.world.get(self._key("rules", market)) == 0 or before.state == STATE_SETTLEMENT:
            return before
        book, readings = self._survey(market, before, quote)
        for i, reading in enumerate(readings):
            self._remember(market, i, reading, book, quote)
        self._store(market, book)
        if book.new_slot:
            self.world.set(self._key("ring", market, (book.slots - 1) % SLOTS), book.cum | book.clock << 128)
        self._log_state(market, before.state if before.index else STATE_FROZEN, book)
        p = unpack(book.cache(), book.averages())
        self.world.emit(
            "PriceOracle",
            "PricePoked",
            market=market,
            index=p.index,
            mark=p.mark,
            low=p.low,
            high=p.high,
            state=p.state,
        )
        return book

    def _log_state(self, market: int, before: int, book: Book) -> None:
        if book.state != before:
            self.world.emit(
                "PriceOracle", "StateChanged", market=market, before=before, after=book.state, cause=book.cause
            )

    def _remember(self, market: int, i: int, reading: Reading, book: Book, quote: Quote) -> None:
        """Store what was seen of one feed; a quarantined one works off its rounds."""
        key = self._key("observations", market, i)
        before = Observation.unpack(self.world.get(key))
        after = replace(before, code=reading.code)
        if reading.code in (OK, PHASE):
            after = replace(after, answer=reading.answer, round=reading.round, stamp=reading.stamp)
        if reading.code == PHASE:
            if reading.moved_phase:
                after = replace(after, quarantine=QUARANTINE)
            elif reading.is_new and book.index != 0 and quote.price != 0:
                # the others' price if there is one, else the last that was accepted
                near = within(
                    reading.price * WAD // quote.price, book.pending or book.index, self._rules(market).outlier
                )
                after = replace(after, quarantine=before.quarantine - 1 if near else QUARANTINE)
        after = replace(after, rounds=0 if book.restart else self._rounds(before, reading, book))
        self.world.set(key, after.pack())
        if after.code != before.code:
            if after.code == OK:
                self.world.emit("PriceOracle", "FeedRecovered", market=market, feed=i)
            else:
                self.world.emit("PriceOracle", "FeedFailed", market=market, feed=i, code=after.code)

    @staticmethod
    def _rounds(before: Observation, reading: Reading, book: Book) -> int:
        """New rounds of an agreeing feed since a price is pending, two at most."""
        counts = book.pending != 0 and reading.is_new and reading.agrees
        return min(before.rounds + counts, NEW_ROUNDS)

    def _survey(self, market: int, before: Book, quote: Quote) -> tuple[Book, list[Reading]]:
        """What a poke of this second reads, and the book that it makes of it."""
        if self.world.get(self._key("rules", market)) == 0 or before.state == STATE_SETTLEMENT:
            return before, []
        rules, feeds = self._rules(market), self._feeds(market)
        observations = [
            Observation.unpack(self.world.get(self._key("observations", market, i))) for i in range(len(feeds))
        ]
        readings = [self._read(feed, seen) for feed, seen in zip(feeds, observations, strict=True)]
        verdict = self._judge(feeds, rules, quote, readings)
        blind = 0
        if self._sequencer_is_blind(before.poked_at):
            blind = CAUSE_SEQUENCER
        elif quote.blind:
            blind = CAUSE_QUOTE
        elif verdict.price == 0:
            blind = CAUSE_QUORUM
        book = replace(before, cause=0, restart=False, new_slot=False)
        self._let_time_pass(book, rules)
        rounds = [self._rounds(seen, reading, book) for seen, reading in zip(observations, readings, strict=True)]
        counts = sum(r.agrees and n >= NEW_ROUNDS for r, n in zip(readings, rounds, strict=True))
        self._advance(market, book, rules, verdict, quote, blind, counts > len(feeds) // 2)
        return book, readings

    def _let_time_pass(self, book: Book, rules: Rules) -> None:
        """Give the index in force its weight for the time since the last poke (left Riemann); none without a price."""
        elapsed = book.elapsed = self._age(book.poked_at) if book.poked_at else 0
        book.poked_at = self.world.now
        if book.index == 0 or elapsed == 0:
            return
        if book.state == STATE_FROZEN:
            book.paused = min(book.paused + elapsed, MAX_PAUSED_S)
            return
        if rules.tau_fast != 0:
            book.fast = _mix(book.index, book.fast, decay(elapsed, rules.tau_fast))
        sample = book.index
        if rules.clamp != 0:
            sample = max(book.ref * (BPS - rules.clamp) // BPS, min(book.ref * (BPS + rules.clamp) // BPS, sample))
        book.ref = _mix(sample, book.ref, decay(elapsed, rules.tau_ref))
        if book.sample != book.basis:
            weight = decay(elapsed, BASIS_TAU_S)
            mixed = book.sample * (WAD - weight) + book.basis * weight
            book.basis = mixed // WAD if mixed >= 0 else -(-mixed // WAD)
        book.cum += book.index * elapsed
        book.clock += elapsed
        if book.clock - book.slot_at >= SLOT_S:
            book.slot_at = book.clock
            book.slots += 1
            book.new_slot = True

    def _advance(
        self, market: int, book: Book, rules: Rules, verdict: Verdict, quote: Quote, blind: int, confirmed: bool
    ) -> None:
        """One step of the state machine of SPEC §14.5."""
        now, price = self.world.now, verdict.price
        if book.index == 0:
            if blind:
                book.state = STATE_FROZEN
                return
            book.mark = book.fast = book.ref = price
            book.slots, book.new_slot = 1, True
            book.move(STATE_LIVE, now, CAUSE_FIRST)
            self._accept(book, rules, verdict)
        elif book.state == STATE_FROZEN:
            if not self._thaw(book, rules, price, blind, confirmed):
                return
            book.pending = book.pending_at = 0
            self._accept(book, rules, verdict)
        else:
            trip = not blind and self._trips(book, rules, price)
            if blind or trip:
                book.move(STATE_FROZEN, now, blind or CAUSE_TRIP)
                if trip:
                    book.pending, book.pending_at, book.restart = price, now, True
                return
            self._accept(book, rules, verdict)
        if book.state == STATE_RECOVERY:
            if now - book.since < rules.grace:
                return
            book.move(STATE_DEGRADED, now, CAUSE_GRACE)
        self._doubt(market, book, rules, verdict, quote)

    def _trips(self, book: Book, rules: Rules, price: int) -> bool:
        """Whether a price is too far from the last accepted one; a bp more is allowed each second."""
        if rules.jump == 0:
            return False
        allowed = min(rules.jump + self.world.now - book.accepted_at, max(rules.jump, MAX_JUMP_BPS))
        return jump_bps(price, book.index) > allowed

    def _thaw(self, book: Book, rules: Rules, price: int, blind: int, confirmed: bool) -> bool:
        """Whether a FROZEN market has a price again; enters RECOVERY if so."""
        now = self.world.now
        if blind:
            book.clear_at = book.pending = book.pending_at = 0
            return False
        if not self._trips(book, rules, price):
            book.pending = book.pending_at = 0
            book.clear_at = book.clear_at or now
            if now - book.clear_at < rules.calm:
                return False
            book.move(STATE_RECOVERY, now, CAUSE_CALM)
            return True
        book.clear_at = 0
        if book.pending == 0 or not within(price, book.pending, rules.soft or PENDING_BPS):
            book.pending, book.pending_at, book.restart = price, now, True
            return False
        far = jump_bps(price, book.index)
        wait = CONFIRM_S if far <= MAX_JUMP_BPS else CONFIRM_FAR_S
        if far > CONFIRM_FAR_BPS or not confirmed or now - book.pending_at < wait:
            return False
        book.move(STATE_RECOVERY, now, CAUSE_CONFIRMED)
        return True

    def _accept(self, book: Book, rules: Rules, verdict: Verdict) -> None:
        """Make a price the index; the mark follows as fast as it may."""
        book.index, book.width, book.accepted_at = verdict.price, verdict.width, self.world.now
        if rules.tau_fast == 0:
            book.fast = book.index
        mark = book.index * (PPM + book.basis) // PPM
        if rules.speed != 0:
            room = min(rules.speed * book.elapsed, rules.step)
            mark = max(book.mark * (BPS - room) // BPS, min(book.mark * (BPS + room) // BPS, mark))
        book.mark = mark

    def _doubt(self, market: int, book: Book, rules: Rules, verdict: Verdict, quote: Quote) -> None:
        """LIVE or DEGRADED: whether one more feed may fail, and the price is near its own past."""
        now = self.world.now
        waited = book.soft_at != 0 and now - book.soft_at >= RESEED_S
        if waited and within(book.index, book.fast, rules.soft):
            # a real move leaves the slow reference behind for hours
            book.ref = self._twap(market, book, RESEED_S) or book.ref
        soft = rules.soft != 0 and not within(book.index, book.ref, rules.soft)
        other = CAUSE_FEW if verdict.few else CAUSE_OLD if verdict.old else 0
        if other == 0 and quote.state != STATE_LIVE:
            other = CAUSE_QUOTE
        cause = other or (CAUSE_SOFT if soft else 0)
        if cause:
            if book.state == STATE_LIVE:
                first = book.cause == CAUSE_FIRST
                book.move(STATE_DEGRADED, now, CAUSE_FIRST if first else cause)
            book.clear_at = 0
            book.soft_at = 0 if other else book.soft_at or now
        elif book.state == STATE_DEGRADED:
            book.soft_at = 0
            book.clear_at = book.clear_at or now
            if now - book.clear_at >= rules.hold:
                book.move(STATE_LIVE, now, CAUSE_HOLD)

    def _twap(self, market: int, book: Book, window: int) -> int:
        """Mean index since the youngest slot at least ``window`` seconds of clock ago; 0 if there is none."""
        for back in range(min(book.slots, SLOTS)):
            slot = book.slots - 1 - back
            # the slot of this very poke is not stored yet
            word = self.world.get(self._key("ring", market, slot % SLOTS))
            cum, clock = word & MASK_128, word >> 128
            if back == 0 and book.new_slot:
                cum, clock = book.cum, book.clock
            if book.clock - clock >= max(window, 1):
                return (book.cum - cum) // (book.clock - clock)
        return 0

    # ---- feeds ----------------------------------------------------------------------------------

    def _as_quote(self, book: Book) -> Quote:
        return Quote(book.index, book.width, book.state)

    def _stored_quote(self, rules: Rules) -> Quote:
        """The quote's last accepted price, unread."""
        return self._as_quote(self._load(rules.quote)) if rules.quote else Quote()

    def _sequencer_is_blind(self, poked_at: int) -> bool:
        """Whether the L2 is down, unknown, or came back after the last poke."""
        feed = self.world.get(self._key("sequencer"))
        if feed == 0:
            return False
        answer = self._ask(f"0x{feed:040x}")
        if answer is None or len(answer) != 160:
            return True
        down, started = int.from_bytes(answer[32:64], "big"), int.from_bytes(answer[64:96], "big")
        return down != 0 or started == 0 or (poked_at != 0 and started > poked_at)

    def _ask(self, source: str) -> bytes | None:
        """Bytes on the wire, at most 160; None for a call that fails, none for an address without code."""
        contract = self.contracts.get(source)
        try:
            return contract.latestRoundData(ZERO_ADDRESS)[:160] if contract is not None else b""
        except Revert:
            return None

    def _decimals(self, source: str) -> int | None:
        contract = self.contracts.get(source)
        try:
            return contract.decimals(ZERO_ADDRESS) if contract is not None else None
        except Revert:
            return None

    def _check_feed(self, feed: Feed) -> None:
        require(feed.source in self.contracts, "oracle: feed is no contract")
        require(feed.decimals <= MAX_DECIMALS, "oracle: feed decimals")
        require(0 < feed.max_age <= MAX_AGE_S, "oracle: feed max_age")
        require(0 < feed.heartbeat <= MAX_AGE_S, "oracle: feed heartbeat")
        require(feed.deviation <= MAX_WIDTH_BPS, "oracle: feed deviation")
        require(feed.group < MAX_GROUPS, "oracle: feed group")
        require(feed.least < feed.most < 2**128, "oracle: feed bounds")
        answered = self._decimals(feed.source)
        require(answered is not None, "oracle: no decimals")
        require(answered == feed.decimals, "oracle: other decimals")

    @staticmethod
    def _check_groups(feeds: Sequence[Feed]) -> None:
        """No provider may hold a quorum alone."""
        most = max(sum(feed.group == other.group for other in feeds) for feed in feeds)
        require(most <= len(feeds) // 2, "oracle: group has quorum")

    def _judge(self, feeds: Sequence[Feed], rules: Rules, quote: Quote, readings: Sequence[Reading]) -> Verdict:
        """Median, agreement counted against the feeds configured, and the width; marks the readings that agree."""
        n = len(feeds)
        quorum = n // 2 + 1
        valid = sorted(reading.price for reading in readings if reading.code == OK)
        if len(valid) < quorum or quote.price == 0:
            return Verdict()
        half = len(valid) // 2
        median = valid[half] if len(valid) % 2 else (valid[half - 1] + valid[half]) // 2
        for reading in readings:
            reading.agrees = reading.code == OK and within(reading.price, median, rules.outlier)
        agreeing = [(feed, reading) for feed, reading in zip(feeds, readings, strict=True) if reading.agrees]
        if len(agreeing) < quorum:
            return Verdict()
        price = median * WAD // quote.price
        if not 0 < price < MAX_PRICE:
            return Verdict()
        stamp = sorted((reading.stamp for _, reading in agreeing), reverse=True)[quorum - 1]
        age = max(0, self.world.now - stamp)
        stale = max(0, age - FRESH_S - max(feed.heartbeat for feed, _ in agreeing))
        width = sorted(feed.deviation for feed, _ in agreeing)[quorum - 1]
        aged = stale // AGE_S_PER_BPS
        if aged > 0 and width + aged > MAX_AGED_BPS:
            return Verdict()
        width = min(width + aged + quote.width, MAX_WIDTH_BPS)
        return Verdict(price, width, len(agreeing) < min(n, quorum + 1), stale > 0)

    def _read(self, feed: Feed, seen: Observation) -> Reading:
        """One feed's answer, or the code of the first check that it fails (SPEC §14.2)."""
        answer = self._ask(feed.source)
        if answer is None:
            return Reading(CALL_FAILED)
        if len(answer) != 160:
            return Reading(SHORT)
        round_id = int.from_bytes(answer[:32], "big")
        value = int.from_bytes(answer[32:64], "big", signed=True)
        stamp = int.from_bytes(answer[96:128], "big")
        answered_in = int.from_bytes(answer[128:], "big")
        if round_id >= 2**80 or value >= 2**128:
            return Reading(OUT_OF_RANGE)
        if value <= 0:
            return Reading(NONPOSITIVE)
        if stamp == 0 or (feed.flux and answered_in < round_id):
            return Reading(INCOMPLETE)
        if stamp > self.world.now + FUTURE_S:
            return Reading(FUTURE)
        if stamp + feed.max_age < self.world.now:
            return Reading(STALE)
        if feed.bounded and not feed.least < value < feed.most:
            return Reading(BOUND)
        if (
            round_id < seen.round
            or stamp < seen.stamp
            or (round_id == seen.round and value != seen.answer and seen.stamp)
        ):
            return Reading(REGRESS)
        price = value * 10 ** (MAX_DECIMALS - feed.decimals)
        if price >= MAX_PRICE:
            return Reading(OUT_OF_RANGE)
        if self._decimals(feed.source) != feed.decimals:
            return Reading(DECIMALS)
        moved = seen.stamp != 0 and round_id >> 64 != seen.round >> 64
        return Reading(
            PHASE if moved or seen.quarantine else OK,
            price,
            value,
            round_id,
            stamp,
            round_id != seen.round,
            moved,
        )


def _mix(x: int, average: int, weight: int) -> int:
    """``x·(1 − weight) + average·weight`` of unsigned numbers, WAD weight, rounded down."""
    return (x * (WAD - weight) + average * weight) // WAD
