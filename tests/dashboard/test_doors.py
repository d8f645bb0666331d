"""Who gets in, and what the pages answer to a browser without scripts."""

import asyncio
import http.client
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from jevons.core.limits import (
    APPROVAL_ATTEMPTS_PER_MINUTE_MAX,
    LIVE_VIEWERS_MAX,
    LOGIN_LINK_AHEAD_S,
    LOGIN_LINK_TTL_S,
    PAGE_FORM_BYTES_MAX,
    SESSION_TTL_S,
)
from jevons.dashboard.live import Fragments, Live
from jevons.dashboard.session import Links, cookie_name, form_token, is_session, new_link, new_session
from jevons.ledger.home import Home
from tests.dashboard.desk import PERIOD, Desk
from tests.provider import Provider
from tests.running import Jevons, upstream

PAGES = ("/ui/", "/ui/live", "/ui/bill", "/ui/bill/why", "/ui/bill/segments?effect=mix", "/ui/runs", "/ui/entries", "/ui/corrections",
         "/ui/run?run=x", "/ui/request?id=x", "/ui/kill?kind=everything", "/ui/session", "/ui/cost", "/ui/cost/made", "/ui/forecast",
         "/ui/forecast/found")  # fmt: skip
FORMS = ("/ui/kills", "/ui/kills/1/lift", "/ui/logout")
NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize("path", PAGES)
def test_nobody_sees_a_page_without_a_session(desk: Desk, path: str) -> None:
    desk.page("/ui/")
    secret = desk.secrets["alice"]
    for headers in (
        {},
        {"authorization": f"Bearer {secret}"},
        {"x-jevons-key": secret},
        {"cookie": f"{desk.cookie.partition('=')[0]}={secret}"},
    ):
        answer = desk.ask("GET", path, headers)
        assert answer.status == 401
        assert "jevons dashboard" in answer.text and "alice" not in answer.text
    assert desk.ask("GET", f"/k/{secret}{path}").status == 404, "not below a key in the path either"
    token = Home(desk.jevons.home).admin_token()
    assert desk.ask("GET", path, {"authorization": f"Bearer {token}"}).status == 401, (
        "the admin token opens a session, it is none"
    )


@pytest.mark.parametrize("path", FORMS)
def test_nothing_is_changed_without_a_session_its_form_token_and_our_origin(desk: Desk, path: str) -> None:
    desk.page("/ui/")
    secret = Home(desk.jevons.home).secret("dashboard")
    cookie, origin = {"cookie": desk.cookie}, {"origin": desk.jevons.url}
    token = {"x-csrf-token": form_token(secret, desk.cookie.partition("=")[2])}
    kill = {"subject": "everything", "reason": "no"}
    assert desk.ask("POST", path, origin | token, kill).status == 401
    assert desk.ask("POST", path, cookie | origin, kill).status == 403
    assert desk.ask("POST", path, cookie | origin | {"x-csrf-token": "0" * 64}, kill).status == 403
    assert desk.ask("POST", path, cookie | token, kill).status == 403
    assert desk.ask("POST", path, cookie | token | {"origin": "http://127.0.0.1:1"}, kill).status == 403
    assert desk.ask("POST", path, cookie | token | {"origin": "null"}, kill).status == 403
    assert desk.json("kill")["kills"] == []


def test_the_form_token_of_one_session_is_not_that_of_another(desk: Desk) -> None:
    secret = Home(desk.jevons.home).secret("dashboard")
    other = form_token(secret, new_session(secret, NOW_MS))
    desk.page("/ui/")
    answer = desk.ask(
        "POST", "/ui/kills", {"cookie": desk.cookie, "origin": desk.jevons.url, "x-csrf-token": other}, {"subject": "everything"}
    )
    assert answer.status == 403


def test_a_link_opens_one_session_and_the_cookie_stays_with_the_browser(desk: Desk) -> None:
    token = desk.link().partition("#")[2]
    answer = desk.log_in(token)
    assert (answer.status, answer.headers["location"]) == (303, "/ui/")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/ui"} <= set(cookie.split("; "))
    assert desk.ask("GET", "/ui/", {"cookie": cookie.partition(";")[0]}).status == 200
    again = desk.log_in(token)
    assert again.status == 403 and "used already" in again.text and "set-cookie" not in again.headers


def test_the_admin_token_opens_a_session_too(desk: Desk) -> None:
    assert desk.log_in(Home(desk.jevons.home).admin_token()).status == 303


def test_two_gateways_of_one_machine_do_not_take_each_others_cookie() -> None:
    assert cookie_name(bytes(32)) != cookie_name(bytes(31) + b"1")


