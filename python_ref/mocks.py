"""Models of the mocks: a feed and an oracle that say what they are told and tokens with bad habits.

Mirrors of ``contracts/mocks/MockFeed.vy``, ``MockProxy.vy``, ``MockOracle.vy``, ``MockToken.vy`` and
``NoReturnToken.vy``. There are many of each but the oracle, so the words of one are under ``(name, variable, …)`` with
a ``name`` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from python_ref.baselines import Baseline
from python_ref.fixed_math import sint, uint
from python_ref.oracle_words import Prices
from python_ref.world import Key, Revert, World, require

MAX_UINT = 2**256 - 1

FEED_NORMAL = 0
FEED_REVERT = 1
FEED_REVERT_EMPTY = 2
FEED_BURN_GAS = 3
FEED_SHORT = 4
FEED_BOMB = 5
FEED_EMPTY = 6
FEED_REVERT_BOMB = 7
BOMB_BYTES = 20_480

TOKEN_NORMAL = 0
TOKEN_RETURNS_FALSE = 1
TOKEN_FEE_ON_TRANSFER = 2

ZERO_ADDRESS = "0x" + "00" * 20


class MockFeed:
    """A Chainlink-compatible feed; ``MockFeed.vy``. Anybody may set anything."""

    def __init__(self, world: World, decimals: int, description: str, name: str = "MockFeed") -> None:
        """A feed without a round whose answers have ``decimals`` decimals."""
        self.world = world
        self.name = name
        self.description = description
        self.set_decimals("", decimals)

    def _key(self, variable: str) -> Key:
        return (self.name, variable)

    def set_answer(self, sender: str, answer: int) -> None:
        """Begin and complete the next round now; ``answer`` has ``decimals`` decimals."""
        round_id = uint(self.world.get(self._key("round_id")) + 1)
        self.set_round(sender, round_id, answer, self.world.now, self.world.now, round_id)

    def set_round(
        self, sender: str, round_id: int, answer: int, started_at: int, updated_at: int, answered_in: int
    ) -> None:
        """Set all five words, also to what exceeds their types; stamps in seconds."""
        self.world.set(self._key("round_id"), round_id)
        self.world.set(self._key("answer"), sint(answer) % 2**256)
        self.world.set(self._key("started_at"), started_at)
        self.world.set(self._key("updated_at"), updated_at)
        self.world.set(self._key("answered_in"), answered_in)

    def set_mode(self, sender: str, mode: int) -> None:
        """Choose how to answer: one of the ``FEED_`` constants."""
        require(mode <= FEED_REVERT_BOMB, "feed: no such mode")
        self.world.set(self._key("mode"), mode)

    def set_decimals(self, sender: str, decimals: int) -> None:
        """Change the scale, as no honest feed does; uint8."""
        self.world.set(self._key("decimals"), decimals)

    def decimals(self, sender: str) -> int:
        """Decimals of the answer."""
        return self.world.get(self._key("decimals"))

    def version(self, sender: str) -> int:
        """Version of the feed's interface."""
        return 4

    def latestRoundData(self, sender: str) -> bytes:  # noqa: N802
        """The bytes on the wire: five words, or what the mode makes of them.

        Burning all gas is an empty revert, and so is 1 MB of zeros, whether the gas lasts for it or not.
        """
        mode = self.world.get(self._key("mode"))
        require(mode != FEED_REVERT, "feed: down")
        if mode in (FEED_REVERT_EMPTY, FEED_BURN_GAS, FEED_REVERT_BOMB):
            raise Revert("")
        words = b"".join(
            self.world.get(self._key(variable)).to_bytes(32, "big")
            for variable in ("round_id", "answer", "started_at", "updated_at", "answered_in")
        )
        if mode == FEED_SHORT:
            return words[:64]
        if mode == FEED_BOMB:
            return bytes(BOMB_BYTES)
        if mode == FEED_EMPTY:
            return b""
        return words


