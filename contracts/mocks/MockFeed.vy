# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title A Chainlink-compatible feed that says what it is told
@license MIT
@notice For tests and devnets: anybody may set anything, also what no honest feed would answer.
@dev `latestRoundData` builds its bytes by hand so that it can answer too short, too long and out of type. On the
     wire it is IAggregatorV3's; bind that interface to decode it. Mirror: `python_ref/mocks.py`.
"""

NORMAL: constant(uint256) = 0
REVERT: constant(uint256) = 1
REVERT_EMPTY: constant(uint256) = 2
BURN_GAS: constant(uint256) = 3
SHORT: constant(uint256) = 4
BOMB: constant(uint256) = 5
EMPTY: constant(uint256) = 6
REVERT_BOMB: constant(uint256) = 7
BOMB_WORDS: constant(uint256) = 640
BOMB_BYTES: constant(uint256) = 32 * BOMB_WORDS
# 1 MB
REVERT_WORDS: constant(uint256) = 32_768

# decimals of the answer
decimals: public(uint8)
# the pair, for people
description: public(String[64])
# how to answer: one of the constants above
mode: public(uint256)
# the five words of the answer; whole words, so that a round can exceed its type
round_id: public(uint256)
answer: public(int256)
started_at: public(uint256)
updated_at: public(uint256)
answered_in: public(uint256)


@deploy
def __init__(decimals: uint8, description: String[64]):
    """
    @notice A feed without a round.
    @param decimals Decimals of the answer.
    @param description The pair, for people.
    """
    self.decimals = decimals
    self.description = description


@external
def set_answer(answer: int256):
    """
    @notice Begin and complete the next round now.
    @param answer The price, with `decimals` decimals.
    """
    self.round_id += 1
    self.answer = answer
    self.started_at = block.timestamp
    self.updated_at = block.timestamp
    self.answered_in = self.round_id


@external
def set_round(round_id: uint256, answer: int256, started_at: uint256, updated_at: uint256, answered_in: uint256):
    """
    @notice Set all five words.
    @param round_id Round; may exceed uint80.
    @param answer The price, with `decimals` decimals.
    @param started_at Second.
    @param updated_at Second.
    @param answered_in Round; may exceed uint80.
    """
    self.round_id = round_id
    self.answer = answer
    self.started_at = started_at
    self.updated_at = updated_at
    self.answered_in = answered_in


@external
def set_mode(mode: uint256):
    """
    @notice Choose how to answer.
    @param mode 0 normal, 1 revert, 2 revert without data, 3 burn all gas, 4 answer 64 bytes, 5 answer 20 kB of zeros,
                6 answer nothing, as an address without code does, 7 revert with 1 MB.
    """
    assert mode <= REVERT_BOMB, "feed: no such mode"
    self.mode = mode


@external
def set_decimals(decimals: uint8):
    """
    @notice Change the scale, as no honest feed does.
    @param decimals Decimals of the answer.
    """
    self.decimals = decimals


@view
@external
def version() -> uint256:
    """
    @notice Version of the feed's interface.
    @return Always 4.
    """
    return 4


@view
@raw_return
@external
def latestRoundData() -> Bytes[BOMB_BYTES]:
    """
    @notice The last round, or what the mode makes of it.
    @return roundId, answer, startedAt, updatedAt, answeredInRound: 32 bytes each, not wrapped.
    """
    mode: uint256 = self.mode
    assert mode != REVERT, "feed: down"
    if mode == REVERT_EMPTY:
        raw_revert(b"")
    assert mode != BURN_GAS, UNREACHABLE
    words: Bytes[160] = abi_encode(
        self.round_id, self.answer, self.started_at, self.updated_at, self.answered_in
    )
    if mode == SHORT:
        return slice(words, 0, 64)
    if mode == BOMB:
        return abi_encode(empty(uint256[BOMB_WORDS]))
    if mode == EMPTY:
        return b""
    if mode == REVERT_BOMB:
        # last, so that the memory it needs lies beyond that of the others, which do not pay for it
        raw_revert(abi_encode(empty(uint256[REVERT_WORDS])))
    return words
