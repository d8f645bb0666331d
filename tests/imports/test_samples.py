"""Every kind of file in its true format: what comes of each row, and that nothing of a prompt is kept anywhere."""

import json
from pathlib import Path

import pytest

from jevons.imports.traces import Added
from jevons.ledger.home import Home
from jevons.meter.pricebook import PriceBook
from tests.imports.doing import CANARY, SAMPLES, bring, entries, sample, tokens

SESSION = "1111aaaa-0000-4000-8000-000000000001"
OCTOBER_MS = 1_790_812_800_000


def test_claude_code(home: Home, book: PriceBook) -> None:
    """A call of several lines counts once, with its last usage and first time; copies in another session are the same call."""
    report = bring(home, book, "claude-code", SAMPLES / "claude")
    old, first, second, unpriced, child, last = entries(home)
    assert tokens(first) == (3, 22137, 2285, 0, 159, 0)
    assert (first["id"] >> 18) % 1000 == 0 and first["agent"] == "claude-code" and first["source"] == "claude-code"
    assert first["list_nusd"] == first["billed_nusd"] == 3 * 3_000 + 22_137 * 300 + 2_285 * 3_750 + 159 * 15_000
    assert tokens(second) == (10, 24000, 0, 500, 40, 0)
    assert (unpriced["target"], unpriced["unknown"], unpriced["list_nusd"]) == ("frobnicate-1", "price", 0)
    assert unpriced["lines"] == [("input", 1200, 0), ("output", 70, 0)]
    assert (child["run_id"], child["tier"]) == ("a1b2c3d4e5f6a7b8c", "commodity")
    assert last["lines"][-1] == ("web_searches", 2, 20_000_000)
    assert (old["list_nusd"], old["billed_nusd"]) == (450_000, 1_230_000)  # Claude Code said so itself
    assert (report.rows, report.fresh, report.known, report.set_aside) == (9, 6, 2, 3)
    assert [aside.line for aside in report.set_aside_shown] == [11, 12, 13]
    assert "\n".join(str(one["override"]) for one in report.unpriced).startswith(
        '[[price]]\nprovider = "*"\nmodel = "frobnicate-1"'
    )


def test_claude_code_under_a_subscription_and_by_project(home: Home, book: PriceBook) -> None:
    found = sample(home, book, "claude-code", "claude", subscription=True, team_from_project=True)
    assert {one["billed_nusd"] for one in found} == {0}
    assert sum(one["list_nusd"] for one in found) > 0
    assert b"shop" in b"".join(file.read_bytes() for file in home.path.iterdir() if file.is_file())


def test_a_project_s_name_is_not_kept_unless_asked_for(home: Home, book: PriceBook) -> None:
    sample(home, book, "claude-code", "claude")
    assert b"shop" not in home.ledger.read_bytes() + home.ledger.with_name("ledger.db-wal").read_bytes()


def test_codex(home: Home, book: PriceBook) -> None:
    """Repeated totals are no call; a missing last is a difference; what a fork copies from its parent is the parent's."""
    report = bring(home, book, "codex", SAMPLES / "codex")
    found = {tokens(one): one for one in entries(home)}
    assert list(found) == [
        (10165, 9984, 0, 0, 5, 0),
        (23735 - 10496, 10496, 0, 0, 406, 300),
        (106, 0, 0, 0, 10, 0),
        (1000, 0, 0, 0, 50, 0),
        (11000, 10000, 0, 0, 200, 100),
    ]
    first, _, _, child, forked = found.values()
    parent = first["run_id"]
    assert first["target"] == "gpt-5.1-codex" and first["list_nusd"] == 10165 * 1_250 + 9984 * 125 + 5 * 10_000
    assert (child["target"], child["tariff"]) == ("gpt-5.1", "")
    assert [(one["tariff"], one["rows"]) for one in report.rated_plain] == [("service_tier=flex", 1)]  # no rate of that time
    assert forked["run_id"] != parent and forked["target"] == "gpt-5.1"
    assert (report.fresh, report.known, report.set_aside) == (5, 0, 1)


def test_codex_of_before_turns_had_dated_ids(home: Home, book: PriceBook, tmp_path: Path) -> None:
    """Then a fork's copies have the parent's identity, and still count once."""
    for file in sorted((SAMPLES / "codex").rglob("*.jsonl")):
        (tmp_path / file.name).write_text(file.read_text().replace("-7000-8000-00000000000b", "-4000-8000-00000000000b"))
    report = bring(home, book, "codex", *sorted(tmp_path.glob("*.jsonl")))
    assert (report.fresh, report.known) == (5, 2)


