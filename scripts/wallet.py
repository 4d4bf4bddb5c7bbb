"""Deposit, trade, liquidate on a devnet from the command line: ``python -m scripts.wallet --help``.

Reads ``deployments/local.json``. Roles (trader, maker, …) are accounts of anvil's public mnemonic.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from eth_utils import is_address, to_checksum_address
from rich.console import Console
from rich.table import Table

from python_ref import constants as c
from python_ref.bands import Bands
from python_ref.ledger import account_id
from python_ref.oracle_words import Prices
from python_ref.orders import FILLED_BITS, SEQ_BITS, Order, sign_order
from python_ref.words import Account, Band, Cell, Globals, Limits, Market, Position
from scripts.deployment import DeploymentError, one_line
from scripts.deployment.config import format_wad, parse_wad
from scripts.deployment.core import FOLDER, Deployment, open_deployment
from scripts.deployment.sender import Receipt, RpcSender, dev_key
from scripts.deployment.verify import prices_of
from scripts.rules import STATES

ROLES = {"deployer": 0, "guardian": 1, "trader": 2, "maker": 3, "weak": 4, "provider": 5}
"""Account of the public mnemonic by role."""

_ORDER_LIFE_S = 3_600


class Positions(Bands):
    """The model's reading of positions, over the words of a chain."""

    def __init__(self, deployment: Deployment) -> None:
        self._read = deployment.read

    def load_position(self, account: bytes, market: int) -> Position:
        """From the account's words."""
        words = self._read("ClearingHouse", "load_account", account)
        return Position.unpack(words[1 + 2 * market], words[2 + 2 * market])

    def load_band(self, market: int, is_long: bool, band: int) -> Band:
        """From the market's bands."""
        return Band.unpack(self._read("ClearingHouse", "load_bands", market, is_long, band, 1)[0])

    def load_cell(self, market: int, is_long: bool, band: int, epoch: int, scale: int) -> Cell:
        """From the cash indices."""
        return Cell.unpack(self._read("ClearingHouse", "load_cell", market, is_long, band, epoch, scale))


