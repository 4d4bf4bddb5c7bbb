# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title ClearingHouse
@license MIT
@notice Holds all collateral of one solvency domain and is the only contract that writes balances: custody
        and trades here; the colder stages in delegates (LiquidationDesk, DefaultManager,
        RebaseManager, AccountDesk, MarketAdmin), which run in this storage by delegatecall. SPEC sections 0, 2 and 6.
@dev Not upgradeable: the delegates are fixed at deployment. Mirror: `python_ref/clearing_house.py`.
@custom:kill Nothing stops it. Opens stop where the oracle is not LIVE; exempt withdrawals never do, and deposits only
             for an account with a leg in a market that is being claimed (SPEC section 15).
"""

from ethereum.ercs import IERC20

from contracts.interfaces import IPriceOracle
from contracts.modules import bands
from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import ledger
from contracts.modules import margin
from contracts.modules import words

initializes: ledger
initializes: bands[ledger := ledger]
initializes: margin[ledger := ledger, bands := bands]


event Deposited:
    account: indexed(bytes32)
    amount: uint256
    late: bool


event Traded:
    market: indexed(uint256)
    buyer: indexed(bytes32)
    seller: indexed(bytes32)
    size: uint256
    price: uint256
    quote: uint256
    buyer_fee: uint256
    seller_fee: uint256


# delegates: they run in this storage, by delegatecall
LIQUIDATION_DESK: immutable(address)
DEFAULT_MANAGER: immutable(address)
REBASE_MANAGER: immutable(address)
ACCOUNT_DESK: immutable(address)


@deploy
def __init__(
    token: address,
    decimals: uint256,
    oracle: address,
    governor: address,
    liquidation_desk: address,
    default_manager: address,
    rebase_manager: address,
    account_desk: address,
):
    """
    @param token Collateral, an ERC-20 of at most 18 decimals; no fee on transfer, no rebasing.
    @param decimals Its decimals.
    @param oracle The price oracle (IPriceOracle).
    @param governor May list markets and change parameters.
    @param liquidation_desk Delegate for `liquidate` and `liquidate_batch`.
    @param default_manager Delegate for `resolve`.
    @param rebase_manager Delegate for `rebase_claims`, `sweep_fees`, `repay_bad_debt` and `claim`.
    @param account_desk Delegate for all else; it forwards to the MarketAdmin.
    """
    ledger.__init__(token, decimals, oracle)
    ledger.governor = governor
    ledger.global_words[0] = c.INDEX_ONE
    assert liquidation_desk.is_contract and default_manager.is_contract, "ledger: delegate"
    assert rebase_manager.is_contract and account_desk.is_contract, "ledger: delegate"
    LIQUIDATION_DESK = liquidation_desk
    DEFAULT_MANAGER = default_manager
    REBASE_MANAGER = rebase_manager
    ACCOUNT_DESK = account_desk


@external
@reentrant
@raw_return
def __default__() -> Bytes[8256]:
    """
    @notice Forward to the delegates, in this contract's storage; their functions lock themselves.
    """
    selector: bytes4 = convert(slice(msg.data, 0, 4), bytes4)
    delegate: address = ACCOUNT_DESK
    if selector == method_id("liquidate(bytes32,uint256,bytes32,uint256)", output_type=bytes4):
        delegate = LIQUIDATION_DESK
    elif selector == method_id("resolve(bytes32,bytes32[])", output_type=bytes4):
        delegate = DEFAULT_MANAGER
    elif selector == method_id("liquidate_batch(bytes32[],uint256,bytes32,uint256)", output_type=bytes4):
        delegate = LIQUIDATION_DESK
    elif selector in [
        method_id("rebase_claims()", output_type=bytes4),
        method_id("sweep_fees(uint256)", output_type=bytes4),
        method_id("repay_bad_debt(bytes32,uint256)", output_type=bytes4),
        method_id("claim(bytes32,uint256)", output_type=bytes4),
    ]:
        delegate = REBASE_MANAGER
    if delegate != ACCOUNT_DESK:
        # these answer one word at most; memory for what only the raw getters return would cost 900 gas
        return raw_call(delegate, msg.data, is_delegate_call=True, max_outsize=32)
    return raw_call(delegate, msg.data, is_delegate_call=True, max_outsize=8256)


# ---- custody -------------------------------------------------------------------------------------


@external
@view
@reentrant
def is_authorised(owner: address, actor: address) -> bool:
    """
    @notice Whether `actor` is `owner` or an operator he approved.
    """
    return ledger._is_authorised(owner, actor)


@external
def deposit(account: bytes32, amount: uint256):
    """
    @notice Pull `amount` token atoms from the sender into `account`, of which he is owner or operator.
    """
    ledger._only_authorised(account)
    assert amount > 0, "ledger: zero amount"
    late: bool = ledger._credit(account, amount * ledger.UNIT)
    before: uint256 = staticcall IERC20(ledger.TOKEN).balanceOf(self)
    assert extcall IERC20(ledger.TOKEN).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "token: transfer failed"
    assert staticcall IERC20(ledger.TOKEN).balanceOf(self) - before == amount, "token: fee on transfer"
    log Deposited(account=account, amount=amount, late=late)


# ---- trades --------------------------------------------------------------------------------------


@external
def fill(market: uint256, buyer: bytes32, seller: bytes32, size: uint256, price: uint256, flags: uint256) -> uint256:
    """
    @notice Trade `size` real at `price` between two accounts, settled by a filler contract (SPEC section 6).
    @param flags 1 buyer reduces only, 2 seller reduces only, 4 the buyer is the taker.
    @return The real size filled.
    """
    assert ledger.fillers[msg.sender], "ledger: not a filler"
    assert buyer != seller, "fill: same account"
    assert size > 0 and size <= c.MAX_SIZE, "fill: size"
    venue: margin.Venue = empty(margin.Venue)
    m: words.Market = empty(words.Market)
    venue, m = margin._open_to_trade(market)
    assert price * c.PPM >= venue.prices.low * (c.PPM - words._fill_band(venue.risk_word)), "fill: price below band"
    assert price * c.PPM <= venue.prices.high * (c.PPM + words._fill_band(venue.risk_word)), "fill: price above band"
    # what a clamped fill left of a reduce-only order need not be whole lots
    assert flags & 3 != 0 or size % 10**venue.limits.lot_exp == 0, "fill: lot"
    buyer_word: words.Account = ledger._ready(buyer)
    seller_word: words.Account = ledger._ready(seller)
    buyer_leg: bands.Leg = bands._read_leg(buyer, market, m.funding)
    seller_leg: bands.Leg = bands._read_leg(seller, market, m.funding)
    asked: uint256 = fixed_math._mul_div_down(size, c.INDEX_ONE, venue.claim_index)
    gons: uint256 = asked
    if flags & c.FLAG_BUYER_REDUCE_ONLY != 0:
        gons = min(gons, convert(max(0, -buyer_leg.size), uint256))
    if flags & c.FLAG_SELLER_REDUCE_ONLY != 0:
        gons = min(gons, convert(max(0, seller_leg.size), uint256))
    assert gons > 0, "fill: nothing to fill"
    filled: uint256 = size
    if gons != asked:
        filled = fixed_math._mul_div_up(gons, venue.claim_index, c.INDEX_ONE)
    quote: uint256 = fixed_math._mul_div_down(gons, price, c.WAD)
    buyer_fee: uint256 = fixed_math._mul_div_up(quote, words._maker_fee(venue.risk_word), c.PPM)
    seller_fee: uint256 = fixed_math._mul_div_up(quote, words._taker_fee(venue.risk_word), c.PPM)
    if flags & c.FLAG_BUYER_IS_TAKER != 0:
        maker_fee: uint256 = buyer_fee
        buyer_fee = seller_fee
        seller_fee = maker_fee
    before: uint256 = m.oi
    change: int256 = convert(gons, int256)
    m = margin._trade(
        venue, m, buyer, buyer_word, buyer_leg, change, -convert(quote + buyer_fee, int256), price
    )
    m = margin._trade(
        venue, m, seller, seller_word, seller_leg, -change, convert(quote, int256) - convert(seller_fee, int256), price
    )
    margin._oi_within_cap(venue, m.oi, before)
    m.fees += buyer_fee + seller_fee
    index: int256 = convert(venue.prices.index, int256)
    premium: int256 = (convert(price, int256) - index) * convert(c.PPM, int256) // index
    most: int256 = convert(c.MAX_PREMIUM_PPM, int256)
    m.sample = max(-most, min(most, premium))
    ledger._store_market(market, m)
    extcall IPriceOracle(ledger.ORACLE).report(market, price)
    log Traded(
        market=market,
        buyer=buyer,
        seller=seller,
        size=gons,
        price=price,
        quote=quote,
        buyer_fee=buyer_fee,
        seller_fee=seller_fee,
    )
    return filled


@external
@view
@reentrant
def claim_epoch() -> uint256:
    """
    @notice Rebases so far.
    """
    return ledger.global_words[0] >> 240
