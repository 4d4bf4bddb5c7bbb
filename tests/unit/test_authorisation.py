"""Who may call what: every external of every contract is in a table here, and one that is not fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from scripts.chain import Chain, Outcome, account, make_chain
from scripts.chain.artifacts import CONTRACTS, DELEGATES, artifact, canonical, compile_file, compile_source, paths
from scripts.system import FILLER, GOVERNOR, KEEPER, LIMITS, RISK, WAD, Actor, MarketSpec, System, deploy
from tests import books
from tests.books import ALICE, BOB, CAROL, DAVE, ok, refused, word

PRICE = 1_000 * WAD

deployed = books.deployed_fixture(MarketSpec("ETH", PRICE), decimals=6)
system = books.system_fixture()

A, B = ALICE.account(), BOB.account()
OPERATOR = CAROL.address

SENDERS = {
    "stranger": DAVE.address,
    "owner": ALICE.address,
    "operator": OPERATOR,
    "governor": GOVERNOR,
    "filler": FILLER,
    "keeper": KEEPER,
}
"""Roles as seen from Alice's account, which every restricted call below is about."""

Rule = tuple[str, tuple[str, ...], Callable[[System], tuple[Any, ...]]]
"""Reason of the refusal, roles that are not refused for it (none named: anyone), arguments."""

ANYONE: tuple[str, ...] = ()
OWNER = ("owner",)
ACTING = ("owner", "operator")
GOVERNING = ("governor",)

LEDGER: dict[str, Rule] = {
    # money in and trades
    "deposit": ("ledger: not authorised", ACTING, lambda s: (A, 1)),
    "fill": ("ledger: not a filler", ("filler",), lambda s: (0, A, B, WAD, PRICE, 0)),
    "liquidate": ("ledger: not authorised", ACTING, lambda s: (B, 0, A, WAD)),
    "liquidate_batch": ("ledger: not authorised", ACTING, lambda s: ((B,), 0, A, WAD)),
    # money out
    "withdraw": ("ledger: not the owner", OWNER, lambda s: (A, 1, DAVE.address)),
    "transfer": ("ledger: not the owner", OWNER, lambda s: (A, ALICE.account(1), 1)),
    "repay_bad_debt": ("ledger: not the owner", OWNER, lambda s: (A, WAD)),
    # upkeep: the account it is about can only be served by it
    "resolve": ("", ANYONE, lambda s: (A, ())),
    "sweep_fees": ("", ANYONE, lambda s: (0,)),
    "rebase_claims": ("", ANYONE, lambda s: ()),
    "claim": ("", ANYONE, lambda s: (A, 0)),
    "release": ("", ANYONE, lambda s: (A,)),
    "settle": ("", ANYONE, lambda s: (A, 0)),
    "rerank": ("", ANYONE, lambda s: (A, 0)),
    "take_over": ("", ANYONE, lambda s: (A, 0)),
    "account_equity": ("", ANYONE, lambda s: (A,)),
    "set_operator": ("", ANYONE, lambda s: (DAVE.address, True)),  # for the caller's own accounts
    # governance
    "wire": ("ledger: not the governor", GOVERNING, lambda s: (KEEPER, KEEPER)),
    "set_filler": ("ledger: not the governor", GOVERNING, lambda s: (DAVE.address, True)),
    "transfer_governor": ("ledger: not the governor", GOVERNING, lambda s: (DAVE.address,)),
    "add_market": (
        "ledger: not the governor",
        GOVERNING,
        lambda s: (1, RISK.pack(), LIMITS.pack(), PRICE, s.addresses["ProRata"]),
    ),
    "set_risk": ("ledger: not the governor", GOVERNING, lambda s: (0, RISK.pack())),
    "set_limits": ("ledger: not the governor", GOVERNING, lambda s: (0, LIMITS.pack())),
    "set_policy": ("ledger: not the governor", GOVERNING, lambda s: (0, s.addresses["ProRata"])),
}

