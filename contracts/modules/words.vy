# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Bit layouts
@license MIT
@notice A struct, a pack and an unpack per packed word, and nowhere else a shift or a mask of a layout.
        Widths and their reasons are in SPEC section 3.
@dev Stateless. Mirror: `python_ref/words.py`. A field that does not fit reverts without a reason.
"""

# word 0 of an account; cash in gons when exposed, else in units
struct Account:
    cash: int256
    legs: uint256
    touched: uint256
    has_late: bool
    in_receipt: bool
    exposed: bool


# basis of a position: rewritten only by a trade or a move of band (rule 30)
struct Position:
    a0: uint256
    q0: uint256
    epoch: uint256
    scale: uint256
    c0: int256
    entry: uint256
    band: uint256
    is_long: bool


struct Band:
    a: uint256
    oi: uint256
    epoch: uint256
    scale: uint256


# cash index of one (band, epoch, scale); the mark is biased so that a live cell is never zero
struct Cell:
    c: int256
    f_mark: int256
    live: bool


# the two words of a market that trading moves
struct Market:
    funding: int256
    rate: int256
    sample: int256
    accrued: uint256
    fees: uint256
    pot: int256
    oi: uint256
    # signed here: negative for a moment inside a trade, never when packed
    residue: int256


struct Risk:
    initial: uint256
    maintenance: uint256
    penalty: uint256
    fund_share: uint256
    taker_fee: uint256
    maker_fee: uint256
    fill_band: uint256
    target: uint256
    backstop: uint256
    depth: uint256


struct Limits:
    oi_cap: uint256
    min_size: uint256
    lot_exp: uint256
    open_receipts: uint256
    rank: uint256
    octave_bits: uint256
    listed: bool


# the two words of the whole domain
struct Globals:
    claim_index: uint256
    bad_debt: uint256
    claim_epoch: uint256
    exposed: int256
    exempt: uint256
    open_receipts: uint256
    receipts: uint256


@internal
@pure
def _u(field: uint256, bits: uint256) -> uint256:
    """
    @notice The field as an unsigned field of `bits`.
    """
    assert field >> bits == 0
    return field


@internal
@pure
def _s(field: int256, bits: uint256) -> uint256:
    """
    @notice The field as a two's complement field of `bits` (<= 160).
    """
    half: int256 = 1 << (bits - 1)
    assert field >= -half
    assert field < half
    return convert(field + 2 * half, uint256) & ((1 << bits) - 1)


@internal
@pure
def _take(word: uint256, at: uint256, bits: uint256) -> uint256:
    """
    @notice Unsigned field of `bits` at bit `at`.
    """
    return (word >> at) & ((1 << bits) - 1)


@internal
@pure
def _take_signed(word: uint256, at: uint256, bits: uint256) -> int256:
    """
    @notice Two's complement field of `bits` (<= 160) at bit `at`.
    """
    half: uint256 = 1 << (bits - 1)
    return convert(((word >> at) + half) & ((1 << bits) - 1), int256) - convert(half, int256)


@internal
@pure
def _pack_account(a: Account) -> uint256:
    """
    @notice Word 0 of an account.
    """
    word: uint256 = self._s(a.cash, 160) | (self._u(a.legs, 16) << 160) | (self._u(a.touched, 32) << 176)
    if a.has_late:
        word |= 1 << 208
    if a.in_receipt:
        word |= 1 << 209
    if a.exposed:
        word |= 1 << 255
    return word


@internal
@pure
def _unpack_account(word: uint256) -> Account:
    """
    @notice Fields of word 0 of an account.
    """
    return Account(
        cash=self._take_signed(word, 0, 160),
        legs=self._take(word, 160, 16),
        touched=self._take(word, 176, 32),
        has_late=(word >> 208) & 1 == 1,
        in_receipt=(word >> 209) & 1 == 1,
        exposed=word >> 255 == 1,
    )


@internal
@pure
def _pack_position(p: Position) -> (uint256, uint256):
    """
    @notice The two words of a position.
    """
    first: uint256 = (
        self._u(p.a0, 120)
        | (self._u(p.q0, 104) << 120)
        | (self._u(p.epoch, 16) << 224)
        | (self._u(p.scale, 8) << 240)
    )
    second: uint256 = self._s(p.c0, 160) | (self._u(p.entry, 87) << 160) | (self._u(p.band, 8) << 247)
    if p.is_long:
        second |= 1 << 255
    return first, second


@internal
@pure
def _unpack_position(first: uint256, second: uint256) -> Position:
    """
    @notice Fields of the two words of a position.
    """
    return Position(
        a0=self._take(first, 0, 120),
        q0=self._take(first, 120, 104),
        epoch=self._take(first, 224, 16),
        scale=self._take(first, 240, 8),
        c0=self._take_signed(second, 0, 160),
        entry=self._take(second, 160, 87),
        band=self._take(second, 247, 8),
        is_long=second >> 255 == 1,
    )


@internal
@pure
def _pack_band(b: Band) -> uint256:
    """
    @notice Word of a band.
    """
    return (
        self._u(b.a, 120) | (self._u(b.oi, 104) << 120) | (self._u(b.epoch, 16) << 224) | (self._u(b.scale, 8) << 240)
    )


@internal
@pure
def _unpack_band(word: uint256) -> Band:
    """
    @notice Fields of a band.
    """
    return Band(
        a=self._take(word, 0, 120),
        oi=self._take(word, 120, 104),
        epoch=self._take(word, 224, 16),
        scale=self._take(word, 240, 8),
    )


@internal
@pure
def _pack_cell(c: Cell) -> uint256:
    """
    @notice Word of a live cell.
    """
    assert c.f_mark >= -(1 << 87)
    assert c.f_mark < 1 << 87
    return self._s(c.c, 160) | (convert(c.f_mark + (1 << 95), uint256) << 160)


@internal
@pure
def _unpack_cell(word: uint256) -> Cell:
    """
    @notice Fields of a cell; not live if it was never opened.
    """
    if word == 0:
        return empty(Cell)
    return Cell(c=self._take_signed(word, 0, 160), f_mark=convert(word >> 160, int256) - (1 << 95), live=True)


@internal
@pure
def _pack_market(m: Market) -> (uint256, uint256):
    """
    @notice Words 0 and 1 of a market.
    """
    first: uint256 = (
        self._s(m.funding, 88)
        | (self._s(m.rate, 24) << 88)
        | (self._s(m.sample, 24) << 112)
        | (self._u(m.accrued, 32) << 136)
        | (self._u(m.fees, 88) << 168)
    )
    second: uint256 = (
        self._s(m.pot, 104) | (self._u(m.oi, 104) << 104) | (self._u(convert(m.residue, uint256), 48) << 208)
    )
    return first, second


@internal
@pure
def _unpack_market(first: uint256, second: uint256) -> Market:
    """
    @notice Fields of words 0 and 1 of a market.
    """
    return Market(
        funding=self._take_signed(first, 0, 88),
        rate=self._take_signed(first, 88, 24),
        sample=self._take_signed(first, 112, 24),
        accrued=self._take(first, 136, 32),
        fees=first >> 168,
        pot=self._take_signed(second, 0, 104),
        oi=self._take(second, 104, 104),
        residue=convert(second >> 208, int256),
    )


# single fields of a risk word, for the hot path
@internal
@pure
def _initial(risk_word: uint256) -> uint256:
    return self._take(risk_word, 0, 24)


@internal
@pure
def _maintenance(risk_word: uint256) -> uint256:
    return self._take(risk_word, 24, 24)


@internal
@pure
def _penalty(risk_word: uint256) -> uint256:
    return self._take(risk_word, 48, 24)


@internal
@pure
def _fund_share(risk_word: uint256) -> uint256:
    return self._take(risk_word, 72, 24)


@internal
@pure
def _taker_fee(risk_word: uint256) -> uint256:
    return self._take(risk_word, 96, 24)


@internal
@pure
def _maker_fee(risk_word: uint256) -> uint256:
    return self._take(risk_word, 120, 24)


@internal
@pure
def _fill_band(risk_word: uint256) -> uint256:
    return self._take(risk_word, 144, 24)


@internal
@pure
def _target(risk_word: uint256) -> uint256:
    return self._take(risk_word, 168, 24)


@internal
@pure
def _backstop(risk_word: uint256) -> uint256:
    return self._take(risk_word, 192, 24)


@internal
@pure
def _depth(risk_word: uint256) -> uint256:
    return risk_word >> 216


@internal
@pure
def _unpack_risk(word: uint256) -> Risk:
    """
    @notice Risk parameters of a market.
    """
    return Risk(
        initial=self._take(word, 0, 24),
        maintenance=self._take(word, 24, 24),
        penalty=self._take(word, 48, 24),
        fund_share=self._take(word, 72, 24),
        taker_fee=self._take(word, 96, 24),
        maker_fee=self._take(word, 120, 24),
        fill_band=self._take(word, 144, 24),
        target=self._take(word, 168, 24),
        backstop=self._take(word, 192, 24),
        depth=word >> 216,
    )


@internal
@pure
def _pack_limits(l: Limits) -> uint256:
    """
    @notice Word 3 of a market.
    """
    word: uint256 = (
        self._u(l.oi_cap, 104)
        | (self._u(l.min_size, 80) << 104)
        | (self._u(l.lot_exp, 8) << 184)
        | (self._u(l.open_receipts, 8) << 192)
        | (self._u(l.rank, 4) << 200)
        | (self._u(l.octave_bits, 4) << 204)
    )
    if l.listed:
        word |= 1 << 255
    return word


@internal
@pure
def _unpack_limits(word: uint256) -> Limits:
    """
    @notice Fields of word 3 of a market.
    """
    return Limits(
        oi_cap=self._take(word, 0, 104),
        min_size=self._take(word, 104, 80),
        lot_exp=self._take(word, 184, 8),
        open_receipts=self._take(word, 192, 8),
        rank=self._take(word, 200, 4),
        octave_bits=self._take(word, 204, 4),
        listed=word >> 255 == 1,
    )


@internal
@pure
def _count_receipt(limits_word: uint256, opened: bool) -> uint256:
    """
    @notice Word 3 of a market with one open receipt more or less.
    @dev Cannot reach the next field: the domain's counter has as many bits, is checked when it is packed,
         and is never below a market's.
    """
    if opened:
        return limits_word + (1 << 192)
    return limits_word - (1 << 192)


@internal
@pure
def _pack_globals(g: Globals) -> (uint256, uint256):
    """
    @notice The two words of the domain.
    """
    first: uint256 = (
        self._u(g.claim_index, 128) | (self._u(g.bad_debt, 112) << 128) | (self._u(g.claim_epoch, 16) << 240)
    )
    second: uint256 = (
        self._s(g.exposed, 120)
        | (self._u(g.exempt, 104) << 120)
        | (self._u(g.open_receipts, 8) << 224)
        | (self._u(g.receipts, 24) << 232)
    )
    return first, second


@internal
@pure
def _unpack_globals(first: uint256, second: uint256) -> Globals:
    """
    @notice Fields of the two words of the domain.
    """
    return Globals(
        claim_index=self._take(first, 0, 128),
        bad_debt=self._take(first, 128, 112),
        claim_epoch=first >> 240,
        exposed=self._take_signed(second, 0, 120),
        exempt=self._take(second, 120, 104),
        open_receipts=self._take(second, 224, 8),
        receipts=second >> 232,
    )