@pytest.mark.parametrize("name", ["litellm.jsonl", "litellm.json", "litellm_page.json", "litellm.csv"])
def test_litellm(home: Home, book: PriceBook, name: str) -> None:
    found = {one["line"]: one for one in _numbered(sample(home, book, "litellm", name))}
    assert tokens(found[1]) == (400, 600, 0, 0, 100, 30)
    assert (found[1]["billed_nusd"], found[1]["list_nusd"]) == (1_250_000, 400 * 2_500 + 600 * 1_250 + 100 * 10_000)
    assert (found[1]["model"], found[1]["target"], found[1]["upstream"], found[1]["run_id"]) == (
        "smart",
        "gpt-4o",
        "openai",
        "sess-1",
    )
    assert (found[2]["outcome"], tokens(found[2]), found[2]["billed_nusd"]) == ("free", (0,) * 6, 0)  # LiteLLM's own cache
    assert (found[3]["outcome"], found[3]["billed_nusd"]) == ("error", 0)
    assert tokens(found[4]) == (31, 5000, 1253, 0, 100, 0)  # counted beside the prompt
    assert tokens(found[5]) == (31, 5000, 1000, 253, 100, 0)  # within it
    assert (tokens(found[6]), found[6]["unknown"]) == ((2000, 5000, 0, 0, 100, 0), "cache")  # nobody can say
    assert tokens(found[7]) == (600, 400, 0, 0, 100, 0)
    assert (tokens(found[8]), found[8]["unknown"]) == ((1000, 0, 0, 0, 100, 0), "cache")
    assert tokens(found[9]) == (10, 0, 0, 0, 5, 0)
    assert found[9]["key_id"] != found[1]["key_id"]


