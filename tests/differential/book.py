"""A small book of named accounts on a deployed system, checked after every step.

Every call goes through the twin (contract and model compared), then through all invariants, and its events are
replayed into the exact ledger, with which every balance is compared. Tests therefore only state what is special to
them. Money, prices and sizes are given in whole units (``wad``) and read back in WAD.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from typing import Any

from python_ref import constants as c
from python_ref.ideal import IdealFollower
from python_ref.invariants import EffectiveLeg, Snapshot, check_all, read_book
from python_ref.ledger import account_id
from python_ref.words import Market, Position
from scripts.chain import Chain, Outcome, make_chain
from scripts.system import FILLER, GOVERNOR, KEEPER, LIMITS, RISK, WAD, MarketSpec, actor, deploy

Amount = int | str | Fraction

REST_S = 45 * 900
"""Seconds after which the slow average of the oracle has forgotten to the last wei."""


def wad(amount: Amount) -> int:
    """``amount`` of whole units in WAD; text for decimals (``"0.25"``)."""
    exact = Fraction(amount) * WAD
    assert exact.denominator == 1, f"{amount} has more than 18 decimals"
    return int(exact)


def perp(
    price: Amount = 100,
    *,
    rank: int = c.RANK_SINGLE,
    policy: str = "",
    name: str = "PERP",
    width_bps: int = 0,
    oi_cap: int = LIMITS.oi_cap,
    min_size: int = LIMITS.min_size,
    lot_exp: int = 0,
    octave_bits: int = 6,
    **risk: int,
) -> MarketSpec:
    """A market without fees and interval, 5 % initial and 2.5 % maintenance margin, unless said otherwise."""
    rates = {"initial": 50_000, "maintenance": 25_000, "taker_fee": 0, "fill_band": c.PPM - 1} | risk
    limits = replace(LIMITS, rank=rank, oi_cap=oi_cap, min_size=min_size, lot_exp=lot_exp, octave_bits=octave_bits)
    chosen = policy or ("ProRata" if rank == c.RANK_SINGLE else "BandQueue")
    return MarketSpec(name, wad(price), replace(RISK, **rates), limits, chosen, width_bps=width_bps)


class Book:
    """One solvency domain. ``"a/1"`` names subaccount 1 of ``a``, ``"fund/1"`` the bucket of market 0."""

    def __init__(self, chain: Chain, *specs: MarketSpec, decimals: int = 18) -> None:
        self.system = deploy(chain, specs, decimals, full_every=25)
        self.twin = self.system.twin
        self.world = self.twin.world
        self.follower = IdealFollower(self.system.unit, self.system.fund.address)
        for market in range(len(specs)):
            self.follower.ledger.expose(self.system.bucket(market))
        self.queues = [
            m for m, spec in enumerate(specs) if spec.policy == "BandQueue" and spec.limits.rank != c.RANK_SINGLE
        ]
        self.seen = Snapshot(self.world)
        self.last: Outcome | None = None
        self.strict = True

    @contextmanager
    def restored(self) -> Iterator[Book]:
        """Everything that happens inside is undone at the end."""
        mark, follower, seen = self.twin.snapshot(), deepcopy(self.follower), self.seen
        self.strict = True
        try:
            yield self
        finally:
            self.twin.revert(mark)
            self.follower, self.seen = follower, seen

    # ---- steps

    def call(self, function: str, sender: str, *args: Any, contract: str = "ClearingHouse") -> Outcome:
        """One call on both sides; if it goes through, invariants and the exact ledger."""
        outcome = self.twin.call(contract, function, sender, *args)
        self.last = outcome
        if outcome.ok:
            self.follower.follow(outcome.events, self.world.now)
            if self.strict:
                self.check(outcome)
        return outcome

    def must(self, function: str, sender: str, *args: Any, contract: str = "ClearingHouse") -> Outcome:
        """As :meth:`call`, and it has to go through."""
        outcome = self.call(function, sender, *args, contract=contract)
        assert outcome.ok, f"{function}: {outcome.reason!r}"
        return outcome

    def check(self, outcome: Outcome | None = None) -> None:
        """All invariants, and the exact ledger beside."""
        events = [e for e in (outcome.events if outcome else []) if e.contract == "ClearingHouse"]
        index = {m: self.index(m) for m in range(len(self.system.specs))}
        self.seen = check_all(self.world, self.vault, before=self.seen, events=events, index=index, queues=self.queues)
        self.follower.compare(read_book(self.seen))

    def refused(self, reason: str, function: str, sender: str, *args: Any, contract: str = "ClearingHouse") -> None:
        """The call is refused for exactly this reason."""
        outcome = self.twin.call(contract, function, sender, *args)
        assert outcome.reason == reason, f"{function}: {outcome.reason!r} instead of {reason!r}"

    def deposit(self, who: str, amount: Amount) -> Outcome:
        """Mint collateral to the owner and deposit it."""
        owner, atoms = self.owner(who), wad(amount) // self.system.unit
        self.twin.call("Token", "mint", KEEPER, owner, atoms)
        self.twin.call("Token", "approve", owner, self.system.clearing_house.address, atoms)
        return self.must("deposit", owner, self.id(who), atoms)

    def withdraw(self, who: str, amount: Amount) -> Outcome:
        """Pay out to the owner; may be refused."""
        owner = self.owner(who)
        return self.call("withdraw", owner, self.id(who), wad(amount) // self.system.unit, owner)

    def trade(self, buyer: str, seller: str, size: Amount, price: Amount, market: int = 0, flags: int = 0) -> Outcome:
        """An unsigned trade; may be refused."""
        return self.call("fill", FILLER, market, self.id(buyer), self.id(seller), wad(size), wad(price), flags)

    def open(self, buyer: str, seller: str, size: Amount, price: Amount, market: int = 0) -> None:
        """A trade that has to go through."""
        outcome = self.trade(buyer, seller, size, price, market)
        assert outcome.ok, f"{buyer} buys {size} of {seller} at {price}: {outcome.reason!r}"

    def close(self, who: str, against: str, market: int = 0, price: int | None = None) -> Outcome:
        """``who`` closes all he has, to the wei, at the index unless told; his side is clamped."""
        size = self.size(who, market)
        assert size, f"{who} has no position"
        real = -(-abs(size) * self.domain.claim_index // c.INDEX_ONE) + 1
        lot = 10 ** self.system.specs[market].limits.lot_exp
        asked = -(-real // lot) * lot
        buyer, seller, flag = (
            (against, who, c.FLAG_SELLER_REDUCE_ONLY) if size > 0 else (who, against, c.FLAG_BUYER_REDUCE_ONLY)
        )
        at = self.index(market) if price is None else price
        return self.call("fill", FILLER, market, self.id(buyer), self.id(seller), asked, at, flag)

    def unwind(self, longs: str, shorts: str, market: int = 0) -> None:
        """Accounts of one letter each close against each other at the index, none beyond his own size."""
        flags = c.FLAG_BUYER_REDUCE_ONLY | c.FLAG_SELLER_REDUCE_ONLY
        for long in longs:
            for short in shorts:
                if self.size(long, market) > 0 > self.size(short, market):
                    price = Fraction(self.index(market), WAD)
                    outcome = self.trade(short, long, Fraction(c.MAX_SIZE, WAD), price, market, flags)
                    assert outcome.ok, f"{short} and {long} close: {outcome.reason!r}"

    def resolve(self, who: str, *net_with: str) -> dict[str, Any]:
        """Close a bankrupt; the receipt's fields."""
        outcome = self.must("resolve", KEEPER, self.id(who), tuple(self.id(other) for other in net_with))
        receipts = [e.fields for e in outcome.events if e.name == "ReceiptWritten"]
        return receipts[0] if receipts else {}

    def settle(self, who: str, market: int = 0) -> Outcome:
        """Pay what is pending; has to go through."""
        return self.must("settle", KEEPER, self.id(who), market)

    def price(self, price: Amount, market: int = 0) -> None:
        """A second passes, then all feeds answer ``price``."""
        self.advance(1)
        self.system.set_price(market, wad(price))
        self.seen = Snapshot(self.world)

    def advance(self, seconds: int) -> None:
        """Time passes; the feeds' answers are not renewed."""
        self.twin.advance(seconds)

    def rest_at(self, price: Amount, market: int = 0) -> None:
        """The price stays there until nothing of the past is left in the averages: the credit edges meet the index.

        Only the premium of the last fill is still in the mark.
        """
        self.price(price, market)
        self.advance(REST_S)
        self.price(price, market)

    def squeeze(self, tag: str, size: int, is_long: bool = True, cash: Amount = 0) -> dict[str, Any]:
        """One deleveraging of the whole side of market 0, from old to old of old + ``size`` wei.

        A newcomer ``n<tag>`` joins at 100 with ``size`` wei against ``z<tag>``, who is 2 % of notional short at 108
        (a short) or 92 (a long). Returns the receipt.
        """
        newcomer, bankrupt = f"n{tag}", f"z{tag}"
        self.rest_at(100)
        notional = Fraction(100 * size, WAD)
        self.deposit(newcomer, notional + Fraction(cash))
        self.deposit(bankrupt, Fraction(6 * size, WAD))
        buyer, seller = (newcomer, bankrupt) if is_long else (bankrupt, newcomer)
        self.open(buyer, seller, Fraction(size, WAD), 100)
        self.price(108 if is_long else 92)
        return self.resolve(bankrupt)

    def fill_treasury(self, amount: Amount, who: str = "provider") -> None:
        """A liquidity provider deposits into the backstop fund."""
        owner, atoms = self.owner(who), wad(amount) // self.system.unit
        self.twin.call("Token", "mint", KEEPER, owner, atoms)
        self.twin.call("Token", "approve", owner, self.system.fund.address, atoms)
        self.must("deposit", owner, atoms, contract="BackstopFund")

    def provide(self, amount: Amount, market: int, who: str = "provider") -> None:
        """A liquidity provider fills the fund, which tops the market's bucket up with all of it."""
        self.fill_treasury(amount, who)
        self.must("set_cap", GOVERNOR, market, 10**30, contract="BackstopFund")
        self.must("top_up", KEEPER, market, wad(amount), contract="BackstopFund")

    # ---- views

    def id(self, who: str) -> bytes:
        """Account id of a name."""
        name, _, sub = who.partition("/")
        return account_id(self.owner(name), int(sub or 0))

    def owner(self, who: str) -> str:
        """Address behind a name."""
        name = who.partition("/")[0]
        return self.system.fund.address if name == "fund" else actor(name).address

    @property
    def vault(self) -> int:
        """The ledger's collateral, units."""
        house = self.system.clearing_house.address
        return self.system.token.balanceOf(KEEPER, house) * self.system.unit

    @property
    def now(self) -> Snapshot:
        """The words as they are."""
        return Snapshot(self.world)

    @property
    def domain(self) -> Any:
        """The two words of the domain."""
        return self.now.domain

    def market(self, market: int = 0) -> Market:
        """Moving words of a market, as stored."""
        return self.now.markets[market]

    def index(self, market: int = 0) -> int:
        """The accepted index."""
        return self.system.oracle.peek(KEEPER, market).index

    def leg(self, who: str, market: int = 0) -> EffectiveLeg:
        """A position as it stands at the stored funding, read without the model's code."""
        return self.now.leg(self.id(who), market)

    def size(self, who: str, market: int = 0) -> int:
        """Signed size, gons."""
        return self.leg(who, market).size

    def cash(self, who: str) -> int:
        """Cash with everything pending, gons if exposed; without ``late``."""
        s, account = self.now, self.id(who)
        word = s.accounts.get(account)
        return 0 if word is None else word.cash + sum(leg.pending for leg in s.legs(account).values())

    def late(self, who: str) -> int:
        """Money that waits for the end of the bad debt, units."""
        return self.now.late(self.id(who))

    def value(self, who: str, price: Amount | None = None, market: int = 0) -> Fraction:
        """Cash plus the position at ``price`` (the index if not given), gons, without rounding."""
        at = self.index(market) if price is None else wad(price)
        return self.cash(who) + Fraction(self.size(who, market) * at, WAD)

    def position(self, who: str, market: int = 0) -> Position:
        """The stored basis."""
        return self.system.clearing_house.load_position(self.id(who), market)

    def side_band(self, is_long: bool, band: int = 0, market: int = 0) -> Any:
        """State of a band."""
        return self.system.clearing_house.load_band(market, is_long, band)

    def band(self, who: str, market: int = 0) -> Any:
        """State of the band that a position lies in."""
        p = self.position(who, market)
        return self.system.clearing_house.load_band(market, p.is_long, p.band)

    def exact_size(self, who: str, market: int = 0) -> Fraction:
        """What the exact ledger says, wei of real size."""
        return self.follower.ledger.size(self.id(who), market)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of that name in the last call."""
        assert self.last is not None
        return [e.fields for e in self.last.events if e.name == name]


_deployed: dict[str, Book] = {}

OpenBook = Callable[..., Book]


@contextmanager
def books() -> Iterator[OpenBook]:
    """Opens books by their markets. Each set of markets is deployed once a process; what is done to it is undone."""
    with ExitStack() as stack:

        def open_one(*specs: MarketSpec, decimals: int = 18) -> Book:
            key = repr((specs, decimals))
            if key not in _deployed:
                _deployed[key] = Book(make_chain(), *specs, decimals=decimals)
            return stack.enter_context(_deployed[key].restored())

        yield open_one
