"""Every provider, every model: our charge against genai-prices' own calculation, in exact decimals.

Random usages (with every kind the row prices, and counts at the tier thresholds), instants (at the borders of its periods)
and request contexts. Ours must equal genai's exact sum rounded half-even once, and its lines must sum to it.

Declared exceptions, where we differ from genai-prices on purpose or do not reproduce it:

- usage of a kind without a price: genai bills 0, we raise UnpricedKind (unknown is never zero);
- an empty price: genai bills 0, we have no price;
- groq whisper-large-v3(-turbo): genai bills at least 10 seconds; a rate cannot say that, and no door serves audio files.
"""

import random
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from genai_prices import types
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.units import _get_registry

from jevons.core.money import half_even
from jevons.core.price import UnpricedKind, charge
from jevons.core.usage import Usage
from jevons.meter.compiled import EVER_MS
from jevons.meter.compiler import kind_of
from jevons.meter.pricebook import PriceBook, with_request_unit
from jevons.meter.rates import FALLBACK_KINDS

UNITS = {kind_of(key): unit for key, unit in _get_registry().units.items()}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COUNTS = (0, 1, 2, 3, 7, 999, 12_345, 1_000_000, 987_654_321)
SNAPSHOT = DataSnapshot(providers, from_auto_update=False)


def test_units_have_one_kind_each() -> None:
    assert len(UNITS) == len(_get_registry().units)
    assert set(FALLBACK_KINDS) <= set(UNITS)


def genai_usage(atoms: dict[str, int]) -> types.Usage:
    """Disjoint counts by kind -> genai's nested counts: each unit counts all atoms that it contains."""
    totals = {}
    for kind, unit in UNITS.items():
        if kind != "requests":
            inside = unit.dimensions.items()
            totals[unit.usage_key] = sum(n for atom, n in atoms.items() if inside <= UNITS[atom].dimensions.items())
    return types.Usage(**totals)


