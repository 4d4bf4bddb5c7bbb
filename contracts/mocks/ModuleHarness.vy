# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title The modules' insides, called one by one
@license MIT
@notice For tests only: lets them compare arithmetic, packed words and bands with the model, bit for bit, on inputs
        that no ledger would reach. Anybody may write anything.
@dev Mirror: the class of the same name in `tests/harness.py`.
"""

from contracts.interfaces import IPriceOracle
from contracts.modules import bands
from contracts.modules import fixed_math
from contracts.modules import ledger
from contracts.modules import margin
from contracts.modules import words

initializes: ledger
initializes: bands[ledger := ledger]
initializes: margin[ledger := ledger, bands := bands]


@deploy
def __init__():
    ledger.__init__(empty(address), 18, empty(address))


# ---- fixed_math ----------------------------------------------------------------------------------


@external
@pure
def mul_div_down(x: uint256, y: uint256, d: uint256) -> uint256:
    """
    @notice `fixed_math._mul_div_down`.
    """
    return fixed_math._mul_div_down(x, y, d)


@external
@pure
def mul_div_up(x: uint256, y: uint256, d: uint256) -> uint256:
    """
    @notice `fixed_math._mul_div_up`.
    """
    return fixed_math._mul_div_up(x, y, d)


@external
@pure
def floor_div(n: int256, d: int256) -> int256:
    """
    @notice `fixed_math._floor_div`.
    """
    return fixed_math._floor_div(n, d)


@external
@pure
def ceil_div(n: int256, d: int256) -> int256:
    """
    @notice `fixed_math._ceil_div`.
    """
    return fixed_math._ceil_div(n, d)


@external
@pure
def log2_band(price: uint256, anchor: uint256, octave_bits: uint256) -> uint256:
    """
    @notice `fixed_math._log2_band`.
    """
    return fixed_math._log2_band(price, anchor, octave_bits)


# ---- words ---------------------------------------------------------------------------------------


@external
@pure
def pack_account(fields: words.Account) -> uint256:
    """
    @notice `words._pack_account`.
    """
    return words._pack_account(fields)


@external
@pure
def unpack_account(word: uint256) -> words.Account:
    """
    @notice `words._unpack_account`.
    """
    return words._unpack_account(word)


@external
@pure
def pack_position(fields: words.Position) -> (uint256, uint256):
    """
    @notice `words._pack_position`.
    """
    first: uint256 = 0
    second: uint256 = 0
    first, second = words._pack_position(fields)
    return first, second


@external
@pure
def unpack_position(first: uint256, second: uint256) -> words.Position:
    """
    @notice `words._unpack_position`.
    """
    return words._unpack_position(first, second)


@external
@pure
def pack_band(fields: words.Band) -> uint256:
    """
    @notice `words._pack_band`.
    """
    return words._pack_band(fields)


@external
@pure
def unpack_band(word: uint256) -> words.Band:
    """
    @notice `words._unpack_band`.
    """
    return words._unpack_band(word)


@external
@pure
def pack_cell(fields: words.Cell) -> uint256:
    """
    @notice `words._pack_cell`.
    """
    return words._pack_cell(fields)


@external
@pure
def unpack_cell(word: uint256) -> words.Cell:
    """
    @notice `words._unpack_cell`.
    """
    return words._unpack_cell(word)


@external
@pure
def pack_market(fields: words.Market) -> (uint256, uint256):
    """
    @notice `words._pack_market`.
    """
    first: uint256 = 0
    second: uint256 = 0
    first, second = words._pack_market(fields)
    return first, second


@external
@pure
def unpack_market(first: uint256, second: uint256) -> words.Market:
    """
    @notice `words._unpack_market`.
    """
    return words._unpack_market(first, second)


@external
@pure
def unpack_risk(word: uint256) -> words.Risk:
    """
    @notice `words._unpack_risk`, which must agree with the single-field readers.
    """
    risk: words.Risk = words._unpack_risk(word)
    assert risk.initial == words._initial(word), "harness: initial"
    assert risk.maintenance == words._maintenance(word), "harness: maintenance"
    assert risk.penalty == words._penalty(word), "harness: penalty"
    assert risk.fund_share == words._fund_share(word), "harness: fund_share"
    assert risk.taker_fee == words._taker_fee(word), "harness: taker_fee"
    assert risk.maker_fee == words._maker_fee(word), "harness: maker_fee"
    assert risk.fill_band == words._fill_band(word), "harness: fill_band"
    assert risk.target == words._target(word), "harness: target"
    assert risk.backstop == words._backstop(word), "harness: backstop"
    assert risk.depth == words._depth(word), "harness: depth"
    return risk


@external
@pure
def pack_limits(fields: words.Limits) -> uint256:
    """
    @notice `words._pack_limits`.
    """
    return words._pack_limits(fields)


@external
@pure
def unpack_limits(word: uint256) -> words.Limits:
    """
    @notice `words._unpack_limits`.
    """
    return words._unpack_limits(word)


@external
@pure
def pack_globals(fields: words.Globals) -> (uint256, uint256):
    """
    @notice `words._pack_globals`.
    """
    first: uint256 = 0
    second: uint256 = 0
    first, second = words._pack_globals(fields)
    return first, second


@external
@pure
def unpack_globals(first: uint256, second: uint256) -> words.Globals:
    """
    @notice `words._unpack_globals`.
    """
    return words._unpack_globals(first, second)


# ---- margin --------------------------------------------------------------------------------------


@external
@pure
def requirement(rate_ppm: uint256, depth: uint256, notional: uint256, claim_index: uint256) -> uint256:
    """
    @notice `margin._requirement`.
    """
    return margin._requirement(rate_ppm, depth, notional, claim_index)


@external
@pure
def price_share(equity: int256, leg_margin: uint256, total: uint256, size: int256) -> int256:
    """
    @notice `margin._price_share`.
    """
    return margin._price_share(equity, leg_margin, total, size)


@external
@view
def accrue(fields: words.Market, index: uint256, state: uint256, paused: uint256) -> words.Market:
    """
    @notice `margin._accrue` at these prices.
    """
    prices: IPriceOracle.Prices = empty(IPriceOracle.Prices)
    prices.index = index
    prices.state = state
    prices.paused = paused
    return margin._accrue(fields, prices)


# ---- bands ---------------------------------------------------------------------------------------


@external
@pure
def is_riskier(rank: uint256, is_long: bool, band: uint256, than: uint256) -> bool:
    """
    @notice `bands._is_riskier`.
    """
    return bands._is_riskier(rank, is_long, band, than)


@external
@pure
def c_now(cell: words.Cell, a: uint256, funding: int256, is_long: bool, up: bool) -> int256:
    """
    @notice `bands._c_now`.
    """
    return bands._c_now(cell, a, funding, is_long, up)


@external
def put_market(market: uint256, fields: words.Market):
    """
    @notice Write words 0 and 1 of a market.
    """
    ledger._store_market(market, fields)


@external
def put_band(market: uint256, is_long: bool, band: uint256, fields: words.Band, cell: words.Cell):
    """
    @notice Write a band and its live cell, and set its bit.
    """
    ledger._store_band(market, is_long, band, fields)
    ledger._store_cell(market, is_long, band, fields.epoch, fields.scale, cell)
    ledger._store_bitmap(market, is_long, ledger._load_bitmap(market, is_long) | (1 << band))


@external
def put_cell(market: uint256, is_long: bool, band: uint256, epoch: uint256, scale: uint256, cell: words.Cell):
    """
    @notice Write a cell.
    """
    ledger._store_cell(market, is_long, band, epoch, scale, cell)


@external
def put_position(account: bytes32, market: uint256, fields: words.Position):
    """
    @notice Write a position.
    """
    ledger._store_position(account, market, fields)


@external
@view
def read_leg(account: bytes32, market: uint256, funding: int256) -> bands.Leg:
    """
    @notice `bands._read_leg`.
    """
    return bands._read_leg(account, market, funding)


@external
def place(account: bytes32, market: uint256, size: int256, entry: uint256, band: uint256):
    """
    @notice `bands._place` on top of what the account has, its pending cash paid before.
    """
    m: words.Market = ledger._load_market(market)
    word: words.Account = ledger._load_account(account)
    leg: bands.Leg = bands._read_leg(account, market, m.funding)
    word.cash += leg.pending
    m.pot -= leg.pending
    m, word = bands._place(m, market, account, word, leg, size, entry, band)
    ledger._store_account(account, word)
    ledger._store_market(market, m)


@external
def deleverage(market: uint256, is_long: bool, band: uint256, size: uint256, quote: int256):
    """
    @notice `bands._deleverage_band`.
    """
    ledger._store_market(
        market, bands._deleverage_band(ledger._load_market(market), market, is_long, band, size, quote)
    )
