"""Deploys one solvency domain step by step; a run that was cut short is taken up where it stopped.

What is deployed stands in the state file, which is replaced after every step; what is wired is asked of the chain
itself. So a run may die anywhere: between two steps, or after sending a transaction and before seeing it in a block.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils import to_checksum_address
from web3.contract import Contract
from web3.exceptions import Web3Exception

from python_ref.oracle_words import Book, Observation
from python_ref.oracle_words import Feed as Pinned
from python_ref.words import Limits
from scripts.chain.artifacts import ROOT, artifact
from scripts.deployment import DeploymentError
from scripts.deployment.config import ZERO_ADDRESS, Config
from scripts.deployment.sender import Receipt, RpcSender, Sender, is_local, reason_of
from scripts.rules import CODES

FOLDER = ROOT / "deployments"
_FORMAT = 1
_TOKEN_ABI = ("approve", "transfer", "transferFrom", "balanceOf", "allowance", "totalSupply", "decimals", "symbol")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """One contract: label, artifact, and its constructor's arguments, given the addresses before it."""

    label: str
    artifact: str
    arguments: Callable[[Mapping[str, str]], tuple[Any, ...]]


def parts(config: Config, deployer: str) -> Iterator[Part]:
    """All contracts in the order in which they need each other; the delegates come before the ClearingHouse."""

    def ledger(at: Mapping[str, str]) -> tuple[Any, ...]:
        return at["Token"], config.token_decimals, at["PriceOracle"]

    yield Part("Governor", "Governor", lambda _: (deployer, config.guardian, config.delay_s))
    if config.token is None:
        yield Part("Token", "MockToken", lambda _: (config.token_symbol, config.token_decimals))
    for label, book, feed in mock_feeds(config):
        arguments = config.books[book].feeds[feed].decimals, f"{config.books[book].name} / USD"
        yield Part(label, "MockFeed", lambda _, arguments=arguments: arguments)  # type: ignore[misc]
    yield Part("PriceOracle", "PriceOracle", lambda at: (at["Governor"],))
    yield Part("MarketAdmin", "MarketAdmin", ledger)
    yield Part("AccountDesk", "AccountDesk", lambda at: (*ledger(at), at["MarketAdmin"]))
    for desk in ("LiquidationDesk", "DefaultManager", "RebaseManager"):
        yield Part(desk, desk, ledger)
    delegates = ("LiquidationDesk", "DefaultManager", "RebaseManager", "AccountDesk")
    yield Part(
        "ClearingHouse",
        "ClearingHouse",
        lambda at: (*ledger(at), at["Governor"], *(at[delegate] for delegate in delegates)),
    )
    for judge in ("LiquidationEngine", "ProRata", "BandQueue"):
        yield Part(judge, judge, lambda _: ())
    yield Part("Orders", "Orders", lambda at: (at["ClearingHouse"],))
    yield Part(
        "BackstopFund",
        "BackstopFund",
        lambda at: (at["Token"], at["ClearingHouse"], at["PriceOracle"], at["Governor"], config.cooldown_s),
    )
    yield Part("Lens", "Lens", lambda at: (at["ClearingHouse"], at["PriceOracle"]))


def mock_feeds(config: Config) -> Iterator[tuple[str, int, int]]:
    """Label, book and number of every mock feed."""
    for number, book in config.books.items():
        if book.mock_price is not None:
            for feed in range(len(book.feeds)):
                yield f"MockFeed{number}.{feed}", number, feed


