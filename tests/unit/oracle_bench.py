"""A PriceOracle and its feeds on a chain with the model beside them: what every test of the oracle starts from.

Each call goes through the twin, which compares return, reason, events and every word that the model ever wrote, and
searches the chain for words that it did not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from python_ref.constants import STATE_FROZEN, WAD
from python_ref.mocks import FEED_NORMAL, MockFeed
from python_ref.oracle_words import Book, Feed, Observation, Prices, Rules
from python_ref.price_oracle import CACHE_S, PriceOracle
from python_ref.world import World
from scripts.chain import Chain, Outcome, account, make_chain
from scripts.chain.artifacts import Artifact
from scripts.rules import PROFILES
from scripts.twin import Twin

GOVERNOR, REPORTER, STRANGER = account(1), account(2), account(3)
ZERO = "0x" + "00" * 20
M = 3
"""The market under test."""
QUOTE = 16
"""The book of its collateral, where it has one."""

PLAIN = Rules(outlier=200)
"""Agreement alone: breaker, averages and waits off."""

MAJOR = PROFILES["major"]
"""What the research gives for major assets."""

MAX_AGE = 3_600
DEVIATION = 30


class Bench:
    """One oracle, and for each book the feeds that were put there."""

    def __init__(
        self,
        decimals: Sequence[int] = (8, 8, 18),
        rules: Rules = PLAIN,
        *,
        price: int = 2_000 * WAD,
        chain: Chain | None = None,
        configured: bool = True,
        now: int | None = None,
        **fields: Any,
    ) -> None:
        """``fields`` are those of every feed; else an answer is fresh for as long as it counts."""
        self.chain = chain or make_chain("revm")
        if now is not None:
            self.chain.now = now
        self.world = World()
        self.twin = Twin(self.chain, self.world, full_every=20)
        self.contracts: dict[str, Any] = {}
        self.oracle = self.chain.deploy("PriceOracle", GOVERNOR, sender=GOVERNOR)
        self.model = PriceOracle(self.world, GOVERNOR, self.contracts)
        self.twin.bind(self.model, "PriceOracle", self.oracle)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.story: list[tuple[int, int, int]] = []
        """Every StateChanged so far: before, after, cause."""
        self.fields = {"max_age": MAX_AGE, "heartbeat": MAX_AGE, "deviation": DEVIATION} | fields
        self.feeds: dict[int, list[Feed]] = {}
        self.rules: dict[int, Rules] = {}
        self.add(M, decimals, price, rules, configured=configured)

    def add(self, book: int, decimals: Sequence[int], price: int, rules: Rules, *, configured: bool = True) -> None:
        """Put as many feeds as ``decimals`` into a book; they answer ``price`` (WAD) now."""
        self.feeds[book] = [self.feed(d, group) for group, d in enumerate(decimals)]
        self.rules[book] = rules
        self.answer(price, book=book)
        if configured:
            assert self.configure(book) is None

    def feed(self, decimals: int = 8, group: int = 0, **fields: Any) -> Feed:
        """A new mock that nobody reads yet."""
        name = f"MockFeed{len(self.contracts)}"
        address = self.chain.deploy("MockFeed", decimals, name, sender=STRANGER, label=name)
        self.contracts[address] = MockFeed(self.world, decimals, name, name)
        self.twin.bind(self.contracts[address], name, address)
        return Feed(address, decimals, group=group, **(self.fields | fields))

    def odd(self, code: Artifact, model: Any, decimals: int = 8, group: int = 0, *args: Any, **fields: Any) -> Feed:
        """A feed of other code, and what it answers by the model."""
        address = self.chain.deploy(code, *args, sender=STRANGER)
        self.contracts[address] = model
        return Feed(address, decimals, group=group, **(self.fields | fields))

    # what feeds do

    def set(self, place: int, function: str, *args: int, book: int = M) -> None:
        """Turn a knob of one feed."""
        name = self.contracts[self.feeds[book][place].source].name
        outcome = self.twin.call(name, function, STRANGER, *args)
        assert outcome.ok, outcome.reason

    def scaled(self, place: int, price: int, book: int = M) -> int:
        """``price`` (WAD) in the decimals of a feed."""
        return int(price // 10 ** (18 - self.feeds[book][place].decimals))

    def answer(self, price: int, *places: int, book: int = M) -> None:
        """A new round at ``price`` (WAD) from those feeds; from all if none is named."""
        for place in places or range(len(self.feeds[book])):
            self.set(place, "set_answer", self.scaled(place, price, book), book=book)

    def mode(self, mode: int, *places: int, book: int = M) -> None:
        """How those feeds answer from now on; all if none is named."""
        for place in places or range(len(self.feeds[book])):
            self.set(place, "set_mode", mode, book=book)

    def heal(self, price: int, *places: int, book: int = M) -> None:
        """Those feeds answer again, at ``price``."""
        self.mode(FEED_NORMAL, *places, book=book)
        self.answer(price, *places, book=book)

    # what callers do

    def call(self, function: str, *args: Any, sender: str = STRANGER) -> Outcome:
        """One transaction on both sides."""
        outcome = self.twin.call("PriceOracle", function, sender, *args)
        self.events = [(log.name, log.fields) for log in outcome.events]
        self.story += [
            (fields["before"], fields["after"], fields["cause"])
            for name, fields in self.events
            if name == "StateChanged"
        ]
        return outcome

    def reason(self, function: str, *args: Any, sender: str = GOVERNOR) -> str | None:
        """Why the call is refused; None if it is not."""
        return self.call(function, *args, sender=sender).reason

    def peek(self, book: int = M) -> Prices:
        """The view."""
        return Prices(*self.twin.view("PriceOracle", "peek", book))

    def prices(self, book: int = M) -> Prices:
        """``prices``, which ``peek`` has to foretell."""
        foretold = self.peek(book)
        outcome = self.call("prices", book)
        assert outcome.ok, outcome.reason
        assert Prices(*outcome.value) == foretold
        return foretold

    def poke(self, book: int = M) -> Prices:
        """``poke``; where the cache is old ``peek`` foretells it too."""
        foretold = self.peek(book)
        is_old = self.age(book) > CACHE_S
        outcome = self.call("poke", book)
        assert outcome.ok, outcome.reason
        assert not is_old or Prices(*outcome.value) == foretold
        return Prices(*outcome.value)

    def step(self, seconds: int, price: int | None = None, *places: int, book: int = M) -> Prices:
        """Time passes, those feeds answer ``price`` (none does without one), somebody pokes."""
        self.advance(seconds)
        if price is not None:
            self.answer(price, *places, book=book)
        return self.poke(book)

    def run(self, seconds: int, price: int, *places: int, every: int = 12) -> Prices:
        """Steps of ``every`` seconds at one price for at least ``seconds``."""
        for _ in range(-(-seconds // every)):
            p = self.step(every, price, *places)
        return p

    def advance(self, seconds: int) -> None:
        """Time passes."""
        self.twin.advance(seconds)

    def configure(
        self, book: int = M, feeds: Sequence[Feed] | None = None, *, sender: str = GOVERNOR, **rules: Any
    ) -> str | None:
        """``set_feeds`` with the book's feeds and rules but for what is given; the reason if refused, else kept."""
        wanted = list(self.feeds[book] if feeds is None else feeds)
        changed = replace(self.rules[book], **rules)
        tuples = [feed.as_tuple() for feed in wanted]
        reason = self.reason("set_feeds", book, tuples, changed.as_tuple(), sender=sender)
        if reason is None:
            self.feeds[book], self.rules[book] = wanted, changed
        return reason

    # what is stored, by the model, which the twin has compared

    def book(self, book: int = M) -> Book:
        """The four words."""
        return self.model._load(book)

    def age(self, book: int = M) -> int:
        """Seconds since the last poke; without end if there was none."""
        poked_at = self.book(book).poked_at
        return self.chain.now - poked_at if poked_at else 2**256 - 1

    def seen(self, place: int, book: int = M) -> Observation:
        """What is remembered of one feed."""
        return Observation.unpack(self.world.get(("PriceOracle", "observations", book, place)))

    def codes(self, book: int = M) -> list[int]:
        """Last code of each feed."""
        return [self.seen(place, book).code for place in range(len(self.feeds[book]))]

    def state(self, book: int = M) -> int:
        """The state as of the last poke."""
        stored = self.book(book)
        return stored.state if stored.index else STATE_FROZEN

    def named(self, name: str) -> list[dict[str, Any]]:
        """Fields of the last call's events of one name."""
        return [fields for found, fields in self.events if found == name]
