"""Margin: equity and requirement at three edges, and the judgement of a trade. SPEC §5, §6.

Mirror of ``contracts/modules/margin.vy``. Value units (money × 1e18) throughout, so equity is exact;
requirements round up.
"""

from __future__ import annotations

from dataclasses import dataclass

from python_ref import constants as c
from python_ref.bands import Bands, Leg, is_riskier
from python_ref.fixed_math import floor_div, mul_div_down, mul_div_up, sint, uint
from python_ref.ledger import NO_MARKET, Venue
from python_ref.oracle_words import Prices
from python_ref.words import Account, Limits, Market, Risk
from python_ref.world import require


@dataclass
class Exposure:
    """What an account is worth and what it must hold, in value units (gons)."""

    e_kind: int = 0
    m_kind: int = 0
    e_index: int = 0
    m_index: int = 0
    e_credit: int = 0
    im_credit: int = 0
    n_credit: int = 0
    worst: int = c.STATE_LIVE  # highest state among the markets of its legs


def kind_price(prices: Prices, size: int) -> int:
    """The edge that favours a position of signed ``size``."""
    return prices.high if size > 0 else prices.low


def requirement(rate_ppm: int, depth: int, notional: int, claim_index: int) -> int:
    """Margin that ``notional`` (value, gons) demands, rounded up; the rate grows by real notional / depth."""
    rate = rate_ppm * 10**12
    if depth != 0:
        rate += mul_div_up(mul_div_down(notional // c.WAD, claim_index, c.INDEX_ONE), 1, depth)
    return mul_div_up(notional, rate, c.WAD)


def price_share(equity: int, leg_margin: int, margin: int, size: int) -> int:
    """The leg's share of ``equity`` by maintenance, per unit of |size|: WAD price, toward minus infinity."""
    if margin == 0 or size == 0:
        return 0
    ratio = floor_div(sint(equity * c.WAD), margin)
    return floor_div(sint(ratio * leg_margin), abs(size) * c.WAD)


class Margin(Bands):
    """Prices, funding and risk of accounts."""

    @staticmethod
    def _accrue(m: Market, prices: Prices, now: int) -> bool:
        """Bring a market's funding to ``now`` (SPEC §6.1), on the clock that stands still without a price.

        Changes ``m``; False if nothing was due.
        """
        clock = uint(now - prices.paused)
        # the pause is told up to the last poke: right after the listing of a market without a price it may jump
        if clock <= m.accrued or prices.state in (c.STATE_FROZEN, c.STATE_SETTLEMENT):
            return False
        dt = clock - m.accrued
        m.funding += floor_div(sint(m.rate * prices.index * dt), c.PPM * c.FUNDING_PERIOD_S)
        step = (m.sample - m.rate) * min(dt, c.PREMIUM_TAU_S)
        # truncated, as the machine divides: the average never overshoots its sample
        m.rate += step // c.PREMIUM_TAU_S if step >= 0 else -(-step // c.PREMIUM_TAU_S)
        m.accrued = clock
        return True

    def _open_venue(self, market: int) -> Venue:
        """Load a listed market with its prices and accrue its funding."""
        require(0 <= market < c.MAX_MARKETS, "market: not listed")
        limits = self.load_limits(market)
        require(limits.listed, "market: not listed")
        prices = self.oracle.prices(self.address, market)
        words = self.load_market_words(market)
        if self._accrue(words, prices, self.world.now):
            self._emit("FundingAccrued", market=market, funding=words.funding, rate=words.rate, index=prices.index)
        return Venue(market, words, prices, self.load_risk(market), limits)

    def _open_to_trade(self, market: int) -> Venue:
        """As :meth:`_open_venue`, refused in a FROZEN or settled market or while a receipt is open there (rule 27)."""
        venue = self._open_venue(market)
        require(venue.prices.state != c.STATE_FROZEN, "market: frozen")
        require(venue.prices.state != c.STATE_SETTLEMENT, "market: settled")
        require(venue.limits.open_receipts == 0, "market: receipt open")
        return venue

    def _close_venue(self, venue: Venue) -> None:
        """Write a market back."""
        self.store_market_words(venue.id, venue.words)

    def _add_leg(self, r: Exposure, risk: Risk, prices: Prices, size: int, claim_index: int) -> None:
        """Add a leg of signed ``size`` to an exposure."""
        magnitude = abs(size)
        kind = kind_price(prices, size)
        credit = prices.credit_low if size > 0 else prices.credit_high
        r.e_kind += sint(size * kind)
        r.e_index += sint(size * prices.index)
        r.e_credit += sint(size * credit)
        r.m_kind += requirement(risk.maintenance, risk.depth, magnitude * kind, claim_index)
        r.m_index += requirement(risk.maintenance, risk.depth, magnitude * prices.index, claim_index)
        r.im_credit += requirement(risk.initial, risk.depth, magnitude * credit, claim_index)
        r.n_credit += magnitude * credit
        r.worst = max(r.worst, prices.state)

    def _assess(self, account: bytes, word: Account, venue: Venue | None, size: int) -> Exposure:
        """Exposure of an account whose leg in ``venue`` (if given) has signed ``size`` and nothing pending."""
        claim_index = self.load_globals_words().claim_index
        cash = word.cash
        if word.has_late:
            cash += mul_div_down(self._get("accounts", account, 33), c.INDEX_ONE, claim_index)
        r = Exposure()
        focus = NO_MARKET
        if venue is not None:
            focus = venue.id
            if size != 0:
                self._add_leg(r, venue.risk, venue.prices, size, claim_index)
        for market in range(c.MAX_MARKETS):
            if not word.legs >> market & 1 or market == focus:
                continue
            prices = self.oracle.prices(self.address, market)
            words = self.load_market_words(market)
            self._accrue(words, prices, self.world.now)
            leg = self._read_leg(account, market, words.funding)
            cash += leg.pending
            if leg.size != 0:
                self._add_leg(r, self.load_risk(market), prices, leg.size, claim_index)
        base = sint(cash * c.WAD)
        r.e_kind += base
        r.e_index += base
        r.e_credit += base
        return r

    def _leg_margin(self, venue: Venue, size: int, price: int) -> int:
        """Maintenance of one leg at ``price``."""
        claim_index = self.load_globals_words().claim_index
        return requirement(venue.risk.maintenance, venue.risk.depth, abs(size) * price, claim_index)

    def _label(self, venue: Venue, r: Exposure, size: int, entry: int) -> int:
        """Band label of a leg of signed ``size`` in an account of exposure ``r`` (SPEC §4.5)."""
        limits, x = venue.limits, venue.prices.index
        if limits.rank == c.RANK_SINGLE:
            return 0
        if limits.rank == c.RANK_PROFIT:
            return self._band_of(venue.id, entry, limits.octave_bits)
        share = price_share(r.e_index, self._leg_margin(venue, size, x), r.m_index, size)
        bankruptcy = x - share if size > 0 else x + share
        return self._band_of(venue.id, bankruptcy - venue.words.funding, limits.octave_bits)

    def _judge_trade(self, venue: Venue, r: Exposure, word: Account, pre: int, post: int, cash_change: int) -> None:
        """Refuse a trade that took a leg from ``pre`` to ``post`` for ``cash_change``; SPEC §6, rules 13, 17-19."""
        prices, limits = venue.prices, venue.limits
        pre_kind, post_kind = kind_price(prices, pre), kind_price(prices, post)
        e_pre = r.e_kind - cash_change * c.WAD - post * post_kind + pre * pre_kind
        require(e_pre >= 0, "margin: bankrupt")
        if post != 0:
            claim_index = self.load_globals_words().claim_index
            real = mul_div_down(abs(post), claim_index, c.INDEX_ONE)
            require(real >= limits.min_size, "fill: below minimum size")
        if (post > 0 and post > pre) or (post < 0 and post < pre):
            require(prices.state == c.STATE_LIVE, "market: not live")
            require(r.worst < c.STATE_FROZEN, "margin: frozen")
            require(word.legs.bit_count() <= c.MAX_LEGS, "margin: too many legs")
            require(r.e_credit >= r.im_credit, "margin: below initial")
            return
        require(r.e_kind >= 0, "margin: would be bankrupt")
        m_pre = r.m_kind - self._leg_margin(venue, post, post_kind) + self._leg_margin(venue, pre, pre_kind)
        if e_pre >= m_pre:
            return
        x, moved = prices.index, post - pre
        e_index = r.e_index - cash_change * c.WAD - moved * x
        require(e_index >= 0, "margin: insolvent at index")
        leg_margin = self._leg_margin(venue, pre, x)
        m_index = r.m_index - self._leg_margin(venue, post, x) + leg_margin
        share = price_share(e_index, leg_margin, m_index, pre)
        # value given up against the index, fee included, may be no more than the leg's share of equity
        require(-(cash_change * c.WAD + moved * x) <= abs(moved) * share, "margin: worse than floor price")

    def _trade(
        self, venue: Venue, account: bytes, word: Account, leg: Leg, change: int, cash_change: int, price: int
    ) -> None:
        """Change a leg by signed ``change`` for ``cash_change``, judged as a trade; stores account and position."""
        require(not word.in_receipt, "ledger: receipt open")
        post = leg.size + change
        if leg.size != 0 and abs(post) <= c.DUST_SIZE:
            # what rounding left of a closed position goes to the house, or the last two could never part
            post = 0
        self._pay_pending(venue.words, word, leg)
        word.cash += cash_change
        word.touched = self.world.now
        word.legs |= 1 << venue.id
        r = self._assess(account, word, venue, post)
        self._judge_trade(venue, r, word, leg.size, post, cash_change)
        entry, band = leg.entry, leg.band
        if post != 0:
            same_side = leg.size != 0 and (leg.size > 0) == (post > 0)
            if not same_side:
                entry = price
            elif abs(post) > abs(leg.size):
                entry = (leg.entry * abs(leg.size) + price * abs(change)) // abs(post)
            label = self._label(venue, r, post, entry)
            if not same_side or is_riskier(venue.limits.rank, post > 0, label, band):
                band = label
        self._place(venue.words, venue.id, account, word, leg, post, entry, band)
        self.store_account_word(account, word)

    def _shift(self, venue: Venue, account: bytes, change: int, cash_change: int) -> None:
        """Change a leg without judgement, keeping its band: the closing side of a default or a liquidation."""
        word = self.load_account_word(account)
        leg = self._read_leg(account, venue.id, venue.words.funding)
        self._pay_pending(venue.words, word, leg)
        word.cash += cash_change
        word.touched = self.world.now
        post = leg.size + change
        if 0 < post <= c.DUST_SIZE:
            # as in a trade; a short's dust may need more residue than there is, and a default must not stop at that
            post = 0
        self._place(venue.words, venue.id, account, word, leg, post, leg.entry, leg.band)
        self.store_account_word(account, word)

    def _oi_within_cap(self, limits: Limits, m: Market, before: int) -> None:
        """Refuse open interest that grew beyond the cap."""
        if m.oi > before:
            real = mul_div_down(m.oi, self.load_globals_words().claim_index, c.INDEX_ONE)
            require(real <= limits.oi_cap, "fill: open interest cap")

    def _bucket_available(self, bucket: bytes, word: Account) -> int:
        """Gons a bucket can pay: equity at the harsh edge beyond its initial requirement and the reserve."""
        r = self._assess(bucket, word, None, 0)
        return max(0, floor_div(r.e_credit - r.im_credit, c.WAD) - c.BUCKET_RESERVE)

    def _pay_from_bucket(self, market: int, account: bytes, most: int) -> int:
        """Let a market's bucket pay up to ``most`` gons to another account; gons paid (rule 15)."""
        bucket = self._bucket_of(market)
        heir = self.load_account_word(bucket)
        paid = min(most, self._bucket_available(bucket, heir))
        if bucket == account or paid == 0:
            return 0
        heir.cash -= paid
        self.store_account_word(bucket, heir)
        word = self.load_account_word(account)
        word.cash += paid
        self.store_account_word(account, word)
        self._emit("BucketPaid", market=market, account=account, amount=paid)
        return paid

    @staticmethod
    def _profit(prices: Prices, leg: Leg) -> int:
        """Profit of a leg against its entry price at the credit edge, value; zero for a loss."""
        edge = prices.credit_low if leg.size > 0 else prices.credit_high
        return max(0, sint(leg.size * (edge - leg.entry)))

    def _doubtful_profit(self, account: bytes, legs: int) -> int:
        """Profit of an account's legs in DEGRADED markets, which a withdrawal does not count (SPEC §2)."""
        profit = 0
        for market in range(c.MAX_MARKETS):
            if not legs >> market & 1:
                continue
            prices = self.oracle.prices(self.address, market)
            if prices.state == c.STATE_DEGRADED:
                # a size needs no funding
                profit += self._profit(prices, self._read_leg(account, market, 0))
        return profit