class Deployment:
    """A state file together with the chain it is of."""

    def __init__(self, sender: Sender, path: Path, data: dict[str, Any]) -> None:
        self.sender, self.path, self.data = sender, path, data
        self._contracts: dict[str, Contract] = {}

    @property
    def addresses(self) -> dict[str, str]:
        """Address by label."""
        return {label: entry["address"] for label, entry in self.data["contracts"].items()}

    def contract(self, label: str) -> Contract:
        """The contract as web3 has it."""
        if label not in self._contracts:
            entry = self.data["contracts"][label]
            self._contracts[label] = self.sender.web3.eth.contract(entry["address"], abi=entry["abi"])
        return self._contracts[label]

    def encode(self, label: str, function: str, *args: Any) -> bytes:
        """Call data."""
        return bytes.fromhex(self.contract(label).encode_abi(function, args=list(args))[2:])

    def read(self, label: str, function: str, *args: Any, sender: str | None = None) -> Any:
        """Result of a call that changes nothing."""
        try:
            return self.contract(label).functions[function](*args).call({"from": sender or self.sender.address})
        except (Web3Exception, ValueError, OSError) as error:
            raise DeploymentError(f"{label}.{function}: {reason_of(error)}") from None

    def send(self, what: str, label: str, function: str, *args: Any, by: Sender | None = None) -> Receipt:
        """Send a transaction and wait for its block."""
        data = self.encode(label, function, *args)
        return (by or self.sender).send(what, self.addresses[label], data)

    def feeds(self, config: Config, book: int) -> list[Pinned]:
        """The feeds of a market or a quote as the oracle is to keep them, mocks or not."""
        return [
            feed.pinned(feed.address or self.addresses[f"MockFeed{book}.{i}"])
            for i, feed in enumerate(config.books[book].feeds)
        ]

    def save(self) -> None:
        """Replace the file; a reader sees the old one or the new one, whole."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(self.data, file, indent=1)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, self.path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def read_state(path: Path) -> dict[str, Any]:
    """The content of a state file; :class:`DeploymentError` if there is none or it is none."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise DeploymentError(f"{path}: no such file; `make devnet` writes deployments/local.json") from None
    except (OSError, ValueError) as error:
        raise DeploymentError(f"{path}: cannot be read ({error}); move it away and deploy again") from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise DeploymentError(f"{path}: is no deployment of this version; move it away and deploy again")
    return data


def open_deployment(path: Path, key: bytes) -> Deployment:
    """A finished deployment on this machine, read as ``key``; the chain has to be the one of the file."""
    data = read_state(path)
    if not data["complete"]:
        raise DeploymentError(f"{path}: the deployment is not finished; run the same command again to take it up")
    if "rpc_url" not in data:
        raise DeploymentError(f"{path}: is of no node on this machine")
    sender = RpcSender(data["rpc_url"], key)
    _check_chain(path, data, sender)
    return Deployment(sender, path, data)


def is_of(data: Mapping[str, Any], sender: Sender) -> bool:
    """Whether a state file is of the chain that ``sender`` is connected to."""
    return (data["chain_id"], data["genesis"]) == (sender.chain_id, sender.genesis)


def _check_chain(path: Path, data: Mapping[str, Any], sender: Sender) -> None:
    if not is_of(data, sender):
        raise DeploymentError(
            f"{path}: is of chain {data['chain_id']} with genesis {data['genesis'][:10]}…, the RPC is chain "
            f"{sender.chain_id} with genesis {sender.genesis[:10]}…: connect to that chain, or move the file away"
        )


def deploy(sender: Sender, config: Config, path: Path, say: Say, **extra: Any) -> Deployment:
    """Deploy, or take up the deployment that ``path`` was begun with; ``extra`` goes into the file.

    Nothing is written before the file, the chain and the configuration agree.
    """
    for part in parts(config, sender.address):
        artifact(part.artifact)  # all compile before anything is sent
    deployment = _begin(sender, config, path, extra)
    at = deployment.addresses
    for part in parts(config, sender.address):
        at[part.label] = _create(deployment, part, at, say)
    _wire(deployment, config, say)
    if not deployment.data["complete"]:
        deployment.data["complete"] = True
        deployment.save()
    return deployment


