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
from pathlib import Path
from typing import Any

from scripts.chain.artifacts import ROOT
from scripts.chain.base import CHAIN_ID, GAS_LIMIT, START, Chain, ChainUnavailable, RawLog, RawResult

_START_TIMEOUT_S = 20.0
_RECEIPT_TIMEOUT_S = 30.0
_TRACE = {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}}


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
    """anvil on a free port of this machine, or on ``port``. Gas is the receipt's; gas costs nothing."""

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
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self._set_time: int | None = None
        # From here on a block has its parent's timestamp unless told otherwise: the clock stands still.
        self.rpc("anvil_setBlockTimestampInterval", 0)

    @property
    def url(self) -> str:
        """Where the node listens."""
        return f"http://127.0.0.1:{self.port}"

    def rpc(self, method: str, *params: Any) -> Any:
        """One JSON-RPC request."""
        return self.batch([(method, list(params))])[0]

    def batch(self, requests: list[tuple[str, list[Any]]]) -> list[Any]:
        """Several JSON-RPC requests at once, answers in their order."""
        body = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(requests)]
        self._connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        answers = sorted(json.loads(self._connection.getresponse().read()), key=lambda answer: answer["id"])
        for answer, (method, _) in zip(answers, requests, strict=True):
            if "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
        return [answer["result"] for answer in answers]

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

    def dump(self, address: str) -> dict[int, int] | None:
        """Every storage word that is not zero, from the node's state file."""
        state = json.loads(gzip.decompress(_bytes(self.rpc("anvil_dumpState"))))
        storage = state["accounts"].get(address.lower(), {}).get("storage", {})
        words = {int(at, 16): int(value, 16) for at, value in storage.items()}
        return {at: value for at, value in words.items() if value}

    def _create(self, sender: str, nonce: int, data: bytes) -> RawResult:
        self.rpc("anvil_setNonce", sender, hex(nonce))
        return self._send({"from": sender, "data": "0x" + data.hex()})

    def _execute(self, sender: str, to: str, data: bytes, *, keep: bool) -> RawResult:
        request = {"from": sender, "to": to, "data": "0x" + data.hex()}
        if keep:
            return self._send(request)
        request |= {"gas": hex(GAS_LIMIT), "gasPrice": "0x0"}
        block = {"time": hex(self.now), "number": hex(self.block)}
        options = {**_TRACE, "blockOverrides": block}
        trace = self.rpc("debug_traceCall", request, "latest", options)
        return RawResult("error" not in trace, _bytes(trace.get("output", "0x")), int(trace["gasUsed"], 16))

    def _send(self, request: dict[str, str]) -> RawResult:
        if self._set_time != self.now:
            self.rpc("evm_setNextBlockTimestamp", self.now)
            self._set_time = self.now
        # The plain call returns before the block exists; this one waits for the receipt (EIP-7966).
        receipt = self._mined(self.rpc("eth_sendTransaction", {**request, "gas": hex(GAS_LIMIT), "gasPrice": "0x0"}))
        trace = self.rpc("debug_traceTransaction", receipt["transactionHash"], _TRACE)
        logs = [
            RawLog(log["address"], [_bytes(t) for t in log["topics"]], _bytes(log["data"])) for log in receipt["logs"]
        ]
        return RawResult(
            int(receipt["status"], 16) == 1,
            _bytes(trace.get("output", "0x")),
            int(receipt["gasUsed"], 16),
            logs,
            receipt["contractAddress"] or "",
        )

    def _mined(self, transaction: str) -> dict[str, Any]:
        """The receipt. anvil mines at once, but on a busy machine the answer can come before the block."""
        deadline = time.monotonic() + _RECEIPT_TIMEOUT_S
        while (receipt := self.rpc("eth_getTransactionReceipt", transaction)) is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"anvil did not mine {transaction} within {_RECEIPT_TIMEOUT_S:.0f} s")
            time.sleep(0.002)
        return dict(receipt)

    def _read(self, address: str, slots: list[int]) -> list[int]:
        words = self.batch([("eth_getStorageAt", [address, f"0x{slot:064x}", "latest"]) for slot in slots])
        return [int(word, 16) for word in words]

    def _snapshot(self) -> Any:
        return self.rpc("evm_snapshot")

    def _revert(self, mark: Any) -> None:
        if not self.rpc("evm_revert", mark):
            raise RuntimeError(f"anvil does not know snapshot {mark}")
        self._set_time = None


def _start(binary: Path, port: int) -> tuple[subprocess.Popen[bytes], int]:
    """Start the node and wait until it listens. A port that another process takes meanwhile is tried anew."""
    for _ in range(5):
        chosen = port or _free_port()
        command = [str(binary), "--quiet", "--host", "127.0.0.1", "--port", str(chosen)]
        command += ["--chain-id", str(CHAIN_ID), "--timestamp", str(START), "--hardfork", "prague"]
        command += ["--base-fee", "0", "--gas-price", "0", "--disable-min-priority-fee", "--auto-impersonate"]
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
