"""Bit layouts: a dataclass, a pack and an unpack per packed word, and nowhere else a shift or a mask.

Mirror of ``contracts/modules/words.vy``. Widths and their reasons are in SPEC §3. A field that does not fit
its width reverts without a reason, as the machine's range check does.
"""

from __future__ import annotations

from dataclasses import dataclass

from python_ref.world import Revert


def _u(value: int, bits: int) -> int:
    """``value`` as an unsigned field of ``bits``."""
    if not 0 <= value < 1 << bits:
        raise Revert("")
    return value


def _s(value: int, bits: int) -> int:
    """``value`` as a two's complement field of ``bits``."""
    half = 1 << (bits - 1)
    if not -half <= value < half:
        raise Revert("")
    return value % (1 << bits)


def _take(word: int, at: int, bits: int) -> int:
    return (word >> at) & ((1 << bits) - 1)


def _take_signed(word: int, at: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return ((_take(word, at, bits) + half) & ((1 << bits) - 1)) - half


@dataclass
class Account:
    """Word 0 of an account. ``cash`` is in gons when ``exposed``, else in units; WAD either way."""

    cash: int = 0  # int160
    legs: int = 0  # uint16, bit m: a position in market m
    touched: int = 0  # uint32, second of the last trade, deposit or transfer in
    has_late: bool = False  # plain units wait in word 33 (rule 6)
    in_receipt: bool = False  # a receipt for this account is open (rule 26)
    exposed: bool = False
    liquidated: int = 0  # uint44, in DEGRADED markets: second << 12 | 4096ths of a position left to this minute

    def pack(self) -> int:
        """The word."""
        return (
            _s(self.cash, 160)
            | _u(self.legs, 16) << 160
            | _u(self.touched, 32) << 176
            | int(self.has_late) << 208
            | int(self.in_receipt) << 209
            | _u(self.liquidated, 44) << 210
            | int(self.exposed) << 255
        )

    @classmethod
    def unpack(cls, word: int) -> Account:
        """The fields of ``word``."""
        return cls(
            _take_signed(word, 0, 160),
            _take(word, 160, 16),
            _take(word, 176, 32),
            bool(_take(word, 208, 1)),
            bool(_take(word, 209, 1)),
            bool(_take(word, 255, 1)),
            _take(word, 210, 44),
        )


@dataclass
class Position:
    """Basis of a position: never rewritten by a touch, only by a trade or a move of band (rule 30)."""

    a0: int = 0  # uint120, A of the band at the anchor
    q0: int = 0  # uint104, size at the anchor, gons
    epoch: int = 0  # uint16
    scale: int = 0  # uint8
    c0: int = 0  # int160, ceiling of C at the last settlement
    entry: int = 0  # uint87, average entry price, WAD
    band: int = 0  # uint8
    is_long: bool = False

    def pack(self) -> tuple[int, int]:
        """The two words."""
        first = _u(self.a0, 120) | _u(self.q0, 104) << 120 | _u(self.epoch, 16) << 224 | _u(self.scale, 8) << 240
        second = _s(self.c0, 160) | _u(self.entry, 87) << 160 | _u(self.band, 8) << 247 | int(self.is_long) << 255
        return first, second

    @classmethod
    def unpack(cls, first: int, second: int) -> Position:
        """The fields of the two words."""
        return cls(
            _take(first, 0, 120),
            _take(first, 120, 104),
            _take(first, 224, 16),
            _take(first, 240, 8),
            _take_signed(second, 0, 160),
            _take(second, 160, 87),
            _take(second, 247, 8),
            bool(_take(second, 255, 1)),
        )


@dataclass
class Band:
    """State of one band of one side of one market."""

    a: int = 0  # uint120, size index in [1e27, 1e36]; zero only before the first opener
    oi: int = 0  # uint104, open interest, gons
    epoch: int = 0  # uint16, full wipes so far
    scale: int = 0  # uint8, scale bumps in this epoch

    def pack(self) -> int:
        """The word."""
        return _u(self.a, 120) | _u(self.oi, 104) << 120 | _u(self.epoch, 16) << 224 | _u(self.scale, 8) << 240

    @classmethod
    def unpack(cls, word: int) -> Band:
        """The fields of ``word``."""
        return cls(_take(word, 0, 120), _take(word, 120, 104), _take(word, 224, 16), _take(word, 240, 8))


@dataclass
class Cell:
    """Cash index of one (band, epoch, scale). ``f_mark`` is stored biased so that a live cell is never zero."""

    c: int = 0  # int160, cash per size times A, folded up to f_mark
    f_mark: int = 0  # int88, funding index at the last fold
    live: bool = False  # False: never opened

    def pack(self) -> int:
        """The word; zero for a cell that was never opened."""
        if not self.live:
            return 0
        _s(self.f_mark, 88)
        return _s(self.c, 160) | (self.f_mark + (1 << 95)) << 160

    @classmethod
    def unpack(cls, word: int) -> Cell:
        """The fields of ``word``."""
        if word == 0:
            return cls()
        return cls(_take_signed(word, 0, 160), _take(word, 160, 96) - (1 << 95), True)


@dataclass
class Market:
    """The two words of a market that trading moves."""

    funding: int = 0  # int88, cumulative funding per unit a long pays, WAD gons
    rate: int = 0  # int24, averaged premium, ppm per FUNDING_PERIOD
    sample: int = 0  # int24, premium of the last fill, ppm
    accrued: int = 0  # uint32, second of the last accrual
    fees: int = 0  # uint88, gons owed to the fund
    pot: int = 0  # int104, gons on their way between bands and accounts
    oi: int = 0  # uint104, sum of the short bands' open interest, gons
    residue: int = 0  # uint48, house residue r_L, gons (rule 28)

    def pack(self) -> tuple[int, int]:
        """The two words."""
        first = (
            _s(self.funding, 88)
            | _s(self.rate, 24) << 88
            | _s(self.sample, 24) << 112
            | _u(self.accrued, 32) << 136
            | _u(self.fees, 88) << 168
        )
        second = _s(self.pot, 104) | _u(self.oi, 104) << 104 | _u(self.residue, 48) << 208
        return first, second

    @classmethod
    def unpack(cls, first: int, second: int) -> Market:
        """The fields of the two words."""
        return cls(
            _take_signed(first, 0, 88),
            _take_signed(first, 88, 24),
            _take_signed(first, 112, 24),
            _take(first, 136, 32),
            _take(first, 168, 88),
            _take_signed(second, 0, 104),
            _take(second, 104, 104),
            _take(second, 208, 48),
        )


@dataclass
class Risk:
    """Risk parameters of a market; rates in ppm (SPEC §5, §6)."""

    initial: int = 0  # uint24
    maintenance: int = 0  # uint24, lowest marginal rate
    penalty: int = 0  # uint24, discount of a liquidation against the index
    fund_share: int = 0  # uint24, part of the discount that goes to the fund
    taker_fee: int = 0  # uint24
    maker_fee: int = 0  # uint24
    fill_band: int = 0  # uint24, width of the fill band beyond [low, high]
    target: int = 0  # uint24, health k that a partial liquidation restores, ppm (1_200_000 = 1.2)
    backstop: int = 0  # uint24, a takeover needs equity below this share of maintenance
    depth: int = 0  # uint40, whole money units of notional that add 100 % to both rates; 0 = no slope

    def pack(self) -> int:
        """The word."""
        word = 0
        for i, value in enumerate(
            (
                self.initial,
                self.maintenance,
                self.penalty,
                self.fund_share,
                self.taker_fee,
                self.maker_fee,
                self.fill_band,
                self.target,
                self.backstop,
            )
        ):
            word |= _u(value, 24) << (24 * i)
        return word | _u(self.depth, 40) << 216

    @classmethod
    def unpack(cls, word: int) -> Risk:
        """The fields of ``word``."""
        initial, maintenance, penalty, fund_share, taker, maker, fill_band, target, backstop = (
            _take(word, 24 * i, 24) for i in range(9)
        )
        depth = _take(word, 216, 40)
        return cls(initial, maintenance, penalty, fund_share, taker, maker, fill_band, target, backstop, depth)


@dataclass
class Limits:
    """What an order and a label need to know of a market."""

    oi_cap: int = 0  # uint104, highest open interest a trade may leave, units
    min_size: int = 0  # uint80, smallest position a trade may leave, units
    lot_exp: int = 0  # uint8, sizes are multiples of 10**lot_exp
    open_receipts: int = 0  # uint8, receipts open in this market
    rank: int = 0  # uint4, RANK_SINGLE, RANK_PROFIT or RANK_LEVERAGE
    octave_bits: int = 0  # uint4, log2 of the bands per octave
    listed: bool = False

    def pack(self) -> int:
        """The word."""
        return (
            _u(self.oi_cap, 104)
            | _u(self.min_size, 80) << 104
            | _u(self.lot_exp, 8) << 184
            | _u(self.open_receipts, 8) << 192
            | _u(self.rank, 4) << 200
            | _u(self.octave_bits, 4) << 204
            | int(self.listed) << 255
        )

    @classmethod
    def unpack(cls, word: int) -> Limits:
        """The fields of ``word``."""
        return cls(
            _take(word, 0, 104),
            _take(word, 104, 80),
            _take(word, 184, 8),
            _take(word, 192, 8),
            _take(word, 200, 4),
            _take(word, 204, 4),
            bool(_take(word, 255, 1)),
        )


@dataclass
class Globals:
    """The two words of the whole domain."""

    claim_index: int = 0  # uint128
    bad_debt: int = 0  # uint112, gons
    claim_epoch: int = 0  # uint16, rebases so far
    exposed: int = 0  # int120, X: gons of all exposed cash, pots and fees
    exempt: int = 0  # uint104, units of all exempt cash
    open_receipts: int = 0  # uint8
    receipts: int = 0  # uint24, receipts written so far

    def pack(self) -> tuple[int, int]:
        """The two words."""
        first = _u(self.claim_index, 128) | _u(self.bad_debt, 112) << 128 | _u(self.claim_epoch, 16) << 240
        second = (
            _s(self.exposed, 120)
            | _u(self.exempt, 104) << 120
            | _u(self.open_receipts, 8) << 224
            | _u(self.receipts, 24) << 232
        )
        return first, second

    @classmethod
    def unpack(cls, first: int, second: int) -> Globals:
        """The fields of the two words."""
        return cls(
            _take(first, 0, 128),
            _take(first, 128, 112),
            _take(first, 240, 16),
            _take_signed(second, 0, 120),
            _take(second, 120, 104),
            _take(second, 224, 8),
            _take(second, 232, 24),
        )