class MockProxy:
    """A feed behind a proxy, as Chainlink deploys them; ``MockProxy.vy``. Anybody may propose and confirm."""

    def __init__(
        self, world: World, contracts: Mapping[str, MockFeed], aggregator: str, name: str = "MockProxy"
    ) -> None:
        """Begin phase 1. ``contracts`` says what feed lives at an address."""
        self.world = world
        self.contracts = contracts
        self.name = name
        self._begin(aggregator)

    def _key(self, variable: str, *indices: int) -> Key:
        return (self.name, variable, *indices)

    def _begin(self, aggregator: str) -> None:
        phase = self.world.get(self._key("phaseId")) + 1
        self.world.set(self._key("phaseId"), phase)
        self.world.set(self._key("aggregator"), int(aggregator, 16))
        self.world.set(self._key("phaseAggregators", phase), int(aggregator, 16))

    def _asked(self) -> MockFeed:
        return self.contracts[f"0x{self.world.get(self._key('aggregator')):040x}"]

    def proposeAggregator(self, sender: str, aggregator: str) -> None:  # noqa: N802
        """Name who may be asked next."""
        self.world.set(self._key("proposedAggregator"), int(aggregator, 16))

    def confirmAggregator(self, sender: str, aggregator: str) -> None:  # noqa: N802
        """Ask the proposed aggregator from now on, in a phase of its own. ``proxy: not proposed``."""
        require(int(aggregator, 16) == self.world.get(self._key("proposedAggregator")), "proxy: not proposed")
        self.world.set(self._key("proposedAggregator"), 0)
        self._begin(aggregator)

    def decimals(self, sender: str) -> int:
        """Decimals of the answer: the present aggregator's."""
        return self._asked().decimals(sender)

    def latestRoundData(self, sender: str) -> bytes:  # noqa: N802
        """The aggregator's last round, numbered within its phase; a :class:`Revert` where a typed read reverts."""
        answer = self._asked().latestRoundData(sender)
        require(len(answer) >= 160, "")
        words = [answer[i : i + 32] for i in range(0, 160, 32)]
        for place in (0, 4):
            number = int.from_bytes(words[place], "big")
            require(number < 2**80, "")
            numbered = self.world.get(self._key("phaseId")) << 64 | number % 2**64
            words[place] = uint(numbered).to_bytes(32, "big")
        return b"".join(words)


class MockOracle(Baseline):
    """An oracle without a will of its own; ``MockOracle.vy``. Anybody may set anything."""

    def set_prices(self, sender: str, market: int, told: Sequence[int]) -> None:
        """Answer this from now on; the fields of ``Prices`` in their order."""
        for field, value in zip(fields(Prices), told, strict=True):
            self.world.set((*self._key("told", market), field.name), value)

    def prices(self, sender: str, market: int) -> Prices:
        """What was told."""
        return Prices(*(self.world.get((*self._key("told", market), field.name)) for field in fields(Prices)))

    def peek(self, sender: str, market: int) -> Prices:
        """The same."""
        return self.prices(sender, market)

    def poke(self, sender: str, market: int) -> Prices:
        """The same."""
        return self.prices(sender, market)

    def report(self, sender: str, market: int, price: int) -> None:
        """Keep the price of a fill, whoever tells it."""
        self.world.set(self._key("reported", market), price)

    def reported(self, sender: str, market: int) -> int:
        """Price of the last fill, WAD."""
        return self.world.get(self._key("reported", market))