def our_usage(atoms: dict[str, int]) -> Usage:
    own = {k: atoms.get(k, 0) for k in ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")}
    own["output"] += own["reasoning"]
    other = tuple((kind, n) for kind, n in atoms.items() if kind not in own)
    return Usage(**own, other=other)


def sample_usage(rng: random.Random, priced: list[str], starts: list[int]) -> dict[str, int]:
    """Counts for some priced kinds; often with an input total at, just below or just above a threshold."""
    atoms = {kind: rng.choice(COUNTS) for kind in rng.sample(priced, min(len(priced), rng.randint(1, 5)))}
    if starts and "input" in priced and rng.random() < 0.7:
        inputs = [k for k in atoms if UNITS[k].dimensions.items() >= UNITS["input"].dimensions.items()]
        target = rng.choice(starts) + rng.choice((-1, 0, 1))
        for kind in inputs:
            atoms[kind] = min(atoms[kind], 1_000)
        atoms["input"] = 0
        atoms["input"] = target - sum(atoms[k] for k in inputs if k != "input")
    return {kind: n for kind, n in atoms.items() if n}


def instants(rng: random.Random, book: PriceBook, provider: str, model: str) -> Iterator[int]:
    """Random instants, and those around the borders of the model's periods."""
    at_ms = int(datetime(2023, 1, 1, tzinfo=UTC).timestamp() * 1000) + rng.randrange(5 * 365 * 86_400_000)
    yield at_ms
    found, _ = book.covering(provider, model)
    assert found is not None
    periods = [row.period for row in found.model.rows] + [v.period for v in found.model.variants]
    borders = [b for p in periods for b in p.borders(at_ms) if abs(b) < EVER_MS]
    for border in rng.sample(borders, min(2, len(borders))):
        yield from (border - 1, border, border + 1)


def contexts(rng: random.Random, model: types.ModelInfo) -> Iterator[dict[str, str]]:
    yield {}
    yield {"service_tier": rng.choice(("default", "auto", "flex", "priority", "standard", "Flex"))}
    for variant in rng.sample(model.price_variants or [], min(2, len(model.price_variants or []))):
        yield dict(variant.when)
    mixed: dict[str, str] = {}
    for variant in model.price_variants or []:
        mixed |= variant.when
    yield mixed


def reference(provider: str, model: types.ModelInfo) -> str | None:
    """A name that means this very model; None if earlier models of its provider take them all."""
    texts, clauses = [model.id], [model.match]
    while clauses:
        clause = clauses.pop()
        if isinstance(clause, types.ClauseOr | types.ClauseAnd):
            clauses += clause.or_ if isinstance(clause, types.ClauseOr) else clause.and_
        else:
            texts += [str(text) for text in vars(clause).values()]
    for text in texts:
        try:
            if SNAPSHOT.find_provider_model(text, None, provider, None)[1] is model:
                return text
        except LookupError:
            continue
    return None


def check(rng: random.Random, book: PriceBook, provider: str, ref: str, at_ms: int, context: dict[str, str]) -> int:
    """Compare one sample; returns how many charges were compared (0 if both agree that there is no price)."""
    moment = EPOCH + timedelta(milliseconds=at_ms)
    owner, model = SNAPSHOT.find_provider_model(ref, None, provider, None)
    own = any(model is m for m in owner.models)
    prices = model.get_prices(moment, context if own else None)
    priced_units = [UNITS[kind_of(unit.usage_key)] for unit in UNITS.values() if getattr(prices, unit.price_key) is not None]
    price = book.price(provider, ref, at_ms, context)
    if not priced_units:
        assert price is None
        return 0
    assert price is not None
    priced, unpriced = [], []
    for kind in dict.fromkeys((*FALLBACK_KINDS, "reasoning", *(kind_of(u.usage_key) for u in priced_units))):
        if kind in ("cache_write", "requests"):  # the sum of two kinds of ours; and genai counts one request by itself
            continue
        covered = any(unit.dimensions.items() <= UNITS[kind].dimensions.items() for unit in priced_units)
        (priced if covered else unpriced).append(kind)
    starts = [t.start for v in vars(prices).values() if isinstance(v, types.TieredPrices) for t in v.tiers]
    atoms = sample_usage(rng, priced, starts)
    usage = with_request_unit(our_usage(atoms), price)
    charged = charge(usage, price)
    with localcontext(prec=150):
        theirs = SNAPSHOT.calc(genai_usage(atoms), ref, provider, None, moment, context).total_price
        exact = Fraction((theirs * 10**9).quantize(Decimal(1).scaleb(-80)))  # 1/3600 of an hour does not end
    assert charged.nusd == half_even(exact.numerator, exact.denominator), (provider, ref, at_ms, context, atoms, price.row)
    assert sum(line.nusd for line in charged.lines) == charged.nusd
    if unpriced:
        missing = rng.choice(unpriced)
        if missing != "reasoning":  # without a rate of its own it is output, which is then missing too
            with pytest.raises(UnpricedKind) as error:
                charge(our_usage({**atoms, missing: 1}), price)
            assert error.value.kinds == [missing]
    return 1


@pytest.mark.parametrize("provider", [p.id for p in providers])
def test_every_model_costs_what_genai_prices_says(book: PriceBook, provider: str) -> None:
    rng = random.Random(f"jevons {provider}")
    models = next(p for p in providers if p.id == provider).models
    compared, unreachable = 0, []
    with warnings.catch_warnings(action="ignore"):
        for model in models:
            if provider == "groq" and model.id.startswith("whisper-large-v3"):
                continue
            ref = reference(provider, model)
            if ref is None:
                unreachable.append(model.id)
                continue
            assert book.find(provider, ref) == f"{provider}/{model.id}"
            cases = [(at, context) for at in instants(rng, book, provider, ref) for context in contexts(rng, model)]
            for at_ms, context in rng.sample(cases, min(6, len(cases))):
                compared += check(rng, book, provider, ref, at_ms, context)
    assert compared
    assert len(unreachable) <= 0.02 * len(models), unreachable


def spelled(rng: random.Random, ref: str) -> str:
    """A way somebody else might write a model's name."""
    return rng.choice(
        (
            ref.upper(),
            ref + "-20251211",
            ref + "-20251301",
            ref + "-2025-12-11",
            ref.replace(".", "-"),
            "anthropic." + ref,
            ref.rpartition("/")[2],
            ref[:-1],
            f"{rng.choice(('openai', 'anthropic', 'vertex', 'nobody'))}/{ref}",
        )
    )


def test_names_are_matched_as_genai_prices_matches_them(book: PriceBook) -> None:
    rng = random.Random(7)
    models = [(p.id, m.id) for p in providers for m in p.models]
    others = ("vertex", "bedrock", "AWS", " OpenAI ", "my-anthropic", "together-ai", "nobody", "litellm")
    names = [p.id for p in providers] + [*others, None]
    agreed = 0
    for _ in range(6_000):
        home, ref = rng.choice(models)
        provider = rng.choice((home, rng.choice(names), "azure", "google", None))
        ref = spelled(rng, ref)
        try:
            owner, model = SNAPSHOT.find_provider_model(ref, None, provider, None)
            theirs = next(f"{p.id}/{model.id}" for p in (owner, *providers) if any(m is model for m in p.models))
        except LookupError:
            theirs = None
        assert book.find(provider, ref) == theirs, (provider, ref)
        agreed += theirs is not None
    assert agreed > 500  # the sample must not consist of misses


def test_reseller_prices_ignore_the_request_context(book: PriceBook) -> None:
    """genai-prices applies context only where the model is the provider's own, not where a reseller falls back to it."""
    rng = random.Random(3)
    at_ms = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)
    resold = [
        (p.id, m.id)
        for p in providers
        for other in p.fallback_model_providers or ()
        for m in next(q for q in providers if q.id == other).models
        if m.price_variants and (found := book.catalogue.find(p.id, m.id)) and not found.own
    ]
    with warnings.catch_warnings(action="ignore"):
        for provider, ref in resold:
            for context in ({"service_tier": "flex"}, {"service_tier": "priority"}, {"processing": "batch"}):
                check(rng, book, provider, ref, at_ms, context)
    assert len(resold) > 20
