"""Twin passes what agrees and finds each kind of difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from python_ref.words import Account, Position
from python_ref.world import Revert, World, require
from scripts.chain import Chain, account, compile_source
from scripts.twin import Mismatch, Twin, _difference

KEEPER = account(1)
STRANGER = account(2)
ID = b"\x11" * 32

VAULT = compile_source(
    "Vault",
    """# pragma version 0.4.3
struct Receipt:
    serial: uint256
    holder: address

event Noted:
    id: indexed(bytes32)
    amount: uint256

event Counted:
    serial: uint256

notes: HashMap[bytes32, uint256[4]]
holder: HashMap[bytes32, address]
queue: DynArray[uint256, 3]
serial: uint256
stray: uint256

@external
def note(id: bytes32, amount: uint256) -> Receipt:
    assert amount > 0, "vault: nothing"
    assert amount < 2**128
    self.notes[id][2] += amount
    self.holder[id] = msg.sender
    self.serial += 1
    log Noted(id=id, amount=amount)
    log Counted(serial=self.serial)
    return Receipt(serial=self.serial, holder=msg.sender)

@external
def push(amount: uint256) -> uint256:
    self.queue.append(amount)
    return block.timestamp

@external
def hide(amount: uint256):
    self.stray = amount

@external
@view
def of(id: bytes32) -> uint256[4]:
    assert self.holder[id] != empty(address), "vault: unknown"
    return self.notes[id]
