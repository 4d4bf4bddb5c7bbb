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
    legs: DynArray[LegView, 16]


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
    cuts: DynArray[Cut, 256]


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
    available: uint256
    fees: uint256
    open_interest: uint256
    gap_cap: uint256


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
    m: words.Market
    risk_word: uint256
    limits: words.Limits
    # bitmaps of the short and the long side
    bitmaps: uint256[2]
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


# which bands a leg closes against
struct Plan:
    bands: DynArray[uint256, 40]
    sizes: DynArray[uint256, 40]
    eligible: uint256
    finished: bool


# a plan at its prices; totals over the cuts
struct Walk:
    cuts: DynArray[Cut, 40]
    filled: uint256
    quoted: uint256
    gap_quoted: uint256
    finished: bool


# no band has this label
NO_BAND: constant(uint256) = 256

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
    raw: uint256[34] = self._account_words(account)
    word: words.Account = words._unpack_account(raw[0])
    view: AccountView = empty(AccountView)
    if not word.exposed:
        view.cash = word.cash
        view.equity_kind = word.cash
        view.equity_index = word.cash
        view.equity_credit = word.cash
        view.free = convert(word.cash, uint256)
        return view
    domain: words.Globals = self._domain()
    claim_index: uint256 = domain.claim_index
    r: margin.Exposure = self._exposure(raw, word.cash, word.legs, claim_index, empty(margin.Exposure))
    legs: DynArray[LegView, 16] = []
    for market: uint256 in range(c.MAX_MARKETS):
        if (word.legs >> market) & 1 == 0:
            continue
        book: Book = self._open(market, claim_index)
        leg: bands.Leg = self._read_leg(raw, book)
        size: int256 = convert(
            fixed_math._mul_div_down(convert(abs(leg.size), uint256), claim_index, c.INDEX_ONE), int256
        )
        if leg.size < 0:
            size = -size
        legs.append(
            LegView(
                market=market,
                size=size,
                entry=leg.entry,
                pending=self._real(leg.pending, claim_index),
                band=leg.band,
                liquidation_price=self._liquidation_price(book, leg.size, r),
                bankruptcy_price=self._bankruptcy_price(book, leg.size, r.e_kind),
            )
        )
    return AccountView(
        exposed=True,
        in_receipt=word.in_receipt,
        frozen=r.frozen,
        liquidatable=r.e_kind >= 0 and r.e_kind < convert(r.m_kind, int256),
        bankrupt=r.e_kind < 0,
        cash=self._real(word.cash, claim_index),
        late=raw[33],
        equity_kind=self._real_value(r.e_kind, claim_index),
        equity_index=self._real_value(r.e_index, claim_index),
        equity_credit=self._real_value(r.e_credit, claim_index),
        maintenance=self._real_requirement(r.m_kind, claim_index),
        initial=self._real_requirement(r.im_credit, claim_index),
        free=self._free(account, word, domain, r),
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
    raw: uint256[34] = self._account_words(account)
    word: words.Account = words._unpack_account(raw[0])
    claim_index: uint256 = self._domain().claim_index
    book: Book = self._open(market, claim_index)
    r: margin.Exposure = self._exposure(raw, word.cash, word.legs, claim_index, empty(margin.Exposure))
    return self._liquidation_price(book, self._read_leg(raw, book).size, r)


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
    histogram: DynArray[uint256, 256] = staticcall IClearingHouse(HOUSE).load_bands(market, is_long, 0, c.N_BANDS)
    ahead: uint256 = 0
    total: uint256 = 0
    for band: uint256 in range(c.N_BANDS):
        if histogram[band] == 0:
            continue
        oi: uint256 = words._unpack_band(histogram[band]).oi
        total += oi
        if band != leg.band and bands._is_riskier(book.limits.rank, is_long, band, leg.band):
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
    result: Preview = empty(Preview)
    result.exact = True
    books: DynArray[Book, 8] = []
    for market: uint256 in range(c.MAX_MARKETS):
        if (word.legs >> market) & 1 == 1:
            book: Book = self._open(market, claim_index)
            book.leg = self._read_leg(raw, book)
            book.open = True
            books.append(book)
    cash: int256 = word.cash + self._late(raw, word, claim_index)
    r: margin.Exposure = self._add_up(cash, books)
    if not word.exposed or r.e_kind >= 0:
        result.finished = word.in_receipt
        return result
    result.bankrupt = True
    # stage 2: the fund's opposite inventory, at the index
    for i: uint256 in range(len(books), bound=8):
        assert word.in_receipt or books[i].limits.open_receipts == 0, "market: receipt open"
        bucket: bytes32 = self._bucket_of(books[i].id)
        if books[i].prices.state == c.STATE_FROZEN or bucket == account:
            continue
        moved: int256 = 0
        books[i], moved = self._net(books[i], bucket)
        cash += moved
        if books[i].netted > 0:
            result.netted += books[i].netted
            if books[i].limits.rank != c.RANK_SINGLE:
                result.exact = False
    r = self._add_up(cash, books)
    # stages 3 and 4: the deficit over the legs, and what the buckets pay
    result.deficit = convert(-fixed_math._floor_div(r.e_index, convert(c.WAD, int256)), uint256)
    result.finished = True
    cumulative: uint256 = 0
    given: uint256 = 0
    live: uint256 = 0
    left: uint256 = 0
    for i: uint256 in range(len(books), bound=8):
        if not books[i].open:
            continue
        book: Book = books[i]
        book.margin = self._leg_margin(book)
        book.live = book.prices.state != c.STATE_FROZEN and book.leg.size != 0
        if book.leg.size == 0:
            book.open = False
            cash += book.leg.pending
        cumulative += book.margin
        if r.m_index > 0:
            upto: uint256 = fixed_math._mul_div_down(result.deficit, cumulative, r.m_index)
            book.residual = upto - given
            given = upto
        bucket: bytes32 = self._bucket_of(book.id)
        if book.live and book.residual > 0 and bucket != account:
            paid: uint256 = min(book.residual, self._bucket_available(book, bucket))
            cash += convert(paid, int256)
            book.residual -= paid
            result.cover += paid
        if book.live:
            live += 1
            left += book.residual
        books[i] = book
    if live > 1:
        books = self._weigh(books, left)
    # stages 5 and 6
    remaining: bool = False
    for i: uint256 in range(len(books), bound=8):
        if not books[i].open:
            continue
        if not books[i].live or not result.finished:
            remaining = True
            continue
        book: Book = books[i]
        walk: Walk = self._walk(book, book.leg.size, book.residual)
        for cut: Cut in walk.cuts:
            result.cuts.append(cut)
            result.largest_cut = max(result.largest_cut, cut.size * c.PPM // cut.open_interest)
        result.bands += len(walk.cuts)
        result.legs += 1
        result.finished = walk.finished
        remaining = remaining or not walk.finished
        x: uint256 = book.prices.index
        is_long: bool = book.leg.size < 0
        if walk.finished:
            # whatever no band could take is the house's, at the index
            walk.filled = convert(abs(book.leg.size), uint256)
            walk.quoted = self._index_quote(walk.filled, x, is_long)
        quoted: int256 = convert(walk.quoted, int256)
        worth: int256 = convert(self._index_quote(walk.filled, x, not is_long), int256)
        gap: int256 = convert(walk.gap_quoted, int256)
        if is_long:
            result.seized += gap + worth - quoted
            cash += gap - quoted
        else:
            result.seized += gap + quoted - worth
            cash += gap + quoted
        cash += book.leg.pending
    if not remaining and cash < 0:
        result.booked = convert(-cash, uint256)
    return result


@external
@view
def my_cut(account: bytes32, market: uint256, is_long_bankrupt: bool, size: uint256, deficit: uint256) -> MyCut:
    """
    @notice What this account would lose to the default of somebody else's single leg in this block.
    @param is_long_bankrupt Side of the bankrupt; only the opposite side is deleveraged.
    @param size Size of the bankrupt leg, gons.
    @param deficit What it lacks at the index beyond what the fund covers, gons; the gap cap bounds what is taken.
    @dev The same plan and the same arithmetic per band as `resolve`. All zero if the account is not reached.
    """
    raw: uint256[34] = self._account_words(account)
    book: Book = self._open(market, self._domain().claim_index)
    p: words.Position = words._unpack_position(raw[1 + 2 * market], raw[2 + 2 * market])
    if p.q0 == 0 or p.is_long == is_long_bankrupt or size == 0:
        return empty(MyCut)
    signed: int256 = convert(size, int256)
    if not is_long_bankrupt:
        signed = -signed
    shelf: Shelf = self._shelf(book, p.is_long, p.band)
    before: bands.Leg = self._read(market, p, shelf)
    walk: Walk = self._walk(book, signed, deficit)
    for cut: Cut in walk.cuts:
        if cut.band == p.band:
            shelf = self._imagine(shelf, cut)
    after: bands.Leg = self._read(market, p, shelf)
    closed: int256 = abs(before.size) - abs(after.size)
    quote: int256 = after.pending - before.pending
    price: uint256 = 0
    if closed > 0:
        price = convert(abs(quote), uint256) * c.WAD // convert(closed, uint256)
    wad: int256 = convert(c.WAD, int256)
    return MyCut(
        size=convert(closed, uint256),
        quote=quote,
        equity_change=fixed_math._floor_div(
            quote * wad + (after.size - before.size) * convert(book.prices.index, int256), wad
        ),
        price=price,
    )


@external
@view
def coverage(market: uint256) -> Coverage:
    """
    @notice What stands before the winners of a market: its bucket's equity at the harsh edge and what of it can
            pay, fees not yet swept, and the open interest; real money and size.
    """
    claim_index: uint256 = self._domain().claim_index
    book: Book = self._open(market, claim_index)
    bucket: bytes32 = self._bucket_of(market)
    raw: uint256[34] = self._account_words(bucket)
    word: words.Account = words._unpack_account(raw[0])
    r: margin.Exposure = self._exposure(raw, word.cash, word.legs, claim_index, empty(margin.Exposure))
    return Coverage(
        equity_harsh=self._real_value(r.e_credit, claim_index),
        available=fixed_math._mul_div_down(self._bucket_available(book, bucket), claim_index, c.INDEX_ONE),
        fees=fixed_math._mul_div_down(book.m.fees, claim_index, c.INDEX_ONE),
        open_interest=fixed_math._mul_div_down(book.m.oi, claim_index, c.INDEX_ONE),
        gap_cap=fixed_math._mul_div_down(self._gap_cap(book, book.m.oi), claim_index, c.INDEX_ONE),
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
def load_bands(market: uint256, is_long: bool, first: uint256, count: uint256) -> DynArray[uint256, 256]:
    """
    @notice The ledger's bands, for policies that read them from whoever asks.
    """
    return staticcall IClearingHouse(HOUSE).load_bands(market, is_long, first, count)


# ---- reading -------------------------------------------------------------------------------------


@internal
@view
def _domain() -> words.Globals:
    raw: uint256[2] = staticcall IClearingHouse(HOUSE).load_globals()
    return words._unpack_globals(raw[0], raw[1])


@internal
@view
def _bucket_of(market: uint256) -> bytes32:
    """
    @notice The fund's account for one market.
    """
    return convert((convert(self._backstop(), uint256) << 96) | (market + 1), bytes32)


@internal
@view
def _backstop() -> address:
    token: address = empty(address)
    oracle: address = empty(address)
    engine: address = empty(address)
    fund: address = empty(address)
    token, oracle, engine, fund = staticcall IClearingHouse(HOUSE).wiring()
    return fund


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
    raw: DynArray[uint256, 256] = staticcall IClearingHouse(HOUSE).load_bands(market, is_long, band, 1)
    return raw[0]


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
    book.m = margin._accrue(words._unpack_market(raw[0], raw[1]), book.prices)
    book.risk_word = raw[2]
    book.limits = words._unpack_limits(raw[3])
    book.bitmaps = [raw[5], raw[4]]
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
        shelf.c = bands._c_now(cell, state.a, book.m.funding, is_long, False)
        shelf.c_up = bands._c_now(cell, state.a, book.m.funding, is_long, True)
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
        if behind > c.SCALE_SPAN:
            if not p.is_long:
                size = 1
        elif p.is_long:
            size = fixed_math._mul_div_down(p.q0, shelf.a, p.a0) // c.SCALE_STEP**behind
        else:
            size = fixed_math._mul_div_up(fixed_math._mul_div_up(p.q0, shelf.a, p.a0), 1, c.SCALE_STEP**behind)
    signed: int256 = convert(size, int256)
    if not p.is_long:
        signed = -signed
    return bands.Leg(
        size=signed,
        pending=fixed_math._floor_div(convert(p.q0, int256) * total, convert(p.a0, int256)),
        entry=p.entry,
        band=p.band,
    )


@internal
@pure
def _imagine(before: Shelf, cut: Cut) -> Shelf:
    """
    @notice A band after a cut (SPEC section 4.3), as `bands._deleverage_band` would leave it.
    """
    shelf: Shelf = before
    inherited: int256 = cut.quote
    if not cut.is_long:
        inherited = -inherited
    shelf.c += fixed_math._floor_div(convert(shelf.a, int256) * inherited, convert(shelf.oi, int256))
    left: uint256 = shelf.oi - cut.size
    if left == 0:
        shelf.wiped = True
        return shelf
    numerator: uint256 = shelf.a * left
    shelf.a = bands._shrunk(numerator, shelf.oi, cut.is_long)
    for _: uint256 in range(5):
        if shelf.a >= c.MIN_A:
            break
        numerator *= c.SCALE_STEP
        shelf.a = bands._shrunk(numerator, shelf.oi, cut.is_long)
        shelf.scale += 1
    shelf.oi = left
    return shelf


# ---- margin --------------------------------------------------------------------------------------


@internal
@pure
def _late(raw: uint256[34], word: words.Account, claim_index: uint256) -> int256:
    """
    @notice Late units in gons.
    """
    if not word.has_late:
        return 0
    return convert(fixed_math._mul_div_down(raw[33], c.INDEX_ONE, claim_index), int256)


@internal
@view
def _exposure(
    raw: uint256[34], cash: int256, legs: uint256, claim_index: uint256, start: margin.Exposure
) -> margin.Exposure:
    """
    @notice `start` with cash, late cash and the legs that `legs` names, as they are stored.
    """
    r: margin.Exposure = start
    total: int256 = cash + self._late(raw, words._unpack_account(raw[0]), claim_index)
    for market: uint256 in range(c.MAX_MARKETS):
        if (legs >> market) & 1 == 0:
            continue
        book: Book = self._open(market, claim_index)
        leg: bands.Leg = self._read_leg(raw, book)
        total += leg.pending
        if leg.size != 0:
            r = margin._add_leg(r, book.risk_word, book.prices, leg.size, claim_index)
    return self._with_cash(r, total)


@internal
@pure
def _add_up(cash: int256, books: DynArray[Book, 8]) -> margin.Exposure:
    """
    @notice Exposure of a default under way.
    """
    r: margin.Exposure = empty(margin.Exposure)
    total: int256 = cash
    for i: uint256 in range(len(books), bound=8):
        total += books[i].leg.pending
        if books[i].leg.size != 0:
            r = margin._add_leg(
                r, books[i].risk_word, books[i].prices, books[i].leg.size, books[i].claim_index
            )
    return self._with_cash(r, total)


@internal
@pure
def _with_cash(before: margin.Exposure, cash: int256) -> margin.Exposure:
    r: margin.Exposure = before
    base: int256 = cash * convert(c.WAD, int256)
    r.e_kind += base
    r.e_index += base
    r.e_credit += base
    return r


@internal
@pure
def _leg_margin(book: Book) -> uint256:
    """
    @notice Maintenance of the bankrupt's leg at the index.
    """
    return margin._requirement(
        words._maintenance(book.risk_word),
        words._depth(book.risk_word),
        convert(abs(book.leg.size), uint256) * book.prices.index,
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
def _free(account: bytes32, word: words.Account, domain: words.Globals, r: margin.Exposure) -> uint256:
    """
    @notice Most units that a withdrawal from an exposed account may take now (SPEC section 2).
    """
    if domain.bad_debt > 0 or domain.open_receipts > 0 or word.touched + c.RESIDENCY_S > block.timestamp or r.frozen:
        return 0
    if r.n_credit == 0 and convert(convert(account, uint256) >> 96, address) != self._backstop():
        return 0
    least: uint256 = max(r.im_credit, fixed_math._mul_div_up(r.n_credit, c.WITHDRAW_RATIO_PPM, c.PPM))
    if r.e_credit <= convert(least, int256):
        return 0
    return fixed_math._mul_div_down(convert(r.e_credit, uint256) - least, 1, c.WAD) * domain.claim_index // c.INDEX_ONE


@internal
@pure
def _liquidation_price(book: Book, size: int256, r: margin.Exposure) -> uint256:
    """
    @notice Price at which the maintenance test flips, found by halving on the test itself.
    """
    if size == 0:
        return 0
    present: uint256 = margin._kind_price(book.prices, size)
    q: uint256 = convert(abs(size), uint256)
    e_rest: int256 = r.e_kind - size * convert(present, int256)
    m_rest: uint256 = r.m_kind - margin._requirement(
        words._maintenance(book.risk_word), words._depth(book.risk_word), q * present, book.claim_index
    )
    # `safe` passes the test and `unsafe` does not
    safe: uint256 = 0
    unsafe: uint256 = 0
    if size > 0:
        if self._is_healthy(book, size, e_rest, m_rest, 0):
            return 0
        safe = present
        for _: uint256 in range(90):
            if self._is_healthy(book, size, e_rest, m_rest, safe):
                break
            if safe >= c.MAX_PRICE:
                return c.MAX_PRICE
            unsafe = safe
            safe = min(2 * safe, c.MAX_PRICE)
    else:
        if not self._is_healthy(book, size, e_rest, m_rest, 0):
            return 0
        unsafe = c.MAX_PRICE
        if self._is_healthy(book, size, e_rest, m_rest, unsafe):
            return c.MAX_PRICE
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
    notional: uint256 = convert(abs(size), uint256) * price
    rate: uint256 = words._maintenance(book.risk_word) * 10**12
    depth: uint256 = words._depth(book.risk_word)
    if depth != 0:
        rate += fixed_math._mul_div_down(notional // c.WAD, book.claim_index, c.INDEX_ONE) // depth + 1
    if notional > max_value(uint256) // 4 // rate:
        return False
    needed: uint256 = m_rest + margin._requirement(
        words._maintenance(book.risk_word), depth, notional, book.claim_index
    )
    return e_rest + size * convert(price, int256) >= convert(needed, int256)


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
def _bucket_available(book: Book, bucket: bytes32) -> uint256:
    """
    @notice Gons a bucket can pay: equity at the harsh edge beyond its initial requirement and the reserve.
    """
    raw: uint256[34] = self._account_words(bucket)
    word: words.Account = words._unpack_account(raw[0])
    start: margin.Exposure = empty(margin.Exposure)
    if book.netted > 0:
        word.cash = book.heir_cash + book.heir.pending
        word.legs = word.legs & ~(1 << book.id)
        if book.heir.size != 0:
            start = margin._add_leg(start, book.risk_word, book.prices, book.heir.size, book.claim_index)
    r: margin.Exposure = self._exposure(raw, word.cash, word.legs, book.claim_index, start)
    free: int256 = fixed_math._floor_div(r.e_credit - convert(r.im_credit, int256), convert(c.WAD, int256))
    return convert(max(0, free - convert(c.BUCKET_RESERVE, int256)), uint256)


# ---- a default, imagined -------------------------------------------------------------------------


@internal
@view
def _net(start: Book, bucket: bytes32) -> (Book, int256):
    """
    @notice Close the bankrupt's leg against the bucket's opposite inventory at the index; the cash it brings.
    """
    book: Book = start
    raw: uint256[34] = self._account_words(bucket)
    word: words.Account = words._unpack_account(raw[0])
    if word.in_receipt or (word.legs >> book.id) & 1 == 0:
        return book, 0
    other: bands.Leg = self._read_leg(raw, book)
    own: bands.Leg = book.leg
    if own.size == 0 or other.size == 0 or (own.size > 0) == (other.size > 0):
        return book, 0
    closed: int256 = min(abs(own.size), abs(other.size))
    cash: int256 = convert(
        fixed_math._mul_div_down(convert(closed, uint256), book.prices.index, c.WAD), int256
    )
    change: int256 = -closed
    if own.size < 0:
        cash = -cash
        change = closed
    book.netted = convert(closed, uint256)
    book.heir_cash = word.cash + other.pending - cash
    book, book.leg = self._reduce(book, own, change)
    book, book.heir = self._reduce(book, other, -change)
    book.open = book.leg.size != 0
    return book, own.pending + cash


@internal
@view
def _reduce(start: Book, leg: bands.Leg, change: int256) -> (Book, bands.Leg):
    """
    @notice Take part of a leg out of its band: the market after it, and the leg as it reads when anchored anew.
    """
    book: Book = start
    is_long: bool = leg.size > 0
    side: uint256 = convert(is_long, uint256)
    shelf: Shelf = self._shelf(book, is_long, leg.band)
    taken: uint256 = min(convert(abs(change), uint256), shelf.oi)
    if is_long and shelf.oi - taken <= c.DUST_SIZE:
        taken = shelf.oi
    book.left_band = leg.band
    book.left_oi = shelf.oi - taken
    if book.left_oi == 0:
        book.bitmaps[side] = book.bitmaps[side] & ~(1 << leg.band)
    if is_long:
        book.m.residue += convert(taken, int256)
    else:
        book.m.oi -= taken
        book.m.residue -= convert(taken, int256)
    post: int256 = leg.size + change
    if post == 0:
        return book, empty(bands.Leg)
    return book, bands.Leg(
        size=post,
        pending=fixed_math._floor_div(abs(post) * (shelf.c - shelf.c_up), convert(shelf.a, int256)),
        entry=leg.entry,
        band=leg.band,
    )


@internal
@view
def _weigh(start: DynArray[Book, 8], left: uint256) -> DynArray[Book, 8]:
    """
    @notice Split what is left over the live legs by maintenance times eligible fraction (rule 24).
    """
    books: DynArray[Book, 8] = start
    weights: uint256[8] = empty(uint256[8])
    total: uint256 = 0
    for i: uint256 in range(len(books), bound=8):
        if books[i].live:
            plan: Plan = self._plan(books[i], books[i].leg.size, books[i].residual)
            weights[i] = fixed_math._mul_div_down(
                books[i].margin // c.WAD, plan.eligible, convert(abs(books[i].leg.size), uint256)
            )
            total += weights[i]
    if total == 0:
        return books
    cumulative: uint256 = 0
    given: uint256 = 0
    for i: uint256 in range(len(books), bound=8):
        if books[i].live:
            cumulative += weights[i]
            upto: uint256 = fixed_math._mul_div_down(left, cumulative, total)
            books[i].residual = upto - given
            given = upto
    return books


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
def _plan(book: Book, leg: int256, residual: uint256) -> Plan:
    """
    @notice Which bands a leg of signed size closes against: the questions and the clamps of `resolve`.
    """
    is_long: bool = leg < 0
    size: uint256 = convert(abs(leg), uint256)
    limit: uint256 = 0
    if book.limits.rank != c.RANK_SINGLE:
        gap: uint256 = min(residual, self._gap_cap(book, size))
        key: int256 = convert(fixed_math._mul_div_up(gap, c.WAD, size), int256)
        if is_long:
            key = -key
        key += convert(book.prices.index, int256)
        if book.limits.rank == c.RANK_LEVERAGE:
            key -= book.m.funding
        if key > 0:
            limit = fixed_math._log2_band(
                min(convert(key, uint256), c.MAX_PRICE), book.anchor, book.limits.octave_bits
            )
    open_interest: uint256 = book.m.oi
    if is_long:
        open_interest -= convert(book.m.residue, uint256)
    side: IPolicy.Side = IPolicy.Side(
        market=book.id,
        is_long=is_long,
        size=size,
        open_interest=open_interest,
        bitmap=book.bitmaps[convert(is_long, uint256)],
        rank=book.limits.rank,
        limit_band=limit,
    )
    p: Plan = empty(Plan)
    for _: uint256 in range(c.MAX_PLAN):
        if side.size == 0 or side.bitmap == 0 or len(p.bands) >= c.MAX_PLAN:
            break
        chosen: DynArray[uint256, 8] = []
        caps: DynArray[uint256, 8] = []
        eligible: uint256 = 0
        chosen, caps, eligible = staticcall IPolicy(book.policy).plan(side)
        assert len(chosen) > 0, "resolve: empty plan"
        for i: uint256 in range(len(chosen), bound=8):
            if side.size == 0:
                break
            if (side.bitmap >> chosen[i]) & 1 == 0:
                continue
            oi: uint256 = self._band_oi(book, is_long, chosen[i])
            taken: uint256 = min(min(caps[i], oi), side.size)
            side.bitmap = side.bitmap & ~(1 << chosen[i])
            side.open_interest -= oi
            side.size -= taken
            if taken > 0:
                p.bands.append(chosen[i])
                p.sizes.append(taken)
                if i < eligible:
                    p.eligible += taken
    p.finished = side.size == 0 or side.bitmap == 0
    return p


@internal
@view
def _walk(book: Book, leg: int256, residual: uint256) -> Walk:
    """
    @notice The cuts that close a leg of signed size, at the prices of `resolve`.
    """
    p: Plan = self._plan(book, leg, residual)
    is_long: bool = leg < 0
    total: uint256 = convert(abs(leg), uint256)
    gap: uint256 = min(residual, self._gap_cap(book, total))
    walk: Walk = empty(Walk)
    walk.finished = p.finished
    for i: uint256 in range(len(p.bands), bound=40):
        walk.filled += p.sizes[i]
        base: uint256 = self._index_quote(walk.filled, book.prices.index, is_long)
        upto: uint256 = fixed_math._mul_div_up(gap, min(walk.filled, p.eligible), total)
        extra: int256 = convert(upto - walk.gap_quoted, int256)
        if is_long:
            extra = -extra
        walk.cuts.append(
            Cut(
                market=book.id,
                is_long=is_long,
                band=p.bands[i],
                size=p.sizes[i],
                quote=convert(base - walk.quoted, int256) + extra,
                open_interest=self._band_oi(book, is_long, p.bands[i]),
            )
        )
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