def _begin(sender: Sender, config: Config, path: Path, extra: Mapping[str, Any]) -> Deployment:
    parameters = config.as_dict()
    if path.exists():
        data = read_state(path)
        _check_chain(path, data, sender)
        if data["deployer"] != sender.address:
            raise DeploymentError(f"{path}: was begun by {data['deployer']}, not {sender.address}: use that account")
        if data["parameters"] != parameters:
            field = _difference(data["parameters"], parameters)
            raise DeploymentError(f"{path}: was begun with another {field}: use the same parameters, or another file")
        sender.wait_until_idle()
        return Deployment(sender, path, data)
    _check_outside(sender, config)
    data = {
        "format": _FORMAT,
        "complete": False,
        "chain_id": sender.chain_id,
        "genesis": sender.genesis,
        "block": sender.web3.eth.block_number,
        "deployer": sender.address,
        "commit": _commit(),
        **extra,
        "parameters": parameters,
        "pending": None,
        "contracts": {},
    }
    # The URL of a public network may hold the reader's credentials.
    if isinstance(sender, RpcSender) and is_local(sender.url):
        data["rpc_url"] = sender.url
    deployment = Deployment(sender, path, data)
    if config.token is not None:
        abi = [e for e in artifact("MockToken").abi if e.get("name") in _TOKEN_ABI]
        data["contracts"]["Token"] = {"contract": None, "address": config.token, "abi": abi}
    return deployment


def _check_outside(sender: Sender, config: Config) -> None:
    """The contracts that others deployed are there and have the decimals that the configuration says."""
    if config.has_mocks and sender.chain_id == 1:
        raise DeploymentError("token.mock, markets[].oracle.mock: anybody may change a mock; not on chain 1")
    if config.sequencer is not None and not sender.code(config.sequencer):
        raise DeploymentError(f"sequencer: no contract at {config.sequencer} on chain {sender.chain_id}")
    outside = [] if config.token is None else [("token", config.token, config.token_decimals)]
    for at, books in (("quotes", config.quotes), ("markets", config.markets)):
        for i, book in enumerate(books):
            for j, feed in enumerate(book.feeds):
                if feed.address is not None:
                    outside.append((f"{at}[{i}].oracle.feeds[{j}]", feed.address, feed.decimals))
    for field, address, decimals in outside:
        if not sender.code(address):
            raise DeploymentError(f"{field}.address: no contract at {address} on chain {sender.chain_id}")
        answer = sender.view(address, bytes.fromhex("313ce567"))  # decimals()
        if int.from_bytes(answer, "big") != decimals:
            raise DeploymentError(
                f"{field}.decimals: the contract says {int.from_bytes(answer, 'big')}, not {decimals}"
            )
    if sender.web3.eth.get_balance(sender.address) == 0:
        raise DeploymentError(
            f"{sender.address} has no ether on chain {sender.chain_id}: fund it, or use another account"
        )


def _create(deployment: Deployment, part: Part, at: Mapping[str, str], say: Say) -> str:
    """The address of a part: from the file, from a transaction that an earlier run did not see, or deployed now."""
    data, sender = deployment.data, deployment.sender
    code = artifact(part.artifact)
    if entry := data["contracts"].get(part.label):
        _check_code(sender, part, entry["address"])
        return str(entry["address"])
    pending = data["pending"]
    receipt = Receipt("", sender.web3.eth.block_number, "")
    if pending and pending["label"] == part.label and sender.code(pending["address"]):
        address = pending["address"]
        _check_code(sender, part, address)
        say(f"{part.label} was deployed by the earlier run")
    else:
        address = sender.next_address()
        data["pending"] = {"label": part.label, "address": address}
        deployment.save()
        say(f"deploying {part.label}")
        constructor: Any = sender.web3.eth.contract(abi=code.abi, bytecode=code.bytecode)
        initcode = constructor.constructor(*part.arguments(at)).data_in_transaction
        receipt = sender.send(f"deploy {part.label}", None, bytes.fromhex(initcode[2:]))
        if to_checksum_address(receipt.created) != address:
            raise DeploymentError(
                f"{sender.address} sends transactions elsewhere at the same time: stop that, run again"
            )
    data["contracts"][part.label] = {
        "contract": part.artifact,
        "address": address,
        "transaction": receipt.transaction or None,
        "block": receipt.block,
        "abi": list(code.abi),
    }
    data["pending"] = None
    deployment.save()
    return str(address)


def _check_code(sender: Sender, part: Part, address: str) -> None:
    code = sender.code(address)
    if not code:
        raise DeploymentError(
            f"{part.label}: no code at {address}: run again if the node lags, else move the file away"
        )
    if not code.startswith(artifact(part.artifact).runtime):
        raise DeploymentError(
            f"{part.label}: the code at {address} is not this checkout's; check out the file's commit"
        )


