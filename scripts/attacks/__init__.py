"""Attacks on the oracle, each a file, played against three deployments with the model beside the contracts.

``naive`` has NaiveOracle, ``typical`` StalenessOracle, ``defended`` PriceOracle; all else is the same. The catalogue is
``library/``: ``make attacks`` plays all, ``make attack NAME=a02`` those whose name begins so, and
``make attack NAME=mine.yaml`` a file of your own. The results of all lie in ``.build/attacks/results.json``, of some in
``last.json`` beside it; ``python -m scripts.attacks.report`` makes a page of such a file.

One full example; every key but title, source, length and market (with a truth) may be left out::

    title: One feed says a thousandfold         # what a person reads
    source: Synthetix sKRW, 25 June 2019        # the incident
    about: Two of three feeds are left …        # a few sentences
    note: …                                     # where this differs from the incident or the research, and why
    control: false                              # true: nothing is wrong but the price; shown beside every attack
    naive: mean                                 # latest | mean | median | average 600 s (NaiveOracle's aggregation)
    length: 2 h                                 # seconds, or 90 s, 15 min, 2 h, 1 d; so everywhere
    step: [[0, 12], [15 min, 60]]               # seconds between steps, from when on; or just 12 (the default)
    seed: skrw                                  # of noise and chaos; the file's name if not given

    market:                                     # or markets: [{…}, {…}], each with its own truth; charts show the first
      name: KRW
      profile: MAJOR                            # MAJOR | ALT | OFF: rules of research §3.1, or no breaker
      rules: {jump: 1500, grace: 600}           # changes of the profile; names and units of SPEC §14
      feeds: 3                                  # 3, 5 (default) or 7
      groups: [0, 1, 2]                         # provider of each feed
      decimals: 8                               # of the feeds
      heartbeat: 60                             # a feed answers at least so often,
      deviation: 50                             # and whenever the price moved by so many bps,
      cadence: 0                                # but not sooner than so many seconds after the last answer
      slack: 300                                # max_age = heartbeat + slack
      noise: 0                                  # bps by which each answer may miss the truth
      bounds: [0.0001, 1_000]                   # what the oracle accepts of a feed, both excluded
      flux: false                               # answeredInRound means something
      risk: {initial: 4 %, maintenance: 2 %, penalty: 0.5 %, taker_fee: 500 ppm, depth: 0}
      limits: {oi_cap: 1_000_000, min_size: 0.001}        # base units
      rank: leverage                            # single | profit | leverage
      policy: BandQueue                         # or ProRata
    quote: {name: USDC, truth: 1.00}            # prices the collateral; a market in all but that nobody trades it.
                                                # The markets' truths are in USD then, all charts in collateral
    truth: [[0, 1.0], [600, 1.0], [660, 0.9]]   # straight lines; or a price; {points: [...], shape: step};
                                                # {start: 0.2, tau: 1500, from: 0}: falls exponentially;
                                                # {start: 1, drip: 5, every: 12}: +5 bps every 12 s, compounded;
                                                # {csv: history.csv, decimals: 8}: columns round,timestamp,answer

    faults:                                     # market: name; of feed: i, feeds: [i, j], group: g, or all of them;
                                                # several at once add up
      - {feed: 2, from: 300, revert: true}      # to: … ends it; without, it lasts
      - {feed: 0, from: 600, to: 4200, scale: 1000}
    # content:   scale: k, set: p, add: x, path: (as truth), csv: history.csv (rounds, stamps and answers as they are),
    #            decimals: d
    # when:      freeze: true, late: s, future: s, phase: n, regress: n, same_round, incomplete, carried, chaos: true
    # not at all: revert, burn_gas, short, bomb (20 kB), revert_bomb (1 MB), codeless: true
    sequencer: [[600, 5280]]                    # an L2, and when it is down

    book: {notional: 1_000_000, leverages: [2, 3, 5, 10, 20], sides: [long, short]}    # the default; or none
                                                # accounts "long 2x", …: bystanders, each pair matched at the start
    pool: 50_000_000                            # account "pool": takes the other side at the deployment's own index
    liquidator: 10_000_000                      # account "liquidator"
    insurance: 10_000_000                       # the fund, shared by the buckets of the markets
    attackers: {mallory: 1_000_000, wallets: {deposit: 10_000, count: 20}}   # "wallets" is all of "wallets 1", …
    traders: {alice: 5_000}                     # neither attackers nor book
    keeper: {every: 12, off: [[600, 3000]]}     # pokes, liquidates, resolves, rebases; at every step by default

    steps:                                      # at, every, until; when: a state or several;
                                                # once: true = tried until it goes through;
                                                # early: true = before the feeds answer (who sees it coming)
      - {at: 600, long: {account: mallory, notional: 500_000}}                 # with: pool, price: index
      - {at: 612, close: {account: mallory, share: 50 %}}
      - {at: 672, every: 12, until: 1200, name: cash out, withdraw: {account: mallory, amount: max},
         want: {naive: done, defended: "refused: margin: frozen"}}             # or just refused
    # account: everybody stands for all who have a position
    # long, short: {account, notional | size, with, price: index | truth | low | high | mark | number}
    # close: {account, share, with, price}; deposit, withdraw: {account, amount | max}; transfer: {from, to, amount}
    # release, claim, resolve: {account}; liquidate: {account, taker}; poke: {}; settle: {by: anybody | governor}
    # answer: {feed: i, price}: who may push a feed makes it answer that now (all feeds without feed)
    # want: done, refused, refused: reason, or never; of a repeated step it holds for every time
    # set_feeds: {price, decimals, rules}: governance names new feeds that all answer that price
    # replace_feed: {place, price, decimals}; tighten: {rules: {…}}; starve: {from, to, step}: pokes with little gas
    # mark: {name}, rewind: {name}: a reorganisation

    expect:                                     # by deployment and metric (``result.Metrics``)
      naive: {attacker_profit: ">= 1e6"}
      typical: {wrongful_count: 5}
      defended:
        attacker_profit: <= 0
        wrongful_count: <= typical              # as in the run of another deployment
        states: DEGRADED@300 FROZEN@600+-60 ...  # every state entered, in order; ... may go on; LIVE: none
        codes: 2:CALL_FAILED                    # feed:code seen, whatever else
        bad_debt: lost > 0                      # "lost": known not to be defended, shown as such
    variants:                                   # each is played instead of the file as it stands; keys replace keys
      two feeds: {faults: [{feeds: [0, 1], from: 600, scale: 1000}], expect: {defended: {wrongful_count: 0}}}
      as it stands: {}
"""
