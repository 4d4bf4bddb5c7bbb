"""A chain that notes which way every conditional jump went, and what many of them noted together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pyrevm import EVM, AccountInfo, CfgEnv, Env

from scripts.branches.sites import PRODUCTION, Site, probed
from scripts.chain.artifacts import Artifact, artifact
from scripts.chain.base import ZERO_ADDRESS
from scripts.chain.revm import RevmChain


class CoverageChain(RevmChain):
    """revm with the production contracts' code replaced by the same code with probes.

    Nothing a call returns, refuses, writes or emits depends on it; gas does. All calls count: views, calls that were
    refused, calls that a snapshot took back, deployments.
    """

    code_limit = 2**20
    """Probes make code longer than a chain accepts."""

    def __init__(self) -> None:
        super().__init__()
        self._elsewhere: set[str] = set()

    def deploy(self, contract: str | Artifact, *args: Any, sender: str, label: str = "") -> str:
        """Deploy by name or by artifact, with probes where the code is a production contract's."""
        code = artifact(contract) if isinstance(contract, str) else contract
        if code.name in PRODUCTION and code.bytecode == artifact(code.name).bytecode:
            code = _with_probes(code.name)
        return super().deploy(code, *args, sender=sender, label=label)

    @contextmanager
    def gas_of(self, gas: int) -> Iterator[None]:
        """Calls inside of it get that much gas."""
        usual, self.gas_limit = self.gas_limit, gas
        try:
            yield
        finally:
            self.gas_limit = usual

    def answer_elsewhere(self, address: str, data: bytes, chain_id: int) -> bytes:
        """What the code at ``address`` answers on a chain of another id that has nothing else."""
        code = self._evm.get_code(address)
        evm = EVM(env=Env(cfg=CfgEnv(chain_id=chain_id, limit_contract_code_size=self.code_limit)), spec_id="CANCUN")
        evm.insert_account_info(address, AccountInfo(code=code))
        answer = bytes(evm.message_call(ZERO_ADDRESS, address, calldata=data))
        self._elsewhere |= set(evm.db_accounts)
        return answer

    def coverage(self) -> Coverage:
        """What has run so far."""
        # The database remembers every account that was ever asked for, whatever became of the call.
        touched = (int(address, 16) for address in {*self._evm.db_accounts, *self._elsewhere})
        return Coverage({divmod(address - (1 << 16), 1 << 16) for address in touched if 1 << 16 <= address < 1 << 24})


@cache
def _with_probes(name: str) -> Artifact:
    return replace(artifact(name), bytecode=probed(name).bytecode)


class Coverage:
    """Outcomes of jumps that were seen, as pairs (place in PRODUCTION, 2 · index + 1 if the jump was not taken)."""

    def __init__(self, seen: Iterable[tuple[int, int]] = ()) -> None:
        self.seen = frozenset(seen)

    def __or__(self, other: Coverage) -> Coverage:
        return Coverage(self.seen | other.seen)

    def __len__(self) -> int:
        return len(self.seen)

    def has(self, site: Site, taken: bool) -> bool:
        """Whether a jump was seen to go that way."""
        return (PRODUCTION.index(site.contract), 2 * site.index + (not taken)) in self.seen

    def reached(self, site: Site) -> bool:
        """Whether a jump was seen to go any way."""
        return self.has(site, True) or self.has(site, False)

    def to_data(self) -> dict[str, list[int]]:
        """For JSON: numbers by contract."""
        found: dict[str, list[int]] = {}
        for contract, number in sorted(self.seen):
            found.setdefault(PRODUCTION[contract], []).append(number)
        return found

    @classmethod
    def from_data(cls, data: dict[str, list[int]]) -> Coverage:
        """Inverse of :meth:`to_data`."""
        return cls((PRODUCTION.index(name), number) for name, numbers in data.items() for number in numbers)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(self.to_data()))

    @classmethod
    def load(cls, path: Path) -> Coverage:
        """Read what :meth:`save` wrote; it only means something with the sources it was taken from."""
        return cls.from_data(json.loads(path.read_text()))
