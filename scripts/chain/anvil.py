"""A real node: anvil as a child process, by JSON-RPC."""

from __future__ import annotations

import atexit
import contextlib
import gzip
import http.client
import json
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scripts.chain.artifacts import ROOT
from scripts.chain.base import (
    CHAIN_ID,
    GAS_LIMIT,
    START,
    Chain,
    ChainLost,
    ChainUnavailable,
    RawLog,
    RawResult,
    StoredWords,
)
from scripts.chain.digest import COLLECTOR, READER, answer, question

_START_TIMEOUT_S = 20.0
_ANSWER_TIMEOUT_S = 30.0
_TRACE = {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}}

_RECOVERY_S = 10.0
"""How long a node that has stopped answering is asked again before it is given up."""


class ConnectionFailed(RuntimeError):
    """A request that has no answer; the node may have carried it out."""


def find_anvil() -> Path | None:
    """The binary: ``$ANVIL``, else the one that npm installed, else the one on the path."""
    if given := os.environ.get("ANVIL"):
        return Path(given)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"anvil-{platform.system().lower()}-{machine}"
    installed = ROOT / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"
    if installed.is_file():
        return installed
    on_path = shutil.which("anvil")
    return Path(on_path) if on_path else None


class AnvilChain(Chain):
    """anvil on a free port of this machine, or on ``port``. Gas is the receipt's; gas costs nothing.

    Nothing is mined by itself: each call sends one transaction with its nonce written out and then asks for one block,
    so no answer depends on how fast the node is. The block must be the child of the last one, at the second that was
    asked for, with that transaction alone in it; a node that was restarted, rolled back or moved by somebody else is
    thereby found before anything is compared, and is a :class:`ChainLost`. A request without an answer is asked
    again only after the node was asked whether it had carried the first one out.
    """

    kind = "anvil"

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        binary = find_anvil()
        if binary is not None and not binary.is_file():
            raise ChainUnavailable(f"no anvil at {binary}: correct $ANVIL, or unset it")
        if binary is None:
            raise ChainUnavailable("no anvil: install npm and run `make test`, or set ANVIL to the binary")
        self._process, self.port = _start(binary, port)
        atexit.register(self.close)
        self._nonces: dict[str, int] = {}
        self._set_time: int | None = None
        self.connect(self.port)
        # From here on a block has its parent's timestamp unless told otherwise: the clock stands still.
        self.rpc("anvil_setBlockTimestampInterval", 0)
        self._instance = self.rpc("anvil_metadata")["instanceId"]
        self._head = self.rpc("eth_getBlockByNumber", "latest", False)["hash"]

    @property
    def url(self) -> str:
        """Where the node listens."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self, port: int, timeout_s: float = _ANSWER_TIMEOUT_S) -> None:
        """Speak to the node through ``port``; an answer that takes longer than ``timeout_s`` counts as lost."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)

    def rpc(self, method: str, *params: Any) -> Any:
        """One JSON-RPC request. :class:`ConnectionFailed` without an answer, ``RuntimeError`` if refused."""
        return self.batch([(method, list(params))])[0]

    def batch(self, requests: list[tuple[str, list[Any]]]) -> list[Any]:
        """Several JSON-RPC requests at once, answers in the order of the requests, however the node ordered them.

        The node works on the requests of a batch at the same time: none may rely on another's effect.
        """
        body = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(requests)]
        try:
            self._connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
            answers = json.loads(self._connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()  # the next request opens a new one; a late answer to this one is never read
            raise ConnectionFailed(f"anvil on port {self.port}: {requests[0][0]}: {error!r}") from None
        by_id = {answer["id"]: answer for answer in answers} if isinstance(answers, list) else {}
        if set(by_id) != set(range(len(requests))) or len(answers) != len(requests):
            raise ConnectionFailed(f"anvil on port {self.port}: {requests[0][0]}: not the answers to what was asked")
        for i, (method, _) in enumerate(requests):
            if "error" in by_id[i]:
                raise RuntimeError(f"{method}: {by_id[i]['error']}")
        return [by_id[i]["result"] for i in range(len(requests))]

    def close(self) -> None:
        """Stop the node."""
        self._connection.close()
        atexit.unregister(self.close)
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def dumps(self, addresses: Sequence[str]) -> list[dict[int, int]]:
        """Every storage word of each contract that is not zero, from the node's state file."""
        state = json.loads(gzip.decompress(_bytes(self._ask(lambda: self.rpc("anvil_dumpState")))))
        found = []
        for address in addresses:
            storage = state["accounts"].get(address.lower(), {}).get("storage", {})
            words = {int(at, 16): int(value, 16) for at, value in storage.items()}
            found.append({at: value for at, value in words.items() if value})
        return found

    def holds(self, words: Sequence[StoredWords]) -> bool:
        """Whether all those words are as given, by one call that hashes them where they lie.

        Of one call only, the code of each contract is replaced by a reader of its own storage.
        """
        overrides = {address: {"code": READER} for address, _, _ in words} | {_COLLECTOR: {"code": COLLECTOR}}
        request = {"to": _COLLECTOR, "data": "0x" + question(words).hex(), "gas": hex(10**9), "gasPrice": "0x0"}
        found = self._ask(lambda: self.rpc("eth_call", request, "latest", overrides))
        return _bytes(found) == answer(words)

    def _create(self, sender: str, nonce: int, data: bytes) -> RawResult:
        self._ask(lambda: self.rpc("anvil_setNonce", sender, hex(nonce)))
        self._nonces[sender] = nonce
        return self._send({"from": sender, "data": "0x" + data.hex()})

    def _execute(self, sender: str, to: str, data: bytes, *, keep: bool) -> RawResult:
        request = {"from": sender, "to": to, "data": "0x" + data.hex()}
        if keep:
            return self._send(request)
        request |= {"gas": hex(GAS_LIMIT), "gasPrice": "0x0"}
        block = {"time": hex(self.now), "number": hex(self.block)}
        options = {**_TRACE, "blockOverrides": block}
        trace = self._ask(lambda: self.rpc("debug_traceCall", request, "latest", options))
        return RawResult("error" not in trace, _bytes(trace.get("output", "0x")), int(trace["gasUsed"], 16))

    def _send(self, request: dict[str, str]) -> RawResult:
        sender = request["from"]
        if sender not in self._nonces:
            self._nonces[sender] = int(self._ask(lambda: self.rpc("eth_getTransactionCount", sender, "latest")), 16)
        nonce = self._nonces[sender]
        request = {**request, "nonce": hex(nonce), "gas": hex(GAS_LIMIT), "gasPrice": "0x0"}
        try:
            block = self._mine(request)
        except ConnectionFailed as error:
            block = self._after_silence(request, error)
        transaction = self._check(block, request)
        receipt = self._ask(lambda: self.rpc("eth_getTransactionReceipt", transaction["hash"]))
        if receipt is None or receipt["transactionHash"] != transaction["hash"]:
            raise ChainLost(f"anvil on port {self.port}: no receipt of {transaction['hash']}, which it has mined")
        self._head = block["hash"]
        self._nonces[sender] = nonce + 1
        self._set_time = self.now
        logs = [
            RawLog(log["address"], [_bytes(t) for t in log["topics"]], _bytes(log["data"])) for log in receipt["logs"]
        ]
        return RawResult(
            int(receipt["status"], 16) == 1,
            _bytes(transaction.get("output", "0x")),
            int(receipt["gasUsed"], 16),
            logs,
            receipt["contractAddress"] or "",
        )

    def _mine(self, request: dict[str, str]) -> dict[str, Any]:
        """Send one transaction and mine one block; the block with its transactions."""
        requests: list[tuple[str, list[Any]]] = [("eth_sendTransaction", [request])]
        if self._set_time != self.now:
            requests.append(("evm_setNextBlockTimestamp", [self.now]))
        self.batch(requests)
        block: dict[str, Any] = self.rpc("evm_mine_detailed")[0]
        return block

    def _after_silence(self, request: dict[str, str], error: ConnectionFailed) -> dict[str, Any]:
        """The block that holds the transaction, after a request without an answer: mined meanwhile, or mined now."""
        for _ in range(3):
            latest = self._ask(lambda: self.rpc("eth_getBlockByNumber", "latest", True), error)
            if latest["parentHash"] == self._head:  # the lost answer was that of a block that was mined
                return {**latest, "transactions": [self._with_output(t) for t in latest["transactions"]]}
            if latest["hash"] != self._head:
                break
            try:
                self.rpc("anvil_dropAllTransactions")  # whatever has arrived is sent anew, so that it is there once
                self._set_time = None
                return self._mine(request)
            except ConnectionFailed as again:
                error = again
        raise ChainLost(f"{error}; and its newest block is not the one that was left there")

    def _with_output(self, transaction: dict[str, Any]) -> dict[str, Any]:
        trace = self._ask(lambda: self.rpc("debug_traceTransaction", transaction["hash"], _TRACE))
        return {**transaction, "output": trace.get("output", "0x")}

    def _check(self, block: dict[str, Any], request: dict[str, str]) -> dict[str, Any]:
        """The transaction, if the block is the one that was asked for and holds nothing else."""
        if block["parentHash"] != self._head:
            raise ChainLost(f"anvil on port {self.port}: block {block['number']} does not follow the last one: a reorg")
        if int(block["timestamp"], 16) != self.now:
            raise ChainLost(f"anvil on port {self.port}: mined at {int(block['timestamp'], 16)} instead of {self.now}")
        sent = [(t["from"], t["nonce"], t["input"]) for t in block["transactions"]]
        if sent != [(request["from"], request["nonce"], request["data"])]:
            raise ChainLost(f"anvil on port {self.port}: block {block['number']} holds {len(sent)} transactions")
        return dict(block["transactions"][0])

    def _ask(self, question: Callable[[], Any], error: Exception | None = None) -> Any:
        """The answer to a question that changes nothing, or sets what it sets however often it is asked."""
        deadline = time.monotonic() + _RECOVERY_S
        while True:
            try:
                if error is not None and self.rpc("anvil_metadata")["instanceId"] != self._instance:
                    raise ChainLost(f"{error}; another node answers there now: anvil was restarted")
                return question()
            except ConnectionFailed as failed:
                error = failed
                if self._process.poll() is not None:
                    raise ChainLost(f"{error}; anvil has ended with code {self._process.returncode}") from None
                if time.monotonic() > deadline:
                    raise ChainLost(f"{error}; it has not answered for {_RECOVERY_S:.0f} s") from None
                time.sleep(0.02)

    def _read(self, address: str, slots: list[int]) -> list[int]:
        requests = [("eth_getStorageAt", [address, f"0x{slot:064x}", "latest"]) for slot in slots]
        words = self._ask(lambda: self.batch(requests))
        return [int(word, 16) for word in words]

    def _snapshot(self) -> Any:
        return self._ask(lambda: self.rpc("evm_snapshot")), self._head, dict(self._nonces)

    def _revert(self, mark: Any) -> None:
        known, self._head, self._nonces = mark
        self._set_time = None
        if not self._ask(lambda: self.rpc("evm_revert", known)):
            raise ChainLost(f"anvil on port {self.port} does not know snapshot {known}")
        if self._ask(lambda: self.rpc("eth_getBlockByNumber", "latest", False))["hash"] != self._head:
            raise ChainLost(f"anvil on port {self.port}: snapshot {known} is not the state that was marked")


_COLLECTOR = "0x" + "c0" * 20
"""Where the collecting code is put for the length of one call; nothing else is there."""


def _start(binary: Path, port: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start the node and wait until it listens. A port that another process takes meanwhile is tried anew."""
    for _ in range(5):
        chosen = port or _free_port()
        command = [str(binary), "--quiet", "--host", "127.0.0.1", "--port", str(chosen)]
        command += ["--chain-id", str(CHAIN_ID), "--timestamp", str(START), "--hardfork", "prague"]
        command += ["--base-fee", "0", "--gas-price", "0", "--disable-min-priority-fee", "--auto-impersonate"]
        # Without a bound the node writes the state of every old block to disk: a long campaign fills it.
        command += ["--no-mining", "--prune-history", "64", "--transaction-block-keeper", "64"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", chosen), timeout=1):
                return process, chosen
            time.sleep(0.02)
        process.kill()
        _, error = process.communicate()
        if port:
            break
    raise ChainUnavailable(f"{binary} does not start: {error.decode(errors='replace').strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
