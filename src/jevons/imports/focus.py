"""Cost data in the FinOps Open Cost and Usage Specification, FOCUS 1.0 to 1.4, as CSV.

Comes in: a file. Goes out: one `Record` for each charge for the use of a model; charges for anything else are passed over.

What is read (focus.finops.org/focus-specification; columns of LiteLLM's export and of x_ columns that exporters add for AI):
- `BilledCost` and `ListCost` in `BillingCurrency`, which must be USD. `EffectiveCost` spreads commitments and is not what was billed.
- `ChargeCategory` other than Usage (Tax, Credit, Purchase, Adjustment) is no use of a model, and is set aside.
- Tokens where `ConsumedUnit` (else `PricingUnit`) is tokens, thousands or millions of them; their kind by the meter's name (`SkuMeter`,
  `x_TokenType`, `SkuPriceId`, `SkuId`, `ChargeDescription`). Or all kinds in one row, by `x_InputTokens` (cached ones included), `x_OutputTokens`,
  `x_CachedTokens`.
- The model: `x_AIModel`, `x_Model`, else `ResourceName`, `SkuId`, `ServiceName`.
- Rows have no id. A row is its labels and its period; its sums may grow.

Does not know: prices, the ledger.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, DecimalException

import msgspec

from jevons.core.usage import CACHE_READ, CACHE_WRITE_1H, CACHE_WRITE_5M, INPUT, OUTPUT, Usage
from jevons.imports.fields import at_ms, count, nusd, split_input
from jevons.imports.reading import Cells, SourceFile, plain_name
from jevons.imports.record import UNTOLD, BadRow, Record, Row, content_identity

SOURCE = "focus"
AI_CATEGORY = "AI and Machine Learning"
_SUMS = frozenset(
    plain_name(name)
    for name in (
        *("BilledCost", "ListCost", "EffectiveCost", "ContractedCost", "ConsumedQuantity", "PricingQuantity", "ListUnitPrice"),
        *("ContractedUnitPrice", "x_InputTokens", "x_OutputTokens", "x_CachedTokens", "x_Requests", "ChargeClass", "InvoiceId"),
    )
)
"""Columns that may differ when the same charge is exported again."""
_COLUMNS = (
    *("BilledCost", "ListCost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ServiceCategory"),
    *("ServiceName", "ProviderName", "PublisherName", "InvoiceIssuer", "InvoiceIssuerName", "ServiceProviderName"),
    *(
        "ConsumedQuantity",
        "ConsumedUnit",
        "PricingQuantity",
        "PricingUnit",
        "SkuId",
        "SkuPriceId",
        "SkuMeter",
        "ChargeDescription",
    ),
    *("ResourceName", "SubAccountId", "SubAccountName", "Tags", "x_AIModel", "x_Model", "x_TokenType"),
    *("x_InputTokens", "x_OutputTokens", "x_CachedTokens", "x_Requests"),
)
_UNIT = re.compile(r"(?:(1,?000,?000|1,?000|1|[\d.]+)?\s*(k|m|thousand|million)?\s*)tokens?(?:\s*\(?s?\)?)?", re.IGNORECASE)
_TIMES = {"k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000}


def read(file: SourceFile) -> Iterator[Row]:
    """Charges in the order of the file."""
    labels: list[int] | None = None
    header = [plain_name(name) for name in file.head.partition(b"\n")[0].decode("utf-8", "replace").split(",")]
    for cells in file.table(_COLUMNS, required=("BilledCost", "ChargePeriodStart")):
        if cells.problem:
            yield Row(cells.line, cells.offset, problem=cells.problem)
            continue
        if labels is None:
            exact = len(header) == len(cells.all)
            labels = [place for place in range(len(cells.all)) if not exact or header[place].strip('"') not in _SUMS]
        try:
            record = _record(cells, labels)
        except BadRow as bad:
            yield Row(cells.line, cells.offset, problem=str(bad))
        else:
            yield Row(cells.line, cells.offset, (record,) if record is not None else ())


def _record(row: Cells, labels: list[int]) -> Record | None:
    cells = row.cells
    usage = _usage(cells)
    named = cells.get("x_AIModel") or cells.get("x_Model")
    if usage is None and not named and cells.get("ServiceCategory") != AI_CATEGORY:
        return None
    category = cells.get("ChargeCategory", "Usage")
    if category.lower() != "usage":
        raise BadRow("its ChargeCategory is not Usage; what is no use of a model, `jevons adjust` records")
    if cells.get("BillingCurrency", "USD").upper() != "USD":
        raise BadRow("its BillingCurrency is not USD, and the ledger is in dollars")
    start_ms = at_ms(cells.get("ChargePeriodStart"), "ChargePeriodStart")
    end = cells.get("ChargePeriodEnd")
    requests = _number(cells, "x_Requests")
    return Record(
        identity=content_identity(*(row.all[place] for place in labels)),
        at_ms=start_ms,
        model=named or cells.get("ResourceName") or cells.get("SkuId") or cells.get("ServiceName") or UNTOLD,
        provider=_provider(cells),
        usage=usage,
        requests=requests or 0,
        span_ms=max(0, at_ms(end, "ChargePeriodEnd") - start_ms) if end else 0,
        account=cells.get("SubAccountName") or cells.get("SubAccountId") or "",
        team=_tag(cells.get("Tags", ""), "team"),
        billed_nusd=nusd(cells.get("BilledCost"), "BilledCost"),
        list_nusd=nusd(cells.get("ListCost"), "ListCost"),
        unknown=(*(() if usage is not None else ("tokens",)), *(() if requests else ("requests",))),
    )


def _usage(cells: Mapping[str, str]) -> Usage | None:
    """Tokens, where the row tells their number and kind."""
    given, made = _number(cells, "x_InputTokens"), _number(cells, "x_OutputTokens")
    if given is not None or made is not None:
        return split_input(given or 0, _number(cells, "x_CachedTokens") or 0, 0, made or 0)
    for unit, quantity in (("ConsumedUnit", "ConsumedQuantity"), ("PricingUnit", "PricingQuantity")):
        match = _UNIT.fullmatch(cells.get(unit, "").strip())
        if match and quantity in cells:
            kind = _kind(cells)
            times = _TIMES.get((match[2] or "").lower(), 1) * _decimal(match[1] or "1", unit)
            return None if kind is None else msgspec.convert({kind: _whole(cells[quantity], quantity, times)}, Usage)
    return None


def _kind(cells: Mapping[str, str]) -> str | None:
    """Which kind of token a meter counts, by its name."""
    for column in ("x_TokenType", "SkuMeter", "SkuPriceId", "SkuId", "ChargeDescription"):
        text = cells.get(column, "").lower()
        if "cach" in text:
            if any(word in text for word in ("write", "creat", "storage")):
                return CACHE_WRITE_1H if re.search(r"1\s*h", text) else CACHE_WRITE_5M
            return CACHE_READ
        if any(word in text for word in ("output", "completion", "generated")):
            return OUTPUT
        if any(word in text for word in ("input", "prompt")):
            return INPUT
    return None


def _provider(cells: Mapping[str, str]) -> str | None:
    names = ("PublisherName", "ServiceProviderName", "ProviderName", "InvoiceIssuerName", "InvoiceIssuer")
    return next((cells[name] for name in names if name in cells), None)


def _number(cells: Mapping[str, str], name: str) -> int | None:
    return _whole(cells[name], name) if name in cells else None


def _whole(text: str, name: str, each: Decimal = Decimal(1)) -> int:
    try:
        return count(int((_decimal(text, name) * each).to_integral_value()), name)
    except (DecimalException, ValueError, OverflowError):
        raise BadRow(f"{name} is not a number") from None


def _decimal(text: str, name: str) -> Decimal:
    try:
        return Decimal(text.replace(",", ""))
    except DecimalException:
        raise BadRow(f"{name} is not a number") from None


def _tag(tags: str, name: str) -> str:
    """A tag's value, where tags are a JSON object."""
    try:
        found = msgspec.json.decode(tags, type=dict[str, str | int | float | bool | None])
    except (msgspec.MsgspecError, RecursionError):
        return ""
    return str(next((value for key, value in found.items() if key.lower() == name and value), ""))
