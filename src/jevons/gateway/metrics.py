"""Counters for /metrics: plain integers on the hot path, turned into Prometheus families only when somebody asks.

Never labelled by run, prompt or request: the number of series stays bounded by keys x upstreams x outcomes.
"""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jevons.core.entry import Entry
from jevons.ledger.ledger import Ledger

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics(Collector):
    """What the gateway counts of itself."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.attempts: Counter[tuple[str, str, str]] = Counter()
        """(upstream, model, outcome)"""
        self.cost_nusd: Counter[tuple[str, str]] = Counter()
        self.tokens: Counter[tuple[str, str]] = Counter()
        self.denials: Counter[str] = Counter()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def count(self, entry: Entry) -> None:
        hold, usage = entry.hold, entry.usage
        self.attempts[hold.upstream, hold.target, entry.outcome] += 1
        self.cost_nusd[hold.upstream, hold.target] += entry.billed_nusd
        for kind, n in usage.counts():
            self.tokens[hold.upstream, kind] += n

    def page(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily("jevons_attempts", "Upstream attempts by outcome", labels=["upstream", "model", "outcome"])
        for labels, n in self.attempts.items():
            attempts.add_metric(list(labels), n)
        cost = CounterMetricFamily("jevons_cost_usd", "Billed cost of settled attempts", labels=["upstream", "model"])
        for (upstream, model), nusd in self.cost_nusd.items():
            cost.add_metric([upstream, model], nusd / 1e9)
        tokens = CounterMetricFamily("jevons_tokens", "Tokens of settled attempts", labels=["upstream", "kind"])
        for (upstream, kind), n in self.tokens.items():
            tokens.add_metric([upstream, kind], n)
        denials = CounterMetricFamily("jevons_denials", "Requests refused", labels=["reason"])
        for reason, n in self.denials.items():
            denials.add_metric([reason], n)
        yield from (attempts, cost, tokens, denials)
        yield GaugeMetricFamily("jevons_holds_open", "Holds not yet resolved", value=len(self._ledger.open_holds))
        yield GaugeMetricFamily(
            "jevons_entries_unwritten", "Entries waiting for the disk to come back", value=self._ledger.writer.unwritten
        )
        remaining = GaugeMetricFamily("jevons_budget_remaining_usd", "What a key may still spend", labels=["key"])
        for key in self._ledger.keys.values():
            available = self._ledger.accounts[key.id].available
            if available is not None and key.revoked_ms is None:
                remaining.add_metric([key.name], available / 1e9)
        yield remaining