RULES: dict[str, dict[str, Rule]] = {
    "ClearingHouse": LEDGER,
    "Orders": {
        "settle_orders": ("", ANYONE, lambda s: (*signed(s, BOB, WAD), *signed(s, ALICE, -WAD), WAD)),
        "take": ("orders: not authorised", ACTING, lambda s: (*signed(s, BOB, WAD), A, WAD, False)),
        "cancel": ("orders: not authorised", ACTING, lambda s: (A, 1)),
        "cancel_many": ("orders: not authorised", ACTING, lambda s: (A, (1, 2))),
    },
    "PriceOracle": {
        "prices": ("", ANYONE, lambda s: (0,)),
        "poke": ("", ANYONE, lambda s: (0,)),
        "set_governor": ("oracle: not governor", GOVERNING, lambda s: (DAVE.address,)),
        "set_reporter": ("oracle: not governor", GOVERNING, lambda s: (DAVE.address,)),
        "set_sequencer": ("oracle: not governor", GOVERNING, lambda s: (s.twin.address(s.feed_name(0, 0)),)),
        "set_feeds": ("oracle: not governor", GOVERNING, lambda s: (1, *s.feed_args(0))),
        "replace_feed": ("oracle: not governor", GOVERNING, lambda s: (0, 1, s.feed_args(0)[0][0])),
        "tighten_rules": ("oracle: not governor", GOVERNING, lambda s: (0, s.feed_args(0, outlier_bps=1)[1])),
        "settle": ("oracle: not settleable", GOVERNING, lambda s: (0,)),  # anybody, after a long freeze
        "report": ("oracle: not reporter", ("ClearingHouse",), lambda s: (0, PRICE)),
    },
    "BackstopFund": {
        # each of the first block moves only what the caller has or was allowed to
        "deposit": ("", ANYONE, lambda s: (1,)),
        "request_withdrawal": ("", ANYONE, lambda s: (1,)),
        "cancel_withdrawal": ("", ANYONE, lambda s: ()),
        "claim_withdrawal": ("", ANYONE, lambda s: ()),
        "transfer": ("", ANYONE, lambda s: (DAVE.address, 1)),
        "transferFrom": ("", ANYONE, lambda s: (ALICE.address, DAVE.address, 1)),
        "transfer_shares": ("", ANYONE, lambda s: (DAVE.address, 1)),
        "approve": ("", ANYONE, lambda s: (DAVE.address, 1)),
        "recognise": ("", ANYONE, lambda s: ()),
        "top_up": ("", ANYONE, lambda s: (0, WAD)),  # up to the governor's cap
        "start_auction": ("", ANYONE, lambda s: (0,)),
        "sell_inventory": ("fund: not authorised", ACTING, lambda s: (0, A, WAD)),
        "skim": ("fund: not governor", GOVERNING, lambda s: (0, WAD)),
        "set_cap": ("fund: not governor", GOVERNING, lambda s: (0, WAD)),
    },
}

GOVERNOR_RULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "propose_owner": ("governor: not owner", ("owner",)),
    "accept_owner": ("governor: not pending owner", ("heir",)),
    "set_guardian": ("governor: not owner", ("owner",)),
    "seal": ("governor: not owner", ("owner",)),
    "schedule": ("governor: not owner", ("owner",)),
    "execute": ("governor: not owner", ("owner",)),
    "cancel": ("governor: not guardian", ("owner", "guardian")),
    "tighten_risk": ("governor: not guardian", ("owner", "guardian")),
    "tighten_limits": ("governor: not guardian", ("owner", "guardian")),
    "tighten_feeds": ("governor: not guardian", ("owner", "guardian")),
    "replace_feed": ("governor: not guardian", ("owner", "guardian")),
}

VIEW_ONLY = ("Lens", "LiquidationEngine", "ProRata", "BandQueue")
"""Contracts that can write nothing."""

REASONS = {rule[0] for table in RULES.values() for rule in table.values()} - {""}


def signed(s: System, by: Actor, size: int) -> tuple[Any, Any]:
    """An order and its signature."""
    return s.order(by, 0, size, PRICE)


def writers(name: str) -> set[str]:
    """Externals of a contract that may write, the constructor and the fallback aside."""
    entries = [e for e in artifact(name).abi if e["type"] == "function"]
    return {e["name"] for e in entries if e["stateMutability"] not in ("view", "pure")}


# ---- the table is complete -------------------------------------------------------------------------


def test_every_external_is_in_the_table() -> None:
    contracts = {name for name, path in paths().items() if path.parent == CONTRACTS}
    known = {*RULES, *VIEW_ONLY, *DELEGATES, "Governor"}
    assert contracts - known == set(), "contracts without rules"
    for name, table in RULES.items():
        assert writers(name) == set(table), name
    assert writers("Governor") == set(GOVERNOR_RULES)
    for name in VIEW_ONLY:
        if name in contracts:
            assert writers(name) == set(), name
    # delegates are in the merged ABI of the ClearingHouse, all of each
    for name in DELEGATES:
        assert writers(name) <= set(LEDGER), name


