# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title A token whose transfer, transferFrom and approve answer nothing
@license MIT
@notice For tests: well-known tokens older than the final ERC-20 do this. Anybody may mint.
@dev Mirror: `python_ref/mocks.py`.
"""


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
def approve(spender: address, amount: uint256):
    """
    @notice Let another pull.
    @param spender Who may pull.
    @param amount Atoms; the highest uint256 is never used up.
    """
    self.allowance[msg.sender][spender] = amount
    log Approval(owner=msg.sender, spender=spender, amount=amount)


@external
def transfer(receiver: address, amount: uint256):
    """
    @notice Send the caller's atoms.
    @param receiver Who gets them.
    @param amount Atoms.
    """
    self._move(msg.sender, receiver, amount)


@external
def transferFrom(owner: address, receiver: address, amount: uint256):
    """
    @notice Pull another's atoms.
    @param owner Whose they are.
    @param receiver Who gets them.
    @param amount Atoms.
    """
    allowed: uint256 = self.allowance[owner][msg.sender]
    assert allowed >= amount, "token: allowance"
    self._move(owner, receiver, amount)
    if allowed != max_value(uint256):
        self.allowance[owner][msg.sender] = allowed - amount


@internal
def _move(owner: address, receiver: address, amount: uint256):
    """
    @notice Move atoms.
    """
    assert self.balanceOf[owner] >= amount, "token: balance"
    self.balanceOf[owner] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=owner, receiver=receiver, amount=amount)
