"""From operations to a vector: the model plays them and writes down what anybody could see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from python_ref.world import Key
from scripts.vectors.domain import Domain, Told, digest
from scripts.vectors.observe import State, is_judgement

Operation = dict[str, Any]
"""``at``, ``from``, ``to``, ``call`` and ``args``, as ``FORMAT.md`` says; what is expected is added by playing it."""


class Stage:
    """A set-up that is ready: every vector starts from here again."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        """Play the set-up's own calls; they must all go through."""
        self.setup = setup
        self.domain = Domain(setup)
        written: set[Key] = set(self.domain.world.words)
        for operation in setup["calls"]:
            told = self.domain.call(operation)
            assert told.reason is None, (operation, told.reason)
            written |= told.written
        keys = [key for key in self.domain.touched(written) if not key.startswith("equity:")]
        self.state: State = {key: self.domain.observe(key) for key in keys}
        self._mark = self.domain.mark()

    def begin(self, orders: Mapping[str, Mapping[str, Any]]) -> None:
        """Back to the set-up, with these orders known."""
        self.domain.reset(self._mark)
        self.domain.book.know(orders)

    def run(self, operations: Sequence[Operation], orders: Mapping[str, Mapping[str, Any]]) -> list[Told]:
        """Play operations without writing anything down."""
        self.begin(orders)
        return [self.domain.call(operation) for operation in operations]

    def record(
        self,
        name: str,
        setup: str,
        operations: Sequence[Operation],
        orders: Mapping[str, Mapping[str, Any]],
        covers: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The vector of these operations."""
        self.begin(orders)
        state = {key: fields for key, fields in self.state.items() if not is_judgement(key)}
        played = [self._record_one(operation, state) for operation in operations]
        touched = sorted({key for operation in played for key in operation.get("post", {}) if key in state})
        return {
            "name": name,
            "setup": setup,
            "covers": list(covers),
            "orders": {k: dict(v) for k, v in orders.items()},
            "operations": played,
            "final": {"state": {key: state[key] for key in touched}, "judgements": self._judgements(state)},
        }

    def _record_one(self, operation: Operation, state: State) -> dict[str, Any]:
        """One operation with its outcome; ``state`` follows."""
        told = self.domain.call(operation)
        if told.reason is not None:
            return {**operation, "revert": told.reason, "digest": digest(state)}
        pre: State = {}
        post: State = {}
        touched = self.domain.touched(told.written)
        fresh = [key for key in touched if key not in state and not is_judgement(key)]
        before = self._before(operation, fresh) if fresh else {}
        for key in touched:
            now = self.domain.observe(key)
            if is_judgement(key):
                post[key] = now
                continue
            old = before[key] if key in before else state[key]
            # All fields of what appears for the first time, so that posts add up to the whole state.
            changed = [field for field in now if key in before or now[field] != old[field]]
            if changed:
                pre[key] = {field: old[field] for field in changed}
                post[key] = {field: now[field] for field in changed}
            state[key] = now
        return {
            **operation,
            "returns": told.value,
            "events": [self.domain.write_event(event) for event in told.events],
            "pre": pre,
            "post": post,
            "digest": digest(state),
        }

    def _before(self, operation: Operation, keys: Sequence[str]) -> State:
        """What nobody had touched before: as observed on an empty world."""
        world = self.domain.world
        words, world.words = world.words, {}
        try:
            return {key: self.domain.observe(key) for key in keys}
        finally:
            world.words = words

    def _judgements(self, state: State) -> State:
        """What follows from state and clock at the end: prices, equities, and the human view of who is exposed."""
        keys = [f"price:{market}" for market in range(len(self.setup["markets"]))]
        for key, fields in state.items():
            if key.startswith("account:"):
                account = key.removeprefix("account:")
                keys.append(f"equity:{account}")
                if fields["exposed"]:
                    keys.append(f"lens:{account}")
            elif key.startswith("shares:"):
                keys.append(f"withdrawal:{key.removeprefix('shares:')}")
            elif key.startswith("fund_cap:"):
                keys.append(f"spending:{key.removeprefix('fund_cap:')}")
        return {key: self.domain.observe(key) for key in sorted(keys)}
