# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Owner, guardian and timelock
@license MIT
@notice Whatever loosens risk waits DELAY; what only tightens it applies at once, by the owner or the guardian.
        Until `seal` the owner calls without delay, so that a script can wire a deployment.
@dev Holds nothing of value. It is the governor of any number of solvency domains, so every call names its target.
     Parameters are checked where they pass, on every path: `set_risk`, `add_market` and `set_limits` are known by
     selector whatever the target. A tightening moves no value between users by itself: fees, penalty, shares,
     target and backstop must stay as they are.
     Mirror: `python_ref/governor.py`.
"""

from contracts.interfaces import IClearingHouse
from contracts.modules import constants as c
from contracts.modules import oracle_words
from contracts.modules import words


# what of the oracle needs no timelock: it lets the rules only tighten, and replaces only a feed that fails
interface IFeeds:
    def tighten_rules(market: uint256, rules: oracle_words.Rules): nonpayable
    def replace_feed(market: uint256, i: uint256, feed: oracle_words.Feed): nonpayable


event OwnerProposed:
    owner: indexed(address)
    pending_owner: indexed(address)


event OwnerChanged:
    old_owner: indexed(address)
    new_owner: indexed(address)


event GuardianChanged:
    guardian: indexed(address)


event Sealed:
    sealed_at: uint256


event CallScheduled:
    id: indexed(bytes32)
    target: indexed(address)
    data: Bytes[MAX_DATA]
    ready_at: uint256


event CallExecuted:
    id: indexed(bytes32)
    target: indexed(address)
    data: Bytes[MAX_DATA]


event CallCancelled:
    id: indexed(bytes32)


event RiskTightened:
    target: indexed(address)
    market: indexed(uint256)
    word: uint256


event LimitsTightened:
    target: indexed(address)
    market: indexed(uint256)
    word: uint256


# a call of `set_feeds` with seven feeds takes 2,532 bytes
MAX_DATA: constant(uint256) = 4096
# A call nobody executed in two weeks must be scheduled again: users stopped watching for it
GRACE_S: constant(uint256) = 14 * 86_400
# Bits of a limits word that a tightening leaves alone: from lot_exp up, without open_receipts
OTHER_LIMITS: constant(uint256) = (2**72 - 1 - (255 << 8)) << 184
SET_RISK: constant(bytes4) = method_id("set_risk(uint256,uint256)", output_type=bytes4)
SET_LIMITS: constant(bytes4) = method_id("set_limits(uint256,uint256)", output_type=bytes4)
ADD_MARKET: constant(bytes4) = method_id(
    "add_market(uint256,uint256,uint256,uint256,address)", output_type=bytes4
)

# Seconds that users have between a scheduled call and its execution
DELAY: public(immutable(uint256))

# May schedule and execute
owner: public(address)
# Named by the owner; becomes owner by accepting, so that a mistyped address cannot take the role
pending_owner: public(address)
# May cancel and tighten, nothing else
guardian: public(address)
# Once true, every call waits DELAY
is_sealed: public(bool)
# Call id: second from which it may run, 0 if not scheduled
ready_at: public(HashMap[bytes32, uint256])


@deploy
def __init__(owner: address, guardian: address, delay: uint256):
    """
    @notice Start unsealed.
    @param delay Seconds between schedule and execution once sealed.
    """
    assert owner != empty(address), "governor: owner is zero"
    assert delay > 0, "governor: delay is zero"
    DELAY = delay
    self.owner = owner
    self.guardian = guardian
    log OwnerChanged(old_owner=empty(address), new_owner=owner)
    log GuardianChanged(guardian=guardian)


# Roles


@external
def propose_owner(new_owner: address):
    """
    @notice Offer the ownership; owner. Zero withdraws the offer.
    """
    self._require_owner()
    self.pending_owner = new_owner
    log OwnerProposed(owner=msg.sender, pending_owner=new_owner)


@external
def accept_owner():
    """
    @notice Take the ownership; the proposed owner.
    """
    assert msg.sender == self.pending_owner, "governor: not pending owner"
    old_owner: address = self.owner
    self.owner = msg.sender
    self.pending_owner = empty(address)
    log OwnerChanged(old_owner=old_owner, new_owner=msg.sender)


@external
def set_guardian(guardian: address):
    """
    @notice Name the guardian; owner. Zero: nobody.
    """
    self._require_owner()
    self.guardian = guardian
    log GuardianChanged(guardian=guardian)


@external
def seal():
    """
    @notice End the set-up for good: from now on calls wait DELAY; owner.
    """
    self._require_owner()
    assert not self.is_sealed, "governor: sealed"
    self.is_sealed = True
    log Sealed(sealed_at=block.timestamp)


# Timelock


@external
def schedule(target: address, data: Bytes[MAX_DATA]) -> bytes32:
    """
    @notice Announce a call; owner.
    @return Its id, keccak256 of the ABI encoding of target and data.
    """
    self._require_owner()
    self._check_call(target, data)
    id: bytes32 = self._id_of(target, data)
    ready_at: uint256 = self.ready_at[id]
    assert ready_at == 0 or block.timestamp > ready_at + GRACE_S, "governor: already scheduled"
    ready_at = block.timestamp + DELAY
    self.ready_at[id] = ready_at
    log CallScheduled(id=id, target=target, data=data, ready_at=ready_at)
    return id


@external
def execute(target: address, data: Bytes[MAX_DATA]):
    """
    @notice Make a call that is due, or any call before `seal`; owner. A refusal of the target is passed on as it is.
    """
    self._require_owner()
    self._check_call(target, data)
    id: bytes32 = self._id_of(target, data)
    if self.is_sealed:
        ready_at: uint256 = self.ready_at[id]
        assert ready_at != 0, "governor: not scheduled"
        assert block.timestamp >= ready_at, "governor: too early"
        assert block.timestamp <= ready_at + GRACE_S, "governor: expired"
    self.ready_at[id] = 0
    log CallExecuted(id=id, target=target, data=data)
    raw_call(target, data)


@external
def cancel(id: bytes32):
    """
    @notice Drop a scheduled call; owner or guardian.
    """
    self._require_owner_or_guardian()
    assert self.ready_at[id] != 0, "governor: not scheduled"
    self.ready_at[id] = 0
    log CallCancelled(id=id)


# Tightening


@external
def tighten_risk(target: address, market: uint256, word: uint256):
    """
    @notice Replace a market's risk word at once; owner or guardian. Initial and maintenance rate may only rise, the
            fill band only narrow, the slope only steepen (a smaller depth; zero is none); all else stays.
    """
    self._require_owner_or_guardian()
    self._check_risk(word)
    raw: uint256[8] = staticcall IClearingHouse(target).load_market(market)
    old: words.Risk = words._unpack_risk(raw[2])
    new: words.Risk = words._unpack_risk(word)
    assert new.initial >= old.initial, "governor: initial loosens"
    assert new.maintenance >= old.maintenance, "governor: maintenance loosens"
    assert new.penalty == old.penalty, "governor: penalty changes"
    assert new.fund_share == old.fund_share, "governor: fund_share changes"
    assert new.taker_fee == old.taker_fee, "governor: taker_fee changes"
    assert new.maker_fee == old.maker_fee, "governor: maker_fee changes"
    assert new.fill_band <= old.fill_band, "governor: fill_band loosens"
    assert new.target == old.target, "governor: target changes"
    assert new.backstop == old.backstop, "governor: backstop changes"
    assert old.depth == 0 or (new.depth != 0 and new.depth <= old.depth), "governor: depth loosens"
    log RiskTightened(target=target, market=market, word=word)
    extcall IClearingHouse(target).set_risk(market, word)


@external
def tighten_limits(target: address, market: uint256, word: uint256):
    """
    @notice Replace a market's limits word at once; owner or guardian. The open-interest cap may only fall, the
            smallest position only rise; all else stays.
    """
    self._require_owner_or_guardian()
    self._check_limits(word)
    raw: uint256[8] = staticcall IClearingHouse(target).load_market(market)
    old: words.Limits = words._unpack_limits(raw[3])
    new: words.Limits = words._unpack_limits(word)
    assert new.oi_cap <= old.oi_cap, "governor: oi_cap loosens"
    assert new.min_size >= old.min_size, "governor: min_size loosens"
    # lot_exp, rank, octave_bits, listed; the ledger counts open receipts itself and ignores that field
    assert (word ^ raw[3]) & OTHER_LIMITS == 0, "governor: other limits change"
    log LimitsTightened(target=target, market=market, word=word)
    extcall IClearingHouse(target).set_limits(market, word)


@external
def tighten_feeds(oracle: address, market: uint256, rules: oracle_words.Rules):
    """
    @notice Replace a book's rules at once; owner or guardian. The oracle refuses what loosens.
    """
    self._require_owner_or_guardian()
    extcall IFeeds(oracle).tighten_rules(market, rules)


@external
def replace_feed(oracle: address, market: uint256, i: uint256, feed: oracle_words.Feed):
    """
    @notice Replace feed `i` at once; owner or guardian. The oracle refuses all but a failing feed of a market that is
            not LIVE, by one that agrees with the last price.
    """
    self._require_owner_or_guardian()
    extcall IFeeds(oracle).replace_feed(market, i, feed)


# Views


@view
@external
def id_of(target: address, data: Bytes[MAX_DATA]) -> bytes32:
    """
    @notice The id under which a call is scheduled.
    """
    return self._id_of(target, data)


@pure
@external
def check_risk(word: uint256):
    """
    @notice Revert with the reason if a risk word breaks a rule between its fields.
    """
    self._check_risk(word)


@pure
@external
def check_limits(word: uint256):
    """
    @notice Revert with the reason if a limits word holds a value the ledger has no meaning for.
    """
    self._check_limits(word)


# Checks


@view
@internal
def _check_call(target: address, data: Bytes[MAX_DATA]):
    """
    @notice A call to an account without code would succeed silently; parameters are checked by selector.
    """
    assert target.is_contract, "governor: target has no code"
    if len(data) < 4:
        return
    selector: bytes4 = convert(slice(data, 0, 4), bytes4)
    # (market, word) and (market, risk_word, limits_word, ...): the words' places are the ABI's
    if selector == SET_RISK or selector == ADD_MARKET:
        assert len(data) >= 68, "governor: short data"
        self._check_risk(extract32(data, 36, output_type=uint256))
    if selector == SET_LIMITS:
        assert len(data) >= 68, "governor: short data"
        self._check_limits(extract32(data, 36, output_type=uint256))
    if selector == ADD_MARKET:
        assert len(data) >= 164, "governor: short data"
        self._check_limits(extract32(data, 68, output_type=uint256))


@pure
@internal
def _check_risk(word: uint256):
    r: words.Risk = words._unpack_risk(word)
    assert r.maintenance > 0, "governor: maintenance is zero"
    assert r.initial > r.maintenance, "governor: initial <= maintenance"
    assert r.initial <= c.PPM, "governor: initial > 1"
    assert r.penalty < r.maintenance, "governor: penalty >= maintenance"
    assert r.fund_share <= c.PPM, "governor: fund_share > 1"
    assert r.target > c.PPM, "governor: target <= 1"
    # rule 20: with a fee of k times the maintenance rate or more, closing a part never restores the target
    assert max(r.taker_fee, r.maker_fee) * c.PPM < r.maintenance * r.target, "governor: fee too high"
    assert r.fill_band < c.PPM, "governor: fill_band >= 1"
    assert r.backstop < c.PPM, "governor: backstop >= 1"


@pure
@internal
def _check_limits(word: uint256):
    l: words.Limits = words._unpack_limits(word)
    assert l.min_size > c.DUST_SIZE, "governor: min_size is dust"
    assert l.lot_exp <= 30, "governor: lot_exp > 30"
    assert l.rank <= c.RANK_LEVERAGE, "governor: unknown rank"
    assert l.octave_bits <= 6, "governor: octave_bits > 6"


@view
@internal
def _id_of(target: address, data: Bytes[MAX_DATA]) -> bytes32:
    return keccak256(abi_encode(target, data))


@view
@internal
def _require_owner():
    assert msg.sender == self.owner, "governor: not owner"


@view
@internal
def _require_owner_or_guardian():
    assert msg.sender == self.owner or msg.sender == self.guardian, "governor: not guardian"
