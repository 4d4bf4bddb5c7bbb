"""Signed orders, in lanes. Mirror of ``contracts/Orders.vy``.

``salt`` is ``lane << 64 | seq``. Per account and lane one word, ``seq << 192 | filled``, remembers the highest seq
that traded or was cancelled. A trade at a higher seq kills all lower ones of its lane; orders of one account that
share a salt share one filled amount.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any, Protocol

from eth_hash.auto import keccak
from eth_keys.datatypes import PrivateKey
from eth_keys.datatypes import Signature as KeySignature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from python_ref.constants import FLAG_BUYER_IS_TAKER, FLAG_BUYER_REDUCE_ONLY, FLAG_SELLER_REDUCE_ONLY, MAX_SIZE
from python_ref.world import Revert, World, require

DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
DOMAIN_NAME = b"Waterfall Orders"
DOMAIN_VERSION = b"1"
ORDER_TYPE = (
    b"Order(bytes32 account,uint256 market,bool is_buy,uint256 size,uint256 limit_price,bool reduce_only,"
    b"uint256 expiry,uint256 claim_epoch,uint256 salt)"
)

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order n of secp256k1."""

MAX_S = CURVE_ORDER // 2
"""Of the two signatures (r, s) and (r, n - s) only the lower is accepted."""

SEQ_BITS = 64
FILLED_BITS = 192

DEAD = 2**192 - 1
"""Filled amount that no order can reach: the mark of a cancelled seq."""

MAX_BATCH = 32
"""Salts that one ``cancel_many`` takes."""


@dataclass(frozen=True)
class Order:
    """What an account consents to. ``size`` and ``limit_price`` are WAD, ``expiry`` is the last second of life."""

    account: bytes
    market: int
    is_buy: bool
    size: int
    limit_price: int
    reduce_only: bool
    expiry: int
    claim_epoch: int
    salt: int


@dataclass(frozen=True)
class Signature:
    """An ECDSA signature over secp256k1; ``v`` is 27 or 28."""

    v: int
    r: int
    s: int


class ClearingHouse(Protocol):
    """What the orders need of the clearing house."""

    def is_authorised(self, sender: str, owner: str, actor: str) -> bool:
        """Whether ``actor`` is ``owner`` or an operator of his."""

    def claim_epoch(self, sender: str) -> int:
        """How many times claims were cut."""

    def fill(self, sender: str, market: int, buyer: bytes, seller: bytes, size: int, price: int, flags: int) -> int:
        """Book a trade; the size that was let through, WAD."""


def _hash_words(*words: int | bytes) -> bytes:
    """Keccak of words, numbers and booleans big-endian."""
    return keccak(b"".join(word if isinstance(word, bytes) else word.to_bytes(32, "big") for word in words))


@lru_cache(maxsize=8)
def hash_domain(chain_id: int, verifying_contract: str) -> bytes:
    """The EIP-712 domain separator; kept, because every order of a run asks for the same one."""
    hashes = keccak(DOMAIN_TYPE), keccak(DOMAIN_NAME), keccak(DOMAIN_VERSION)
    return _hash_words(*hashes, chain_id, int(verifying_contract, 16))


def hash_order(order: Order, chain_id: int, verifying_contract: str) -> bytes:
    """The digest that is signed, by the text of EIP-712."""
    struct = _hash_words(keccak(ORDER_TYPE), *astuple(order))
    return keccak(b"\x19\x01" + hash_domain(chain_id, verifying_contract) + struct)


def sign_order(order: Order, private_key: bytes, chain_id: int, verifying_contract: str) -> tuple[int, int, int]:
    """Sign ``order``: (v, r, s), deterministic (RFC 6979), s in the lower half."""
    signature = PrivateKey(private_key).sign_msg_hash(hash_order(order, chain_id, verifying_contract))
    return signature.v + 27, signature.r, signature.s


