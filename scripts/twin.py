"""One call, two worlds: the contract on a chain and its model, compared after every step.

Compared are success, revert reason, return value, events in order, and after every call every storage word that the
model has ever written, at the slots that the compiler's layout gives; at intervals the chain's own list of words is
searched for others. A difference raises :class:`Mismatch`, which names the first differing field.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from python_ref.words import Account, Band, Cell, Globals, Limits, Market, Position, Risk
from python_ref.world import Event, Key, Revert, World
from scripts.chain.base import ZERO_ADDRESS, Chain, Log, Outcome, normalise
from scripts.chain.layout import slot, text_slots

Words = dict[Key, int]

Observer = Callable[[list[Event], int], None]
"""Told the model's events of every call that went through, and its second."""


class Mismatch(AssertionError):
    """Contract and model differ: ``what`` of which ``call``, and both values."""

    def __init__(self, call: str, what: str, chain: Any, model: Any) -> None:
        super().__init__(f"{what} of {call}\n  chain: {chain}\n  model: {model}")
        self.call = call
        self.what = what
        self.chain = chain
        self.model = model


@dataclass(frozen=True)
class Step:
    """One call as it was made: enough to make it again on a fresh deployment."""

    now: int
    name: str
    function: str
    sender: str
    args: tuple[Any, ...]


class _Discard(Revert):
    """Ends a view on the model, so that the world rolls back what the view wrote."""


@dataclass(frozen=True)
class _Bound:
    model: Any
    address: str


@dataclass
class _Shelf:
    """The known words of one contract: where they are, and what they have to be."""

    address: str
    layout: dict[str, Any]
    at: dict[Key, int] = field(default_factory=dict)
    slots: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)

    def put(self, key: Key, word: int) -> None:
        at = self.at.get(key)
        if at is None:
            self.at[key] = len(self.slots)
            self.slots.append(slot(self.layout, *key[1:]))
            self.words.append(word)
        else:
            self.words[at] = word