def test_login_is_taken_only_from_our_own_page(desk: Desk) -> None:
    token = Home(desk.jevons.home).admin_token()
    assert desk.ask("POST", "/ui/login", {}, {"token": token}).status == 403
    assert desk.ask("POST", "/ui/login", {"origin": "https://elsewhere.example"}, {"token": token}).status == 403


def test_tokens_end_and_none_passes_for_the_other() -> None:
    secret = bytes(32)
    links = Links(secret, NOW_MS)
    assert not links.use(new_link(secret, NOW_MS), NOW_MS + LOGIN_LINK_TTL_S * 1000)
    assert not links.use(new_link(bytes(31) + b"1", NOW_MS), NOW_MS)
    assert not links.use(new_session(secret, NOW_MS), NOW_MS)
    early_ms = NOW_MS - LOGIN_LINK_AHEAD_S * 1000
    assert not links.use(new_link(secret, early_ms - 1), NOW_MS), "long before this process; who knows whether it was used"
    assert links.use(new_link(secret, early_ms), NOW_MS)
    assert links.use(link := new_link(secret, NOW_MS), NOW_MS + 1)
    assert not links.use(link, NOW_MS + 1)
    session = new_session(secret, NOW_MS)
    assert is_session(secret, session, NOW_MS + SESSION_TTL_S * 1000 - 1)
    assert not is_session(secret, session, NOW_MS + SESSION_TTL_S * 1000)
    assert not is_session(secret, new_link(secret, NOW_MS), NOW_MS)
    assert not is_session(secret, session[:-1] + ("0" if session[-1] != "0" else "1"), NOW_MS)
    assert not is_session(secret, "", NOW_MS)


