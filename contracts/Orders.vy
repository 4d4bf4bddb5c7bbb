# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Signed orders, in lanes
@license MIT
@notice An order is signed off chain (EIP-712) by an account's owner or operator. Anyone may settle a crossing
        pair; an account may take a resting order directly. Trades happen at the maker's limit price.
@dev `salt` is lane << 64 | seq. Per account and lane one word remembers the highest seq that traded or was
     cancelled, and how much of it is filled: reusing the slot makes a new order cost an update instead of a new
     slot. So a trade at a higher seq kills all lower ones of its lane, and orders of one account that share a
     salt share one filled amount. Orders that must live side by side take different lanes.
     This contract judges consent only; margin, price band and reduce-only are judged by the clearing house.
     Mirror: `python_ref/orders.py`.
"""

from contracts.interfaces import IClearingHouse
from contracts.modules import constants as c


struct Order:
    account: bytes32
    market: uint256
    is_buy: bool
    size: uint256
    limit_price: uint256
    reduce_only: bool
    expiry: uint256
    claim_epoch: uint256
    salt: uint256


struct Signature:
    v: uint256
    r: uint256
    s: uint256


event OrderFilled:
    order_hash: indexed(bytes32)
    account: indexed(bytes32)
    market: uint256
    is_buy: bool
    size: uint256
    price: uint256
    filled_total: uint256


event OrderCancelled:
    account: indexed(bytes32)
    salt: uint256


DOMAIN_TYPEHASH: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
NAME_HASH: constant(bytes32) = keccak256("Waterfall Orders")
VERSION_HASH: constant(bytes32) = keccak256("1")
ORDER_TYPEHASH: constant(bytes32) = keccak256(
    "Order(bytes32 account,uint256 market,bool is_buy,uint256 size,uint256 limit_price,bool reduce_only,uint256 expiry,uint256 claim_epoch,uint256 salt)"
)

# Half the order of secp256k1: of the two signatures (r, s) and (r, n - s) only the lower is accepted.
MAX_S: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168

SEQ_BITS: constant(uint256) = 64
FILLED_BITS: constant(uint256) = 192
# Filled amount that no order can reach: the mark of a cancelled seq.
DEAD: constant(uint256) = 2**192 - 1
MAX_BATCH: constant(uint256) = 32

# Where trades are booked and operators are known.
CLEARING_HOUSE: immutable(IClearingHouse)
# Chain of the deployment; a fork with another id must not honour the cached separator.
CHAIN_ID: immutable(uint256)
# EIP-712 domain separator on that chain, cached because every signature needs it.
DOMAIN_SEPARATOR: immutable(bytes32)

# seq << 192 | filled (WAD) by account and lane: the highest seq that traded or was cancelled.
lanes: public(HashMap[bytes32, HashMap[uint256, uint256]])


@deploy
def __init__(clearing_house: IClearingHouse):
    """
    @param clearing_house Where trades are booked; it must make this contract a filler.
    """
    CLEARING_HOUSE = clearing_house
    CHAIN_ID = chain.id
    DOMAIN_SEPARATOR = self._compute_separator()


@external
def settle_orders(
    maker: Order, maker_sig: Signature, taker: Order, taker_sig: Signature, size: uint256
) -> uint256:
    """
    @notice Trade a crossing pair of signed orders at the maker's limit price; anyone.
    @param size Most to trade, WAD; clamped to what is left of both orders.
    @return Size that traded, WAD.
    """
    assert maker.market == taker.market, "orders: markets differ"
    assert maker.is_buy != taker.is_buy, "orders: same side"
    if taker.is_buy:
        assert taker.limit_price >= maker.limit_price, "orders: prices do not cross"
    else:
        assert taker.limit_price <= maker.limit_price, "orders: prices do not cross"

    maker_hash: bytes32 = empty(bytes32)
    maker_done: uint256 = 0
    maker_hash, maker_done = self._admit(maker, maker_sig)
    taker_hash: bytes32 = empty(bytes32)
    taker_done: uint256 = 0
    taker_hash, taker_done = self._admit(taker, taker_sig)

    epoch: uint256 = staticcall CLEARING_HOUSE.claim_epoch()
    filled: uint256 = self._fill(
        maker,
        taker.account,
        min(size, min(maker.size - maker_done, taker.size - taker_done)),
        maker.reduce_only or maker.claim_epoch != epoch,
        taker.reduce_only or taker.claim_epoch != epoch,
    )
    self._book(maker, maker_hash, maker_done + filled, filled, maker.limit_price)
    self._book(taker, taker_hash, taker_done + filled, filled, maker.limit_price)
    return filled


@external
def take(maker: Order, maker_sig: Signature, account: bytes32, size: uint256, reduce_only: bool) -> uint256:
    """
    @notice Trade against a signed order at its limit price; the caller is owner or operator of `account`.
    @param size Most to trade, WAD; clamped to what is left of the order.
    @param reduce_only Whether the caller's side may only reduce.
    @return Size that traded, WAD.
    """
    self._check_actor(account)
    maker_hash: bytes32 = empty(bytes32)
    maker_done: uint256 = 0
    maker_hash, maker_done = self._admit(maker, maker_sig)
    # The taker sees today's claims, so only the maker's consent can be out of date (rule 5).
    epoch: uint256 = staticcall CLEARING_HOUSE.claim_epoch()
    filled: uint256 = self._fill(
        maker,
        account,
        min(size, maker.size - maker_done),
        maker.reduce_only or maker.claim_epoch != epoch,
        reduce_only,
    )
    self._book(maker, maker_hash, maker_done + filled, filled, maker.limit_price)
    return filled


@external
def cancel(account: bytes32, salt: uint256):
    """
    @notice Kill the order with `salt` and every lower seq of its lane; owner or operator of `account`.
    @dev What is dead already stays so without an event: a cancel that races a trade must not fail.
    """
    self._check_actor(account)
    self._cancel(account, salt)


@external
def cancel_many(account: bytes32, salts: DynArray[uint256, MAX_BATCH]):
    """
    @notice `cancel` for each of `salts`.
    """
    self._check_actor(account)
    for salt: uint256 in salts:
        self._cancel(account, salt)


@view
@external
def remaining(order: Order) -> uint256:
    """
    @notice What the lane leaves of an order, WAD; zero if filled, cancelled or superseded.
    @dev Looks at neither expiry nor signature. Locked like every writer, because a lane is behind while it trades.
    """
    done: uint256 = self._get_filled(order.account, order.salt)
    if done >= order.size:
        return 0
    return order.size - done


@view
@external
@reentrant
def order_hash(order: Order) -> bytes32:
    """
    @notice The EIP-712 digest that is signed, and that `OrderFilled` carries.
    @dev Reads no storage, so the lock would protect nothing.
    """
    return self._hash(keccak256(abi_encode(ORDER_TYPEHASH, order)))


@view
@external
@reentrant
def domain_separator() -> bytes32:
    """
    @notice The EIP-712 domain separator on this chain.
    @dev Reads no storage, so the lock would protect nothing.
    """
    return self._get_separator()


@internal
@view
def _admit(order: Order, sig: Signature) -> (bytes32, uint256):
    """
    @notice Digest and filled amount of an order that is live and truly signed; reverts otherwise.
    """
    assert block.timestamp <= order.expiry, "orders: expired"
    assert order.size != 0, "orders: zero size"
    assert order.size <= c.MAX_SIZE, "orders: size too large"
    done: uint256 = self._get_filled(order.account, order.salt)
    assert done != DEAD, "orders: cancelled or superseded"
    assert done < order.size, "orders: filled"

    # A static struct is encoded in place, so this is EIP-712's encoding word for word.
    digest: bytes32 = self._hash(keccak256(abi_encode(ORDER_TYPEHASH, order)))
    assert sig.s <= MAX_S, "orders: malleable signature"
    # The precompile answers nothing, read as zero, for every v but 27 and 28; account 0… has no owner.
    signer: address = ecrecover(digest, sig.v, sig.r, sig.s)
    assert signer != empty(address), "orders: bad signature"
    owner: address = self._get_owner(order.account)
    if signer != owner:
        assert staticcall CLEARING_HOUSE.is_authorised(owner, signer), "orders: wrong signer"
    return digest, done


@internal
def _fill(
    maker: Order,
    taker: bytes32,
    size: uint256,
    maker_reduces: bool,
    taker_reduces: bool,
) -> uint256:
    """
    @notice Book a trade at the maker's price; the size that the clearing house let through.
    @dev The lanes are written after this call, since only its answer says by how much. Until then they are behind,
         which nobody can use: every function that reads or writes a lane is under the same lock as the caller.
    """
    assert maker.account != taker, "orders: same account"
    assert size != 0, "orders: zero size"
    buyer: bytes32 = maker.account
    seller: bytes32 = taker
    buyer_reduces: bool = maker_reduces
    seller_reduces: bool = taker_reduces
    flags: uint256 = 0
    if not maker.is_buy:
        buyer = taker
        seller = maker.account
        buyer_reduces = taker_reduces
        seller_reduces = maker_reduces
        flags = c.FLAG_BUYER_IS_TAKER
    if buyer_reduces:
        flags |= c.FLAG_BUYER_REDUCE_ONLY
    if seller_reduces:
        flags |= c.FLAG_SELLER_REDUCE_ONLY
    filled: uint256 = extcall CLEARING_HOUSE.fill(maker.market, buyer, seller, size, maker.limit_price, flags)
    # A trade of nothing would let a stranger supersede lower seqs for free.
    assert filled != 0, "orders: nothing filled"
    # No signer consented to more, whatever the clearing house says.
    assert filled <= size, "orders: overfilled"
    return filled


@internal
def _book(order: Order, digest: bytes32, filled_total: uint256, size: uint256, price: uint256):
    """
    @notice Remember a trade in the order's lane and log it.
    """
    # The shift drops the lane and keeps the seq.
    self.lanes[order.account][order.salt >> SEQ_BITS] = order.salt << FILLED_BITS | filled_total
    log OrderFilled(
        order_hash=digest,
        account=order.account,
        market=order.market,
        is_buy=order.is_buy,
        size=size,
        price=price,
        filled_total=filled_total,
    )


@internal
def _cancel(account: bytes32, salt: uint256):
    """
    @notice Mark a seq, and so all below it in its lane, as dead.
    """
    if self._get_filled(account, salt) != DEAD:
        self.lanes[account][salt >> SEQ_BITS] = salt << FILLED_BITS | DEAD
        log OrderCancelled(account=account, salt=salt)


@internal
@view
def _check_actor(account: bytes32):
    """
    @notice Revert unless the caller is owner or operator of the account.
    """
    owner: address = self._get_owner(account)
    if msg.sender != owner:
        assert staticcall CLEARING_HOUSE.is_authorised(owner, msg.sender), "orders: not authorised"


@internal
@view
def _get_filled(account: bytes32, salt: uint256) -> uint256:
    """
    @notice Filled amount of a salt, WAD; DEAD if it is cancelled or a higher seq of its lane has traded.
    """
    word: uint256 = self.lanes[account][salt >> SEQ_BITS]
    last: uint256 = word >> FILLED_BITS
    seq: uint256 = salt & (2**64 - 1)
    if seq > last:
        return 0
    if seq < last:
        return DEAD
    return word & DEAD


@internal
@view
def _hash(struct_hash: bytes32) -> bytes32:
    """
    @notice EIP-712 digest over the hash of a typed struct.
    """
    return keccak256(concat(b"\x19\x01", self._get_separator(), struct_hash))


@internal
@view
def _get_separator() -> bytes32:
    """
    @notice Domain separator on this chain: the cached one unless the chain forked off under another id.
    """
    if chain.id == CHAIN_ID:
        return DOMAIN_SEPARATOR
    return self._compute_separator()


@internal
@view
def _compute_separator() -> bytes32:
    """
    @notice EIP-712 domain separator for this chain and contract.
    """
    return keccak256(abi_encode(DOMAIN_TYPEHASH, NAME_HASH, VERSION_HASH, chain.id, self))


@internal
@pure
def _get_owner(account: bytes32) -> address:
    """
    @notice Owner of an account: its high 20 bytes.
    """
    return convert(convert(account, uint256) >> 96, address)
