"""Raw calls in scenarios, and scenarios written from calls: what is written plays to the same words."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from scripts.campaign.operations import Operations
from scripts.campaign.regimes import BY_NAME, REGIMES, Regime
from scripts.campaign.replay import Replay
from scripts.campaign.setup import FIRST_QUOTE, Setup, build
from scripts.campaign.steering import Steering
from scripts.chain import Chain
from scripts.scenario import ScenarioError, ScenarioFailed, parse, play
from scripts.scenario.calls import SignedBy
from scripts.scenario.runner import Player
from scripts.scenario.writing import (
    EXACT,
    LITERAL,
    MANNERS,
    Made,
    Writer,
    amount_text,
    number_text,
    rate_text,
    time_text,
)
from scripts.system import WAD
from scripts.twin import Step

FILE = """
name: calls
token: {decimals: 8}
governor: {delay: 3 h}
sequencer: true
quotes:
  USD: {price: 1, oracle: {feeds: 5, decimals: 18, rules: major}}
markets:
  CVX: {price: 2.3, policy: {rank: leverage, plan: ProRata}, oracle: {decimals: 6}}
  ETH: {price: 4_000, oracle: {quote: USD}}
fund: {providers: {lena: 10_000}, cooldown: 1 h}
actors:
  alice: 1_000
  bob: {deposit: 500, subaccount: 3}
  carl: {owner: account 7001}
  dora: {owner: "0x00000000000000000000000000000000000000d0"}
