"""A running node with everything deployed and a small book: ``make devnet``, or ``python -m scripts.devnet``.

Starts anvil with the wall clock's time (put forward by a minute or two while a price falls), deploys
``scripts/deployment/demo.yaml``, opens a book in which one account is ready to be liquidated, writes
``deployments/local.json``, prints what to do next and stays up until interrupted.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
from eth_account import Account
from rich.console import Console
from web3.types import RPCEndpoint

from python_ref.constants import BPS, INDEX_ONE, PPM, STATE_LIVE, WAD
from python_ref.margin import requirement
from scripts.chain.anvil import find_anvil
from scripts.chain.artifacts import artifact
from scripts.deployment import DeploymentError, one_line
from scripts.deployment.config import DEMO, POLICIES, Config, format_wad, load_config
from scripts.deployment.core import FOLDER, Deployment, deploy, is_of, parts, read_state
from scripts.deployment.sender import RpcSender, connect, dev_key
from scripts.deployment.verify import report, verify
from scripts.wallet import ROLES, Wallet

DEFAULT_PORT = 8545
_START_TIMEOUT_S = 20.0
_STEPS = 200
"""Minutes after which a price has surely come to rest."""


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=DEFAULT_PORT, show_default=True, help="Port of the node."
)
@click.option("--config", type=click.Path(path_type=Path), default=DEMO, help="Parameters to deploy with; mocks only.")
@click.option("--policy", type=click.Choice(list(POLICIES)), help="Deleveraging policy of every market.")
@click.option("--out", type=click.Path(path_type=Path), default=FOLDER / "local.json", help="State file to write.")
def main(port: int, config: Path, policy: str | None, out: Path) -> None:
    """A local node with everything deployed; Ctrl-C stops it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start us with it ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    console = Console(soft_wrap=not sys.stdout.isatty())
    with one_line(), contextlib.suppress(KeyboardInterrupt):
        run(port, _mocked(config, policy), out, console)


def run(port: int, config: Config, out: Path, console: Console) -> None:
    """Start, deploy, verify, tell, wait. The state file exists only while, and after, the whole of it is true."""
    _check_port(port)
    _check_stale(out)
    for part in parts(config, ""):
        with console.status(f"compiling {part.artifact}"):
            artifact(part.artifact)
    with _node(port) as process:
        url = f"http://127.0.0.1:{port}"
        sender = RpcSender(url, dev_key(ROLES["deployer"]))
        out.unlink(missing_ok=True)
        try:
            with console.status("deploying") as status:
                deployment = deploy(sender, config, out, status.update, devnet=True, roles=_addresses())
                checks = verify(deployment, config)
                open_book(deployment, config)
            report(checks, console)
        except BaseException:
            # The chain dies with this process, and its file with it.
            out.unlink(missing_ok=True)
            raise
        tell(deployment, config, console)
        sys.stdout.flush()
        process.wait()
        raise DeploymentError("anvil has stopped by itself")


@dataclass(frozen=True)
class Book:
    """Sizes, money and prices (WAD) of the book in the first market; ``deposit`` is what the trader's commands need."""

    size: int  # of the weak account
    notional: int
    cash: int  # of the weak account
    price: int
    fallen: int  # what the feeds say that leaves it with 85 % of maintenance
    trade: int
    deposit: int