class Wallet:
    """What the roles of a devnet do; money, sizes and prices in WAD."""

    def __init__(self, deployment: Deployment) -> None:
        if not deployment.data.get("devnet"):
            raise DeploymentError(f"{deployment.path}: is no devnet's; this wallet knows only public keys")
        self.deployment = deployment
        self._senders: dict[str, RpcSender] = {}

    def by(self, role: str) -> RpcSender:
        """Sends as a role."""
        if role not in self._senders:
            self._senders[role] = RpcSender(self.deployment.data["rpc_url"], dev_key(ROLES[role]))
        return self._senders[role]

    def account(self, role: str) -> bytes:
        """First account of a role."""
        return account_id(self.deployment.data["roles"][role])

    def send(self, role: str, what: str, label: str, function: str, *args: Any) -> Receipt:
        """Send as a role."""
        return self.deployment.send(what, label, function, *args, by=self.by(role))

    def read(self, label: str, function: str, *args: Any) -> Any:
        """Ask the chain."""
        return self.deployment.read(label, function, *args)

    def mint(self, role: str, atoms: int) -> None:
        """Give a role tokens."""
        self.send("deployer", "mint", "Token", "mint", self.deployment.data["roles"][role], atoms)

    def _approve(self, role: str, spender: str, money: int) -> int:
        decimals = self.deployment.data["parameters"]["token_decimals"]
        atoms, rest = divmod(money, 10 ** (18 - decimals))
        if rest or not atoms:
            raise DeploymentError(
                f"amount: {format_wad(money)} is no number above zero with at most {decimals} decimals"
            )
        self.send(role, "approve", "Token", "approve", self.deployment.addresses[spender], atoms)
        return atoms

    def deposit(self, role: str, money: int) -> None:
        """Into the role's account."""
        atoms = self._approve(role, "ClearingHouse", money)
        self.send(role, "deposit", "ClearingHouse", "deposit", self.account(role), atoms)

    def provide(self, role: str, money: int) -> None:
        """Into the backstop fund."""
        atoms = self._approve(role, "BackstopFund", money)
        self.send(role, "provide", "BackstopFund", "deposit", atoms)

    def prices(self, market: int) -> Prices:
        """What the oracle would answer in the next block."""
        return prices_of(self.deployment, market)

    def trade(self, taker: str, maker: str, market: int, size: int, price: int) -> int:
        """Both sign, the taker settles; he buys for positive ``size``. The size that traded."""
        now = self.deployment.sender.web3.eth.get_block("latest")["timestamp"]
        epoch = self.read("ClearingHouse", "claim_epoch")
        signed: list[Any] = []
        for role, is_buy in ((maker, size < 0), (taker, size > 0)):
            # lane 0, one seq above the last one that traded
            seq = (self.read("Orders", "lanes", self.account(role), 0) >> FILLED_BITS) + 1
            order = Order(
                account=self.account(role),
                market=market,
                is_buy=is_buy,
                size=abs(size),
                limit_price=price,
                reduce_only=False,
                expiry=max(now, int(time.time())) + _ORDER_LIFE_S,
                claim_epoch=epoch,
                salt=seq % 2**SEQ_BITS,
            )
            orders = self.deployment.addresses["Orders"]
            signature = sign_order(order, dev_key(ROLES[role]), self.deployment.data["chain_id"], orders)
            signed += [tuple(vars(order).values()), signature]
        receipt = self.send(taker, "trade", "Orders", "settle_orders", *signed, abs(size))
        return int(self.event(receipt, "ClearingHouse", "Traded")["size"])

    def liquidate(self, taker: str, account: bytes, market: int, most: int) -> Any:
        """Take over what the engine allows; the fields of ``Liquidated``."""
        receipt = self.send(
            taker, "liquidate", "ClearingHouse", "liquidate", account, market, self.account(taker), most
        )
        return self.event(receipt, "ClearingHouse", "Liquidated")

    def set_price(self, market: int, price: int) -> Prices:
        """Let the mock feeds of a market answer ``price``, and the oracle read them: what it makes of that."""
        listed = self.deployment.data["parameters"]["markets"][market]
        for i, feed in enumerate(listed["feeds"]):
            answer, rest = divmod(price, 10 ** (18 - feed["decimals"]))
            if rest or not answer:
                raise DeploymentError(
                    f"price: {format_wad(price)} is no price with at most {feed['decimals']} decimals"
                )
            self.send("deployer", "set_answer", f"MockFeed{market}.{i}", "set_answer", answer)
        for _ in range(5):
            receipt = self.send("deployer", "poke", "PriceOracle", "poke", market)
            if any(log["address"] == self.deployment.addresses["PriceOracle"] for log in receipt.logs):
                return self.prices(market)
            time.sleep(1)  # one poke per second of block time has an effect, and somebody else made it
        raise DeploymentError("price: the oracle does not read its feeds; run this again")

    def event(self, receipt: Receipt, label: str, name: str) -> Any:
        """Fields of the first event of that name."""
        event = self.deployment.contract(label).events[name]()
        address = self.deployment.addresses[label]
        for log in receipt.logs:
            if log["address"] == address and "0x" + bytes(log["topics"][0]).hex() == event.topic:
                return event.process_log(log)["args"]
        raise DeploymentError(f"{receipt.transaction}: no {name} in it")

    def find_market(self, name: str) -> int:
        """Index by name or number."""
        names = [market["name"] for market in self.deployment.data["parameters"]["markets"]]
        if name in names:
            return names.index(name)
        if name.isdecimal() and int(name) < len(names):
            return int(name)
        raise DeploymentError(f"market: {name} is none of {', '.join(names)}")

    def find_account(self, text: str) -> bytes:
        """A role, an address, address:subaccount, or 32 bytes in hex."""
        if text in ROLES:
            return self.account(text)
        address, _, subaccount = text.partition(":")
        if is_address(address) and (subaccount or "0").isdecimal() and int(subaccount or 0) < 2**96:
            return account_id(to_checksum_address(address), int(subaccount or 0))
        digits = text.removeprefix("0x")
        if len(digits) == 64 and all(d in "0123456789abcdefABCDEF" for d in digits):
            return bytes.fromhex(digits)
        raise DeploymentError(f"account: {text} is no role ({', '.join(ROLES)}), address, address:number or 32 bytes")


# ---- commands ------------------------------------------------------------------------------------