class NoReturnToken:
    """An ERC-20 whose transfers and approvals answer nothing; ``NoReturnToken.vy``. Amounts are atoms."""

    def __init__(self, world: World, symbol: str, decimals: int, name: str = "NoReturnToken") -> None:
        """A token without supply."""
        self.world = world
        self.name = name
        self.symbol = symbol
        self.decimals = decimals

    def _key(self, variable: str, *owners: str) -> Key:
        return (self.name, variable, *owners)

    def balanceOf(self, sender: str, owner: str) -> int:  # noqa: N802
        """Atoms of ``owner``."""
        return self.world.get(self._key("balanceOf", owner))

    def allowance(self, sender: str, owner: str, spender: str) -> int:
        """Atoms that ``spender`` may still pull from ``owner``."""
        return self.world.get(self._key("allowance", owner, spender))

    def totalSupply(self, sender: str) -> int:  # noqa: N802
        """Atoms in existence."""
        return self.world.get(self._key("totalSupply"))

    def mint(self, sender: str, receiver: str, amount: int) -> None:
        """Make atoms out of nothing. Reverts without a reason on overflow."""
        self.world.set(self._key("totalSupply"), uint(self.totalSupply(sender) + amount))
        self.world.set(self._key("balanceOf", receiver), uint(self.balanceOf(sender, receiver) + amount))
        self.world.emit(self.name, "Transfer", sender=ZERO_ADDRESS, receiver=receiver, amount=amount)

    def approve(self, sender: str, spender: str, amount: int) -> bool | None:
        """Let ``spender`` pull; the highest uint256 is never used up."""
        self.world.set(self._key("allowance", sender, spender), amount)
        self.world.emit(self.name, "Approval", owner=sender, spender=spender, amount=amount)
        return None

    def transfer(self, sender: str, receiver: str, amount: int) -> bool | None:
        """Send the caller's atoms. ``token: balance``."""
        self._move(sender, receiver, amount)
        return None

    def transferFrom(self, sender: str, owner: str, receiver: str, amount: int) -> bool | None:  # noqa: N802
        """Pull ``owner``'s atoms. ``token: allowance``, ``token: balance``."""
        allowed = self.allowance(sender, owner, sender)
        require(allowed >= amount, "token: allowance")
        self._move(owner, receiver, amount)
        if allowed != MAX_UINT:
            self.world.set(self._key("allowance", owner, sender), allowed - amount)
        return None

    def _move(self, owner: str, receiver: str, amount: int, fee: int = 0) -> None:
        require(self.balanceOf(owner, owner) >= amount, "token: balance")
        self.world.set(self._key("balanceOf", owner), self.balanceOf(owner, owner) - amount)
        self.world.set(self._key("balanceOf", receiver), uint(self.balanceOf(owner, receiver) + amount - fee))
        self.world.emit(self.name, "Transfer", sender=owner, receiver=receiver, amount=amount - fee)
        if fee > 0:
            self.world.set(self._key("totalSupply"), self.totalSupply(owner) - fee)
            self.world.emit(self.name, "Transfer", sender=owner, receiver=ZERO_ADDRESS, amount=fee)


class MockToken(NoReturnToken):
    """An ERC-20 with the habits of bad ones; ``MockToken.vy``. Answers a bool."""

    def __init__(self, world: World, symbol: str, decimals: int, name: str = "MockToken") -> None:
        """A token without supply."""
        super().__init__(world, symbol, decimals, name)

    def set_mode(self, sender: str, mode: int) -> None:
        """0 normal, 1 answer False instead of reverting, 2 burn 1 % (rounded down) of every transfer."""
        require(mode <= TOKEN_FEE_ON_TRANSFER, "token: no such mode")
        self.world.set(self._key("mode"), mode)

    def approve(self, sender: str, spender: str, amount: int) -> bool:
        """Let ``spender`` pull; the highest uint256 is never used up."""
        super().approve(sender, spender, amount)
        return True

    def transfer(self, sender: str, receiver: str, amount: int) -> bool:
        """Send the caller's atoms. ``token: balance``; False instead in mode 1."""
        if self._mode() == TOKEN_RETURNS_FALSE and self.balanceOf(sender, sender) < amount:
            return False
        self._move(sender, receiver, amount, self._fee(amount))
        return True

    def transferFrom(self, sender: str, owner: str, receiver: str, amount: int) -> bool:  # noqa: N802
        """Pull ``owner``'s atoms. ``token: allowance``, ``token: balance``; False instead in mode 1."""
        allowed = self.allowance(sender, owner, sender)
        if self._mode() == TOKEN_RETURNS_FALSE and min(allowed, self.balanceOf(sender, owner)) < amount:
            return False
        require(allowed >= amount, "token: allowance")
        self._move(owner, receiver, amount, self._fee(amount))
        if allowed != MAX_UINT:
            self.world.set(self._key("allowance", owner, sender), allowed - amount)
        return True

    def _mode(self) -> int:
        return self.world.get(self._key("mode"))

    def _fee(self, amount: int) -> int:
        return amount // 100 if self._mode() == TOKEN_FEE_ON_TRANSFER else 0
