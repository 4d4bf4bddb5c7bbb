"""Bad debt: repaid by fees, gifts and the fund's buckets, or cut out of every exposed claim. SPEC §9, §10.

Mirror of ``contracts/RebaseManager.vy``, a delegate of the ClearingHouse.
"""

from __future__ import annotations

from python_ref import constants as c
from python_ref.account_desk import AccountDesk
from python_ref.fixed_math import mul_div_down, mul_div_up
from python_ref.world import require


class RebaseManager(AccountDesk):
    """What is left of a default."""

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
