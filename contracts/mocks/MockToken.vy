# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title An ERC-20 with the habits of bad ones
@license MIT
@notice For tests and devnets: anybody may mint and choose how the token misbehaves.
@dev Mirror: `python_ref/mocks.py`. `NoReturnToken` is the variant that answers nothing.
"""

NORMAL: constant(uint256) = 0
RETURNS_FALSE: constant(uint256) = 1
FEE_ON_TRANSFER: constant(uint256) = 2


event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256


event Approval:
    owner: indexed(address)
    spender: indexed(address)
    amount: uint256


# decimals of an atom, for people and for whoever scales
decimals: public(immutable(uint8))
# for people
symbol: public(String[16])
# how to misbehave: one of the constants above
mode: public(uint256)
# atoms in existence
totalSupply: public(uint256)
# owner => atoms
balanceOf: public(HashMap[address, uint256])
# owner => spender => atoms that may still be pulled
allowance: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__(symbol_: String[16], decimals_: uint8):
    """
    @notice A token without supply.
    @param symbol_ For people.
    @param decimals_ Decimals of an atom.
    """
    self.symbol = symbol_
    decimals = decimals_


@external
def set_mode(mode: uint256):
    """
    @notice Choose how to misbehave.
    @param mode 0 normal, 1 answer False instead of reverting, 2 burn 1 % (rounded down) of every transfer.
    """
    assert mode <= FEE_ON_TRANSFER, "token: no such mode"
    self.mode = mode


@external
def mint(receiver: address, amount: uint256):
    """
    @notice Make atoms out of nothing.
    @param receiver Who gets them.
    @param amount Atoms.
    """
    self.totalSupply += amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=empty(address), receiver=receiver, amount=amount)


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Let another pull.
    @param spender Who may pull.
    @param amount Atoms; the highest uint256 is never used up.
    @return True.
    """
    self.allowance[msg.sender][spender] = amount
    log Approval(owner=msg.sender, spender=spender, amount=amount)
    return True


@external
def transfer(receiver: address, amount: uint256) -> bool:
    """
    @notice Send the caller's atoms.
    @param receiver Who gets them.
    @param amount Atoms.
    @return True; False in mode 1 if the balance is too small.
    """
    return self._move(msg.sender, receiver, amount)


@external
def transferFrom(owner: address, receiver: address, amount: uint256) -> bool:
    """
    @notice Pull another's atoms.
    @param owner Whose they are.
    @param receiver Who gets them.
    @param amount Atoms.
    @return True; False in mode 1 if the allowance or the balance is too small.
    """
    allowed: uint256 = self.allowance[owner][msg.sender]
    if allowed < amount and self.mode == RETURNS_FALSE:
        return False
    assert allowed >= amount, "token: allowance"
    moved: bool = self._move(owner, receiver, amount)
    if moved and allowed != max_value(uint256):
        self.allowance[owner][msg.sender] = allowed - amount
    return moved


@internal
def _move(owner: address, receiver: address, amount: uint256) -> bool:
    """
    @notice Move atoms, less the fee in mode 2; answers False instead of reverting in mode 1.
    """
    if self.balanceOf[owner] < amount and self.mode == RETURNS_FALSE:
        return False
    assert self.balanceOf[owner] >= amount, "token: balance"
    fee: uint256 = amount // 100 if self.mode == FEE_ON_TRANSFER else 0
    self.balanceOf[owner] -= amount
    self.balanceOf[receiver] += amount - fee
    log Transfer(sender=owner, receiver=receiver, amount=amount - fee)
    if fee > 0:
        self.totalSupply -= fee
        log Transfer(sender=owner, receiver=empty(address), amount=fee)
    return True
