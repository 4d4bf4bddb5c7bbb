"""JSON-RPC, and nothing else, between the runner and a node. Whatever goes wrong is one line."""

from __future__ import annotations

import http.client
import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from scripts.vectors import VectorError

_TIMEOUT_S = 60.0


class Refused(Exception):
    """The node answered with an error; ``data`` is what a reverted call answered, if it says."""

    def __init__(self, text: str, data: bytes = b"") -> None:
        super().__init__(text)
        self.data = data


class Rpc:
    """One endpoint."""

    def __init__(self, url: str) -> None:
        """Connect; :class:`VectorError` if nothing there speaks JSON-RPC."""
        self.url = url
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise VectorError(f"--rpc: {url} is no URL: write http://host:port")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            self.chain_id = int(self.call("eth_chainId"), 16)
            self.gas_price = 2 * int(self.call("eth_gasPrice"), 16)
        except (Refused, TypeError, ValueError) as error:
            raise VectorError(f"--rpc: {url} is no Ethereum node ({_short(error)})") from None

    def call(self, method: str, *params: Any) -> Any:
        """One request; :class:`Refused` if the node says no."""
        answer = self._post({"jsonrpc": "2.0", "id": 0, "method": method, "params": list(params)})
        return _result(method, answer)

    def try_call(self, method: str, *params: Any) -> None:
        """One request that not every node knows, nor needs."""
        with suppress(Refused):
            self.call(method, *params)

    def batch(self, asked: list[tuple[str, list[Any]]]) -> list[Any]:
        """Several requests at once; an answer, or the :class:`Refused` in its place, for each."""
        if not asked:
            return []
        body = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(asked)]
        answers = self._post(body)
        if not isinstance(answers, list) or len(answers) != len(asked):
            raise VectorError(f"--rpc: {self.url} does not answer batches of requests")
        results: list[Any] = []
        for answer, (method, _) in zip(sorted(answers, key=lambda one: one["id"]), asked, strict=True):
            try:
                results.append(_result(method, answer))
            except Refused as error:
                results.append(error)
        return results

    def _post(self, body: Any) -> Any:
        """One answer; a connection that the node has closed meanwhile is opened anew, once."""
        headers = {"Content-Type": "application/json"}
        for attempt in range(2):
            try:
                self._connection.request("POST", self._path, json.dumps(body), headers)
                return json.loads(self._connection.getresponse().read())
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self._connection.close()
                if attempt:
                    break
            except (OSError, http.client.HTTPException, ValueError):
                break
        raise VectorError(f"--rpc: no node answers at {self.url}: start it, or correct the URL")


def _result(method: str, answer: Any) -> Any:
    if not isinstance(answer, dict):
        raise Refused(f"{method}: no JSON-RPC answer")
    if "error" in answer:
        raise Refused(f"{method}: {_short(answer['error'])}", _data(answer["error"]))
    return answer.get("result")


def _data(error: Any) -> bytes:
    """Revert data, in either place where nodes put it."""
    data = error.get("data") if isinstance(error, dict) else None
    if isinstance(data, dict):
        data = data.get("data")
    if not isinstance(data, str) or not data.startswith("0x"):
        return b""
    return bytes.fromhex(data[2:])


def _short(error: Any) -> str:
    text = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(text).split())[:200]