class Twin:
    """A chain and a world that go in step. ``steps`` counts the calls compared."""

    def __init__(self, chain: Chain, world: World, full_every: int = 100) -> None:
        """List the chain's words after each ``full_every`` calls; every known word is compared after each call."""
        self.chain = chain
        self.world = world
        self.full_every = full_every
        self.steps = 0
        self.observer: Observer | None = None
        self.trace: list[Step] | None = None
        """Every call from now on, where somebody wants to know: set it to a list."""
        self._bound: dict[str, _Bound] = {}
        self._shelves: dict[str, _Shelf] = {}
        self._sync()

    def bind(self, model: Any, name: str, address: str) -> None:
        """``model`` answers for the contract at ``address``.

        ``name`` is the first element of the model's keys and what its events carry. Events of addresses that are
        not bound are not compared.
        """
        contract = self.chain.contract(address)
        self.chain.attach(contract.artifact, address, name)
        self._bound[name] = _Bound(model, contract.address)
        for key in self.world.words:  # what the model's constructor wrote
            if key[0] == name:
                self._put(key)

    def address(self, name: str) -> str:
        """Where the contract bound to ``name`` is."""
        return self._bound[name].address

    def model(self, name: str) -> Any:
        """The model bound to ``name``."""
        return self._bound[name].model

    # Calls

    def call(
        self, name: str, function: str, sender: str, *args: Any, full: bool = False, words: bool = True
    ) -> Outcome:
        """Run the call on both and compare; with ``full`` compare every word. The chain's outcome.

        Without ``words`` the known words wait for the comparison after a later call: for mocks that only set the scene.
        """
        self._sync()
        bound = self._bound[name]
        text = f"{name}.{function}({', '.join(map(repr, args))}) by {sender} at {self.world.now}"
        if self.trace is not None:
            self.trace.append(Step(self.world.now, name, function, sender, args))
        outcome = self.chain.call(sender, bound.address, function, *args)
        written: set[Key] = set()

        def run() -> Any:
            result = self._invoke(bound.model, function, sender, args)
            written.update(key for key, _ in self.world._undo or ())
            return result

        reason: str | None = None
        value: Any = None
        events: list[Event] = []
        try:
            value, events = self.world.transact(run)
        except Revert as revert:
            reason = revert.reason
        self._compare_result(text, outcome, value, reason)
        self._compare_events(text, outcome.events, events)
        self.steps += 1
        for key in written:
            self._put(key)
        if words:
            self._compare_words(text)
        if full or self.steps % self.full_every == 0:
            self._search(text)
        if self.observer is not None and reason is None:
            self.observer(events, self.world.now)
        return outcome

    def view(self, name: str, function: str, *args: Any, sender: str = ZERO_ADDRESS) -> Any:
        """Ask both the same and compare; the value, or :class:`Revert` if both refuse. Nothing is kept."""
        self._sync()
        bound = self._bound[name]
        text = f"view {name}.{function}({', '.join(map(repr, args))}) by {sender} at {self.world.now}"
        outcome = self.chain.simulate(sender, bound.address, function, *args)
        answer: list[Any] = []

        def run() -> None:
            answer.append(self._invoke(bound.model, function, sender, args))
            raise _Discard("")

        reason: str | None = None
        try:
            self.world.transact(run)
        except _Discard:
            pass
        except Revert as revert:
            reason = revert.reason
        self._compare_result(text, outcome, answer[0] if answer else None, reason)
        if reason is not None:
            raise Revert(reason)
        return outcome.value

    def check_all(self, text: str = "the whole state") -> None:
        """Compare every word that either side is known to have."""
        for key in self._known() | set(self.world.words):
            self._put(key)
        self._compare_words(text)
        self._search(text)

    @property
    def words(self) -> int:
        """How many words are compared after each call."""
        return sum(len(shelf.slots) for shelf in self._shelves.values())

    # Time and snapshots

    def advance(self, seconds: int) -> None:
        """Move the clock of both."""
        self.chain.advance(seconds)
        self._sync()

    def snapshot(self) -> tuple[int, Words]:
        """Mark both."""
        return self.chain.snapshot(), dict(self.world.words)

    def revert(self, mark: tuple[int, Words]) -> None:
        """Return both to the mark."""
        # A key that only the undone part wrote stays known: its word must be zero again.
        self.chain.revert(mark[0])
        self.world.words.clear()
        self.world.words.update(mark[1])
        for key in self._known():
            self._put(key)
        self._sync()

    # Comparison

    def _sync(self) -> None:
        self.world.now = self.chain.now
        self.world.block = self.chain.block

    @staticmethod
    def _invoke(model: Any, function: str, sender: str, args: tuple[Any, ...]) -> Any:
        method: Callable[..., Any] = getattr(model, function)
        return method(sender.lower(), *args) if _takes_sender(type(model), function) else method(*args)

    @staticmethod
    def _compare_result(text: str, outcome: Outcome, value: Any, reason: str | None) -> None:
        if outcome.ok != (reason is None):
            accepted = "accepted"
            raise Mismatch(
                text,
                "success",
                accepted if outcome.ok else f"refused: {outcome.reason!r}",
                accepted if reason is None else f"refused: {reason!r}",
            )
        if outcome.reason != reason:
            raise Mismatch(text, "revert reason", repr(outcome.reason), repr(reason))
        if outcome.ok:
            _compare_values(text, "return value", outcome.value, normalise(value))

    def _compare_events(self, text: str, logs: list[Log], events: Iterable[Event]) -> None:
        ours = [log for log in logs if log.contract in self._bound]
        theirs = [event for event in events if event.contract in self._bound]
        for i, (log, event) in enumerate(zip(ours, theirs, strict=False)):
            if (log.contract, log.name) != (event.contract, event.name):
                raise Mismatch(text, f"event {i}", f"{log.contract}.{log.name}", f"{event.contract}.{event.name}")
            where = f"event {i} {log.contract}.{log.name}"
            if list(log.fields) != list(event.fields):
                raise Mismatch(text, f"{where}: fields", list(log.fields), list(event.fields))
            for label, value in log.fields.items():
                _compare_values(text, f"{where}: {label}", value, normalise(event.fields[label]))
        if len(ours) != len(theirs):
            raise Mismatch(
                text,
                "number of events",
                [f"{e.contract}.{e.name}" for e in ours],
                [f"{e.contract}.{e.name}" for e in theirs],
            )

    def _known(self) -> set[Key]:
        return {key for shelf in self._shelves.values() for key in shelf.at}

    def _put(self, key: Key) -> None:
        """From now on the chain has to have the model's present word at ``key``."""
        shelf = self._shelves.get(key[0])
        if shelf is None:
            bound = self._bound.get(key[0])
            if bound is None:
                raise KeyError(f"the model wrote {key}, but no contract is bound as {key[0]!r}")
            layout = self.chain.contract(bound.address).artifact.layout
            shelf = self._shelves[key[0]] = _Shelf(bound.address, layout)
        shelf.put(key, self.world.get(key))

    def _compare_words(self, text: str) -> None:
        shelves = self._shelves.values()
        if self.chain.holds([(shelf.address, shelf.slots, shelf.words) for shelf in shelves]):
            return
        # Sorted, so that of several differing words the same one is named whatever was called before.
        for shelf in sorted(shelves, key=lambda shelf: shelf.address):
            stored = self.chain.storage(shelf.address, shelf.slots)
            for key, at in sorted(shelf.at.items(), key=lambda item: repr(item[0])):
                word, expected = stored[shelf.slots[at]], shelf.words[at]
                if word != expected:
                    raise Mismatch(
                        text, f"word {_name(key)}{_difference(key, word, expected)}", hex(word), hex(expected)
                    )
        raise Mismatch(text, "digest of all words", "another", "though each word read alone agrees")

    def _search(self, text: str) -> None:
        """Look for words that the model never wrote, where the chain can list them (revm, anvil)."""
        dumps = self.chain.dumps([bound.address for bound in self._bound.values()])
        for name, stored in zip(self._bound, dumps or (), strict=dumps is not None):
            shelf = self._shelves.get(name)
            texts = text_slots(self.chain.contract(self._bound[name].address).artifact.layout)
            for at in sorted(set(stored) - set(shelf.slots if shelf else ()) - texts):
                raise Mismatch(text, f"storage slot {at:#x} of {name}", stored[at], "never written")


