"""What a call showed to be wrong: contract and model differ, an invariant or the exact ledger is broken, or a crash."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.twin import Mismatch

KINDS = ("mismatch", "invariant", "drift", "crash")

_FIELD = re.compile(r"^(.*?: \w+) \(chain (-?\w+), model (-?\w+)\)")
_VARYING = re.compile(r"(INV-\d+)|(?:0x)?[0-9a-f]{8,}|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Finding:
    """One failure. ``step`` counts the calls from zero; ``what`` is the first differing field, or what is broken.

    ``chain`` and ``model`` are the two values of a mismatch and empty otherwise.
    """

    kind: str
    step: int
    operation: str
    what: str
    chain: str = ""
    model: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for failures of the same kind: operation and field, whatever the accounts and amounts."""
        refusals = (self.chain, self.model) if self.what in ("success", "revert reason") else ()
        return self.kind, strip(self.operation), strip(self.what), *map(strip, refusals)

    def report(self, names: Mapping[bytes, str] | None = None) -> str:
        """The failure in one paragraph, with accounts by their ``names``."""
        values = f": chain {self.chain}, model {self.model}" if self.chain or self.model else ""
        text = f"{self.kind} at {self.operation}: {self.what}{values}"
        for id_, name in (names or {}).items():
            text = re.sub(f"(0x)?{id_.hex()}", lambda _, name=name: name, text)
        return text


def strip(text: str) -> str:
    """``text`` without its numbers and identifiers; an invariant keeps its number."""
    return _VARYING.sub(lambda found: found[1] or "#", text)


def finding_of(error: Exception, operation: str, step: int = 0) -> Finding:
    """The failure that ``error`` stands for."""
    if isinstance(error, Mismatch):
        what, chain, model = error.what, str(error.chain), str(error.model)
        if found := _FIELD.match(what):
            what, chain, model = found[1], found[2], found[3]
        return Finding("mismatch", step, operation, what, chain, model)
    text = " ".join(str(error).split())
    if isinstance(error, AssertionError) and text.startswith("INV-"):
        return Finding("invariant", step, operation, text)
    if isinstance(error, AssertionError) and text.startswith("ideal:"):
        return Finding("drift", step, operation, text)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name} {frame.name}"
    return Finding("crash", step, operation, f"{type(error).__name__} in {where}: {text}")
