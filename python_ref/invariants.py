"""The invariants of the specification, each a sentence that can be checked on the model's words.

A :class:`Snapshot` decodes the words of one moment; positions are read by SPEC §4.1 afresh, in exact numbers and
without the model's code, so that a wrong reading there cannot hide here. Amounts are gons unless a name says units.

A snapshot may be made from the one before and the keys that a call wrote. It then knows what the call cannot have
changed, and the invariants look at the rest: what held for an untouched band, market or account holds still.
Invariants that need a decision's reasons (5, 10 for a ranked plan, 14 to 16) are tested where those are known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from math import ceil, floor
from typing import Self

from python_ref.constants import (
    BPS,
    DUST_SIZE,
    FUNDING_PERIOD_S,
    INDEX_ONE,
    MAX_MARKETS,
    MIN_A,
    ONE_A,
    PPM,
    RANK_LEVERAGE,
    SCALE_SPAN,
    SCALE_STEP,
    STATE_DEGRADED,
    STATE_FROZEN,
    STATE_LIVE,
    STATE_RECOVERY,
    STATE_SETTLEMENT,
    WAD,
)
from python_ref.ideal import AccountView, BookView
from python_ref.oracle_words import MASK_87, Feed, Rules
from python_ref.words import Account, Band, Cell, Globals, Limits, Market, Position, Risk
from python_ref.world import Event, Key, World

LATE_WORD = 33
POT_DUST = 10**12
"""Gons that rounding may take out of a market's pot; the reserve of its bucket backs them (rule 29)."""

BandKey = tuple[int, bool, int]


@dataclass(frozen=True)
class EffectiveLeg:
    """A position as it stands: signed size and the cash that a settlement would pay."""

    size: int
    pending: int
    is_long: bool
    band: int


@dataclass(frozen=True)
class Standing:
    """Equity and maintenance requirement of an account, in value units (gons times 1e18)."""

    equity: int
    maintenance: int


@dataclass(frozen=True)
class Scope:
    """What may differ from the snapshot before: accounts by their words, legs by theirs or their band's or market's."""

    accounts: frozenset[bytes]
    legs: frozenset[bytes]
    markets: frozenset[int]
    bands: frozenset[BandKey]


