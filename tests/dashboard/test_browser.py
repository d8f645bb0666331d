"""The pages in Chromium: live, safe from hostile names, everything from our own origin, and the brakes work."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, Request

from jevons.dashboard import static
from jevons.ledger.home import Home
from tests.dashboard.desk import HOSTILE, HOSTILE_RUN, PERIOD, Desk

PAGE_BYTES_MAX = 100_000


@dataclass
class Watched:
    """A signed-in page, and all that it asked for and complained about."""

    page: Page
    url: str
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page


@pytest.fixture
def watched(browser: Browser, desk: Desk) -> Iterator[Watched]:
    context = browser.new_context()
    page = context.new_page()
    watched = Watched(page, desk.jevons.url)
    page.on("request", lambda request: watched.requests.append(request))
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on("console", lambda said: watched.complaints.append(said.text) if said.type == "error" else None)
    page.goto(desk.link())
    page.wait_for_url(desk.jevons.url + "/ui/")
    yield watched
    context.close()
    assert watched.complaints == []
    assert {request.url.split("/ui")[0] for request in watched.requests} == {desk.jevons.url}


def live(page: Page) -> None:
    """Wait until the live line stands."""
    page.wait_for_selector("body[data-live=on]")


def test_a_run_appears_and_its_cost_grows_without_loading_the_page(watched: Watched, desk: Desk) -> None:
    page = watched.go("/ui/")
    live(page)
    asked = len([request for request in watched.requests if request.resource_type == "document"])
    assert desk.call("bob", "appears").status == 200
    row = page.locator("#runs tr[data-run=appears]")
    row.wait_for()
    before = int(row.locator(".cost data").get_attribute("value") or "")
    assert desk.call("bob", "appears").status == 200
    page.wait_for_function("before => +document.querySelector('tr[data-run=appears] .cost data').value > before", arg=before)
    assert len([request for request in watched.requests if request.resource_type == "document"]) == asked
    assert page.locator("#chart canvas").count() == 1


def test_a_call_under_way_shows_what_is_held_for_it(watched: Watched, desk: Desk) -> None:
    page = watched.go("/ui/")
    live(page)
    with desk.calling("bob", "slow", first_delay_ms=60_000):
        page.wait_for_function("() => +document.querySelector('#open-calls data').value === 1")
        page.locator("tr[data-run=slow] .mark", has_text="1 open").wait_for()
    page.wait_for_function("() => +document.querySelector('#open-calls data').value === 0")


def test_a_run_is_stopped_with_a_reason_and_let_go_again(watched: Watched, desk: Desk) -> None:
    assert desk.call("victim", "doomed").status == 200
    page = watched.go("/ui/")
    page.locator("tr[data-run=doomed] button.kill").click()
    page.locator("dialog[open] input[name=reason]").fill("too dear")
    page.locator("dialog[open] button.danger").click()
    page.locator("[data-kill]").wait_for()
    [kill] = desk.json("kill")["kills"]
    assert (kill["subject"], kill["reason"]) == ("run:victim/doomed", "too dear")
    assert page.locator("dialog[open]").count() == 0
    assert "is stopped" in (page.locator("#said").text_content() or "")
    assert desk.call("victim", "doomed").status >= 400
    assert desk.call("victim", "another").status == 200
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator(f"[data-kill='{kill['id']}'] button").click()
    page.locator(f"[data-kill='{kill['id']}']").wait_for(state="detached")
    assert desk.json("kill")["kills"] == []
    assert desk.call("victim", "doomed").status == 200


def test_a_kill_that_is_thought_better_of_changes_nothing(watched: Watched, desk: Desk) -> None:
    page = watched.go("/ui/")
    page.get_by_role("button", name="Stop everything…").click()
    page.locator("dialog[open] [data-close]").click()
    assert page.locator("dialog[open]").count() == 0
    page.get_by_role("button", name="Stop everything…").click()
    page.locator("dialog[open]").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('dialog[open]')")
    assert desk.json("kill")["kills"] == []


def test_a_run_called_like_a_pattern_is_stopped_alone(watched: Watched, desk: Desk) -> None:
    for run in ("*", "bystander"):
        assert desk.call("victim", run).status == 200
    page = watched.go("/ui/")
    page.locator('tr[data-run="*"] button.kill').click()
    page.locator("dialog[open] button.danger").click()
    page.locator("[data-kill]").wait_for()
    assert desk.call("victim", "*").status >= 400
    assert desk.call("victim", "bystander").status == 200
    desk.jevons.run("kill", "--lift", str(desk.json("kill")["kills"][0]["id"]))


def test_a_question_waits_with_a_link_to_its_answer(watched: Watched, desk: Desk) -> None:
    assert desk.call("asking").status == 402
    page = watched.go("/ui/")
    link = page.locator("#questions a").first.get_attribute("href") or ""
    assert link.startswith("/jevons/v1/approvals/")
    assert desk.ask("GET", link).status == 200


def test_hostile_names_are_text_everywhere(watched: Watched, desk: Desk) -> None:
    assert desk.call(HOSTILE, HOSTILE_RUN).status == 200
    page = watched.go("/ui/")
    live(page)
    row = page.locator("#runs tbody tr", has_text=HOSTILE_RUN).first
    row.wait_for()
    row.locator("button.kill").click()
    page.locator("dialog[open]", has_text=HOSTILE_RUN).wait_for()
    page.locator("dialog[open] input[name=reason]").fill(HOSTILE)
    page.locator("dialog[open] button.danger").click()
    page.locator("[data-kill]", has_text=HOSTILE).wait_for()
    unharmed(page)
    desk.jevons.run("kill", "--lift", str(desk.json("kill")["kills"][0]["id"]))
    for by in ("model", "key", "team", "agent", "run"):
        name = HOSTILE_RUN if by == "run" else HOSTILE
        page = watched.go(f"/ui/bill?by={by}&{PERIOD}")
        page.locator("#rows td", has_text=name).first.wait_for()
        page.wait_for_selector("#why .effects")
        for effect in page.locator("details.effect").all():
            effect.locator("summary").click()
            effect.locator("tr[data-segment]").first.wait_for()
        unharmed(page)
        page.locator("#rows td a", has_text=name).first.click()
        page.wait_for_url(lambda url: "/ui/bill" not in url)
        assert name in (page.locator("main").text_content() or "")
        unharmed(page)
    page.locator("#rows td a").first.click()
    page.wait_for_url("**/ui/request?**")
    assert HOSTILE in (page.locator("main").text_content() or "")
    unharmed(page)


def unharmed(page: Page) -> None:
    """No name became an element, and none of their scripts ran."""
    assert page.title().endswith("Jevons") and page.locator("img").count() == 0


def test_no_script_runs_that_is_not_ours(watched: Watched) -> None:
    page = watched.go("/ui/")
    page.evaluate(
        """() => { const script = document.createElement("script"); script.textContent = "document.title = 'owned'"; document.body.append(script); }"""
    )
    assert page.title() == "Now · Jevons"
    assert len(watched.complaints) == 1 and "Content Security Policy" in watched.complaints.pop()


def test_what_is_opened_stays_open_when_news_come(watched: Watched, desk: Desk) -> None:
    page = watched.go("/ui/")
    live(page)
    page.locator("#budgets summary").click()
    spent = "[data-account='research:usd team:default/research'] .posted data"
    before = int(page.locator(spent).get_attribute("value") or "")
    assert desk.call("alice", "news").status == 200
    page.wait_for_function("([spent, before]) => +document.querySelector(spent).value > before", arg=[spent, before])
    assert page.locator("#budgets details[open]").count() == 1
    page.locator("#budgets").get_by_role("button", name="Kill key bob").click()
    page.locator("dialog[open]", has_text="bob").wait_for()


@pytest.mark.parametrize("path", ["/ui/", f"/ui/bill?by=model&{PERIOD}", f"/ui/bill?by=run&{PERIOD}"])
def test_a_page_is_small_and_paints_with_its_first_answer(watched: Watched, browser: Browser, path: str) -> None:
    page = watched.page
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page = watched.go(path)
    page.wait_for_selector("#why .effects" if "bill" in path else "#chart canvas")
    assert 10_000 < sum(sizes) < PAGE_BYTES_MAX
    assert page.locator("link[rel=stylesheet]").count() == 0, "its style stands in it"
    assert all(script.get_attribute("defer") is not None for script in page.locator("script").all())


def test_the_vendored_scripts_are_small_and_as_their_readme_says() -> None:
    folder = static._FOLDER / "vendor"
    files = [file for file in folder.iterdir() if file.suffix in (".js", ".css")]
    assert sum(file.stat().st_size for file in files) < 100_000
    readme = (folder / "README.md").read_text()
    for file in files:
        assert f"| `{file.name}` |" in readme and f"{file.stat().st_size:,} |" in readme


@pytest.mark.parametrize("path", ["/ui/", f"/ui/bill?by=model&{PERIOD}", f"/ui/entries?{PERIOD}"])
def test_a_narrow_window_needs_no_sideways_scrolling(watched: Watched, path: str) -> None:
    watched.page.set_viewport_size({"width": 400, "height": 800})
    page = watched.go(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_times_are_in_the_viewers_zone(browser: Browser, desk: Desk) -> None:
    context = browser.new_context(timezone_id="Asia/Kolkata", locale="en-GB")
    page = context.new_page()
    page.goto(desk.link())
    page.wait_for_url(desk.jevons.url + "/ui/")
    page.goto(f"{desk.jevons.url}/ui/run?key=alice&run=refactor-20700")
    page.wait_for_function("() => document.querySelector('#rows time').title !== ''")
    first = page.locator("#rows tbody tr").last.locator("time")
    assert first.get_attribute("datetime") == "2026-09-04T01:00:00Z"
    assert "06:30:00" in (first.text_content() or "")
    context.close()


def test_a_hidden_page_hears_nothing_and_catches_up(watched: Watched, desk: Desk) -> None:
    page = watched.go("/ui/")
    live(page)
    page.evaluate("""() => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    assert desk.call("bob", "while-hidden").status == 200
    with page.expect_response("**/ui/live"):
        page.evaluate("""() => {
            Object.defineProperty(document, "hidden", { configurable: true, get: () => false });
            document.dispatchEvent(new Event("visibilitychange"));
        }""")
    page.locator("tr[data-run=while-hidden]").wait_for()


