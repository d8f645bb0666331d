"""The price indices as a picture: what vendors ask in each tier, and what a fixed quality costs, from the same day on.

Comes in: an index for each tier, and the offers of one milestone. Goes out: SVG. Does not know: how an index is made.
"""

from collections.abc import Mapping, Sequence

from jevons.economics.chart import Line, chart
from jevons.economics.history import Kind
from jevons.economics.indices import Point
from jevons.economics.quality import MILESTONES, Milestone, Offer
from jevons.meter.lineages import Tier

DRAWN = MILESTONES[2]
"""GPQA, at least GPT-4: the milestone with the longest way from the beginning of the indices."""


def picture(lists: Mapping[Tier, Sequence[Point]], milestone: Milestone, offers: Sequence[Offer], kind: Kind) -> str:
    """Months across, 100 at the beginning; the milestone's line ends with its scores. The lists have the same days, at least two."""
    days = [point.day for point in next(iter(lists.values()))]
    offered = {offer.day: offer.offered.price(kind) for offer in offers if offer.offered is not None}
    first = next((price for day in days if (price := offered.get(day))), None)
    fixed = [100 * price / first if first and (price := offered.get(day)) else None for day in days]
    return chart(
        "List prices of language models, and the price of a fixed quality",
        f"{kind} price, {days[0]:%B %Y} = 100, to {days[-1]}; fixed: the cheapest with {milestone.title}",
        [f"{day:%Y-%m}" for day in days],
        [*(Line(tier, [point.value for point in points]) for tier, points in lists.items()), Line("fixed quality", fixed)],
    )