def _numbered(found: list[dict[str, object]]) -> list[dict[str, object]]:
    """Each entry with the second of its time, which is its number in the samples of LiteLLM."""
    return [{**one, "line": int(str(one["id"])) // 2**18 // 1000 % 60} for one in found]


def test_openrouter_generations(home: Home, book: PriceBook) -> None:
    first, second = sample(home, book, "openrouter", "openrouter_generations.csv")
    assert tokens(first) == (2389, 8000, 0, 0, 137, 100)
    assert (first["billed_nusd"], first["agent"], first["upstream"]) == (12_300_000, "Cline", "openrouter")
    assert (second["outcome"], second["billed_nusd"], second["agent"]) == ("cancelled", 500_000_000, "Roo, Code")


@pytest.mark.parametrize(("name", "rows"), [("openrouter_days.csv", 2), ("openrouter_api.json", 1)])
def test_openrouter_by_day(home: Home, book: PriceBook, name: str, rows: int) -> None:
    found = sample(home, book, "openrouter", name)
    assert [one["unknown"] for one in found] == ["cache"] * rows
    assert found[0]["requests"] == {2: 4115, 1: 5}[rows]
    assert found[-1]["billed_nusd"] == {2: 507_370_000_000, 1: 27_000_000}[rows]


def test_openai_usage(home: Home, book: PriceBook) -> None:
    """A bucket is rated at the tier of its mean call, not of its sum."""
    first, batch, flex = sample(home, book, "openai", "openai_usage.json")
    assert (tokens(first), first["requests"]) == ((1000, 4000, 0, 0, 1000, 0), 5)
    assert first["list_nusd"] == 1000 * 2_500 + 4000 * 1_250 + 1000 * 10_000
    assert batch["tariff"] == "processing=batch" and batch["list_nusd"] == (5000 * 2_500 + 1000 * 10_000) // 2
    assert flex["tariff"] == "service_tier=flex"


def test_openai_usage_of_the_dashboard(home: Home, book: PriceBook) -> None:
    [only] = sample(home, book, "openai", "openai_usage.csv")
    assert tokens(only) == (500, 4000, 0, 0, 1000, 0)
    assert ("input_audio", 500) in [line[:2] for line in only["lines"]]


def test_openai_tells_audio_within_or_beside_the_input(home: Home, book: PriceBook, tmp_path: Path) -> None:
    """Of late the parts of a bucket are those that are neither cached nor written."""
    counts = {
        "output_tokens": 10,
        "output_text_tokens": 6,
        "output_audio_tokens": 3,
        "output_image_tokens": 1,
        "num_model_requests": 1,
    }
    late = {
        "input_tokens": 1000,
        "input_cached_tokens": 600,
        "input_text_tokens": 250,
        "input_audio_tokens": 100,
        "input_image_tokens": 50,
    }
    early = {"input_tokens": 1000, "input_cached_tokens": 600, "input_audio_tokens": 100}
    results = [
        {"model": "gpt-4o", "api_source": source, **counts, **given}
        for source, given in (("agents_api", late), ("unlabeled", late), (None, early))
    ]
    file = tmp_path / "usage.json"
    file.write_text(json.dumps({"data": [{"start_time": 1793664000, "end_time": 1793750400, "results": results}]}))
    bring(home, book, "openai", file)
    assert [tokens(one)[:2] for one in entries(home)] == [(300, 600), (300, 600), (400, 600)], (
        "equal sums of two sources are two rows"
    )
    assert [tokens(one)[4] for one in entries(home)] == [7, 7, 7]


def test_anthropic_accounts_are_told_apart(home: Home, book: PriceBook, tmp_path: Path) -> None:
    result = {"model": "claude-opus-4-6", "uncached_input_tokens": 10, "output_tokens": 5}
    results = [{**result, "account_id": "user_1"}, {**result, "account_id": "user_2"}, {**result, "service_account_id": "svac_1"}]
    file = tmp_path / "usage.json"
    bucket = {"starting_at": "2026-11-03T00:00:00Z", "ending_at": "2026-11-04T00:00:00Z", "results": results}
    file.write_text(json.dumps({"data": [bucket]}))
    assert bring(home, book, "anthropic", file).fresh == 3
    assert len({one["key_id"] for one in entries(home)}) == 3


@pytest.mark.parametrize(("name", "dollars"), [("openai_costs.json", 1.56), ("openai_costs.csv", 0.895874)])
def test_openai_costs(home: Home, book: PriceBook, name: str, dollars: float) -> None:
    found = sample(home, book, "openai", name)
    assert sum(one["billed_nusd"] for one in found) == round(dollars * 10**9)
    assert {one["unknown"] for one in found} == {"tokens,requests"}
    assert {one["requests"] for one in found} == {0}
    assert {line[0] for one in found for line in one["lines"]} == {"told"}


def test_anthropic_usage(home: Home, book: PriceBook) -> None:
    first, long = sample(home, book, "anthropic", "anthropic_usage.json")
    assert (tokens(first), first["unknown"], first["tariff"]) == ((1_500_000, 200_000, 500, 1000, 500_000, 0), "requests", "")
    plain = 1_500_000 * 3_000 + 200_000 * 300 + 500 * 3_750 + 1000 * 6_000 + 500_000 * 15_000 + 10 * 10_000_000
    assert first["list_nusd"] == plain
    assert long["list_nusd"] > 0 and long["tariff"].startswith("processing=batch")


@pytest.mark.parametrize(
    ("name", "billed", "listed"),
    [("anthropic_costs.json", 1_234_500_000, 1_234_500_000), ("anthropic_costs.csv", 2_000_000_000, 2_100_000_000)],
)
def test_anthropic_costs(home: Home, book: PriceBook, name: str, billed: int, listed: int) -> None:
    """The API's amounts are in cents."""
    found = sample(home, book, "anthropic", name)
    assert (sum(one["billed_nusd"] for one in found), sum(one["list_nusd"] for one in found)) == (billed, listed)
    assert {one["target"] for one in found} <= {"claude-sonnet-4-5-20250929", "claude-opus-4-6"}


def test_anthropic_usage_of_the_console(home: Home, book: PriceBook) -> None:
    first, batch = sample(home, book, "anthropic", "anthropic_usage.csv")
    assert first["list_nusd"] == 46_981 * 5_000 + 15_969 * 6_250 + 16_932 * 25_000
    assert batch["list_nusd"] == (1000 * 5_000 + 10 * 25_000) // 2


def test_focus(home: Home, book: PriceBook) -> None:
    """Costs are FOCUS' own; what is no model is passed over; equal rows are two."""
    report = bring(home, book, "focus", SAMPLES / "focus.csv")
    given, made, *sessions = entries(home)
    assert (given["lines"], given["billed_nusd"]) == ([("input", 1_000_000, 2_500_000_000)], 1_250_000_000)
    assert (made["lines"], made["billed_nusd"]) == ([("output", 50_000, 500_000_000)], 500_000_000)
    assert [(one["target"], one["unknown"]) for one in sessions] == [("sku-4", "tokens,requests")] * 2
    assert (report.fresh, report.set_aside) == (4, 2)


def test_traces(home: Home, book: PriceBook) -> None:
    bring(home, book, "trace", SAMPLES / "azure.csv", trace=Added("gpt-4o", start_ms=OCTOBER_MS))
    bring(home, book, "trace", SAMPLES / "azure.csv", trace=Added("gpt-4o-mini", start_ms=OCTOBER_MS))
    bring(home, book, "trace", SAMPLES / "mooncake.jsonl", trace=Added("gpt-4o", "openai", OCTOBER_MS))
    found = entries(home)
    assert len(found) == 8
    assert {one["unknown"] for one in found} == {"cache,time"}
    assert found[0]["id"] >> 18 == OCTOBER_MS
    assert max(one["id"] >> 18 for one in found) == OCTOBER_MS + 3000


def test_weekly_sums_have_their_own_prices(home: Home, book: PriceBook) -> None:
    paid, free = sample(home, book, "trace", "weekly.csv")
    assert (paid["list_nusd"], paid["requests"]) == (600_000 * 500 + 400_000 * 50 + 200_000 * 2_000, 1000)
    assert (free["list_nusd"], free["unknown"]) == (0, "tokens")


def test_nothing_of_a_prompt_is_kept(home: Home, book: PriceBook) -> None:
    bring(home, book, "claude-code", SAMPLES / "claude")
    bring(home, book, "codex", SAMPLES / "codex")
    for name in ("litellm.jsonl", "litellm.json", "litellm.csv"):
        bring(home, book, "litellm", SAMPLES / name)
    bring(home, book, "openrouter", SAMPLES / "openrouter_generations.csv")
    assert any(CANARY in file.read_text() for file in SAMPLES.rglob("*") if file.is_file())
    kept = [file for file in home.path.rglob("*") if file.is_file()]
    assert home.path / "imports" / "aside.jsonl" in kept
    assert [file for file in kept if CANARY.encode() in file.read_bytes()] == []