def test_a_link_works_in_the_tab_that_asks_for_one_and_only_once(browser: Browser, desk: Desk) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(desk.jevons.url + "/ui/login")
    page.goto(link := desk.link())
    page.wait_for_url(desk.jevons.url + "/ui/")
    context.clear_cookies()
    page.goto(link)
    page.wait_for_function("() => document.querySelector('#problem').textContent.includes('used already')")
    assert "#" not in page.url
    context.close()


def test_a_bookmark_asks_for_a_session_and_then_shows_its_page(browser: Browser, desk: Desk) -> None:
    context = browser.new_context()
    page = context.new_page()
    bookmark = f"{desk.jevons.url}/ui/bill?by=key&{PERIOD}"
    page.goto(bookmark)
    assert page.locator("input[name=token]").count() == 1
    page.goto(bookmark + "#" + desk.link().partition("#")[2])
    page.wait_for_selector("#rows")
    assert page.url == bookmark
    context.close()


def test_a_place_on_a_page_is_no_link(browser: Browser, desk: Desk) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{desk.jevons.url}/ui/bill?{PERIOD}#table")
    assert page.locator("#problem").text_content() == ""
    page.wait_for_load_state("networkidle")
    assert page.url.endswith("#table"), "it was sent nowhere as a token"
    context.close()


def test_signing_out_ends_it(watched: Watched, desk: Desk) -> None:
    page = watched.go("/ui/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(desk.jevons.url + "/ui/login")
    page.goto(desk.jevons.url + "/ui/")
    assert page.locator("input[name=token]").count() == 1
    assert json.dumps(page.context.cookies()) == "[]"
    watched.complaints[:] = [one for one in watched.complaints if "401" not in one]
    page.locator("input[name=token]").fill(Home(desk.jevons.home).admin_token())
    page.get_by_role("button", name="Open").click()
    page.wait_for_selector("#rate")
