"""Whoever sends a deployment's transactions: a key at an RPC endpoint here, ape's account in ``scripts.deploy``.

Reading goes through web3 in both cases; only signing and sending differ.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import rlp
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils import keccak, to_checksum_address
from web3 import HTTPProvider, Web3
from web3.exceptions import ContractLogicError, TimeExhausted, Web3Exception, Web3RPCError

from scripts.deployment import DeploymentError

MNEMONIC = "test test test test test test test test test test test junk"
"""The public mnemonic of anvil, hardhat and ape: its keys are for local chains only."""

POKE_RESERVE = 1_000_000
"""Gas of reading the feeds of a few markets, three each."""

_RECEIPT_TIMEOUT_S = 300
_LOCAL = ("127.0.0.1", "localhost", "::1")


def dev_key(index: int) -> bytes:
    """Key ``index`` of the public mnemonic."""
    Account.enable_unaudited_hdwallet_features()
    return bytes(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}").key)


@dataclass(frozen=True)
class Receipt:
    """What is left of a transaction that went through."""

    transaction: str
    block: int
    created: str  # "" unless it deployed
    logs: tuple[Any, ...] = ()


class Sender(ABC):
    """Reads a chain and sends to it as one account; every failure is a :class:`DeploymentError` of one line."""

    def __init__(self, web3: Web3, address: str) -> None:
        self.web3 = web3
        self.address = to_checksum_address(address)
        self.chain_id: int = web3.eth.chain_id
        self.genesis: str = "0x" + bytes(web3.eth.get_block(0)["hash"]).hex()

    @abstractmethod
    def send(self, what: str, to: str | None, data: bytes) -> Receipt:
        """Send a transaction (``to`` None: deploy) and wait until it is in a block; ``what`` is for messages."""

    def view(self, to: str | None, data: bytes, sender: str | None = None) -> bytes:
        """Result of a call that changes nothing; without ``to`` the code that a deployment would leave."""
        request: dict[str, Any] = {"from": sender or self.address, "data": data}
        if to is not None:
            request["to"] = to_checksum_address(to)
        try:
            return bytes(self.web3.eth.call(request))
        except (Web3Exception, ValueError, OSError) as error:
            raise DeploymentError(reason_of(error)) from None

    def code(self, address: str) -> bytes:
        """Code at an address."""
        return bytes(self.web3.eth.get_code(to_checksum_address(address)))

    def nonce(self) -> int:
        """Transactions of the account that are in blocks."""
        return self.web3.eth.get_transaction_count(self.address, "latest")

    def wait_until_idle(self) -> None:
        """Wait for transactions of the account that an earlier run sent and did not see in a block."""
        deadline = time.monotonic() + _RECEIPT_TIMEOUT_S
        while (waiting := self.web3.eth.get_transaction_count(self.address, "pending")) > self.nonce():
            if time.monotonic() > deadline:
                raise DeploymentError(
                    f"{self.address} has transactions that no block takes (up to nonce {waiting - 1}): "
                    "speed them up or cancel them in a wallet, then run this again"
                )
            time.sleep(1)

    def next_address(self) -> str:
        """Where the next deployment of the account will be."""
        return created_address(self.address, self.nonce())


class RpcSender(Sender):
    """A private key at an RPC endpoint."""

    def __init__(self, url: str, key: bytes) -> None:
        self.url = url
        self._account: LocalAccount = Account.from_key(key)
        super().__init__(connect(url), self._account.address)

    def send(self, what: str, to: str | None, data: bytes) -> Receipt:
        eth = self.web3.eth
        request: dict[str, Any] = {"from": self.address, "data": data, "value": 0, "nonce": self.nonce()}
        request["chainId"] = self.chain_id
        if to is not None:
            request["to"] = to_checksum_address(to)
        try:
            request["gas"] = with_reserve(eth.estimate_gas(request), to)
            base = eth.get_block("latest").get("baseFeePerGas")
            if base is None:
                request["gasPrice"] = eth.gas_price
            else:
                tip = eth.max_priority_fee
                request |= {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * base + tip}
            raw = self._account.sign_transaction(request).raw_transaction
            hashed = eth.send_raw_transaction(raw)
            every = 0.01 if is_local(self.url) else 2
            found = eth.wait_for_transaction_receipt(hashed, _RECEIPT_TIMEOUT_S, every)
        except TimeExhausted:
            raise DeploymentError(f"{what}: in no block after {_RECEIPT_TIMEOUT_S} s; run this again later") from None
        except (Web3Exception, ValueError, OSError) as error:
            raise DeploymentError(f"{what}: {reason_of(error)}") from None
        return receipt_of(what, found)


def with_reserve(estimate: int, to: str | None) -> int:
    """Gas to send along. A call is estimated in a second whose prices may be cached, and mined in one in which the
    oracle reads its feeds anew: that costs more, and the oracle refuses to read them with little gas."""
    return estimate * 4 // 3 + (0 if to is None else POKE_RESERVE)


def receipt_of(what: str, found: Any) -> Receipt:
    """The receipt web3 found; :class:`DeploymentError` if the transaction reverted."""
    hashed = "0x" + bytes(found["transactionHash"]).hex()
    if found["status"] != 1:
        raise DeploymentError(f"{what}: transaction {hashed} reverted")
    return Receipt(hashed, found["blockNumber"], found["contractAddress"] or "", tuple(found["logs"]))


def is_local(url: str) -> bool:
    """Whether an endpoint is on this machine."""
    return urlsplit(url).hostname in _LOCAL


def connect(url: str) -> Web3:
    """A connection that has answered once; :class:`DeploymentError` if nothing does."""
    web3 = Web3(HTTPProvider(url, request_kwargs={"timeout": 30}, exception_retry_configuration=None))
    try:
        web3.eth.chain_id  # noqa: B018 - the question is the test
    except Exception as error:
        # requests, urllib3, json and web3 each have their own way to say that this is no node
        kind = type(error).__name__
        raise DeploymentError(
            f"no Ethereum node answers at {url} ({kind}): check the RPC URL, or start the node"
        ) from None
    return web3


def created_address(creator: str, nonce: int) -> str:
    """Address of what ``creator`` deploys with ``nonce``."""
    return to_checksum_address(keccak(rlp.encode([bytes.fromhex(creator[2:]), nonce]))[12:])


def reason_of(error: Exception) -> str:
    """What a node said, on one line."""
    if isinstance(error, ContractLogicError):
        text = str(error.message or error)
        for prefix in ("execution reverted: ", "execution reverted", "revert: "):
            text = text.removeprefix(prefix)
        return f"refused: {text.strip(': ') or 'no reason given'}"
    if isinstance(error, Web3RPCError):
        answer = (error.rpc_response or {}).get("error", {})
        return str(answer.get("message", error))
    if isinstance(error, OSError):
        return f"the node does not answer any more ({type(error).__name__})"
    return " ".join(str(error).split())
