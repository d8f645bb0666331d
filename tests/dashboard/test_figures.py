"""A figure on a page is that of the command line, read from the page as the browser made it; and each leads to the rows that it sums."""

from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page

from jevons.core.money import format_usd, short_usd
from tests.dashboard.desk import FROM_TO, HOSTILE, PERIOD, Desk

TABLE = """selector => [...document.querySelectorAll(selector + " tbody tr")].filter(row => row.dataset.label !== undefined).map(row => ({
    ...Object.fromEntries([...row.querySelectorAll("td[data-name]")].map(cell => [cell.dataset.name, cell.querySelector("data")?.value])),
    ...row.dataset,
    cost: row.querySelector(".cost data").value,
}))"""
BASE = ("--from", "2026-08-30", "--to", "2026-09-04")


@pytest.fixture
def page(browser: Browser, desk: Desk) -> Any:
    context = browser.new_context()
    page = context.new_page()
    page.goto(desk.link())
    page.wait_for_url(desk.jevons.url + "/ui/")
    yield page
    context.close()


def value(page: Page, selector: str) -> int:
    """The exact value beside the text; the text is that value, shortened."""
    found = page.locator(f"{selector} data").first
    exact = int(found.get_attribute("value") or "")
    if "usd" in (found.get_attribute("class") or ""):
        assert (found.text_content() or "").lstrip("+±") in (short_usd(exact), format_usd(exact))
    return exact


@pytest.mark.parametrize("by", ["day", "model", "key"])
def test_the_bill_is_that_of_the_command_line(page: Page, desk: Desk, by: str) -> None:
    page.goto(f"{desk.jevons.url}/ui/bill?by={by}&{PERIOD}")
    now, before = (desk.json("bill", "--by", by, *period) for period in (FROM_TO, BASE))
    assert value(page, "#total") == now["total_nusd"] != 0
    assert value(page, "#base") == before["total_nusd"] != 0
    assert value(page, "#change") == now["total_nusd"] - before["total_nusd"]
    assert value(page, "#list") == now["list_nusd"]
    shown = {row["label"]: row for row in page.evaluate(TABLE, "#rows")}
    corrections = shown.pop("corrections")
    assert int(corrections["cost"]) == now["adjustments_nusd"]
    shown = {label: row for label, row in shown.items() if int(row["entries"])}
    assert {label: int(row["cost"]) for label, row in shown.items()} == {row[by]: row["billed_nusd"] for row in now["rows"]}
    assert {label: int(row["entries"]) for label, row in shown.items()} == {row[by]: row["entries"] for row in now["rows"]}
    assert value(page, "#rows tfoot .cost") == now["total_nusd"]
    if by != "day":  # days are held against the day of their place
        earlier = {row[by]: row["billed_nusd"] for row in before["rows"]}
        rows = {row["label"]: int(row["before"]) for row in page.evaluate(TABLE, "#rows") if row["label"] != "corrections"}
        assert {label: nusd for label, nusd in rows.items() if nusd} == earlier


def test_what_it_cost_by_run_is_that_of_the_command_line(page: Page, desk: Desk) -> None:
    page.goto(f"{desk.jevons.url}/ui/bill?by=run&{PERIOD}")
    told = {(row["run"] or "", row["key"]): row["billed_nusd"] for row in desk.json("bill", "--by", "run", *FROM_TO)["rows"]}
    assert {(row["label"], row["key"]): int(row["cost"]) for row in page.evaluate(TABLE, "#rows")} == told
    assert value(page, "#rows tfoot .cost") == sum(told.values())


def test_the_effects_are_those_of_the_command_line_and_sum_to_the_change(page: Page, desk: Desk) -> None:
    page.goto(f"{desk.jevons.url}/ui/bill?{PERIOD}")
    page.wait_for_selector("details.effect")
    told = desk.json("explain", *FROM_TO)
    effects = {
        effect.get_attribute("data-effect"): [
            int(effect.locator(f".{way} data").first.get_attribute("value") or "") for way in ("lmdi", "shapley")
        ]
        for effect in page.locator("details.effect").all()
    }
    assert effects == {effect["name"]: [effect["lmdi_nusd"], effect["shapley_nusd"]] for effect in told["effects"]}
    assert {sum(column) for column in zip(*effects.values(), strict=True)} == {value(page, "#change")}
    drawn = page.locator("svg.waterfall > desc").text_content() or ""
    assert all(f"{name} " in drawn for name in effects)


def test_every_effect_opens_its_segments_and_they_sum_to_it(page: Page, desk: Desk) -> None:
    page.goto(f"{desk.jevons.url}/ui/bill?{PERIOD}")
    page.wait_for_selector("details.effect")
    for effect in page.locator("details.effect").all():
        effect.locator("summary").click()
        effect.locator("tr[data-segment]").first.wait_for()
        for way in ("lmdi", "shapley"):
            segments = [int(cell.get_attribute("value") or "") for cell in effect.locator(f"tr[data-segment] .{way} data").all()]
            assert sum(segments) == int(effect.locator(f"summary .{way} data").get_attribute("value") or "")