def plan_book(config: Config) -> Book:
    """A book that fits the first market's parameters, whatever they are."""
    market = config.markets[0]
    risk, quote = market.risk, config.books.get(market.rules.quote)
    quoted, width_bps = WAD, market.width_bps
    if market.rules.quote and quote is not None:
        quoted, width_bps = quote.mock_price or WAD, width_bps + quote.width_bps
    price = (market.mock_price or 0) * WAD // quoted
    unit, lot = 10 ** (18 - config.token_decimals), 10**market.limits.lot_exp
    grain = 10 ** (18 - market.feeds[0].decimals)
    trade = _up(max(WAD, market.limits.min_size), lot)
    size = 10 * trade
    notional = size * price // WAD
    width, fee = notional * width_bps // BPS, notional * risk.taker_fee // PPM

    def require(rate: int, money: int) -> int:
        return requirement(rate, risk.depth, money * WAD, INDEX_ONE) // WAD + 1

    # initial margin and what entering costs, and half a percent to spare
    cash = _up(require(risk.initial, notional + width) + width + fee + notional // 200, unit)
    equity = require(risk.maintenance, notional) * 85 // 100
    fallen = (notional - cash + fee + equity) * quoted // size * BPS // (BPS + width_bps)
    deposit = require(risk.initial, 2 * notional) + notional // 10
    tens = 10 ** max(len(str(deposit)) - 2, 18)
    digits = 10 ** max(len(str(fallen)) - 6, 0)
    return Book(size, notional, cash, price, _up(_up(fallen, digits), grain), trade, _up(deposit, tens))


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def open_book(deployment: Deployment, config: Config) -> None:
    """A market maker, liquidity in the fund, and one long that a fall has left below maintenance."""
    book = plan_book(config)
    wallet = Wallet(deployment)
    unit = 10 ** (18 - config.token_decimals)
    liquidity = _up(10 * book.notional, unit)
    money = {"maker": 10 * liquidity, "provider": liquidity, "weak": book.cash, "trader": 2 * book.deposit}
    for role, amount in money.items():
        wallet.mint(role, amount // unit)
    wallet.deposit("maker", money["maker"])
    wallet.deposit("weak", money["weak"])
    wallet.provide("provider", liquidity)
    for market, listed in enumerate(config.markets):
        if listed.fund_cap:
            share = min(listed.fund_cap, liquidity // (2 * len(config.markets)))
            deployment.send("fill the bucket", "BackstopFund", "top_up", market, share)
    wallet.trade("weak", "maker", 0, book.size, book.price)
    let_fall(wallet, config, book.fallen)


def let_fall(wallet: Wallet, config: Config, price: int) -> None:
    """The first market falls to ``price`` in steps that its breaker lets through, and rests until it is LIVE again.

    The chain's clock is put forward by a minute after each step.
    """
    market, clock = config.markets[0], wallet.by("deployer").web3.provider
    now, widest = market.mock_price or 0, min(market.rules.jump or BPS, BPS // 2)
    for _ in range(_STEPS):
        now = max(price, now - now * widest // (2 * BPS))
        now -= now % 10 ** (18 - market.feeds[0].decimals)
        found = wallet.set_price(0, now)
        if now == price and found.mark == found.index and found.state == STATE_LIVE:
            return
        clock.make_request(RPCEndpoint("evm_increaseTime"), [60])
    raise DeploymentError(
        f"markets[0].oracle.rules: the market is not LIVE at {format_wad(price)} after {_STEPS} minutes"
    )


def tell(deployment: Deployment, config: Config, console: Console) -> None:
    """Where everything is and the trader's next three commands, to be run in another terminal."""
    path = deployment.path
    program = _shown(Path(sys.executable)) + " -m scripts.wallet"
    if path.resolve() != FOLDER / "local.json":
        program += f" --deployment {shlex.quote(str(path))}"
    market, book = shlex.quote(config.markets[0].name), plan_book(config)
    trader = deployment.data["roles"]["trader"]
    key = dev_key(ROLES["trader"]).hex()
    lines = [
        f"node        {deployment.data['rpc_url']}  chain {deployment.data['chain_id']}",
        f"deployment  {_shown(path)}",
        f"trader      {trader}  key 0x{key}  (public: for this devnet only)",
        "",
        "Next, in another terminal, from this folder:",
        "",
        f"  {program} deposit {_typed(book.deposit)}",
        f"  {program} trade --market {market} --side buy --size {_typed(book.trade)}",
        f"  {program} liquidate weak --market {market}",
        "",
        f"Also: {program} show weak | price {market} {_typed(book.fallen)} | --help.  Ctrl-C stops the node.",
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _typed(wad: int) -> str:
    return format_wad(wad).replace(",", "")


def _mocked(path: Path, policy: str | None) -> Config:
    """The configuration of a devnet: mocks everywhere, and one policy for all if one is given."""
    config = load_config(path)
    if config.token is not None:
        raise DeploymentError(f"{path}: token.address: a devnet has mocks only; say token.mock")
    for at, books in (("quotes", config.quotes), ("markets", config.markets)):
        for i, book in enumerate(books):
            if book.mock_price is None:
                raise DeploymentError(f"{path}: {at}[{i}].oracle.feeds: a devnet has mocks only; say oracle.mock")
    if policy is not None:
        config = replace(config, markets=tuple(replace(m, policy=POLICIES[policy]) for m in config.markets))
    return config


def _addresses() -> dict[str, str]:
    return {role: Account.from_key(dev_key(index)).address for role, index in ROLES.items()}


def _check_port(port: int) -> None:
    """Refuse a port that something listens on, before anything is started or written."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise DeploymentError(f"port {port} may not be used by this account: make devnet PORT=8546") from None
        except OSError:
            other = port + 1 if port < 65_535 else DEFAULT_PORT
            raise DeploymentError(
                f"port {port} is in use: stop what listens there, or take another: make devnet PORT={other}"
            ) from None


def _check_stale(out: Path) -> None:
    """Refuse to overwrite what is not a devnet's, and the file of a devnet that is still up."""
    if not out.exists():
        return
    data = read_state(out)
    if not data.get("devnet"):
        raise DeploymentError(f"{out}: is of a deployment that no devnet made: move it away, or choose --out")
    try:
        running = RpcSender(data["rpc_url"], dev_key(0))
    except DeploymentError:
        return
    if is_of(data, running):
        raise DeploymentError(f"{out}: its devnet is still up at {data['rpc_url']}: stop it, or choose --out")


@contextlib.contextmanager
def _node(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """anvil on ``port`` with the time of the wall clock, stopped when the block is left."""
    binary = find_anvil()
    if binary is None:
        raise DeploymentError("anvil is missing: install npm and run `make devnet` again, or set ANVIL to the binary")
    command = [str(binary), "--quiet", "--host", "127.0.0.1", "--port", str(port), "--hardfork", "prague"]
    with tempfile.TemporaryFile() as errors:  # a pipe that nobody reads would fill up
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": errors}
        try:
            # In a session of its own, so that Ctrl-C reaches this process only and the node is stopped in order.
            process = subprocess.Popen(command, start_new_session=True, **quiet)  # type: ignore[call-overload]
        except OSError as error:
            raise DeploymentError(
                f"anvil: {binary} cannot be run ({error.strerror}): set ANVIL to the binary"
            ) from None
        try:
            deadline = time.monotonic() + _START_TIMEOUT_S
            while not _answers(port):
                if process.poll() is not None:
                    errors.seek(0)
                    said = " ".join(errors.read().decode(errors="replace").split())
                    raise DeploymentError(f"anvil does not start on port {port}: {said}")
                if time.monotonic() > deadline:
                    raise DeploymentError(f"anvil does not answer on port {port} after {_START_TIMEOUT_S:.0f} s")
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(port: int) -> bool:
    try:
        connect(f"http://127.0.0.1:{port}")
    except DeploymentError:
        return False
    return True


def _shown(path: Path) -> str:
    """A path as one would type it here: relative where it is below this folder."""
    with contextlib.suppress(ValueError):
        return str(path.absolute().relative_to(Path.cwd()))
    return str(path)


if __name__ == "__main__":
    main(prog_name="python -m scripts.devnet")
