# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Lens
@license MIT
@notice Every view for people over the raw words of the ClearingHouse: accounts, liquidation prices, what a
        default would do in this block, the fund's coverage, and a digest of the state. Stateless.
@dev Has no access to the ledger's storage: it reads the getters and decodes with `words`. Prices are
     `peek`ed, so every function is a true view and equals what a call of the same block would find.
     Real money and real sizes unless a struct says gons. Mirror: `python_ref/lens.py`.
"""

from contracts.interfaces import IClearingHouse
from contracts.interfaces import IPolicy
from contracts.interfaces import IPriceOracle
from contracts.modules import bands
from contracts.modules import constants as c
from contracts.modules import fixed_math
from contracts.modules import margin
from contracts.modules import words


# two getters by the words they answer, which costs less code than their types
interface IRawReader:
    # offset, length, word
    def load_bands(market: uint256, is_long: bool, first: uint256, count: uint256) -> uint256[3]: view
    # token, oracle, engine, fund
    def wiring() -> uint256[4]: view


# cuts that a preview lists
MAX_CUTS: constant(uint256) = 64
# no band has this label
NO_BAND: constant(uint256) = 256


# one leg of an account; prices are those of the edge that favours the leg (high for longs, low for shorts)
struct LegView:
    market: uint256
    size: int256
    entry: uint256
    pending: int256
    band: uint256
    liquidation_price: uint256
    bankruptcy_price: uint256


# an account in real money (WAD): claims are rounded down, requirements up
struct AccountView:
    exposed: bool
    in_receipt: bool
    frozen: bool
    liquidatable: bool
    bankrupt: bool
    cash: int256
    late: uint256
    equity_kind: int256
    equity_index: int256
    equity_credit: int256
    maintenance: uint256
    initial: uint256
    free: uint256
    legs: DynArray[LegView, 8]


# what one band gives to a receipt: the fields of `BandDeleveraged`, gons
struct Cut:
    market: uint256
    is_long: bool
    band: uint256
    size: uint256
    quote: int256
    open_interest: uint256


# what `resolve(account, [])` would write into its receipt in this block, gons
struct Preview:
    bankrupt: bool
    finished: bool
    # False: the fund's inventory is netted first, and a policy that reads bands itself saw them before that
    exact: bool
    netted: uint256
    deficit: uint256
    cover: uint256
    seized: int256
    booked: uint256
    legs: uint256
    bands: uint256
    largest_cut: uint256
    # the first MAX_CUTS; `bands` counts all
    cuts: DynArray[Cut, MAX_CUTS]


# what a default takes from one position, gons: size closed, cash received (negative: paid), change of equity
# at the index rounded down, and the price it was closed at
struct MyCut:
    size: uint256
    quote: int256
    equity_change: int256
    price: uint256


# the first loss of a market, real money; `gap_cap` is the most that deleveraging the whole side may take
struct Coverage:
    equity_harsh: int256
    available: int256
    fees: int256
    open_interest: int256
    gap_cap: int256


# a band and its live cash index with funding folded in, down and up; `top` is the last scale that is stored,
# and `scale` lies beyond it only where a cut was imagined
struct Shelf:
    a: uint256
    oi: uint256
    epoch: uint256
    scale: uint256
    top: uint256
    c: int256
    c_up: int256
    wiped: bool


# a market with funding brought to now, and what a default under way has made of it
struct Book:
    id: uint256
    prices: IPriceOracle.Prices
    funding: int256
    fees: uint256
    risk_word: uint256
    rank: uint256
    octave_bits: uint256
    receipts: uint256
    # of the short and the long side
    bitmaps: uint256[2]
    open_interest: uint256[2]
    anchor: uint256
    policy: address
    claim_index: uint256
    # leg of the bankrupt; not open once it is netted or cleared
    leg: bands.Leg
    open: bool
    live: bool
    margin: uint256
    residual: uint256
    # leg and cash of the bucket after netting, and the band that it left
    netted: uint256
    heir: bands.Leg
    heir_cash: int256
    left_band: uint256
    left_oi: uint256


# which bands a leg closes against and at what, gons; eligible ones first
struct Walk:
    cuts: DynArray[Cut, 40]
    eligible: uint256
    filled: uint256
    quoted: uint256
    gap_quoted: uint256
    finished: bool


HOUSE: immutable(address)
ORACLE: immutable(address)


@deploy
def __init__(clearing_house: address, oracle: address):
    """
    @param clearing_house The ledger to look at.
    @param oracle Its price oracle.
    """
    HOUSE = clearing_house
    ORACLE = oracle


# ---- accounts ------------------------------------------------------------------------------------


@external
@view
def account(account: bytes32) -> AccountView:
    """
    @notice An account as it stands in this block, real money; `free` is the most that a withdrawal may take now.
    """
    return self._view(account)


@internal
@view
def _view(account: bytes32) -> AccountView:
    raw: uint256[34] = self._account_words(account)
    word: words.Account = words._unpack_account(raw[0])
    domain: words.Globals = self._domain()
    # exempt cash is in units already, and has neither legs nor late cash beside it
    claim_index: uint256 = c.INDEX_ONE
    if word.exposed:
        claim_index = domain.claim_index
    books: DynArray[Book, 8] = self._books(raw, claim_index)
    r: margin.Exposure = self._assess(self._cash(raw, claim_index), books)
    legs: DynArray[LegView, 8] = []
    for book: Book in books:
        leg: bands.Leg = book.leg
        size: int256 = self._real(convert(self._magnitude(leg.size), int256), claim_index)
        if leg.size < 0:
            size = -size
        legs.append(
            LegView(
                market=book.id,
                size=size,
                entry=leg.entry,
                pending=self._real(leg.pending, claim_index),
                band=leg.band,
                liquidation_price=self._liquidation_price(book, leg.size, r),
                bankruptcy_price=self._bankruptcy_price(book, leg.size, r.e_kind),
            )
        )
    return AccountView(
        exposed=word.exposed,
        in_receipt=word.in_receipt,
        frozen=r.worst > c.STATE_DEGRADED,
        liquidatable=r.e_kind >= 0 and r.e_kind < convert(r.m_kind, int256),
        bankrupt=r.e_kind < 0,
        cash=self._real(word.cash, claim_index),
        late=raw[33],
        equity_kind=self._real_value(r.e_kind, claim_index),
        equity_index=self._real_value(r.e_index, claim_index),
        equity_credit=self._real_value(r.e_credit, claim_index),
        maintenance=self._real_requirement(r.m_kind, claim_index),
        initial=self._real_requirement(r.im_credit, claim_index),
        free=self._free(account, word, domain, r, books),
        legs=legs,
    )


@external
@view
def liq_price(account: bytes32, market: uint256) -> uint256:
    """
    @notice Where the maintenance test of a leg flips, its other legs at their present prices: WAD, at the edge
            that favours the leg (high for longs, low for shorts), funding up to now included.
    @dev Not liquidatable at the answer, liquidatable one atom beyond it: rounded up for longs, down for shorts.
         A long answers 0 if no price endangers it and MAX_PRICE if none saves it, a short the reverse; no
         position answers 0. With a depth the requirement is a staircase of steps of 1e-18 of the notional: there
         the answer is one flip among those that may lie within a few steps.
    """
    for leg: LegView in self._view(account).legs:
        if leg.market == market:
            return leg.liquidation_price
    return 0


@external
@view
def adl_light(account: bytes32, market: uint256) -> uint256:
    """
    @notice 5 to 1: fifth of its side's open interest that the position's band starts in, 5 deleveraged first;
            0 without a position. In a SINGLE market everybody is at 5: the side is one band.
    @dev The order is the rank's (SPEC section 4.5); a policy that closes pro rata does not follow it.
    """
    raw: uint256[34] = self._account_words(account)
    book: Book = self._open(market, self._domain().claim_index)
    leg: bands.Leg = self._read_leg(raw, book)
    if leg.size == 0:
        return 0
    is_long: bool = leg.size > 0
    left: uint256 = book.bitmaps[convert(is_long, uint256)]
    ahead: uint256 = 0
    total: uint256 = 0
    for band: uint256 in range(c.N_BANDS):
        if (left >> band) & 1 == 0:
            continue
        oi: uint256 = self._band_oi(book, is_long, band)
        total += oi
        if bands._is_riskier(book.rank, is_long, band, leg.band):
            ahead += oi
    if ahead >= total:
        return 1
    return 5 - 5 * ahead // total


# ---- defaults ------------------------------------------------------------------------------------


@external
@view
def preview_resolve(account: bytes32) -> Preview:
    """
    @notice What `resolve(account, [])` would do in this block, to the atom; empty if it would refuse or only
            close an old receipt. Reverts for the reasons of `resolve` (a receipt open in a market, a rotten plan).
    """
    raw: uint256[34] = self._account_words(account)
    word: words.Account = words._unpack_account(raw[0])
    claim_index: uint256 = self._domain().claim_index
    books: DynArray[Book, 8] = self._books(raw, claim_index)
    cash: int256 = self._cash(raw, claim_index)
    result: Preview = empty(Preview)
    result.exact = True
    result.finished = word.in_receipt
    if self._assess(cash, books).e_kind < 0:
        result.bankrupt = True
        result.finished = True
        # stage 2: the fund's opposite inventory, at the index
        for i: uint256 in range(len(books), bound=8):
            book: Book = books[i]
            assert word.in_receipt or book.receipts == 0, "market: receipt open"
            if book.prices.state < c.STATE_FROZEN and not word.in_receipt and self._bucket_of(book.id) != account:
                moved: int256 = 0
                book, moved = self._net(book)
                cash += moved
                result.netted += book.netted
                if book.netted > 0 and book.rank != c.RANK_SINGLE:
                    result.exact = False
                books[i] = book
        # stages 3 and 4: the deficit over the legs, and what the buckets pay
        r: margin.Exposure = self._assess(cash, books)
        result.deficit = self._magnitude(fixed_math._floor_div(r.e_index, convert(c.WAD, int256)))
        cumulative: uint256 = 0
        given: uint256 = 0
        live: uint256 = 0
        left: uint256 = 0
        for i: uint256 in range(len(books), bound=8):
            book: Book = books[i]
            if not book.open:
                continue
            book.margin = self._maintenance(book, book.leg.size, book.prices.index)
            book.live = book.prices.state < c.STATE_FROZEN and book.leg.size != 0
            if book.leg.size == 0:
                book.open = False
                cash += book.leg.pending
            cumulative += book.margin
            if r.m_index > 0:
                upto: uint256 = fixed_math._mul_div_down(result.deficit, cumulative, r.m_index)
                book.residual = upto - given
                given = upto
            if book.live:
                if self._bucket_of(book.id) != account:
                    equity: int256 = 0
                    available: int256 = 0
                    equity, available = self._bucket(book)
                    paid: uint256 = min(book.residual, convert(available, uint256))
                    cash += convert(paid, int256)
                    book.residual -= paid
                    result.cover += paid
                live += 1
                left += book.residual
            books[i] = book
        if live > 1:
            # split what is left over the live legs by maintenance times eligible fraction (rule 24)
            weights: uint256[8] = empty(uint256[8])
            total: uint256 = 0
            for i: uint256 in range(len(books), bound=8):
                book: Book = books[i]
                if book.live:
                    weights[i] = fixed_math._mul_div_down(
                        book.margin // c.WAD,
                        self._walk(book, book.leg.size, book.residual).eligible,
                        self._magnitude(book.leg.size),
                    )
                    total += weights[i]
            cumulative = 0
            given = 0
            for i: uint256 in range(len(books), bound=8):
                if total > 0 and books[i].live:
                    cumulative += weights[i]
                    upto: uint256 = fixed_math._mul_div_down(left, cumulative, total)
                    books[i].residual = upto - given
                    given = upto
        # stages 5 and 6
        remaining: bool = False
        for book: Book in books:
            if not book.open:
                continue
            if not book.live or not result.finished:
                remaining = True
                continue
            size: int256 = book.leg.size
            walk: Walk = self._walk(book, size, book.residual)
            for cut: Cut in walk.cuts:
                if result.bands < MAX_CUTS:
                    result.cuts.append(cut)
                result.bands += 1
                result.largest_cut = max(result.largest_cut, cut.size * c.PPM // cut.open_interest)
            result.legs += 1
            if walk.finished:
                # whatever no band could take is the house's, at the index
                total: uint256 = self._magnitude(size)
                if size < 0:
                    untaken: uint256 = book.open_interest[1] - walk.filled
                    owed: uint256 = min(total, book.open_interest[0])
                    assert untaken <= book.open_interest[0] - owed, "resolve: plan too small"
                else:
                    assert total - walk.filled <= c.DUST_SIZE, "resolve: plan too small"
                walk.filled = total
                walk.quoted = self._index_quote(walk.filled, book.prices.index, size < 0)
            else:
                result.finished = False
                remaining = True
            quoted: int256 = convert(walk.quoted, int256)
            worth: int256 = convert(self._index_quote(walk.filled, book.prices.index, size > 0), int256)
            if size < 0:
                quoted = -quoted
                worth = -worth
            gap: int256 = convert(walk.gap_quoted, int256)
            result.seized += gap + quoted - worth
            cash += gap + quoted + book.leg.pending
        if not remaining and cash < 0:
            result.booked = self._magnitude(cash)
    return result


@external
@view
def my_cut(account: bytes32, market: uint256, is_long_bankrupt: bool, size: uint256, deficit: uint256) -> MyCut:
    """
    @notice What this account would lose to the default of somebody else's single leg in this block.
    @param is_long_bankrupt Side of the bankrupt; only the opposite side is deleveraged.
    @param size Size of the bankrupt leg, gons.
    @param deficit What it lacks at the index beyond what the fund covers, gons; the gap cap bounds what is taken.
    @dev The same plan and the same arithmetic per band as `resolve`. All zero if the account is not reached, and in a
         market that has ended: no default is resolved there.
    """
    raw: uint256[34] = self._account_words(account)
    book: Book = self._open(market, self._domain().claim_index)
    p: words.Position = words._unpack_position(raw[1 + 2 * market], raw[2 + 2 * market])
    result: MyCut = empty(MyCut)
    goes_on: bool = book.prices.state != c.STATE_SETTLEMENT
    if goes_on and p.q0 > 0 and p.is_long != is_long_bankrupt and size > 0:
        signed: int256 = convert(size, int256)
        if p.is_long:
            signed = -signed
        shelf: Shelf = self._shelf(book, p.is_long, p.band)
        before: bands.Leg = self._read(market, p, shelf)
        walk: Walk = self._walk(book, signed, deficit)
        for cut: Cut in walk.cuts:
            if cut.band != p.band:
                continue
            # the band after the cut, as `bands._deleverage_band` would leave it (SPEC section 4.3)
            inherited: int256 = cut.quote
            if not p.is_long:
                inherited = -inherited
            shelf.c += fixed_math._floor_div(convert(shelf.a, int256) * inherited, convert(shelf.oi, int256))
            numerator: uint256 = shelf.a * (shelf.oi - cut.size)
            shelf.wiped = numerator == 0
            shelf.a = bands._shrunk(numerator, shelf.oi, p.is_long)
            for _: uint256 in range(5):
                if shelf.wiped or shelf.a >= c.MIN_A:
                    break
                numerator *= c.SCALE_STEP
                shelf.a = bands._shrunk(numerator, shelf.oi, p.is_long)
                shelf.scale += 1
        after: bands.Leg = self._read(market, p, shelf)
        change: int256 = after.size - before.size
        result.size = self._magnitude(change)
        result.quote = after.pending - before.pending
        if result.size > 0:
            result.price = self._magnitude(result.quote) * c.WAD // result.size
        result.equity_change = result.quote + fixed_math._floor_div(
            change * convert(book.prices.index, int256), convert(c.WAD, int256)
        )
    return result


@external
@view
def coverage(market: uint256) -> Coverage:
    """
    @notice What stands before the winners of a market: its bucket's equity at the harsh edge and what of it can
            pay, fees not yet swept, and the open interest; real money and size.
    """
    claim_index: uint256 = self._domain().claim_index
    book: Book = self._open(market, claim_index)
    equity: int256 = 0
    available: int256 = 0
    equity, available = self._bucket(book)
    return Coverage(
        equity_harsh=self._real_value(equity, claim_index),
        available=self._real(available, claim_index),
        fees=self._real(convert(book.fees, int256), claim_index),
        open_interest=self._real(convert(book.open_interest[0], int256), claim_index),
        gap_cap=self._real(convert(self._gap_cap(book, book.open_interest[0]), int256), claim_index),
    )


# ---- raw state -----------------------------------------------------------------------------------


@external
@view
def digest(accounts: DynArray[bytes32, 64], markets: DynArray[uint256, 16]) -> bytes32:
    """
    @notice Hash of every word in use: the domain, then each market with its non-empty bands and their live
            cash indices (longs first, ascending), then each account. Equal digests: equal states.
    """
    h: bytes32 = keccak256(abi_encode(staticcall IClearingHouse(HOUSE).load_globals()))
    for market: uint256 in markets:
        raw: uint256[8] = self._market_words(market)
        h = keccak256(abi_encode(h, market, raw))
        for side: uint256 in range(2):
            left: uint256 = raw[4 + side]
            is_long: bool = side == 0
            for band: uint256 in range(c.N_BANDS):
                if left == 0:
                    break
                if left & 1 == 1:
                    word: uint256 = self._band_word(market, is_long, band)
                    state: words.Band = words._unpack_band(word)
                    cell: uint256 = self._cell_word(market, is_long, band, state.epoch, state.scale)
                    h = keccak256(abi_encode(h, band, word, cell))
                left = left >> 1
    for account: bytes32 in accounts:
        h = keccak256(abi_encode(h, account, self._account_words(account)))
    return h


@external
@view
@raw_return
def __default__() -> Bytes[8256]:
    """
    @notice The ledger's own getters, for policies that read it from whoever asks.
    """
    return raw_call(HOUSE, msg.data, is_static_call=True, max_outsize=8256)


# ---- reading -------------------------------------------------------------------------------------


@internal
@pure
def _magnitude(signed: int256) -> uint256:
    if signed < 0:
        return convert(-signed, uint256)
    return convert(signed, uint256)


@internal
@view
def _domain() -> words.Globals:
    raw: uint256[2] = staticcall IClearingHouse(HOUSE).load_globals()
    return words._unpack_globals(raw[0], raw[1])


@internal
@view
def _fund() -> uint256:
    """
    @notice The backstop fund's address.
    """
    raw: uint256[4] = staticcall IRawReader(HOUSE).wiring()
    return raw[3]


@internal
@view
def _bucket_of(market: uint256) -> bytes32:
    """
    @notice The fund's account for one market.
    """
    return convert((self._fund() << 96) | (market + 1), bytes32)


@internal
@view
def _account_words(account: bytes32) -> uint256[34]:
    return staticcall IClearingHouse(HOUSE).load_account(account)


@internal
@view
def _market_words(market: uint256) -> uint256[8]:
    return staticcall IClearingHouse(HOUSE).load_market(market)


@internal
@view
def _cell_word(market: uint256, is_long: bool, band: uint256, epoch: uint256, scale: uint256) -> uint256:
    return staticcall IClearingHouse(HOUSE).load_cell(market, is_long, band, epoch, scale)


@internal
@view
def _band_word(market: uint256, is_long: bool, band: uint256) -> uint256:
    raw: uint256[3] = staticcall IRawReader(HOUSE).load_bands(market, is_long, band, 1)
    return raw[2]


@internal
@view
def _open(market: uint256, claim_index: uint256) -> Book:
    """
    @notice Load a listed market with its prices and bring its funding to now.
    """
    assert market < c.MAX_MARKETS, "market: not listed"
    raw: uint256[8] = self._market_words(market)
    assert raw[3] >> 255 == 1, "market: not listed"
    book: Book = empty(Book)
    book.id = market
    book.prices = staticcall IPriceOracle(ORACLE).peek(market)
    m: words.Market = margin._accrue(words._unpack_market(raw[0], raw[1]), book.prices)
    book.funding = m.funding
    book.fees = m.fees
    book.risk_word = raw[2]
    limits: words.Limits = words._unpack_limits(raw[3])
    book.rank = limits.rank
    book.octave_bits = limits.octave_bits
    book.receipts = limits.open_receipts
    book.bitmaps = [raw[5], raw[4]]
    # of a market that was claimed only the residue may be left (SPEC section 15)
    book.open_interest = [m.oi, m.oi - min(m.oi, convert(m.residue, uint256))]
    book.anchor = raw[6]
    book.policy = convert(raw[7], address)
    book.claim_index = claim_index
    book.left_band = NO_BAND
    return book


@internal
@view
def _shelf(book: Book, is_long: bool, band: uint256) -> Shelf:
    """
    @notice A band as it stands at the market's funding.
    """
    state: words.Band = words._unpack_band(self._band_word(book.id, is_long, band))
    cell: words.Cell = words._unpack_cell(self._cell_word(book.id, is_long, band, state.epoch, state.scale))
    shelf: Shelf = Shelf(
        a=state.a, oi=state.oi, epoch=state.epoch, scale=state.scale, top=state.scale, c=0, c_up=0, wiped=False
    )
    if cell.live:
        shelf.c = bands._c_now(cell, state.a, book.funding, is_long, False)
        shelf.c_up = bands._c_now(cell, state.a, book.funding, is_long, True)
    return shelf


@internal
@view
def _read_leg(raw: uint256[34], book: Book) -> bands.Leg:
    """
    @notice Size and pending cash of an account's position now, gons; all zero if there is none.
    """
    p: words.Position = words._unpack_position(raw[1 + 2 * book.id], raw[2 + 2 * book.id])
    if p.q0 == 0:
        return empty(bands.Leg)
    return self._read(book.id, p, self._shelf(book, p.is_long, p.band))


@internal
@view
def _read(market: uint256, p: words.Position, shelf: Shelf) -> bands.Leg:
    """
    @notice SPEC section 4.1 against a band that may be imagined.
    """
    same_epoch: bool = p.epoch == shelf.epoch
    total: int256 = 0
    step: int256 = 1
    for j: uint256 in range(c.SCALE_SPAN + 1):
        scale: uint256 = p.scale + j
        # a scale that only an imagined cut opened starts from nothing
        now: int256 = 0
        if same_epoch and scale == shelf.top:
            now = shelf.c
        elif not same_epoch or scale < shelf.top:
            if scale > 255:
                break
            cell: words.Cell = words._unpack_cell(self._cell_word(market, p.is_long, p.band, p.epoch, scale))
            if not cell.live:
                break
            now = cell.c
        if j == 0:
            total = now - p.c0
        else:
            step *= convert(c.SCALE_STEP, int256)
            total += fixed_math._floor_div(now, step)
        if same_epoch and scale == shelf.scale:
            break
    size: uint256 = 0
    if same_epoch and not shelf.wiped:
        behind: uint256 = shelf.scale - p.scale
        if not p.is_long:
            size = 1
        if behind <= c.SCALE_SPAN:
            shrunk: uint256 = c.SCALE_STEP**behind
            if p.is_long:
                size = fixed_math._mul_div_down(p.q0, shelf.a, p.a0) // shrunk
            else:
                size = fixed_math._mul_div_up(fixed_math._mul_div_up(p.q0, shelf.a, p.a0), 1, shrunk)
    signed: int256 = convert(size, int256)
    if not p.is_long:
        signed = -signed
    return bands.Leg(
        size=signed,
        pending=fixed_math._floor_div(convert(p.q0, int256) * total, convert(p.a0, int256)),
        entry=p.entry,
        band=p.band,
    )


# ---- margin --------------------------------------------------------------------------------------


@internal
@view
def _books(raw: uint256[34], claim_index: uint256) -> DynArray[Book, 8]:
    """
    @notice The markets in which an account has a leg, and those legs.
    """
    legs: uint256 = words._unpack_account(raw[0]).legs
    books: DynArray[Book, 8] = []
    for market: uint256 in range(c.MAX_MARKETS):
        if (legs >> market) & 1 == 1:
            book: Book = self._open(market, claim_index)
            book.leg = self._read_leg(raw, book)
            book.open = True
            books.append(book)
    return books


@internal
@pure
def _cash(raw: uint256[34], claim_index: uint256) -> int256:
    """
    @notice Cash of an account with its late units in gons.
    """
    word: words.Account = words._unpack_account(raw[0])
    if word.has_late:
        word.cash += convert(fixed_math._mul_div_down(raw[33], c.INDEX_ONE, claim_index), int256)
    return word.cash


@internal
@pure
def _assess(cash: int256, books: DynArray[Book, 8]) -> margin.Exposure:
    """
    @notice Exposure of an account with these legs; requirements of the present prices.
    """
    r: margin.Exposure = empty(margin.Exposure)
    total: int256 = cash
    for book: Book in books:
        total += book.leg.pending
        if book.leg.size != 0:
            r = margin._add_leg(r, book.risk_word, book.prices, book.leg.size, book.claim_index)
    total *= convert(c.WAD, int256)
    r.e_kind += total
    r.e_index += total
    r.e_credit += total
    return r


@internal
@pure
def _maintenance(book: Book, size: int256, price: uint256) -> uint256:
    """
    @notice What a leg of signed size demands at `price`.
    """
    return margin._requirement(
        words._maintenance(book.risk_word),
        words._depth(book.risk_word),
        self._magnitude(size) * price,
        book.claim_index,
    )


@internal
@pure
def _real(gons: int256, claim_index: uint256) -> int256:
    """
    @notice Real money of gons, down.
    """
    return fixed_math._floor_div(gons * convert(claim_index, int256), convert(c.INDEX_ONE, int256))


@internal
@pure
def _real_value(equity: int256, claim_index: uint256) -> int256:
    """
    @notice Real money of a value, down: what `account_equity` answers.
    """
    return self._real(fixed_math._floor_div(equity, convert(c.WAD, int256)), claim_index)


@internal
@pure
def _real_requirement(requirement: uint256, claim_index: uint256) -> uint256:
    """
    @notice Real money of a requirement, up.
    """
    return fixed_math._mul_div_up(fixed_math._mul_div_up(requirement, 1, c.WAD), claim_index, c.INDEX_ONE)


@internal
@view
def _free(
    account: bytes32, word: words.Account, domain: words.Globals, r: margin.Exposure, books: DynArray[Book, 8]
) -> uint256:
    """
    @notice Most units that a withdrawal may take now (SPEC section 2).
    """
    if not word.exposed:
        return convert(word.cash, uint256)
    if domain.bad_debt > 0 or domain.open_receipts > 0 or word.touched + c.RESIDENCY_S > block.timestamp:
        return 0
    if r.worst > c.STATE_DEGRADED:
        return 0
    if r.n_credit == 0 and convert(account, uint256) >> 96 != self._fund():
        return 0
    least: uint256 = max(r.im_credit, fixed_math._mul_div_up(r.n_credit, c.WITHDRAW_RATIO_PPM, c.PPM))
    credit: int256 = r.e_credit - convert(least, int256)
    for book: Book in books:
        if book.prices.state == c.STATE_DEGRADED:
            credit -= margin._profit(book.prices, book.leg)
    return convert(max(0, self._real_value(credit, domain.claim_index)), uint256)


@internal
@pure
def _liquidation_price(book: Book, size: int256, r: margin.Exposure) -> uint256:
    """
    @notice Price at which the maintenance test flips, found by halving on the test itself.
    """
    if size == 0:
        return 0
    present: uint256 = margin._kind_price(book.prices, size)
    e_rest: int256 = r.e_kind - size * convert(present, int256)
    m_rest: uint256 = r.m_kind - self._maintenance(book, size, present)
    # `safe` passes the test and `unsafe` does not
    safe: uint256 = 0
    unsafe: uint256 = c.MAX_PRICE
    if size > 0:
        safe = present
        unsafe = 0
    if self._is_healthy(book, size, e_rest, m_rest, unsafe):
        return unsafe
    for _: uint256 in range(90):
        if self._is_healthy(book, size, e_rest, m_rest, safe):
            break
        # a short that no price saves, or a long
        if safe == 0 or safe == c.MAX_PRICE:
            return safe
        unsafe = safe
        safe = min(2 * safe, c.MAX_PRICE)
    for _: uint256 in range(90):
        if max(safe, unsafe) - min(safe, unsafe) < 2:
            break
        middle: uint256 = (safe + unsafe) // 2
        if self._is_healthy(book, size, e_rest, m_rest, middle):
            safe = middle
        else:
            unsafe = middle
    return safe


@internal
@pure
def _is_healthy(book: Book, size: int256, e_rest: int256, m_rest: uint256, price: uint256) -> bool:
    """
    @notice The maintenance test with one leg at `price`; a requirement beyond the word cannot be met.
    """
    notional: uint256 = self._magnitude(size) * price
    rate: uint256 = words._maintenance(book.risk_word) * 10**12
    depth: uint256 = words._depth(book.risk_word)
    if depth != 0:
        rate += fixed_math._mul_div_down(notional // c.WAD, book.claim_index, c.INDEX_ONE) // depth + 1
    if notional > max_value(uint256) // 4 // rate:
        return False
    return e_rest + size * convert(price, int256) >= convert(m_rest + self._maintenance(book, size, price), int256)


@internal
@pure
def _bankruptcy_price(book: Book, size: int256, e_kind: int256) -> uint256:
    """
    @notice Price at which equity is zero: up for longs, down for shorts; within [0, MAX_PRICE].
    """
    if size == 0:
        return 0
    present: int256 = convert(margin._kind_price(book.prices, size), int256)
    price: int256 = 0
    if size > 0:
        price = present - fixed_math._floor_div(e_kind, size)
    else:
        price = present + fixed_math._floor_div(e_kind, -size)
    return convert(min(max(price, 0), convert(c.MAX_PRICE, int256)), uint256)


@internal
@view
def _bucket(book: Book) -> (int256, int256):
    """
    @notice Equity of a market's bucket at the harsh edge (value), and the gons it can pay: what is beyond its
            initial requirement and the reserve.
    """
    bucket: bytes32 = self._bucket_of(book.id)
    raw: uint256[34] = self._account_words(bucket)
    cash: int256 = self._cash(raw, book.claim_index)
    books: DynArray[Book, 8] = []
    if book.netted > 0:
        # a bucket has a leg in its own market at most
        cash = book.heir_cash
        books.append(book)
        books[0].leg = book.heir
    else:
        books = self._books(raw, book.claim_index)
    r: margin.Exposure = self._assess(cash, books)
    free: int256 = fixed_math._floor_div(r.e_credit - convert(r.im_credit, int256), convert(c.WAD, int256))
    return r.e_credit, max(0, free - convert(c.BUCKET_RESERVE, int256))


# ---- a default, imagined -------------------------------------------------------------------------


@internal
@view
def _net(start: Book) -> (Book, int256):
    """
    @notice Close the bankrupt's leg against the bucket's opposite inventory at the index; the cash it brings.
    """
    book: Book = start
    raw: uint256[34] = self._account_words(self._bucket_of(book.id))
    other: bands.Leg = self._read_leg(raw, book)
    own: bands.Leg = book.leg
    if words._unpack_account(raw[0]).in_receipt or own.size == 0 or other.size == 0:
        return book, 0
    if (own.size > 0) == (other.size > 0):
        return book, 0
    book.netted = min(self._magnitude(own.size), self._magnitude(other.size))
    cash: int256 = convert(fixed_math._mul_div_down(book.netted, book.prices.index, c.WAD), int256)
    change: int256 = -convert(book.netted, int256)
    if own.size < 0:
        cash = -cash
        change = -change
    book.heir_cash = self._cash(raw, book.claim_index) + other.pending - cash
    shelf: Shelf = self._shelf(book, own.size > 0, own.band)
    book.leg = self._anchor(shelf, own, change)
    book.open = book.leg.size != 0
    # of the own side only the open interest of shorts is asked for later: longs may have left some to the house
    is_long: bool = other.size > 0
    side: uint256 = convert(is_long, uint256)
    shelf = self._shelf(book, is_long, other.band)
    book.heir = self._anchor(shelf, other, -change)
    taken: uint256 = min(book.netted, shelf.oi)
    if is_long and shelf.oi - taken <= c.DUST_SIZE:
        taken = shelf.oi
    book.left_band = other.band
    book.left_oi = shelf.oi - taken
    book.open_interest[side] -= taken
    if is_long:
        book.open_interest[0] -= book.netted
    if book.left_oi == 0:
        book.bitmaps[side] = book.bitmaps[side] & ~(1 << other.band)
    return book, own.pending + cash


@internal
@pure
def _anchor(shelf: Shelf, before: bands.Leg, change: int256) -> bands.Leg:
    """
    @notice A leg changed by `change` as it reads when anchored anew, its pending cash paid.
    """
    leg: bands.Leg = before
    leg.size += change
    leg.pending = fixed_math._floor_div(
        convert(self._magnitude(leg.size), int256) * (shelf.c - shelf.c_up), convert(shelf.a, int256)
    )
    return leg


@internal
@view
def _band_oi(book: Book, is_long: bool, band: uint256) -> uint256:
    if band == book.left_band:
        return book.left_oi
    return words._unpack_band(self._band_word(book.id, is_long, band)).oi


@internal
@pure
def _gap_cap(book: Book, size: uint256) -> uint256:
    """
    @notice Most that winners of `size` may lose against the index (rule 21).
    """
    return fixed_math._mul_div_down(
        fixed_math._mul_div_down(size, book.prices.index, c.WAD), words._maintenance(book.risk_word), c.PPM
    )


@internal
@view
def _walk(book: Book, leg: int256, residual: uint256) -> Walk:
    """
    @notice The bands that close a leg of signed size, and their prices: the questions, the clamps and the
            arithmetic of `resolve`.
    """
    is_long: bool = leg < 0
    total: uint256 = self._magnitude(leg)
    gap: uint256 = min(residual, self._gap_cap(book, total))
    limit: uint256 = 0
    if book.rank != c.RANK_SINGLE:
        key: int256 = convert(fixed_math._mul_div_up(gap, c.WAD, total), int256)
        if is_long:
            key = -key
        key += convert(book.prices.index, int256)
        if book.rank == c.RANK_LEVERAGE:
            key -= book.funding
        if key > 0:
            limit = fixed_math._log2_band(
                min(convert(key, uint256), c.MAX_PRICE), book.anchor, book.octave_bits
            )
    side: IPolicy.Side = IPolicy.Side(
        market=book.id,
        is_long=is_long,
        size=total,
        open_interest=book.open_interest[convert(is_long, uint256)],
        bitmap=book.bitmaps[convert(is_long, uint256)],
        rank=book.rank,
        limit_band=limit,
    )
    walk: Walk = empty(Walk)
    for _: uint256 in range(c.MAX_PLAN):
        if side.size == 0 or side.bitmap == 0 or len(walk.cuts) >= c.MAX_PLAN:
            break
        chosen: DynArray[uint256, 8] = []
        caps: DynArray[uint256, 8] = []
        eligible: uint256 = 0
        chosen, caps, eligible = staticcall IPolicy(book.policy).plan(side)
        for i: uint256 in range(len(chosen), bound=8):
            if side.size == 0:
                break
            band: uint256 = chosen[i]
            if (side.bitmap >> band) & 1 == 0:
                continue
            oi: uint256 = self._band_oi(book, is_long, band)
            taken: uint256 = min(min(caps[i], oi), side.size)
            side.bitmap = side.bitmap & ~(1 << band)
            side.open_interest -= oi
            side.size -= taken
            if taken > 0:
                walk.cuts.append(
                    Cut(market=book.id, is_long=is_long, band=band, size=taken, quote=0, open_interest=oi)
                )
                if i < eligible:
                    walk.eligible += taken
    walk.finished = side.size == 0 or side.bitmap == 0
    assert walk.finished or len(walk.cuts) > 0, "resolve: empty plan"
    for i: uint256 in range(len(walk.cuts), bound=40):
        walk.filled += walk.cuts[i].size
        base: uint256 = self._index_quote(walk.filled, book.prices.index, is_long)
        upto: uint256 = fixed_math._mul_div_up(gap, min(walk.filled, walk.eligible), total)
        extra: int256 = convert(upto - walk.gap_quoted, int256)
        if is_long:
            extra = -extra
        walk.cuts[i].quote = convert(base - walk.quoted, int256) + extra
        walk.quoted = base
        walk.gap_quoted = upto
    return walk


@internal
@pure
def _index_quote(size: uint256, index: uint256, is_long: bool) -> uint256:
    """
    @notice Worth of `size` at the index, rounded for the bankrupt: what longs receive down, shorts pay up.
    """
    if is_long:
        return fixed_math._mul_div_down(size, index, c.WAD)
    return fixed_math._mul_div_up(size, index, c.WAD)
