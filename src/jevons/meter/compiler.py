"""genai-prices compiled into our price book: `python -m jevons.meter.compiler OUT [SOURCE]`.

Comes in: the installed genai_prices package, or its published JSON from SOURCE (a URL or a file). Goes out: the file OUT.
Runs in a process of its own: importing genai_prices costs a second and 100 MB, so nothing that serves may import this module.
Does not know: where books are kept (`genai.py`), overrides.
"""

import json
import sys
import urllib.request
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path
from typing import Any

import msgspec
from genai_prices import __version__, types
from genai_prices.data import providers as installed
from genai_prices.units import _get_registry

from jevons.core.limits import PRICE_DOWNLOAD_BYTES_MAX, PRICE_DOWNLOAD_TIMEOUT_S
from jevons.meter import compiled
from jevons.meter.compiled import Clause, Model, Payload, Period, Provider, Row, Steps, Unit, Variant, plausible_price
from jevons.meter.genai import install_bytes


class UnreadableSource(Exception):
    """SOURCE cannot be fetched; the message says why."""


def kind_of(usage_key: str) -> str:
    """Our name of a genai-prices usage key: tokens drop their suffix, "output_reasoning_tokens" is `reasoning`."""
    return "reasoning" if usage_key == "output_reasoning_tokens" else usage_key.removesuffix("_tokens")


def _clause(clause: Any) -> Clause:
    for op in ("equals", "starts_with", "ends_with", "contains"):
        if hasattr(clause, op):
            return Clause(op, getattr(clause, op).lower())
    if hasattr(clause, "regex"):
        return Clause("regex", clause.regex)
    op = "or" if hasattr(clause, "or_") else "and"
    return Clause(op, "", tuple(_clause(part) for part in getattr(clause, op + "_")))


def _period(constraint: types.StartDateConstraint | types.TimeOfDateConstraint | None) -> Period:
    if constraint is None:
        return compiled.ALWAYS
    if isinstance(constraint, types.StartDateConstraint):
        start = constraint.start_date
        return Period(from_ms=int(datetime(start.year, start.month, start.day, tzinfo=UTC).timestamp()) * 1000)
    edges = []
    for edge in (constraint.start_time, constraint.end_time):
        moment = datetime.combine(date(2000, 1, 2), edge)
        utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        edges.append((utc.hour * 3600 + utc.minute * 60 + utc.second) * 1000 + utc.microsecond // 1000)
    return Period(start_ms=edges[0], end_ms=edges[1])


def _steps(price: Any) -> Steps:
    """Decimal or TieredPrices -> steps. Of tiers with the same start the last wins, as in genai-prices' reversed search."""
    pairs = {-1: price} if isinstance(price, Decimal) else {-1: price.base, **{tier.start: tier.price for tier in price.tiers}}
    for rate in pairs.values():
        if not plausible_price(rate):
            raise ValueError(f"{rate} is not a price")
    return tuple((above, str(rate)) for above, rate in sorted(pairs.items()))


def _rates(prices: types.ModelPrice, kinds: dict[str, str]) -> dict[str, Steps]:
    """A key that this genai-prices cannot bill (it ignores such with a warning) is left out: unknown, not zero."""
    return {kinds[key]: _steps(price) for key, price in vars(prices).items() if price is not None and key in kinds}


def _model(model: types.ModelInfo, kinds: dict[str, str]) -> Model:
    dated = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    rows = tuple(Row(_period(c.constraint), _rates(c.prices, kinds)) for c in dated) or (Row(compiled.ALWAYS, {}),)
    variants = tuple(Variant(v.when, _period(v.constraint), _rates(v.prices, kinds)) for v in model.price_variants or ())
    return Model(
        model.id, model.name or "", _clause(model.match), rows, variants, model.context_window, model.price_comments or ""
    )


def payload_of(providers: Iterable[types.Provider]) -> Payload:
    """genai-prices' own objects in our form."""
    registry = _get_registry()
    kinds = {unit.price_key: kind_of(key) for key, unit in registry.units.items()}
    units = []
    for key, unit in registry.units.items():
        ancestors = sorted(registry.ancestor_usage_keys(key), key=lambda k: (-len(registry.units[k].dimensions), k))
        units.append(Unit(kind_of(key), unit.per, tuple(kind_of(k) for k in ancestors)))
    made = []
    for provider in providers:
        models = tuple(_model(model, kinds) for model in provider.models)
        made.append(
            Provider(
                provider.id,
                provider.name,
                _clause(provider.provider_match) if provider.provider_match else None,
                _clause(provider.model_match) if provider.model_match else None,
                tuple(provider.fallback_model_providers or ()),
                msgspec.Raw(msgspec.msgpack.encode(models)),
            )
        )
    return Payload(tuple(units), tuple(made))


def compile_installed() -> bytes:
    """A book of the installed package."""
    return compiled.seal(f"genai-prices {__version__}", payload_of(installed))


def compile_json(data: bytes, source: str) -> bytes:
    """A book of genai-prices' published JSON: a list of providers.

    Raises ValueError (pydantic's included) for anything else. JSON numbers are read as decimals, never as floats.
    """
    raw = json.loads(data, parse_float=Decimal)
    if not isinstance(raw, list) or not raw:
        raise ValueError("expected a list of providers")
    return compiled.seal(f"genai-prices JSON from {source}", payload_of(types._providers_from_raw(raw)))


def read_source(source: str) -> bytes:
    """The bytes of a URL (http or https) or of a file. Raises UnreadableSource."""
    try:
        if source.startswith(("https://", "http://")):
            with urllib.request.urlopen(source, timeout=PRICE_DOWNLOAD_TIMEOUT_S) as answer:
                data: bytes = answer.read(PRICE_DOWNLOAD_BYTES_MAX + 1)
        else:
            data = Path(source).expanduser().read_bytes()
    except (OSError, ValueError, HTTPException) as error:  # URLError and HTTPError are OSErrors
        raise UnreadableSource(f"cannot read {source}: {error}") from error
    if len(data) > PRICE_DOWNLOAD_BYTES_MAX:
        raise UnreadableSource(f"{source} is larger than {PRICE_DOWNLOAD_BYTES_MAX:,} bytes: not a price list")
    return data


def main(arguments: list[str]) -> None:
    """OUT [SOURCE]. On failure the last line of stderr says why."""
    out, *source = arguments
    try:
        data = compile_json(read_source(source[0]), source[0]) if source else compile_installed()
    except UnreadableSource as error:
        sys.exit(str(error))
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        sys.exit(f"{source[0] if source else 'the installed genai-prices'} is not a genai-prices price list: {reason}")
    try:
        install_bytes(Path(out), data)
    except OSError as error:
        sys.exit(f"cannot write the price book {out}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
