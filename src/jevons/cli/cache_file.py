"""Recorded requests of a file, looked at as if they passed the gateway now: `jevons cache doctor FILE`.

Comes in: JSON lines, each the body of a request, or {"at": Unix seconds, "body": {…}}. Goes out: a `Report`, and what could not be read. What a
provider read is not in a request: it is taken to read all that its rules let it read. Nothing is kept, nothing is sent.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from jevons.cli.tables import printable
from jevons.core.ask import Ask, Dialect
from jevons.core.chain import chain
from jevons.core.price import Price
from jevons.core.refusal import Refusal
from jevons.economics.prefix_breaks import Calls, Loss, Report, report
from jevons.gateway.breaking import Breaks, Sent
from jevons.imports.reading import SourceFile, Unreadable
from jevons.meter.cost import UnknownPrice
from jevons.meter.models import ModelFacts, model_facts
from jevons.meter.naming import UnknownModel, resolve_model
from jevons.meter.overrides import override_line
from jevons.meter.pricebook import PriceBook, open_book
from jevons.meter.prompt_rules import prompt_rules
from jevons.meter.tokens import MessageCounter
from jevons.wire.body import BAD_JSON
from jevons.wire.parse import parse

SKIPPED_TOLD = 5
_SECRET = b"digests that leave this process never"
_STEP_MS = 1000
"""Between two requests of which no times are known."""


class _Line(msgspec.Struct):
    at: float | None = None
    body: msgspec.Raw = msgspec.Raw(b"")


class _Recorded(NamedTuple):
    line: int
    at_ms: int | None
    ask: Ask


class _Model(NamedTuple):
    """What a model's requests are priced and counted by."""

    provider: str
    name: str
    price: Price
    facts: ModelFacts


def examine(path: Path, home: Path, model: str | None, dialect: str | None) -> tuple[Report, list[str]]:
    """What breaks prefixes in a file, and its lines that are no requests, in words.

    Raises Unreadable, also if no line is a request; UnknownModel, UnknownPrice.
    """
    breaks, counter, book = Breaks(), MessageCounter(), open_book(home)
    models: dict[str, _Model] = {}
    losses: list[Loss] = []
    requests: dict[str, int] = defaultdict(int)
    times: list[int] = []
    skipped: list[str] = []
    for number, one in enumerate(_requests(path, dialect, skipped)):
        ask = one.ask
        found = models.get(ask.model) or models.setdefault(ask.model, _model(book, ask.model, model))
        at_ms = number * _STEP_MS if one.at_ms is None else one.at_ms
        if one.at_ms is not None:
            times.append(one.at_ms)
        rules = prompt_rules(found.provider, found.name)
        sent = Sent(ask, chain(_SECRET, ask.messages), (0, "", ""), at_ms, (found.provider, ask.model), rules)
        try:
            fairly = msgspec.structs.replace(found.facts, tokenizer=found.facts.count_encoding)  # not a bound: it is to be priced
            tokens = counter.count(ask.messages, fairly, ask.dialect, extras=ask.extras).tokens
        except Refusal as error:
            skipped.append(f"Line {one.line} is left out: {error.message}")
            continue
        requests[ask.model] += 1
        broke = breaks.ended(sent, at_ms, tokens, found.price)
        if broke is not None:
            losses.append(
                Loss(
                    "",
                    "",
                    ask.model,
                    broke.cause,
                    broke.position,
                    broke.role,
                    broke.lost_tokens,
                    broke.lost_nusd,
                    f"line {one.line}",
                )
            )
    if not requests:
        why = "\n".join(_few(skipped)) or "It is empty."
        raise Unreadable(
            printable(f'{path} holds no request. Each line should be a JSON body, or {{"at": seconds, "body": {{…}}}}.\n{why}')
        )
    calls = [Calls("", "", name, number, None, None) for name, number in requests.items()]
    span_ms = max(times) - min(times) if times else None
    return report(losses, calls, span_ms), _few(skipped)


def _requests(path: Path, dialect: str | None, skipped: list[str]) -> Iterator[_Recorded]:
    for piece in SourceFile(path).lines():
        problem = piece.problem
        if not problem:
            try:
                body, at = _body(piece.data)
                yield _Recorded(piece.line, None if at is None else int(at * 1000), parse(_dialect(body, dialect), body))
                continue
            except Refusal as error:
                problem = error.message
            except (*BAD_JSON, OverflowError):
                problem = 'it is neither the JSON of a request nor {"at": seconds, "body": {…}}.'
        skipped.append(f"Line {piece.line} is left out: {problem}")


def _body(data: bytes) -> tuple[bytes, float | None]:
    line = msgspec.json.decode(data, type=_Line)
    return (bytes(line.body), line.at) if bytes(line.body) else (data, None)


def _dialect(body: bytes, given: str | None) -> Dialect:
    """What a body looks like, if nobody says: each dialect has members that the others do not."""
    if given is not None:
        return Dialect(given)
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if "messages" not in fields:
        return Dialect.RESPONSES
    tools = bytes(fields.get("tools", b""))
    theirs = "system" in fields or "stop_sequences" in fields or b'"input_schema"' in tools
    return Dialect.MESSAGES if theirs or bytes(fields.get("model", b"")).startswith(b'"claude') else Dialect.CHAT


def _model(book: PriceBook, name: str, instead: str | None) -> _Model:
    """`instead`: whose price is wished in place of its own."""
    try:
        provider, asked = resolve_model(book, instead or name)
    except UnknownModel as error:
        if instead is not None:
            raise
        raise UnknownModel(f"{error}. Or price the file as another model, such as --model gpt-4o", error.suggestions) from None
    price = book.price(provider, asked, int(time.time() * 1000))
    if price is None:
        raise UnknownPrice(
            f"{provider} has no price for {asked}. Price the file as another model, such as --model gpt-4o;"
            f" or, if you know it, put this into prices.toml:\n{override_line(provider, asked)}"
        )
    return _Model(provider, asked, price, model_facts(provider, asked))


def _few(skipped: list[str]) -> list[str]:
    more = len(skipped) - SKIPPED_TOLD
    return skipped if more <= 0 else [*skipped[:SKIPPED_TOLD], f"And {more:,} lines more."]
