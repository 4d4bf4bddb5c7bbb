"""Bands: the lazy arithmetic that closes part of any number of positions in O(1). SPEC §4.

Mirror of ``contracts/modules/bands.vy``. Every rounding is against the account: longs' sizes down, shorts'
magnitudes up, cash toward minus infinity (research: rebase.md §1).
"""

from __future__ import annotations

from dataclasses import dataclass

from python_ref import constants as c
from python_ref.fixed_math import ceil_div, floor_div, log2_band, mul_div_down, mul_div_up, sint, uint
from python_ref.ledger import Ledger
from python_ref.words import Account, Band, Cell, Market, Position
from python_ref.world import require


@dataclass
class Leg:
    """A position as it is now."""

    size: int = 0  # signed gons
    pending: int = 0  # gons that a settlement moves from the pot to the account
    entry: int = 0
    band: int = 0


def deleveraged_high_first(rank: int, is_long: bool) -> bool:
    """Whether the side's highest band is deleveraged first (SPEC §4.5)."""
    return (rank == c.RANK_LEVERAGE) == is_long


def is_riskier(rank: int, is_long: bool, band: int, than: int) -> bool:
    """Whether ``band`` is deleveraged before ``than``."""
    return band > than if deleveraged_high_first(rank, is_long) else band < than


