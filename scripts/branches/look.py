"""Every view of everything, asked of contract and model: what campaigns, which only call, never look at."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from random import Random

from python_ref import constants as c
from python_ref.lens import Lens
from python_ref.world import Revert
from scripts.system import GOVERNOR, KEEPER, System


def bind_lens(system: System) -> None:
    """Deploy the Lens beside a system, with its model."""
    house, oracle = system.clearing_house, system.addresses["PriceOracle"]
    address = system.chain.deploy("Lens", house.address, oracle, sender=GOVERNOR)
    system.twin.bind(Lens(house), "Lens", address)


def look(system: System, accounts: Sequence[bytes], providers: Sequence[str], r: Random) -> int:
    """Ask everything about ``accounts``, all markets and the fund; how many answers were compared, refusals included.

    ``r`` chooses sizes and places to ask for.
    """
    asked = 0

    def ask(contract: str, function: str, *args: object) -> None:
        nonlocal asked
        with suppress(Revert):  # both may refuse, for the same reason
            system.twin.view(contract, function, *args, sender=KEEPER)
        asked += 1

    markets = range(len(system.specs))
    buckets = [system.bucket(market) for market in markets]
    for account in (*accounts, *buckets):
        ask("Lens", "account", account)
        if _previews_exactly(system, account):
            ask("Lens", "preview_resolve", account)
        for market in markets:
            ask("Lens", "liq_price", account, market)
            ask("Lens", "adl_light", account, market)
            size = r.randrange(1, 10 ** r.randrange(2, 25))
            ask("Lens", "my_cut", account, market, r.random() < 0.5, size, r.randrange(10 ** r.randrange(1, 23)))
        ask("ClearingHouse", "account_equity", account)
        ask("ClearingHouse", "load_account", account)
    for market in markets:
        ask("Lens", "coverage", market)
        ask("ClearingHouse", "load_market", market)
        first = r.randrange(c.N_BANDS)
        ask("ClearingHouse", "load_bands", market, r.random() < 0.5, first, r.randrange(c.N_BANDS - first + 1))
        ask("BackstopFund", "auction_price", market)
        ask("BackstopFund", "used_cap", market)
        ask("PriceOracle", "peek", market)
    ask("Lens", "digest", tuple(accounts), tuple(markets))
    ask("ClearingHouse", "load_globals")
    ask("ClearingHouse", "claim_epoch")
    ask("ClearingHouse", "governor")
    for provider in providers:
        for function in ("balanceOf", "shares_of", "withdrawal_of"):
            ask("BackstopFund", function, provider)
        ask("BackstopFund", "allowance", provider, KEEPER)
    for function in ("totalSupply", "total_shares", "nav_index", "share_epoch", "is_locked"):
        ask("BackstopFund", function)
    return asked


def _previews_exactly(system: System, account: bytes) -> bool:
    """Whether the Lens promises the receipt to the atom: not where inventory that a policy has read is netted first."""
    house = system.clearing_house
    legs = house.load_account_word(account).legs
    return not any(
        legs >> market & 1
        and house.load_account_word(system.bucket(market)).legs >> market & 1
        and house.load_limits(market).rank != c.RANK_SINGLE
        and _reads_bands(system, market)
        for market in range(len(system.specs))
    )


def _reads_bands(system: System, market: int) -> bool:
    policy = system.twin.world.get(("ClearingHouse", "markets", market << 3 | 7))
    return policy == int(system.addresses["ProRata"], 16)
