"""The pages Cost and Forecast, over a past that ended yesterday: figures are those of the ledger and of the command line; what lacks is said."""

import html
import re
import shlex
import sys
import time
from collections.abc import Iterator

import msgspec
import pytest
from playwright.sync_api import Browser, Page

from jevons.dashboard import missing
from jevons.economics.unitcost.local import Rates
from jevons.economics.unitcost.local_price import Terms
from jevons.economics.unitcost.local_saved import FILE, Calibration, Point
from jevons.ledger.home import Home
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.sqlite import SqliteStore
from tests.dashboard.desk import HOSTILE, RATES, Desk, past, spend
from tests.provider import Provider
from tests.running import Jevons, upstream

DAYS = 60
DAY = r"\d{4}-\d\d-\d\d"
PAGE_BYTES_MAX = 100_000
LEVERS = "months=3&cache=20&steps=50&budget=100&per=month"
COMMAND = ("forecast", "--months", "3", "--lever", "cache=+20", "--lever", "steps=50", "--budget", "100", "--per", "month")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Two months of calls until yesterday, of closed models and of an open one."""
    home = Home(tmp_path_factory.mktemp("desk") / "home")
    secrets = past(home)
    today = int(time.time() * 1000) // DAY_MS
    store = SqliteStore(home.ledger, audit_key=home.secret("audit"), backups=home.backups)
    for day in range(today - DAYS, today):
        spend(store, day, 1, "claude-sonnet-4-5", f"late-{day}", "claude-code", 5, 9_000)
        spend(store, day, 2, "gpt-oss-120b", None, "", 2, 2_000)
        spend(store, day, 4, "gpt-oss-20b", None, "", 1, 1_000, free=True)
        spend(store, day, 3, HOSTILE, None, HOSTILE, 1, 100)
    store.close()
    with Provider() as provider, Jevons(home.path, upstream("openai", provider.openai_url, models=("gpt-*",))) as jevons:
        yield Desk(jevons, secrets)
        assert "Traceback" not in jevons.log(), jevons.log()[-5000:]


@pytest.fixture(scope="module")
def cost(desk: Desk) -> str:
    """All of the page at once, as a browser without scripts has it."""
    page = desk.page("/ui/cost?whole=1")
    assert page.status == 200
    return page.text


def cell(text: str, table: str, label: str, name: str) -> str:
    """What a cell holds."""
    rows = text.partition(f'id="{table}"')[2].partition("</table>")[0].split("<tr")
    [row] = [row for row in rows if f'data-label="{label}"' in row]
    found = re.search(rf'data-name="{name}">(.*?)</td>', row, re.DOTALL)
    assert found, row
    return found[1]


def value(markup: str) -> int:
    return int(re.search(r'<data[^>]* value="(-?\d+)"', markup)[1])  # type: ignore[index]


def test_what_was_paid_for_a_million_tokens_of_each_kind_is_the_rate(cost: str) -> None:
    for kind, rate in (("input", "input"), ("cache write", "cache_write_5m"), ("cache read", "cache_read"), ("output", "output")):
        assert value(cell(cost, "kinds", "anthropic/claude-sonnet-4-5", kind)) == RATES[rate] * 10**6


def test_an_open_model_has_a_cost_to_make_and_a_closed_one_has_none(cost: str) -> None:
    made = [
        int(number) for number in re.findall(r' value="(\d+)"', cell(cost, "kinds", "anthropic/gpt-oss-120b", "to make: input"))
    ]
    middle, low, high = made
    assert 0 < low < middle < high < RATES["input"] * 10**6
    assert "not known" in cell(cost, "kinds", "anthropic/claude-sonnet-4-5", "to make")
    assert "its maker keeps its architecture to itself" in cost


def test_the_command_beside_the_cost_of_making_gives_that_cost(cost: str, desk: Desk) -> None:
    [command] = re.findall(r'id="predict">(.*?)</code>', cost)
    found = desk.json(*shlex.split(html.unescape(command))[1:])
    for kind in ("input", "output"):
        middle, low, high = map(int, re.findall(r' value="(\d+)"', between(cost, f'id="open-{kind}">', "</dd>")))
        told = found["cost"][f"{kind}_per_million"]
        assert (middle, low, high) == (told["p50_nusd"], told["p5_nusd"], told["p95_nusd"])


def test_cost_and_speed_by_batch_are_drawn(cost: str) -> None:
    drawn = between(cost, 'id="plane-desc">', "</desc>")
    [chosen] = re.findall(r"H100-SXM-80GB, ([\d,]+) requests at once", cost)
    assert f"batch {chosen}:" in drawn and drawn.count("a million") == drawn.count("batch ")


def between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


def test_build_or_buy_is_that_of_the_command_line(cost: str, desk: Desk) -> None:
    sums = desk.json("build-or-buy", "--model", "gpt-oss-120b", "--on", "H100-SXM-80GB", "--days", "29")
    told = {way["name"]: way["monthly"]["p50_nusd"] for way in sums["ways"] if way["monthly"]}
    for name, nusd in told.items():
        assert value(cell(cost, "ways", name, "a month")) == pytest.approx(nusd, rel=0.1)


def test_energy_is_that_of_the_command_line_and_free_calls_have_a_shadow_price(cost: str, desk: Desk) -> None:
    [(first, until)] = re.findall(rf"jevons energy --from ({DAY}) --to ({DAY})", cost)
    for row in desk.json("energy", "--from", first, "--to", until)["rows"]:
        if row["label"] != f"anthropic/{HOSTILE}":
            assert cell(cost, "energies", row["label"], "Wh") == three_digits(row["wh"])
    free = value(cell(cost, "shadow", "anthropic/gpt-oss-20b", "would have cost"))
    told = desk.json("bill", "--by", "model", "--from", first, "--to", until)["rows"]
    assert [free] == [row["list_nusd"] for row in told if row["model"] == "anthropic/gpt-oss-20b"]
    assert value(cell(cost, "kinds", "anthropic/gpt-oss-20b", "paid in all")) == 0


def three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def test_what_this_machine_costs_says_how_to_measure_it(cost: str) -> None:
    assert "jevons hw measure" in cost and "jevons hw calibrate" in cost


def test_a_calibrated_local_model_has_its_cost(desk: Desk) -> None:
    """A prompt of 256 tokens a second, and eight conversations that get twenty tokens each: at the terms that are assumed."""
    rates = Rates(2, "haswell", "f16", {}, {}, {64: (1e-8, 1e-9, 0.0)}, {})
    points = [Point(256, 1, 0, 1.0, 1.0), Point(1, 8, 128, 0.05, 0.05)]
    file = desk.jevons.home / FILE
    alone = Calibration(rates, "a.gguf", "EPYC", "2026-11-22T19:02Z", points, 1e-10, load=0.0)
    try:
        file.write_bytes(msgspec.json.encode(alone))
        page = desk.page("/ui/cost/machine").text
        file.write_bytes(msgspec.json.encode(msgspec.structs.replace(alone, load=4096.0)))
        beside = desk.page("/ui/cost/machine").text
    finally:
        file.unlink()
    assert "others were at work" not in page
    assert "calibration: 4096.0 processes wanted to run when it began: others were at work" in html.unescape(beside)
    prompt, output = (int(nusd) for nusd in re.findall(r' value="(\d+)"', page.partition('id="local"')[2])[:2])
    assert prompt == round(Terms().busy_second_usd() / 256 * 10**15)
    assert output == round(Terms().busy_second_usd() / 160 * 10**15)
    assert "256 tokens/s read, 160 written in 8 conversations together" in page


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("model=gpt-9", "nearest are"),
        ("model=gpt-j", "gpt-j takes 2,048 tokens in a sequence"),
        ("part=H900", "H900"),
        ("grid=atlantis", "atlantis"),
    ],
)
def test_what_is_not_known_is_said_in_its_place(desk: Desk, question: str, says: str) -> None:
    page = desk.page(f"/ui/cost?whole=1&{question}")
    assert page.status == 200
    assert says in page.text and 'id="synergy"' in page.text


def test_a_lever_that_is_none_is_said_in_its_place(desk: Desk) -> None:
    page = desk.page("/ui/forecast?whole=1&route=200")
    assert page.status == 200 and "is no lever" in page.text


def test_the_forecast_is_that_of_the_command_line(desk: Desk) -> None:
    page = desk.page(f"/ui/forecast?whole=1&{LEVERS}").text
    told = desk.json(*COMMAND)
    total = page.partition('id="total">')[2]
    assert value(total) == told["total_nusd"]["p50"]
    for lever in told["levers"]:
        assert value(cell(page, "pulled", lever["lever"], "change")) == lever["change_nusd"]["p50"]
    for month in told["months"]:
        assert value(cell(page, "months", month["month"], "median")) == month["bill_nusd"]["p50"]
    for slope in told["slopes"]:
        shown, fewer = value(cell(page, "slopes", slope["lever"], "a month")), slope["lever"] == "steps"
        assert shown == (-slope["nusd_per_point"] if fewer else slope["nusd_per_point"])
    assert "one per cent fewer steps a task" in page
    [budget] = [one for one in told["exhaustion"] if one["name"] == "budget"]
    assert f"{100 * budget['probability']:.0f}%" in cell(page, "budgets", "budget", "ever")
    assert "10 ×" in cell(page, "scenarios", "rubin-10x", "break-even")
    assert 'id="short"' in page and "History is short" in page


def test_both_pages_draw_themselves_under_the_policy_of_pages(browser: Browser, desk: Desk) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme="dark")
    page, complaints = context.new_page(), list[str]()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: complaints.append(request.url) if not request.url.startswith(desk.jevons.url) else None)
    page.goto(desk.link())
    page.wait_for_url(desk.jevons.url + "/ui/")
    network, sizes = context.new_cdp_session(page), list[float]()
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(f"{desk.jevons.url}/ui/cost")
    for place in ("made", "buy", "energy", "synergy"):
        page.wait_for_selector(f"#{place} svg.waterfall")
    assert 10_000 < sum(sizes) < PAGE_BYTES_MAX
    unharmed(page)
    page.locator("#kinds a", has_text="claude-sonnet-4-5").click()
    page.wait_for_url("**/ui/runs?**")
    assert page.locator("#rows tbody tr").count() > 1
    page.goto(f"{desk.jevons.url}/ui/forecast?months=3")
    page.locator("input[name=cache]").fill("20")
    page.get_by_role("button", name="Try").click()
    page.wait_for_selector("#pulled tr[data-label='cache=+20']")
    page.wait_for_selector("#fan svg.fan")
    unharmed(page)
    assert complaints == []
    context.close()


def unharmed(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator("img").count() == 0 and "owned" not in page.title()


def test_a_missing_extra_is_a_command() -> None:
    assert f"{sys.executable} -m pip install 'numpy>=2'" in missing.said(ModuleNotFoundError(name="numpy"))
    with pytest.raises(ModuleNotFoundError):
        missing.said(ModuleNotFoundError(name="jevons.typo"))