class Bands(Ledger):
    """Reading, entering, leaving and deleveraging bands."""

    @staticmethod
    def _c_now(cell: Cell, a: int, funding: int, is_long: bool, up: bool) -> int:
        """Cash index of the live cell with funding folded in, rounded up (checkpoint) or down (settlement)."""
        moved = sint(a * (cell.f_mark - funding if is_long else funding - cell.f_mark))
        return cell.c + (ceil_div(moved, c.WAD) if up else floor_div(moved, c.WAD))

    def _read_leg(self, account: bytes, market: int, funding: int) -> Leg:
        """The position's size and pending cash at funding index ``funding``; all zero if there is none."""
        p = self.load_position(account, market)
        if p.q0 == 0:
            return Leg()
        band = self.load_band(market, p.is_long, p.band)
        same_epoch = p.epoch == band.epoch
        total = 0
        for j in range(c.SCALE_SPAN + 1):
            scale = p.scale + j
            cell = self.load_cell(market, p.is_long, p.band, p.epoch, scale) if scale < 256 else Cell()
            if not cell.live:
                break
            live = same_epoch and scale == band.scale
            now = self._c_now(cell, band.a, funding, p.is_long, False) if live else cell.c
            total += now - p.c0 if j == 0 else floor_div(now, c.SCALE_STEP**j)
            if live:
                break
        pending = floor_div(sint(p.q0 * total), p.a0)
        size = 0
        if same_epoch:
            behind = band.scale - p.scale
            if behind > c.SCALE_SPAN:
                size = 0 if p.is_long else 1
            elif p.is_long:
                size = mul_div_down(p.q0, band.a, p.a0) // c.SCALE_STEP**behind
            else:
                size = mul_div_up(mul_div_up(p.q0, band.a, p.a0), 1, c.SCALE_STEP**behind)
        return Leg(size if p.is_long else -size, pending, p.entry, p.band)

    def _enter_band(self, m: Market, market: int, is_long: bool, band: int, size: int) -> Band:
        """Add ``size`` of open interest to a band, opening it if it is empty; changes ``m``."""
        state = self.load_band(market, is_long, band)
        # else a default that bumps the scale beyond its 8 bits could not be resolved
        require(state.scale < c.WORN_SCALE, "bands: worn out")
        if state.a == 0:
            state.a = c.ONE_A
        if state.oi == 0:
            self.store_bitmap(market, is_long, self.load_bitmap(market, is_long) | 1 << band)
            if not self.load_cell(market, is_long, band, state.epoch, state.scale).live:
                self.store_cell(market, is_long, band, state.epoch, state.scale, Cell(0, m.funding, True))
        state.oi += size
        self.store_band(market, is_long, band, state)
        if is_long:
            m.residue -= size
        else:
            m.oi += size
            m.residue += size
        return state

    def _leave_band(self, m: Market, market: int, is_long: bool, band: int, size: int) -> None:
        """Take ``size``, or what is left, out of a band; the difference is the residue's; changes ``m``."""
        state = self.load_band(market, is_long, band)
        taken = min(size, state.oi)
        left = state.oi - taken
        if is_long and 0 < left <= c.DUST_SIZE:
            # whoever still holds a crumb of it is wiped: his cash stays readable in the folded cell
            self._fold(m, market, is_long, band, state)
            taken, left = state.oi, 0
            state.epoch += 1
            state.scale = 0
            state.a = c.ONE_A
        state.oi = left
        if left == 0:
            self._clear_bit(market, is_long, band)
        self.store_band(market, is_long, band, state)
        if is_long:
            m.residue += taken
        else:
            m.oi -= taken
            m.residue -= taken

    def _fold(self, m: Market, market: int, is_long: bool, band: int, state: Band) -> Cell:
        """Write the funding so far into a band's live cell; the cell."""
        cell = self.load_cell(market, is_long, band, state.epoch, state.scale)
        cell.c = self._c_now(cell, state.a, m.funding, is_long, False)
        cell.f_mark = m.funding
        self.store_cell(market, is_long, band, state.epoch, state.scale, cell)
        return cell

    def _clear_bit(self, market: int, is_long: bool, band: int) -> None:
        bitmap = self.load_bitmap(market, is_long)
        self.store_bitmap(market, is_long, bitmap & ~(1 << band))

    def _anchor(self, m: Market, market: int, account: bytes, size: int, entry: int, band: int) -> None:
        """Write a position of signed ``size`` anchored at the band's present state."""
        is_long = size > 0
        state = self.load_band(market, is_long, band)
        cell = self.load_cell(market, is_long, band, state.epoch, state.scale)
        checkpoint = self._c_now(cell, state.a, m.funding, is_long, True)
        position = Position(state.a, abs(size), state.epoch, state.scale, checkpoint, entry, band, is_long)
        self.store_position(account, market, position)

    def _place(
        self, m: Market, market: int, account: bytes, word: Account, leg: Leg, size: int, entry: int, band: int
    ) -> None:
        """Replace ``leg`` by a position of signed ``size`` in ``band`` (zero: none); changes ``m`` and ``word``.

        The leg's pending cash must have been paid before. Open interest moves by the difference if side and
        band stay, else out of the old band and into the new.
        """
        old = leg.size
        if old != 0 and size != 0 and (old > 0) == (size > 0) and leg.band == band:
            grown = abs(size) - abs(old)
            if grown > 0:
                self._enter_band(m, market, size > 0, band, grown)
            elif grown < 0:
                self._leave_band(m, market, size > 0, band, -grown)
        else:
            if old != 0:
                self._leave_band(m, market, old > 0, leg.band, abs(old))
            if size != 0:
                self._enter_band(m, market, size > 0, band, abs(size))
        if size == 0:
            self.store_position(account, market, Position())
            word.legs &= ~(1 << market)
        else:
            self._anchor(m, market, account, size, entry, band)
            word.legs |= 1 << market
        self._emit("PositionChanged", account=account, market=market, size=size, cash=word.cash, entry=entry, band=band)

    def _pay_pending(self, m: Market, word: Account, leg: Leg) -> None:
        """Move a leg's pending cash from the pot to the account."""
        word.cash += leg.pending
        m.pot -= leg.pending

    def _deleverage_band(self, m: Market, market: int, is_long: bool, band: int, size: int, quote: int) -> int:
        """Close ``size`` of a band pro rata for signed ``quote`` (longs receive it, shorts pay it); SPEC §4.3.

        Returns the band's open interest before. ``0 < size <= OI``; changes ``m``.
        """
        state = self.load_band(market, is_long, band)
        cell = self._fold(m, market, is_long, band, state)
        inherited = quote if is_long else -quote
        cell.c += floor_div(sint(state.a * inherited), state.oi)
        self.store_cell(market, is_long, band, state.epoch, state.scale, cell)
        m.pot += inherited
        before = state.oi
        left = before - size
        if left == 0:
            state.epoch += 1
            state.scale = 0
            state.a = c.ONE_A
            self._clear_bit(market, is_long, band)
        else:
            # the round-up of a scale bump starts again from the exact numerator (GHSA-m9f3-hrx8-x2g3: a loop)
            numerator = uint(state.a * left)
            state.a = numerator // before if is_long else mul_div_up(numerator, 1, before)
            while state.a < c.MIN_A:
                numerator = uint(numerator * c.SCALE_STEP)
                state.a = numerator // before if is_long else mul_div_up(numerator, 1, before)
                state.scale += 1
                self.store_cell(market, is_long, band, state.epoch, state.scale, Cell(0, m.funding, True))
        state.oi = left
        self.store_band(market, is_long, band, state)
        if is_long:
            m.residue += size
        else:
            m.oi -= size
            m.residue -= size
        return before

    def _band_of(self, market: int, key: int, octave_bits: int) -> int:
        """Label of a rank key (a price, possibly not positive)."""
        if key <= 0:
            return 0
        return log2_band(min(key, c.MAX_PRICE), self.load_anchor(market), octave_bits)
