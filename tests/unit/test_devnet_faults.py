"""A node that is killed, restarted, silent, slow or rolled back: the comparison goes on, or stops with a clear line.

It never reports a match or a mismatch of what it did not see: every test here would fail on a
:class:`~scripts.twin.Mismatch`, and those that go on compare the whole state at the end.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

import pytest

from scripts.campaign import seed as seed_module
from scripts.campaign.seed import Pulse, Result, Task, run_seed
from scripts.campaign.workers import Lost, here
from scripts.chain import Chain, ChainLost, make_chain
from scripts.chain import anvil as anvil_module
from scripts.chain.anvil import AnvilChain, ConnectionFailed, find_anvil
from scripts.system import KEEPER, WAD, MarketSpec, System, actor, deploy

PATIENCE_S = 0.6
FAULTS = ("refuse", "lose the answer", "answer late", "reverse the answers", "drop an answer", "cut the answer")


class Proxy(ThreadingHTTPServer):
    """Stands between a chain and its node, and does to an exchange whatever ``fault`` says."""

    daemon_threads = True

    def __init__(self, node: int) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.node = node
        self.fault: Callable[[list[str]], str] = lambda methods: ""
        self.done: Counter[str] = Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that are closed half way are what this is for."""


class _Exchange(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.server.fault([request["method"] for request in json.loads(body)])
        self.server.done[fault] += 1
        if fault == "refuse":
            self.close_connection = True
            return
        node = http.client.HTTPConnection("127.0.0.1", self.server.node, timeout=30)
        node.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = node.getresponse().read()
        node.close()
        if fault == "lose the answer":
            self.close_connection = True
            return
        if fault == "answer late":
            time.sleep(2 * PATIENCE_S)
        elif fault == "reverse the answers":
            answer = json.dumps(list(reversed(json.loads(answer)))).encode()
        elif fault == "drop an answer":
            answer = json.dumps(json.loads(answer)[:-1]).encode()
        elif fault == "cut the answer":
            answer = answer[: len(answer) // 2]
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture
def node(open_chain: Callable[[str], Chain]) -> AnvilChain:
    """A fresh anvil."""
    chain = open_chain("anvil")
    assert isinstance(chain, AnvilChain)
    return chain


@pytest.fixture
def proxy(node: AnvilChain) -> Iterator[Proxy]:
    """A faultless proxy through which the chain speaks to its node."""
    with Proxy(node.port) as server:
        node.connect(server.server_address[1], PATIENCE_S)
        yield server
        server.shutdown()


def start(chain: Chain) -> System:
    """A market with four traders."""
    system = deploy(chain, [MarketSpec("CVX", 2 * WAD)])
    for i in range(4):
        system.fund_account(actor(f"trader {i}").address, 10_000 * WAD)
    return system


def trade_on(system: System, seed: int, steps: int) -> None:
    """Trades, prices, deposits and refusals, each compared."""
    r = Random(seed)
    for _ in range(steps):
        a, b = r.sample([actor(f"trader {i}") for i in range(4)], 2)
        kind = r.random()
        if kind < 0.3:
            system.twin.advance(r.choice((0, 1, 60)))
        if kind < 0.6:
            system.trade(0, a.account(), b.account(), r.randrange(1, 3_000) * WAD, 2 * WAD)
        elif kind < 0.8:
            system.set_price(0, 2 * WAD + r.randrange(-20, 20) * WAD // 1_000)
        else:
            system.call("withdraw", a.address, a.account(), r.randrange(1, 10**9), b.address)


def test_anvil__faults_on_the_way_change_nothing(node: AnvilChain, proxy: Proxy, chain: Chain) -> None:
    disturbed, quiet = start(node), start(chain)
    r = Random(3)
    proxy.fault = lambda methods: r.choice(FAULTS) if r.random() < 0.15 else ""
    trade_on(disturbed, seed=1, steps=60)
    proxy.fault = lambda methods: ""
    trade_on(quiet, seed=1, steps=60)
    disturbed.twin.check_all()
    assert disturbed.twin.world.words == quiet.twin.world.words
    assert all(proxy.done[fault] >= 3 for fault in FAULTS), proxy.done


@pytest.mark.parametrize("fault", ["refuse", "lose the answer", "answer late", "drop an answer", "cut the answer"])
@pytest.mark.parametrize(
    "method", ["eth_sendTransaction", "evm_mine_detailed", "eth_getTransactionReceipt", "eth_call", "evm_snapshot"]
)
def test_anvil__one_fault_at_each_request(node: AnvilChain, proxy: Proxy, method: str, fault: str) -> None:
    system = start(node)
    left = [fault]
    proxy.fault = lambda methods: left.pop() if left and method in methods else ""
    mark = system.twin.snapshot()
    trade_on(system, seed=2, steps=4)
    assert not left
    system.twin.check_all()
    system.twin.revert(mark)
    trade_on(system, seed=3, steps=4)
    system.twin.check_all()


def test_anvil__answers_of_a_batch_in_any_order(node: AnvilChain, proxy: Proxy) -> None:
    proxy.fault = lambda methods: "reverse the answers"
    system = start(node)
    trade_on(system, seed=4, steps=10)
    system.twin.check_all()


def test_anvil__silent_for_good(node: AnvilChain, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anvil_module, "_RECOVERY_S", 0.5)
    system = start(node)
    proxy.fault = lambda methods: "refuse"
    with pytest.raises(ChainLost, match=r"it has not answered for"):
        trade_on(system, seed=5, steps=4)


def test_anvil__killed(node: AnvilChain) -> None:
    system = start(node)
    trade_on(system, seed=6, steps=5)
    node._process.kill()
    node._process.wait()
    with pytest.raises(ChainLost, match=r"anvil has ended with code -9"):
        trade_on(system, seed=7, steps=5)


def test_anvil__killed_and_restarted_on_the_same_port(node: AnvilChain, monkeypatch: pytest.MonkeyPatch) -> None:
    system = start(node)
    trade_on(system, seed=8, steps=5)
    binary, command = find_anvil(), list(node._process.args)  # type: ignore[call-overload]
    node._process.kill()
    node._process.wait()
    assert binary is not None
    other = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setattr(node, "_process", other)  # somebody else's process: it runs
        with pytest.raises(ChainLost, match="another node answers there now: anvil was restarted"):
            trade_on(system, seed=9, steps=5)
    finally:
        other.kill()
        other.wait()


def test_anvil__rolled_back_by_somebody_else(node: AnvilChain) -> None:
    system = start(node)
    mark = node.rpc("evm_snapshot")
    trade_on(system, seed=10, steps=5)
    assert node.rpc("evm_revert", mark)
    with pytest.raises(ChainLost, match="does not follow the last one: a reorg"):
        trade_on(system, seed=11, steps=5)


def test_anvil__reorganised_by_somebody_else(node: AnvilChain) -> None:
    system = start(node)
    trade_on(system, seed=12, steps=5)
    node.rpc("anvil_reorg", 2, [])
    with pytest.raises(ChainLost, match="does not follow the last one: a reorg"):
        trade_on(system, seed=13, steps=5)


def test_anvil__somebody_else_mines(node: AnvilChain) -> None:
    system = start(node)
    node.rpc("evm_mine")
    with pytest.raises(ChainLost, match="does not follow the last one: a reorg"):
        system.set_price(0, 2 * WAD)


def test_anvil__somebody_else_sends(node: AnvilChain) -> None:
    system = start(node)
    node.rpc("eth_sendTransaction", {"from": KEEPER, "to": KEEPER, "nonce": hex(2**32), "gasPrice": "0x0"})
    trade_on(system, seed=14, steps=3)  # it waits for its nonce: no block holds it
    other = actor("nobody").address
    node.rpc("eth_sendTransaction", {"from": other, "to": other, "nonce": "0x0", "gasPrice": "0x0"})
    with pytest.raises(ChainLost, match="holds 2 transactions"):
        system.set_price(0, 2 * WAD)


def test_anvil__snapshots_between_operations(node: AnvilChain) -> None:
    system = start(node)
    for seed in range(3):
        mark = system.twin.snapshot()
        trade_on(system, seed=20 + seed, steps=6)
        system.twin.check_all()
        system.twin.revert(mark)
        system.twin.check_all()
    trade_on(system, seed=30, steps=6)
    system.twin.check_all()


def test_anvil__snapshot_taken_away(node: AnvilChain) -> None:
    system = start(node)
    mark = system.twin.snapshot()
    node.rpc("evm_revert", node._snapshots[-1][-1][0])
    with pytest.raises(ChainLost, match="does not know snapshot"):
        system.twin.revert(mark)


def test_batch__a_refused_request_is_no_silence(node: AnvilChain) -> None:
    with pytest.raises(RuntimeError, match="eth_noSuchMethod") as caught:
        node.rpc("eth_noSuchMethod")
    assert not isinstance(caught.value, ConnectionFailed | ChainLost)


@pytest.fixture
def nodes(open_chain: Callable[[str], Chain], monkeypatch: pytest.MonkeyPatch) -> list[AnvilChain]:
    """Every node that a campaign opens."""
    open_chain("anvil")
    opened: list[AnvilChain] = []

    def make(kind: str) -> Chain:
        chain = make_chain(kind)
        if isinstance(chain, AnvilChain):
            opened.append(chain)
        return chain

    monkeypatch.setattr(seed_module, "make_chain", make)
    return opened


def test_campaign__goes_on_after_its_node_was_killed(nodes: list[AnvilChain]) -> None:
    task = Task(60, backend="anvil", regimes=("trading",))

    def kill_the_first(pulse: Pulse) -> None:
        if len(nodes) == 1:
            nodes[0]._process.kill()

    (disturbed,) = here(task, [1], kill_the_first)
    quiet = run_seed(replace(task, backend="revm"), 1)
    assert len(nodes) == 2
    assert isinstance(disturbed, Result)
    assert (disturbed.digest, disturbed.outcomes, disturbed.failure) == (quiet.digest, quiet.outcomes, None)


def test_campaign__gives_a_seed_up_after_three_nodes(nodes: list[AnvilChain]) -> None:
    task = Task(60, backend="anvil", regimes=("trading",))
    (lost,) = here(task, [1], lambda pulse: nodes[-1]._process.kill())
    assert isinstance(lost, Lost)
    assert "anvil has ended with code -9" in lost.reason
    assert len(nodes) == 3
