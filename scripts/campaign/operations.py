"""Everything that anybody can do to the ledger, as methods that drive contract and model together.

Each method is one call or a few: run on both, compared, judged. Whoever drives only chooses; whether a call is
allowed is for the two sides to agree on. Accounts are named by their index, amounts as each method says.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from python_ref import constants as c
from python_ref.ledger import owner_of
from python_ref.oracle_words import Feed, Observation, Rules
from scripts.campaign.setup import SEQUENCER_FEED
from scripts.campaign.walk import OPERATOR, PROVIDERS, STRANGER, Walk
from scripts.chain import Outcome
from scripts.system import FILLER, GOVERNOR, KEEPER, WAD

CENT = 10**16


class Operations(Walk):
    """The walk with a method per thing that can be done to the ledger and the fund."""

    def open(self) -> None:
        """Money for everybody: accounts, treasury, buckets."""
        for who in range(len(self.accounts)):
            self.deposit(who, 1_000_000 if who % 2 else 300_000)
        self.fund("deposit", 0, 0, 2_000_000)
        for market in range(self.n_markets):
            self.fund("top_up", 0, market, 200_000)

    # Restarting

    def mark(self) -> Any:
        """Where :meth:`restart` returns to."""
        return self.twin.snapshot(), self.judge.mark(), dict(self.prices), dict(self.answered), dict(self.system.salts)

    def restart(self, mark: Any) -> None:
        """Back to the mark; what was counted stays counted."""
        self.twin.revert(mark[0])
        self.judge.restart(mark[1])
        self.prices, self.answered = dict(mark[2]), dict(mark[3])
        self.system.salts = dict(mark[4])
        self.twin.trace = []

    def _house(self, function: str, sender: str, *args: Any, acted: Sequence[bytes] = ()) -> Outcome:
        return self.step("ClearingHouse", function, sender, *args, acted=acted)

    # Prices

    def sources(self, book: int) -> list[str]:
        """Names of the feeds that a book reads now, by place."""
        return [self._feed_names[feed.source] for feed in self.system.oracle._feeds(book)]

    @cached_property
    def _feed_names(self) -> dict[str, str]:
        named = (self.system.feed_name(b, i) for b, s in self.setup.books.items() for i in range(s.n_feeds + 1))
        return {self.twin.address(name): name for name in named}

    def price(self, book: int, change_bps: int, feeds: int | None = None) -> None:
        """Move the price that the first ``feeds`` feeds answer, all by default, and poke."""
        moved = max(WAD // 1_000, self.prices[book] * (10_000 + change_bps) // 10_000)
        self.set_price(book, moved, feeds)

    def set_price(self, book: int, price: int, feeds: int | None = None) -> None:
        """Let the first ``feeds`` feeds answer ``price`` (WAD, per unit of collateral), and poke."""
        sources = self.sources(book)
        answering = sources[:feeds]
        for name in answering:
            self.answer(book, name, price)
        self.poke(book)
        self.answered[book] = self.now
        if 2 * len(answering) > len(sources):
            self._note_price(book, price)

    def _note_price(self, book: int, price: int) -> None:
        """What feeds of other books say in this unit changes with it."""
        before, self.prices[book] = self.prices[book], price
        for market, spec in enumerate(self.setup.specs):
            if book and spec.rules.quote == book:
                self.prices[market] = self.prices[market] * before // price

    def scaled(self, book: int, price: int) -> int:
        """A price per unit of collateral as a feed of that book answers it."""
        spec = self.setup.books[book]
        in_quote = price * self.prices[spec.rules.quote] // WAD if spec.rules.quote else price
        return max(1, in_quote // 10 ** (18 - spec.feed_decimals))

    def answer(self, book: int, name: str, price: int) -> None:
        """The next round of a feed, in the phase that the oracle saw last where it has left it."""
        seen = self.last_seen(book, name)
        now, round_id = self.now, self.twin.world.get((name, "round_id"))
        if seen <= round_id < 2**80 - 1:
            self.source(name, "set_answer", self.scaled(book, price))
        else:
            self.source(name, "set_round", seen + 1, self.scaled(book, price), now, now, seen + 1)

    def last_seen(self, book: int, name: str) -> int:
        """The last round that the oracle has seen of a feed; 0 of a feed that it does not read."""
        sources = self.sources(book)
        if name not in sources:
            return 0
        word = self.twin.world.get(("PriceOracle", "observations", book, sources.index(name)))
        return Observation.unpack(word).round

    def poke(self, book: int) -> None:
        """Have the feeds read."""
        self.step("PriceOracle", "poke", KEEPER, book)

    def feed_mode(self, book: int, place: int, mode: int) -> None:
        """Break or mend a feed."""
        self.source(self.sources(book)[place], "set_mode", mode)
        self.poke(book)

    def ask_prices(self, book: int) -> None:
        """What both sides would answer now; a view, compared and counted nowhere."""
        self.twin.view("PriceOracle", "peek", book)

    def state(self, book: int) -> int:
        """The state that the oracle stored last."""
        return self.system.oracle._load(book).state

    def is_settled(self, book: int) -> bool:
        """Whether a market has ended."""
        return self.state(book) == c.STATE_SETTLEMENT

    @property
    def is_over(self) -> bool:
        """Whether every market has ended and nobody holds a position any more."""
        ended = all(self.is_settled(m) for m in range(self.n_markets))
        return ended and not any(self.legs(target) for target in self.seen.all_legs)

    def is_due(self, book: int) -> bool:
        """Whether a book's feeds would go stale soon, or old."""
        spec = self.setup.books[book]
        age = min(spec.max_age_s, spec.heartbeat_s or spec.max_age_s)
        return self.now - self.answered[book] > age // 2 and not self.is_settled(book)

    def rules(self, book: int) -> Rules:
        """How the oracle judges a book now."""
        return self.system.oracle._rules(book)

    def feeds(self, book: int) -> list[Feed]:
        """The feeds of a book now, by place."""
        return self.system.oracle._feeds(book)

    def spare(self, book: int) -> str:
        """A feed of a book that the oracle does not read."""
        spec, used = self.setup.books[book], self.sources(book)
        names = (self.system.feed_name(book, i) for i in range(spec.n_feeds + 1))
        return next(name for name in names if name not in used)

    @property
    def uptime(self) -> str:
        """Name of the uptime feed."""
        return SEQUENCER_FEED

    def sequencer(self, answer: int, since: int) -> None:
        """What the uptime feed says: 0 is up."""
        self.source(SEQUENCER_FEED, "set_round", 1, answer, since, self.now, 1)

    # Money

    def deposit(self, who: int, money: int) -> None:
        """``money`` in cents of a unit."""
        target = self.accounts[who]
        atoms = max(1, money * CENT // self.system.unit)
        self._house("deposit", owner_of(target), target, atoms, acted=[target])

    def withdraw(self, who: int, percent: int) -> None:
        """A share of the account's cash."""
        target = self.accounts[who]
        word = self.seen.accounts.get(target)
        cash = 0 if word is None else self.real(word.cash) if word.exposed else word.cash
        atoms = max(1, cash * percent // 100 // self.system.unit)
        self._house("withdraw", owner_of(target), target, atoms, owner_of(target), acted=[target])

    def transfer(self, who: int, to: int, money: int) -> None:
        """Cents between accounts of one owner, or refused."""
        source, target = self.accounts[who], self.accounts[to]
        self._house("transfer", owner_of(source), source, target, max(1, money * CENT), acted=[source, target])

    # Trades

    def size_of(self, market: int, notional: int) -> int:
        """Whole lots that are worth about ``notional`` (money, WAD); at least one."""
        lot = 10 ** self.limits(market).lot_exp
        return max(1, notional * WAD // self.prices[market] // lot) * lot

    def trade(self, market: int, buyer: int, seller: int, notional: int, offset_bps: int, flags: int, odd: int) -> bool:
        """``notional`` in units of money, at ``offset_bps`` from the price; ``odd`` lots more."""
        size = self.size_of(market, notional * WAD) + odd * 10 ** self.limits(market).lot_exp
        price = self.prices[market] * (10_000 + offset_bps) // 10_000
        return self.fill(market, buyer, seller, size, price, flags)

    def fill(self, market: int, buyer: int, seller: int, size: int, price: int, flags: int = 0) -> bool:
        """A trade of ``size`` (real, WAD) by the test filler."""
        a, b = self.accounts[buyer], self.accounts[seller]
        return self._house("fill", FILLER, market, a, b, size, price, flags, acted=[a, b]).ok

    def close(self, market: int, who: int, other: int, percent: int) -> bool:
        """Reduce a position against another account."""
        lot = 10 ** self.limits(market).lot_exp
        size = self.legs(self.accounts[who]).get(market, WAD)
        part = max(1, -(-self.real(abs(size)) * percent // 100 // lot)) * lot
        buyer, seller, flag = (other, who, 2) if size > 0 else (who, other, 1)
        return self.fill(market, buyer, seller, part, self.prices[market], flag)

    # Upkeep

    def release(self, who: int) -> None:
        """Back to exempt."""
        self._house("release", KEEPER, self.accounts[who], acted=[self.accounts[who]])

    def settle(self, who: int, market: int) -> None:
        """Pay pending cash."""
        self._house("settle", KEEPER, self.accounts[who], market)

    def rerank(self, who: int, market: int) -> None:
        """To the present label."""
        self._house("rerank", KEEPER, self.accounts[who], market)

    def sweep(self, market: int) -> None:
        """Fees to the bucket."""
        self._house("sweep_fees", KEEPER, market)

    def repay(self, who: int, money: int) -> None:
        """A gift towards the bad debt, cents."""
        target = self.accounts[who]
        self._house("repay_bad_debt", owner_of(target), target, money * CENT, acted=[target])

    # Unhealthy and bankrupt accounts

    def liquidate(self, who: int, market: int, by: int, percent: int) -> bool:
        """``percent`` of the position at most."""
        target, taker = self.accounts[who], self.accounts[by]
        most = max(int(percent > 0), abs(self.legs(target).get(market, WAD)) * percent // 100)
        return self._house("liquidate", owner_of(taker), target, market, taker, most, acted=[taker]).ok

    def liquidate_batch(self, market: int, by: int) -> None:
        """Everybody else, 16 at a time."""
        taker = self.accounts[by]
        targets = tuple(a for a in self.accounts if a != taker)
        held = tuple(a for a in targets if market in self.legs(a)) or targets
        self._house("liquidate_batch", owner_of(taker), held[:16], market, taker, 2**100, acted=[taker])

    def take_over(self, who: int, market: int) -> bool:
        """By the fund's bucket."""
        return self._house("take_over", KEEPER, self.accounts[who], market).ok

    def resolve(self, who: int, others: Sequence[int] = ()) -> bool:
        """An account, or beyond the traders a bucket of the fund."""
        return self._house("resolve", KEEPER, self.everybody[who], tuple(self.accounts[i] for i in others)).ok

    @property
    def everybody(self) -> tuple[bytes, ...]:
        """The traders' accounts, then the buckets of the fund."""
        return (*self.accounts, *(self.bucket(k) for k in range(self.n_markets)))

    def claim(self, who: int, market: int) -> bool:
        """The end of a position in a market that has ended; beyond the traders a bucket's."""
        return self._house("claim", KEEPER, self.everybody[who], market).ok

    def rebase(self) -> bool:
        """Cut the claims."""
        return self._house("rebase_claims", KEEPER).ok

    def broke(self) -> list[int]:
        """Who is bankrupt or has an open receipt; a bucket is counted on after the traders."""
        return [
            k
            for k, target in enumerate(self.everybody)
            if self.is_bankrupt(target) or (target in self.seen.accounts and self.seen.accounts[target].in_receipt)
        ]

    # Operators

    def set_operator(self, owner: int, approved: bool) -> None:
        """An owner approves the operator, or no longer."""
        trader = self.traders[owner % len(self.traders)]
        self._house("set_operator", trader.address, OPERATOR, approved, acted=[trader.account(), trader.account(1)])

    def as_operator(self, what: str, who: int, market: int, money: int) -> None:
        """The operator, approved or not, does ``what`` for an account: "deposit" (cents), "liquidate", "withdraw"."""
        target = self.accounts[who]
        if what == "deposit":
            self._house("deposit", OPERATOR, target, max(1, money * CENT // self.system.unit), acted=[target])
        elif what == "liquidate":
            prey = next((a for a in self.accounts if a != target and market in self.legs(a)), self.accounts[0])
            self._house("liquidate", OPERATOR, prey, market, target, 2**100, acted=[target])
        elif what == "withdraw":
            self._house("withdraw", OPERATOR, target, 1, OPERATOR)
        else:
            self._house("transfer", OPERATOR, target, self.accounts[who - 1], CENT)

    # The fund

    def fund(self, what: str, who: int, market: int, money: int) -> bool:
        """The liquidity providers' side; ``money`` in cents."""
        provider = PROVIDERS[who % len(PROVIDERS)]
        other = PROVIDERS[(who + 1) % len(PROVIDERS)]
        amount = max(1, money * CENT)
        if what == "sell_inventory":
            buyer = self.accounts[who]
            size = self.size_of(market, amount)
            return self.step("BackstopFund", what, owner_of(buyer), market, buyer, size, acted=[buyer]).ok
        calls: dict[str, tuple[Any, ...]] = {
            "deposit": (provider, max(1, amount // self.system.unit)),
            "request_withdrawal": (provider, amount),
            "claim_withdrawal": (provider,),
            "cancel_withdrawal": (provider,),
            "recognise": (KEEPER,),
            "top_up": (KEEPER, market, amount),
            "skim": (GOVERNOR, market, amount),
            "set_cap": (GOVERNOR, market, amount),
            "start_auction": (KEEPER, market),
            "transfer": (provider, other, amount),
            "transfer_shares": (provider, other, amount),
            "approve": (provider, other, amount),
            "transferFrom": (other, provider, other, amount),
        }
        return self.step("BackstopFund", what, *calls[what]).ok

    # Somebody who may not

    def trespass(self, contract: str, function: str, *args: Any) -> Outcome:
        """A call by a stranger, whatever comes of it."""
        return self.step(contract, function, STRANGER, *args)
