"""The hot path: deposits and trades. SPEC §2, §6.

Mirror of ``contracts/ClearingHouse.vy``. It inherits what the contract forwards to its delegates.
"""

from __future__ import annotations

from python_ref import constants as c
from python_ref.default_manager import Registry
from python_ref.fixed_math import mul_div_down, mul_div_up, uint
from python_ref.ledger import OracleLike, TokenLike
from python_ref.liquidation_desk import LiquidationDesk
from python_ref.liquidation_engine import LiquidationEngine
from python_ref.world import World, require


class ClearingHouse(LiquidationDesk):
    """One solvency domain: all collateral, accounts and markets."""

    def __init__(
        self,
        world: World,
        address: str,
        token: TokenLike,
        decimals: int,
        oracle: OracleLike,
        governor: str,
        registry: Registry,
        engine: LiquidationEngine,
    ) -> None:
        super().__init__(world, address, token, decimals, oracle, governor)
        self.registry = registry
        self.engine = engine

    # ---- custody -----------------------------------------------------------------------------------

    def deposit(self, sender: str, account: bytes, amount: int) -> None:
        """Pull ``amount`` atoms from the sender into ``account``; a token that takes a fee is refused."""
        self._only_authorised(sender, account)
        require(amount > 0, "ledger: zero amount")
        late = self._credit(account, uint(amount * self.unit))
        self._pull(sender, amount)
        self._emit("Deposited", account=account, amount=amount, late=late)

    def _pull(self, sender: str, amount: int) -> None:
        before = self.token.balanceOf(self.address, self.address)
        moved = self.token.transferFrom(self.address, sender, self.address, amount)
        require(moved is not False, "token: transfer failed")
        after = self.token.balanceOf(self.address, self.address)
        require(after - before == amount, "token: fee on transfer")

    # ---- trades ------------------------------------------------------------------------------------

    def fill(self, sender: str, market: int, buyer: bytes, seller: bytes, size: int, price: int, flags: int) -> int:
        """Trade ``size`` real at ``price`` between two accounts; returns the real size filled. SPEC §6."""
        require(bool(self._get("fillers", sender)), "ledger: not a filler")
        require(buyer != seller, "fill: same account")
        require(0 < size <= c.MAX_SIZE, "fill: size")
        venue = self._open_to_trade(market)
        m, prices, risk = venue.words, venue.prices, venue.risk
        require(uint(price * c.PPM) >= prices.low * (c.PPM - risk.fill_band), "fill: price below band")
        require(price * c.PPM <= prices.high * (c.PPM + risk.fill_band), "fill: price above band")
        # what a clamped fill left of a reduce-only order need not be whole lots
        require(bool(flags & 3) or size % 10**venue.limits.lot_exp == 0, "fill: lot")
        claim_index = self.load_globals_words().claim_index
        buyer_word = self._ready(buyer)
        seller_word = self._ready(seller)
        buyer_leg = self._read_leg(buyer, market, m.funding)
        seller_leg = self._read_leg(seller, market, m.funding)
        asked = mul_div_down(size, c.INDEX_ONE, claim_index)
        gons = asked
        if flags & c.FLAG_BUYER_REDUCE_ONLY:
            gons = min(gons, max(0, -buyer_leg.size))
        if flags & c.FLAG_SELLER_REDUCE_ONLY:
            gons = min(gons, max(0, seller_leg.size))
        require(gons > 0, "fill: nothing to fill")
        filled = size if gons == asked else mul_div_up(gons, claim_index, c.INDEX_ONE)
        quote = mul_div_down(gons, price, c.WAD)
        taker_fee = mul_div_up(quote, risk.taker_fee, c.PPM)
        maker_fee = mul_div_up(quote, risk.maker_fee, c.PPM)
        buyer_is_taker = bool(flags & c.FLAG_BUYER_IS_TAKER)
        buyer_fee = taker_fee if buyer_is_taker else maker_fee
        seller_fee = maker_fee if buyer_is_taker else taker_fee
        before = m.oi
        self._trade(venue, buyer, buyer_word, buyer_leg, gons, -quote - buyer_fee, price)
        self._trade(venue, seller, seller_word, seller_leg, -gons, quote - seller_fee, price)
        self._oi_within_cap(venue.limits, m, before)
        m.fees += taker_fee + maker_fee
        premium = (price - prices.index) * c.PPM
        premium = premium // prices.index if premium >= 0 else -(-premium // prices.index)
        m.sample = max(-c.MAX_PREMIUM_PPM, min(c.MAX_PREMIUM_PPM, premium))
        self._close_venue(venue)
        self.oracle.report(self.address, market, price)
        self._emit(
            "Traded",
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
