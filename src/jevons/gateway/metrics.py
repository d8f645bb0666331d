"""Counters for /metrics: plain integers on the hot path, turned into Prometheus families only when somebody asks.

Never labelled by run, prompt or request: the number of series stays bounded by keys x upstreams x outcomes.
"""

import time
from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jevons.core.entry import Entry
from jevons.ledger.ledger import Ledger
from jevons.policy.books import KEY_TOTAL

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metrics(Collector):
    """What the gateway counts of itself."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.attempts: Counter[tuple[str, str, str]] = Counter()
        """(upstream, model, outcome)"""
        self.cost_nusd: Counter[tuple[str, str]] = Counter()
        self.overrun_nusd: Counter[tuple[str, str]] = Counter()
        """Billed above what was held."""
        self.saved_nusd: Counter[tuple[str, str]] = Counter()
        """By kind; at list price. Negative where it cost more, so it is no counter to Prometheus."""
        self.tokens: Counter[tuple[str, str]] = Counter()
        self.denials: Counter[str] = Counter()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def count(self, entry: Entry) -> None:
        hold, usage = entry.hold, entry.usage
        self.attempts[hold.upstream, hold.target, entry.outcome] += 1
        self.cost_nusd[hold.upstream, hold.target] += entry.billed_nusd
        if entry.overrun_nusd:
            self.overrun_nusd[hold.upstream, hold.target] += entry.overrun_nusd
        for saving in entry.savings:
            self.saved_nusd[hold.upstream, saving.kind] += saving.nusd
        for kind, n in usage.counts():
            self.tokens[hold.upstream, kind] += n

    def add(self, part: Collector) -> None:
        """What another part of the gateway counts."""
        self._registry.register(part)

    def page(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        attempts = CounterMetricFamily("jevons_attempts", "Upstream attempts by outcome", labels=["upstream", "model", "outcome"])
        for labels, n in self.attempts.items():
            attempts.add_metric(list(labels), n)
        cost = CounterMetricFamily("jevons_cost_usd", "Billed cost of settled attempts", labels=["upstream", "model"])
        overrun = CounterMetricFamily("jevons_overrun_usd", "Billed above what was held", labels=["upstream", "model"])
        for family, counted in ((cost, self.cost_nusd), (overrun, self.overrun_nusd)):
            for (upstream, model), nusd in counted.items():
                family.add_metric([upstream, model], nusd / 1e9)
        tokens = CounterMetricFamily("jevons_tokens", "Tokens of settled attempts", labels=["upstream", "kind"])
        for (upstream, kind), n in self.tokens.items():
            tokens.add_metric([upstream, kind], n)
        saved = GaugeMetricFamily(
            "jevons_saved_usd", "Saved against what was asked for, at list price", labels=["upstream", "kind"]
        )
        for (upstream, kind), nusd in self.saved_nusd.items():
            saved.add_metric([upstream, kind], nusd / 1e9)
        denials = CounterMetricFamily("jevons_denials", "Requests refused", labels=["reason"])
        for reason, n in self.denials.items():
            denials.add_metric([reason], n)
        over = GaugeMetricFamily("jevons_accounts_over", "Accounts over their limit, which admit nothing", labels=["limit"])
        for limit, n in self._over().items():
            over.add_metric([limit], n)
        yield from (attempts, cost, overrun, saved, tokens, denials, over)
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

    def _over(self) -> Counter[str]:
        """Accounts of now that are over their limit, by the limit's name; one of none too, so that an alarm has a zero to fall back to."""
        ledger, now_ms = self._ledger, int(time.time() * 1000)
        over = Counter({limit.name: 0 for limit, _ in ledger.control.limits} | {KEY_TOTAL.name: 0})
        for account in (*ledger.books.accounts.values(), *ledger.accounts.values()):
            if account.enforced and account.excess and account.period.start_ms <= now_ms < account.period.end_ms:
                over[account.rule.name] += 1
        return over