class _Wad(click.ParamType):
    """A number above zero, as WAD."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_wad(value, 1)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """Hand the wallet over and make an error one line."""

    @wraps(function)
    def run(**options: Any) -> None:
        context = click.get_current_context()
        with one_line():
            function(Wallet(open_deployment(context.obj, dev_key(0))), **options)

    return run


_as = click.option(
    "--as", "role", type=click.Choice(list(ROLES)), default="trader", show_default=True, help="Who sends."
)
_market = click.option("--market", required=True, help="Name or number.")


@click.group()
@click.option("--deployment", type=click.Path(path_type=Path), default=FOLDER / "local.json", help="State file.")
@click.pass_context
def main(context: click.Context, deployment: Path) -> None:
    """Deposit, trade, liquidate on a devnet."""
    context.obj = deployment


@main.command()
@click.argument("amount", type=_Wad())
@_as
@_command
def deposit(wallet: Wallet, amount: int, role: str) -> None:
    """Pay AMOUNT of money into the account."""
    wallet.deposit(role, amount)
    click.echo(f"{role} deposited {format_wad(amount)}")
    _show(wallet, wallet.account(role))


@main.command()
@_market
@click.option("--side", type=click.Choice(["buy", "sell"]), required=True)
@click.option("--size", type=_Wad(), required=True, help="Base units.")
@click.option("--price", type=_Wad(), help="Limit of both orders; the index if not given.")
@click.option("--against", type=click.Choice(list(ROLES)), default="maker", show_default=True, help="Who else signs.")
@_as
@_command
def trade(wallet: Wallet, market: str, side: str, size: int, price: int | None, against: str, role: str) -> None:
    """Sign an order and the maker's, and settle the pair."""
    index = wallet.find_market(market)
    price = price or wallet.prices(index).index
    filled = wallet.trade(role, against, index, size if side == "buy" else -size, price)
    done = {"buy": "bought", "sell": "sold"}[side]
    click.echo(f"{role} {done} {format_wad(filled)} of market {market} at {format_wad(price)}")
    _show(wallet, wallet.account(role))


@main.command()
@click.argument("account")
@_market
@click.option("--max-size", type=_Wad(), default=c.MAX_SIZE, help="Most to take over.")
@_as
@_command
def liquidate(wallet: Wallet, account: str, market: str, max_size: int, role: str) -> None:
    """Take over part of the position of ACCOUNT, which is below maintenance."""
    found = wallet.find_account(account)
    fields = wallet.liquidate(role, found, wallet.find_market(market), max_size)
    size, quote = int(fields["size"]), int(fields["quote"])
    click.echo(
        f"{role} took over {format_wad(abs(size))} {'long' if size < 0 else 'short'} from {account} "
        f"for {format_wad(quote, 6)}; {format_wad(int(fields['fund_fee']), 6)} went to the fund"
    )
    _show(wallet, found)


@main.command()
@click.argument("market")
@click.argument("price", type=_Wad())
@_command
def price(wallet: Wallet, market: str, price: int) -> None:
    """Let the mock feeds of MARKET answer PRICE."""
    found = wallet.set_price(wallet.find_market(market), price)
    refused = f": it does not take {format_wad(price)} for now" if found.state == c.STATE_FROZEN else ""
    click.echo(f"market {market} is at {format_wad(found.index)}, {STATES[found.state]}{refused}")


@main.command()
@click.argument("account", default="trader")
@_command
def show(wallet: Wallet, account: str) -> None:
    """Money and positions of ACCOUNT: a role, an address, address:subaccount, or 32 bytes."""
    _show(wallet, wallet.find_account(account))


def _show(wallet: Wallet, account: bytes) -> None:
    words = wallet.read("ClearingHouse", "load_account", account)
    word = Account.unpack(words[0])
    domain = Globals.unpack(*wallet.read("ClearingHouse", "load_globals"))
    e_kind, e_index, e_credit = wallet.read("ClearingHouse", "account_equity", account)

    def real(gons: int) -> int:
        return gons * domain.claim_index // c.INDEX_ONE if word.exposed else gons

    click.echo(f"account 0x{account.hex()}")
    table = Table("", "", show_header=False)
    table.add_row("kind", "exposed" if word.exposed else "exempt")
    table.add_row("cash", format_wad(real(word.cash), 6))
    if words[33]:
        table.add_row("late", format_wad(words[33], 6))
    table.add_row("equity: kind, index, credit", "  ".join(format_wad(e, 6) for e in (e_kind, e_index, e_credit)))
    for market, listed in enumerate(wallet.deployment.data["parameters"]["markets"]):
        if not word.legs >> market & 1:
            continue
        state = wallet.read("ClearingHouse", "load_market", market)
        leg = Positions(wallet.deployment)._read_leg(account, market, Market.unpack(*state[:2]).funding)
        rank = Limits.unpack(state[3]).rank
        where = f", band {leg.band}" if rank != c.RANK_SINGLE else ""
        size = format_wad(real(abs(leg.size)), 6)
        side = "long" if leg.size > 0 else "short"
        table.add_row(listed["name"], f"{side} {size} entered at {format_wad(leg.entry, 6)}{where}")
    Console().print(table)


if __name__ == "__main__":
    main(prog_name="python -m scripts.wallet")
