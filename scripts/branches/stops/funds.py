"""The backstop fund: providers, buckets, auctions, and a token that misbehaves."""

from __future__ import annotations

from scripts.branches.coverage import CoverageChain
from scripts.branches.scene import ZERO, Scene
from scripts.campaign.walk import OPERATOR, PROVIDERS, STRANGER
from scripts.chain.artifacts import compile_source
from scripts.system import FILLER, GOVERNOR, KEEPER, WAD

FUND, HOUSE = "BackstopFund", "ClearingHouse"
FIRST, SECOND = PROVIDERS


def providers(chain: CoverageChain) -> int:
    """Shares in and out, moved, allowed, requested, lapsed; and what is refused on the way."""
    scene = Scene(chain)
    fund = scene.address(FUND)
    scene.refused("fund: zero shares", FUND, "deposit", FIRST, 0)
    scene.refused("fund: no request", FUND, "claim_withdrawal", FIRST)
    scene.refused("fund: no request", FUND, "cancel_withdrawal", FIRST)
    scene.refused("fund: zero shares", FUND, "request_withdrawal", FIRST, 0)
    scene.refused("fund: balance", FUND, "request_withdrawal", FIRST, WAD)
    scene.done(FUND, "deposit", FIRST, 1_000 * WAD)
    for to in (ZERO, fund):
        scene.refused("fund: bad receiver", FUND, "transfer", FIRST, to, WAD)
    scene.refused("fund: balance", FUND, "transfer", FIRST, SECOND, 10**6 * WAD)
    scene.refused("fund: allowance", FUND, "transferFrom", SECOND, FIRST, SECOND, WAD)
    scene.done(FUND, "approve", FIRST, SECOND, 2 * WAD)
    scene.done(FUND, "transferFrom", SECOND, FIRST, SECOND, WAD)
    scene.done(FUND, "approve", FIRST, SECOND, 2**256 - 1)
    scene.done(FUND, "transferFrom", SECOND, FIRST, SECOND, WAD)
    scene.done(FUND, "transfer_shares", FIRST, SECOND, WAD)
    scene.ask(FUND, "withdrawal_of", FIRST)
    scene.done(FUND, "request_withdrawal", FIRST, 500 * WAD)
    scene.refused("fund: request pending", FUND, "request_withdrawal", FIRST, WAD)
    scene.ask(FUND, "withdrawal_of", FIRST)
    scene.refused("fund: cooling down", FUND, "claim_withdrawal", FIRST)
    scene.done(FUND, "cancel_withdrawal", FIRST)
    scene.done(FUND, "request_withdrawal", FIRST, 500 * WAD)
    scene.advance(3_600 + 2 * 86_400 + 1)
    scene.refused("fund: no request", FUND, "claim_withdrawal", FIRST)
    # more is asked for than the treasury holds: a part is paid, the rest stays requested
    for market in range(scene.n_markets):
        scene.at(market, scene.prices[market])
    scene.done(FUND, "set_cap", GOVERNOR, 0, 10_000 * WAD)
    scene.done(FUND, "request_withdrawal", FIRST, scene.ask(FUND, "shares_of", FIRST) * 9 // 10)
    scene.done(FUND, "top_up", KEEPER, 0, 400 * WAD)
    scene.advance(3_600)
    scene.done(FUND, "claim_withdrawal", FIRST)
    scene.ask(FUND, "withdrawal_of", FIRST)
    scene.refused("fund: nothing to pay", FUND, "claim_withdrawal", FIRST)
    for market in (16, 2**100):
        scene.refused("fund: no such market", FUND, "top_up", KEEPER, market, WAD)
        scene.refused("fund: no such market", FUND, "set_cap", GOVERNOR, market, WAD)
    scene.refused("fund: nothing to move", FUND, "top_up", KEEPER, 0, 0)
    scene.done(FUND, "set_cap", GOVERNOR, 0, 0)
    scene.refused("fund: nothing to move", FUND, "top_up", KEEPER, 0, WAD)
    for function, args in (("set_cap", (0, 1)), ("skim", (0, 1))):
        scene.refused("fund: not governor", FUND, function, STRANGER, *args)
    scene.finish()
    return scene.calls


def lowest_index(chain: CoverageChain) -> int:
    """A leaver gets the lowest index since his request: the stack of minima grows, is cut, and is searched."""
    scene = Scene(chain)
    scene.done(FUND, "deposit", FIRST, 1_000 * WAD)
    scene.done(FUND, "deposit", SECOND, 1_000 * WAD)
    scene.done(FUND, "set_cap", GOVERNOR, 0, 10_000 * WAD)
    scene.done(FUND, "top_up", KEEPER, 0, 500 * WAD)
    scene.rich(0, 1)
    bucket = scene.bucket(0)
    # the bucket is long: its worth, and so the index, follow the price
    args = (0, bucket, scene.accounts[1], 100 * WAD, scene.prices[0], 0)
    scene.done(HOUSE, "fill", FILLER, *args, acted=(bucket, scene.accounts[1]))
    for change in (-50, -40, 30, 60, 90, -20, 10):
        scene.at(0, scene.prices[0] * (10_000 + change) // 10_000)
        scene.done(FUND, "recognise", KEEPER)
        if change == 30:
            scene.done(FUND, "request_withdrawal", FIRST, 10 * WAD)
    scene.done(FUND, "request_withdrawal", SECOND, 10 * WAD)
    for change in (80, 70, 60, -30, -100):
        scene.at(0, scene.prices[0] * (10_000 + change) // 10_000)
        scene.done(FUND, "recognise", KEEPER)
        scene.ask(FUND, "withdrawal_of", FIRST)
        scene.ask(FUND, "withdrawal_of", SECOND)
    scene.advance(3_600)
    for market in range(scene.n_markets):
        scene.at(market, scene.prices[market])
    scene.done(FUND, "claim_withdrawal", FIRST)
    scene.done(FUND, "claim_withdrawal", SECOND)
    scene.finish()
    return scene.calls


def auctions(chain: CoverageChain) -> int:
    """Inventory of either side is offered, sold in parts and to the end."""
    scene = Scene(chain)
    scene.rich(0, 1, 2)
    scene.done(FUND, "deposit", FIRST, 100_000 * WAD)
    scene.refused("fund: no inventory", FUND, "start_auction", KEEPER, 0)
    scene.denied("fund: no inventory", FUND, "auction_price", 0)
    scene.refused("fund: no inventory", FUND, "sell_inventory", scene.owner(0), 0, scene.accounts[0], WAD)
    for market, is_long in ((0, True), (1, False)):
        scene.done(FUND, "set_cap", GOVERNOR, market, 10**6 * WAD)
        scene.done(FUND, "top_up", KEEPER, market, 20_000 * WAD)
        bucket, other = scene.bucket(market), scene.accounts[1]
        buyer, seller = (bucket, other) if is_long else (other, bucket)
        args = (market, buyer, seller, WAD, scene.prices[market], 0)
        scene.done(HOUSE, "fill", FILLER, *args, acted=(bucket, other))
        scene.denied("fund: no auction", FUND, "auction_price", market)
        sale = (market, scene.accounts[0], WAD // 2)
        scene.refused("fund: no auction", FUND, "sell_inventory", scene.owner(0), *sale)
        scene.done(FUND, "start_auction", KEEPER, market)
        scene.refused("fund: auction runs", FUND, "start_auction", KEEPER, market)
        scene.refused("fund: not authorised", FUND, "sell_inventory", STRANGER, *sale)
        scene.at(market, scene.prices[market], 900)
        scene.ask(FUND, "auction_price", market)
        scene.done(FUND, "sell_inventory", scene.owner(0), *sale)
        scene.done(HOUSE, "set_operator", scene.owner(0), OPERATOR, True)
        scene.done(FUND, "sell_inventory", OPERATOR, *sale)
        scene.refused("fund: no inventory", FUND, "sell_inventory", scene.owner(0), *sale)
    # an auction ends by itself
    bucket = scene.bucket(0)
    args = (0, bucket, scene.accounts[1], WAD, scene.prices[0], 0)
    scene.done(HOUSE, "fill", FILLER, *args, acted=(bucket, scene.accounts[1]))
    scene.done(FUND, "start_auction", KEEPER, 0)
    scene.at(0, scene.prices[0], 86_400)
    scene.denied("fund: no auction", FUND, "auction_price", 0)
    scene.done(FUND, "start_auction", KEEPER, 0)
    scene.finish()
    return scene.calls


def lost_fund(chain: CoverageChain) -> int:
    """All is lost to one default: shares of a new epoch."""
    scene = Scene(chain)
    scene.done(FUND, "deposit", FIRST, 100 * WAD)
    scene.done(FUND, "request_withdrawal", FIRST, scene.ask(FUND, "shares_of", FIRST) // 2)
    scene.done(FUND, "set_cap", GOVERNOR, 0, 10**6 * WAD)
    scene.done(FUND, "top_up", KEEPER, 0, 100 * WAD)
    bucket = scene.bucket(0)
    scene.rich(1)
    args = (0, bucket, scene.accounts[1], 2_000 * WAD, scene.prices[0], 0)
    scene.done(HOUSE, "fill", FILLER, *args, acted=(bucket, scene.accounts[1]))
    scene.deposit(2, 10_000)
    scene.open(0, 2, 1, 1_000 * WAD)
    for _ in range(2):
        scene.at(0, scene.prices[0] * 9 // 10)
    scene.done(FUND, "recognise", KEEPER)
    scene.ask(FUND, "share_epoch")
    scene.refused("fund: no request", FUND, "claim_withdrawal", FIRST)
    # another default on the bucket's side nets nothing with it
    scene.ask("Lens", "preview_resolve", bucket)
    scene.ask("Lens", "preview_resolve", scene.accounts[2])
    scene.done(HOUSE, "resolve", KEEPER, bucket, ())
    scene.finish()
    return scene.calls


def bad_token(chain: CoverageChain) -> int:
    """A token that answers False, and one that keeps a fee."""
    scene = Scene(chain)
    token = scene.address("Token")
    scene.rich(0)
    owner, account = scene.owner(0), scene.accounts[0]
    scene.refused("ledger: zero amount", HOUSE, "deposit", owner, account, 0)
    scene.refused("ledger: zero amount", HOUSE, "withdraw", owner, account, 0, owner)
    scene.refused("ledger: insufficient cash", HOUSE, "withdraw", owner, account, 10**40, owner)
    scene.token("set_mode", KEEPER, 1)
    scene.refused("token: transfer failed", HOUSE, "deposit", owner, account, 10**30)
    scene.refused("fund: token refused", FUND, "deposit", FIRST, 2 * 10**30)
    scene.token("set_mode", KEEPER, 2)
    scene.refused("token: fee on transfer", HOUSE, "deposit", owner, account, WAD)
    scene.token("set_mode", KEEPER, 0)
    scene.done(HOUSE, "withdraw", owner, account, WAD, owner)
    assert chain.view(token, "decimals") == 18
    scene.finish()
    return scene.calls


STUBBORN = """
# pragma version 0.4.3
decimals: public(constant(uint8)) = 18
balanceOf: public(HashMap[address, uint256])

@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self.balanceOf[to] += amount
    return True

@external
def approve(spender: address, amount: uint256) -> bool:
    return False

@external
def transfer(to: address, amount: uint256) -> bool:
    return False
"""
"""A token that comes and never goes."""


def stubborn_token(chain: CoverageChain) -> int:
    """What is not let go: a withdrawal, and the fund's deposit. The model has no such token; reasons are compared."""
    scene = Scene(chain)
    at = scene.system.addresses
    oracle = scene.address("PriceOracle")
    token = chain.deploy(compile_source("Stubborn", STUBBORN), sender=GOVERNOR)
    code = (token, 18, oracle)
    admin = chain.deploy("MarketAdmin", *code, sender=GOVERNOR)
    desk = chain.deploy("AccountDesk", *code, admin, sender=GOVERNOR)
    others = [at[name] for name in ("LiquidationDesk", "DefaultManager", "RebaseManager")]
    house = chain.deploy("ClearingHouse", *code, GOVERNOR, *others, desk, sender=GOVERNOR)
    fund = chain.deploy("BackstopFund", token, house, oracle, GOVERNOR, 1, sender=GOVERNOR)
    owner, account = scene.owner(0), scene.accounts[0]
    assert chain.call(owner, house, "deposit", account, WAD).ok
    outcome = chain.call(owner, house, "withdraw", account, WAD, owner)
    assert outcome.reason == "token: transfer failed", outcome.reason
    outcome = chain.call(FIRST, fund, "deposit", WAD)
    assert outcome.reason == "fund: token refused", outcome.reason
    return scene.calls
