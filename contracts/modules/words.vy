# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Bit layouts
@license MIT
@notice A struct, a pack and an unpack per packed word, and nowhere else a shift or a mask of a layout.
        Widths and their reasons are in SPEC section 3.
@dev Stateless. Mirror: `python_ref/words.py`. A field that does not fit reverts without a reason.
     A signed field is read as ((bits + half) mod 2**256, masked) - half: the unsafe_add is that "mod", of
     which the mask keeps the low bits, so no overflow can matter. Packing goes the other way: field + half is
     below 2**bits, and not negative, for exactly the fields that fit; a wrapped sum is neither.
"""

# word 0 of an account; cash in gons when exposed, else in units
struct Account:
    cash: int256
    legs: uint256
    touched: uint256
    has_late: bool
    in_receipt: bool
    exposed: bool
    # in DEGRADED markets: second << 12 | 4096ths of a position left to this minute
    liquidated: uint256


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
def _pack_account(a: Account) -> uint256:
    """
    @notice Word 0 of an account.
    """
    cash: uint256 = convert(unsafe_add(a.cash, 2**159), uint256)
    assert (cash >> 160) | (a.legs >> 16) | (a.touched >> 32) | (a.liquidated >> 44) == 0
    word: uint256 = (
        (unsafe_sub(cash, 2**159) & (2**160 - 1)) | (a.legs << 160) | (a.touched << 176) | (a.liquidated << 210)
    )
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
        cash=convert(unsafe_add(word, 2**159) & (2**160 - 1), int256) - 2**159,
        legs=(word >> 160) & (2**16 - 1),
        touched=(word >> 176) & (2**32 - 1),
        has_late=(word >> 208) & 1 == 1,
        in_receipt=(word >> 209) & 1 == 1,
        exposed=word >> 255 == 1,
        liquidated=(word >> 210) & (2**44 - 1),
    )


@internal
@pure
def _pack_position(p: Position) -> (uint256, uint256):
    """
    @notice The two words of a position.
    """
    c0: uint256 = convert(unsafe_add(p.c0, 2**159), uint256)
    assert (p.a0 >> 120) | (p.q0 >> 104) | (p.epoch >> 16) | (p.scale >> 8) == 0
    assert (c0 >> 160) | (p.entry >> 87) | (p.band >> 8) == 0
    first: uint256 = p.a0 | (p.q0 << 120) | (p.epoch << 224) | (p.scale << 240)
    second: uint256 = (unsafe_sub(c0, 2**159) & (2**160 - 1)) | (p.entry << 160) | (p.band << 247)
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
        a0=first & (2**120 - 1),
        q0=(first >> 120) & (2**104 - 1),
        epoch=(first >> 224) & (2**16 - 1),
        scale=(first >> 240) & (2**8 - 1),
        c0=convert(unsafe_add(second, 2**159) & (2**160 - 1), int256) - 2**159,
        entry=(second >> 160) & (2**87 - 1),
        band=(second >> 247) & (2**8 - 1),
        is_long=second >> 255 == 1,
    )


@internal
@pure
def _pack_band(b: Band) -> uint256:
    """
    @notice Word of a band.
    """
    assert (b.a >> 120) | (b.oi >> 104) | (b.epoch >> 16) | (b.scale >> 8) == 0
    return b.a | (b.oi << 120) | (b.epoch << 224) | (b.scale << 240)


@internal
@pure
def _unpack_band(word: uint256) -> Band:
    """
    @notice Fields of a band.
    """
    return Band(
        a=word & (2**120 - 1),
        oi=(word >> 120) & (2**104 - 1),
        epoch=(word >> 224) & (2**16 - 1),
        scale=(word >> 240) & (2**8 - 1),
    )


@internal
@pure
def _pack_cell(c: Cell) -> uint256:
    """
    @notice Word of a live cell.
    """
    index: uint256 = convert(unsafe_add(c.c, 2**159), uint256)
    mark: uint256 = convert(unsafe_add(c.f_mark, 2**87), uint256)
    assert (index >> 160) | (mark >> 88) == 0
    return (unsafe_sub(index, 2**159) & (2**160 - 1)) | (unsafe_add(mark, 2**95 - 2**87) << 160)


@internal
@pure
def _unpack_cell(word: uint256) -> Cell:
    """
    @notice Fields of a cell; not live if it was never opened.
    """
    if word == 0:
        return empty(Cell)
    return Cell(c=convert(unsafe_add(word, 2**159) & (2**160 - 1), int256) - 2**159, f_mark=convert(word >> 160, int256) - (1 << 95), live=True)


@internal
@pure
def _pack_market(m: Market) -> (uint256, uint256):
    """
    @notice Words 0 and 1 of a market.
    """
    funding: uint256 = convert(unsafe_add(m.funding, 2**87), uint256)
    rate: uint256 = convert(unsafe_add(m.rate, 2**23), uint256)
    sample: uint256 = convert(unsafe_add(m.sample, 2**23), uint256)
    pot: uint256 = convert(unsafe_add(m.pot, 2**103), uint256)
    residue: uint256 = convert(m.residue, uint256)
    assert (funding >> 88) | (rate >> 24) | (sample >> 24) | (m.accrued >> 32) | (m.fees >> 88) == 0
    assert (pot >> 104) | (m.oi >> 104) | (residue >> 48) == 0
    return (
        (unsafe_sub(funding, 2**87) & (2**88 - 1))
        | ((unsafe_sub(rate, 2**23) & (2**24 - 1)) << 88)
        | ((unsafe_sub(sample, 2**23) & (2**24 - 1)) << 112)
        | (m.accrued << 136)
        | (m.fees << 168)
    ), (unsafe_sub(pot, 2**103) & (2**104 - 1)) | (m.oi << 104) | (residue << 208)


@internal
@pure
def _unpack_market(first: uint256, second: uint256) -> Market:
    """
    @notice Fields of words 0 and 1 of a market.
    """
    return Market(
        funding=convert(unsafe_add(first, 2**87) & (2**88 - 1), int256) - 2**87,
        rate=convert(unsafe_add((first >> 88), 2**23) & (2**24 - 1), int256) - 2**23,
        sample=convert(unsafe_add((first >> 112), 2**23) & (2**24 - 1), int256) - 2**23,
        accrued=(first >> 136) & (2**32 - 1),
        fees=first >> 168,
        pot=convert(unsafe_add(second, 2**103) & (2**104 - 1), int256) - 2**103,
        oi=(second >> 104) & (2**104 - 1),
        residue=convert(second >> 208, int256),
    )


# single fields of a risk word, for the hot path
@internal
@pure
def _initial(risk_word: uint256) -> uint256:
    return risk_word & (2**24 - 1)


@internal
@pure
def _maintenance(risk_word: uint256) -> uint256:
    return (risk_word >> 24) & (2**24 - 1)


@internal
@pure
def _penalty(risk_word: uint256) -> uint256:
    return (risk_word >> 48) & (2**24 - 1)


@internal
@pure
def _fund_share(risk_word: uint256) -> uint256:
    return (risk_word >> 72) & (2**24 - 1)


@internal
@pure
def _taker_fee(risk_word: uint256) -> uint256:
    return (risk_word >> 96) & (2**24 - 1)


@internal
@pure
def _maker_fee(risk_word: uint256) -> uint256:
    return (risk_word >> 120) & (2**24 - 1)


@internal
@pure
def _fill_band(risk_word: uint256) -> uint256:
    return (risk_word >> 144) & (2**24 - 1)


@internal
@pure
def _target(risk_word: uint256) -> uint256:
    return (risk_word >> 168) & (2**24 - 1)


@internal
@pure
def _backstop(risk_word: uint256) -> uint256:
    return (risk_word >> 192) & (2**24 - 1)


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
        initial=word & (2**24 - 1),
        maintenance=(word >> 24) & (2**24 - 1),
        penalty=(word >> 48) & (2**24 - 1),
        fund_share=(word >> 72) & (2**24 - 1),
        taker_fee=(word >> 96) & (2**24 - 1),
        maker_fee=(word >> 120) & (2**24 - 1),
        fill_band=(word >> 144) & (2**24 - 1),
        target=(word >> 168) & (2**24 - 1),
        backstop=(word >> 192) & (2**24 - 1),
        depth=word >> 216,
    )


@internal
@pure
def _pack_limits(l: Limits) -> uint256:
    """
    @notice Word 3 of a market.
    """
    assert (l.oi_cap >> 104) | (l.min_size >> 80) | (l.lot_exp >> 8) | (l.open_receipts >> 8) == 0
    assert (l.rank >> 4) | (l.octave_bits >> 4) == 0
    word: uint256 = (
        l.oi_cap
        | (l.min_size << 104)
        | (l.lot_exp << 184)
        | (l.open_receipts << 192)
        | (l.rank << 200)
        | (l.octave_bits << 204)
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
        oi_cap=word & (2**104 - 1),
        min_size=(word >> 104) & (2**80 - 1),
        lot_exp=(word >> 184) & (2**8 - 1),
        open_receipts=(word >> 192) & (2**8 - 1),
        rank=(word >> 200) & (2**4 - 1),
        octave_bits=(word >> 204) & (2**4 - 1),
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
    exposed: uint256 = convert(unsafe_add(g.exposed, 2**119), uint256)
    assert (g.claim_index >> 128) | (g.bad_debt >> 112) | (g.claim_epoch >> 16) == 0
    assert (exposed >> 120) | (g.exempt >> 104) | (g.open_receipts >> 8) | (g.receipts >> 24) == 0
    first: uint256 = g.claim_index | (g.bad_debt << 128) | (g.claim_epoch << 240)
    return first, (
        (unsafe_sub(exposed, 2**119) & (2**120 - 1))
        | (g.exempt << 120)
        | (g.open_receipts << 224)
        | (g.receipts << 232)
    )


@internal
@pure
def _unpack_globals(first: uint256, second: uint256) -> Globals:
    """
    @notice Fields of the two words of the domain.
    """
    return Globals(
        claim_index=first & (2**128 - 1),
        bad_debt=(first >> 128) & (2**112 - 1),
        claim_epoch=first >> 240,
        exposed=convert(unsafe_add(second, 2**119) & (2**120 - 1), int256) - 2**119,
        exempt=(second >> 120) & (2**104 - 1),
        open_receipts=(second >> 224) & (2**8 - 1),
        receipts=second >> 232,
    )
