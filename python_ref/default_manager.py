"""Default: a bankrupt account is netted, covered by the fund, deleveraged against the winners, written off.

Mirror of ``contracts/DefaultManager.vy``, a delegate of the ClearingHouse. SPEC §8.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from python_ref import constants as c
from python_ref.fixed_math import floor_div, mul_div_down, mul_div_up, uint
from python_ref.ledger import Venue
from python_ref.margin import Exposure
from python_ref.policies import Policy, Side
from python_ref.rebase_manager import RebaseManager
from python_ref.words import Account
from python_ref.world import require


@dataclass
class Receipt:
    """Running totals of one call of ``resolve``, gons."""

    id: int = 0
    deficit: int = 0
    cover: int = 0
    seized: int = 0
    booked: int = 0
    legs: int = 0  # cash legs that rounded
    bands: int = 0
    largest_cut: int = 0  # ppm of a band's open interest
    finished: bool = True


@dataclass
class Close:
    """One leg of a bankrupt on its way out."""

    market: int
    size: int  # signed gons
    margin: int  # maintenance at the index, value
    live: bool  # a size, and a price that is not frozen
    residual: int = 0  # its share of the deficit that the fund did not cover, gons
    weight: int = 0


@dataclass
class Plan:
    """Bands to close, eligible ones first, and how much of the size is eligible."""

    bands: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    eligible: int = 0
    finished: bool = False


@dataclass
class Registry:
    """Contracts by address, as the chain resolves them."""

    policies: dict[str, Policy] = field(default_factory=dict)


class DefaultManager(RebaseManager):
    """Netting, cover, deleveraging, write-off."""

    registry: Registry

    # ---- default -----------------------------------------------------------------------------------

    def resolve(self, sender: str, account: bytes, net_with: tuple[bytes, ...]) -> bool:
        """Close a bankrupt account: netting, fund, winners at one price, bad debt. True if it is finished."""
        require(len(net_with) <= 8, "")
        word = self.load_account_word(account)
        r = self._assess(account, word, None, 0)
        if r.e_kind >= 0:
            require(word.in_receipt, "resolve: not bankrupt")
            self._mark_receipt(account, word, False)
            return True
        # a receipt under way has been netted, and its legs are counted
        if not word.in_receipt and self._net(account, word.legs, net_with):
            word = self.load_account_word(account)
            r = self._assess(account, word, None, 0)
        return self._write_receipt(account, word, r)

    def _net(self, account: bytes, legs: int, net_with: tuple[bytes, ...]) -> bool:
        """Close an account's legs against other bankrupts and the fund's inventory at the index (rule 25)."""
        netted = False
        for market in range(c.MAX_MARKETS):
            if not legs >> market & 1:
                continue
            bucket = self._bucket_of(market)
            if not net_with and not self.load_account_word(bucket).legs >> market & 1:
                continue
            venue = self._open_venue(market)
            require(venue.limits.open_receipts == 0, "market: receipt open")
            # the others are assessed from storage, so the accrued funding goes there first
            self._close_venue(venue)
            if venue.prices.state >= c.STATE_FROZEN:
                continue
            for i, other in enumerate((*net_with, bucket)):
                word = self.load_account_word(other)
                if other == account or word.in_receipt or not word.legs >> market & 1:
                    continue
                own = self._read_leg(account, market, venue.words.funding).size
                size = self._read_leg(other, market, venue.words.funding).size
                if own == 0 or size == 0 or (own > 0) == (size > 0):
                    continue
                if i < len(net_with) and self._assess(other, word, None, 0).e_kind >= 0:
                    continue
                closed = min(abs(own), abs(size))
                quote = mul_div_down(closed, venue.prices.index, c.WAD)
                change, cash = (-closed, quote) if own > 0 else (closed, -quote)
                self._shift(venue, account, change, cash)
                self._shift(venue, other, -change, -cash)
                self._close_venue(venue)
                self._emit("Netted", market=market, account=account, other=other, size=change, quote=quote)
                self._write_off(other)
                netted = True
        return netted

    def _write_receipt(self, account: bytes, word: Account, r: Exposure) -> bool:
        """Cover, deleverage and write off what a bankrupt lacks at the index; the receipt proves the sum."""
        domain = self.load_globals_words()
        receipt = Receipt(id=domain.receipts, deficit=uint(-floor_div(r.e_index, c.WAD)))
        # ids come round again: a number must never stop a default
        domain.receipts = (domain.receipts + 1) % 2**24
        self.store_globals(domain)
        closes = self._share_out(account, word, r.m_index, receipt)
        self._weigh(closes)
        for close in closes:
            if close.live and not self._close_leg(account, close, receipt):
                receipt.finished = False
                break
        if receipt.finished:
            receipt.booked = self._write_off(account)
        word = self.load_account_word(account)
        if word.in_receipt == receipt.finished:
            self._mark_receipt(account, word, not receipt.finished)
        self._emit(
            "ReceiptWritten",
            id=receipt.id,
            account=account,
            deficit=receipt.deficit,
            cover=receipt.cover,
            seized=receipt.seized,
            booked=receipt.booked,
            legs=receipt.legs,
            bands=receipt.bands,
            largest_cut=receipt.largest_cut,
            finished=receipt.finished,
        )
        return receipt.finished

    def _share_out(self, account: bytes, start: Account, total: int, receipt: Receipt) -> list[Close]:
        """Share the deficit over the legs by maintenance; each bucket pays for its own (rules 14, 15).

        ``total``: maintenance of all legs at the index. Cumulative shares: the last leg takes the rest.
        """
        closes: list[Close] = []
        margin = given = 0
        for market in range(c.MAX_MARKETS):
            if not start.legs >> market & 1:
                continue
            venue = self._open_venue(market)
            require(start.in_receipt or venue.limits.open_receipts == 0, "market: receipt open")
            size = self._read_leg(account, market, venue.words.funding).size
            live = venue.prices.state < c.STATE_FROZEN and size != 0
            close = Close(market, size, self._leg_margin(venue, size, venue.prices.index), live)
            if size == 0:
                # wiped by an earlier deleveraging: no position, but its bit would hide the account's flatness
                self._shift(venue, account, 0, 0)
            self._close_venue(venue)
            margin += close.margin
            if total > 0:
                upto = mul_div_down(receipt.deficit, margin, total)
                close.residual = upto - given
                given = upto
            if close.live:
                paid = self._pay_from_bucket(market, account, close.residual)
                close.residual -= paid
                receipt.cover += paid
            closes.append(close)
        return closes

    def _weigh(self, closes: list[Close]) -> None:
        """Split what is left over the live legs by maintenance × eligible fraction (rule 24)."""
        live = [close for close in closes if close.live]
        if len(live) < 2:
            return
        left = sum(close.residual for close in live)
        for close in live:
            # weights in parts of 1e18 keep the product inside the word
            close.weight = mul_div_down(close.margin // c.WAD, self._plan(close).eligible, abs(close.size))
        total = sum(close.weight for close in live)
        if total == 0:
            return
        weight = given = 0
        for close in live:
            weight += close.weight
            upto = mul_div_down(left, weight, total)
            close.residual = upto - given
            given = upto

    def _plan(self, close: Close) -> Plan:
        """Ask the policy which bands a leg closes against, eligible ones at the price its residual demands."""
        venue = self._open_venue(close.market)
        side = self._side(venue, close, min(close.residual, self._gap_cap(venue, abs(close.size))))
        policy = self.registry.policies[f"0x{self._get('markets', close.market << 3 | 7):040x}"]
        p = Plan()
        for _ in range(c.MAX_PLAN):
            if side.size == 0 or side.bitmap == 0 or len(p.bands) >= c.MAX_PLAN:
                break
            bands, caps, eligible = policy.plan(self.address, side)
            for i, band in enumerate(bands):
                if side.size == 0:
                    break
                if not side.bitmap >> band & 1:
                    continue
                oi = self.load_band(close.market, side.is_long, band).oi
                taken = min(caps[i], oi, side.size)
                side.bitmap &= ~(1 << band)
                side.open_interest -= oi
                side.size -= taken
                if taken > 0:
                    p.bands.append(band)
                    p.sizes.append(taken)
                    if i < eligible:
                        p.eligible += taken
        p.finished = side.size == 0 or side.bitmap == 0
        # a receipt that opens without progress could never be ended
        require(p.finished or len(p.bands) > 0, "resolve: empty plan")
        return p

    def _gap_cap(self, venue: Venue, size: int) -> int:
        """Most that winners of ``size`` may lose against the index: the lowest maintenance rate (rule 21)."""
        return mul_div_down(mul_div_down(size, venue.prices.index, c.WAD), venue.risk.maintenance, c.PPM)

    def _side(self, venue: Venue, close: Close, gap: int) -> Side:
        """The side opposite to a leg, and the label of the price at which it would close."""
        is_long = close.size < 0
        size = abs(close.size)
        limit = 0
        if venue.limits.rank != c.RANK_SINGLE:
            per_unit = mul_div_up(gap, c.WAD, size)
            key = venue.prices.index + (-per_unit if is_long else per_unit)
            if venue.limits.rank == c.RANK_LEVERAGE:
                key -= venue.words.funding
            limit = self._band_of(venue.id, key, venue.limits.octave_bits)
        m = venue.words
        open_interest = m.oi - m.residue if is_long else m.oi
        bitmap = self.load_bitmap(venue.id, is_long)
        return Side(venue.id, is_long, size, open_interest, bitmap, venue.limits.rank, limit)

    def _close_leg(self, account: bytes, close: Close, receipt: Receipt) -> bool:
        """Close a leg against the other side's bands; False if the walk was cut short (rule 26).

        Eligible bands come first in a plan, so "eligible so far" is ``min(filled, plan.eligible)``.
        """
        p = self._plan(close)
        venue = self._open_venue(close.market)
        m, x = venue.words, venue.prices.index
        is_long, total = close.size < 0, abs(close.size)
        gap = min(close.residual, self._gap_cap(venue, total))
        filled = quoted = gap_quoted = 0
        for band, size in zip(p.bands, p.sizes, strict=True):
            filled += size
            base = self._index_quote(filled, x, is_long)
            upto = mul_div_up(gap, min(filled, p.eligible), total)
            quote = base - quoted + (gap_quoted - upto if is_long else upto - gap_quoted)
            quoted, gap_quoted = base, upto
            before = self._deleverage_band(m, close.market, is_long, band, size, quote)
            receipt.bands += 1
            receipt.largest_cut = max(receipt.largest_cut, size * c.PPM // before)
            self._emit(
                "BandDeleveraged",
                receipt=receipt.id,
                market=close.market,
                is_long=is_long,
                band=band,
                size=size,
                quote=quote,
                open_interest=before,
            )
        if p.finished and filled < total:
            # the house takes the rest: dust of a long, of a short no more than its residue (it may read rounded up)
            owed, bound = (min(total, m.oi), m.residue) if is_long else (total, filled + c.DUST_SIZE)
            require(owed <= bound, "resolve: plan too small")
            base = self._index_quote(total, x, is_long)
            dust = base - quoted if is_long else quoted - base
            m.pot += dust
            self._emit("HouseClosed", market=close.market, account=account, size=total - filled, quote=dust)
            quoted, filled = base, total
        quote = quoted - gap_quoted if is_long else quoted + gap_quoted
        change, cash = (filled, -quote) if is_long else (-filled, quote)
        self._shift(venue, account, change, cash)
        self._close_venue(venue)
        word = self.load_account_word(account)
        # a cut walk whose rest was dust has closed the leg all the same
        finished = not word.legs >> close.market & 1
        if finished and word.in_receipt:
            self._count_receipt(close.market, -1)
        # what the winners gave up against the index, rounded against the bankrupt
        worth = self._index_quote(filled, x, not is_long)
        receipt.seized += gap_quoted + (worth - quoted if is_long else quoted - worth)
        receipt.legs += 1
        self._emit(
            "LegClosed",
            receipt=receipt.id,
            account=account,
            market=close.market,
            size=change,
            quote=quote,
            index=x,
        )
        return finished

    @staticmethod
    def _index_quote(size: int, index: int, is_long: bool) -> int:
        """Worth of ``size`` at the index, rounded for the bankrupt: what longs receive down, shorts pay up."""
        return mul_div_down(size, index, c.WAD) if is_long else mul_div_up(size, index, c.WAD)

    def _mark_receipt(self, account: bytes, word: Account, opened: bool) -> None:
        """Lock or unlock the markets of an account whose receipt needs another call (rule 27)."""
        word.in_receipt = opened
        self.store_account_word(account, word)
        domain = self.load_globals_words()
        domain.open_receipts += 1 if opened else -1
        if not opened:
            self._emit("ReceiptEnded", account=account)
        self.store_globals(domain)
        for market in range(c.MAX_MARKETS):
            if word.legs >> market & 1:
                self._count_receipt(market, 1 if opened else -1)
