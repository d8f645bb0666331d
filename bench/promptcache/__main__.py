"""Recorded requests under every way to use a provider's prompt cache, ours among them; prints tables and, as its last line, one JSON object.

All is deterministic, but for `cpu_us` (the planner's time for a request). Every way pays the price book's rates by the same belief of what the
provider keeps. Ours learns from nothing as requests come. The share: how far it goes from the best simple rule to the bill of one who knows
the future, who cannot be beaten and cannot be had.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as File
from tempfile import TemporaryDirectory
from typing import Any

from bench.gateway import machine
from bench.promptcache import optimum, ways
from bench.promptcache.traces import GAPS, Request, agents, azure, mooncake
from jevons.core.cache_rules import CacheRates, CacheRules, Style, Ttl, rates
from jevons.meter.pricebook import PriceBook, open_book
from jevons.meter.prompt_rules import prompt_rules
from jevons.policy import arrivals, promptcache, returns

MODEL = ("anthropic", "claude-sonnet-5")
"""Whose figures are the shares: writing costs 1.25 or 2 times the price of input, reading a tenth."""
OTHERS = (("openai", "gpt-5.6"), ("openai", "gpt-5.5"))
"""Writing costs 1.25 times, for half an hour, and is done unless it is refused; writing costs nothing, and nothing can be marked."""
SEED = 1865
CASES = 40
"""Small cases in which the bound is held against the exact optimum."""


@dataclass
class Bill:
    """Of one trace, in numerators of the rates."""

    simple: dict[str, int]
    ours: int
    informed: int
    bound: int
    cpu_us: float
    den: int

    def best(self) -> str:
        """The simple rule that costs least."""
        return min(self.simple, key=self.simple.__getitem__)

    def ways(self) -> dict[str, int]:
        return {
            **self.simple,
            "ours": self.ours,
            "ours, odds known": self.informed,
            "optimum": self.bound,
        }

    def usd(self, numerators: int) -> float:
        return numerators / self.den / 1e9


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--sensitivity", action="store_true", help="also change each constant of the planner (5 minutes)")
    chosen = options.parse_args()
    started_s = time.monotonic()
    traces = {"mooncake": mooncake(), **{f"agents, {gaps}": agents(gaps, SEED) for gaps in GAPS}, "azure": azure()}
    with TemporaryDirectory(prefix="jevons-bench-") as folder:
        book = open_book(File(folder))
    rules, priced = _of(book, *MODEL)
    bills = {name: bill(name, requests, rules, priced) for name, requests in traces.items()}
    table(" ".join(MODEL), bills)
    figures = shares(bills)
    trace, told = bills["mooncake"], ways.told(traces["mooncake"], rules, priced)
    figures["share_next_turn_known_mooncake_pct"] = _share(trace.simple[trace.best()], told, trace.bound)
    print(f"Mooncake, told when each conversation goes on, and nothing else: {figures['share_next_turn_known_mooncake_pct']} %")
    for provider, model in OTHERS:
        rules_there, rates_there = _of(book, provider, model)
        there = {name: bill(name, requests, rules_there, rates_there) for name, requests in traces.items()}
        table(f"{provider} {model}", there)
        figures[f"usd_{model}"] = dollars(there)
    figures["exact_cases"] = exact(priced)
    if chosen.sensitivity:
        sensitivity(traces, rules, priced)
    figures["seconds"] = round(time.monotonic() - started_s)
    print(json.dumps({"bench": "promptcache", **figures, "machine": machine.facts()}))


def bill(name: str, requests: Sequence[Request], rules: CacheRules, priced: CacheRates) -> Bill:
    print(f"{name}: {len(requests):,} requests, {sum(each.tokens for each in requests):,} tokens", flush=True)
    planned = ways.ours(requests, rules, priced)
    return Bill(
        ways.simple(requests, rules, priced),
        planned.cost,
        ways.informed(requests, rules, priced),
        optimum.bound(requests, rules, priced),
        planned.cpu_us,
        priced.den,
    )


def table(title: str, bills: dict[str, Bill]) -> None:
    names = list(next(iter(bills.values())).ways())
    print(f"\n{title:18}" + "".join(f"{name:>20}" for name in bills))
    for way in names:
        cells = [
            f"${each.usd(each.ways()[way]):,.2f} {100 * each.ways()[way] / each.simple['never']:6.2f} %"
            for each in bills.values()
        ]
        print(f"{way:18}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
    print(
        f"{'share':18}"
        + "".join(f"{_share(each.simple[each.best()], each.ours, each.bound):>18.1f} %" for each in bills.values())
    )


def shares(bills: dict[str, Bill]) -> dict[str, Any]:
    """The figures of the issue. For agents one simple rule is chosen for all of them; the best one for each kind of gaps stands beside it."""
    trace, control = bills["mooncake"], bills["azure"]
    runs = {gaps: bills[f"agents, {gaps}"] for gaps in GAPS}
    rules = {name: sum(each.simple[name] for each in runs.values()) for name in next(iter(runs.values())).simple}
    best = min(rules, key=rules.__getitem__)
    own, known, least = (sum(each.ways()[way] for each in runs.values()) for way in ("ours", "ours, odds known", "optimum"))
    figures = {
        "share_of_optimum_mooncake_pct": _share(trace.simple[trace.best()], trace.ours, trace.bound),
        "share_of_optimum_agents_pct": _share(rules[best], own, least),
        "share_odds_known_mooncake_pct": _share(trace.simple[trace.best()], trace.informed, trace.bound),
        "share_odds_known_agents_pct": _share(rules[best], known, least),
        "share_of_reachable_mooncake_pct": _share(trace.simple[trace.best()], trace.ours, trace.informed),
        "share_of_reachable_agents_pct": _share(rules[best], own, known),
        "best_simple_mooncake": trace.best(),
        "best_simple_agents": best,
        "share_from_automatic_agents_pct": _share(min(rules["never"], rules["automatic"]), own, least),
        "azure_loss_pct": round(100 * (control.ours / control.simple["never"] - 1), 4),
        "cpu_us": round(max(each.cpu_us for each in bills.values())),
        "usd": dollars(bills),
    }
    for gaps, each in runs.items():
        figures[f"share_of_optimum_agents_{gaps}_pct"] = _share(each.simple[each.best()], each.ours, each.bound)
        figures[f"over_best_simple_agents_{gaps}_pct"] = round(100 * (each.ours / each.simple[each.best()] - 1), 2)
    print(
        f"\nOne simple rule for all agents: best is {best}. Share of the way to the optimum: {figures['share_of_optimum_agents_pct']} %",
        end="",
    )
    print(
        f" (odds known: {figures['share_odds_known_agents_pct']} %); Mooncake: {figures['share_of_optimum_mooncake_pct']} %",
        end="",
    )
    print(f" (odds known: {figures['share_odds_known_mooncake_pct']} %)", flush=True)
    return figures


def dollars(bills: dict[str, Bill]) -> dict[str, dict[str, float]]:
    return {trace: {way: round(each.usd(spent), 4) for way, spent in each.ways().items()} for trace, each in bills.items()}


def exact(priced: CacheRates) -> dict[str, Any]:
    """The bound against the best of all plans, in random cases of five requests of at most three messages, with two lifetimes."""
    chance = random.Random(SEED)
    rules = CacheRules(Style.EXPLICIT, (Ttl("5m", 300, "cache_write_5m"), Ttl("1h", 3600, "cache_write_1h")), breakpoints_max=4)
    same, ratios = 0, []
    for _ in range(CASES):
        requests = optimum.small(chance)
        least, best = optimum.bound(requests, rules, priced), optimum.exact(requests, rules, priced)
        assert least <= best <= ways.never(requests, priced)
        same += least == best
        ratios.append(least / best)
    print(
        f"\nSmall cases, all plans tried: the bound is the optimum in {same} of {CASES}, {min(ratios):.4f} of it at worst",
        flush=True,
    )
    return {"cases": CASES, "bound_is_optimum": same, "worst_ratio": round(min(ratios), 4)}


def sensitivity(traces: dict[str, list[Request]], rules: CacheRules, priced: CacheRates) -> None:
    """Each constant changed alone: ours, in shares of never."""
    changes: list[tuple[Any, str, Any]] = [
        (returns, "PRIOR", -2.5),
        (returns, "PRIOR", -3.5),
        (returns, "STEP", 0.15),
        (returns, "STEP", 0.4),
        (returns, "CALM", 0.3),
        (returns, "CALM", 3.0),
        (arrivals, "PAUSE_SHARE", 0.1),
        (arrivals, "PAUSE_SHARE", 1.0),
        (arrivals, "FORKS_COMMON", 2),
        (arrivals, "FORKS_COMMON", 6),
        (arrivals, "MEAN_OF", 50),
        (arrivals, "MEAN_OF", 1_000),
        (promptcache, "RETURNS_MAX", 0.95),
        (promptcache, "RETURNS_MAX", 0.99),
        (promptcache, "KEPT", 0.7),
        (promptcache, "KEPT", 0.99),
    ]
    print(f"\n{'one constant changed':24}" + "".join(f"{name:>18}" for name in traces))
    for module, name, value in [(returns, "PRIOR", returns.PRIOR), *changes]:
        before = getattr(module, name)
        setattr(module, name, value)
        parts = [ways.ours(each, rules, priced).cost / ways.never(each, priced) for each in traces.values()]
        setattr(module, name, before)
        print(f"{f'{name} = {value}':24}" + "".join(f"{100 * part:>16.2f} %" for part in parts), flush=True)


def _of(book: PriceBook, provider: str, model: str) -> tuple[CacheRules, CacheRates]:
    rules = prompt_rules(provider, model)
    price = book.price(provider, model, time.time_ns() // 1_000_000)
    assert price is not None, f"the price book has no {model}"
    priced = rates(rules, price, 0)
    assert priced is not None and rules.refreshes, f"{model}: the bound needs rates, and a lifetime that begins anew when read"
    return rules, priced


def _share(simple: int, own: int, least: int) -> float:
    """Percent of the way."""
    return round(100 * (simple - own) / (simple - least), 1) if simple > least else 0.0


if __name__ == "__main__":
    main()
