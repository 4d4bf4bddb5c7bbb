"""Signed orders, and trades that are refused."""

from __future__ import annotations

from dataclasses import replace

from eth_utils import keccak

from python_ref import constants as c
from python_ref.orders import hash_domain
from scripts.branches.coverage import CoverageChain
from scripts.branches.scene import Scene
from scripts.branches.stops.defaults import plain
from scripts.campaign.orders import OrderBook, Resting
from scripts.campaign.walk import OPERATOR, STRANGER
from scripts.system import FILLER, GOVERNOR, KEEPER, WAD

HOUSE = "ClearingHouse"


def signed_orders(chain: CoverageChain) -> int:
    """Crossed, taken, by operators, and every way in which an order is not good."""
    scene = Scene(chain)
    book = OrderBook(scene)
    scene.rich(0, 1, 2, 7)
    price = scene.prices[0]

    def cross(maker: Resting, taker: Resting, size: int = WAD, reason: str | None = None) -> None:
        args = (maker.order, maker.signature, taker.order, taker.signature, size)
        if reason is None:
            scene.done("Orders", "settle_orders", KEEPER, *args)
        else:
            scene.refused(reason, "Orders", "settle_orders", KEEPER, *args)

    def take(maker: Resting, taker: bytes, sender: str, size: int = WAD, reason: str | None = None) -> None:
        args = (maker.order, maker.signature, taker, size, False)
        if reason is None:
            scene.done("Orders", "take", sender, *args)
        else:
            scene.refused(reason, "Orders", "take", sender, *args)

    buy = book.sign(0, 0, 10 * WAD, price)
    high = book.sign(1, 0, -10 * WAD, price * 101 // 100)
    low = book.sign(1, 0, -10 * WAD, price * 99 // 100, lane=1)
    cross(buy, high, reason="orders: prices do not cross")
    cross(high, buy, reason="orders: prices do not cross")
    cross(low, buy, size=0, reason="orders: zero size")
    cross(buy, low)
    cross(low, buy)
    cross(buy, buy, reason="orders: same side")
    cross(buy, book.forged(low, "other market"), reason="orders: markets differ")
    own = book.sign(0, 0, -WAD, price, lane=2)
    cross(buy, own, reason="orders: same account")
    for how, reason in {
        "malleable": "orders: malleable signature",
        "bad signature": "orders: bad signature",
        "wrong signer": "orders: wrong signer",
        "expired": "orders: expired",
        "zero size": "orders: zero size",
        "too large": "orders: size too large",
    }.items():
        take(book.forged(buy, how), scene.accounts[2], scene.owner(2), reason=reason)
    take(buy, scene.accounts[2], STRANGER, reason="orders: not authorised")
    # an operator signs for a maker, and takes for a taker
    helping = scene.traders[3]
    maker = book.sign(0, 0, 5 * WAD, price, lane=3, signer=3)
    take(maker, scene.accounts[2], scene.owner(2), reason="orders: wrong signer")
    scene.done(HOUSE, "set_operator", scene.owner(0), helping.address, True)
    scene.done(HOUSE, "set_operator", scene.owner(2), OPERATOR, True)
    take(maker, scene.accounts[2], OPERATOR)
    for order in (buy.order, replace(buy.order, size=1), replace(buy.order, salt=2**200)):
        scene.ask("Orders", "remaining", order)
    # filled, superseded, cancelled
    short = book.sign(0, 0, WAD, price, lane=4)
    take(short, scene.accounts[2], OPERATOR)
    take(short, scene.accounts[2], OPERATOR, reason="orders: filled")
    scene.ask("Orders", "remaining", short.order)
    newer = book.sign(0, 0, WAD, price, lane=4)
    take(newer, scene.accounts[2], OPERATOR)
    take(short, scene.accounts[2], OPERATOR, reason="orders: cancelled or superseded")
    scene.refused("orders: not authorised", "Orders", "cancel", STRANGER, buy.order.account, buy.order.salt)
    scene.done("Orders", "cancel", scene.owner(0), buy.order.account, buy.order.salt)
    scene.done("Orders", "cancel", scene.owner(0), buy.order.account, buy.order.salt)
    salts = tuple(lane << 64 | 9 for lane in range(3))
    scene.done("Orders", "cancel_many", helping.address, buy.order.account, salts)
    scene.done("Orders", "cancel_many", helping.address, buy.order.account, ())
    # a maker who only reduces, and a taker who only reduces, on either side
    for side in (1, -1):
        for reduces in (True, False):
            order = book.sign(1, 0, -side * WAD, price, lane=5, reduce_only=reduces)
            args = (order.order, order.signature, scene.accounts[2], WAD, not reduces)
            scene.step("Orders", "take", OPERATOR, *args, acted=scene.accounts)
    scene.ask("Orders", "order_hash", buy.order)
    scene.ask("Orders", "domain_separator")
    scene.ask("Orders", "lanes", buy.order.account, 0)
    scene.finish()
    return scene.calls


def another_chain(chain: CoverageChain) -> int:
    """Where the chain has forked off under another id, orders are signed for that."""
    scene = Scene(chain)
    address = scene.address("Orders")
    answer = chain.answer_elsewhere(address, keccak(b"domain_separator()")[:4], 7_331)
    assert answer == hash_domain(7_331, address), answer.hex()
    return scene.calls


def refused_trades(chain: CoverageChain) -> int:
    """What a filler may not settle, and what the margin test says of it."""
    scene = Scene(chain, seconds=2)
    a, b = scene.accounts[0], scene.accounts[1]
    scene.rich(1, 2)
    scene.deposit(0, 100_000)
    price = scene.prices[0]

    def fill(reason: str, *args: object, sender: str = FILLER) -> None:
        scene.refused(reason, HOUSE, "fill", sender, *args)

    fill("ledger: not a filler", 0, a, b, WAD, price, 0, sender=STRANGER)
    fill("fill: same account", 0, a, a, WAD, price, 0)
    fill("fill: size", 0, a, b, 0, price, 0)
    fill("fill: size", 0, a, b, c.MAX_SIZE + 1, price, 0)
    fill("fill: price below band", 0, a, b, WAD, price * 9 // 10, 0)
    fill("fill: price above band", 0, a, b, WAD, price * 11 // 10, 0)
    fill("fill: lot", 0, a, b, WAD + 1, price, 0)
    fill("fill: nothing to fill", 0, a, b, WAD, price, 3)
    fill("fill: below minimum size", 0, a, b, 10**12, price, 0)
    fill("margin: below initial", 0, a, b, 10**6 * WAD, price, 0)
    limits = scene.limits(0)
    scene.done(HOUSE, "set_limits", GOVERNOR, 0, replace(limits, oi_cap=10 * WAD).pack())
    fill("fill: open interest cap", 0, scene.accounts[2], b, 11 * WAD, price, 0)
    scene.done(HOUSE, "fill", FILLER, 0, scene.accounts[2], b, 10 * WAD, price, 4)
    # the market is not live, another leg is frozen
    scene.at(0, price, feeds=2)
    scene.feed_mode(0, 2, 1)
    scene.advance(13)
    scene.step("PriceOracle", "poke", KEEPER, 0)
    fill("market: not live", 0, scene.accounts[2], b, WAD, price, 0)
    scene.feed_mode(0, 1, 1)
    scene.advance(13)
    scene.step("PriceOracle", "poke", KEEPER, 0)
    fill("market: frozen", 0, scene.accounts[2], b, WAD, price, 0)
    scene.at(1, scene.prices[1])
    fill("margin: frozen", 1, scene.accounts[2], b, WAD, scene.prices[1], 0)
    scene.at(1, scene.prices[1], 61)
    scene.refused("margin: frozen", HOUSE, "withdraw", scene.owner(2), scene.accounts[2], 1, scene.owner(2))
    scene.finish()
    return scene.calls


def sixteen_markets(chain: CoverageChain) -> int:
    """A ninth leg is one too many, for a taker of liquidations too; and everything that walks over all markets."""
    specs = [plain(f"M{i}") for i in range(16)]
    scene = Scene(chain, *specs, traders=6, seconds=1)
    scene.rich(0, 1, 2, 3)
    for market in range(8):
        scene.open(market, 0, 1, WAD)
        scene.open(market + 8, 2, 3, WAD)
    args = (8, scene.accounts[0], scene.accounts[2], WAD, scene.prices[8], 0)
    scene.refused("margin: too many legs", HOUSE, "fill", FILLER, *args)
    look = scene.ask("Lens", "account", scene.accounts[0])
    assert len(look[13]) == 8
    # the last market is reached by every contract that adds legs up
    scene.deposit(4, 300)
    scene.deposit(5, 20_000)
    bucket = scene.bucket(15)
    scene.fund("deposit", 0, 0, 10**6)
    scene.done("BackstopFund", "set_cap", GOVERNOR, 15, 10**6 * WAD)
    scene.done("BackstopFund", "top_up", KEEPER, 15, 100 * WAD, acted=(bucket, scene.treasury))
    trade = (15, bucket, scene.accounts[3], WAD, scene.prices[15], 0)
    scene.done(HOUSE, "fill", FILLER, *trade, acted=(bucket, scene.accounts[3]))
    scene.open(8, 2, 3, WAD)
    scene.open(8, 4, 3, WAD)
    scene.open(9, 5, 3, 50 * WAD)
    scene.at(8, 975 * WAD // 10)
    scene.refused(
        "margin: too many legs", HOUSE, "liquidate", scene.owner(0), scene.accounts[4], 8, scene.accounts[0], WAD
    )
    scene.step(HOUSE, "liquidate", scene.owner(2), scene.accounts[4], 8, scene.accounts[2], WAD, acted=scene.accounts)
    scene.step(HOUSE, "rerank", KEEPER, scene.accounts[2], 8)
    for _ in range(2):
        scene.at(9, 50 * WAD)
    scene.ask(HOUSE, "account_equity", scene.accounts[2])
    scene.step(HOUSE, "resolve", KEEPER, scene.accounts[2], ())
    scene.done(HOUSE, "resolve", KEEPER, scene.accounts[5], ())
    scene.refused(
        "ledger: closed to newcomers",
        HOUSE,
        "fill",
        FILLER,
        0,
        second(scene),
        scene.accounts[1],
        WAD,
        scene.prices[0],
        0,
    )
    scene.done(HOUSE, "rebase_claims", KEEPER)
    scene.finish()
    return scene.calls


def second(scene: Scene) -> bytes:
    """The first trader's other account."""
    return scene.accounts[len(scene.traders)]


def on_the_edge(chain: CoverageChain) -> int:
    """Who sells below the market may not end below zero; a market with one label an octave."""
    coarse = plain("B", rank=2)
    coarse = replace(coarse, limits=replace(coarse.limits, octave_bits=0))
    scene = Scene(chain, plain("A"), coarse, traders=4, seconds=1)
    scene.rich(1)
    scene.deposit(0, 2_100)
    scene.open(0, 0, 1, 10 * WAD)
    scene.at(0, 982 * WAD // 10)
    low = scene.prices[0] * 981 // 1_000
    trade = (0, scene.accounts[1], scene.accounts[0], 10 * WAD, low, 0)
    scene.refused("margin: would be bankrupt", HOUSE, "fill", FILLER, *trade)
    scene.deposit(2, 3_000)
    scene.open(1, 2, 1, 10 * WAD)
    scene.deposit(2, 80_000)
    scene.at(1, 100 * WAD, 61)
    scene.done(HOUSE, "rerank", KEEPER, scene.accounts[2], 1)
    scene.finish()
    return scene.calls
