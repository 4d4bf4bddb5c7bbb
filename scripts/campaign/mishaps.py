"""Moves about prices and feeds: prices wander and leap, feeds fail and come back, markets end."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from python_ref import constants as c
from python_ref.mocks import FEED_NORMAL, FEED_REVERT, FEED_REVERT_BOMB
from python_ref.oracle_words import BPS, MASK_128, Feed, Rules
from scripts.campaign.governance import Governance
from scripts.campaign.operations import Operations
from scripts.campaign.regimes import Regime
from scripts.campaign.setup import ALT, FIRST_QUOTE, MAJOR, OFF
from scripts.campaign.walk import STRANGER
from scripts.system import GOVERNOR

PHASE = 1 << 64


class Mishaps:
    """What the weather does to one walk; :class:`scripts.campaign.steering.Steering` adds what people do."""

    def __init__(self, ops: Operations, regime: Regime, r: Random) -> None:
        self.ops = ops
        self.regime = regime
        self.r = r
        self.governance = Governance(ops)

    # Choosing

    def market(self) -> int:
        """Any, rather one that has not ended."""
        going = [m for m in range(self.ops.n_markets) if not self.ops.is_settled(m)]
        return self.r.choice(going if going and self.r.random() < 0.9 else range(self.ops.n_markets))

    def some_book(self) -> int:
        """A market or, at times, a quote."""
        quotes = len(self.ops.setup.quotes)
        return FIRST_QUOTE + self.r.randrange(quotes) if quotes and self.r.random() < 0.3 else self.market()

    # Prices

    def refresh(self) -> None:
        """Answer every feed that is about to go stale with the price as it is; quotes first."""
        ops = self.ops
        for book in sorted(ops.answered, reverse=True):
            if ops.is_due(book):
                ops.set_price(book, ops.prices[book])

    def shock(self, book: int, change_bps: int, feeds: int | None = None) -> None:
        """A price move that the oracle takes notice of: a poke works once in a second."""
        self.ops.advance(1)
        # prices wander, and the ledger has a highest one; keep them within a factor of 100 of the listing
        spec, price = self.ops.setup.books[book], self.ops.prices[book]
        if price > spec.price * 100 if change_bps > 0 else price * 100 < spec.price:
            change_bps = -change_bps
        self.ops.price(book, max(-9_000, change_bps), feeds)

    def drift(self) -> None:
        """A price moves; sometimes not all feeds say so."""
        market = self.market()
        n = len(self.ops.sources(market))
        self.shock(market, self.r.choice(self.regime.moves_bps), self.r.choice((n,) * 18 + (n // 2 + 1, 1)))

    def leap(self) -> None:
        """A price moves further than its market's breaker lets it; it stays there, comes back, or neither."""
        ops, r, book = self.ops, self.r, self.some_book()
        before, jump = ops.prices[book], ops.rules(book).jump or 2_500
        far = jump * r.choice((11, 15, 25, 60)) // 10
        self.shock(book, far if r.random() < 0.5 else -far * BPS // (BPS + far))
        if r.random() < 0.4:
            for _ in range(r.randrange(1, 4)):
                ops.advance(r.choice((1, 31, 61)))
                ops.set_price(book, before)
        elif r.random() < 0.7:
            self.nurse(book)

    def creep(self) -> None:
        """A price moves away from its own past in steps that no breaker minds."""
        ops, r, market = self.ops, self.r, self.market()
        sign = r.choice((1, -1))
        for _ in range(r.randrange(2, 6)):
            self.shock(market, sign * r.choice((200, 400, 700)))
            ops.advance(r.choice((1, 13)))
        if r.random() < 0.2:
            # long enough for the slow reference to be seeded anew
            for _ in range(5):
                ops.advance(400)
                ops.set_price(market, ops.prices[market])
        self.refresh()

    def nurse(self, book: int | None = None) -> None:
        """A market without a price is answered well again and again, until it is on its way back or patience ends."""
        ops, r = self.ops, self.r
        ill = [b for b in ops.setup.books if ops.state(b) in (c.STATE_FROZEN, c.STATE_RECOVERY)]
        if book is None and not ill:
            return
        book = r.choice(ill) if book is None else book
        pause = r.choice((31, 61, 160, 301))
        for _ in range(r.randrange(2, 8)):
            ops.advance(pause)
            self.mend(book)
            if ops.state(book) in (c.STATE_LIVE, c.STATE_SETTLEMENT):
                break
        self.refresh()

    # Feeds

    def spoil(self) -> None:
        """A feed goes bad in one of the ways that feeds do."""
        ops, r, book, now = self.ops, self.r, self.some_book(), self.ops.now
        spec, sources = ops.setup.books[book], ops.sources(book)
        name, good = r.choice(sources), ops.scaled(book, ops.prices[book])
        ops.advance(1)
        how = r.randrange(11)
        if how < 3:
            ops.source(name, "set_mode", r.randrange(1, FEED_REVERT_BOMB + 1))
        elif how == 3:
            ops.source(name, "set_decimals", spec.feed_decimals + r.choice((1, -1)))
        else:
            for one in sources if how == 10 else (name,):
                ops.source(one, "set_round", *self.oddity(book, one, good, now))
        ops.poke(book)
        if r.random() < 0.3:
            ops.step("PriceOracle", "prices", STRANGER, book)
        ops.ask_prices(book)

    def oddity(self, book: int, name: str, good: int, now: int) -> tuple[int, int, int, int, int]:
        """A round that something is wrong with, or seems to be."""
        seen, age = self.ops.last_seen(book, name), self.ops.setup.books[book].max_age_s
        at = seen + 1
        return self.r.choice(
            (
                (at, 0, now, now, at),
                (at, -good, now, now, at),
                (at, good, now, 0, at),
                (at, good, now, now + 10_000, at),
                (at, good, now, now + 15, at),
                (at, good, 1, now - age - 10, at),
                (2**80, good, now, now, at),
                (at, 2**128, now, now, at),
                (at, good * 10**12, now, now, at),
                (at, good * 12 // 10, now, now, at),
                (at, good * 3, now, now, at),
                (at, good, now, now, at - 1),
                (max(0, seen - 1), good, now, now, at),
                (at, good, now, now - 3_000, at),
                (seen, good * 99 // 100, now, now, seen),
                (seen + PHASE, good, now, now, at),
                (((seen >> 64) + 1) % 2**16 << 64, good, now, now, at),
            )
        )

    def mend(self, book: int) -> None:
        """All feeds of a book, and of its quote, answer well again."""
        ops, quote = self.ops, self.ops.rules(book).quote
        if quote:
            self.mend(quote)
        for name in ops.sources(book):
            world = ops.twin.world
            if world.get((name, "mode")) != FEED_NORMAL:
                ops.source(name, "set_mode", FEED_NORMAL)
            if world.get((name, "decimals")) != ops.setup.books[book].feed_decimals:
                ops.source(name, "set_decimals", ops.setup.books[book].feed_decimals)
        ops.set_price(book, ops.prices[book])

    def heal(self) -> None:
        """All feeds answer well again; a few rounds long, if some have to prove themselves."""
        ops = self.ops
        if ops.setup.sequencer and ops.twin.world.get((ops.uptime, "answer")):
            ops.sequencer(0, ops.now)
        for _ in range(self.r.choice((1, 1, 4))):
            ops.advance(1)
            for book in sorted(ops.setup.books, reverse=True):
                if not ops.is_settled(book):
                    self.mend(book)

    def doubt(self, market: int | None = None, broken: int | None = None) -> None:
        """One feed of a market fails, or more than one: it goes on in doubt, or freezes."""
        ops, market = self.ops, self.market() if market is None else market
        sources = ops.sources(market)
        ops.advance(1)
        for name in self.r.sample(sources, self.r.choice((1, 1, 1, 1, 1, 2)) if broken is None else broken):
            ops.source(name, "set_mode", FEED_REVERT)
        ops.poke(market)

    def doze(self) -> None:
        """Feeds do not answer for a while, and then not all of them."""
        ops, r = self.ops, self.r
        ops.advance(r.choice((200, 400, 1_000, 2_500, 4_000)))
        market = self.market()
        ops.poke(market)
        if r.random() < 0.5:
            ops.set_price(market, ops.prices[market], r.choice((1, None)))
            ops.advance(r.choice((1, 31)))
            ops.poke(market)

    def depeg(self) -> None:
        """The unit of collateral loses its par, or nobody knows what it is worth."""
        ops, r = self.ops, self.r
        if not ops.setup.quotes:
            return
        book = FIRST_QUOTE + r.randrange(len(ops.setup.quotes))
        n = len(ops.sources(book))
        self.shock(book, r.choice((-1_200, -800, -400, -150, 20, 60, 400)), r.choice((n, n, n // 2 + 1, 1)))
        for market, spec in enumerate(ops.setup.specs):
            if spec.rules.quote == book:
                ops.poke(market)
                ops.ask_prices(market)
        if r.random() < 0.5:
            ops.advance(13)
            ops.set_price(book, ops.setup.books[book].price)
            self.nurse()

    def outage(self) -> None:
        """The L2 stands still for a while, and comes back."""
        ops, r = self.ops, self.r
        if not ops.setup.sequencer:
            return
        ops.advance(1)
        if r.random() < 0.2:
            ops.source(ops.uptime, "set_mode", FEED_REVERT)
        else:
            ops.sequencer(1, r.choice((0, ops.now)))
        market = self.market()
        ops.poke(market)
        ops.advance(r.choice((1, 60, 1_800)))
        ops.poke(market)
        ops.source(ops.uptime, "set_mode", FEED_NORMAL)
        ops.sequencer(0, ops.now)
        ops.advance(r.choice((1, 20)))
        ops.poke(market)
        if r.random() < 0.8:
            self.nurse(market)

    # Who decides about feeds

    def refeed(self) -> None:
        """Other terms for the same feeds, other rules, or what no oracle takes."""
        r, book = self.r, self.some_book()
        if r.random() < 0.7 and self.ops.state(book) != c.STATE_LIVE:
            self.nurse(book)
        ops = self.ops
        feeds, rules = ops.feeds(book), ops.rules(book)
        good = ops.scaled(book, ops.prices[book])
        what = r.randrange(8)
        if what == 0:
            feeds = feeds[::-1]
        elif what == 1:
            age = r.choice((600, 1_800, 3_600, 7_200))
            feeds = [replace(feed, max_age=age, heartbeat=r.choice((60, 600, age))) for feed in feeds]
        elif what in (2, 7):
            feeds = [replace(feed, least=good * 8 // 10, most=good * 12 // 10) for feed in feeds]
        elif what == 3:
            feeds = [replace(feed, flux=not feed.flux, least=0, most=MASK_128) for feed in feeds]
        elif what == 4:
            rules = replace(r.choice((OFF, MAJOR, ALT)), quote=rules.quote, freeze=rules.freeze)
        elif what == 5 and len(feeds) > 3:
            feeds = feeds[:-2]
        else:
            feeds = [replace(feed, group=feed.group // 2) for feed in feeds]
        self.governance.change("PriceOracle", "set_feeds", book, _told(feeds), rules.as_tuple())

    def replace_feed(self) -> None:
        """A feed dies and another one takes its place; or somebody tries that with one that lives."""
        ops, r, book = self.ops, self.r, self.some_book()
        feeds, place = ops.feeds(book), r.randrange(len(ops.feeds(book)))
        dead, spare = ops.sources(book)[place], ops.spare(book)
        for name in r.sample(ops.sources(book), r.choice((1, 1, 2))):
            ops.source(name, "set_mode", FEED_REVERT)
        if r.random() < 0.8:
            ops.source(dead, "set_mode", FEED_REVERT)
        ops.advance(1)
        ops.poke(book)
        ops.source(spare, "set_mode", FEED_NORMAL)
        ops.source(spare, "set_answer", ops.scaled(book, ops.prices[book]) * r.choice((1, 1, 1, 2)))
        new = replace(feeds[place], source=ops.twin.address(spare), least=0, most=MASK_128)
        self.governance.at_once("replace_feed", book, place, new.as_tuple(), by_guardian=r.random() < 0.5)
        for name in {dead, *ops.sources(book)}:
            ops.source(name, "set_mode", FEED_NORMAL)
        if r.random() < 0.7:
            self.nurse(book)

    def tighten_rules(self) -> None:
        """A rule becomes narrower, or wider, which is refused."""
        r, book = self.r, self.some_book()
        rules = self.ops.rules(book)
        name = r.choice(("outlier", "soft", "jump", "hold", "calm", "grace", "freeze", "tau_ref"))
        value = getattr(rules, name)
        moved = value + r.choice((1, 10)) if name in ("hold", "calm", "grace") else value * 99 // 100
        if r.random() < 0.2:
            moved = r.choice((0, value + 1, max(0, value - 1)))
        wanted: Rules = replace(rules, **{name: moved})
        self.governance.at_once("tighten_rules", book, wanted.as_tuple(), by_guardian=r.random() < 0.5)

    def end_market(self) -> None:
        """A market's feeds are gone for good: it is ended at its last prices, by anybody or by the governor."""
        ops, r, market = self.ops, self.r, self.market()
        if r.random() < 0.6:
            for name in ops.sources(market):
                ops.source(name, "set_mode", FEED_REVERT)
            ops.advance(1)
            ops.poke(market)
            ops.advance(max(0, ops.rules(market).freeze + r.choice((-5, 1, 60))))
            self.refresh()
            ops.step("PriceOracle", "settle", STRANGER, market)
        elif not self.governance.handed_over:
            ops.step("PriceOracle", "settle", GOVERNOR, market)
        else:
            self.governance.change("PriceOracle", "settle", market)
        self.claim()

    def claim(self) -> None:
        """Positions of an ended market are closed at its last price: some, all, or of a market that goes on."""
        ops, r = self.ops, self.r
        ended = [m for m in range(ops.n_markets) if ops.is_settled(m)]
        if not ended or r.random() < 0.05:
            ops.claim(r.randrange(len(ops.accounts)), self.market())
            return
        market = r.choice(ended)
        held = [k for k, a in enumerate(ops.everybody) if market in ops.seen.all_legs.get(a, ())]
        r.shuffle(held)
        for who in held[: r.choice((1, 3, len(held)))]:
            ops.claim(who, market)


def _told(feeds: list[Feed]) -> tuple[tuple[str | int | bool, ...], ...]:
    return tuple(feed.as_tuple() for feed in feeds)