class Snapshot:
    """All words of one ledger at one moment, decoded on demand."""

    def __init__(self, world: World, contract: str = "ClearingHouse") -> None:
        self.words: dict[Key, int] = {key[1:]: word for key, word in world.words.items() if key[0] == contract}
        self.now = world.now
        self.paused = _pauses(world)
        self.contract = contract
        self.scope: Scope | None = None
        """None: anything may differ."""

    def after(self, world: World, written: Iterable[Key]) -> Self:
        """The snapshot of a later moment, where nothing of this contract but ``written`` was written in between."""
        keys = {key[1:] for key in written if key[0] == self.contract}
        new = type(self).__new__(type(self))
        new.contract, new.now, new.words = self.contract, world.now, dict(self.words)
        new.paused = _pauses(world)
        for key in keys:
            word = world.get((self.contract, *key))
            if word:
                new.words[key] = word
            else:
                new.words.pop(key, None)
        accounts, bands = dict(self.accounts), dict(self.bands)
        touched = {key[1] for key in keys if key[0] == "accounts"}
        for account in touched:
            accounts[account] = Account.unpack(new.word("accounts", account, 0))
        moved = {_band_key(key[1]) for key in keys if key[0] == "bands"}
        for band in moved:
            market, is_long, label = band
            bands[band] = Band.unpack(new.word("bands", market << 9 | int(is_long) << 8 | label))
        new.__dict__.update(accounts=accounts, bands=bands)
        shifted = moved | {_band_key(key[1] >> 24) for key in keys if key[0] == "cells"}
        markets = {key[1] >> 3 for key in keys if key[0] == "markets"} | {band[0] for band in shifted}
        if any(key[1] & 7 == 3 for key in keys if key[0] == "markets"):
            new.__dict__["markets"] = new._read_markets()
        else:
            listed = dict(self.markets)
            for market in markets & listed.keys():
                listed[market] = new._read_market(market)
            new.__dict__["markets"] = listed
        paid = {m for m in markets if m not in self.markets or new.markets[m].funding != self.markets[m].funding}
        all_legs, reread = dict(self.all_legs), set(touched)
        for account in touched:
            all_legs[account] = new.legs(account)
        if shifted or paid:
            for account, legs in self.all_legs.items():
                if account in touched:
                    continue
                stale = [m for m, leg in legs.items() if m in paid or (m, leg.is_long, leg.band) in shifted]
                if stale:
                    all_legs[account] = {**legs, **{m: new.leg(account, m) for m in stale}}
                    reread.add(account)
        new.__dict__["all_legs"] = all_legs
        markets |= {m for account in touched for m in (*self.all_legs.get(account, ()), *all_legs[account])}
        new.scope = Scope(frozenset(touched), frozenset(reread), frozenset(markets), frozenset(moved))
        return new

    @property
    def touched_accounts(self) -> Collection[bytes]:
        """Accounts of which a word may have changed."""
        return self.accounts if self.scope is None else self.scope.accounts

    @property
    def touched_markets(self) -> Collection[int]:
        """Listed markets of which a word, a band or a leg may have changed."""
        return self.markets if self.scope is None else self.markets.keys() & self.scope.markets

    @property
    def touched_bands(self) -> Collection[BandKey]:
        """Bands that may have changed."""
        return self.bands if self.scope is None else self.scope.bands

    def word(self, *key: object) -> int:
        """A word by its variable and indices; zero if never written."""
        return self.words.get(key, 0)

    @cached_property
    def domain(self) -> Globals:
        """The two words of the whole domain."""
        return Globals.unpack(self.word("global_words", 0), self.word("global_words", 1))

    @cached_property
    def accounts(self) -> dict[bytes, Account]:
        """Word 0 of every account that was ever written."""
        ids = {key[1] for key in self.words if key[0] == "accounts"}
        return {account: Account.unpack(self.word("accounts", account, 0)) for account in ids}

    @cached_property
    def bands(self) -> dict[BandKey, Band]:
        """Every band that was ever opened, by market, side and label."""
        found: dict[BandKey, Band] = {}
        for key, word in self.words.items():
            if key[0] == "bands":
                found[_band_key(key[1])] = Band.unpack(word)
        return found

    @cached_property
    def markets(self) -> dict[int, Market]:
        """Moving words of the listed markets."""
        return self._read_markets()

    def _read_markets(self) -> dict[int, Market]:
        listed = [m for m in range(MAX_MARKETS) if Limits.unpack(self.word("markets", m << 3 | 3)).listed]
        return {m: self._read_market(m) for m in listed}

    def _read_market(self, market: int) -> Market:
        return Market.unpack(self.word("markets", market << 3), self.word("markets", market << 3 | 1))

    def funding_at_end(self, index: Mapping[int, int]) -> dict[int, int]:
        """Funding of every market brought to now (SPEC §6.1); a market without an index, FROZEN, stands still."""
        moved: dict[int, int] = {}
        for market, m in self.markets.items():
            elapsed = max(0, self.now - self.paused[market] - m.accrued)
            paid = Fraction(m.rate * index.get(market, 0) * elapsed, PPM * FUNDING_PERIOD_S)
            moved[market] = m.funding + floor(paid)
        return moved

    def is_settled(self, market: int) -> bool:
        """Whether a position of the market was claimed at its final price: from then on the house is between."""
        return bool(self.word("settled") >> market & 1)

    def is_settling(self, market: int) -> bool:
        """Whether the market is being claimed and the last claim is still to come."""
        return self.is_settled(market) and not self.word("settled") >> (MAX_MARKETS + market) & 1

    def late(self, account: bytes) -> int:
        """Units that wait for the end of the bad debt."""
        return self.word("accounts", account, LATE_WORD)

    def leg(self, account: bytes, market: int, funding: int | None = None) -> EffectiveLeg:
        """SPEC §4.1 on the words; ``funding`` stands in for the market's own index if given."""
        p = Position.unpack(
            self.word("accounts", account, 1 + 2 * market), self.word("accounts", account, 2 + 2 * market)
        )
        if p.q0 == 0:
            return EffectiveLeg(0, 0, p.is_long, p.band)
        band = self.bands.get((market, p.is_long, p.band), Band())
        base = (market << 9 | int(p.is_long) << 8 | p.band) << 16 | p.epoch
        index = self.markets[market].funding if funding is None else funding
        total = -p.c0
        for j in range(SCALE_SPAN + 1):
            cell = Cell.unpack(self.word("cells", base << 8 | (p.scale + j))) if p.scale + j < 256 else Cell()
            if not cell.live:
                break
            c_now = cell.c
            is_last = p.epoch == band.epoch and p.scale + j == band.scale
            if is_last:
                moved = band.a * (index - cell.f_mark)
                c_now += (-moved if p.is_long else moved) // WAD
            total += c_now // SCALE_STEP**j  # // is the floor of the exact quotient, whatever the signs
            if is_last:
                break
        pending = p.q0 * total // p.a0
        if p.epoch != band.epoch:
            return EffectiveLeg(0, pending, p.is_long, p.band)
        behind = band.scale - p.scale
        if behind > SCALE_SPAN:
            return EffectiveLeg(0 if p.is_long else -1, pending, p.is_long, p.band)
        held, basis = p.q0 * band.a, p.a0 * SCALE_STEP**behind
        return EffectiveLeg((held if p.is_long else -held) // basis, pending, p.is_long, p.band)

    def legs(self, account: bytes, funding: Mapping[int, int] | None = None) -> dict[int, EffectiveLeg]:
        """The legs that the account's bits name."""
        bits = self.accounts[account].legs if account in self.accounts else 0
        at = funding or {}
        return {m: self.leg(account, m, at.get(m)) for m in range(MAX_MARKETS) if bits >> m & 1}

    @cached_property
    def all_legs(self) -> dict[bytes, dict[int, EffectiveLeg]]:
        """The legs of every account at the stored funding."""
        return {account: self.legs(account) for account in self.accounts}

    def standing(self, account: bytes, prices: Mapping[int, int], funding: Mapping[int, int] | None = None) -> Standing:
        """Equity and maintenance of an exposed account at one price per market (SPEC §5)."""
        claim_index = self.domain.claim_index
        cash = self.accounts[account].cash + self.late(account) * INDEX_ONE // claim_index
        equity, margin = cash * WAD, 0
        for market, leg in self.legs(account, funding).items():
            equity += leg.pending * WAD + leg.size * prices[market]
            risk = Risk.unpack(self.word("markets", market << 3 | 2))
            notional = abs(leg.size) * prices[market]
            rate = risk.maintenance * (WAD // PPM)
            if risk.depth:
                rate += ceil(Fraction(notional // WAD * claim_index // INDEX_ONE, risk.depth))
            margin += ceil(Fraction(notional * rate, WAD))
        return Standing(equity, margin)


def read_book(snapshot: Snapshot) -> BookView:
    """The book as :meth:`IdealFollower.compare` wants it."""
    accounts: dict[bytes, AccountView] = {}
    for account, word in snapshot.accounts.items():
        legs = snapshot.all_legs[account]
        accounts[account] = AccountView(
            word.cash + sum(leg.pending for leg in legs.values()),
            snapshot.late(account),
            word.exposed,
            {m: leg.size for m, leg in legs.items() if leg.size},
            {m: (leg.is_long, leg.band) for m, leg in legs.items() if leg.size},
        )
    domain = snapshot.domain
    residues = {m: words.residue for m, words in snapshot.markets.items()}
    return BookView(accounts, domain.claim_index, domain.bad_debt, domain.exposed, residues)


def _pauses(world: World) -> list[int]:
    """Seconds without a price that each market's clock leaves out (SPEC §6.1), from the oracle's word (SPEC §14.1)."""
    return [world.get(("PriceOracle", "cache", market)) >> 228 for market in range(MAX_MARKETS)]


def _band_key(word: int) -> BandKey:
    """Market, side and label out of the index of a band's word."""
    return word >> 9, bool(word >> 8 & 1), word & 255


# -------------------------------------------------------------------- of one moment


def inv_1_open_interest_matches(s: Snapshot) -> None:
    """INV-1: long open interest plus the house residue is short open interest, and the bitmaps show who has any."""
    held: dict[tuple[int, bool], int] = {}
    open_bands: dict[tuple[int, bool], int] = {}
    for (market, is_long, band), state in s.bands.items():
        if state.oi:
            side = market, is_long
            held[side] = held.get(side, 0) + state.oi
            open_bands[side] = open_bands.get(side, 0) | 1 << band
    for market in s.touched_markets:
        words = s.markets[market]
        shorts, longs = held.get((market, False), 0), held.get((market, True), 0)
        assert words.residue >= 0, f"INV-1: residue of market {market} is {words.residue}"
        assert shorts == words.oi, f"INV-1: short bands of market {market} hold {shorts}, the counter {words.oi}"
        assert s.is_settled(market) or longs + words.residue == words.oi, (
            f"INV-1: market {market}: long {longs} + residue {words.residue} is not short {words.oi}"
        )
        for is_long in (False, True):
            bitmap, full = s.word("markets", market << 3 | (4 if is_long else 5)), open_bands.get((market, is_long), 0)
            assert bitmap == full, (
                f"INV-1: bitmap of market {market}, {'long' if is_long else 'short'}: {bitmap:#x}, bands {full:#x}"
            )


def inv_1_sizes_lie_on_the_house_side(s: Snapshot) -> None:
    """INV-1, per band: longs own at most the open interest and the residue, shorts owe at least theirs."""
    touched = set(s.touched_markets)
    held: dict[BandKey, int] = {key: 0 for key in s.bands if key[0] in touched}
    longs = dict.fromkeys(touched, 0)
    for legs in s.all_legs.values():
        for market, leg in legs.items():
            if market in touched:
                key = (market, leg.is_long, leg.band)
                held[key] = held.get(key, 0) + abs(leg.size)
                if leg.is_long:
                    longs[market] += leg.size
    for key, total in held.items():
        market, is_long, band = key
        oi = s.bands.get(key, Band()).oi
        if is_long:
            spare = s.markets[market].residue
            assert total <= oi + spare, f"INV-1: longs of market {market}, band {band} own {total} of {oi} + {spare}"
        else:
            assert total >= oi, f"INV-1: shorts of market {market}, band {band} owe {total}, less than {oi}"
    for market, owned in longs.items():
        oi = s.markets[market].oi
        assert s.is_settled(market) or owned <= oi, (
            f"INV-1: longs of market {market} own {owned}, more than is owed: {oi}"
        )


def inv_1_leg_bits_match_positions(s: Snapshot) -> None:
    """INV-1, per account: a leg bit is set exactly where a position is stored, and only on exposed accounts."""
    for account in s.touched_accounts:
        word = s.accounts[account]
        stored = sum(1 << m for m in range(MAX_MARKETS) if s.word("accounts", account, 1 + 2 * m))
        assert word.legs == stored, f"INV-1: {account.hex()} has bits {word.legs:#x} and positions {stored:#x}"
        assert word.exposed or not word.legs, f"INV-1: {account.hex()} is exempt and has a position"


def inv_2_assets_cover_claims(s: Snapshot, vault_units: int) -> None:
    """INV-2: the vault plus the bad debt is at least the signed claims, compared in real money without rounding."""
    d = s.domain
    assets = vault_units * INDEX_ONE + d.bad_debt * d.claim_index
    claims = d.exempt * INDEX_ONE + d.exposed * d.claim_index
    assert assets >= claims, f"INV-2: claims exceed the vault plus bad debt by {(claims - assets) / INDEX_ONE} units"


def inv_4_counters_equal_their_sums(s: Snapshot) -> None:
    """INV-4: X, the exempt total, ``late`` flags and the open receipts equal what they stand for."""
    d = s.domain
    cash = exempt = late = 0
    working: list[Account] = []
    for account, word in s.accounts.items():
        if word.exposed:
            cash += word.cash
        else:
            exempt += word.cash
        if word.has_late:
            late += s.late(account)
        if word.in_receipt:
            working.append(word)
    pots = sum(words.pot + words.fees for words in s.markets.values())
    assert d.exposed == cash + pots, f"INV-4: X is {d.exposed}, exposed cash {cash} plus pots and fees {pots}"
    assert d.exempt == exempt + late, f"INV-4: exempt is {d.exempt}, accounts {exempt} plus late {late}"
    for account in s.touched_accounts:
        word = s.accounts[account]
        assert word.has_late == (s.late(account) > 0), f"INV-4: late flag of {account.hex()}"
        assert word.exposed or word.cash >= 0, f"INV-4: exempt account {account.hex()} owes {-word.cash}"
    settling = sum(s.is_settling(market) for market in s.markets)
    assert d.open_receipts == len(working) + settling, (
        f"INV-4: {d.open_receipts} receipts counted, {len(working)} open and {settling} markets being claimed"
    )
    for market in s.touched_markets:
        counted = Limits.unpack(s.word("markets", market << 3 | 3)).open_receipts
        held = sum(word.legs >> market & 1 for word in working) + s.is_settling(market)
        assert counted == held, f"INV-4: market {market} counts {counted} open receipts, accounts {held}"


def inv_4_pots_cover_pending_cash(s: Snapshot, dust: int = POT_DUST) -> None:
    """INV-4: a market's pot holds what its positions have pending, up to the dust that the reserve backs."""
    for market in s.touched_markets:
        if s.is_settling(market):
            continue  # the pot lends what the other side has still to pay
        pot = s.markets[market].pot
        pending = sum(legs[market].pending for legs in s.all_legs.values() if market in legs)
        assert pot + dust >= pending, f"INV-4: pot of market {market} is {pot}, pending {pending}"


def inv_7_treasury_is_never_negative(s: Snapshot) -> None:
    """INV-7: the fund's treasury is exempt and owes nothing; its buckets are exposed."""
    backstop = s.word("backstop")
    if not backstop:
        return
    owner = backstop.to_bytes(20, "big")
    treasury = s.accounts.get(owner + bytes(12), Account())
    assert not treasury.exposed, "INV-7: the treasury is exposed"
    assert treasury.cash >= 0, f"INV-7: the treasury owes {-treasury.cash}"
    for market in s.markets:
        bucket = s.accounts.get(owner + (market + 1).to_bytes(12, "big"), Account())
        assert bucket.exposed, f"INV-7: the bucket of market {market} is not exposed"


def inv_11_scale_stays_in_its_window(s: Snapshot) -> None:
    """INV-11: ``A`` of every opened band lies in [1e27, 1e36]."""
    for key in s.touched_bands:
        (market, is_long, band), state = key, s.bands[key]
        assert MIN_A <= state.a <= ONE_A, f"INV-11: A of market {market}, {is_long=}, band {band} is {state.a}"


# -------------------------------------------------------------------- of one call


def inv_3_exempt_accounts_are_unreachable(before: Snapshot, after: Snapshot, acted_for: Collection[bytes]) -> None:
    """INV-3: no exempt account changes in a call in which its owner did not act (by call or by signed order)."""
    for account in before.accounts if after.scope is None else before.accounts.keys() & after.scope.accounts:
        if before.accounts[account].exposed or account in acted_for:
            continue
        for i in range(LATE_WORD + 1):
            old, new = before.word("accounts", account, i), after.word("accounts", account, i)
            assert old == new, f"INV-3: word {i} of the exempt account {account.hex()} changed: {old:#x} to {new:#x}"


def inv_6_liquidation_never_worsens(
    before: Snapshot, after: Snapshot, account: bytes, kind: Mapping[int, int], index: Mapping[int, int]
) -> None:
    """INV-6: equity over maintenance at the kind prices does not fall, and equity stays at or above zero.

    ``kind`` gives the price that favours the account, per market. Requirements round up by one value unit per leg,
    pending cash down by one gon.
    """
    funding = after.funding_at_end(index)
    old, new = before.standing(account, kind, funding), after.standing(account, kind, funding)
    dust = len(before.legs(account)) * WAD
    assert new.equity + dust >= 0, f"INV-6: liquidation left {account.hex()} with equity {new.equity}"
    slack = dust * (old.maintenance + new.maintenance) + len(before.legs(account)) * abs(old.equity)
    assert new.equity * old.maintenance >= old.equity * new.maintenance - slack, (
        f"INV-6: margin ratio of {account.hex()} fell: {old} to {new}"
    )


def inv_8_adl_never_grows_or_flips(before: Snapshot, after: Snapshot, events: Iterable[Event]) -> None:
    """INV-8: who is not named in the call has each position cut toward zero or not at all, and only where ADL was."""
    log = list(events)
    named = {e.fields["account"] for e in log if e.name == "PositionChanged"}
    named |= {e.fields[who] for e in log if e.name == "TakenOver" for who in ("account", "bucket")}
    named |= {e.fields["account"] for e in log if e.name in ("Settled", "Reranked", "Claimed")}
    cut = {(e.fields["market"], e.fields["is_long"], e.fields["band"]) for e in log if e.name == "BandDeleveraged"}
    for account in before.all_legs if after.scope is None else before.all_legs.keys() & after.scope.legs:
        if account in named:
            continue
        for market, leg in before.all_legs[account].items():
            size = after.leg(account, market).size
            if (market, leg.is_long, leg.band) in cut:
                assert 0 <= size <= leg.size or leg.size <= size <= 0, (
                    f"INV-8: ADL took {account.hex()} in market {market} from {leg.size} to {size}"
                )
            elif size != 0 or not 0 < leg.size <= DUST_SIZE:
                # a long band's last dust may be wiped when somebody else leaves it (SPEC §4.4)
                assert size == leg.size, f"INV-8: {account.hex()}, market {market}: {leg.size} to {size} without ADL"


def inv_9_receipts_add_up(after: Snapshot, events: Iterable[Event]) -> None:
    """INV-9: seized plus cover plus booked less the deficit lies in [0, legs] once the account is closed.

    While legs are left (frozen, or the receipt unfinished) their share is open: then only the upper bound holds.
    """
    for e in events:
        if e.name != "ReceiptWritten":
            continue
        f = e.fields
        over = f["seized"] + f["cover"] + f["booked"] - f["deficit"]
        assert over <= f["legs"], f"INV-9: receipt {f['id']} took {over} too much over {f['legs']} legs"
        if f["finished"] and after.accounts[f["account"]].legs == 0:
            assert over >= 0, f"INV-9: receipt {f['id']} left {-over} gons of the deficit unaccounted"


def inv_10_queue_closes_in_rank_order(after: Snapshot, events: Iterable[Event], queues: Collection[int]) -> None:
    """INV-10: in the markets of ``queues`` bands close in rank order, whole but for the last one of a receipt.

    The order starts afresh once, where the eligible bands end and the rest begins.
    """
    walks: dict[tuple[int, int], list[Mapping[str, int]]] = {}
    for e in events:
        if e.name == "BandDeleveraged" and e.fields["market"] in queues:
            walks.setdefault((e.fields["receipt"], e.fields["market"]), []).append(e.fields)
    for (receipt, market), walk in walks.items():
        rank = Limits.unpack(after.word("markets", market << 3 | 3)).rank
        high_first = (rank == RANK_LEVERAGE) == bool(walk[0]["is_long"])
        labels = [f["band"] if high_first else -f["band"] for f in walk]
        restarts = sum(b >= a for a, b in pairwise(labels))
        assert restarts <= 1, f"INV-10: receipt {receipt} walked {[f['band'] for f in walk]}"
        assert len(set(labels)) == len(labels), f"INV-10: receipt {receipt} closed a band twice"
        for f in walk[:-1]:
            assert f["size"] == f["open_interest"], f"INV-10: receipt {receipt} passed over part of band {f['band']}"


def inv_11_index_only_falls(before: Snapshot, after: Snapshot) -> None:
    """INV-11: within an epoch ``A`` (with its scale) never rises; epochs and scales never go back."""
    for key in before.bands if after.scope is None else before.bands.keys() & after.scope.bands:
        old, new = before.bands[key], after.bands.get(key, Band())
        assert new.epoch >= old.epoch, f"INV-11: epoch of band {key} went from {old.epoch} to {new.epoch}"
        if new.epoch == old.epoch:
            assert new.scale >= old.scale, f"INV-11: scale of band {key} went from {old.scale} to {new.scale}"
            assert new.a <= old.a * SCALE_STEP ** (new.scale - old.scale), f"INV-11: A of band {key} rose"


def inv_12_rebase_leaves_ratios(before: Snapshot, after: Snapshot, events: Iterable[Event]) -> None:
    """INV-12: a rebase changes no gon, so equity over notional stays at every price; only the index falls.

    The buckets' payments that come first are the one exception, by exactly what their events say.
    """
    log = list(events)
    if not any(e.name == "Rebased" for e in log):
        return
    paid: dict[bytes, int] = {}
    for e in log:
        if e.name == "BadDebtRepaid":
            paid[e.fields["payer"]] = paid.get(e.fields["payer"], 0) + e.fields["amount"]
    for name in ("accounts", "bands", "cells", "markets"):
        keys = {key for s in (before, after) for key in s.words if key[0] == name}
        for key in keys:
            if name == "accounts" and key[1] in paid and key[2] == 0:
                old, new = before.accounts[key[1]].cash, after.accounts[key[1]].cash
                assert old - new == paid[key[1]], f"INV-12: bucket {key[1].hex()} paid {old - new}, not its receipt"
            else:
                assert before.word(*key) == after.word(*key), f"INV-12: the rebase changed the word {key}"
    old_d, new_d, total = before.domain, after.domain, sum(paid.values())
    assert (new_d.bad_debt, new_d.claim_epoch) == (0, old_d.claim_epoch + 1), f"INV-12: not a final cut: {new_d}"
    assert new_d.exposed == old_d.exposed - total, "INV-12: X moved by more than the buckets paid"
    assert new_d.exempt == old_d.exempt, "INV-12: the rebase reached exempt accounts"
    debt = old_d.bad_debt - total
    exact = Fraction(old_d.claim_index * (new_d.exposed - debt), new_d.exposed)
    assert exact - 1 < new_d.claim_index <= exact, f"INV-12: index {new_d.claim_index}, exact {float(exact)}"


def inv_17_adl_keeps_the_healthy_healthy(
    before: Snapshot, after: Snapshot, events: Iterable[Event], index: Mapping[int, int]
) -> None:
    """INV-17: nobody who meets maintenance at the accepted index fails it after an ADL that did not name him.

    Dust per leg: one size unit is worth a price, and cash and requirements round by a few units.
    """
    log = list(events)
    if not any(e.name == "BandDeleveraged" for e in log):
        return
    named = {e.fields["account"] for e in log if e.name in ("PositionChanged", "LegClosed", "BucketPaid")}
    owner = before.word("backstop").to_bytes(20, "big")
    funding = after.funding_at_end(index)
    for account, word in before.accounts.items():
        if not word.exposed or account in named or account[:20] == owner or not word.legs:
            continue
        old, new = before.standing(account, index, funding), after.standing(account, index, funding)
        dust = sum(2 * index[m] + 4 * WAD for m in before.legs(account))
        if old.equity >= old.maintenance:
            assert new.equity + dust >= new.maintenance, f"INV-17: ADL broke {account.hex()}: {old} to {new}"


def inv_13_states_allow(before: Snapshot, after: Snapshot, events: Iterable[Event], states: Mapping[int, int]) -> None:
    """INV-13: what a call did is allowed in the state of the market in which it did it (SPEC §15).

    ``states``: by which state the oracle let each market be judged in the call.
    """
    still = {m for m, state in states.items() if state in (STATE_FROZEN, STATE_SETTLEMENT)}
    claimed = {(e.fields["account"], e.fields["market"]) for e in events if e.name == "Claimed"}
    for account in before.all_legs if after.scope is None else before.all_legs.keys() & after.scope.legs:
        for market in still & before.all_legs[account].keys():
            old, new = before.all_legs[account][market].size, after.leg(account, market).size
            if (account, market) in claimed or (0 < old <= DUST_SIZE and new == 0):
                continue  # a long band's last dust may go with a claim (SPEC §4.4)
            assert old == new, f"INV-13: {account.hex()} went from {old} to {new} in market {market}, {states[market]=}"
    for e in events:
        f, allowed = e.fields, _ALLOWED.get(e.name)
        if allowed is not None:
            state = states[f["market"]]
            assert state in allowed, f"INV-13: {e.name} in state {state} of market {f['market']}"
        if e.name == "Traded":
            for account in (f["buyer"], f["seller"]):
                old, new = before.leg(account, f["market"]).size, after.leg(account, f["market"]).size
                grows = abs(new) > abs(old) or old * new < 0
                assert not grows or states[f["market"]] == STATE_LIVE, f"INV-13: {account.hex()} went to {new}"
        elif e.name == "Liquidated" and states[f["market"]] == STATE_DEGRADED:
            held, taken = abs(before.leg(f["account"], f["market"]).size), abs(f["size"])
            limits = Limits.unpack(before.word("markets", f["market"] << 3 | 3))
            small = ceil(Fraction(limits.min_size * INDEX_ONE, before.domain.claim_index))
            half = (held + 1) // 2
            assert held <= small or taken <= half or held - half <= DUST_SIZE, f"INV-13: {taken} of {held} liquidated"
        elif e.name in ("Withdrawn", "Transferred"):
            account = f["account" if e.name == "Withdrawn" else "from_account"]
            worst = max((states[m] for m, leg in before.legs(account).items() if leg.size), default=STATE_LIVE)
            assert worst <= STATE_DEGRADED, f"INV-13: {e.name} from {account.hex()} in state {worst}"


_SOUND = (STATE_LIVE, STATE_DEGRADED)
_ALLOWED = {
    "Traded": (*_SOUND, STATE_RECOVERY),
    "Liquidated": _SOUND,
    "TakenOver": _SOUND,
    "Netted": _SOUND,
    "BandDeleveraged": _SOUND,
    "LegClosed": _SOUND,
    "FundingAccrued": (*_SOUND, STATE_RECOVERY),
    "Claimed": (STATE_SETTLEMENT,),
    "SettlementOpened": (STATE_SETTLEMENT,),
}
"""In which states of its market an event may come about."""


def inv_16_quorum_agrees(world: World, book: int, names: Mapping[str, str]) -> None:
    """INV-16: an index that was accepted now lies within the outlier band of a quorum of the feeds configured.

    Read afresh from what the feeds say, by ``names`` of their addresses; two provider groups at least are among them.
    """

    def word(variable: str, *index: int) -> int:
        return world.get(("PriceOracle", variable, book, *index))

    rules = Rules.unpack(word("rules"))
    n, index = word("rules") & 0xF, word("cache") & MASK_87
    unit = world.get(("PriceOracle", "cache", rules.quote)) & MASK_87 if rules.quote else WAD
    agreeing = []
    for place in range(n):
        feed = Feed.unpack(word("feeds", place), word("bounds", place))
        name = names[feed.source]
        answer, stamp = world.get((name, "answer")), world.get((name, "updated_at"))
        if world.get((name, "mode")) or world.get((name, "decimals")) != feed.decimals:
            continue
        if not feed.least < answer < feed.most or not world.now - feed.max_age <= stamp <= world.now + 15:
            continue
        # the index is the median over the quote, rounded down: the median lies in [index, index + 1) times the quote
        price = answer * 10 ** (18 - feed.decimals) * WAD
        gap = max(index * unit - price, price - (index + 1) * unit, 0)
        if gap * BPS <= rules.outlier * (index + 1) * unit:
            agreeing.append(feed.group)
    assert len(agreeing) > n // 2, f"INV-16: of the {n} feeds of book {book} {len(agreeing)} agree with {index}"
    assert len(set(agreeing)) > 1, f"INV-16: one provider alone stands behind {index}, the index of book {book}"


def check_all(
    world: World,
    vault_units: int,
    *,
    before: Snapshot | None = None,
    events: Iterable[Event] = (),
    acted_for: Collection[bytes] | None = None,
    index: Mapping[int, int] | None = None,
    queues: Collection[int] = (),
    written: Collection[Key] | None = None,
    states: Mapping[int, int] | None = None,
) -> Snapshot:
    """Check what can be checked after a call; returns the snapshot, to serve as the next ``before``.

    ``vault_units`` is the ledger's token balance in WAD units; ``acted_for`` the accounts whose owner or operator
    called or signed; ``index`` the accepted index per market; ``queues`` the markets whose policy is ``BandQueue``;
    ``states`` by which the oracle let each market be judged; ``written`` all keys written since ``before``, which
    spares the rest (None: look at everything).
    """
    after = Snapshot(world) if before is None or written is None else before.after(world, written)
    log = list(events)
    inv_1_open_interest_matches(after)
    inv_1_sizes_lie_on_the_house_side(after)
    inv_1_leg_bits_match_positions(after)
    inv_2_assets_cover_claims(after, vault_units)
    inv_4_counters_equal_their_sums(after)
    inv_4_pots_cover_pending_cash(after)
    inv_7_treasury_is_never_negative(after)
    inv_9_receipts_add_up(after, log)
    inv_10_queue_closes_in_rank_order(after, log, queues)
    inv_11_scale_stays_in_its_window(after)
    if before is not None:
        if acted_for is not None:
            inv_3_exempt_accounts_are_unreachable(before, after, acted_for)
        inv_8_adl_never_grows_or_flips(before, after, log)
        inv_11_index_only_falls(before, after)
        inv_12_rebase_leaves_ratios(before, after, log)
        if states is not None:
            inv_13_states_allow(before, after, log, states)
        if index is not None:
            inv_17_adl_keeps_the_healthy_healthy(before, after, log, index)
    return after
