"""How much one step of maintenance does, in every store. Each step takes some milliseconds, and commits wait for it."""

MARKED = 1000  #: deliveries that one step marks as held or unmarks
KEPT_HOLDS = 10_000  #: ended holds that are kept; a pause each hour reaches this in a year
KEPT_HOLDS_MS = 400 * 86_400_000  #: an ended hold is kept for so long: longer than any sensible give_up_after
PRUNED_LOOK = 1000  #: events that one step of retention examines
PRUNED_AT_ONCE = 100  #: events that one step removes at most, each with its deliveries, attempts and index rows
TEXT_MARGIN_MS = 86_400_000  #: a retired ruleset's text must be this much older than every event, since clocks jump
SHORTENED_LOOK = 5000  #: seqs that one step of shortening waits examines
KEPT_CLAIM_TIMES = 1000  #: targets whose last claim is remembered; a file has some dozens with a rate
KEPT_ENDS = 100_000  #: ended attempts that a follower can go back to: half a minute of the fastest deliveries