def test_every_external_has_one_home() -> None:
    """No selector of the family is served twice: the first to know it would hide the other."""
    seen: dict[bytes, str] = {}
    for name in ("ClearingHouse", *DELEGATES):
        own = compile_file(paths()[name]).abi
        for entry in own:
            if entry["type"] == "function":
                selector = _selector(entry)
                assert selector not in seen, f"{name}.{entry['name']} and {seen[selector]}"
                seen[selector] = f"{name}.{entry['name']}"


def test_no_external_takes_ether() -> None:
    for name, path in paths().items():
        if path.parent == CONTRACTS:
            assert all(e.get("stateMutability") != "payable" for e in artifact(name).abi), name


def _selector(entry: dict[str, Any]) -> bytes:
    return keccak(f"{entry['name']}({','.join(canonical(i) for i in entry['inputs'])})".encode())[:4]


# ---- the table is true -----------------------------------------------------------------------------


@pytest.mark.parametrize("role", SENDERS)
@pytest.mark.parametrize(("contract", "function"), [(n, f) for n, table in RULES.items() for f in table])
def test_external__is_refused_for_who_calls_only_as_the_table_says(
    system: System, contract: str, function: str, role: str
) -> None:
    books.rich(system, ALICE, BOB)
    system.must("set_operator", ALICE.address, OPERATOR, True)
    reason, allowed, arguments = RULES[contract][function]
    outcome = system.twin.call(contract, function, SENDERS[role], *arguments(system))
    if allowed and role not in allowed:
        refused(outcome, reason)
    else:
        assert outcome.reason not in REASONS


# ---- operators -------------------------------------------------------------------------------------


def test_operator__may_put_in_and_never_take_out(system: System) -> None:
    books.rich(system, ALICE)
    system.must("set_operator", ALICE.address, OPERATOR, True)
    ok(system.twin.call("Token", "mint", KEEPER, OPERATOR, 10))
    ok(system.twin.call("Token", "approve", OPERATOR, system.clearing_house.address, 10))
    before = word(system, A).cash
    ok(system.call("deposit", OPERATOR, A, 10))
    assert word(system, A).cash == before + 10 * system.unit
    refused(system.call("withdraw", OPERATOR, A, 1, OPERATOR), "ledger: not the owner")
    refused(system.call("transfer", OPERATOR, A, CAROL.account(), 1), "ledger: not the owner")
    refused(system.call("transfer", OPERATOR, CAROL.account(), A, 1), "ledger: not the owner")
    refused(system.call("repay_bad_debt", OPERATOR, A, 1), "ledger: not the owner")


def test_operator__of_one_owner_is_nobody_to_another(system: System) -> None:
    books.rich(system, ALICE, BOB)
    system.must("set_operator", ALICE.address, OPERATOR, True)
    refused(system.call("deposit", OPERATOR, B, 1), "ledger: not authorised")
    assert system.twin.view("ClearingHouse", "is_authorised", ALICE.address, OPERATOR)
    assert not system.twin.view("ClearingHouse", "is_authorised", BOB.address, OPERATOR)
    # it does not go on: an operator's operator has no right
    system.must("set_operator", OPERATOR, DAVE.address, True)
    assert not system.twin.view("ClearingHouse", "is_authorised", ALICE.address, DAVE.address)


def test_operator__removed(system: System) -> None:
    books.rich(system, ALICE)
    system.must("set_operator", ALICE.address, OPERATOR, True)
    system.must("set_operator", ALICE.address, OPERATOR, False)
    refused(system.call("deposit", OPERATOR, A, 1), "ledger: not authorised")
    assert not system.twin.view("ClearingHouse", "is_authorised", ALICE.address, OPERATOR)


def test_owner__is_not_the_owner_of_a_like_account(system: System) -> None:
    """The owner is the high 20 bytes of the account and nothing else."""
    books.rich(system, ALICE)
    shifted = bytes(12) + A[:20]
    refused(system.call("withdraw", ALICE.address, shifted, 1, ALICE.address), "ledger: not the owner")
    last = ALICE.account(2**96 - 1)
    ok(system.fund_account(ALICE.address, WAD, 2**96 - 1))
    ok(system.call("withdraw", ALICE.address, last, 1, ALICE.address))


def test_transfer__to_an_account_of_another(system: System) -> None:
    books.rich(system, ALICE, BOB)
    refused(system.call("transfer", ALICE.address, A, B, 1), "ledger: not the owner")
    refused(system.call("transfer", ALICE.address, B, A, 1), "ledger: not the owner")