def _wire(deployment: Deployment, config: Config, say: Say) -> None:
    """Every call that the chain does not show yet: feeds, roles, markets, and last the seal."""
    at, read = deployment.addresses, deployment.read

    def ensure(done: bool, what: str, label: str, function: str, *args: Any, governed: bool = True) -> None:
        if done:
            return
        say(what)
        if governed:
            deployment.send(what, "Governor", "execute", at[label], deployment.encode(label, function, *args))
        else:
            deployment.send(what, label, function, *args)

    sealed = read("Governor", "is_sealed")
    wiring = read("ClearingHouse", "wiring")
    ensure(wiring[3] != ZERO_ADDRESS, "wire", "ClearingHouse", "wire", at["LiquidationEngine"], at["BackstopFund"])
    for filler in ("Orders", "BackstopFund"):
        done = read("ClearingHouse", "is_filler", at[filler])
        ensure(done, f"allow {filler} to fill", "ClearingHouse", "set_filler", at[filler], True)
    reporter = read("PriceOracle", "reporter") == at["ClearingHouse"]
    ensure(reporter, "let the ledger report its fills", "PriceOracle", "set_reporter", at["ClearingHouse"])
    if config.sequencer is not None:
        done = read("PriceOracle", "sequencer") == config.sequencer
        ensure(done, "feed of the sequencer", "PriceOracle", "set_sequencer", config.sequencer)
    for label, number, _ in mock_feeds(config):
        mocked = config.books[number]
        answer = (mocked.mock_price or 0) // 10 ** (18 - mocked.feeds[0].decimals)
        answered = read(label, "round_id") > 0
        ensure(answered, f"answer of {label}", label, "set_answer", answer, governed=False)
    for number, book in config.books.items():  # quotes before the markets that they price
        feeds = [feed.as_tuple() for feed in deployment.feeds(config, number)]
        done, what = read("PriceOracle", "rules", number) != 0, f"feeds of {book.name}"
        ensure(done, what, "PriceOracle", "set_feeds", number, feeds, book.rules.as_tuple())
        done = _has_price(deployment, number)
        ensure(done, f"price of {book.name}", "PriceOracle", "poke", number, governed=False)
        if not done and not _has_price(deployment, number):
            codes = (Observation.unpack(read("PriceOracle", "observations", number, i)).code for i in range(len(feeds)))
            said = ", ".join(CODES[code] for code in codes)
            raise DeploymentError(
                f"{book.name}: its feeds say {said} and agree on no price within {book.rules.outlier} bps: put them "
                "right and run this again"
            )
    for i, market in enumerate(config.markets):
        ensure(
            Limits.unpack(read("ClearingHouse", "load_market", i)[3]).listed,
            f"list {market.name}",
            "ClearingHouse",
            "add_market",
            i,
            market.risk.pack(),
            market.limits.pack(),
            market.anchor,
            at[market.policy],
        )
        # Once sealed the cap is the owner's to change: the verification says if it is another.
        done = sealed or read("BackstopFund", "cap", i) == market.fund_cap
        ensure(done, f"fund cap of {market.name}", "BackstopFund", "set_cap", i, market.fund_cap)
    ensure(sealed, "seal", "Governor", "seal", governed=False)
    if config.owner not in (None, deployment.sender.address):
        done = config.owner in (read("Governor", "owner"), read("Governor", "pending_owner"))
        ensure(done, f"propose {config.owner} as owner", "Governor", "propose_owner", config.owner, governed=False)


def _has_price(deployment: Deployment, book: int) -> bool:
    return Book.unpack(deployment.read("PriceOracle", "cache", book), 0, 0, 0).index != 0


def _difference(old: Any, new: Any, at: str = "") -> str:
    """Path of the first field in which two sets of parameters differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            if old.get(key) != new.get(key):
                return _difference(old.get(key), new.get(key), f"{at}.{key}" if at else key)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            if a != b:
                return _difference(a, b, f"{at}[{i}]")
    return at


def _commit() -> str | None:
    """Commit of this checkout, "-dirty" behind it if files differ; None outside of git."""
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None
