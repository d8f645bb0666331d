"""All that makes labels, put together, and whoever learns from them.

Comes in: the routes, what serves requests, what promises are kept in. Goes out: who listens to answers, the judge of cascades, the door of feedback. Made
where there are routes. Does not know: how any of it works.
"""

from collections.abc import Callable

from jevons.core.label import Label
from jevons.core.limits import CASCADE_LABELS_MAX
from jevons.gateway.cascade import Cascades
from jevons.gateway.feedback import Feedback
from jevons.gateway.gate import Gate
from jevons.gateway.promises import Promises
from jevons.gateway.shadow import Shadows, Taught
from jevons.gateway.showing import Listener
from jevons.gateway.unseen import Asides
from jevons.gateway.upstreams import Live
from jevons.ledger.routing import latest_labels
from jevons.policy.route import Table
from jevons.policy.routes import Route


class Labelling:
    """One for all routes."""

    def __init__(
        self,
        gate: Gate,
        lives: dict[str, Live],
        asides: Asides,
        table: Table,
        routes: tuple[Route, ...],
        promises: Promises | None,
        likeness: Callable[[str, str], float] | None = None,
        taught: Taught | None = None,
    ) -> None:
        """`promises`: None where no route learns. `likeness`: cosine of two texts, None without an embedder. Raises ValueError for
        a judge that nobody offers."""
        self._ledger = gate.ledger
        self._promises = promises
        self._cascading = frozenset(route.name for route in routes if route.choose == "cascade")
        self.cascades = Cascades(gate.ledger, asides, lives, routes, self._promise, likeness) if self._cascading else None
        self.shadows = Shadows(
            gate, lives, asides, table, routes, self._learn, likeness=likeness, cascades=self.cascades, taught=taught
        )
        self.feedback = Feedback(gate.ledger, self._learn)

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """In the order in which they are closed."""
        return (self.shadows,) if self.cascades is None else (self.shadows, self.cascades)

    def recall(self) -> None:
        """After a start: what was spent of this day, what confidence was worth. Reads the disk. Raises LedgerError."""
        self.shadows.recall()
        for route in self._cascading:
            assert self.cascades is not None
            self.cascades.recall(latest_labels(self._ledger.path, route, CASCADE_LABELS_MAX))

    def _promise(self, label: Label) -> None:
        if self._promises is not None:
            self._promises.learn(label)

    def _learn(self, label: Label) -> None:
        self._promise(label)
        if self.cascades is not None and label.route in self._cascading:
            self.cascades.learn(label)