def test_from_an_effect_down_to_the_lines_of_an_entry(page: Page, desk: Desk) -> None:
    page.goto(f"{desk.jevons.url}/ui/bill?{PERIOD}")
    page.locator("details.effect[data-effect=output] summary, details.effect summary").first.click()
    page.locator("tr[data-segment] a", has_text="runs").first.click()
    page.wait_for_url("**/ui/runs?**")
    rows = page.evaluate(TABLE, "#rows")
    assert rows and sum(int(row["cost"]) for row in rows) == value(page, "#rows tfoot .cost")
    page.locator("#rows .cost a").first.click()
    page.wait_for_url("**/ui/entries?**")
    entries = page.evaluate(TABLE, "#rows")
    assert sum(int(row["cost"]) for row in entries) == value(page, "#rows tfoot .cost") == int(rows[0]["cost"])
    page.locator("#rows td a").first.click()
    page.wait_for_url("**/ui/request?**")
    billed = value(page, ".billed")
    assert billed == int(entries[0]["cost"])
    lines = [int(cell.get_attribute("value") or "") for cell in page.locator("table.lines tbody td:last-child data").all()]
    assert len(lines) == 4 and sum(lines) == billed


def test_each_row_of_a_bill_leads_to_runs_that_sum_to_it(page: Page, desk: Desk) -> None:
    for by in ("model", "key", "team", "agent", "day"):
        page.goto(f"{desk.jevons.url}/ui/bill?by={by}&{PERIOD}")
        links = [
            (row.locator("td a").first.get_attribute("href") or "", int(row.locator(".cost data").get_attribute("value") or ""))
            for row in page.locator("#rows tbody tr:not([data-label=corrections])").all()
            if row.locator("td a").count()
        ]
        assert len(links) >= 3
        for link, nusd in links:
            page.goto(desk.jevons.url + link)
            assert value(page, "#rows tfoot .cost") == nusd, (by, link)


def test_what_was_saved_is_that_of_the_command_line_and_leads_to_its_entries(page: Page, desk: Desk) -> None:
    page.goto(f"{desk.jevons.url}/ui/bill?{PERIOD}")
    told = desk.json("savings", *FROM_TO)
    shown = page.evaluate(TABLE, "#savings")
    assert {row["label"]: (int(row["saved"]), int(row["entries"])) for row in shown} == {
        one["kind"]: (one["nusd"], one["entries"]) for one in told["kinds"]
    }
    assert {one["kind"] for one in told["kinds"]} == {"trim", "prompt_client", "check"}
    assert value(page, "#savings tfoot .cost") == told["saved_nusd"] == sum(int(row["saved"]) for row in shown)
    assert value(page, "#baseline") == told["baseline_nusd"] == value(page, "#list") + told["saved_nusd"]
    assert value(page, "#not-ours") == next(one["nusd"] for one in told["kinds"] if one["kind"] == "prompt_client")
    assert page.locator("tr[data-label=trim] .est").count() == 1
    links = [page.locator(f"#savings tr[data-label={row['label']}] a").get_attribute("href") or "" for row in shown]
    for row, link in zip(shown, links, strict=True):
        page.goto(desk.jevons.url + link)
        assert value(page, "#rows tfoot .saved") == int(row["saved"])
        entries = page.evaluate(TABLE, "#rows")
        assert len(entries) == int(row["entries"]) and sum(int(entry["saved"]) for entry in entries) == int(row["saved"])


def test_what_was_routed_is_that_of_the_command_line(page: Page, desk: Desk) -> None:
    page.goto(f"{desk.jevons.url}/ui/bill?{PERIOD}")
    told = desk.json("routes", "report", *FROM_TO)
    (row,) = page.evaluate(TABLE, "#routes")
    (easy,) = told["rows"]
    assert (row["label"], int(row["requests"]), int(row["net"])) == ("easy <b>", easy["requests"], easy["net_nusd"])
    assert int(row["cache"]) == easy["forfeited_nusd"] == -7_000_000 * easy["requests"] < 0
    assert value(page, "#routes tfoot .cost") == told["net_nusd"]
    page.goto(f"{desk.jevons.url}/ui/bill?first=2026-01-01&last=2026-01-02")
    assert page.locator("#routed").count() == 0


def test_a_request_shows_what_it_would_have_cost(page: Page, desk: Desk) -> None:
    page.goto(f"{desk.jevons.url}/ui/entries?{PERIOD}&saved=trim")
    page.locator("#rows td a").first.click()
    page.wait_for_url("**/ui/request?**")
    cost, baseline = value(page, ".billed"), value(page, "table.lines .baseline")
    assert baseline - cost == sum(value(page, f"tr[data-saving={kind}] td:last-child") for kind in ("trim", "prompt_client"))


