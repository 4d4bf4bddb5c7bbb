"""A deployed system under judgement, and the one way to call it: run on both, compare, judge, count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from python_ref import constants as c
from python_ref.invariants import Snapshot
from python_ref.ledger import account_id
from python_ref.price_oracle import Prices
from python_ref.words import Limits, Risk
from scripts.campaign.judge import Judge
from scripts.campaign.setup import Setup, build
from scripts.chain import Chain, Outcome, account
from scripts.system import GOVERNOR, KEEPER, WAD, Actor, actor
from scripts.twin import Step

PROVIDERS = (account(7_001), account(7_002))
OPERATOR = account(7_101)
"""Somebody whom owners may approve."""
STRANGER = account(7_102)
"""Somebody without any right."""

TREASURY_CAP = 10_000 * WAD


class Walk:
    """A system on a fresh deployment with its judge, its people, and counts of what was done.

    ``steps`` counts calls of production contracts, ``calls`` those of mocks as well; both kinds are compared.
    ``words`` counts the storage words that were compared. ``outcomes`` counts "Contract.function: reason or ok".
    """

    def __init__(
        self,
        chain: Chain,
        setup: Setup,
        traders: int = 7,
        seconds: int = 2,
        ideal_every: int = 25,
        full_every: int = 100,
    ) -> None:
        """``traders`` with an account each, the first ``seconds`` of them with another, used in one market alone."""
        self.setup = setup
        self.judge = Judge(setup.decimals, ideal_every)
        self.system = build(chain, setup, full_every, self.judge.follow)
        self.twin = self.system.twin
        self.judge.attach(self.system)
        self.twin.trace = []
        self.outcomes: Counter[str] = Counter()
        self.steps = self.calls = self.words = 0
        self.traders: tuple[Actor, ...] = tuple(actor(f"trader {i}") for i in range(traders))
        self.accounts: tuple[bytes, ...] = (
            *(t.account() for t in self.traders),
            *(t.account(1) for t in self.traders[:seconds]),
        )
        self._moment: tuple[int, int] = (-1, -1)
        self._edges: dict[int, Prices] = {}
        self.prices = {book: spec.price for book, spec in setup.books.items()}
        """What a book's feeds say, per unit of collateral: the index, if the oracle accepts it."""
        self.answered = dict.fromkeys(setup.books, self.now)
        self._rich()

    def _rich(self) -> None:
        """Tokens and approvals for everybody; the fund's caps."""
        atoms = 10**12 * 10**self.setup.decimals
        for provider in PROVIDERS:
            self.token("mint", KEEPER, provider, atoms)
            self.token("approve", provider, self.system.fund.address, 2**255)
        for who in (*(trader.address for trader in self.traders), OPERATOR):
            self.token("mint", KEEPER, who, atoms)
            self.token("approve", who, self.system.clearing_house.address, 2**255)
        for market in range(self.n_markets):
            self.step("BackstopFund", "set_cap", GOVERNOR, market, TREASURY_CAP)

    # Facts

    @property
    def now(self) -> int:
        """Second of both clocks."""
        return self.system.chain.now

    @property
    def n_markets(self) -> int:
        """Markets that are listed."""
        return len(self.setup.specs)

    @property
    def seen(self) -> Snapshot:
        """The ledger as the judge saw it last."""
        return self.judge.seen

    @property
    def trace(self) -> list[Step]:
        """Every call since the deployment."""
        return self.twin.trace or []

    def limits(self, market: int) -> Limits:
        """Present limits of a market; shared, so copy before changing."""
        return _limits(self.seen.word("markets", market << 3 | 3))

    def risk(self, market: int) -> Risk:
        """Present rates of a market; shared, so copy before changing."""
        return _risk(self.seen.word("markets", market << 3 | 2))

    def bucket(self, market: int) -> bytes:
        """The fund's account for a market."""
        return account_id(self.system.fund.address, market + 1)

    def real(self, gons: int) -> int:
        """Money or size behind ``gons``, rounded down."""
        return gons * self.seen.domain.claim_index // c.INDEX_ONE

    def legs(self, target: bytes) -> dict[int, int]:
        """Signed sizes of an account's positions, gons."""
        return {m: leg.size for m, leg in self.seen.all_legs.get(target, {}).items() if leg.size}

    def equity(self, target: bytes) -> int:
        """What an account is worth at the walk's prices, gons (units if exempt): good enough to choose by."""
        word = self.seen.accounts.get(target)
        if word is None:
            return 0
        legs = self.seen.all_legs[target]
        return word.cash + sum(leg.pending + leg.size * self.prices[m] // WAD for m, leg in legs.items())

    def maintenance(self, target: bytes) -> int:
        """About what an account must hold, gons."""
        need = 0
        for market, size in self.legs(target).items():
            notional, risk = abs(size) * self.prices[market] // WAD, self.risk(market)
            rate = risk.maintenance * 10**12
            if risk.depth:
                rate += self.real(notional) // risk.depth
            need += notional * rate // WAD
        return need

    def edges(self, market: int) -> Prices:
        """What the oracle would answer now."""
        moment = self.calls, self.now
        if self._moment != moment:
            self._moment, self._edges = moment, {}
        if market not in self._edges:
            self._edges[market] = self.system.oracle.peek(KEEPER, market)
        return self._edges[market]

    def is_bankrupt(self, target: bytes) -> bool:
        """Whether equity is below zero even at the edges that favour the account."""
        legs = self.legs(target)
        worth = sum(size * (self.edges(m).high if size > 0 else self.edges(m).low) // WAD for m, size in legs.items())
        at_index = sum(size * self.prices[m] // WAD for m, size in legs.items())
        return self.equity(target) - at_index + worth < 0

    def room(self, target: bytes, market: int) -> int:
        """About how much notional an account can still open in ``market``, gons, at the edges that do not favour it."""
        word = self.seen.accounts.get(target)
        if word is None:
            return 0
        free = word.cash + sum(leg.pending for leg in self.seen.all_legs[target].values())
        for m, size in self.legs(target).items():
            edge = self.edges(m).credit_low if size > 0 else self.edges(m).credit_high
            free += size * edge // WAD - abs(size) * edge // WAD * self.risk(m).initial // c.PPM
        risk, prices, price = self.risk(market), self.edges(market), self.prices[market]
        apart = max(price - prices.credit_low, prices.credit_high - price, 0) * c.PPM // price
        return max(0, free * c.PPM // (risk.initial + apart + risk.taker_fee + risk.maker_fee))

    # Calling

    def step(self, contract: str, function: str, sender: str, *args: Any, acted: Sequence[bytes] = ()) -> Outcome:
        """One call, compared and judged; ``acted`` are the accounts whose owner or operator is behind it."""
        outcome = self._run(contract, function, sender, *args)
        self.steps += 1
        self.outcomes[f"{contract}.{function}: {'ok' if outcome.ok else outcome.reason}"] += 1
        if outcome.ok:
            self.judge.check(acted)
        else:
            self.judge.refused(contract, function, outcome.reason)
        return outcome

    def token(self, function: str, sender: str, *args: Any) -> Outcome:
        """A call of the collateral token, which is no production contract."""
        return self._run("Token", function, sender, *args)

    def feed(self, book: int, feed: int, function: str, *args: Any) -> Outcome:
        """A call of a feed by its number, which is no production contract."""
        return self.source(self.system.feed_name(book, feed), function, *args)

    def source(self, name: str, function: str, *args: Any) -> Outcome:
        """A call of a feed by its name."""
        return self._run(name, function, KEEPER, *args)

    def _run(self, contract: str, function: str, sender: str, *args: Any) -> Outcome:
        outcome = self.twin.call(contract, function, sender, *args)
        self.calls += 1
        self.words += self.twin.words
        return outcome

    def advance(self, seconds: int) -> None:
        """Let time pass."""
        self.twin.advance(seconds)

    def finish(self) -> None:
        """Compare every word and judge afresh."""
        self.judge.finish()


@lru_cache(maxsize=256)
def _limits(word: int) -> Limits:
    return Limits.unpack(word)


@lru_cache(maxsize=256)
def _risk(word: int) -> Risk:
    return Risk.unpack(word)
