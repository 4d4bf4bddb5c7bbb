"""Every view for people over a ledger: accounts, liquidation prices, previews of a default, coverage, a digest.

Mirror of ``contracts/Lens.vy``. The contract computes from raw words what a call *would* do; the model lets the
ledger do it on a scratch copy of the world and tells what happened. Where the two agree, a preview is the execution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from eth_hash.auto import keccak

from python_ref import constants as c
from python_ref.bands import Leg, is_riskier
from python_ref.clearing_house import ClearingHouse
from python_ref.default_manager import Close
from python_ref.fixed_math import floor_div, mul_div_down, mul_div_up
from python_ref.ledger import Venue, owner_of
from python_ref.margin import Exposure, kind_price, requirement
from python_ref.words import Account, Band
from python_ref.world import Revert

MAX_CUTS = 64
"""Cuts that a preview lists."""


@dataclass
class LegView:
    """One leg of an account; its prices are those of the edge that favours it (high for longs, low for shorts)."""

    market: int
    size: int  # signed, real
    entry: int
    pending: int  # real money
    band: int
    liquidation_price: int
    bankruptcy_price: int


@dataclass
class AccountView:
    """An account in real money (WAD): claims are rounded down, requirements up."""

    exposed: bool
    in_receipt: bool
    frozen: bool
    liquidatable: bool
    bankrupt: bool
    cash: int
    late: int
    equity_kind: int
    equity_index: int
    equity_credit: int
    maintenance: int
    initial: int
    free: int
    legs: tuple[LegView, ...]


@dataclass
class Cut:
    """What one band gives to a receipt: the fields of ``BandDeleveraged``, gons."""

    market: int
    is_long: bool
    band: int
    size: int
    quote: int
    open_interest: int


@dataclass
class Preview:
    """What ``resolve(account, ())`` would write into its receipt in this block, gons."""

    bankrupt: bool = False
    finished: bool = False
    exact: bool = True  # False: a policy that reads bands itself saw them before the fund's inventory was netted
    netted: int = 0
    deficit: int = 0
    cover: int = 0
    seized: int = 0
    booked: int = 0
    legs: int = 0
    bands: int = 0
    largest_cut: int = 0
    cuts: tuple[Cut, ...] = ()


@dataclass
class MyCut:
    """What a default takes from one position, gons: size closed, cash received, change of equity at the index."""

    size: int = 0
    quote: int = 0  # negative: paid
    equity_change: int = 0  # down
    price: int = 0  # WAD


@dataclass
class Coverage:
    """The first loss of a market, real money."""

    equity_harsh: int
    available: int
    fees: int
    open_interest: int
    gap_cap: int  # most that deleveraging the whole side may take


class Lens:
    """Views over a ledger; nothing they do stays."""

    def __init__(self, house: ClearingHouse) -> None:
        self.house = house

    @contextmanager
    def _scratch(self) -> Iterator[None]:
        """Undo everything that the body writes, whether or not a transaction is under way."""
        world = self.house.world
        words, events = dict(world.words), list(world.events)
        try:
            yield
        finally:
            world.words.clear()
            world.words.update(words)
            world.events[:] = events

    # ---- accounts ----------------------------------------------------------------------------------

    def account(self, account: bytes) -> AccountView:
        """An account as it stands in this block; ``free`` is the most that a withdrawal may take now."""
        house = self.house
        with self._scratch():
            word = house.load_account_word(account)
            claim_index = house.load_globals_words().claim_index if word.exposed else c.INDEX_ONE
            r = house._assess(account, word, None, 0)
            legs = []
            for market in range(c.MAX_MARKETS):
                if not word.legs >> market & 1:
                    continue
                venue, leg = self._leg(account, market)
                size = mul_div_down(abs(leg.size), claim_index, c.INDEX_ONE)
                legs.append(
                    LegView(
                        market=market,
                        size=size if leg.size > 0 else -size,
                        entry=leg.entry,
                        pending=_real(leg.pending, claim_index),
                        band=leg.band,
                        liquidation_price=self._liquidation_price(venue, leg.size, r),
                        bankruptcy_price=self._bankruptcy_price(venue, leg.size, r),
                    )
                )
            return AccountView(
                exposed=word.exposed,
                in_receipt=word.in_receipt,
                frozen=r.worst > c.STATE_DEGRADED,
                liquidatable=0 <= r.e_kind < r.m_kind,
                bankrupt=r.e_kind < 0,
                cash=_real(word.cash, claim_index),
                late=house._get("accounts", account, 33),
                equity_kind=_real(floor_div(r.e_kind, c.WAD), claim_index),
                equity_index=_real(floor_div(r.e_index, c.WAD), claim_index),
                equity_credit=_real(floor_div(r.e_credit, c.WAD), claim_index),
                maintenance=mul_div_up(mul_div_up(r.m_kind, 1, c.WAD), claim_index, c.INDEX_ONE),
                initial=mul_div_up(mul_div_up(r.im_credit, 1, c.WAD), claim_index, c.INDEX_ONE),
                free=self._free(account, word, r),
                legs=tuple(legs),
            )

    def liq_price(self, account: bytes, market: int) -> int:
        """Where a leg's maintenance test flips, the other legs at their present prices; 0 without a position.

        WAD, at the edge that favours the leg. Not liquidatable at the answer, liquidatable one atom beyond it:
        rounded up for longs, down for shorts. A long answers 0 if no price endangers it and ``MAX_PRICE`` if none
        saves it, a short the reverse. With a depth the requirement is a staircase: there it is one flip of several.
        """
        with self._scratch():
            word = self.house.load_account_word(account)
            if not 0 <= market < c.MAX_MARKETS or not word.legs >> market & 1:
                return 0
            venue, leg = self._leg(account, market)
            return self._liquidation_price(venue, leg.size, self.house._assess(account, word, None, 0))

    def adl_light(self, account: bytes, market: int) -> int:
        """5 to 1: fifth of the side's open interest that the position's band starts in, 5 first; 0: no position."""
        with self._scratch():
            venue, leg = self._leg(account, market)
        if leg.size == 0:
            return 0
        is_long, ahead, total = leg.size > 0, 0, 0
        for band in range(c.N_BANDS):
            oi = self.house.load_band(market, is_long, band).oi
            total += oi
            if is_riskier(venue.limits.rank, is_long, band, leg.band):
                ahead += oi
        return 1 if ahead >= total else 5 - 5 * ahead // total

    # ---- defaults ----------------------------------------------------------------------------------

    def preview_resolve(self, account: bytes) -> Preview:
        """What ``resolve(account, ())`` would do in this block; empty if it would only close an old receipt."""
        house = self.house
        p = Preview()
        with self._scratch():
            word = house.load_account_word(account)
            if not word.exposed or house._assess(account, word, None, 0).e_kind >= 0:
                p.finished = word.in_receipt
                return p
            house.world.events = []
            house.resolve(house.address, account, ())
            events, house.world.events = house.world.events, []
        p.bankrupt = True
        cuts = []
        for event in events:
            f = event.fields
            if event.name == "Netted":
                p.netted += abs(f["size"])
                p.exact = p.exact and house.load_limits(f["market"]).rank == c.RANK_SINGLE
            elif event.name == "BandDeleveraged":
                cuts.append(Cut(f["market"], f["is_long"], f["band"], f["size"], f["quote"], f["open_interest"]))
            elif event.name == "ReceiptWritten":
                p.finished, p.deficit, p.cover = f["finished"], f["deficit"], f["cover"]
                p.seized, p.booked, p.legs = f["seized"], f["booked"], f["legs"]
                p.bands, p.largest_cut = f["bands"], f["largest_cut"]
        p.cuts = tuple(cuts[:MAX_CUTS])
        return p

    def my_cut(self, account: bytes, market: int, is_long_bankrupt: bool, size: int, deficit: int) -> MyCut:
        """What this account would lose to the default of somebody else's single leg in this block.

        ``size`` and ``deficit`` (beyond the fund's cover) in gons; the gap cap bounds what is taken.
        """
        house = self.house
        with self._scratch():
            venue, before = self._leg(account, market)
            position = house.load_position(account, market)
            if position.q0 == 0 or position.is_long == is_long_bankrupt or size == 0:
                return MyCut()
            if venue.prices.state == c.STATE_SETTLEMENT:
                return MyCut()  # no default is resolved in a market that has ended
            close = Close(market, size if is_long_bankrupt else -size, 0, True, deficit)
            p = house._plan(close)
            x, is_long = venue.prices.index, position.is_long
            gap = min(deficit, house._gap_cap(venue, size))
            filled = quoted = gap_quoted = 0
            for band, part in zip(p.bands, p.sizes, strict=True):
                filled += part
                base = house._index_quote(filled, x, is_long)
                upto = mul_div_up(gap, min(filled, p.eligible), size)
                quote = base - quoted + (gap_quoted - upto if is_long else upto - gap_quoted)
                quoted, gap_quoted = base, upto
                house._deleverage_band(venue.words, market, is_long, band, part, quote)
            after = house._read_leg(account, market, venue.words.funding)
        change, paid = after.size - before.size, after.pending - before.pending
        return MyCut(
            size=abs(change),
            quote=paid,
            equity_change=paid + floor_div(change * x, c.WAD),
            price=abs(paid) * c.WAD // abs(change) if change else 0,
        )

    def coverage(self, market: int) -> Coverage:
        """What stands before the winners of a market: its bucket, fees not yet swept, and the open interest."""
        house = self.house
        with self._scratch():
            venue = house._open_venue(market)
            claim_index = house.load_globals_words().claim_index
            bucket = house._bucket_of(market)
            word = house.load_account_word(bucket)
            r = house._assess(bucket, word, None, 0)
            return Coverage(
                equity_harsh=_real(floor_div(r.e_credit, c.WAD), claim_index),
                available=_real(house._bucket_available(bucket, word), claim_index),
                fees=_real(venue.words.fees, claim_index),
                open_interest=_real(venue.words.oi, claim_index),
                gap_cap=_real(house._gap_cap(venue, venue.words.oi), claim_index),
            )

    # ---- raw state ---------------------------------------------------------------------------------

    def digest(self, accounts: Sequence[bytes], markets: Sequence[int]) -> bytes:
        """Hash of every word in use: the domain, each market with its non-empty bands, each account."""
        house = self.house
        h = _hash(*house.load_globals(house.address))
        for market in markets:
            raw = house.load_market(house.address, market)
            h = _hash(h, market, *raw)
            for is_long in (True, False):
                for band in range(c.N_BANDS):
                    if not house.load_bitmap(market, is_long) >> band & 1:
                        continue
                    word = house._get("bands", house._band_index(market, is_long, band))
                    state = Band.unpack(word)
                    cell = house._get("cells", house._cell_index(market, is_long, band, state.epoch, state.scale))
                    h = _hash(h, band, word, cell)
        for account in accounts:
            h = _hash(h, account, *house.load_account(house.address, account))
        return h

    # ---- inside ------------------------------------------------------------------------------------

    def _leg(self, account: bytes, market: int) -> tuple[Venue, Leg]:
        """A market and an account's leg in it, at funding of now. Only inside a scratch."""
        venue = self.house._open_venue(market)
        return venue, self.house._read_leg(account, market, venue.words.funding)

    def _free(self, account: bytes, word: Account, r: Exposure) -> int:
        """Most units that a withdrawal may take now (SPEC §2)."""
        house = self.house
        if not word.exposed:
            return word.cash
        domain = house.load_globals_words()
        is_bucket = owner_of(account) == house._address("backstop")
        if domain.bad_debt > 0 or domain.open_receipts > 0 or word.touched + c.RESIDENCY_S > house.world.now:
            return 0
        if r.worst > c.STATE_DEGRADED or (r.n_credit == 0 and not is_bucket):
            return 0
        least = max(r.im_credit, mul_div_up(r.n_credit, c.WITHDRAW_RATIO_PPM, c.PPM))
        credit = r.e_credit - house._doubtful_profit(account, word.legs)
        return max(0, _real(floor_div(credit - least, c.WAD), domain.claim_index))

    def _liquidation_price(self, venue: Venue, size: int, r: Exposure) -> int:
        """Price at which the maintenance test flips, found by halving on the test itself."""
        if size == 0:
            return 0
        present = kind_price(venue.prices, size)
        e_rest = r.e_kind - size * present
        m_rest = r.m_kind - self.house._leg_margin(venue, size, present)
        claim_index = self.house.load_globals_words().claim_index

        def healthy(price: int) -> bool:
            try:
                margin = requirement(venue.risk.maintenance, venue.risk.depth, abs(size) * price, claim_index)
            except Revert:
                return False  # a requirement beyond the word cannot be met
            return e_rest + size * price >= m_rest + margin

        safe, unsafe = (present, 0) if size > 0 else (0, c.MAX_PRICE)
        if healthy(unsafe):
            return unsafe
        while not healthy(safe):
            if safe in (0, c.MAX_PRICE):
                return safe  # a short that no price saves, or a long
            safe, unsafe = min(2 * safe, c.MAX_PRICE), safe
        while abs(safe - unsafe) > 1:
            middle = (safe + unsafe) // 2
            safe, unsafe = (middle, unsafe) if healthy(middle) else (safe, middle)
        return safe

    @staticmethod
    def _bankruptcy_price(venue: Venue, size: int, r: Exposure) -> int:
        """Price at which equity is zero: up for longs, down for shorts; within ``[0, MAX_PRICE]``."""
        if size == 0:
            return 0
        present = kind_price(venue.prices, size)
        per_unit = floor_div(r.e_kind, abs(size))
        return min(max(present - per_unit if size > 0 else present + per_unit, 0), c.MAX_PRICE)


def _real(gons: int, claim_index: int) -> int:
    """Real money of gons, down."""
    return floor_div(gons * claim_index, c.INDEX_ONE)


def _hash(*words: int | bytes) -> bytes:
    """keccak256 of words."""
    return bytes(keccak(b"".join(word if isinstance(word, bytes) else word.to_bytes(32, "big") for word in words)))
