"""The fast chain: revm inside this process."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from pyrevm import EVM, BlockEnv, CfgEnv, Env

from scripts.chain.base import CHAIN_ID, GAS_LIMIT, Chain, RawLog, RawResult

_REVERT = re.compile(r"Revert \{ gas_used: (\d+), output: 0x([0-9a-f]*) \}")
_HALT = re.compile(r"Halt \{ reason: .*, gas_used: (\d+) \}")
_SLOT = re.compile(r"(\d+): StorageSlot \{ previous_or_original_value: \d+, present_value: (\d+) \}")
_BLOCK_GAS = 10**12


class RevmChain(Chain):
    """revm by pyrevm.

    All calls share one journal, because committing it drops what snapshots need: slots stay warm from call to
    call, so gas is not that of a transaction. At most some 1,000 snapshots may be open.
    """

    kind = "revm"
    gas_limit = GAS_LIMIT
    code_limit: int | None = None
    prev_randao: bytes | None = None
    """Limits and randomness for those who need others than a chain has."""

    def __init__(self) -> None:
        super().__init__()
        configuration = CfgEnv(chain_id=CHAIN_ID, limit_contract_code_size=self.code_limit)
        self._evm = EVM(env=Env(cfg=configuration), spec_id="CANCUN", gas_limit=_BLOCK_GAS)

    def _create(self, sender: str, nonce: int, data: bytes) -> RawResult:
        self._begin()
        try:
            # The machine counts the sender's nonce itself: here, unlike on a node, calls do not move it.
            created = self._evm.deploy(sender, data, gas=self.gas_limit)
        except RuntimeError as error:
            return _refused(str(error))
        return self._done(b"", created.lower())

    def _execute(self, sender: str, to: str, data: bytes, *, keep: bool) -> RawResult:
        self._begin()
        mark = None if keep else self._evm.snapshot()
        try:
            output = self._evm.message_call(sender, to, calldata=data, gas=self.gas_limit)
            result = self._done(bytes(output))
        except RuntimeError as error:
            result = _refused(str(error))
        if mark is not None:
            self._evm.revert(mark)
        return result

    def _begin(self) -> None:
        randao = self.prev_randao
        block = BlockEnv(number=self.block, timestamp=self.now, gas_limit=_BLOCK_GAS, prevrandao=randao)
        self._evm.set_block_env(block)
        self._evm.reset_transient_storage()

    def _done(self, output: bytes, created: str = "") -> RawResult:
        result = self._evm.result
        assert result is not None
        return RawResult(True, output, result.gas_used, [_log(log) for log in result.logs], created)

    def dumps(self, addresses: Sequence[str]) -> list[dict[int, int]]:
        """Every storage word of each contract that is not zero, read from the machine's description of its journal."""
        text = self._evm.journal_str
        found = []
        for address in addresses:
            begin = text.find(f"{address.lower()}: Account {{")
            if begin < 0:
                found.append({})
                continue
            begin = text.index("storage: {", begin)
            words = _SLOT.findall(text[begin : text.index("status: ", begin)])
            found.append({int(slot): int(value) for slot, value in words if value != "0"})
        return found

    def _read(self, address: str, slots: list[int]) -> list[int]:
        return list(map(self._evm.storage, repeat(address), slots))  # the hottest line of a campaign

    def _snapshot(self) -> Any:
        return self._evm.snapshot()

    def _revert(self, mark: Any) -> None:
        self._evm.revert(mark)


def _refused(text: str) -> RawResult:
    if match := _REVERT.match(text):
        return RawResult(False, bytes.fromhex(match[2]), int(match[1]))
    if match := _HALT.match(text):
        return RawResult(False, b"", int(match[1]))
    raise RuntimeError(text)


def _log(log: Any) -> RawLog:
    topics, data = log.data
    return RawLog(log.address.lower(), [bytes(topic) for topic in topics], bytes(data))
