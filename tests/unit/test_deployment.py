"""A deployment can be cut short anywhere, verifies itself, and refuses bad input in one line that names the fix."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from eth_abi import encode
from eth_utils import to_checksum_address
from rich.console import Console

from python_ref.constants import STATE_LIVE
from python_ref.oracle_words import Feed
from scripts import devnet, wallet
from scripts.campaign.setup import calldata
from scripts.chain import Chain, artifact
from scripts.chain.anvil import AnvilChain, find_anvil
from scripts.chain.artifacts import ROOT
from scripts.deployment import DeploymentError
from scripts.deployment import sender as sender_module
from scripts.deployment.config import DEMO, Config, format_wad, load_config, parse_config, parse_wad
from scripts.deployment.core import Deployment, deploy, parts
from scripts.deployment.sender import Receipt, RpcSender, connect, created_address, dev_key, with_reserve
from scripts.deployment.verify import Check, prices_of, report, verify
from scripts.rules import PROFILES

EXAMPLE = DEMO.with_name("example.yaml")
STRANGER = to_checksum_address("0x" + "5a" * 20)
TRANSACTIONS = 44
"""Of the demo: 23 deployments, 8 answers of feeds, 12 calls through the Governor and to the oracle, and the seal."""


ADDRESSES = [f"0x{i:040x}" for i in range(1, 9)]
THREE = tuple(enumerate(ADDRESSES[:3]))
MOCK = {"price": 1, "decimals": 8, "max_age_s": 3_600, "heartbeat_s": 3_600, "deviation_bps": 1}
NO_QUOTE = "quotes[0].oracle.quote: no such field"


def real_feed(address: str, group: int = 0, **changes: Any) -> dict[str, Any]:
    """A feed that others deployed, as a file has it."""
    ages = {"decimals": 8, "max_age_s": 3_900, "heartbeat_s": 3_600, "deviation_bps": 50}
    return {"address": address, **ages, "group": group, **changes}


def demo() -> dict[str, Any]:
    """The demo's parameters as plain data, to be spoilt."""
    data: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(DEMO.read_text())))
    return data


class DyingSender(RpcSender):
    """Dies at its ``k``-th transaction (from 0): before sending it, or after sending and before telling."""

    def __init__(self, url: str, k: int, after: bool) -> None:
        super().__init__(url, dev_key(0))
        self.k, self.after = k, after

    def send(self, what: str, to: str | None, data: bytes) -> Receipt:
        """As the base, until it dies."""
        self.k -= 1
        if self.k < 0 and not self.after:
            raise KeyboardInterrupt
        receipt = super().send(what, to, data)
        if self.k < 0:
            raise KeyboardInterrupt
        return receipt


@pytest.fixture
def node(open_chain: Callable[[str], Chain]) -> AnvilChain:
    """A fresh anvil that mines by itself, as one that people use."""
    chain = open_chain("anvil")
    assert isinstance(chain, AnvilChain)
    chain.rpc("evm_setAutomine", True)
    return chain


