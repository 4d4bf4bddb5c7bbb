"""Reads a deployment back from the chain: code and immutables, roles, wiring, parameters, and the order of it all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from eth_utils import to_checksum_address
from rich.console import Console
from rich.table import Table

from python_ref import constants as c
from python_ref.ledger import account_id
from python_ref.oracle_words import MAX_BOOKS, Prices
from python_ref.orders import hash_domain
from python_ref.words import Account, Globals, Limits
from scripts.chain.artifacts import artifact
from scripts.deployment import DeploymentError
from scripts.deployment.config import ZERO_ADDRESS, Config
from scripts.deployment.core import Deployment, parts
from scripts.rules import STATES

_LOG_SPAN = 5_000
"""Blocks that one question for logs covers: what public endpoints grant."""


@dataclass(frozen=True)
class Check:
    """One thing that was read: what it should be and what it is."""

    subject: str
    what: str
    expected: Any
    found: Any

    @property
    def good(self) -> bool:
        """Whether the two are the same."""
        return bool(self.expected == self.found)


def verify(deployment: Deployment, config: Config) -> list[Check]:
    """Every check, those that fail included."""
    return [
        *_codes(deployment, config),
        *_governor(deployment, config),
        *_house(deployment),
        *_oracle(deployment, config),
        *_fund(deployment, config),
        *_markets(deployment, config),
        *_history(deployment, config),
    ]


def report(checks: list[Check], console: Console) -> None:
    """Print the table, then raise :class:`DeploymentError` if something is wrong."""
    table = Table("contract", "check", title="read back from the chain", title_justify="left")
    table.add_column("found", overflow="fold")
    table.add_column("")
    for check in checks:
        found = str(check.found)
        if not check.good:
            found = f"{found}, not {check.expected}"
        style = None if check.good else "red"
        table.add_row(check.subject, check.what, found, "ok" if check.good else "WRONG", style=style)
    console.print(table)
    wrong = [f"{check.subject}: {check.what}" for check in checks if not check.good]
    if wrong:
        raise DeploymentError(f"{len(wrong)} of {len(checks)} checks failed: {'; '.join(wrong)}")


def _codes(deployment: Deployment, config: Config) -> Iterator[Check]:
    """Deployed code, immutables included, is what the constructor leaves when it is run again now."""
    at, sender = deployment.addresses, deployment.sender
    for part in parts(config, deployment.data["deployer"]):
        code = artifact(part.artifact)
        deployed = sender.code(at[part.label])
        constructor: Any = sender.web3.eth.contract(abi=code.abi, bytecode=code.bytecode)
        initcode = constructor.constructor(*part.arguments(at)).data_in_transaction
        try:
            again = sender.view(None, bytes.fromhex(initcode[2:]), deployment.data["deployer"])
        except DeploymentError as error:
            yield Check(part.label, "code and immutables", "the same", f"cannot be built again ({error})")
            continue
        if part.label == "Orders":
            # Its separator holds its own address, which is another one when it is built again.
            own = hash_domain(sender.chain_id, at["Orders"])
            again = _put_separator(deployed, again, len(code.runtime), own)
        found = "the same" if deployed == again else "different" if deployed else "none"
        yield Check(part.label, "code and immutables", "the same", found)


def _put_separator(deployed: bytes, again: bytes, start: int, separator: bytes) -> bytes:
    """``again`` with ``separator`` where its only differing immutable is."""
    places = range(start, min(len(again), len(deployed)), 32)
    differing = [i for i in places if deployed[i : i + 32] != again[i : i + 32]]
    if len(differing) != 1:
        return again
    at = differing[0]
    return again[:at] + separator + again[at + 32 :]


def _governor(deployment: Deployment, config: Config) -> Iterator[Check]:
    read, deployer = deployment.read, deployment.data["deployer"]
    owner, pending = read("Governor", "owner"), read("Governor", "pending_owner")
    wanted = config.owner or deployer
    if wanted != deployer and owner == deployer:
        yield Check("Governor", "owner until the offer is accepted", deployer, owner)
        yield Check("Governor", "pending owner", wanted, pending)
    else:
        yield Check("Governor", "owner", wanted, owner)
        yield Check("Governor", "pending owner", ZERO_ADDRESS, pending)
    yield Check("Governor", "guardian", config.guardian, read("Governor", "guardian"))
    yield Check("Governor", "delay, seconds", config.delay_s, read("Governor", "DELAY"))
    yield Check("Governor", "sealed", True, read("Governor", "is_sealed"))


def _house(deployment: Deployment) -> Iterator[Check]:
    at, read = deployment.addresses, deployment.read
    names = {"Token": "collateral", "PriceOracle": "oracle", "LiquidationEngine": "engine", "BackstopFund": "fund"}
    for (label, what), found in zip(names.items(), read("ClearingHouse", "wiring"), strict=True):
        yield Check("ClearingHouse", what, at[label], found)
    yield Check("ClearingHouse", "governor", at["Governor"], read("ClearingHouse", "governor"))
    for filler in ("Orders", "BackstopFund"):
        yield Check("ClearingHouse", f"{filler} may fill", True, read("ClearingHouse", "is_filler", at[filler]))
    domain = Globals.unpack(*_two(read("ClearingHouse", "load_globals")))
    if domain.claim_epoch == 0:
        yield Check("ClearingHouse", "claim index", c.INDEX_ONE, domain.claim_index)
    yield Check("ClearingHouse", "bad debt", 0, domain.bad_debt)
    separator = hash_domain(deployment.sender.chain_id, at["Orders"])
    yield Check("Orders", "domain separator", separator.hex(), bytes(read("Orders", "domain_separator")).hex())


def _oracle(deployment: Deployment, config: Config) -> Iterator[Check]:
    at, read = deployment.addresses, deployment.read
    yield Check("PriceOracle", "governor", at["Governor"], read("PriceOracle", "governor"))
    yield Check("PriceOracle", "reporter", at["ClearingHouse"], read("PriceOracle", "reporter"))
    yield Check("PriceOracle", "sequencer", config.sequencer or ZERO_ADDRESS, read("PriceOracle", "sequencer"))
    for number, book in config.books.items():
        for j, feed in enumerate(deployment.feeds(config, number)):
            found = read("PriceOracle", "feeds", number, j)
            yield Check("PriceOracle", f"{book.name}: feed {j}", hex(feed.pack()), hex(found))
            if feed.bounded:
                found = read("PriceOracle", "bounds", number, j)
                yield Check("PriceOracle", f"{book.name}: bounds of feed {j}", hex(feed.pack_bounds()), hex(found))
        rules = hex(book.rules.pack(len(book.feeds)))
        yield Check("PriceOracle", f"{book.name}: rules", rules, hex(read("PriceOracle", "rules", number)))
        state = prices_of(deployment, number).state
        yield Check("PriceOracle", f"{book.name}: state", STATES[c.STATE_LIVE], STATES[state])
    for number in set(range(MAX_BOOKS)) - set(config.books):
        if found := read("PriceOracle", "rules", number):
            yield Check("PriceOracle", f"rules of book {number}, which nobody asked for", "0x0", hex(found))


def _fund(deployment: Deployment, config: Config) -> Iterator[Check]:
    at, read = deployment.addresses, deployment.read
    labels = {"TOKEN": "Token", "CLEARING_HOUSE": "ClearingHouse", "ORACLE": "PriceOracle", "GOVERNOR": "Governor"}
    for getter, label in labels.items():
        yield Check("BackstopFund", getter, at[label], read("BackstopFund", getter))
    yield Check("BackstopFund", "COOLDOWN_S", config.cooldown_s, read("BackstopFund", "COOLDOWN_S"))
    for i, market in enumerate(config.markets):
        yield Check("BackstopFund", f"{market.name}: cap", market.fund_cap, read("BackstopFund", "cap", i))


def _markets(deployment: Deployment, config: Config) -> Iterator[Check]:
    at, read = deployment.addresses, deployment.read
    for i, market in enumerate(config.markets):
        words = read("ClearingHouse", "load_market", i)
        yield Check(market.name, "risk word", hex(market.risk.pack()), hex(words[2]))
        limits = replace(Limits.unpack(words[3]), open_receipts=0).pack()
        yield Check(market.name, "limits word", hex(market.limits.pack()), hex(limits))
        yield Check(market.name, "anchor", market.anchor, words[6])
        yield Check(market.name, "policy", at[market.policy], to_checksum_address(words[7].to_bytes(20, "big")))
        bucket = account_id(at["BackstopFund"], i + 1)
        word = Account.unpack(read("ClearingHouse", "load_account", bucket)[0])
        yield Check(market.name, "bucket is exposed", True, word.exposed)
    count = len(config.markets)
    if count < c.MAX_MARKETS:
        beyond = Limits.unpack(read("ClearingHouse", "load_market", count)[3]).listed
        yield Check("ClearingHouse", f"a market beyond the {count}", False, beyond)


def _history(deployment: Deployment, config: Config) -> Iterator[Check]:
    """Who was ever made a filler, and that wiring, feeds and listings came in order and before the seal."""
    at = deployment.addresses
    events = _events(deployment, ("ClearingHouse", "PriceOracle", "Governor"))
    fillers: set[str] = set()
    first: dict[str, int] = {}
    for place, (name, fields) in enumerate(events):
        if name == "FillerSet":
            (fillers.add if fields["allowed"] else fillers.discard)(fields["filler"])
        key = f"{name} {fields['market']}" if name in ("FeedsSet", "MarketListed") else name
        first.setdefault(key, place)
    names = {address: label for label, address in at.items()}
    found = ", ".join(sorted(names.get(filler, filler) for filler in fillers))
    yield Check("ClearingHouse", "all fillers there are", "BackstopFund, Orders", found)
    markets = [f"MarketListed {i}" for i in range(len(config.markets))]
    quotes = [(market.rules.quote, i) for i, market in enumerate(config.markets) if market.rules.quote]
    for chain in (
        ["Wired", *markets, "Sealed"],
        ["FillerSet", "Sealed"],
        ["ReporterSet", "Sealed"],
        *([f"FeedsSet {i}", market] for i, market in enumerate(markets)),
        *([f"FeedsSet {quote}", f"FeedsSet {i}"] for quote, i in quotes),
    ):
        places = [first.get(key, -1) for key in chain]
        in_order = -1 not in places and places == sorted(places)
        yield Check("history", " < ".join(chain), "in order", "in order" if in_order else f"at {places}")


def _events(deployment: Deployment, labels: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    """Name and fields of every event of these contracts since the deployment began, oldest first."""
    eth = deployment.sender.web3.eth
    start, last = deployment.data["block"], eth.block_number
    known = {(deployment.addresses[label], e.topic): e for label in labels for e in deployment.contract(label).events}
    found = []
    for low in range(start, last + 1, _LOG_SPAN):
        span: Any = {
            "address": [deployment.addresses[label] for label in labels],
            "fromBlock": low,
            "toBlock": min(low + _LOG_SPAN - 1, last),
        }
        for log in eth.get_logs(span):
            event = known.get((log["address"], "0x" + bytes(log["topics"][0]).hex()))
            if event is not None:
                found.append((event.event_name, dict(event.process_log(log)["args"])))
    return found


def _two(words: Any) -> tuple[int, int]:
    return int(words[0]), int(words[1])


def prices_of(deployment: Deployment, book: int) -> Prices:
    """Prices of a market or a quote as they would be read in the next block."""
    return Prices(*values(deployment.read("PriceOracle", "peek", book)))


def values(value: Any) -> tuple[Any, ...]:
    """A struct as a tuple, however web3 hands it over."""
    return tuple(value.values()) if isinstance(value, dict) else tuple(value)
