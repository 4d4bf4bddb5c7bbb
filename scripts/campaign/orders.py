"""Signed orders in a walk: resting, taken in parts, crossed, cancelled, replayed, forged."""

from __future__ import annotations

from dataclasses import dataclass, replace

from python_ref.orders import Order, Signature, sign_order
from scripts.campaign.operations import Operations
from scripts.campaign.walk import OPERATOR, STRANGER
from scripts.chain import CHAIN_ID
from scripts.system import KEEPER

SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass
class Resting:
    """An order that somebody has signed, and whose it is."""

    order: Order
    signature: Signature
    trader: int


class OrderBook:
    """The signed orders of one walk; what becomes of them is for the contracts to say."""

    def __init__(self, ops: Operations) -> None:
        self.ops = ops
        self.resting: list[Resting] = []
        self._seqs: dict[tuple[int, int], int] = {}

    def sign(
        self,
        trader: int,
        market: int,
        size: int,
        price: int,
        *,
        lane: int = 0,
        seq: int | None = None,
        reduce_only: bool = False,
        life: int = 3_600,
        signer: int | None = None,
        subaccount: int = 0,
    ) -> Resting:
        """An order of ``trader``, a buy for positive ``size`` (lots apart, as given); its seq is the lane's next."""
        ops = self.ops
        place = (trader * 2 + subaccount, lane)
        number = self._seqs.get(place, 0) + 1 if seq is None else seq
        self._seqs[place] = max(number, self._seqs.get(place, 0))
        order = Order(
            account=ops.traders[trader].account(subaccount),
            market=market,
            is_buy=size > 0,
            size=abs(size),
            limit_price=price,
            reduce_only=reduce_only,
            expiry=ops.now + life,
            claim_epoch=ops.seen.domain.claim_epoch,
            salt=lane << 64 | number,
        )
        by = ops.traders[trader if signer is None else signer]
        signature = Signature(*sign_order(order, by.key, CHAIN_ID, ops.system.orders.address))
        resting = Resting(order, signature, trader)
        self.resting = [*self.resting[-11:], resting]
        return resting

    def take(
        self, resting: Resting, taker: int, size: int, reduce_only: bool = False, by_operator: bool = False
    ) -> bool:
        """A trader, or the operator for him, takes ``size`` of an order."""
        ops = self.ops
        account = ops.traders[taker].account()
        sender = OPERATOR if by_operator else ops.traders[taker].address
        acted = [resting.order.account, account]
        return ops.step(
            "Orders", "take", sender, resting.order, resting.signature, account, size, reduce_only, acted=acted
        ).ok

    def cross(self, maker: Resting, taker: Resting, size: int) -> bool:
        """Anybody settles two orders."""
        acted = [maker.order.account, taker.order.account]
        return self.ops.step(
            "Orders",
            "settle_orders",
            KEEPER,
            maker.order,
            maker.signature,
            taker.order,
            taker.signature,
            size,
            acted=acted,
        ).ok

    def cancel(self, resting: Resting, how: str) -> bool:
        """By the owner ("one"), in a batch with the neighbours ("many"), or by a stranger."""
        account, salt = resting.order.account, resting.order.salt
        owner = self.ops.traders[resting.trader].address
        if how == "many":
            return self.ops.step("Orders", "cancel_many", owner, account, (salt, salt, salt + 1 << 64)).ok
        return self.ops.step("Orders", "cancel", STRANGER if how == "stranger" else owner, account, salt).ok

    def forged(self, resting: Resting, how: str) -> Resting:
        """The same order with something wrong about it: what ``how`` says."""
        order, signature = resting.order, resting.signature
        if how == "malleable":
            signature = Signature(55 - signature.v, signature.r, SECP256K1_N - signature.s)
        elif how == "bad signature":
            signature = Signature(29, signature.r, signature.s)
        elif how == "wrong signer":
            order = replace(order, size=order.size + 1)
        elif how == "expired":
            order = replace(order, expiry=self.ops.now - 1)
        elif how == "zero size":
            order = replace(order, size=0)
        elif how == "too large":
            order = replace(order, size=10**30 + 1)
        elif how == "other market":
            order = replace(order, market=(order.market + 1) % self.ops.n_markets)
        else:
            raise ValueError(f"no way to forge: {how}")
        return Resting(order, signature, resting.trader)
