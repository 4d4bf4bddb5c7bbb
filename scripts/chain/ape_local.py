"""ape's own local chain: py-evm behind the provider ``ethereum:local:test``."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from scripts.chain.base import CHAIN_ID, GAS_LIMIT, Chain, RawLog, RawResult


class ApeChain(Chain):
    """The machine of ape's test provider.

    Transactions are applied to the provider's pending header and its blocks are never sealed: a sealed block
    must be younger than its parent, wants signatures and costs 40 ms, while the machine that judges is the same.
    """

    kind = "ape"

    def __init__(self) -> None:
        super().__init__()
        import ape
        from ape.logging import LogLevel, logger
        from eth.vm.spoof import SpoofTransaction

        logger.set_level(LogLevel.ERROR)
        self._spoof = SpoofTransaction
        self._stack = ExitStack()
        settings = {"chain_id": CHAIN_ID}
        parser = ape.networks.ethereum.local.use_provider("test", provider_settings=settings)
        self.provider: Any = self._stack.enter_context(parser)
        # A second ape chain in this process shares the provider; connecting anew gives it a state of its own.
        self.provider.connect()
        self._evm = self.provider.evm_backend.chain
        self._header = self._evm.header.copy(gas_limit=10**12, base_fee_per_gas=0)

    def close(self) -> None:
        """Leave the provider."""
        self._stack.close()

    def _create(self, sender: str, nonce: int, data: bytes) -> RawResult:
        machine = self._machine()
        machine.state.set_nonce(_bytes(sender), nonce)
        return self._apply(machine, sender, b"", data, keep=True)

    def _execute(self, sender: str, to: str, data: bytes, *, keep: bool) -> RawResult:
        return self._apply(self._machine(), sender, _bytes(to), data, keep=keep)

    def _machine(self) -> Any:
        return self._evm.get_vm(self._header.copy(timestamp=self.now, block_number=self.block))

    def _apply(self, machine: Any, sender: str, to: bytes, data: bytes, *, keep: bool) -> RawResult:
        unsigned = machine.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
            chain_id=CHAIN_ID,
            nonce=machine.state.get_nonce(_bytes(sender)),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=0,
            gas=GAS_LIMIT,
            to=to,
            value=0,
            data=data,
            access_list=(),
        )
        transaction = self._spoof(unsigned, from_=_bytes(sender))
        machine.state.lock_changes()
        done = machine.state.apply_transaction(transaction)
        if keep:
            machine.state.persist()
            self._header = self._header.copy(state_root=machine.state.state_root)
        logs = [] if done.is_error else [_log(entry) for entry in done.get_log_entries()]
        gas = machine.finalize_gas_used(transaction, done)
        created = "" if to else "0x" + done.msg.storage_address.hex()
        return RawResult(done.is_success, bytes(done.output), gas, logs, created)

    def _read(self, address: str, slots: list[int]) -> list[int]:
        state = self._machine().state
        return [state.get_storage(_bytes(address), slot) for slot in slots]

    def _snapshot(self) -> Any:
        return self._header  # the state below is a persistent trie: a header names it whole

    def _revert(self, mark: Any) -> None:
        self._header = mark


def _log(entry: tuple[bytes, tuple[int, ...], bytes]) -> RawLog:
    address, topics, data = entry
    return RawLog("0x" + address.hex(), [topic.to_bytes(32, "big") for topic in topics], data)


def _bytes(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x"))