@pytest.mark.parametrize("path", ["/ui/", f"/ui/bill?{PERIOD}", "/ui/login", "/ui/nothing", "/ui/run?run=nobody"])
def test_every_page_keeps_everything_from_elsewhere_out(desk: Desk, path: str) -> None:
    headers = desk.page(path).headers
    policy = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["img-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


def test_what_is_not_there_is_said_and_is_404(desk: Desk) -> None:
    for path in (
        "/ui/nothing",
        "/ui/run?run=nobody",
        "/ui/request?id=req_068800000000000",
        "/ui/request?id=x",
        "/ui/static/x/desk.js",
    ):
        assert desk.page(path).status == 404, path
    assert desk.page(f"/ui/bill/segments?effect=magic&{PERIOD}").status == 404
    assert "no run" in desk.page("/ui/run?run=nobody").text


@pytest.mark.parametrize("question", ["first=yesterday", "first=2026-09-09&last=2026-09-08", "first=0001-01-01", "by=moon"])
def test_a_slip_in_the_address_is_a_sentence(desk: Desk, question: str) -> None:
    answer = desk.page(f"/ui/bill?{question}")
    assert answer.status == 400
    assert "That did not work" in answer.text


@pytest.mark.parametrize(
    "address",
    [
        "cost?uneven=x",
        "cost?uneven=0.5",
        "cost?uneven=nan",
        "forecast?months=0",
        "forecast?months=%C2%B2",
        "forecast?per=moon",
        "forecast?budget=-1",
    ],
)
def test_a_slip_in_what_is_tried_is_a_sentence(desk: Desk, address: str) -> None:
    answer = desk.page(f"/ui/{address}")
    assert answer.status == 400
    assert "That did not work" in answer.text


def test_a_form_that_is_too_long_changes_nothing(desk: Desk) -> None:
    answer = desk.ask("POST", "/ui/login", {"origin": desk.jevons.url}, {"token": "x" * PAGE_FORM_BYTES_MAX})
    assert answer.status == 413


def test_scripts_are_kept_by_the_browser(desk: Desk) -> None:
    page = desk.page("/ui/").text
    [address] = {part.split('"')[0] for part in page.split('src="') if "htmx" in part.split('"')[0]}
    plain = desk.ask("GET", address)
    assert plain.status == 200 and "immutable" in plain.headers["cache-control"]
    assert plain.headers["content-type"].startswith("text/javascript")
    assert int(plain.headers["content-length"]) == len(plain.text.encode())


def test_a_viewer_hears_the_end_when_the_gateway_stops(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> None:
    with Jevons(tmp_path_factory.mktemp("stops") / "home", upstream("openai", provider.openai_url, models=("gpt-*",))) as jevons:
        desk = Desk(jevons, {})
        desk.page("/ui/")
        wire = http.client.HTTPConnection(jevons.url.removeprefix("http://"), timeout=60)
        wire.request("GET", "/ui/live", headers={"cookie": desk.cookie})
        answer = wire.getresponse()
        assert answer.headers["content-type"].startswith("text/event-stream")
        while b"hx-partial" not in answer.readline():
            pass
        jevons.stop()
        answer.read()  # to its end, not cut off: nobody was waited for
        wire.close()


def test_a_page_that_nobody_draws_any_more_ends(tmp_path: Path) -> None:
    drawn = 0

    async def draw() -> Fragments:
        nonlocal drawn
        drawn += 1
        if drawn == 2:
            raise RuntimeError("a bug")
        return {"rate": "1"}

    async def look(db: apsw.Connection) -> None:
        live = Live(tmp_path / "ledger.db", draw)
        heard = b""
        async for event in live.events():
            heard += event
            db.execute("INSERT INTO t VALUES (1)")
        assert b"rate" in heard, "and then the stream ended, so that the browser asks for another"
        again = live.events()
        while b"rate" not in await anext(again):
            pass
        await again.aclose()

    with closing(apsw.Connection(str(tmp_path / "ledger.db"))) as db:
        db.execute("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").fetchall()
        asyncio.run(look(db))


def test_there_are_only_so_many_viewers(desk: Desk) -> None:
    desk.page("/ui/")
    wires = []
    for _ in range(LIVE_VIEWERS_MAX):
        wire = http.client.HTTPConnection(desk.jevons.url.removeprefix("http://"), timeout=60)
        wire.request("GET", "/ui/live", headers={"cookie": desk.cookie})
        wires.append((wire, wire.getresponse()))
        assert wires[-1][1].status == 200 and wires[-1][1].readline()
    assert desk.page("/ui/live").status == 503
    for wire, answer in wires:
        answer.close()
        wire.close()


@pytest.mark.parametrize(
    "asked", ["first=0001-01-01&last=0001-01-05", "last=9999-12-31", "base_first=0001-01-01", "first=1970-01-01&last=1970-01-05"]
)
@pytest.mark.parametrize("path", ["/ui/bill", "/ui/bill/why", "/ui/runs", "/ui/entries", "/ui/corrections"])
def test_days_that_no_ledger_has_are_no_bug(desk: Desk, path: str, asked: str) -> None:
    assert desk.page(f"{path}?{asked}").status == (200 if "1970" in asked else 400)


@pytest.mark.parametrize("origin", ["null", "http://[x", "//", "127.0.0.1", "http://", "http://rebound.example"])
def test_an_origin_that_is_none_is_refused(desk: Desk, origin: str) -> None:
    assert desk.ask("POST", "/ui/login", {"origin": origin}, {"token": "x"}).status == 403


def test_a_foreign_host_name_is_refused(desk: Desk) -> None:
    assert desk.ask("GET", "/ui/login", {"host": "rebound.example"}).status == 403


def test_a_session_outlives_a_restart_and_ends_with_its_secret(
    provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("again") / "home"
    with Jevons(home, upstream("openai", provider.openai_url, models=("gpt-*",))) as jevons:
        desk = Desk(jevons, {})
        empty = desk.page("/ui/").text
        assert "No traffic yet" in empty and "jevons import --local" in empty
        for path in ("/ui/bill", "/ui/cost", "/ui/cost?whole=1", "/ui/forecast", "/ui/forecast?whole=1"):
            assert "jevons import --local" in desk.page(path).text
        jevons.stop()
        jevons.start()
        assert desk.page("/ui/").status == 200
        jevons.stop()
        (home / "dashboard.secret").unlink()
        jevons.start()
        assert desk.page("/ui/").status == 401


def test_wrong_tokens_are_slowed_down(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("wrong") / "home"
    with Jevons(home, upstream("openai", provider.openai_url, models=("gpt-*",))) as jevons:
        desk = Desk(jevons, {})
        answers = [desk.log_in("wrong").status for _ in range(APPROVAL_ATTEMPTS_PER_MINUTE_MAX + 1)]
        assert answers == [403] * APPROVAL_ATTEMPTS_PER_MINUTE_MAX + [429]
        assert desk.log_in(Home(home).admin_token()).status == 429, "not even the right one, for a while"
        assert desk.log_in(desk.link().partition("#")[2]).status == 303, "a link cannot be guessed: nobody keeps the operator out"


def test_without_a_gateway_there_is_no_link(tmp_path_factory: pytest.TempPathFactory) -> None:
    idle = Jevons(tmp_path_factory.mktemp("idle") / "home")
    with pytest.raises(RuntimeError, match="Nobody serves here"):
        idle.run("dashboard")
