"""Rows that cannot be used, of each kind: the reason names what is wrong and quotes nothing; the rows beside them come in."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from jevons.imports.kinds import KINDS, NO_OPTIONS, Options
from jevons.imports.reading import SourceFile
from jevons.imports.traces import Added
from jevons.ledger.home import Home
from jevons.meter.pricebook import PriceBook
from tests.imports.doing import CANARY, SAMPLES, bring

BUCKET = {"start_time": 1793664000, "end_time": 1793750400}
OURS = {"starting_at": "2026-11-03T00:00:00Z", "ending_at": "2026-11-04T00:00:00Z"}
SESSION = {"type": "assistant", "timestamp": "2026-10-01T08:00:01Z", "sessionId": "s"}
MESSAGE = {"id": "m", "model": "claude-opus-4-6", "usage": {"input_tokens": 1, "output_tokens": 1}}


def lines(*rows: Any) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def counted(**last: int) -> dict[str, Any]:
    """A call, as Codex notes it."""
    payload = {"type": "token_count", "info": {"last_token_usage": last}}
    return {"type": "event_msg", "timestamp": "2026-10-01T08:00:01Z", "payload": payload}


CASES: list[tuple[str, str, list[str | int]]] = [
    # kind, content, what each row comes to: a number of records, or a reason
    (
        "claude-code",
        lines(
            {**SESSION, "message": {**MESSAGE, "id": None}},
            {**SESSION, "message": {**MESSAGE, "usage": {"input_tokens": None}}},
            {**SESSION, "message": {**MESSAGE, "usage": None}},
            {**SESSION, "message": {**MESSAGE, "usage": {"input_tokens": -5, "output_tokens": 2}}},
            {**SESSION, "message": {**MESSAGE, "usage": {"input_tokens": 10**30, "output_tokens": 2}}},
            {"type": "assistant", "x": '"usage"'},
            {**SESSION, "message": MESSAGE, "timestamp": None},
            {**SESSION, "message": {**MESSAGE, "model": "us.anthropic.claude-opus-4-6-v1"}},
        ),
        [
            "it has usage but no message.id or no model",
            "its usage is none that can be counted",
            "its usage is none that can be counted",
            "timestamp is missing",
            1,
        ],
    ),
    (
        "codex",
        lines(
            '{"type": "event_msg", "payload": {"type": "token_count", "info": 7}}',
            '{"type": "event_msg", "token_count": "token_count"}',
            counted(input_tokens=1, cached_input_tokens=2),
            counted(input_tokens=1, output_tokens=1, reasoning_output_tokens=2),
            counted(input_tokens=-1),
            counted(input_tokens=3),
        ),
        [
            "it is no JSON of a session log",
            "it has more cached input than input",
            "it has more reasoning than output",
            "input_tokens is no plausible number",
            1,
        ],
    ),
    (
        "litellm",
        lines(
            {"request_id": "1", "startTime": 1793664000, "model": "", "call_type": ""},
            {"request_id": "1", "startTime": "1969-01-01T00:00:00Z", "model": "m"},
            {"request_id": "1", "startTime": 1793664000, "model": "m", "spend": "NaN"},
            {"request_id": "1", "startTime": 1793664000, "model": "m", "spend": 1e9},
            {"request_id": "1", "startTime": 1793664000, "model": "m", "spend": "1e999999"},
            {"request_id": "1", "startTime": 1793664000, "model": "m", "metadata": [1]},
            {"request_id": "2", "startTime": 1793664000000, "model": "m", "metadata": {"usage_object": 5}},
        ),
        [
            "model is missing",
            "startTime lies before 1970",
            "spend is not an amount",
            "spend is more than a ledger can hold",
            "spend is not an amount",
            1,
            1,
        ],
    ),
    ("litellm", "request_id,startTime,model\na,2026-10-01\nb,2026-10-01,m\n", ["it has 2 cells, the header has 3", 1]),
    (
        "openrouter",
        "generation_id,created_at,model_permaslug\n,2026-10-01,m\ng,2026-10-01,m\n",
        ["generation_id or model_permaslug is missing", 1],
    ),
    (
        "openrouter",
        json.dumps({"data": [{"date": "2026-10-01"}, {"date": "x", "slug": "m"}, [5], {"date": "2026-10-01", "slug": "m"}]}),
        ["it names no model", "date is not a time", "it is no row of OpenRouter's activity: Expected `object`, got `array`", 1],
    ),
    (
        "openrouter",
        '[{"date": "2026-10-01", "slug": "m"}, {"date"',
        [1, "the file ends in the middle of it: the export or the copy was cut off"],
    ),
    ("openrouter", '[{"date" 5}]', ["it is no JSON"]),
    (
        "openai",
        json.dumps(
            [
                {**BUCKET, "results": [{"object": "organization.usage.images.result", "images": 3, "num_model_requests": 3}]},
                {"results": [{"input_tokens": 1}]},
                {"results": 5},
                {"data": [{**BUCKET, "results": [{"input_tokens": 1}]}]},
            ]
        ),
        [
            "it counts no tokens (images, speech, sessions); OpenAI's costs have it",
            "start_time is missing",
            "it is no bucket of OpenAI's usage or costs: Expected `array`, got `int` - at `$.results`",
            1,
        ],
    ),
    ("openai", '[{"x" 5}]', ["it is no JSON"]),
    (
        "openai",
        "start_time,amount_value\n1793664000,x\nx,1\n1793664000,-1\n1793664000,1\n1793664000\n",
        [
            "it is no row of an export of OpenAI: Invalid decimal string - at `$.amount_value`",
            "start_time is not a time",
            "amount is negative: a credit, which `jevons adjust` records",
            1,
            "it has 1 cells, the header has 2",
        ],
    ),
    (
        "anthropic",
        json.dumps(
            [
                {
                    **OURS,
                    "results": [{"amount": "5", "currency": "EUR"}, {"amount": "0"}, {"amount": "5", "cost_type": "web_search"}],
                },
                {"results": [{"output_tokens": 1}]},
                {"results": 5},
                {"data": [{**OURS, "results": [{"output_tokens": 1}, {"output_tokens": 0}]}]},
            ]
        ),
        [
            "its currency is not the dollar, and the ledger is in dollars",
            0,
            1,
            "starting_at is missing",
            "it is no bucket of Anthropic's usage or costs: Expected `array`, got `int` - at `$.results`",
            1,
            0,
        ],
    ),
    ("anthropic", '[{"x" 5}]', ["it is no JSON"]),
    (
        "anthropic",
        "usage_date_utc,model,cost_usd\nx,m,1\n2026-11-03,m\n2026-11-03,m,y\n2026-11-03,m,1\n",
        [
            "usage_date_utc is not a time",
            "it has 2 cells, the header has 3",
            "it is no row of an export of Anthropic's Console: Invalid decimal string - at `$.cost_usd`",
            1,
        ],
    ),
    (
        "focus",
        lines(
            "BilledCost,ChargePeriodStart,x_AIModel,ConsumedUnit,ConsumedQuantity,SkuMeter,x_InputTokens,x_OutputTokens,Tags",
            "1,2026-11-03,m,Tokens,many,Input,,,",
            "1,2026-11-03,m",
            "1,2026-11-03,m,Million tokens,1.5,Cache write 1h,,,{}",
            "1,2026-11-03,m,Tokens,5,cache creation,,,x",
            "1,2026-11-03,m,Tokens,5,cached,,,",
            "1,2026-11-03,m,Tokens,5,what,,,",
            "1,2026-11-03,m,,,,10,5,",
            "1,2026-11-03,m,1M tokens,9e999999,Input,,,",
            "1,2026-11-03,m,1.2.3 tokens,5,Input,,,",
        ),
        [
            "ConsumedQuantity is not a number",
            "it has 3 cells, the header has 9",
            1,
            1,
            1,
            1,
            1,
            "ConsumedQuantity is not a number",
            "ConsumedUnit is not a number",
        ],
    ),
    (
        "trace",
        "TIMESTAMP,ContextTokens,GeneratedTokens\nx,1,1\n2026-11-03,x,1\n2026-11-03\n2026-11-03,1,1\n",
        [
            "TIMESTAMP is not a time",
            "it is no row of this trace: Expected `int`, got `str` - at `$.ContextTokens`",
            "it has 1 cells, the header has 3",
            1,
        ],
    ),
    (
        "trace",
        '{"timestamp": 0, "input_length": 1, "output_length": -1}\n{"timestamp": 0}\n[1]\n{"timestamp": 5, "input_length": 1, "output_length": 1}\n',
        ["the output is no plausible number", "it is no request of a Mooncake trace", "it is no request of a Mooncake trace", 1],
    ),
    ("trace", "week_ending,model,prompt_tokens,completion_tokens\nx,m,1,1\n2026-11-03,m,1,1\n", ["week_ending is not a time", 1]),
    (
        "trace",
        "week_ending,model,prompt_tokens,completion_tokens,input_usd_per_mtok,output_usd_per_mtok\n"
        + "".join(f"2026-11-03,m,1,1,{usd},2\n" for usd in ("abc", "1/0", "-4", "1e999999", "0.15")),
        [*["a price of it is not an amount"] * 4, 1],
    ),
]


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("packed", [False, True])
def test_bad_rows(tmp_path: Path, case: int, packed: bool) -> None:
    kind, text, expected = CASES[case]
    file = tmp_path / "file"
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    options = Options(trace=Added("gpt-4o", start_ms=1_793_664_000_000)) if kind == "trace" else NO_OPTIONS
    found = [row.problem or len(row.records) for row in KINDS[kind].read(SourceFile(file), options)]
    assert found == expected


def test_reasons_quote_nothing(home: Home, book: PriceBook, tmp_path: Path) -> None:
    """Every cell of samples is a prompt, one after the other: whatever columns have been shifted to, reasons keep nothing of it."""
    kinds = {"litellm": "litellm.csv", "openai": "openai_usage.csv", "anthropic": "anthropic_usage.csv", "focus": "focus.csv"}
    for kind, name in kinds.items():
        header, first, *_ = (SAMPLES / name).read_text().split("\n", 2)
        cells = first.split(",")
        rows = [",".join([*cells[:place], CANARY, *cells[place + 1 :]]) for place in range(len(cells))]
        file = tmp_path / name
        file.write_text("\n".join([header, *rows]) + "\n")
        report = bring(home, book, kind, file)
        assert report.set_aside > 0
        assert CANARY not in repr(report.set_aside_shown)
    assert CANARY not in (home.path / "imports" / "aside.jsonl").read_text()
