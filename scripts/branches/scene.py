"""A deployment on which a stop of the tour plays: calls that have to go a certain way, on contract and model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from python_ref.ledger import account_id, owner_of
from python_ref.world import Revert
from scripts.branches.look import bind_lens
from scripts.campaign.operations import Operations
from scripts.campaign.setup import SPECS, Setup
from scripts.chain import Chain, Outcome
from scripts.chain.base import ZERO_ADDRESS
from scripts.system import FILLER, KEEPER, MarketSpec


class Scene(Operations):
    """Markets, traders with approved tokens, and the Lens; every call is compared and judged like a campaign's."""

    def __init__(
        self,
        chain: Chain,
        *specs: MarketSpec,
        decimals: int = 18,
        traders: int = 7,
        seconds: int = 2,
        cooldown_s: int = 3_600,
        quotes: tuple[MarketSpec, ...] = (),
        sequencer: bool = False,
    ) -> None:
        """The campaigns' markets unless others are given."""
        setup = Setup(decimals, specs or SPECS, cooldown_s, quotes=quotes, sequencer=sequencer)
        super().__init__(chain, setup, traders, seconds)
        bind_lens(self.system)

    @property
    def house_address(self) -> str:
        """Where the ClearingHouse is."""
        return self.address("ClearingHouse")

    @property
    def treasury(self) -> bytes:
        """The fund's exempt account."""
        return account_id(self.system.fund.address)

    def owner(self, who: int) -> str:
        """Owner of an account, by its index."""
        return owner_of(self.accounts[who])

    def address(self, name: str) -> str:
        """Where a contract of the deployment is."""
        return self.twin.address(name)

    def done(self, contract: str, function: str, sender: str, *args: Any, acted: Sequence[bytes] = ()) -> Outcome:
        """A call that goes through; on behalf of every trader unless ``acted`` says of whom."""
        outcome = self.step(contract, function, sender, *args, acted=acted or self.accounts)
        if not outcome.ok:
            raise AssertionError(f"{contract}.{function} was refused: {outcome.reason!r}")
        return outcome

    def refused(self, reason: str, contract: str, function: str, sender: str, *args: Any) -> None:
        """A call that is refused for that reason."""
        outcome = self.step(contract, function, sender, *args, acted=self.accounts)
        if outcome.reason != reason:
            raise AssertionError(f"{contract}.{function}: wanted {reason!r}, got {outcome.reason!r}")

    def ask(self, contract: str, function: str, *args: Any, sender: str = KEEPER) -> Any:
        """A view's answer."""
        return self.twin.view(contract, function, *args, sender=sender)

    def denied(self, reason: str, contract: str, function: str, *args: Any) -> None:
        """A view that is refused for that reason."""
        try:
            answer = self.ask(contract, function, *args)
        except Revert as revert:
            if revert.reason != reason:
                raise AssertionError(f"{contract}.{function}: wanted {reason!r}, got {revert.reason!r}") from revert
        else:
            raise AssertionError(f"{contract}.{function}: wanted {reason!r}, got {answer}")

    def at(self, market: int, price: int, seconds: int = 13, feeds: int | None = None) -> None:
        """The price (WAD) some seconds later; longer than the oracle's cache lives."""
        self.advance(seconds)
        self.set_price(market, price, feeds)

    def rest(self, market: int, price: int) -> None:
        """The price (WAD) holds until the slow reference has come to it; longer than four of its time constants."""
        for seconds in (1, 3_500, 3_500, 3_500):
            self.at(market, price, seconds)

    def rich(self, *who: int, money: int = 10**9) -> None:
        """Money (units) into accounts, by index."""
        for k in who:
            self.deposit(k, money * 100)

    def open(self, market: int, buyer: int, seller: int, size: int, price: int | None = None) -> None:  # type: ignore[override]
        """A trade that goes through, at the walk's price."""
        a, b = self.accounts[buyer], self.accounts[seller]
        at = self.prices[market] if price is None else price
        self.done("ClearingHouse", "fill", FILLER, market, a, b, size, at, 0, acted=(a, b))


ZERO = ZERO_ADDRESS