steps:
"""


FEED = (
    "{source: MockFeed0.3, decimals: 6, max_age: 60, heartbeat: 60, deviation: 1, group: 0, flux: false, least: 0, "
    "most: 1e18}"
)
RULES = (
    "{outlier: 500, soft: 0, jump: 0, clamp: 0, speed: 0, step: 0, tau_fast: 0, tau_ref: 900, hold: 0, calm: 0, "
    "grace: 0, freeze: 0, quote: 0}"
)
NOT_GOVERNOR = 'revert: "oracle: not governor"'


def told(*steps: str) -> str:
    """The file with these steps."""
    return FILE + "".join(f"  - {step}\n" for step in steps)


def call(contract: str, function: str, by: str, args: str) -> str:
    """A call step."""
    return f"call: {{contract: {contract}, function: {function}, by: {by}, args: {args}}}"


def test_call__reaches_every_contract_by_its_names(chain: Chain) -> None:
    """Accounts, addresses, markets, numbers, orders and signatures as a file writes them; every outcome is stated."""
    order = (
        "{account: alice, market: CVX, is_buy: true, size: 2e18, limit_price: 2.3e18, reduce_only: false, "
        "expiry: 1_800_000_000, claim_epoch: 0, salt: 0x1}"
    )
    other = order.replace("alice", "bob").replace("true", "false")
    crossing = f"[{order}, {{signed_by: alice}}, {other}, {{signed_by: bob}}, 2e18]"
    forged = f"[{order}, {{signed_by: bob}}, {other}, {{v: 27, r: 1, s: 0x2}}, 1e18]".replace("0x1", "0x2")
    scenario = parse(
        told(
            call("Orders", "settle_orders", "dora", crossing),
            f'{{{call("Orders", "settle_orders", "dora", forged)}, revert: "orders: wrong signer"}}',
            call("ClearingHouse", "set_policy", "governor", "[ETH, ProRata]"),
            call("BackstopFund", "set_cap", "governor", "[CVX, 100e18]"),
            "top_up: {market: CVX, amount: 50}",
            call("ClearingHouse", "deposit", "alice", "[dora, 0]").replace("0]", "1]").join(["{", ", outcome: any}"]),
            call("BackstopFund", "request_withdrawal", "provider lena", "[1_000]"),
            f"{{{call('ClearingHouse', 'resolve', 'guardian', '[bucket CVX, [bob, treasury]]')}, outcome: any}}",
            call("MockFeed1.2", "set_mode", "account 7001", "[3]"),
            call("MockFeed16.5", "set_mode", "account 7001", "[1]"),
            f"{{{call('PriceOracle', 'set_feeds', 'bob', f'[CVX, [{FEED}, {FEED}], {RULES}]')}, {NOT_GOVERNOR}}}",
            f"{{{call('PriceOracle', 'replace_feed', 'bob', f'[CVX, 2, {FEED}]')}, {NOT_GOVERNOR}}}",
            call("PriceOracle", "tighten_rules", "governor", f"[CVX, {RULES.replace('hold: 0', 'hold: 60')}]"),
            "feed: {market: ETH, feed: 0, mode: reverts empty}",
            "poke: {market: ETH}",
            call("Token", "transfer", "alice", "[BackstopFund, 0]"),
            f'{{{call("Token", "transfer", "alice", "[MockFeed0.0, 1]")}, revert: "token: balance"}}',
            "fill: {market: CVX, buyer: bob, seller: alice, size: 1, price: 2.3, maker: buyer, reduce_only: [buyer]}",
            "{fill: {market: CVX, buyer: carl, seller: alice, size: 1, price: 2.3}, outcome: any}",
            "expect: {accounts: {alice: {size: {CVX: 1}}, bob: {size: {CVX: -1}}}}",
        )
    )

    result = play(scenario, chain)

    assert scenario.setup == Setup(8, scenario.markets, 3_600, 10_800, scenario.quotes, True)
    assert [market.rules.quote for market in scenario.markets] == [0, FIRST_QUOTE]
    assert (scenario.markets[0].policy, scenario.markets[0].limits.rank, scenario.markets[0].feed_decimals) == (
        "ProRata",
        2,
        6,
    )
    assert result.checks >= 9
    assert [row.what for row in result.stages[0].rows].count("buys") == 2


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        (call("Clearing", "fill", "filler", "[]"), "call.contract: unknown contract 'Clearing'"),
        (call("MockFeed2.0", "set_mode", "keeper", "[1]"), "call.contract: unknown contract 'MockFeed2.0'"),
        (call("MockFeed0.4", "set_mode", "keeper", "[1]"), "call.contract: unknown contract 'MockFeed0.4'"),
        (call("MockFeed16.6", "set_mode", "keeper", "[1]"), "call.contract: unknown contract 'MockFeed16.6'"),
        (call("PriceOracle", "tighten_rules", "governor", "[CVX, {outlier: 1}]"), "args[1]: soft is missing; add it"),
        (call("Token", "mnit", "keeper", "[]"), "function: unknown function of Token 'mnit'; did you mean 'mint'?"),
        (call("Token", "mint", "keeper", "[alice]"), "call.args: mint takes 2 arguments (receiver, amount)"),
        (call("Token", "mint", "keper", "[alice, 1]"), "call.by: unknown address 'keper'; did you mean 'keeper'?"),
        (call("Token", "mint", "keeper", "[alic, 1]"), "args[0]: unknown address 'alic'; did you mean 'alice'?"),
        (call("Token", "mint", "keeper", "[0xabc, 1]"), "args[0]: 20 bytes in hexadecimal are wanted"),
        (call("Token", "mint", "keeper", "[alice, 1.5]"), "args[1]: 1.5 does not fit uint256, a whole number"),
        (call("Token", "mint", "keeper", "[alice, -1]"), "args[1]: -1 does not fit uint256"),
        (call("Token", "mint", "keeper", "[alice, 1e99]"), "args[1]: a whole number is wanted like 1_000, 2.5e18"),
        (call("Token", "mint", "keeper", "[alice, much]"), "args[1]: a whole number is wanted like 1_000, 2.5e18"),
        (call("Token", "mint", "keeper", "alice"), "call.args: a list is wanted, not 'alice'"),
        (call("ClearingHouse", "release", "keeper", "[bucket DOGE]"), "args[0]: unknown account 'bucket DOGE'"),
        (call("ClearingHouse", "settle", "keeper", "[alice, DOGE]"), "args[1]: a whole number is wanted"),
        (call("ClearingHouse", "set_operator", "alice", "[bob, 1]"), "args[1]: unknown answer '1'"),
        (call("ClearingHouse", "resolve", "keeper", "[alice, bob]"), "args[1]: a list is wanted, not 'bob'"),
        (call("Governor", "execute", "governor", "[Token, 0x123]"), "args[1]: bytes in hexadecimal are wanted"),
        (
            call("Orders", "take", "bob", "[{account: alice}, {signed_by: alice}, bob, 1, true]"),
            "args[0]: market is missing; add it",
        ),
        ("call: {contract: Token, function: mint}", "call: by is missing; add it"),
        ("{rebase: {}, outcome: maybe}", "outcome: unknown outcome 'maybe'; there are any"),
        ("{rebase: {}, outcome: any, revert: x}", "either revert or outcome can be given; remove one"),
        ("{advance: 1 s, outcome: any}", "outcome: advance is never refused; remove it"),
        ("feed: {market: CVX, feed: 4, mode: normal}", "feed.feed: a whole number from 0 to 3 is wanted"),
        ("feed: {market: USD, feed: 6, mode: normal}", "feed.feed: a whole number from 0 to 5 is wanted"),
        ("replace_feed: {market: CVX, feed: 3}", "replace_feed.feed: a whole number from 0 to 2 is wanted"),
        ("tighten_rules: {market: CVX, rules: {soft: 5}}", "rules.soft: a rate with its unit, like '2 %'"),
        ("settle_market: {market: USD}", "settle_market.market: unknown market 'USD'; there are CVX, ETH"),
        ("settle_market: {market: CVX, by: alice}", "settle_market.by: unknown role 'alice'"),
        ("price: {USD: [1, 1, 1]}", "price.USD: one price for all feeds or a list of 5 is wanted"),
        ("feed: {market: CVX, feed: 0, mode: dead}", "feed.mode: unknown mode 'dead'; there are normal, reverts"),
        (
            "trade: {market: CVX, buyer: alice, seller: carl, size: 1, price: 2}",
            "trade.seller: account 7001 has no key to sign with; use a fill step",
        ),
        ("price: {CVX: 2.1234567}", "price.CVX: a price below 100,000,000 of at most 6 decimals is wanted"),
    ],
)
def test_call__says_what_is_wrong_with_it(step: str, complaint: str) -> None:
    """Before anything is deployed."""
    with pytest.raises(ScenarioError) as error:
        parse(told(step))

    assert str(error.value).startswith("steps[0].")
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("rank: leverage", "rank: size", "CVX.policy.rank: unknown rank 'size'; did you mean 'single'?"),
        ("plan: ProRata", "plan: Prorata", "markets.CVX.policy.plan: unknown plan 'Prorata'; did you mean 'ProRata'?"),
        ("d0", "d", "actors.dora.owner: an address is 0x and 40 hexadecimal digits"),
        ("oracle: {decimals: 6}", "oracle: {decimals: 19}", "oracle.decimals: a whole number from 0 to 18 is wanted"),
        ("delay: 3 h", "wait: 3 h", "governor.wait: unknown key"),
        ("cooldown: 1 h", "cooldown: soon", "fund.cooldown: a time like '90 s'"),
    ],
)  # fmt: skip
def test_setup__says_what_is_wrong_with_it(old: str, new: str, complaint: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse(told("rebase:").replace(old, new, 1))

    assert complaint in str(error.value)


def test_signed_by__needs_a_key() -> None:
    order = "{account: alice, market: 0, is_buy: true, size: 1, limit_price: 1, reduce_only: false, expiry: 1, "
    order += "claim_epoch: 0, salt: 1}"
    for owner in ("account 7001", "carl", '"0x00000000000000000000000000000000000000d0"'):
        with pytest.raises(ScenarioError, match=r"args\[1\].signed_by: .* has no key to sign with; write v, r and s"):
            parse(told(call("Orders", "take", "bob", f"[{order}, {{signed_by: {owner}}}, bob, 1, true]")))
    batch = f"[{order}, {{signed_by: alice}}, {order}, {{signed_by: bob}}, 1]"
    assert parse(told(call("Orders", "settle_orders", "bob", batch))).steps[0].args["args"][3] == SignedBy("bob")


def test_call__compares_what_only_the_chain_has(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call step looks at every word, so that it is the step that is named."""
    step = call("BackstopFund", "set_cap", "governor", "[CVX, 1e18]")
    player = Player(scenario := parse(told(step)), chain)
    model = player.system.fund
    monkeypatch.setattr(model, "set_cap", lambda sender, market, cap: model._emit("CapSet", market=market, cap=cap))

    with pytest.raises(ScenarioFailed, match=r"steps\[0\].call: mismatch at BackstopFund.set_cap: storage slot 0x"):
        player.play(scenario.steps[0])


