"""Bad debt: repaid by fees, gifts and the fund's buckets, or cut out of every exposed claim; the end of a market.

SPEC §9, §10, §15.

Mirror of ``contracts/RebaseManager.vy``, a delegate of the ClearingHouse.
"""

from __future__ import annotations

from python_ref import constants as c
from python_ref.account_desk import AccountDesk
from python_ref.fixed_math import floor_div, mul_div_down, mul_div_up
from python_ref.ledger import Venue
from python_ref.world import require


class RebaseManager(AccountDesk):
    """What is left of a default or of a market."""

    def sweep_fees(self, sender: str, market: int) -> None:
        """Move a market's fees to its bucket; bad debt is repaid first (rule 9)."""
        require(0 <= market < c.MAX_MARKETS and self.load_limits(market).listed, "market: not listed")
        words = self.load_market_words(market)
        domain = self.load_globals_words()
        repaid = min(words.fees, domain.bad_debt)
        if repaid > 0:
            domain.bad_debt -= repaid
            domain.exposed -= repaid
            self.store_globals(domain)
        bucket = self._bucket_of(market)
        word = self.load_account_word(bucket)
        word.cash += words.fees - repaid
        self.store_account_word(bucket, word)
        self._emit("FeesSwept", market=market, amount=words.fees, repaid=repaid)
        words.fees = 0
        self.store_market_words(market, words)

    def repay_bad_debt(self, sender: str, account: bytes, amount: int) -> None:
        """Give up to ``amount`` units of an exempt account towards the bad debt; rounded against the giver."""
        self._only_owner(sender, account)
        word = self.load_account_word(account)
        require(not word.exposed, "ledger: exposed")
        domain = self.load_globals_words()
        repaid = min(mul_div_down(amount, c.INDEX_ONE, domain.claim_index), domain.bad_debt)
        require(repaid > 0, "rebase: no bad debt")
        units = mul_div_up(repaid, domain.claim_index, c.INDEX_ONE)
        require(units <= word.cash, "ledger: insufficient cash")
        word.cash -= units
        domain.exempt -= units
        domain.bad_debt -= repaid
        self.store_globals(domain)
        self.store_account_word(account, word)
        self._emit("BadDebtRepaid", payer=account, units=units, amount=repaid)

    def rebase_claims(self, sender: str) -> None:
        """Cut every exposed claim so that assets cover claims again (rules 7, 8, 10, 11, 15). SPEC §10."""
        require(self.load_globals_words().open_receipts == 0, "rebase: receipt open")
        require(self.load_globals_words().bad_debt > 0, "rebase: no bad debt")
        for market in range(c.MAX_MARKETS):
            domain = self.load_globals_words()
            bucket = self._bucket_of(market)
            word = self.load_account_word(bucket)
            # a bucket is exposed from the listing of its market on
            if not word.exposed or domain.bad_debt == 0:
                break
            paid = min(self._bucket_available(bucket, word), domain.bad_debt)
            if paid == 0:
                continue
            word.cash -= paid
            self.store_account_word(bucket, word)
            domain.bad_debt -= paid
            domain.exposed -= paid
            self.store_globals(domain)
            self._emit("BadDebtRepaid", payer=bucket, units=0, amount=paid)
        domain = self.load_globals_words()
        if domain.bad_debt == 0:
            return
        require(domain.exposed > domain.bad_debt, "rebase: settlement needed")
        before, debt, exposed = domain.claim_index, domain.bad_debt, domain.exposed
        domain.claim_index = mul_div_down(before, exposed - debt, exposed)
        require(domain.claim_index >= c.MIN_CLAIM_INDEX, "rebase: settlement needed")
        domain.bad_debt = 0
        domain.claim_epoch += 1
        self.store_globals(domain)
        self._emit(
            "Rebased",
            epoch=domain.claim_epoch,
            index_before=before,
            index_after=domain.claim_index,
            bad_debt=debt,
            exposed=exposed,
        )

    # ---- the end of a market -----------------------------------------------------------------------

    def claim(self, sender: str, account: bytes, market: int) -> None:
        """Close an account's position in a SETTLEMENT market at its final price; anyone. SPEC §15.

        The first claim locks releases, withdrawals from exposure and rebases, and closes the bucket, so that what
        the bucket can pay does not depend on the order of the others; the last one unlocks.
        """
        venue = self._open_venue(market)
        require(venue.prices.state == c.STATE_SETTLEMENT, "claim: not settled")
        require(bool(self.load_account_word(account).legs >> market & 1), "settle: no position")
        bucket = self._bucket_of(market)
        if not self._get("settled") >> market & 1:
            # a receipt of its own is ended by `resolve`, to which this market is not live
            require(venue.limits.open_receipts == 0, "market: receipt open")
            self._mark_settled(1 << market, market, 1)
            self._emit("SettlementOpened", market=market, price=venue.prices.index)
            self._claim(venue, bucket)
        if account != bucket:
            self._claim(venue, account)
        self._close_venue(venue)
        if not self._get("settled") >> (16 + market) & 1 and not self._is_open(venue):
            self._mark_settled(1 << (16 + market), market, -1)
            self._emit("SettlementClosed", market=market)

    def _claim(self, venue: Venue, account: bytes) -> None:
        """Close a position against the house; what a flat account owes is the bucket's, then bad debt.

        The pot lends the price until the other side has paid it. The residue stays: until the last claim the house
        holds the difference of the sides, which nobody needs to know.
        """
        word = self.load_account_word(account)
        if not word.legs >> venue.id & 1:
            return
        require(not word.in_receipt, "ledger: receipt open")
        size = self._read_leg(account, venue.id, venue.words.funding).size
        # what a long gets rounded down, what a short pays rounded up
        cash = floor_div(size * venue.prices.index, c.WAD)
        residue = venue.words.residue
        self._shift(venue, account, -size, cash)
        venue.words.residue = residue
        venue.words.pot -= cash
        self._emit("Claimed", account=account, market=venue.id, size=size, cash=cash)
        word = self.load_account_word(account)
        if word.legs == 0 and word.cash < 0:
            if word.has_late:
                # what its owner added pays his debt before the fund does
                self._fold_late(account, word)
                self.store_account_word(account, word)
            self._pay_from_bucket(venue.id, account, max(0, -word.cash))
            self._write_off(account)

    def _is_open(self, venue: Venue) -> bool:
        """Whether more than dust is open: of the shorts in all, of the longs in one band.

        Sizes of longs are read rounded down, so their band may keep some wei that nobody can claim.
        """
        bands = (band for band in range(c.N_BANDS) if self.load_bitmap(venue.id, True) >> band & 1)
        return venue.words.oi > c.DUST_SIZE or any(
            self.load_band(venue.id, True, band).oi > c.DUST_SIZE for band in bands
        )

    def _mark_settled(self, bit: int, market: int, opened: int) -> None:
        """Begin (1) or end (-1) a settlement, which counts as an open receipt of the domain and of the market."""
        self._set(self._get("settled") | bit, "settled")
        domain = self.load_globals_words()
        domain.open_receipts += opened
        self.store_globals(domain)
        self._count_receipt(market, opened)