@cache
def _takes_sender(model: type, function: str) -> bool:
    """Views that anybody gets the same answer from may leave the sender out."""
    return list(inspect.signature(getattr(model, function)).parameters)[1:2] == ["sender"]


def _compare_values(text: str, what: str, chain: Any, model: Any) -> None:
    """Equality of two normalised values; a difference inside a tuple is named by its index."""
    if chain == model:
        return
    if isinstance(chain, tuple) and isinstance(model, tuple) and len(chain) == len(model):
        for i, (ours, theirs) in enumerate(zip(chain, model, strict=True)):
            _compare_values(text, f"{what}[{i}]", ours, theirs)
    raise Mismatch(text, what, repr(chain), repr(model))


def _name(key: Key) -> str:
    indices = "".join(f"[{'0x' + index.hex() if isinstance(index, bytes) else index}]" for index in key[2:])
    return f"{key[0]}.{key[1]}{indices}"


def _difference(key: Key, chain: int, model: int) -> str:
    """The packed fields that differ, where the word is one of SPEC §3."""
    unpack = _unpacker(key)
    if unpack is None:
        return ""
    ours, theirs = asdict(unpack(chain)), asdict(unpack(model))
    fields = [f"{f} (chain {ours[f]}, model {theirs[f]})" for f in ours if ours[f] != theirs[f]]
    return ": " + ", ".join(fields)


def _unpacker(key: Key) -> Callable[[int], Any] | None:
    if key[0] != "ClearingHouse" or len(key) < 3:
        return None
    variable, index = key[1], key[-1]
    if variable == "accounts":
        if index == 0:
            return Account.unpack
        if index == 33:
            return None
        return (lambda word: Position.unpack(word, 0)) if index % 2 else (lambda word: Position.unpack(0, word))
    if variable == "markets":
        return {
            0: lambda word: Market.unpack(word, 0),
            1: lambda word: Market.unpack(0, word),
            2: Risk.unpack,
            3: Limits.unpack,
        }.get(index % 8)
    if variable == "global_words":
        return (lambda word: Globals.unpack(0, word)) if index else (lambda word: Globals.unpack(word, 0))
    return {"bands": Band.unpack, "cells": Cell.unpack}.get(variable)
