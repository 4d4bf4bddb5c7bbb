"""Owner, guardian and timelock. Mirror of ``contracts/Governor.vy``.

Whatever loosens risk waits ``delay`` seconds once sealed; what only tightens it applies at once. Parameters are
checked where they pass, by selector, on every path. All externals, views included, take the sender first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from eth_hash.auto import keccak

from python_ref.constants import DUST_SIZE, PPM, RANK_LEVERAGE
from python_ref.words import Limits, Risk
from python_ref.world import Key, World, require

GRACE_S = 14 * 86_400
"""Seconds in which a call that is due may run."""
MAX_DATA = 4096
"""Bytes of calldata that a call may have."""
SET_RISK = keccak(b"set_risk(uint256,uint256)")[:4]
SET_LIMITS = keccak(b"set_limits(uint256,uint256)")[:4]
ADD_MARKET = keccak(b"add_market(uint256,uint256,uint256,uint256,address)")[:4]

ZERO_ADDRESS = "0x" + "00" * 20


class Oracle(Protocol):
    """What of the oracle needs no timelock."""

    def tighten_rules(self, sender: str, market: int, rules: Sequence[int], /) -> None:
        """Replace a book's rules by tighter ones."""

    def replace_feed(self, sender: str, market: int, i: int, feed: Sequence[Any], /) -> None:
        """Replace a feed that fails."""


class ClearingHouse(Protocol):
    """What a tightening needs of its target."""

    def load_market(self, sender: str, market: int) -> tuple[int, ...]:
        """Eight words; 2 is the risk word, 3 the limits word."""

    def set_risk(self, sender: str, market: int, risk_word: int, /) -> None:
        """Replace the risk word."""

    def set_limits(self, sender: str, market: int, limits_word: int, /) -> None:
        """Replace the limits word."""


def id_of(target: str, data: bytes) -> bytes:
    """keccak256 of the ABI encoding of ``(address, bytes)``."""
    words = (int(target, 16), 64, len(data))
    return bytes(keccak(b"".join(w.to_bytes(32, "big") for w in words) + data + bytes(-len(data) % 32)))