# ---- governance ------------------------------------------------------------------------------------


def test_governor__handed_over(system: System) -> None:
    system.must("transfer_governor", GOVERNOR, DAVE.address)
    refused(system.call("set_filler", GOVERNOR, KEEPER, True), "ledger: not the governor")
    ok(system.call("set_filler", DAVE.address, KEEPER, True))
    refused(system.call("transfer_governor", DAVE.address, "0x" + "00" * 20), "ledger: zero address")


@pytest.mark.parametrize("function", GOVERNOR_RULES)
@pytest.mark.parametrize("role", ["stranger", "owner", "guardian", "heir"])
def test_governor_contract__roles(chain: Chain, function: str, role: str) -> None:
    senders = {"stranger": account(1), "owner": account(2), "guardian": account(3), "heir": account(4)}
    at = chain.deploy("Governor", senders["owner"], senders["guardian"], 86_400, sender=account(0))
    assert chain.call(senders["owner"], at, "propose_owner", senders["heir"]).ok
    entry = next(e for e in artifact("Governor").abi if e.get("name") == function)
    blanks: dict[str, Any] = {"address": at, "uint256": 1, "bytes32": bytes(32), "bytes": b"", "bool": True}

    def blank(parameter: dict[str, Any]) -> Any:
        return tuple(map(blank, parameter.get("components", ()))) or blanks[canonical(parameter)]

    outcome = chain.call(senders[role], at, function, *map(blank, entry["inputs"]))
    reason, allowed = GOVERNOR_RULES[function]
    assert (outcome.reason == reason) == (role not in allowed)


# ---- delegates on their own ------------------------------------------------------------------------


@pytest.mark.parametrize("delegate", DELEGATES)
def test_delegate__called_directly_holds_and_changes_nothing(system: System, delegate: str) -> None:
    """A delegate's own storage is empty and nobody governs it; the ClearingHouse's is out of its reach."""
    books.rich(system, ALICE, BOB)
    ok(system.trade(0, A, B, WAD, PRICE))
    chain, at, house = system.chain, system.addresses[delegate], system.clearing_house.address
    before, vault = chain.dump(house), system.token.balanceOf(KEEPER, house)
    assert chain.dump(at) == {}
    for function in sorted(writers(delegate)):
        reason, allowed, arguments = LEDGER[function]
        for sender in SENDERS.values():
            outcome: Outcome = chain.call(sender, at, function, *arguments(system))
            if allowed == GOVERNING:
                assert outcome.reason == reason, f"{function}: the delegate itself has no governor"
    assert chain.dump(house) == before
    assert system.token.balanceOf(KEEPER, house) == vault
    assert system.token.balanceOf(KEEPER, at) == 0
    # nothing but an operator's approval, which nobody reads there, may stick
    left = {} if delegate != "AccountDesk" else dict(chain.dump(at) or {})
    assert len(left) <= len(SENDERS)
    assert all(value == 1 for value in left.values())
    if delegate != "AccountDesk":
        assert chain.dump(at) == {}


HOOKED = """
# pragma version 0.4.3
balanceOf: public(HashMap[address, uint256])
decimals: public(uint8)
target: address
data: Bytes[2048]
success: public(bool)
response: public(Bytes[256])

@deploy
def __init__(symbol: String[16], decimals: uint8):
    self.decimals = decimals

@external
def mint(owner: address, amount: uint256):
    self.balanceOf[owner] += amount

@external
def arm(target: address, data: Bytes[2048]):
    self.target = target
    self.data = data
    self.success = True

@internal
def _hook():
    if self.target != empty(address):
        self.success, self.response = raw_call(self.target, self.data, max_outsize=256, revert_on_failure=False)

@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount
    self._hook()
    return True

@external
def transfer(to: address, amount: uint256) -> bool:
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[to] += amount
    self._hook()
    return True
"""


@pytest.fixture(scope="module")
def hooked() -> Iterator[System]:
    """A system whose token calls back in the middle of a transfer."""
    with make_chain() as chain:
        put = chain.deploy

        def deploy_other(contract: Any, *args: Any, **more: Any) -> str:
            return put(compile_source("Hooked", HOOKED) if contract == "MockToken" else contract, *args, **more)

        chain.deploy = deploy_other  # type: ignore[method-assign]
        yield deploy(chain, [MarketSpec("ETH", PRICE)], 18)


