# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Bands: the lazy arithmetic that closes part of any number of positions in O(1)
@license MIT
@notice SPEC section 4. Every rounding is against the account: longs' sizes down, shorts' magnitudes up,
        cash toward minus infinity.
@dev Mirror: `python_ref/bands.py`. Functions that change a market take and return its words.
"""

from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import ledger
from contracts.modules import words

uses: ledger


event PositionChanged:
    account: indexed(bytes32)
    market: indexed(uint256)
    size: int256
    cash: int256
    entry: uint256
    band: uint256


# a position as it is now: signed gons, and gons that a settlement moves from the pot to the account
struct Leg:
    size: int256
    pending: int256
    entry: uint256
    band: uint256


@internal
@pure
def _is_riskier(rank: uint256, is_long: bool, band: uint256, than: uint256) -> bool:
    """
    @notice Whether `band` is deleveraged before `than` (SPEC section 4.5).
    """
    if (rank == c.RANK_LEVERAGE) == is_long:
        return band > than
    return band < than


@internal
@pure
def _c_now(cell: words.Cell, a: uint256, funding: int256, is_long: bool, up: bool) -> int256:
    """
    @notice Cash index of the live cell with funding folded in: up for a checkpoint, down for a settlement.
    """
    moved: int256 = funding - cell.f_mark
    if is_long:
        moved = -moved
    if moved == 0:
        return cell.c
    moved *= convert(a, int256)
    if up:
        return cell.c + fixed_math._ceil_div(moved, convert(c.WAD, int256))
    return cell.c + fixed_math._floor_div(moved, convert(c.WAD, int256))


@internal
@view
def _read_leg(account: bytes32, market: uint256, funding: int256) -> Leg:
    """
    @notice Size and pending cash of a position at funding index `funding`; all zero if there is none.
    """
    p: words.Position = ledger._load_position(account, market)
    if p.q0 == 0:
        return empty(Leg)
    band: words.Band = ledger._load_band(market, p.is_long, p.band)
    same_epoch: bool = p.epoch == band.epoch
    total: int256 = 0
    step: int256 = 1
    for j: uint256 in range(c.SCALE_SPAN + 1):
        scale: uint256 = p.scale + j
        if scale > 255:
            break
        cell: words.Cell = ledger._load_cell(market, p.is_long, p.band, p.epoch, scale)
        if not cell.live:
            break
        live: bool = same_epoch and scale == band.scale
        now: int256 = cell.c
        if live:
            now = self._c_now(cell, band.a, funding, p.is_long, False)
        if j == 0:
            total = now - p.c0
        else:
            step *= convert(c.SCALE_STEP, int256)
            total += fixed_math._floor_div(now, step)
        if live:
            break
    pending: int256 = fixed_math._floor_div(convert(p.q0, int256) * total, convert(p.a0, int256))
    size: uint256 = 0
    if same_epoch:
        behind: uint256 = band.scale - p.scale
        if behind > c.SCALE_SPAN:
            if not p.is_long:
                size = 1
        elif p.is_long:
            size = fixed_math._mul_div_down(p.q0, band.a, p.a0) // c.SCALE_STEP**behind
        else:
            size = fixed_math._mul_div_up(fixed_math._mul_div_up(p.q0, band.a, p.a0), 1, c.SCALE_STEP**behind)
    signed: int256 = convert(size, int256)
    if not p.is_long:
        signed = -signed
    return Leg(size=signed, pending=pending, entry=p.entry, band=p.band)


@internal
def _enter_band(before: words.Market, market: uint256, is_long: bool, band: uint256, size: uint256) -> words.Market:
    """
    @notice Add open interest to a band, opening it if it is empty.
    """
    m: words.Market = before
    state: words.Band = ledger._load_band(market, is_long, band)
    # else a default that bumps the scale beyond its 8 bits could not be resolved
    assert state.scale < c.WORN_SCALE, "bands: worn out"
    if state.a == 0:
        state.a = c.ONE_A
    if state.oi == 0:
        ledger._store_bitmap(market, is_long, ledger._load_bitmap(market, is_long) | (1 << band))
        if not ledger._load_cell(market, is_long, band, state.epoch, state.scale).live:
            ledger._store_cell(
                market, is_long, band, state.epoch, state.scale, words.Cell(c=0, f_mark=m.funding, live=True)
            )
    state.oi += size
    ledger._store_band(market, is_long, band, state)
    if is_long:
        m.residue -= convert(size, int256)
    else:
        m.oi += size
        m.residue += convert(size, int256)
    return m


@internal
def _leave_band(before: words.Market, market: uint256, is_long: bool, band: uint256, size: uint256) -> words.Market:
    """
    @notice Take `size`, or what is left, out of a band; the difference is the residue's (rule 28).
    """
    m: words.Market = before
    state: words.Band = ledger._load_band(market, is_long, band)
    taken: uint256 = min(size, state.oi)
    left: uint256 = state.oi - taken
    if is_long and left > 0 and left <= c.DUST_SIZE:
        # whoever still holds a crumb of it is wiped: his cash stays readable in the folded cell
        ledger._store_cell(
            market, is_long, band, state.epoch, state.scale, self._folded(m, market, is_long, band, state)
        )
        taken = state.oi
        left = 0
        state.epoch += 1
        state.scale = 0
        state.a = c.ONE_A
    state.oi = left
    if left == 0:
        self._clear_bit(market, is_long, band)
    ledger._store_band(market, is_long, band, state)
    if is_long:
        m.residue += convert(taken, int256)
    else:
        m.oi -= taken
        m.residue -= convert(taken, int256)
    return m


@internal
@view
def _folded(m: words.Market, market: uint256, is_long: bool, band: uint256, state: words.Band) -> words.Cell:
    """
    @notice A band's live cell with the funding so far written into it.
    """
    cell: words.Cell = ledger._load_cell(market, is_long, band, state.epoch, state.scale)
    cell.c = self._c_now(cell, state.a, m.funding, is_long, False)
    cell.f_mark = m.funding
    return cell


@internal
def _clear_bit(market: uint256, is_long: bool, band: uint256):
    bitmap: uint256 = ledger._load_bitmap(market, is_long)
    ledger._store_bitmap(market, is_long, bitmap & ~(1 << band))


@internal
def _anchor(m: words.Market, market: uint256, account: bytes32, size: int256, entry: uint256, band: uint256):
    """
    @notice Write a position of signed size anchored at the band's present state.
    """
    is_long: bool = size > 0
    state: words.Band = ledger._load_band(market, is_long, band)
    cell: words.Cell = ledger._load_cell(market, is_long, band, state.epoch, state.scale)
    ledger._store_position(
        account,
        market,
        words.Position(
            a0=state.a,
            q0=convert(abs(size), uint256),
            epoch=state.epoch,
            scale=state.scale,
            c0=self._c_now(cell, state.a, m.funding, is_long, True),
            entry=entry,
            band=band,
            is_long=is_long,
        ),
    )


@internal
def _place(
    before: words.Market,
    market: uint256,
    account: bytes32,
    old_word: words.Account,
    leg: Leg,
    size: int256,
    entry: uint256,
    band: uint256,
) -> (words.Market, words.Account):
    """
    @notice Replace `leg`, whose pending cash is paid, by a position of signed size in `band` (zero: none).
    @dev Open interest moves by the difference if side and band stay, else out of the old band into the new.
    """
    m: words.Market = before
    word: words.Account = old_word
    old: int256 = leg.size
    if old != 0 and size != 0 and (old > 0) == (size > 0) and leg.band == band:
        grown: int256 = abs(size) - abs(old)
        if grown > 0:
            m = self._enter_band(m, market, size > 0, band, convert(grown, uint256))
        elif grown < 0:
            m = self._leave_band(m, market, size > 0, band, convert(-grown, uint256))
    else:
        if old != 0:
            m = self._leave_band(m, market, old > 0, leg.band, convert(abs(old), uint256))
        if size != 0:
            m = self._enter_band(m, market, size > 0, band, convert(abs(size), uint256))
    if size == 0:
        ledger._store_position(account, market, empty(words.Position))
        word.legs = word.legs & ~(1 << market)
    else:
        self._anchor(m, market, account, size, entry, band)
        word.legs = word.legs | (1 << market)
    log PositionChanged(account=account, market=market, size=size, cash=word.cash, entry=entry, band=band)
    return m, word


@internal
def _deleverage_band(
    start: words.Market, market: uint256, is_long: bool, band: uint256, size: uint256, quote: int256
) -> words.Market:
    """
    @notice Close `size` of a band pro rata for signed `quote`, which longs receive and shorts pay.
    @dev SPEC section 4.3; 0 < size <= OI. The cash index moves before A does.
    """
    m: words.Market = start
    state: words.Band = ledger._load_band(market, is_long, band)
    cell: words.Cell = self._folded(m, market, is_long, band, state)
    inherited: int256 = quote
    if not is_long:
        inherited = -quote
    cell.c += fixed_math._floor_div(convert(state.a, int256) * inherited, convert(state.oi, int256))
    ledger._store_cell(market, is_long, band, state.epoch, state.scale, cell)
    m.pot += inherited
    before: uint256 = state.oi
    left: uint256 = before - size
    if left == 0:
        state.epoch += 1
        state.scale = 0
        state.a = c.ONE_A
        self._clear_bit(market, is_long, band)
    else:
        numerator: uint256 = state.a * left
        state.a = self._shrunk(numerator, before, is_long)
        # four bumps at most: A >= 1e27, and left / before >= 1 / 2**104
        for _: uint256 in range(5):
            if state.a >= c.MIN_A:
                break
            numerator *= c.SCALE_STEP
            state.a = self._shrunk(numerator, before, is_long)
            state.scale += 1
            ledger._store_cell(
                market, is_long, band, state.epoch, state.scale, words.Cell(c=0, f_mark=m.funding, live=True)
            )
    state.oi = left
    ledger._store_band(market, is_long, band, state)
    if is_long:
        m.residue += convert(size, int256)
    else:
        m.oi -= size
        m.residue -= convert(size, int256)
    return m


@internal
@pure
def _shrunk(numerator: uint256, before: uint256, is_long: bool) -> uint256:
    if is_long:
        return numerator // before
    return fixed_math._mul_div_up(numerator, 1, before)


@internal
@view
def _band_of(market: uint256, key: int256, octave_bits: uint256) -> uint256:
    """
    @notice Label of a rank key (a price, possibly not positive).
    """
    if key <= 0:
        return 0
    return fixed_math._log2_band(
        min(convert(key, uint256), c.MAX_PRICE), ledger.markets[(market << 3) | 6], octave_bits
    )
