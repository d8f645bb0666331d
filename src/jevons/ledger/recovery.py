"""What a crash left: holds without an entry, settled before anything else is served.

Comes in: a store that nobody writes to. Goes out: an entry in it for every hold that was open. Does not know: whether a call was sent, or answered.
"""

from jevons.core.entry import Entry, Outcome, first_order_of_ms
from jevons.core.limits import COMMIT_ROWS_MAX
from jevons.ledger.ops import Op, Posted
from jevons.ledger.store import Store
from jevons.policy.settle import settle_killed


def settle_open_holds(store: Store, now_ms: int) -> int:
    """After a crash: every open hold becomes its entry, charged whole and marked estimated. Returns how many there were.

    No account gains excess by it: what is charged is what was held.
    """
    posts: list[Op] = []
    for hold in store.load().holds:
        settled = settle_killed(hold)
        entry = Entry(
            hold=hold,
            outcome=Outcome.KILLED,
            status=0,
            usage=settled.usage,
            lines=settled.lines,
            list_nusd=settled.list_nusd,
            billed_nusd=settled.billed_nusd,
            estimate=settled.estimate,
            settled_ms=now_ms,
            tariff=settled.tariff,
            order=max(first_order_of_ms(now_ms), hold.order + 1) + len(posts),
        )
        posts.append(Posted(entry))
    for start in range(0, len(posts), COMMIT_ROWS_MAX):
        store.apply(posts[start : start + COMMIT_ROWS_MAX])
    return len(posts)
