# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Calls with as little gas as it is told
@license MIT
@notice For the attack that starves a poke of gas, so that healthy feeds look dead.
"""


@external
def forward(target: address, data: Bytes[256], gas_given: uint256) -> (bool, Bytes[1024]):
    """
    @notice Call `target` with `gas_given` and say how it went; never reverts because of it.
    @return Whether it went through, and what it answered or reverted with.
    """
    ok: bool = False
    answer: Bytes[1024] = b""
    ok, answer = raw_call(target, data, max_outsize=1024, gas=gas_given, revert_on_failure=False)
    return ok, answer
