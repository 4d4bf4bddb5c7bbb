"""Machine code that hashes storage where it lies, so that a node compares thousands of words in one call.

The node runs a call with the code of every contract exchanged for :data:`READER`, which sees the storage of the
contract whose place it takes. No Vyper source can do this: the language does not read a slot by its number.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_utils import keccak

from scripts.chain.base import StoredWords

_OPCODES = {
    "ADD": 0x01,
    "LT": 0x10,
    "ISZERO": 0x15,
    "KECCAK256": 0x20,
    "CALLDATALOAD": 0x35,
    "CALLDATASIZE": 0x36,
    "CALLDATACOPY": 0x37,
    "POP": 0x50,
    "MSTORE": 0x52,
    "SLOAD": 0x54,
    "JUMP": 0x56,
    "JUMPI": 0x57,
    "GAS": 0x5A,
    "JUMPDEST": 0x5B,
    "PUSH0": 0x5F,
    "DUP1": 0x80,
    "DUP2": 0x81,
    "DUP3": 0x82,
    "DUP4": 0x83,
    "DUP6": 0x85,
    "SWAP1": 0x90,
    "RETURN": 0xF3,
    "STATICCALL": 0xFA,
    "REVERT": 0xFD,
}

_SCRATCH = 0x1000
"""Memory below holds one hash for each contract, memory above the slots of the one that is asked."""


def _assemble(text: str) -> str:
    """Code from mnemonics; ``name:`` marks a jump's target, ``@name`` is its position, a number is pushed."""
    code, targets, gaps = bytearray(), {}, []
    for word in text.split():
        if word.endswith(":"):
            targets[word[:-1]] = len(code)
            code.append(_OPCODES["JUMPDEST"])
        elif word.startswith("@"):
            gaps.append((len(code) + 1, word[1:]))
            code += b"\x60\x00"
        elif word.isdigit():
            value = int(word)
            code += bytes([0x61]) + value.to_bytes(2, "big") if value > 255 else bytes([0x60, value])
        else:
            code.append(_OPCODES[word])
    for at, name in gaps:
        code[at] = targets[name]
    return "0x" + code.hex()


READER = _assemble(
    """
    PUSH0
    next: CALLDATASIZE DUP2 LT ISZERO @done JUMPI
        DUP1 CALLDATALOAD SLOAD DUP2 MSTORE
        32 ADD @next JUMP
    done: PUSH0 KECCAK256 PUSH0 MSTORE 32 PUSH0 RETURN
    """
)
"""Calldata: slots. Returns the hash of the words at these slots of the contract in whose place it runs."""

COLLECTOR = _assemble(
    f"""
    PUSH0 PUSH0
    next: CALLDATASIZE DUP2 LT ISZERO @done JUMPI
        DUP1 32 ADD CALLDATALOAD
        DUP1 DUP3 64 ADD {_SCRATCH} CALLDATACOPY
        32 DUP4 DUP3 {_SCRATCH} DUP6 CALLDATALOAD GAS STATICCALL ISZERO @failed JUMPI
        ADD 64 ADD
        SWAP1 32 ADD SWAP1 @next JUMP
    done: POP PUSH0 KECCAK256 PUSH0 MSTORE 32 PUSH0 RETURN
    failed: PUSH0 PUSH0 REVERT
    """
)
"""Calldata: for each contract its address, the bytes of slots, the slots. Returns the hash of the readers' hashes."""


def question(words: Sequence[StoredWords]) -> bytes:
    """Calldata of :data:`COLLECTOR` that asks for all these words."""
    if 32 * len(words) > _SCRATCH:
        raise ValueError(f"words of {len(words)} contracts; at most {_SCRATCH // 32} in one question")
    return b"".join(
        _word(int(address, 16)) + _word(32 * len(slots)) + b"".join(map(_word, slots)) for address, slots, _ in words
    )


def answer(words: Sequence[StoredWords]) -> bytes:
    """What :data:`COLLECTOR` returns if every word is as given."""
    return bytes(keccak(b"".join(keccak(b"".join(map(_word, values))) for _, _, values in words)))


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")