""",
)


@dataclass(frozen=True)
class Receipt:
    serial: int
    holder: str


class Vault:
    """The model of the toy, right in everything unless a method is replaced."""

    def __init__(self, world: World) -> None:
        self.world = world

    def _add(self, amount: int, *key: Any) -> int:
        value = self.world.get(("Vault", *key)) + amount
        self.world.set(("Vault", *key), value)
        return value

    def note(self, sender: str, id: bytes, amount: int) -> Receipt:
        require(amount > 0, "vault: nothing")
        require(amount < 2**128, "")
        self._add(amount, "notes", id, 2)
        self.world.set(("Vault", "holder", id), int(sender, 16))
        serial = self._add(1, "serial")
        self.world.emit("Vault", "Noted", id=id, amount=amount)
        self.world.emit("Vault", "Counted", serial=serial)
        return Receipt(serial, sender)

    def push(self, sender: str, amount: int) -> int:
        length = self._add(1, "queue")
        require(length <= 3, "")
        self.world.set(("Vault", "queue", length - 1), amount)
        return self.world.now

    def hide(self, sender: str, amount: int) -> None:
        pass

    def of(self, id: bytes) -> list[int]:
        require(self.world.get(("Vault", "holder", id)) != 0, "vault: unknown")
        return [self.world.get(("Vault", "notes", id, i)) for i in range(4)]


def make(chain: Chain, model: type[Vault] = Vault, full_every: int = 100) -> Twin:
    world = World()
    twin = Twin(chain, world, full_every)
    twin.bind(model(world), "Vault", chain.deploy(VAULT, sender=KEEPER))
    return twin


def test_twin__agreeing_worlds_go_in_step(any_chain: Chain) -> None:
    twin = make(any_chain, full_every=3)
    assert twin.call("Vault", "note", KEEPER, ID, 5).value == (1, KEEPER)
    assert twin.call("Vault", "note", KEEPER, ID, 0).reason == "vault: nothing"
    assert twin.call("Vault", "note", KEEPER, ID, 2**128).reason == ""
    twin.advance(60)
    assert twin.call("Vault", "push", STRANGER, 7).value == any_chain.now == twin.world.now
    assert twin.call("Vault", "note", STRANGER, ID, 6, full=True).value == (2, STRANGER)
    assert twin.view("Vault", "of", ID) == (0, 0, 11, 0)
    with pytest.raises(Revert, match="vault: unknown"):
        twin.view("Vault", "of", b"\x22" * 32)
    for i in range(2):
        assert twin.call("Vault", "push", STRANGER, i).ok
    assert twin.call("Vault", "push", STRANGER, 9).reason == ""
    twin.check_all()
    assert twin.steps == 8


def test_twin__snapshot_returns_both_sides(any_chain: Chain) -> None:
    twin = make(any_chain)
    twin.call("Vault", "note", KEEPER, ID, 5)
    mark = twin.snapshot()
    twin.advance(9)
    twin.call("Vault", "note", STRANGER, b"\x33" * 32, 6)
    twin.revert(mark)
    assert twin.world.now == any_chain.now
    twin.check_all()
    assert twin.call("Vault", "note", KEEPER, ID, 1).value == (2, KEEPER)


def _wrong_return(self: Vault, sender: str, id: bytes, amount: int) -> Receipt:
    return Receipt(RIGHT(self, sender, id, amount).serial + 1, sender)


def _wrong_holder(self: Vault, sender: str, id: bytes, amount: int) -> Receipt:
    return Receipt(RIGHT(self, sender, id, amount).serial, STRANGER)


def _wrong_event_field(self: Vault, sender: str, id: bytes, amount: int) -> Receipt:
    receipt = RIGHT(self, sender, id, amount)
    self.world.events[0].fields["amount"] += 1
    return receipt


def _wrong_event_order(self: Vault, sender: str, id: bytes, amount: int) -> Receipt:
    receipt = RIGHT(self, sender, id, amount)
    self.world.events.reverse()
    return receipt


def _missing_event(self: Vault, sender: str, id: bytes, amount: int) -> Receipt:
    receipt = RIGHT(self, sender, id, amount)
    self.world.events.pop()
    return receipt


def _renamed_field(self: Vault, sender: str, id: bytes, amount: int) -> Receipt:
    receipt = RIGHT(self, sender, id, amount)
    self.world.events[1].fields = {"number": 1}  # type: ignore[misc]
    return receipt


def _wrong_word(self: Vault, sender: str, id: bytes, amount: int) -> Receipt:
    receipt = RIGHT(self, sender, id, amount)
    self._add(1, "notes", id, 2)
    return receipt


def _surplus_word(self: Vault, sender: str, id: bytes, amount: int) -> Receipt:
    receipt = RIGHT(self, sender, id, amount)
    self.world.set(("Vault", "notes", id, 3), 1)
    return receipt


def _wrong_reason(self: Vault, sender: str, id: bytes, amount: int) -> Receipt:
    require(amount > 0, "vault: zero")
    return RIGHT(self, sender, id, amount)


def _refuses(self: Vault, sender: str, id: bytes, amount: int) -> Receipt:
    require(amount != 5, "vault: five")
    return RIGHT(self, sender, id, amount)


def _accepts(self: Vault, sender: str, id: bytes, amount: int) -> Receipt:
    return RIGHT(self, sender, id, amount or 1)


RIGHT: Callable[[Vault, str, bytes, int], Receipt] = Vault.note


@pytest.mark.parametrize(
    ("note", "amount", "what"),
    [
        (_wrong_return, 5, "return value[0]"),
        (_wrong_holder, 5, "return value[1]"),
        (_wrong_event_field, 5, "event 0 Vault.Noted: amount"),
        (_wrong_event_order, 5, "event 0"),
        (_missing_event, 5, "number of events"),
        (_wrong_word, 5, "word Vault.notes[0x" + ID.hex() + "][2]"),
        (_surplus_word, 5, "word Vault.notes[0x" + ID.hex() + "][3]"),
        (_wrong_reason, 0, "revert reason"),
        (_refuses, 5, "success"),
        (_accepts, 0, "success"),
    ],
)
def test_twin__a_wrong_model_is_found(any_chain: Chain, note: Any, amount: int, what: str) -> None:
    wrong = type("Wrong", (Vault,), {"note": note})
    twin = make(any_chain, wrong)
    with pytest.raises(Mismatch) as found:
        twin.call("Vault", "note", KEEPER, ID, amount)
    assert found.value.what == what
    assert f"Vault.note({ID!r}, {amount})" in str(found.value)


def test_twin__a_wrong_view_is_found(chain: Chain) -> None:
    wrong = type("Wrong", (Vault,), {"of": lambda self, id: [0, 0, 0, 0]})
    twin = make(chain, wrong)
    twin.call("Vault", "note", KEEPER, ID, 5)
    with pytest.raises(Mismatch, match=r"return value\[2\] of view Vault.of"):
        twin.view("Vault", "of", ID)


@pytest.mark.parametrize("kind", ["revm", "anvil"])
def test_twin__a_word_that_only_the_contract_writes_is_found(kind: str, open_chain: Callable[[str], Chain]) -> None:
    twin = make(open_chain(kind))
    twin.call("Vault", "hide", KEEPER, 5)
    with pytest.raises(Mismatch, match="storage slot"):
        twin.check_all()


def test_twin__a_word_that_changes_unasked_is_found_after_the_next_call(any_chain: Chain) -> None:
    twin = make(any_chain)
    twin.call("Vault", "note", KEEPER, ID, 5)
    any_chain.call(KEEPER, twin.address("Vault"), "note", ID, 5)
    with pytest.raises(Mismatch, match=r"word Vault\.notes.*\n.*0xa\n.*0x5"):
        twin.call("Vault", "push", KEEPER, 1)


def test_twin__keys_of_unbound_contracts_are_refused(chain: Chain) -> None:
    twin = make(chain)
    twin.world.set(("Other", "x"), 1)
    with pytest.raises(KeyError, match="no contract is bound"):
        twin.check_all()


def test_difference__names_packed_fields() -> None:
    key = ("ClearingHouse", "accounts", ID, 0)
    text = _difference(key, Account(cash=5, legs=1).pack(), Account(cash=-6, legs=1).pack())
    assert text == ": cash (chain 5, model -6)"
    for word in (0, 1):
        key = ("ClearingHouse", "accounts", ID, 3 + word)
        text = _difference(key, Position(q0=7, entry=7).pack()[word], Position(q0=8, entry=8).pack()[word])
        assert text == f": {('q0', 'entry')[word]} (chain 7, model 8)"
    assert _difference(("Vault", "serial"), 1, 2) == ""
