"""Liquidation of unhealthy accounts, one or many. SPEC §7.

Mirror of ``contracts/LiquidationDesk.vy``, a delegate of the ClearingHouse.
"""

from __future__ import annotations

from dataclasses import replace

from python_ref import constants as c
from python_ref.default_manager import DefaultManager
from python_ref.fixed_math import mul_div_down, mul_div_up
from python_ref.ledger import Venue
from python_ref.liquidation_engine import LiquidationEngine
from python_ref.margin import kind_price, price_share
from python_ref.world import require

SHARES = 4096
"""What one may still liquidate in a minute is kept in parts of a position."""


class LiquidationDesk(DefaultManager):
    """Liquidation of unhealthy accounts, one or many."""

    engine: LiquidationEngine

    def liquidate(self, sender: str, account: bytes, market: int, taker: bytes, max_size: int) -> int:
        """Take over part of an unhealthy position at the price of rule 17; returns gons taken. SPEC §7."""
        self._only_authorised(sender, taker)
        return self._liquidate(account, market, taker, max_size, False)

    def liquidate_batch(
        self, sender: str, accounts: tuple[bytes, ...], market: int, taker: bytes, max_size: int
    ) -> int:
        """Liquidate those of ``accounts`` that can be; ``max_size`` gons each. Returns the sum."""
        self._only_authorised(sender, taker)
        if len(accounts) > 16:
            require(False, "")
        total = 0
        for account in accounts:
            total += self._liquidate(account, market, taker, max_size, True)
        return total

    def _liquidate(self, account: bytes, market: int, taker: bytes, max_size: int, skip: bool) -> int:
        """One liquidation; with ``skip`` an account that cannot be liquidated is passed over."""
        require(account != taker, "liquidation: own account")
        venue = self._open_to_trade(market)
        require(venue.prices.state != c.STATE_RECOVERY, "market: in recovery")
        is_doubtful = venue.prices.state == c.STATE_DEGRADED
        m, x = venue.words, venue.prices.index
        word = self.load_account_word(account)
        leg = self._read_leg(account, market, m.funding)
        if leg.size == 0 or word.in_receipt:
            require(skip, "liquidation: no position")
            return self._pass_over(venue)
        word.cash += leg.pending
        r = self._assess(account, word, venue, leg.size)
        if r.e_kind < 0:
            require(skip, "liquidation: bankrupt")
            return self._pass_over(venue)
        if r.e_kind >= r.m_kind:
            require(skip, "liquidation: healthy")
            return self._pass_over(venue)
        is_long, q = leg.size > 0, abs(leg.size)
        most = q
        since, left = divmod(word.liquidated, SHARES)
        is_first = is_doubtful and since + c.LIQUIDATION_DELAY_S <= self.world.now
        if is_doubtful:
            # on a price in doubt, half in a minute, of which somebody may have had a part
            if is_first:
                since, left = self.world.now, SHARES // 2
            most = mul_div_up(q, left, SHARES)
            if most == 0:
                require(skip, "liquidation: too soon")
                return self._pass_over(venue)
        kind = kind_price(venue.prices, leg.size)
        leg_margin = self._leg_margin(venue, leg.size, kind)
        share = price_share(r.e_kind, leg_margin, r.m_kind, leg.size)
        penalty = venue.risk.penalty // 2 if is_doubtful else venue.risk.penalty
        if is_long:
            price = max(mul_div_up(x, c.PPM - penalty, c.PPM), kind - share)
        else:
            price = min(mul_div_down(x, c.PPM + penalty, c.PPM), kind + share)
        claim_index = self.load_globals_words().claim_index
        min_size = mul_div_up(venue.limits.min_size, c.INDEX_ONE, claim_index)
        size = self.engine.plan(
            self.address, q, kind, price, r.e_kind, r.m_kind - leg_margin, venue.risk.pack(), claim_index, min_size
        )
        size = min(size, max_size, q)
        if is_first and q <= min_size:
            most = q
        size = min(size, most)
        require(size > 0, "liquidation: zero size")
        if q - size <= c.DUST_SIZE:
            # a rest of dust would go to the house, and leave the account a few wei short
            size = q
        if is_long:
            quote = mul_div_up(size, price, c.WAD)
            discount = max(0, mul_div_down(size, x, c.WAD) - quote)
        else:
            quote = mul_div_down(size, price, c.WAD)
            discount = max(0, quote - mul_div_up(size, x, c.WAD))
        fund_fee = mul_div_down(discount, venue.risk.fund_share, c.PPM)
        change, cash = (-size, quote) if is_long else (size, -quote)
        if is_doubtful:
            stamped = self.load_account_word(account)
            stamped.liquidated = since * SHARES
            if size < most:
                stamped.liquidated += (most - size) * SHARES // (q - size)
            self.store_account_word(account, stamped)
            # the taker may grow: the position is in the market already
            venue.prices = replace(venue.prices, state=c.STATE_LIVE)
        self._shift(venue, account, change, cash)
        taker_word = self._ready(taker)
        taker_leg = self._read_leg(taker, market, m.funding)
        self._trade(venue, taker, taker_word, taker_leg, -change, -cash - fund_fee, price)
        m.fees += fund_fee
        self._close_venue(venue)
        self._emit(
            "Liquidated", account=account, market=market, taker=taker, size=change, quote=quote, fund_fee=fund_fee
        )
        return size

    def _pass_over(self, venue: Venue) -> int:
        """Keep the funding that was accrued and announced; nothing taken."""
        self._close_venue(venue)
        return 0