@lru_cache(maxsize=4096)
def recover(digest: bytes, v: int, r: int, s: int) -> str | None:
    """Address that signed ``digest``, as the precompile at 0x01 finds it; None where that answers nothing.

    Kept, because without a native library one recovery takes some 6 ms and an order trades several times.
    """
    if v not in (27, 28):
        return None
    try:
        signature = KeySignature(vrs=(v - 27, r, s))
        return signature.recover_public_key_from_msg_hash(digest).to_address()
    except (BadSignature, ValidationError):
        return None


class Orders:
    """The contract ``Orders`` on chain ``chain_id`` at ``address``. Words: ``("Orders", "lanes", account, lane)``."""

    def __init__(self, world: World, clearing_house: ClearingHouse, address: str, chain_id: int) -> None:
        self.world = world
        self.clearing_house = clearing_house
        self.address = address
        self.chain_id = chain_id

    def settle_orders(
        self, sender: str, maker: Order, maker_sig: Signature, taker: Order, taker_sig: Signature, size: int
    ) -> int:
        """Trade a crossing pair at the maker's limit price, at most ``size`` (WAD); the size that traded.

        Reverts with the reasons of :meth:`_admit` for maker, then taker, and of :meth:`_fill`; before them
        ``orders: markets differ``, ``orders: same side``, ``orders: prices do not cross``.
        """
        require(maker.market == taker.market, "orders: markets differ")
        require(maker.is_buy != taker.is_buy, "orders: same side")
        if taker.is_buy:
            require(taker.limit_price >= maker.limit_price, "orders: prices do not cross")
        else:
            require(taker.limit_price <= maker.limit_price, "orders: prices do not cross")

        maker_hash, maker_done = self._admit(maker, maker_sig)
        taker_hash, taker_done = self._admit(taker, taker_sig)

        epoch = self.clearing_house.claim_epoch(self.address)
        filled = self._fill(
            maker,
            taker.account,
            min(size, maker.size - maker_done, taker.size - taker_done),
            maker.reduce_only or maker.claim_epoch != epoch,
            taker.reduce_only or taker.claim_epoch != epoch,
        )
        self._book(maker, maker_hash, maker_done + filled, filled, maker.limit_price)
        self._book(taker, taker_hash, taker_done + filled, filled, maker.limit_price)
        return filled

    def take(
        self, sender: str, maker: Order, maker_sig: Signature, account: bytes, size: int, reduce_only: bool
    ) -> int:
        """Trade ``account`` of the sender against ``maker`` at its limit price, at most ``size`` (WAD).

        Reverts ``orders: not authorised``, then with the reasons of :meth:`_admit` and :meth:`_fill`.
        """
        self._check_actor(sender, account)
        maker_hash, maker_done = self._admit(maker, maker_sig)
        epoch = self.clearing_house.claim_epoch(self.address)
        filled = self._fill(
            maker,
            account,
            min(size, maker.size - maker_done),
            maker.reduce_only or maker.claim_epoch != epoch,
            reduce_only,
        )
        self._book(maker, maker_hash, maker_done + filled, filled, maker.limit_price)
        return filled

    def cancel(self, sender: str, account: bytes, salt: int) -> None:
        """Kill the order with ``salt`` and every lower seq of its lane; ``orders: not authorised`` for strangers."""
        self._check_actor(sender, account)
        self._cancel(account, salt)

    def cancel_many(self, sender: str, account: bytes, salts: list[int]) -> None:
        """:meth:`cancel` for each of ``salts``, at most ``MAX_BATCH``."""
        require(len(salts) <= MAX_BATCH, "")
        self._check_actor(sender, account)
        for salt in salts:
            self._cancel(account, salt)

    def remaining(self, order: Order) -> int:
        """What the lane leaves of ``order``, WAD; looks at neither expiry nor signature."""
        return max(0, order.size - self._get_filled(order.account, order.salt))

    def order_hash(self, order: Order) -> bytes:
        """The digest that is signed, and that ``OrderFilled`` carries."""
        return hash_order(order, self.chain_id, self.address)

    def domain_separator(self) -> bytes:
        """The EIP-712 domain separator on this chain."""
        return hash_domain(self.chain_id, self.address)

    def lanes(self, account: bytes, lane: int) -> int:
        """The word of a lane."""
        return self.world.get(("Orders", "lanes", account, lane))

    def _admit(self, order: Order, sig: Signature) -> tuple[bytes, int]:
        """Digest and filled amount (WAD) of an order that is live and truly signed; reverts otherwise."""
        require(self.world.now <= order.expiry, "orders: expired")
        require(order.size != 0, "orders: zero size")
        require(order.size <= MAX_SIZE, "orders: size too large")
        done = self._get_filled(order.account, order.salt)
        require(done != DEAD, "orders: cancelled or superseded")
        require(done < order.size, "orders: filled")

        digest = self.order_hash(order)
        require(sig.s <= MAX_S, "orders: malleable signature")
        signer = recover(digest, sig.v, sig.r, sig.s)
        if signer is None:
            raise Revert("orders: bad signature")
        owner = _owner_of(order.account)
        if signer != owner:
            require(self.clearing_house.is_authorised(self.address, owner, signer), "orders: wrong signer")
        return digest, done

    def _fill(self, maker: Order, taker: bytes, size: int, maker_reduces: bool, taker_reduces: bool) -> int:
        """Book a trade at the maker's price; the size (WAD) that the clearing house let through."""
        require(maker.account != taker, "orders: same account")
        require(size != 0, "orders: zero size")
        if maker.is_buy:
            buyer, buyer_reduces, seller, seller_reduces = maker.account, maker_reduces, taker, taker_reduces
            flags = 0
        else:
            buyer, buyer_reduces, seller, seller_reduces = taker, taker_reduces, maker.account, maker_reduces
            flags = FLAG_BUYER_IS_TAKER
        if buyer_reduces:
            flags |= FLAG_BUYER_REDUCE_ONLY
        if seller_reduces:
            flags |= FLAG_SELLER_REDUCE_ONLY
        filled = self.clearing_house.fill(self.address, maker.market, buyer, seller, size, maker.limit_price, flags)
        require(filled != 0, "orders: nothing filled")
        require(filled <= size, "orders: overfilled")
        return filled

    def _book(self, order: Order, digest: bytes, filled_total: int, size: int, price: int) -> None:
        """Remember a trade in the order's lane and log it."""
        self._write(order.account, order.salt, filled_total)
        fields: dict[str, Any] = {
            "order_hash": digest,
            "account": order.account,
            "market": order.market,
            "is_buy": order.is_buy,
            "size": size,
            "price": price,
            "filled_total": filled_total,
        }
        self.world.emit("Orders", "OrderFilled", **fields)

    def _cancel(self, account: bytes, salt: int) -> None:
        """Mark a seq, and so all below it in its lane, as dead; nothing where it is dead already."""
        if self._get_filled(account, salt) != DEAD:
            self._write(account, salt, DEAD)
            self.world.emit("Orders", "OrderCancelled", account=account, salt=salt)

    def _check_actor(self, sender: str, account: bytes) -> None:
        """Revert unless ``sender`` is owner or operator of ``account``."""
        owner = _owner_of(account)
        if sender != owner:
            require(self.clearing_house.is_authorised(self.address, owner, sender), "orders: not authorised")

    def _get_filled(self, account: bytes, salt: int) -> int:
        """Filled amount of a salt, WAD; DEAD if it is cancelled or a higher seq of its lane has traded."""
        word = self.lanes(account, salt >> SEQ_BITS)
        last = word >> FILLED_BITS
        seq = salt % 2**SEQ_BITS
        if seq > last:
            return 0
        return DEAD if seq < last else word & DEAD

    def _write(self, account: bytes, salt: int, filled: int) -> None:
        """Set the word of a salt's lane."""
        self.world.set(("Orders", "lanes", account, salt >> SEQ_BITS), salt % 2**SEQ_BITS << FILLED_BITS | filled)


def _owner_of(account: bytes) -> str:
    """Owner of an account: its first 20 bytes."""
    return "0x" + account[:20].hex()