@pytest.fixture
def config() -> Config:
    """The demo's parameters."""
    return load_config(DEMO)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state file that is not there yet."""
    return tmp_path / "deployments" / "here.json"


def put(sender: RpcSender, config: Config, path: Path) -> Deployment:
    """Deploy without words."""
    return deploy(sender, config, path, lambda _: None)


def wrong(checks: list[Check]) -> list[tuple[str, str]]:
    """Subject and name of every check that fails."""
    return [(check.subject, check.what) for check in checks if not check.good]


def refused(data: dict[str, Any]) -> str:
    """What the configuration is refused with."""
    with pytest.raises(DeploymentError) as caught:
        parse_config(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- deploying -----------------------------------------------------------------------------------


def test_deploy__fresh_chain(node: AnvilChain, config: Config, path: Path) -> None:
    sender = RpcSender(node.url, dev_key(0))
    deployment = put(sender, config, path)
    checks = verify(deployment, config)
    assert wrong(checks) == []
    assert {"Governor", "ClearingHouse", "Orders", "BackstopFund", "history", "ETH", "CVX"} <= {
        c.subject for c in checks
    }
    data = json.loads(path.read_text())
    assert data["complete"]
    assert data["pending"] is None
    assert data["parameters"] == config.as_dict()
    assert (data["chain_id"], data["block"], data["rpc_url"]) == (sender.chain_id, 0, node.url)
    assert set(data["contracts"]) == {part.label for part in parts(config, sender.address)}
    names = {entry.get("name") for entry in data["contracts"]["ClearingHouse"]["abi"]}
    assert {"deposit", "liquidate", "resolve", "rebase_claims", "withdraw", "add_market"} <= names
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    # A second run finds nothing to do.
    sent = sender.nonce()
    put(sender, config, path)
    assert sender.nonce() == sent
    assert json.loads(path.read_text()) == data


@pytest.mark.parametrize(
    ("k", "after"), [(0, True), (1, False), (14, True), (22, True), (26, True), (29, False), (36, True), (43, True)]
)
def test_deploy__killed_and_resumed(node: AnvilChain, config: Config, path: Path, k: int, after: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        put(DyingSender(node.url, k, after), config, path)
    assert not json.loads(path.read_text())["complete"]
    with pytest.raises(DeploymentError, match="not finished"):
        wallet.open_deployment(path, dev_key(0))
    sender = RpcSender(node.url, dev_key(0))
    deployment = put(sender, config, path)
    assert wrong(verify(deployment, config)) == []
    # Nothing was deployed or sent twice: the addresses are those of a run that nobody disturbed.
    for nonce, part in enumerate(parts(config, sender.address)):
        assert deployment.addresses[part.label] == created_address(sender.address, nonce)
    assert sender.nonce() == TRANSACTIONS


def test_deploy__killed_before_it_began(node: AnvilChain, config: Config, path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        put(DyingSender(node.url, 0, False), config, path)
    assert json.loads(path.read_text())["contracts"] == {}
    assert wrong(verify(put(RpcSender(node.url, dev_key(0)), config, path), config)) == []


def test_deploy__transaction_still_waiting(
    node: AnvilChain, config: Config, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_RECEIPT_TIMEOUT_S", 0.2)
    node.rpc("evm_setAutomine", False)
    with pytest.raises(DeploymentError, match=r"deploy Governor: in no block after 0\.2 s; run this again later"):
        put(RpcSender(node.url, dev_key(0)), config, path)
    with pytest.raises(DeploymentError, match=r"has transactions that no block takes \(up to nonce 0\)"):
        put(RpcSender(node.url, dev_key(0)), config, path)
    monkeypatch.undo()

    def mine() -> None:
        node.rpc("evm_mine")
        node.rpc("evm_setAutomine", True)

    later = threading.Timer(0.3, mine)
    later.start()
    sender = RpcSender(node.url, dev_key(0))
    assert wrong(verify(put(sender, config, path), config)) == []
    later.join()
    assert sender.nonce() == TRANSACTIONS


def test_send__oracle_reads_anew_after_the_estimate(node: AnvilChain, config: Config, path: Path) -> None:
    sender = RpcSender(node.url, dev_key(0))
    deployment = put(sender, config, path)
    poke = deployment.encode("PriceOracle", "poke", 0)
    request = {"from": sender.address, "to": deployment.addresses["PriceOracle"], "data": poke}
    cached = sender.web3.eth.estimate_gas(request)  # in the second of the last poke, which has no effect twice
    node.rpc("evm_setNextBlockTimestamp", sender.web3.eth.get_block("latest")["timestamp"] + 60)
    node.rpc("evm_mine")
    fresh = sender.web3.eth.estimate_gas(request)
    assert fresh > cached * 4 // 3
    assert fresh < with_reserve(cached, request["to"])


def test_deploy__no_ether(node: AnvilChain, config: Config, path: Path) -> None:
    with pytest.raises(DeploymentError, match="has no ether on chain 1337: fund it, or use another account"):
        put(RpcSender(node.url, dev_key(99)), config, path)
    assert not path.exists()


def test_deploy__another_chain(open_chain: Callable[[str], Chain], config: Config, path: Path) -> None:
    first, second = open_chain("anvil"), open_chain("anvil")
    assert isinstance(first, AnvilChain)
    assert isinstance(second, AnvilChain)
    for chain in (first, second):
        chain.rpc("evm_setAutomine", True)
    with pytest.raises(KeyboardInterrupt):
        put(DyingSender(first.url, 3, True), config, path)
    before = path.read_text()
    data = json.loads(before)
    # The genesis of these test chains is the same, as their clock is: give the file another one.
    path.write_text(json.dumps(data | {"genesis": "0x" + "11" * 32}))
    with pytest.raises(
        DeploymentError, match=r"here\.json: is of chain 1337 with genesis 0x11111111….*move the file away"
    ):
        put(RpcSender(second.url, dev_key(0)), config, path)
    # Same genesis but a chain that knows nothing of it: the code is not there.
    path.write_text(before)
    with pytest.raises(DeploymentError, match="Governor: no code at 0x"):
        put(RpcSender(second.url, dev_key(0)), config, path)
    assert path.read_text() == before


def test_deploy__other_parameters_or_account(node: AnvilChain, config: Config, path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        put(DyingSender(node.url, 2, True), config, path)
    changed = demo()
    changed["markets"][1]["risk"]["initial"] = 30_000
    with pytest.raises(DeploymentError, match=r"begun with another markets\[1\]\.risk\.initial"):
        put(RpcSender(node.url, dev_key(0)), parse_config(changed), path)
    with pytest.raises(DeploymentError, match="was begun by 0xf39F"):
        put(RpcSender(node.url, dev_key(1)), config, path)


def test_deploy__owner_is_another(node: AnvilChain, path: Path) -> None:
    changed = demo()
    changed["governor"]["owner"] = STRANGER
    config = parse_config(changed)
    deployment = put(RpcSender(node.url, dev_key(0)), config, path)
    assert wrong(verify(deployment, config)) == []
    assert deployment.read("Governor", "pending_owner") == STRANGER
    node.rpc("anvil_setBalance", STRANGER, hex(10**18))
    call = {"from": STRANGER, "to": deployment.addresses["Governor"], "gasPrice": "0x0"}
    node.rpc("eth_sendTransaction", call | {"data": "0x" + deployment.encode("Governor", "accept_owner").hex()})
    node.rpc("evm_mine")  # the answer may come before the block
    assert wrong(verify(deployment, config)) == []
    assert deployment.read("Governor", "owner") == STRANGER


def test_deploy__token_and_feeds_of_others(node: AnvilChain, config: Config, path: Path) -> None:
    sender = RpcSender(node.url, dev_key(0))
    theirs = put(sender, config, path).addresses
    data = demo()
    data["token"] = {"address": theirs["Token"], "decimals": 6}
    data["sequencer"] = theirs["MockFeed1.0"]
    sender.send("up", theirs["MockFeed1.0"], calldata("MockFeed", "set_round", 1, 0, 1, 1, 1))
    feeds = [real_feed(theirs[f"MockFeed0.{i}"], i, least=1, most="99999.5") for i in range(5)]
    feeds[4]["flux"] = True
    del data["markets"][1], data["markets"][0]["oracle"]["mock"]
    data["markets"][0]["oracle"] |= {"feeds": feeds, "rules": {"profile": "alt", "jump_bps": 900}, "outlier_bps": 300}
    other = path.with_name("other.json")
    config = parse_config(data)
    deployment = put(sender, config, other)
    assert wrong(verify(deployment, config)) == []
    assert not [label for label in deployment.addresses if label.startswith("MockFeed")]
    assert deployment.read("ClearingHouse", "wiring")[0] == theirs["Token"]
    assert deployment.read("PriceOracle", "sequencer") == theirs["MockFeed1.0"]
    rules = replace(PROFILES["alt"], jump=900, outlier=300)
    assert deployment.read("PriceOracle", "rules", 0) == rules.pack(5)
    pinned = Feed(theirs["MockFeed0.4"], 8, 3_900, 3_600, 50, 4, True, 10**8, 9_999_950_000_000)
    assert deployment.read("PriceOracle", "feeds", 0, 4) == pinned.pack()
    assert deployment.read("PriceOracle", "bounds", 0, 4) == pinned.pack_bounds()

    def refusal() -> str:
        with pytest.raises(DeploymentError) as caught:
            put(sender, parse_config(data), path.with_name("never.json"))
        return str(caught.value)

    feeds[1]["address"] = STRANGER
    assert refusal().startswith("markets[0].oracle.feeds[1].address: no contract at 0x")
    feeds[1]["address"] = theirs["MockFeed0.1"]
    data["sequencer"] = STRANGER
    assert refusal().startswith("sequencer: no contract at 0x")
    del data["sequencer"]
    data["token"]["decimals"] = 18
    assert refusal() == "token.decimals: the contract says 6, not 18"
    assert not path.with_name("never.json").exists()


def test_deploy__quotes_before_the_markets_that_they_price(node: AnvilChain, path: Path) -> None:
    """Also when the run is cut short between the two."""
    data = demo()
    mock = data["markets"][1]["oracle"]["mock"]
    data["quotes"] = [
        {"name": "USDC", "oracle": {"rules": "off", "mock": mock | {"price": "0.5", "number": 7, "deviation_bps": 3}}},
        {"name": "DAI", "oracle": {"rules": "major", "mock": mock | {"price": 1, "decimals": 18}}},
    ]
    data["markets"][1]["oracle"]["quote"] = "USDC"
    config = parse_config(data)
    # 10 feeds more, their answers, and for each quote its feeds and a poke
    total = TRANSACTIONS + 10 + 10 + 4
    with pytest.raises(KeyboardInterrupt):
        put(DyingSender(node.url, total - 9, True), config, path)
    with pytest.raises(KeyboardInterrupt):
        put(DyingSender(node.url, 0, True), config, path)
    sender = RpcSender(node.url, dev_key(0))
    deployment = put(sender, config, path)
    assert sender.nonce() == total
    checks = verify(deployment, config)
    assert wrong(checks) == []
    assert {"USDC: rules", "DAI: feed 2", "CVX: state", "FeedsSet 16 < FeedsSet 1"} <= {check.what for check in checks}
    assert deployment.feeds(config, 16)[6].source == deployment.addresses["MockFeed16.6"]
    prices = prices_of(deployment, 1)
    assert prices.index == config.markets[1].mock_price * 2
    # its own ten basis points and the quote's three
    assert prices.low == prices.index * 9_987 // 10_000


def test_deploy__feeds_without_a_price(node: AnvilChain, path: Path) -> None:
    """Feeds that disagree stop the deployment in one line, and it goes on when they agree."""
    data = demo()
    del data["markets"][1]
    config = parse_config(data)
    with pytest.raises(KeyboardInterrupt):
        # 20 deployments, wire, two fillers, the reporter, and the answers but for the last
        put(DyingSender(node.url, 20 + 4 + 5, False), config, path)
    sender = RpcSender(node.url, dev_key(0))
    feeds = {k: entry["address"] for k, entry in json.loads(path.read_text())["contracts"].items() if "MockFeed" in k}
    for i, address in enumerate(feeds.values()):
        sender.send("spoil", address, calldata("MockFeed", "set_answer", (4_000 + 500 * i) * 10**8))
    sender.send("spoil", feeds["MockFeed0.0"], calldata("MockFeed", "set_mode", 1))
    said = r"^ETH: its feeds say CALL_FAILED, OK, OK, OK, OK and agree on no price within 200 bps: put them right and"
    with pytest.raises(DeploymentError, match=said):
        put(sender, config, path)
    for address in feeds.values():
        sender.send("mend", address, calldata("MockFeed", "set_answer", 4_000 * 10**8))
    sender.send("mend", feeds["MockFeed0.0"], calldata("MockFeed", "set_mode", 0))
    # the oracle reads its feeds once a second
    node.rpc("evm_setNextBlockTimestamp", sender.web3.eth.get_block("latest")["timestamp"] + 60)
    node.rpc("evm_mine")
    assert wrong(verify(put(sender, config, path), config)) == []


# ---- verification --------------------------------------------------------------------------------


def test_verify__unsealed_and_wrong_filler(node: AnvilChain, config: Config, path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        put(DyingSender(node.url, TRANSACTIONS - 1, False), config, path)
    deployment = Deployment(RpcSender(node.url, dev_key(0)), path, json.loads(path.read_text()))
    assert ("Governor", "sealed") in wrong(verify(deployment, config))
    house = deployment.addresses["ClearingHouse"]
    call = deployment.encode("ClearingHouse", "set_filler", STRANGER, True)
    deployment.send("test", "Governor", "execute", house, call)
    deployment.send("test", "Governor", "seal")
    checks = verify(deployment, config)
    assert wrong(checks) == [("ClearingHouse", "all fillers there are")]
    with pytest.raises(DeploymentError, match=r"1 of \d+ checks failed: ClearingHouse: all fillers there are"):
        report(checks, Console(quiet=True))


def test_verify__wrong_filler_dismissed(node: AnvilChain, config: Config, path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        put(DyingSender(node.url, TRANSACTIONS - 1, False), config, path)
    deployment = Deployment(RpcSender(node.url, dev_key(0)), path, json.loads(path.read_text()))

    def set_filler(filler: str, allowed: bool) -> None:
        call = deployment.encode("ClearingHouse", "set_filler", filler, allowed)
        deployment.send("test", "Governor", "execute", deployment.addresses["ClearingHouse"], call)

    set_filler(STRANGER, True)
    assert ("ClearingHouse", "all fillers there are") in wrong(verify(deployment, config))
    set_filler(STRANGER, False)
    assert ("ClearingHouse", "all fillers there are") not in wrong(verify(deployment, config))
    set_filler(deployment.addresses["Orders"], False)
    deployment.send("test", "Governor", "seal")
    assert wrong(verify(deployment, config)) == [
        ("ClearingHouse", "Orders may fill"),
        ("ClearingHouse", "all fillers there are"),
    ]


def test_verify__wrong_oracle(node: AnvilChain, config: Config, path: Path) -> None:
    sender = RpcSender(node.url, dev_key(0))
    deployment = put(sender, config, path)
    code = artifact("PriceOracle")
    governor = deployment.addresses["Governor"]
    other = sender.send("test", None, code.bytecode + encode(["address"], [governor])).created
    deployment.data["contracts"]["PriceOracle"]["address"] = other
    deployment = Deployment(sender, path, deployment.data)
    found = wrong(verify(deployment, config))
    assert ("ClearingHouse", "oracle") in found
    assert ("ClearingHouse", "code and immutables") in found
    assert ("BackstopFund", "ORACLE") in found
    assert ("PriceOracle", "ETH: feed 0") in found
    assert ("PriceOracle", "code and immutables") not in found


def test_verify__oracle_that_was_tampered_with(node: AnvilChain, config: Config, path: Path) -> None:
    """Rules, feeds, bounds, reporter, sequencer, and a book that nobody asked for."""
    with pytest.raises(KeyboardInterrupt):
        put(DyingSender(node.url, TRANSACTIONS - 1, False), config, path)
    deployment = Deployment(RpcSender(node.url, dev_key(0)), path, json.loads(path.read_text()))
    at = deployment.addresses

    def govern(function: str, *args: Any) -> None:
        call = deployment.encode("PriceOracle", function, *args)
        deployment.send("test", "Governor", "execute", at["PriceOracle"], call)

    feeds = [feed.as_tuple() for feed in deployment.feeds(config, 0)]
    feeds[1] = replace(deployment.feeds(config, 0)[1], least=1, heartbeat=7).as_tuple()
    govern("set_feeds", 0, feeds, config.markets[0].rules.as_tuple())
    govern("tighten_rules", 1, replace(config.markets[1].rules, jump=2_000).as_tuple())
    govern("set_feeds", 31, feeds, config.markets[0].rules.as_tuple())
    govern("set_reporter", STRANGER)
    govern("set_sequencer", at["MockFeed0.0"])
    deployment.send("test", "Governor", "seal")
    checks = verify(deployment, config)
    assert wrong(checks) == [
        ("PriceOracle", "reporter"),
        ("PriceOracle", "sequencer"),
        ("PriceOracle", "ETH: feed 1"),
        ("PriceOracle", "CVX: rules"),
        ("PriceOracle", "rules of book 31, which nobody asked for"),
    ]


def test_verify__wrong_immutable_and_word(node: AnvilChain, config: Config, path: Path) -> None:
    deployment = put(RpcSender(node.url, dev_key(0)), config, path)
    at = deployment.addresses
    admin = bytearray(deployment.sender.code(at["MarketAdmin"]))
    admin[-1] ^= 1
    node.rpc("anvil_setCode", at["MarketAdmin"], "0x" + admin.hex())
    separator = bytearray(deployment.sender.code(at["Orders"]))
    separator[-1] ^= 1
    node.rpc("anvil_setCode", at["Orders"], "0x" + separator.hex())
    data = demo()
    data["markets"][1]["limits"]["oi_cap"] = 7
    found = wrong(verify(deployment, parse_config(data)))
    assert ("MarketAdmin", "code and immutables") in found
    assert ("Orders", "code and immutables") in found
    assert ("CVX", "limits word") in found
    assert ("ClearingHouse", "code and immutables") not in found


# ---- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("governor.delay_s", 0, "governor.delay_s: 0 is not within 1 to"),
        ("governor.guardian", 5, "governor.guardian: an address is wanted; put it in quotes"),
        ("governor.guardian", "0x12", "governor.guardian: an address is wanted, not '0x12'"),
        ("token.mock.decimals", 19, "token.mock.decimals: 19 is not within 0 to 18"),
        ("markets", [], "markets: a list of 1 to 16 is wanted"),
        ("markets.0", 3, "markets[0]: a mapping is wanted, not a int"),
        ("markets.1.name", "ETH", "markets[1].name: ETH is there twice"),
        ("markets.0.name", "", "markets[0].name: a text of 1 to 32 plain characters is wanted"),
        ("markets.0.anchor", "1e400", "markets[0].anchor: 1e400 is not within"),
        ("markets.0.anchor", "nan", "markets[0].anchor: a number is wanted"),
        ("markets.0.anchor", True, "markets[0].anchor: a number is wanted, not True"),
        ("markets.0.policy", "fair", "markets[0].policy: 'fair' is not one of pro_rata, band_queue"),
        ("markets.0.risk.initial", "2 %", "markets[0].risk.initial: a whole number is wanted, not '2 %'"),
        ("markets.0.risk.initial", 9_000, "markets[0].risk.initial: 9000 breaks initial > maintenance"),
        ("markets.0.risk.penalty", 10_000, "markets[0].risk.penalty: 10000 breaks penalty < maintenance"),
        ("markets.0.risk.taker_fee", 12_000, "markets[0].risk.taker_fee: 12000 breaks fee < maintenance · target"),
        ("markets.1.risk.deph", 1, "markets[1].risk.deph: no such field"),
        ("markets.1.limits.min_size", 0, "markets[1].limits.min_size: 0 is not within"),
        ("markets.1.limits.rank", "speed", "markets[1].limits.rank: 'speed' is not one of single, profit, leverage"),
        ("markets.1.policy", ["pro_rata"], "markets[1].policy: ['pro_rata'] is not one of"),
        ("sequencer", 1, "sequencer: an address is wanted; put it in quotes"),
        ("quotes", [], "quotes: a list of 1 to 16 is wanted"),
        ("quotes", [{"name": "USDC"}], "quotes[0].oracle: missing"),
        ("quotes", [{"name": "USDC", "anchor": 1, "oracle": {}}], "quotes[0].anchor: no such field"),
        ("quotes", [{"name": "USDC", "oracle": {"rules": "off", "quote": "USDC", "mock": MOCK}}], NO_QUOTE),
        ("quotes", [{"name": "USDC", "oracle": {"rules": "off", "mock": MOCK}}] * 2, "quotes[1].name: USDC is there"),
        ("markets.1.oracle.quote", "USDC", "markets[1].oracle.quote: 'USDC' is not one of "),
        ("markets.1.oracle.width_bps", 10, "markets[1].oracle.width_bps: no such field"),
        ("markets.1.oracle.outlier_bps", 0, "markets[1].oracle.outlier_bps: 0 is not within 1 to 1000"),
        ("markets.1.oracle.rules", "fair", "markets[1].oracle.rules: 'fair' is not one of off, major, alt"),
        ("markets.1.oracle.rules", None, "markets[1].oracle.rules: None is not one of"),
        ("markets.1.oracle.rules", {"jump_bps": 1}, "markets[1].oracle.rules.profile: missing"),
        ("markets.1.oracle.rules.profile", [], "markets[1].oracle.rules.profile: [] is not one of"),
        ("markets.1.oracle.rules.jumps_bps", 1, "markets[1].oracle.rules.jumps_bps: no such field"),
        ("markets.1.oracle.rules.jump_bps", 10_001, "markets[1].oracle.rules.jump_bps: 10001 is not within 0 to 10000"),
        ("markets.1.oracle.rules.hold_s", 2**16, "markets[1].oracle.rules.hold_s: 65536 is not within 0 to 65535"),
        ("markets.1.oracle.rules.tau_ref_s", 0, "markets[1].oracle.rules.tau_ref_s: 0 is not within 1 to 65535"),
        ("markets.1.oracle.rules.freeze_s", 2**32, "markets[1].oracle.rules.freeze_s: 4294967296 is not within 0"),
        ("markets.1.oracle.rules.speed_bps", 0, "markets[1].oracle.rules.speed_bps: 0 breaks speed_bps > 0 if and"),
        ("markets.1.oracle.rules.step_bps", 0, "markets[1].oracle.rules.step_bps: 0 breaks speed_bps > 0 if and"),
        ("markets.0.oracle.mock.number", 4, "markets[0].oracle.mock.number: 3, 5 or 7 are wanted, not 4"),
        ("markets.0.oracle.mock.number", 9, "markets[0].oracle.mock.number: 9 is not within 3 to 7"),
        ("markets.0.oracle.mock.heartbeat_s", 0, "markets[0].oracle.mock.heartbeat_s: 0 is not within 1 to 172800"),
        ("markets.0.oracle.mock.deviation_bps", 1_001, "markets[0].oracle.mock.deviation_bps: 1001 is not within 0"),
        ("markets.0.oracle.mock.max_age_s", 60, "markets[0].oracle.mock.max_age_s: 60 is less than the heartbeat"),
        ("markets.0.oracle.mock.group", 1, "markets[0].oracle.mock.group: no such field"),
        ("markets.1.oracle.mock.price", "0.123456789", "markets[1].oracle.mock.price: has more than 8 decimals"),
        ("markets.1.oracle.mock.max_age_s", 10**6, "markets[1].oracle.mock.max_age_s: 1000000 is not within"),
    ],
)  # fmt: skip
def test_parse_config__bad_field(place: str, value: object, said: str) -> None:
    data: Any = demo()
    *way, last = (int(key) if key.isdecimal() else key for key in place.split("."))
    at = data
    for key in way:
        at = at[key]
    at[last] = value
    assert refused(data).startswith(said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([{}] * 4, "feeds: 3, 5 or 7 are wanted, not 4"),
        ([{}] * 2, "feeds: a list of 3 to 7 is wanted"),
        ([{"group": 0}, {"group": 1}, {"group": 0}], "feeds[0].group: 2 of 3 feeds are of group 0; 1 at most, so that"),
        ([{}] * 2 + [{"group": 16}], "feeds[2].group: 16 is not within 0 to 15"),
        ([{"address": ADDRESSES[1]}, {}, {}], "feeds[1].address: 0x"),
        ([{"decimals": 19}, {}, {}], "feeds[0].decimals: 19 is not within 0 to 18"),
        ([{"heartbeat_s": 200_000}, {}, {}], "feeds[0].heartbeat_s: 200000 is not within 1 to 172800"),
        ([{"max_age_s": 3_599}, {}, {}], "feeds[0].max_age_s: 3599 is less than the heartbeat, 3600"),
        ([{"deviation_bps": -1}, {}, {}], "feeds[0].deviation_bps: -1 is not within 0 to 1000"),
        ([{"flux": 1}, {}, {}], "feeds[0].flux: true or false is wanted, not 1"),
        ([{"least": "0.123456789"}, {}, {}], "feeds[0].least: 0.123456789 has more than 8 decimals"),
        ([{"least": 7, "most": 7}, {}, {}], "feeds[0].least: has to be below most"),
        ([{"most": -1}, {}, {}], "feeds[0].most: -1 is not within 0"),
        ([{"bounds": 1}, {}, {}], "feeds[0].bounds: no such field"),
    ],
)
def test_parse_config__bad_feed(changes: list[dict[str, Any]], said: str) -> None:
    data = demo()
    del data["markets"][0]["oracle"]["mock"]
    feeds = [real_feed(ADDRESSES[i]) | {"group": i} | change for i, change in enumerate(changes)]
    data["markets"][0]["oracle"]["feeds"] = feeds
    assert refused(data).startswith(f"markets[0].oracle.{said}")


def test_parse_config__example() -> None:
    """The example is whole: with addresses in the place of its placeholders it is read, anchors included."""
    text, number = EXAMPLE.read_text(), 0
    while (zero := "0x" + "00" * 20) in text:
        number += 1
        text = text.replace(zero, f"0x{number:040x}", 1)
    config = parse_config(yaml.safe_load(text))
    (quote,), (market,) = config.quotes, config.markets
    assert (quote.rules, market.rules) == (PROFILES["major"], replace(PROFILES["major"], quote=16))
    assert [feed.group for feed in market.feeds] == [0, 1, 2, 1, 0]
    assert [feed.heartbeat_s for feed in market.feeds] == [3_600, 3_600, 3_600, 60, 3_600]
    assert [feed.flux for feed in market.feeds] == [False] * 4 + [True]
    assert (market.feeds[3].least, market.feeds[3].most) == (10**8, 10**14)
    assert (quote.width_bps, market.width_bps) == (25, 50)


def test_parse_config__missing_fields_and_twice_the_same_feed() -> None:
    data = demo()
    del data["markets"][0]["risk"]["target"]
    assert refused(data) == "markets[0].risk.target: missing"
    example: Any = yaml.safe_load(EXAMPLE.read_text())
    assert "governor.owner: the zero address is a placeholder" in refused(example)
    example["governor"] = {"delay_s": 1}
    example["token"]["address"] = STRANGER
    assert "quotes[0].oracle.feeds[0].address: the zero address is a placeholder" in refused(example)
    del example["quotes"], example["markets"][0]["oracle"]["quote"]
    for feed in example["markets"][0]["oracle"]["feeds"]:
        feed["address"] = STRANGER
    assert "markets[0].oracle.feeds[1].address" in refused(example)


def test_load_config__file(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"none\.yaml: cannot be read"):
        load_config(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("markets: [1, 2")
    with pytest.raises(DeploymentError, match=r"bad\.yaml: .*line 1") as caught:
        load_config(bad)
    assert "\n" not in str(caught.value)
    same = tmp_path / "same.json"
    same.write_text(json.dumps(demo()))
    assert load_config(same) == load_config(DEMO)


@pytest.mark.parametrize(
    ("text", "wad"),
    [
        ("2.3", 23 * 10**17),
        ("1e-18", 1),
        ("123456789012345678901.000000000000000001", 123456789012345678901 * 10**18 + 1),
    ],
)
def test_parse_wad__exact(text: str, wad: int) -> None:
    assert parse_wad(text) == wad
    assert parse_wad(format_wad(wad).replace(",", "")) == wad


def test_connect__dead_endpoint(path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(
        DeploymentError, match=f"no Ethereum node answers at {url} .*: check the RPC URL, or start the node"
    ):
        connect(url)
    assert not path.exists()


def test_devnet__port_in_use(path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(devnet.main, ["--port", str(port), "--out", str(path)])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: port {port} is in use: stop what listens there, or take another")
    assert result.output.count("\n") == 1
    assert not path.exists()


def test_devnet__bad_config_or_foreign_file(tmp_path: Path, path: Path) -> None:
    data = demo()
    data["markets"][0]["risk"]["initial"] = 1
    spoilt = tmp_path / "spoilt.yaml"
    spoilt.write_text(yaml.safe_dump(data))
    result = CliRunner().invoke(devnet.main, ["--config", str(spoilt), "--out", str(path)])
    assert (result.exit_code, path.exists()) == (1, False)
    assert result.output == f"Error: {spoilt}: markets[0].risk.initial: 1 breaks initial > maintenance\n"
    path.parent.mkdir()
    path.write_text(json.dumps({"format": 1, "complete": True}))
    result = CliRunner().invoke(devnet.main, ["--port", str(free_port()), "--out", str(path)])
    assert result.exit_code == 1
    assert "is of a deployment that no devnet made: move it away" in result.output
    assert json.loads(path.read_text()) == {"format": 1, "complete": True}


def test_plan_book__other_parameters(config: Config) -> None:
    data = demo()
    data["markets"].reverse()
    data["markets"][0]["limits"] |= {"min_size": 25, "lot_exp": 18}
    data["markets"][0]["risk"] |= {"initial": 100_000, "maintenance": 50_000}
    book = devnet.plan_book(parse_config(data))
    assert (book.trade, book.size) == (25 * 10**18, 250 * 10**18)
    assert book.fallen < book.price
    assert devnet.plan_book(config).deposit == 5_700 * 10**18


def test_plan_book__in_a_quote(config: Config) -> None:
    """With a collateral at half a dollar prices and money double; what the feeds say does not."""
    data = demo()
    data["quotes"] = [{"name": "HALF", "oracle": {"rules": "off", "mock": MOCK | {"price": "0.5", "deviation_bps": 0}}}]
    data["markets"][0]["oracle"]["quote"] = "HALF"
    book, plain = devnet.plan_book(parse_config(data)), devnet.plan_book(config)
    assert (book.price, book.notional, book.size) == (plain.price * 2, plain.notional * 2, plain.size)
    assert abs(book.fallen - plain.fallen) <= 10**16


@pytest.mark.parametrize(
    ("initial", "rules"), [(20_000, {"jump_bps": 80, "step_bps": 60}), (100_000, {"jump_bps": 800})]
)
def test_open_book__falls_through_its_breaker(path: Path, initial: int, rules: dict[str, int]) -> None:
    """A strict breaker, or a far fall: the price walks there, the market is LIVE again, the weak account is weak."""
    need_anvil()
    data = demo()
    data["markets"][0]["oracle"]["rules"] |= rules
    data["markets"][0]["risk"] |= {"initial": initial, "maintenance": initial // 2}
    config = parse_config(data)
    port, roles = free_port(), devnet._addresses()
    with devnet._node(port):
        sender = RpcSender(f"http://127.0.0.1:{port}", dev_key(0))
        deployment = deploy(sender, config, path, lambda _: None, devnet=True, roles=roles)
        devnet.open_book(deployment, config)
        found = prices_of(deployment, 0)
        assert (found.state, found.index, found.mark) == (STATE_LIVE, *[devnet.plan_book(config).fallen] * 2)
        purse = wallet.Wallet(deployment)
        purse.deposit("trader", devnet.plan_book(config).deposit)
        assert purse.liquidate("trader", purse.account("weak"), 0, 10**30)["size"] != 0


def test_devnet__real_quote(tmp_path: Path, path: Path) -> None:
    data = demo()
    data["quotes"] = [{"name": "USDC", "oracle": {"rules": "off", "feeds": [real_feed(a, i) for i, a in THREE]}}]
    spoilt = tmp_path / "spoilt.yaml"
    spoilt.write_text(yaml.safe_dump(data))
    result = CliRunner().invoke(devnet.main, ["--config", str(spoilt), "--out", str(path)])
    assert (result.exit_code, path.exists()) == (1, False)
    assert result.output == f"Error: {spoilt}: quotes[0].oracle.feeds: a devnet has mocks only; say oracle.mock\n"


# ---- the devnet itself ---------------------------------------------------------------------------


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def need_anvil() -> None:
    """Skip where there is no anvil; in CI fail."""
    if find_anvil() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no anvil")
        pytest.skip("no anvil")


@contextlib.contextmanager
def running_devnet(path: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """``python -m scripts.devnet`` as its own process, up to the last line that it prints."""
    need_anvil()
    command = [sys.executable, "-m", "scripts.devnet", "--port", str(port), "--out", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if "Ctrl-C stops the node" in line:
                break
        yield process, lines
    finally:
        process.kill()
        process.wait()


def test_devnet__printed_commands_work(path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running_devnet(path, port) as (process, lines):
        commands = [line.strip() for line in lines if line.startswith("  ") and " -m scripts.wallet " in line]
        assert [next(w for w in ("deposit", "trade", "liquidate") if f" {w} " in line) for line in commands] == [
            "deposit",
            "trade",
            "liquidate",
        ], "\n".join(lines)
        said = []
        for command in commands:
            done = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            said.append(done.stdout)
        assert said[0].startswith("trader deposited 5,700\n")
        assert said[1].startswith("trader bought 1 of market ETH at 3,926\n")
        assert said[2].startswith("trader took over ")
        # A second devnet neither takes the port nor the file of the first.
        other = CliRunner().invoke(devnet.main, ["--port", str(free_port()), "--out", str(path)])
        assert (other.exit_code, "its devnet is still up at " + url in other.output) == (1, True)
        ask = ["--deployment", str(path)]
        shown = CliRunner().invoke(wallet.main, [*ask, "show", "trader"])
        assert "long" in shown.output, shown.output
        healthy = CliRunner().invoke(wallet.main, [*ask, "liquidate", "maker", "--market", "ETH"])
        assert (healthy.exit_code, healthy.output) == (1, "Error: liquidate: refused: liquidation: healthy\n")
        moved = CliRunner().invoke(wallet.main, [*ask, "price", "CVX", "2.25"])
        assert (moved.exit_code, moved.output) == (0, "market CVX is at 2.25, LIVE\n")
        leapt = CliRunner().invoke(wallet.main, [*ask, "price", "CVX", "3.5"])
        told = "market CVX is at 2.25, FROZEN: it does not take 3.5 for now\n"
        assert (leapt.exit_code, leapt.output) == (0, told)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        # The node is gone with it, and the wallet says so.
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                continue
            break
        dead = CliRunner().invoke(wallet.main, [*ask, "show", "trader"])
        assert (dead.exit_code, dead.output.count("\n")) == (1, 1)
        assert f"no Ethereum node answers at {url}" in dead.output


def test_ape_run_deploy__running_node(node: AnvilChain, path: Path) -> None:
    ape = Path(sys.executable).with_name("ape")
    command = [str(ape), "run", "deploy", "--network", node.url, "--out", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(path.read_text())
    assert data["complete"]
    assert "WRONG" not in done.stdout
    assert f"{len(data['contracts'])} contracts on chain 1337" in done.stdout
