"""The ground the models stand on: one journaled store, an event log and the revert.

A call either commits all it wrote or nothing, as on the chain. Models keep their state as *words*, packed
exactly as the contracts pack them, so that comparing a model with a contract is comparing two dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Key = tuple[Any, ...]


class Revert(Exception):
    """A refused call. ``reason`` is the literal that the contract reverts with; "" where the compiler reverts."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def require(condition: bool, reason: str) -> None:
    """Refuse the call with ``reason`` unless ``condition`` holds."""
    if not condition:
        raise Revert(reason)


@dataclass(frozen=True)
class Event:
    """One log entry: the emitting contract's name, the event's name, its fields by name."""

    contract: str
    name: str
    fields: dict[str, Any]


@dataclass
class World:
    """Words by key, block time and number, and the events of the call under way."""

    words: dict[Key, int] = field(default_factory=dict)
    now: int = 0
    block: int = 0
    events: list[Event] = field(default_factory=list)
    written: set[Key] = field(default_factory=set)
    """Keys that the last transaction wrote; none if it was refused."""
    _undo: list[tuple[Key, int]] | None = None

    def get(self, key: Key) -> int:
        """The word at ``key``; zero if never written."""
        return self.words.get(key, 0)

    def set(self, key: Key, value: int) -> None:
        """Write a word, remembering the old one for a roll-back."""
        if self._undo is not None:
            self._undo.append((key, self.words.get(key, 0)))
        if value:
            self.words[key] = value
        else:
            self.words.pop(key, None)

    def emit(self, contract: str, name: str, **fields: Any) -> None:
        """Log an event; it vanishes if the call reverts."""
        self.events.append(Event(contract, name, fields))

    def transact(self, call: Callable[[], Any]) -> tuple[Any, list[Event]]:
        """Run one transaction: its return value and events, or a :class:`Revert` with nothing changed."""
        assert self._undo is None, "transactions do not nest; call the model's functions directly"
        self._undo, self.events, self.written = [], [], set()
        try:
            result = call()
            self.written = {key for key, _ in self._undo}
            return result, self.events
        except Revert:
            for key, old in reversed(self._undo):
                if old:
                    self.words[key] = old
                else:
                    self.words.pop(key, None)
            self.events = []
            raise
        finally:
            self._undo = None
