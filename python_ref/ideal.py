"""The ledger in exact rationals: an independent, eager model, and a follower that runs it beside the bit-exact one.

``IdealLedger`` updates every account one by one at every event. It has no index, no lazy band, no packed word and
no rounding, and shares no arithmetic with the other model files: of them it imports :class:`Revert` and bounds.
Decisions (who is closed, how much, at what price) come from outside; it only says what they do to balances.

All amounts are *real*: money and sizes in WAD units, prices in money per base unit (112 means 112), as
:class:`fractions.Fraction`. Sources: SPEC §2 (accounts), §4 (the law of a band), §6.1 (funding), §10 (rebase).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

from python_ref.constants import DUST_SIZE, INDEX_ONE, MIN_A, RESIDENCY_S, SCALE_SPAN, WAD
from python_ref.world import Revert

Id = Hashable
"""An account: the model's ``bytes32``, or any name in a test. Tuples that start with "house" are the residue's."""

Number = int | Fraction
ZERO = Fraction(0)
NO_BAND = -1
"""Label of what belongs to no band: the market's residue, and the account between bands and a closed leg."""


@dataclass
class IdealAccount:
    """One account. ``sizes`` holds no zero; ``bands`` remembers (is_long, label) of each position as told."""

    cash: Fraction = ZERO
    late: Fraction = ZERO
    exposed: bool = False
    touched: int = 0
    sizes: dict[int, Fraction] = field(default_factory=dict)
    bands: dict[int, tuple[bool, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class IdealReceipt:
    """What one default did, all at one price: ``seized + cover + booked = deficit`` exactly (INV-9)."""

    deficit: Fraction
    cover: Fraction
    seized: Fraction
    booked: Fraction
    price: Fraction


def house(market: int, is_long: bool | None = None, band: int = 0) -> Id:
    """Residue account of a band, or of the whole market when no side is given (rule 28)."""
    return ("house", market) if is_long is None else ("house", market, is_long, band)


def is_house(account: Id) -> bool:
    """Whether ``account`` is a residue account."""
    return isinstance(account, tuple) and account[:1] == ("house",)


class IdealLedger:
    """Balances of one solvency domain as exact rationals; see the module's docstring."""

    def __init__(self) -> None:
        self.accounts: dict[Id, IdealAccount] = {}
        self.vault = ZERO
        self.bad_debt = ZERO
        self.fees: dict[int, Fraction] = {}
        self.receipts: set[Id] = set()
        self.now = 0

    # ---------------------------------------------------------------- views

    def account(self, account: Id) -> IdealAccount:
        """The account, created exempt and empty at its first mention."""
        return self.accounts.setdefault(account, IdealAccount(exposed=is_house(account)))

    def cash(self, account: Id) -> Fraction:
        """Cash including ``late``, money."""
        state = self.account(account)
        return state.cash + state.late

    def size(self, account: Id, market: int) -> Fraction:
        """Signed size, long > 0."""
        return self.account(account).sizes.get(market, ZERO)

    def equity(self, account: Id, prices: Mapping[int, Number]) -> Fraction:
        """Cash plus every position at its market's price in ``prices``; funding is never outstanding here."""
        return self.cash(account) + sum((q * prices[m] for m, q in self.account(account).sizes.items()), ZERO)

    def notional(self, account: Id, prices: Mapping[int, Number]) -> Fraction:
        """Sum of the positions' absolute values."""
        return sum((abs(q) * prices[m] for m, q in self.account(account).sizes.items()), ZERO)

    def maintenance(self, account: Id, prices: Mapping[int, Number], rates: Mapping[int, Number]) -> Fraction:
        """Requirement with one linear rate per market."""
        return sum((abs(q) * prices[m] * rates[m] for m, q in self.account(account).sizes.items()), ZERO)

    def open_interest(self, market: int, is_long: bool) -> Fraction:
        """Sum of one side's sizes over all accounts, the residue's included."""
        sizes = (state.sizes.get(market, ZERO) for state in self.accounts.values())
        return sum((abs(q) for q in sizes if q and (q > 0) == is_long), ZERO)

    def members(self, market: int, is_long: bool, band: int | None = None) -> list[Id]:
        """Accounts told to lie in a band (any band of the side if None), the band's residue included.

        What the house has of the whole market lies in no band, whatever was told of it last.
        """
        return [
            who
            for who, state in self.accounts.items()
            if market in state.sizes
            and (band is None or who != house(market))
            and state.bands.get(market, (state.sizes[market] > 0, 0))[0] == is_long
            and (band is None or state.bands.get(market, (is_long, 0))[1] == band)
        ]

    def residue(self, market: int) -> Fraction:
        """Signed size that rounding has left with the house in this market; never below zero (rule 28)."""
        return sum((s.sizes.get(market, ZERO) for who, s in self.accounts.items() if is_house(who)), ZERO)

    def exposed_cash(self) -> Fraction:
        """X: signed cash of the exposed accounts, without ``late``, plus the fees not yet swept (rule 2)."""
        return sum((s.cash for s in self.accounts.values() if s.exposed), ZERO) + sum(self.fees.values(), ZERO)

    def claims(self) -> Fraction:
        """Every signed claim on the vault: cash, late, fees."""
        return sum((s.cash + s.late for s in self.accounts.values()), ZERO) + sum(self.fees.values(), ZERO)

    def check(self) -> None:
        """The two exact equalities: sizes of a market cancel, claims equal the vault plus the bad debt."""
        totals: dict[int, Fraction] = {}
        for state in self.accounts.values():
            for market, q in state.sizes.items():
                totals[market] = totals.get(market, ZERO) + q
        for market, total in totals.items():
            assert total == 0, f"ideal: the sizes of market {market} sum to {total}, not to zero"
        gap = self.claims() - self.vault - self.bad_debt
        assert gap == 0, f"ideal: claims exceed vault plus bad debt by {gap}"
        assert self.bad_debt >= 0, f"ideal: negative bad debt {self.bad_debt}"

    # ---------------------------------------------------------------- money at the boundary

    def deposit(self, account: Id, money: Number) -> None:
        """Tokens in. Money for an exposed account waits in ``late`` while there is bad debt (rule 6)."""
        state = self.account(account)
        self.vault += money
        if state.exposed and self.bad_debt > 0:
            state.late += money
        else:
            state.cash += money
        state.touched = self.now

    def withdraw(self, account: Id, money: Number, slack: Number = 0) -> None:
        """Tokens out. From an exempt account only what it has; from exposure only without debt or receipt.

        ``slack``: what a rounded ledger beside this one may show beyond the exact cash.
        """
        state = self.account(account)
        if state.exposed:
            self._require(self.bad_debt == 0 and not self.receipts, "ideal: exits are locked")
        else:
            self._require(money <= state.cash + slack, "ideal: more than the cash")
        self.vault -= money
        state.cash -= money

    def transfer(self, source: Id, target: Id, money: Number) -> None:
        """Cash from one account to another: a withdrawal and a deposit without tokens."""
        self.withdraw(source, money)
        self.deposit(target, money)

    def fold_late(self, account: Id) -> None:
        """Late money becomes cash: at the first touch after the debt is gone, or when the account defaults."""
        state = self.account(account)
        state.cash, state.late = state.cash + state.late, ZERO

    def expose(self, account: Id) -> None:
        """An exempt account becomes exposed; closed to newcomers during a default (rule 5)."""
        state = self.account(account)
        if not state.exposed:
            self._require(self.bad_debt == 0 and not self.receipts, "ledger: closed to newcomers")
            state.exposed = True

    def release(self, account: Id, least: Number = 0) -> None:
        """A flat exposed account with at least ``least`` cash becomes exempt after its residency (rule 4)."""
        state = self.account(account)
        self._require(state.exposed and not state.sizes and state.cash >= least, "ideal: not flat")
        self._require(state.touched + RESIDENCY_S <= self.now, "ideal: residency")
        self._require(self.bad_debt == 0 and not self.receipts, "ideal: exits are locked")
        state.exposed = False

    # ---------------------------------------------------------------- trades and funding

    def fill(
        self,
        market: int,
        buyer: Id,
        seller: Id,
        size: Number,
        price: Number | None = None,
        *,
        quote: Number | None = None,
        buyer_fee: Number = 0,
        seller_fee: Number = 0,
    ) -> None:
        """Move ``size`` from seller to buyer for ``quote`` (``size·price`` if not given); fees go to the market."""
        if quote is None:
            assert price is not None, "a fill needs a price or a quote"
            quote = size * price
        self.expose(buyer)
        self.expose(seller)
        self.move(market, seller, buyer, size, quote)
        self.account(buyer).cash -= buyer_fee
        self.account(seller).cash -= seller_fee
        self._add_fees(market, buyer_fee + seller_fee)
        self.account(buyer).touched = self.account(seller).touched = self.now

    def move(self, market: int, giver: Id, taker: Id, size: Number, quote: Number) -> None:
        """The zero-sum step under every trade: ``taker`` gets signed ``size`` and pays signed ``quote``."""
        self._add_size(giver, market, -Fraction(size))
        self._add_size(taker, market, Fraction(size))
        self.account(giver).cash += quote
        self.account(taker).cash -= quote

    def liquidate(self, market: int, account: Id, taker: Id, size: Number, quote: Number, fee: Number = 0) -> None:
        """``taker`` takes signed ``size`` of ``account``'s position for unsigned ``quote``; he also pays ``fee``."""
        self.expose(taker)
        self.move(market, account, taker, size, quote if size > 0 else -quote)
        self.account(taker).cash -= fee
        self._add_fees(market, fee)
        self.account(taker).touched = self.account(account).touched = self.now

    def accrue_funding(self, market: int, d_funding: Number) -> None:
        """Every position pays ``size·d_funding``: longs pay when it is positive, shorts receive."""
        for state in self.accounts.values():
            if market in state.sizes:
                state.cash -= state.sizes[market] * d_funding

    def accrue(self, market: int, rate: Number, index: Number, dt: Number, period: Number = 28_800) -> Fraction:
        """Funding over ``dt`` seconds at ``rate`` (a fraction per ``period``) of ``index``; returns what F rose by."""
        d_funding = Fraction(rate) * index * dt / period
        self.accrue_funding(market, d_funding)
        return d_funding

    # ---------------------------------------------------------------- default

    def set_band(self, account: Id, market: int, is_long: bool, band: int) -> None:
        """Remember the label of a position."""
        self.account(account).bands[market] = (is_long, band)

    def deleverage_band(
        self, market: int, is_long: bool, members: Iterable[Id], size: Number, quote: Number, against: Id
    ) -> None:
        """Close ``size`` pro rata over ``members`` for ``quote``, both unsigned, against one account.

        With OI the members' total size on this side, each keeps ``f = (OI − size)/OI`` of his size and takes
        ``|q|/OI`` of the quote: longs receive it, shorts pay it. ``against`` is left with the mirror image.
        """
        side = 1 if is_long else -1
        who = list(members)
        oi = sum((side * self.size(a, market) for a in who), ZERO)
        self._require(0 < size <= oi, "ideal: size exceeds the band")
        for a in who:
            share = side * self.size(a, market) / oi
            self._add_size(a, market, -side * share * size)
            self.account(a).cash += side * share * quote
        self._add_size(against, market, side * Fraction(size))
        self.account(against).cash -= side * quote

    def cover(self, payer: Id, account: Id, money: Number) -> None:
        """The fund's bucket pays part of a deficit."""
        self.account(payer).cash -= money
        self.account(account).cash += money

    def open_receipt(self, account: Id) -> None:
        """A default of ``account`` is being worked off: exits, newcomers and the rebase are locked."""
        self.receipts.add(account)

    def close_receipt(self, account: Id) -> None:
        """The default of ``account`` is done."""
        self.receipts.discard(account)

    def write_off(self, account: Id, money: Number | None = None) -> Fraction:
        """Inside a receipt only: a flat account's negative cash becomes bad debt. Returns the amount."""
        state = self.account(account)
        self._require(account in self.receipts, "ideal: no receipt")
        self._require(not state.sizes, "ideal: not flat")
        amount = max(ZERO, -state.cash) if money is None else Fraction(money)
        state.cash += amount
        self.bad_debt += amount
        return amount

    def repay_bad_debt(self, payer: Id, money: Number) -> None:
        """A gift that lowers the bad debt."""
        self._require(0 <= money <= self.bad_debt, "ideal: more than the debt")
        self.account(payer).cash -= money
        self.bad_debt -= money

    def repay_from_fees(self, market: int, money: Number) -> None:
        """Fees lower the bad debt before they reach the fund (rule 9)."""
        self._require(0 <= money <= self.bad_debt, "ideal: more than the debt")
        self._add_fees(market, -Fraction(money))
        self.bad_debt -= money

    def sweep_fees(self, market: int, bucket: Id, money: Number) -> None:
        """Fees of a market become the fund's."""
        self._add_fees(market, -Fraction(money))
        self.account(bucket).cash += money

    def inherit(self, account: Id, bucket: Id) -> None:
        """The bucket takes over cash and sizes as they are; no price is involved (rule 16)."""
        self.expose(bucket)
        source = self.account(account)
        for market, q in list(source.sizes.items()):
            self._add_size(account, market, -q)
            self._add_size(bucket, market, q)
        self.account(bucket).cash += source.cash
        source.cash = ZERO

    def rebase(self) -> Fraction:
        """Cash and sizes of every exposed claim times ``(X − B)/X``; returns that factor (SPEC §10)."""
        self._require(not self.receipts, "ideal: receipt open")
        x, b = self.exposed_cash(), self.bad_debt
        self._require(b > 0, "ideal: no bad debt")
        self._require(x > b, "rebase: settlement needed")
        factor = (x - b) / x
        for state in self.accounts.values():
            if state.exposed:
                state.cash *= factor
                state.sizes = {m: q * factor for m, q in state.sizes.items()}
        self.fees = {m: fee * factor for m, fee in self.fees.items()}
        self.bad_debt = ZERO
        return factor

    def default(
        self,
        account: Id,
        market: int,
        index: Number,
        gap: Number,
        *,
        payer: Id | None = None,
        available: Number = 0,
        bands: Iterable[tuple[list[Id], Number]] | None = None,
    ) -> IdealReceipt:
        """Work off a bankrupt whose only leg is ``market``, everything at ``index`` (SPEC §8, steps 3 to 6).

        ``gap`` is the cap on the loss passed on, as a fraction of the closed notional (rule 21); ``available`` what
        ``payer`` may give. ``bands`` lists who is closed and how much; the whole opposite side if None.
        """
        self._require(set(self.account(account).sizes) <= {market}, "ideal: another leg is open")
        deficit = -self.equity(account, {market: index})
        self._require(deficit > 0, "resolve: not bankrupt")
        self.open_receipt(account)
        cover = min(deficit, Fraction(available))
        if payer is not None:
            self.cover(payer, account, cover)
        q = self.size(account, market)
        is_long = q < 0
        seized = min(deficit - cover, gap * index * abs(q))
        # The winners close worse than at the index by `seized` in all, whichever side they are on
        quote = abs(q) * index - seized if is_long else abs(q) * index + seized
        if not q:
            bands = []
        elif bands is None:
            bands = [([a for a in self.members(market, is_long) if a != account], abs(q))]
        for members, size in bands:
            self.deleverage_band(market, is_long, members, size, quote * size / abs(q), account)
        booked = self.write_off(account)
        self.close_receipt(account)
        return IdealReceipt(deficit, cover, seized, booked, quote / abs(q) if q else Fraction(index))

    def settlement_payouts(self, prices: Mapping[int, Number]) -> dict[Id, Fraction]:
        """Count, then claim (rule 43): exempt claims first, positive equities share the rest pro rata."""
        exempt = sum((s.cash for s in self.accounts.values() if not s.exposed), ZERO)
        senior = min(Fraction(1), self.vault / exempt) if exempt else Fraction(1)
        positive = {a: max(ZERO, self.equity(a, prices)) for a, s in self.accounts.items() if s.exposed}
        total = sum(positive.values(), ZERO)
        rest = max(ZERO, self.vault - exempt)
        factor = min(Fraction(1), rest / total) if total else ZERO
        return {a: positive[a] * factor if state.exposed else state.cash * senior for a, state in self.accounts.items()}

    # ---------------------------------------------------------------- the house residue

    def round_off(self, account: Id, market: int, size: Number) -> Fraction:
        """Hand the part of a size that a rounded ledger does not credit to the band's residue; returns it.

        No cash moves: a long gives up a crumb, a short is charged one, so the crumb is a long and worth ≥ 0.
        """
        crumb = self.size(account, market) - size
        if crumb:
            is_long, band = self.account(account).bands.get(market, (self.size(account, market) > 0, 0))
            target = house(market, is_long, band)
            self.set_band(target, market, is_long, band)
            self.move(market, account, target, crumb, 0)
        return crumb

    def align_band(self, market: int, is_long: bool, band: int, open_interest: Number) -> Fraction:
        """Make a band's total ``open_interest`` by moving residue between it and the market's; returns what moved."""
        side = 1 if is_long else -1
        total = sum((side * self.size(a, market) for a in self.members(market, is_long, band)), ZERO)
        crumb = side * (open_interest - total)
        if crumb:
            target = house(market, is_long, band)
            self.set_band(target, market, is_long, band)
            self.move(market, house(market), target, crumb, 0)
            # the market's residue belongs to no band of either side
            self.set_band(house(market), market, True, NO_BAND)
        return crumb

    # ---------------------------------------------------------------- helpers

    def _add_size(self, account: Id, market: int, change: Fraction) -> None:
        sizes = self.account(account).sizes
        after = sizes.get(market, ZERO) + change
        if after:
            sizes[market] = after
        else:
            sizes.pop(market, None)
            self.account(account).bands.pop(market, None)

    def _add_fees(self, market: int, change: Number) -> None:
        self.fees[market] = self.fees.get(market, ZERO) + change

    @staticmethod
    def _require(condition: bool, reason: str) -> None:
        if not condition:
            raise Revert(reason)


# -------------------------------------------------------------------- beside the bit-exact model


@dataclass(frozen=True)
class AccountView:
    """An account as the bit-exact model shows it, pending cash included; gons when ``exposed``, else units."""

    cash: int
    late: int
    exposed: bool
    sizes: Mapping[int, int]
    labels: Mapping[int, tuple[bool, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class BookView:
    """The bit-exact model's book at one moment; ``invariants.read_book`` makes it from the words."""

    accounts: Mapping[bytes, AccountView]
    claim_index: int
    bad_debt: int
    exposed: int
    residues: Mapping[int, int]


class EventLike(Protocol):
    """One log entry of the model."""

    @property
    def contract(self) -> str:
        """Name of the emitter."""

    @property
    def name(self) -> str:
        """Name of the event."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """Fields by name."""


@dataclass(frozen=True)
class Drift:
    """Largest distances found by one comparison, real wei, and how much of its bound the worst one used."""

    cash: Fraction
    size: Fraction
    used: Fraction
    worst: Id | None
    residue: Fraction


@dataclass
class _LegBound:
    """What may separate the model's leg from the exact one, real wei."""

    size: Fraction = ZERO  # unrounded lazy size against exact size
    peak: Fraction = ZERO  # |q| at the last anchor
    lazy: bool = False  # deleveraged since the anchor, so reading it rounds


@dataclass
class _CashBound:
    """How far the model's cash may lie above and below the exact cash, real wei."""

    up: Fraction = ZERO
    down: Fraction = ZERO


def _coarse(x: Fraction) -> Fraction:
    """A bound rounded up to a short fraction, so that bounds stay cheap to carry."""
    return Fraction(-((-x.numerator << 64) // x.denominator), 1 << 64)


class IdealFollower:
    """Replays the ledger's events into an :class:`IdealLedger` and states how far the two may lie apart.

    Units: real wei; one gon is worth ``unit = Π (X − B)/X`` exactly (the model's ``claim_index`` floors that).

    **Bound** (research: rebase.md §1.5; k deleveragings of a leg of size q since its anchor, gons):

    * size: ``0 ≤ exact − model ≤ k·q/1e27 + 1`` signed, so longs are short-changed and shorts over-charged, and
      with k = 0 the two are equal. What an anchor rounds away goes to the residue, so it never accumulates.
    * cash, house's side: ``exact − model ≤ S + per settlement (1 + 10·q/1e27) + 1 per conversion``
      (1 the floor of a settlement, 10 = checkpoint + fold + SCALE_SPAN floors of ``C``, each worth ``q0/a0 ≤ q/1e27``);
      per deleveraging ``2·q/1e27`` more (fold and quote).
    * cash, account's side: ``model − exact ≤ S``, where S is the size error above times the funding and close prices
      that passed over it: a long that is credited less size is charged less funding for it.
    * index: ``|claim_index/1e36 − unit|/unit`` grows per rebase by ``1/claim_index`` plus what the boundary's dust
      moves ``(X − B)/X`` by; sums of money that cross the boundary are off by that share plus one wei.
    """

    def __init__(
        self,
        atoms_to_units: int = 1,
        backstop: str = "0x" + "00" * 20,
        contract: str = "ClearingHouse",
        check_each: bool = True,
    ) -> None:
        """``atoms_to_units`` is ``10**(18 − decimals)``; ``backstop`` may also be learnt from the wiring event.

        ``check_each``: test the exact ledger's own equalities after every transaction, not only when comparing.
        """
        self.ledger = IdealLedger()
        self.unit = Fraction(1)
        self.index = INDEX_ONE
        self.drift = ZERO
        self.funding: dict[int, int] = {}
        self.conversion_dust = ZERO
        self._check_each = check_each
        self._atoms = atoms_to_units
        self._contract = contract
        self._backstop = bytes.fromhex(backstop[2:])
        self._legs: dict[tuple[Id, int], _LegBound] = {}
        self._cash: dict[Id, _CashBound] = {}
        self._late_rounding: list[dict[str, Any]] = []
        # anchors of the transaction at hand: size, what it rounded off, what it might have
        self._fitted: dict[tuple[Id, int], tuple[Fraction, Fraction, Fraction]] = {}
        # markets that are or were claimed: the house stands between the sides there (SPEC §15)
        self._ended: set[int] = set()
        self._dusts: dict[int, int] = {}  # per market, how often the house took what was left of a position
        self._table: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "Deposited": self._deposited,
            "Withdrawn": self._withdrawn,
            "Transferred": self._transferred,
            "Exposed": self._exposed,
            "Released": self._released,
            "LateFolded": self._late_folded,
            "FundingAccrued": self._funding_accrued,
            "Traded": self._traded,
            "PositionChanged": self._position_changed,
            "Settled": self._settled,
            "Reranked": self._reranked,
            "Liquidated": self._liquidated,
            "Netted": self._netted,
            "TakenOver": self._taken_over,
            "BucketPaid": self._bucket_paid,
            "BandDeleveraged": self._band_deleveraged,
            "HouseClosed": self._house_closed,
            "LegClosed": self._leg_closed,
            "WrittenOff": self._written_off,
            "BadDebtRepaid": self._bad_debt_repaid,
            "FeesSwept": self._fees_swept,
            "Rebased": self._rebased,
            "SettlementOpened": self._settlement_opened,
            "Claimed": self._claimed,
            "ReceiptWritten": self._receipt_written,
            "ReceiptEnded": self._receipt_ended,
            "Wired": self._wired,
        }

    # ---------------------------------------------------------------- the two entry points

    def follow(self, events: Iterable[EventLike], now: int) -> None:
        """Replay the events of one transaction, in order, then check the ideal ledger's own equalities.

        An anchor may be logged before the movement that it records; it is applied as soon as it fits.
        """
        self.ledger.now = now
        self._fitted.clear()
        for event in events:
            if event.contract != self._contract or event.name not in self._table:
                continue
            self._table[event.name](event.fields)
            self._late_rounding = [f for f in self._late_rounding if not self._anchor(f)]
        self._late_rounding = [f for f in self._late_rounding if not self._anchor(f, last=True)]
        for (account, market), (size, crumb, limit) in self._fitted.items():
            # a movement no larger than the rounding: its anchor fitted before it, and is due after it
            if 0 <= crumb + self.ledger.size(account, market) - size <= limit:
                self.ledger.round_off(account, market, size)
        for f in self._late_rounding:
            raise AssertionError(
                f"ideal: the model anchored {f['account'].hex()} at {f['size']} gons in market {f['market']}, "
                f"the exact size is {float(self.ledger.size(f['account'], f['market']) / self.unit)}"
            )
        self._drop_clearing()
        if self._check_each:
            self.ledger.check()

    def compare(self, view: BookView) -> Drift:
        """Assert every account of the model within its bound and on the house's side; returns the distances.

        Raises :class:`AssertionError` naming the account, the two numbers and the bound.
        """
        if not self._check_each:
            self.ledger.check()
        cash_max = size_max = used_max = ZERO
        worst: Id | None = None
        unit = self.unit
        for who, state in list(self.ledger.accounts.items()):
            if not isinstance(who, bytes):
                continue
            seen = view.accounts.get(who, AccountView(0, 0, False, {}))
            assert seen.exposed == state.exposed, f"ideal: {who.hex()} is exposed in one ledger only"
            assert seen.late == state.late, f"ideal: late cash of {who.hex()}: model {seen.late}, exact {state.late}"
            worth = unit if state.exposed else Fraction(1)
            bound = self._cash.get(who, _CashBound())
            down = bound.down
            for market in set(state.sizes) | set(seen.sizes) | {m for a, m in self._legs if a == who}:
                leg = self._legs.get((who, market), _LegBound())
                down += self._settlement(leg)
                gap = state.sizes.get(market, ZERO) - seen.sizes.get(market, 0) * unit
                limit = leg.size + (unit if leg.lazy else 0)
                if seen.sizes.get(market, 0) == 0 and 0 < gap <= DUST_SIZE * unit:
                    # the last dust of a long band was wiped with it, which no event tells (SPEC §4.4)
                    self._dust_off(who, market)
                    self._pay(who, market)
                    gap = ZERO
                assert 0 <= gap <= limit, (
                    f"ideal: size of {who.hex()} in market {market}: model {seen.sizes.get(market, 0)} gons, "
                    f"exact less model {float(gap)}, allowed 0 to {float(limit)}"
                )
                size_max = max(size_max, gap)
            gap = state.cash - seen.cash * worth
            assert -bound.up <= gap <= down, (
                f"ideal: cash of {who.hex()}: model {seen.cash}, exact less model {float(gap)}, "
                f"allowed {float(-bound.up)} to {float(down)}"
            )
            share = gap / down if gap > 0 else (-gap / bound.up if gap < 0 else ZERO)
            if share > used_max:
                used_max, worst = share, who
            cash_max = max(cash_max, abs(gap))
            # a takeover tells the heir's new label to nobody
            for market, (is_long, band) in seen.labels.items():
                if market in state.sizes:
                    self.ledger.set_band(who, market, is_long, band)
        for who_bytes, seen in view.accounts.items():
            assert who_bytes in self.ledger.accounts or not (seen.cash or seen.late or any(seen.sizes.values())), (
                f"ideal: {who_bytes.hex()} has balances that no event announced"
            )
        residue = ZERO
        for market in {m for s in self.ledger.accounts.values() for m in s.sizes} | set(view.residues):
            held = self.ledger.residue(market)
            assert held >= 0 or market in self._ended, (
                f"ideal: rounding left the house {float(held)} of market {market}, below zero"
            )
            residue = max(residue, held)
        assert view.bad_debt * unit == self.ledger.bad_debt, "ideal: bad debt differs"
        gap = self.ledger.exposed_cash() - view.exposed * unit
        assert gap == self.conversion_dust, (
            f"ideal: exposed claims differ by {float(gap)}, conversions explain {float(self.conversion_dust)}"
        )
        return Drift(cash_max, size_max, used_max, worst, residue)

    # ---------------------------------------------------------------- bounds

    def _leg(self, account: Id, market: int) -> _LegBound:
        return self._legs.setdefault((account, market), _LegBound())

    def _bound(self, account: Id) -> _CashBound:
        return self._cash.setdefault(account, _CashBound())

    def _settlement(self, leg: _LegBound) -> Fraction:
        """What one settlement of a leg may floor away."""
        return self.unit + leg.peak * (SCALE_SPAN + 2) / MIN_A

    def _pay(self, account: Id, market: int) -> _LegBound:
        """Account for one settlement of a leg."""
        leg = self._leg(account, market)
        bound = self._bound(account)
        bound.down = _coarse(bound.down + self._settlement(leg))
        return leg

    def _swept(self, account: Id, leg: _LegBound, price: Fraction) -> None:
        """A cash flow of ``price`` per unit passed over a leg whose size is only known up to its bound."""
        bound = self._bound(account)
        bound.up = _coarse(bound.up + leg.size * price)
        bound.down = _coarse(bound.down + leg.size * price)

    def _converted(self, account: Id, gap: Fraction, amount: Fraction) -> None:
        """Money crossed the boundary: exact less model is ``gap``; within a wei and the drift of the index."""
        limit = 1 + abs(amount) * self.drift
        assert abs(gap) <= limit, f"ideal: a conversion lost {float(gap)}, allowed {float(limit)}"
        bound = self._bound(account)
        if gap > 0:
            bound.down += gap
        else:
            bound.up -= gap

    def _anchor(self, fields: Mapping[str, Any], last: bool = False) -> bool:
        """Apply a new anchor if its size fits: the rounding becomes the residue's. False if it does not fit yet.

        ``last``: no movement follows, so what is left of a closed position is dust.
        """
        account, market, size = fields["account"], fields["market"], fields["size"] * self.unit
        leg = self._leg(account, market)
        crumb = self.ledger.size(account, market) - size
        # a trade that leaves dust closes the position, and the house takes the dust (SPEC §4.4)
        dust = last and size == 0 and abs(crumb) <= DUST_SIZE * self.unit
        limit = leg.size + (self.unit if leg.lazy else 0)
        if not dust and not 0 <= crumb <= limit:
            return False
        if size:
            self._fitted[account, market] = size, crumb, limit
        if abs(crumb) > leg.size + self.unit:
            self._dusts[market] = self._dusts.get(market, 0) + 1
        self.ledger.round_off(account, market, size)
        self._pay(account, market)
        del self._legs[account, market]
        if size:
            self._legs[account, market] = _LegBound(peak=abs(size))
            self.ledger.set_band(account, market, size > 0, fields["band"])
        return True

    def _dust_off(self, account: Id, market: int) -> None:
        """The house takes what is left of a position."""
        self._dusts[market] = self._dusts.get(market, 0) + 1
        self.ledger.round_off(account, market, 0)

    # ---------------------------------------------------------------- the boundary

    def _credit(self, account: Id, money: Fraction, late: bool) -> None:
        """Money in: gons rounded down (SPEC §2)."""
        state = self.ledger.account(account)
        before = state.late
        self.ledger.deposit(account, money)
        assert (state.late != before) == late, "ideal: late in one ledger only"
        if state.exposed and not late:
            self._cross(account, money, int(money) * INDEX_ONE // self.index)

    def _debit(self, account: Id, money: Fraction) -> None:
        """Money out: gons rounded up (SPEC §2)."""
        exposed = self.ledger.account(account).exposed
        self.ledger.withdraw(account, money, self._bound(account).up)
        if exposed:
            self._cross(account, -money, -int(money) * INDEX_ONE // self.index)

    def _deposited(self, f: Mapping[str, Any]) -> None:
        self._credit(f["account"], Fraction(f["amount"] * self._atoms), f["late"])

    def _withdrawn(self, f: Mapping[str, Any]) -> None:
        self._debit(f["account"], Fraction(f["amount"] * self._atoms))

    def _transferred(self, f: Mapping[str, Any]) -> None:
        self._debit(f["from_account"], Fraction(f["amount"]))
        self._credit(f["to_account"], Fraction(f["amount"]), f["late"])

    def _cross(self, account: Id, money: Fraction, gons: int) -> None:
        gap = money - gons * self.unit
        self._converted(account, gap, money)
        self.conversion_dust += gap

    def _exposed(self, f: Mapping[str, Any]) -> None:
        account = f["account"]
        self.ledger.expose(account)
        cash = self.ledger.account(account).cash
        self._converted(account, f["units"] - f["gons"] * self.unit, Fraction(f["units"]))
        self.conversion_dust += cash - f["gons"] * self.unit

    def _released(self, f: Mapping[str, Any]) -> None:
        account = f["account"]
        cash = self.ledger.account(account).cash
        self.ledger.release(account, -self._bound(account).up)
        self._converted(account, f["gons"] * self.unit - f["units"], Fraction(f["units"]))
        self.conversion_dust -= cash - f["gons"] * self.unit

    def _late_folded(self, f: Mapping[str, Any]) -> None:
        account = f["account"]
        assert self.ledger.account(account).late == f["units"], "ideal: late cash differs"
        self.ledger.fold_late(account)
        self._cross(account, Fraction(f["units"]), f["gons"])

    # ---------------------------------------------------------------- trades and funding

    def _funding_accrued(self, f: Mapping[str, Any]) -> None:
        market = f["market"]
        moved = Fraction(f["funding"] - self.funding.get(market, 0), WAD)
        self.funding[market] = f["funding"]
        self.ledger.accrue_funding(market, moved)
        for (account, leg_market), leg in self._legs.items():
            if leg_market == market and leg.size:
                self._swept(account, leg, abs(moved))

    def _traded(self, f: Mapping[str, Any]) -> None:
        u = self.unit
        self.ledger.fill(
            f["market"],
            f["buyer"],
            f["seller"],
            f["size"] * u,
            quote=f["quote"] * u,
            buyer_fee=f["buyer_fee"] * u,
            seller_fee=f["seller_fee"] * u,
        )

    def _position_changed(self, f: Mapping[str, Any]) -> None:
        self._late_rounding.append(dict(f))

    def _settled(self, f: Mapping[str, Any]) -> None:
        account, market = f["account"], f["market"]
        if f["size"] == 0:
            self._late_rounding.append({**f, "band": 0})
            return
        leg = self._pay(account, market)
        if leg.lazy:
            # the settlement re-anchors if the scale has moved, which its event does not tell
            leg.size += self.unit

    def _liquidated(self, f: Mapping[str, Any]) -> None:
        u = self.unit
        size, quote, fee = -f["size"] * u, f["quote"] * u, f["fund_fee"] * u
        self.ledger.liquidate(f["market"], f["account"], f["taker"], size, quote, fee)

    def _reranked(self, f: Mapping[str, Any]) -> None:
        account, market = f["account"], f["market"]
        self.ledger.set_band(account, market, self.ledger.size(account, market) > 0, f["new_band"])
        self._anchor_unseen(account, market, ZERO)

    def _anchor_unseen(self, account: Id, market: int, change: Fraction) -> None:
        """An anchor whose size no event tells: the wei it may have rounded stays within the leg's bound."""
        leg = self._pay(account, market)
        if leg.lazy:
            leg.size += self.unit
            leg.lazy = False
        leg.peak = abs(self.ledger.size(account, market)) + abs(change)

    # ---------------------------------------------------------------- default

    def _netted(self, f: Mapping[str, Any]) -> None:
        u, sign = self.unit, 1 if f["size"] > 0 else -1
        self.ledger.move(f["market"], f["other"], f["account"], f["size"] * u, sign * f["quote"] * u)

    def _taken_over(self, f: Mapping[str, Any]) -> None:
        u, account, bucket, market = self.unit, f["account"], f["bucket"], f["market"]
        self.ledger.expose(bucket)
        self.ledger.move(market, account, bucket, f["size"] * u, 0)
        self.ledger.cover(account, bucket, f["cash"] * u)
        self._late_rounding.append({"account": account, "market": market, "size": 0, "band": 0})
        self._anchor_unseen(bucket, market, f["size"] * u)

    def _bucket_paid(self, f: Mapping[str, Any]) -> None:
        self.ledger.cover(self._bucket(f["market"]), f["account"], f["amount"] * self.unit)

    def _band_deleveraged(self, f: Mapping[str, Any]) -> None:
        u, market, is_long, band = self.unit, f["market"], f["is_long"], f["band"]
        oi = f["open_interest"]
        crumb = self.ledger.align_band(market, is_long, band, oi * u)
        dust = DUST_SIZE * (1 + self._dusts.get(market, 0))
        assert abs(crumb) <= (dust + len(self._legs)) * u, f"ideal: the band's total is off by {float(crumb)}"
        members = self.ledger.members(market, is_long, band)
        price = Fraction(abs(f["quote"]), oi)
        f_kept = 1 - Fraction(f["size"], oi)
        for account in members:
            if is_house(account):
                continue
            leg = self._leg(account, market)
            self._swept(account, leg, price)
            self._bound(account).down += 2 * leg.peak / MIN_A
            leg.size = _coarse(leg.size * f_kept + abs(self.ledger.size(account, market)) / MIN_A)
            leg.lazy = True
            if f_kept == 0:
                leg.size, leg.lazy = ZERO, False
        clearing = ("clearing", market)
        self.ledger.deleverage_band(market, is_long, members, f["size"] * u, f["quote"] * u, clearing)
        self.ledger.set_band(clearing, market, True, NO_BAND)

    def _house_closed(self, f: Mapping[str, Any]) -> None:
        u, market = self.unit, f["market"]
        sign = 1 if self.ledger.size(f["account"], market) < 0 else -1
        dust = DUST_SIZE * (1 + self._dusts.get(market, 0))
        assert f["size"] <= dust + len(self._legs), f"ideal: the house closes {f['size']} gons, more than dust"
        size, quote = sign * f["size"] * u, f["quote"] * u  # the event's quote carries its sign
        self.ledger.move(market, house(market), ("clearing", market), size, quote)

    def _leg_closed(self, f: Mapping[str, Any]) -> None:
        u, market, sign = self.unit, f["market"], 1 if f["size"] > 0 else -1
        self.ledger.move(market, ("clearing", market), f["account"], f["size"] * u, sign * f["quote"] * u)

    def _written_off(self, f: Mapping[str, Any]) -> None:
        for market, size in list(self.ledger.account(f["account"]).sizes.items()):
            if abs(size) <= DUST_SIZE * self.unit:
                self._dust_off(f["account"], market)
        account = f["account"]
        held = account in self.ledger.receipts
        self.ledger.open_receipt(account)
        self.ledger.write_off(account, f["amount"] * self.unit)
        if not held:
            self.ledger.close_receipt(account)

    def _receipt_written(self, f: Mapping[str, Any]) -> None:
        if not f["finished"]:
            self.ledger.open_receipt(f["account"])

    def _receipt_ended(self, f: Mapping[str, Any]) -> None:
        self.ledger.close_receipt(f["account"])

    def _bad_debt_repaid(self, f: Mapping[str, Any]) -> None:
        payer, money = f["payer"], f["amount"] * self.unit
        exempt = not self.ledger.account(payer).exposed
        self.ledger.repay_bad_debt(payer, money)
        if exempt:
            self._converted(payer, f["units"] - money, money)

    def _fees_swept(self, f: Mapping[str, Any]) -> None:
        u, market = self.unit, f["market"]
        self.ledger.repay_from_fees(market, f["repaid"] * u)
        self.ledger.sweep_fees(market, self._bucket(market), (f["amount"] - f["repaid"]) * u)

    def _wired(self, f: Mapping[str, Any]) -> None:
        self._backstop = bytes.fromhex(f["backstop"][2:])

    def _bucket(self, market: int) -> bytes:
        """Account of the fund's bucket for a market (SPEC §9)."""
        return self._backstop + (market + 1).to_bytes(12, "big")

    def _rebased(self, f: Mapping[str, Any]) -> None:
        u, debt, total = self.unit, f["bad_debt"], f["exposed"]
        x = self.ledger.exposed_cash()
        assert x == total * u + self.conversion_dust, "ideal: exposed claims differ before the rebase"
        dust = self.conversion_dust / u
        factor = self.ledger.rebase()
        self.unit *= factor
        self.conversion_dust *= factor
        before = self.drift
        self.index = f["index_after"]
        index = Fraction(self.index)
        self.drift = abs(index / INDEX_ONE - self.unit) / self.unit
        grown = abs(dust) * debt / ((total + dust) * (total - debt)) + 1 / index
        assert self.drift <= before + 2 * grown, f"ideal: claim_index drifted by {float(self.drift)}"
        for account, bound in self._cash.items():
            if self.ledger.account(account).exposed:
                bound.up, bound.down = _coarse(bound.up * factor), _coarse(bound.down * factor)
        for leg in self._legs.values():
            leg.size, leg.peak = _coarse(leg.size * factor), _coarse(leg.peak * factor)

    def _settlement_opened(self, f: Mapping[str, Any]) -> None:
        self._ended.add(f["market"])

    def _claimed(self, f: Mapping[str, Any]) -> None:
        account, market = f["account"], f["market"]
        awaits = any((late["account"], late["market"]) == (account, market) for late in self._late_rounding)
        # a size no larger than its rounding: the anchor fitted before, and the house has it already
        size = f["size"] * self.unit if awaits else ZERO
        self.ledger.move(market, account, house(market), size, f["cash"] * self.unit)

    def _drop_clearing(self) -> None:
        """The account that stands between bands and the closed leg must end each transaction empty."""
        for who in [a for a in self.ledger.accounts if isinstance(a, tuple) and a[:1] == ("clearing",)]:
            state = self.ledger.accounts.pop(who)
            assert not state.sizes, f"ideal: bands and legs closed differ by {state.sizes}"
            assert not state.cash, f"ideal: bands and legs were paid differently by {float(state.cash)}"
