"""``ape run deploy --network …``: deploy one solvency domain to any network that ape reaches, or take it up again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
from ape.api import AccountAPI, ProviderAPI
from ape.cli import ConnectedProviderCommand, account_option
from ape.exceptions import ApeException
from rich.console import Console
from web3.exceptions import Web3Exception

from scripts.chain.anvil import find_anvil
from scripts.deployment import DeploymentError, one_line
from scripts.deployment.config import DEMO, load_config
from scripts.deployment.core import FOLDER, deploy, read_state
from scripts.deployment.sender import Receipt, Sender, reason_of, receipt_of, with_reserve
from scripts.deployment.verify import report, verify

# ape looks for anvil on the path only.
if (_anvil := find_anvil()) is not None:
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}{os.pathsep}{_anvil.absolute().parent}"


class ApeSender(Sender):
    """An account of ape at its connected provider."""

    def __init__(self, provider: Any, account: AccountAPI) -> None:
        self._provider, self._account = provider, account
        super().__init__(provider.web3, account.address)

    def send(self, what: str, to: str | None, data: bytes) -> Receipt:
        """As the base says; ape picks the fees, signs, and waits for the network's confirmations."""
        fields: dict[str, Any] = {"data": data, "value": 0}
        if to is not None:
            fields["receiver"] = to
        try:
            transaction = self._provider.network.ecosystem.create_transaction(**fields)
            request = {"from": self.address, "data": data} | ({} if to is None else {"to": to})
            transaction.gas_limit = with_reserve(self.web3.eth.estimate_gas(request), to)
            sent = self._account.call(transaction)
            return receipt_of(what, self.web3.eth.get_transaction_receipt(sent.txn_hash))
        except (ApeException, Web3Exception, ValueError, OSError) as error:
            raise DeploymentError(f"{what}: {reason_of(error)}") from None


@click.command(cls=ConnectedProviderCommand)
@account_option(prompt=False)
@click.option(
    "--config", type=click.Path(path_type=Path), help="Parameters, YAML or JSON; the demo's on a local network."
)
@click.option("--out", type=click.Path(path_type=Path), help="State file; deployments/NETWORK.json if not given.")
@click.option("--autosign", is_flag=True, help="Ask for the account's passphrase once, not for every transaction.")
def cli(
    provider: ProviderAPI, account: AccountAPI | None, config: Path | None, out: Path | None, autosign: bool
) -> None:
    """Deploy, verify, and write the state file; run it again to take up what was cut short."""
    console = Console(soft_wrap=not sys.stdout.isatty())
    with one_line():
        if autosign and hasattr(account, "set_autosign"):
            account.set_autosign(True)
        run(provider, account, config, out, console)


def run(provider: Any, account: Any, config: Path | None, out: Path | None, console: Console) -> None:
    """What the command does."""
    network = provider.network
    local = network.is_local or provider.chain_id in (1337, 31_337)
    if config is None and not local:
        raise DeploymentError("--config: missing; scripts/deployment/example.yaml shows the fields")
    chosen = load_config(config or DEMO)
    if account is None:
        if not local:
            raise DeploymentError("--account: missing; `ape accounts list` names yours")
        from ape import accounts

        account = accounts.test_accounts[0]
    name = f"chain-{provider.chain_id}" if network.name in ("local", "adhoc") else network.name
    path = out or FOLDER / f"{name}.json"
    sender = ApeSender(provider, account)
    # A node that ape started dies with this command: the file of the last such run is of no use to anybody.
    transient = provider.name == "test" or getattr(provider, "process", None) is not None
    if transient and path.exists() and read_state(path).get("transient"):
        path.unlink()
    deployment = deploy(sender, chosen, path, console.print, network=network.name, transient=transient)
    report(verify(deployment, chosen), console)
    console.print(f"{path}: {len(deployment.addresses)} contracts on chain {sender.chain_id}", soft_wrap=True)