class Governor:
    """The contract ``Governor`` at ``address``. Words: ``("Governor", variable, *indices)``.

    ``call(sender, target, data)`` runs a raw call on the models; ``domain(target)`` is the clearing house at an
    address, or the oracle; ``has_code(target)`` says whether a contract lives there.
    """

    def __init__(
        self,
        world: World,
        address: str,
        owner: str,
        guardian: str,
        delay: int,
        call: Callable[[str, str, bytes], None],
        domain: Callable[[str], Any],
        has_code: Callable[[str], bool],
    ) -> None:
        """Start unsealed; ``delay`` in seconds. ``governor: owner is zero``, ``governor: delay is zero``."""
        require(int(owner, 16) != 0, "governor: owner is zero")
        require(delay > 0, "governor: delay is zero")
        self.world = world
        self.address = address
        self.delay = delay
        self.call = call
        self.domain = domain
        self.has_code = has_code
        self._set(int(owner, 16), "owner")
        self._set(int(guardian, 16), "guardian")
        self._emit("OwnerChanged", old_owner=ZERO_ADDRESS, new_owner=owner)
        self._emit("GuardianChanged", guardian=guardian)

    # ---- roles -------------------------------------------------------------------------------------

    def propose_owner(self, sender: str, new_owner: str) -> None:
        """Offer the ownership; zero withdraws the offer. ``governor: not owner``."""
        self._require_owner(sender)
        self._set(int(new_owner, 16), "pending_owner")
        self._emit("OwnerProposed", owner=sender, pending_owner=new_owner)

    def accept_owner(self, sender: str) -> None:
        """Take the ownership. ``governor: not pending owner``."""
        require(int(sender, 16) == self._get("pending_owner"), "governor: not pending owner")
        old_owner = self._address("owner")
        self._set(int(sender, 16), "owner")
        self._set(0, "pending_owner")
        self._emit("OwnerChanged", old_owner=old_owner, new_owner=sender)

    def set_guardian(self, sender: str, guardian: str) -> None:
        """Name the guardian; zero: nobody. ``governor: not owner``."""
        self._require_owner(sender)
        self._set(int(guardian, 16), "guardian")
        self._emit("GuardianChanged", guardian=guardian)

    def seal(self, sender: str) -> None:
        """End the set-up for good. ``governor: not owner``, ``governor: sealed``."""
        self._require_owner(sender)
        require(self._get("is_sealed") == 0, "governor: sealed")
        self._set(1, "is_sealed")
        self._emit("Sealed", sealed_at=self.world.now)

    # ---- timelock ----------------------------------------------------------------------------------

    def schedule(self, sender: str, target: str, data: bytes) -> bytes:
        """Announce a call; its id. ``governor: not owner``, the checks' reasons, ``governor: already scheduled``."""
        require(len(data) <= MAX_DATA, "")
        self._require_owner(sender)
        self._check_call(target, data)
        call_id = id_of(target, data)
        ready_at = self._get("ready_at", call_id)
        require(ready_at == 0 or self.world.now > ready_at + GRACE_S, "governor: already scheduled")
        ready_at = self.world.now + self.delay
        self._set(ready_at, "ready_at", call_id)
        self._emit("CallScheduled", id=call_id, target=target, data=data, ready_at=ready_at)
        return call_id

    def execute(self, sender: str, target: str, data: bytes) -> None:
        """Make a call that is due, or any call before the seal; the target's refusal is passed on.

        ``governor: not owner``, the checks' reasons, ``governor: not scheduled``, ``governor: too early``,
        ``governor: expired``.
        """
        require(len(data) <= MAX_DATA, "")
        self._require_owner(sender)
        self._check_call(target, data)
        call_id = id_of(target, data)
        if self._get("is_sealed"):
            ready_at = self._get("ready_at", call_id)
            require(ready_at != 0, "governor: not scheduled")
            require(self.world.now >= ready_at, "governor: too early")
            require(self.world.now <= ready_at + GRACE_S, "governor: expired")
        self._set(0, "ready_at", call_id)
        self._emit("CallExecuted", id=call_id, target=target, data=data)
        self.call(self.address, target, data)

    def cancel(self, sender: str, call_id: bytes) -> None:
        """Drop a scheduled call. ``governor: not guardian``, ``governor: not scheduled``."""
        self._require_owner_or_guardian(sender)
        require(self._get("ready_at", call_id) != 0, "governor: not scheduled")
        self._set(0, "ready_at", call_id)
        self._emit("CallCancelled", id=call_id)

    # ---- tightening --------------------------------------------------------------------------------

    def tighten_risk(self, sender: str, target: str, market: int, word: int) -> None:
        """Replace a risk word at once: rates up, fill band down, slope steeper, all else equal.

        ``governor: not guardian``, the reasons of :meth:`check_risk`, then one reason per field in its order.
        """
        self._require_owner_or_guardian(sender)
        self.check_risk(sender, word)
        house: ClearingHouse = self.domain(target)
        old = Risk.unpack(house.load_market(self.address, market)[2])
        new = Risk.unpack(word)
        require(new.initial >= old.initial, "governor: initial loosens")
        require(new.maintenance >= old.maintenance, "governor: maintenance loosens")
        require(new.penalty == old.penalty, "governor: penalty changes")
        require(new.fund_share == old.fund_share, "governor: fund_share changes")
        require(new.taker_fee == old.taker_fee, "governor: taker_fee changes")
        require(new.maker_fee == old.maker_fee, "governor: maker_fee changes")
        require(new.fill_band <= old.fill_band, "governor: fill_band loosens")
        require(new.target == old.target, "governor: target changes")
        require(new.backstop == old.backstop, "governor: backstop changes")
        require(old.depth == 0 or 0 < new.depth <= old.depth, "governor: depth loosens")
        self._emit("RiskTightened", target=target, market=market, word=word)
        house.set_risk(self.address, market, word)

    def tighten_limits(self, sender: str, target: str, market: int, word: int) -> None:
        """Replace a limits word at once: cap down, smallest position up, all else equal (open receipts ignored).

        ``governor: not guardian``, the reasons of :meth:`check_limits`, ``governor: oi_cap loosens``,
        ``governor: min_size loosens``, ``governor: other limits change``.
        """
        self._require_owner_or_guardian(sender)
        self.check_limits(sender, word)
        house: ClearingHouse = self.domain(target)
        old_word = house.load_market(self.address, market)[3]
        old, new = Limits.unpack(old_word), Limits.unpack(word)
        require(new.oi_cap <= old.oi_cap, "governor: oi_cap loosens")
        require(new.min_size >= old.min_size, "governor: min_size loosens")
        receipts = 255 << 192
        require((word ^ old_word) >> 184 << 184 & ~receipts == 0, "governor: other limits change")
        self._emit("LimitsTightened", target=target, market=market, word=word)
        house.set_limits(self.address, market, word)

    def tighten_feeds(self, sender: str, oracle: str, market: int, rules: Sequence[int]) -> None:
        """Replace a book's rules at once. ``governor: not guardian``, and what the oracle refuses."""
        self._require_owner_or_guardian(sender)
        feeds: Oracle = self.domain(oracle)
        feeds.tighten_rules(self.address, market, rules)

    def replace_feed(self, sender: str, oracle: str, market: int, i: int, feed: Sequence[Any]) -> None:
        """Replace a failing feed at once. ``governor: not guardian``, and what the oracle refuses."""
        self._require_owner_or_guardian(sender)
        feeds: Oracle = self.domain(oracle)
        feeds.replace_feed(self.address, market, i, feed)

    # ---- views -------------------------------------------------------------------------------------

    def id_of(self, sender: str, target: str, data: bytes) -> bytes:
        """The id under which a call is scheduled."""
        require(len(data) <= MAX_DATA, "")
        return id_of(target, data)

    def check_risk(self, sender: str, word: int) -> None:
        """Refuse a risk word that breaks a rule between its fields, with a reason per rule (rules 20, 21)."""
        r = Risk.unpack(word)
        require(r.maintenance > 0, "governor: maintenance is zero")
        require(r.initial > r.maintenance, "governor: initial <= maintenance")
        require(r.initial <= PPM, "governor: initial > 1")
        require(r.penalty < r.maintenance, "governor: penalty >= maintenance")
        require(r.fund_share <= PPM, "governor: fund_share > 1")
        require(r.target > PPM, "governor: target <= 1")
        require(max(r.taker_fee, r.maker_fee) * PPM < r.maintenance * r.target, "governor: fee too high")
        require(r.fill_band < PPM, "governor: fill_band >= 1")
        require(r.backstop < PPM, "governor: backstop >= 1")

    def check_limits(self, sender: str, word: int) -> None:
        """Refuse a limits word with a value that the ledger has no meaning for."""
        limits = Limits.unpack(word)
        require(limits.min_size > DUST_SIZE, "governor: min_size is dust")
        require(limits.lot_exp <= 30, "governor: lot_exp > 30")
        require(limits.rank <= RANK_LEVERAGE, "governor: unknown rank")
        require(limits.octave_bits <= 6, "governor: octave_bits > 6")

    # ---- internals ---------------------------------------------------------------------------------

    def _check_call(self, target: str, data: bytes) -> None:
        require(self.has_code(target), "governor: target has no code")
        selector = data[:4]
        if selector in (SET_RISK, ADD_MARKET):
            require(len(data) >= 68, "governor: short data")
            self.check_risk(self.address, int.from_bytes(data[36:68], "big"))
        if selector == SET_LIMITS:
            require(len(data) >= 68, "governor: short data")
            self.check_limits(self.address, int.from_bytes(data[36:68], "big"))
        if selector == ADD_MARKET:
            require(len(data) >= 164, "governor: short data")
            self.check_limits(self.address, int.from_bytes(data[68:100], "big"))

    def _require_owner(self, sender: str) -> None:
        require(int(sender, 16) == self._get("owner"), "governor: not owner")

    def _require_owner_or_guardian(self, sender: str) -> None:
        require(int(sender, 16) in (self._get("owner"), self._get("guardian")), "governor: not guardian")

    def _address(self, variable: str) -> str:
        return f"0x{self._get(variable):040x}"

    @staticmethod
    def _key(variable: str, *indices: bytes) -> Key:
        return ("Governor", variable, *indices)

    def _get(self, variable: str, *indices: bytes) -> int:
        return self.world.get(self._key(variable, *indices))

    def _set(self, value: int, variable: str, *indices: bytes) -> None:
        self.world.set(self._key(variable, *indices), value)

    def _emit(self, event: str, **fields: Any) -> None:
        self.world.emit("Governor", event, **fields)