# Writing


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
def test_write__says_every_setup_of_a_campaign(regime: Regime, chain: Chain) -> None:
    system = build(chain, regime.setup)
    for manner in MANNERS:
        text = Writer(regime.setup, [], system, manner).text("nothing", "happens")

        assert parse(text).setup == regime.setup


def walk(chain: Chain, regime: Regime, steps: int) -> list[Step]:
    """The calls of the beginning of a walk in that regime."""
    ops = Operations(chain, regime.setup, 5, 2)
    steering = Steering(ops, regime, Random(5))
    steering.open()
    while ops.steps < steps:
        steering.move()
    return list(ops.trace)


@pytest.mark.parametrize(
    "name",
    ["orders", "feeds", "breaker", "quotes", "settlement", "rebase", "fund_life", "adl_leverage", "governance"],
)
def test_write__tells_a_walk_so_that_it_goes_the_same_way(name: str, open_chain: Callable[[str], Chain]) -> None:
    """Every kind of call, told literally and with the steps of the language: same outcomes, same ledger."""
    regime = BY_NAME[name]
    trace = walk(open_chain("revm"), regime, 90)
    stage = Replay(regime.setup, open_chain("revm"))
    assert stage.run(trace) is None
    calls = [Made(step, reason) for step, reason in zip(trace, stage.reasons, strict=True)]

    for manner in (LITERAL, EXACT):
        text = Writer(regime.setup, calls, stage.system, manner).text(name, "a walk")
        player = Player(scenario := parse(text), open_chain("revm"))
        for step in scenario.steps:
            player.play(step)
        player.finish()

        ours, theirs = player.system.twin.world.words, stage.twin.world.words
        told_otherwise = ("Token", "BackstopFund") if manner == EXACT else ()
        assert {k: w for k, w in ours.items() if k[0] not in told_otherwise} == {
            k: w for k, w in theirs.items() if k[0] not in told_otherwise
        }
        assert ("call" in text) or manner == EXACT


def test_texts__show_the_size_of_a_number() -> None:
    assert [number_text(n) for n in (7, 30_000, 25 * 10**17, -(10**18), 2**255, 2**256 - 1)] == [
        "7",
        "30_000",
        "2.5e18",
        "-1e18",
        hex(2**255),
        hex(2**256 - 1),
    ]
    assert [amount_text(n) for n in (WAD // 2, 1_234 * WAD, 12_345 * WAD + 1)] == [
        "0.5",
        "1234",
        "12_345.000000000000000001",
    ]
    assert [rate_text(n) for n in (20_000, 500, 33)] == ["2 %", "0.05 %", "33 ppm"]
    assert [time_text(n) for n in (0, 59, 60, 5_400, 7_200, 86_400)] == ["0 s", "59 s", "1 min", "90 min", "2 h", "1 d"]