@pytest.mark.parametrize("outer", ["deposit", "withdraw"])
@pytest.mark.parametrize("function", sorted(LEDGER))
def test_clearing_house__is_locked_while_it_calls_the_token(hooked: System, function: str, outer: str) -> None:
    """One lock for the whole family: no writer of any delegate can be entered during a deposit or a withdrawal.

    The lock refuses without a reason and before anything else; a missing lock would show the function's own reason.
    """
    chain, house, token = hooked.chain, hooked.clearing_house.address, hooked.addresses["Token"]
    mark = chain.snapshot()
    try:
        assert chain.call(KEEPER, token, "mint", ALICE.address, 10).ok
        assert chain.call(ALICE.address, house, "deposit", A, 5).ok
        entry = next(e for e in artifact("ClearingHouse").abi if e.get("name") == function)
        types = [canonical(i) for i in entry["inputs"]]
        data = _selector(entry) + encode(types, list(LEDGER[function][2](hooked)))
        assert chain.call(KEEPER, token, "arm", house, data).ok
        arguments = (A, 5) if outer == "deposit" else (A, 5, ALICE.address)
        assert chain.call(ALICE.address, house, outer, *arguments).ok
        assert chain.view(token, "success") is False
        assert chain.view(token, "response") == b""
    finally:
        chain.revert(mark)


def test_clearing_house__can_be_asked_while_it_calls_the_token(hooked: System) -> None:
    """Views without state of a trade under way answer within a call, which also shows that the hook reaches it."""
    chain, house, token = hooked.chain, hooked.clearing_house.address, hooked.addresses["Token"]
    mark = chain.snapshot()
    try:
        assert chain.call(KEEPER, token, "mint", ALICE.address, 5).ok
        assert chain.call(KEEPER, token, "arm", house, keccak(b"claim_epoch()")[:4]).ok
        assert chain.call(ALICE.address, house, "deposit", A, 5).ok
        assert chain.view(token, "success") is True
        assert chain.view(token, "response") == bytes(32)
    finally:
        chain.revert(mark)


def test_clearing_house__forwards_unknown_selectors_to_the_end_of_the_line(system: System) -> None:
    """A selector that nobody knows reverts, and so does a call without one."""
    chain, house = system.chain, system.clearing_house.address
    before = chain.dump(house)
    for data in (b"", b"\x01", keccak(b"no_such_function()")[:4], keccak(b"withdraw(bytes32,uint256)")[:4] + bytes(64)):
        assert not chain._execute(DAVE.address, house, data, keep=True).success
    assert chain.dump(house) == before


def test_clearing_house__call_data_is_forwarded_whole(system: System) -> None:
    """What the ABI encodes for a delegate reaches it unchanged, dynamic arrays included."""
    books.rich(system, BOB, CAROL)
    data = keccak(b"liquidate_batch(bytes32[],uint256,bytes32,uint256)")[:4] + encode(
        ["bytes32[]", "uint256", "bytes32", "uint256"], [[B] * 16, 0, CAROL.account(), 1]
    )
    result = system.chain._execute(CAROL.address, system.clearing_house.address, data, keep=False)
    assert result.success
    assert int.from_bytes(result.output, "big") == 0


@pytest.mark.parametrize(
    ("contract", "function"),
    [(n, f) for n, table in RULES.items() for f, rule in table.items() if rule[1] == GOVERNING],
)
def test_governor__moves_no_money_between_users(system: System, contract: str, function: str) -> None:
    """INV-15: after any privileged call every user has the same words and the same tokens."""
    books.rich(system, ALICE, BOB)
    ok(system.trade(0, A, B, WAD, PRICE))
    users = (A, B, CAROL.account(), DAVE.account())
    house = system.clearing_house.address

    def holdings() -> list[Any]:
        held = [system.twin.view("ClearingHouse", "load_account", user) for user in users]
        tokens = [system.token.balanceOf(KEEPER, who) for who in (house, *SENDERS.values())]
        return [held, tokens, books.domain(system)]

    before = holdings()
    system.twin.call(contract, function, GOVERNOR, *RULES[contract][function][2](system))
    assert holdings() == before


def test_set_limits__cannot_touch_rank_or_receipts(system: System) -> None:
    """The governor cannot rewrite what stored labels rest on."""
    system.must("set_limits", GOVERNOR, 0, replace(LIMITS, rank=0, octave_bits=1, open_receipts=7, listed=False).pack())
    now = books.limits(system)
    assert (now.rank, now.octave_bits, now.open_receipts, now.listed) == (LIMITS.rank, LIMITS.octave_bits, 0, True)