def test_where_nothing_was_saved_it_says_what_to_ask(page: Page, desk: Desk) -> None:
    page.goto(f"{desk.jevons.url}/ui/bill?first=2026-01-01&last=2026-01-02")
    assert page.locator("#saved .empty code").text_content() == "jevons savings"


def test_a_segment_of_several_models_leads_to_the_rows_of_either(page: Page, desk: Desk) -> None:
    told = {row["model"]: row["billed_nusd"] for row in desk.json("bill", "--by", "model", *FROM_TO)["rows"]}
    both = "claude-opus-4-5 → claude-haiku-4-5"
    for asked, models in (
        ({"model": both}, ("anthropic/claude-opus-4-5", "anthropic/claude-haiku-4-5")),
        ({"line": "anthropic/opus", "tier": "frontier"}, ("anthropic/claude-opus-4-5",)),
        ({"line": "anthropic/opus", "model": "gpt-5"}, ()),
        ({"tariff": "anthropic", "model": "claude-opus-4-5"}, ("anthropic/claude-opus-4-5",)),
        ({"team": "default/research"}, ()),
        ({"team": "research", "org": "default", "source": ""}, ("anthropic/claude-opus-4-5",)),
    ):
        page.goto(f"{desk.jevons.url}/ui/runs?{PERIOD}&{urlencode(asked)}")
        assert value(page, "#rows tfoot .cost") == sum(told[model] for model in models), asked


def test_corrections_lead_to_their_rows(page: Page, desk: Desk) -> None:
    page.goto(f"{desk.jevons.url}/ui/bill?{PERIOD}")
    page.locator("tr[data-label=corrections] a").click()
    page.wait_for_url("**/ui/corrections?**")
    assert value(page, "#rows tfoot .n:last-child") == desk.json("bill", *FROM_TO)["adjustments_nusd"] == -20_000_000
    assert page.locator("#rows tbody td", has_text=HOSTILE).count() == 1


def test_a_run_is_that_of_the_command_line(page: Page, desk: Desk) -> None:
    told = desk.json("runs", "refactor-20700")
    page.goto(f"{desk.jevons.url}/ui/run?key=alice&run=refactor-20700")
    assert (value(page, "#total"), value(page, "#own")) == (told["tree_billed_nusd"], told["billed_nusd"])
    shown = {row["label"]: int(row["cost"]) for row in page.evaluate(TABLE, "#rows")}
    assert shown == {call["request"]: call["billed_nusd"] for call in told["calls"]}
    assert page.locator("#own .est").count() == 1, "one of its calls is an estimate"


def test_imported_rows_are_marked(page: Page, desk: Desk) -> None:
    page.goto(f"{desk.jevons.url}/ui/bill?by=key&{PERIOD}")
    assert page.locator("tr[data-label=logs] .mark").text_content() == "claude-code"
    assert page.locator("tr[data-label=alice] .mark").count() == 0
    assert "claude-code" in (page.locator("section.card").first.text_content() or "")


def test_now_is_what_the_command_line_says_now(page: Page, desk: Desk) -> None:
    for run in ("now-1", "now-2", None):
        assert desk.call("bob", run).status == 200
    desk.jevons.settled(0)
    page.goto(f"{desk.jevons.url}/ui/")
    runs = {(run["key"], run["run_id"]): run["tree_billed_nusd"] for run in desk.json("runs", "--limit", "200")["runs"]}
    rows = page.evaluate(
        "() => [...document.querySelectorAll('#runs tbody tr')].map(r => [r.dataset.key, r.dataset.run, +r.querySelector('.cost data').value])"
    )
    live = {(key, run): nusd for key, run, nusd in rows}
    assert {("bob", "now-1"), ("bob", "now-2")} <= live.keys()
    assert live == {run: runs[run] for run in live}
    told = desk.json("limits", "--accounts", "1000")
    accounts = {account["account"]: account for limit in told["limits"] for account in limit["accounts"]}
    shown = page.evaluate(
        """() => [...document.querySelectorAll("#budgets [data-account]")].map(one => [
            one.dataset.account, ...["posted", "limit"].map(part => +one.querySelector(`.${part} data`).value)])"""
    )
    assert len(shown) >= 3
    for name, posted, limit in shown:
        assert (posted, limit) == (accounts[name]["posted_nusd"], accounts[name]["limit_nusd"])
    top = desk.json("top")
    assert value(page, "#open-calls") == len(top["holds"]) == 0
    assert value(page, "#today") == sum(row["billed_nusd"] for row in desk.json("bill")["rows"] if row["day"] > "2026-10-01")
