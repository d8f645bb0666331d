"""A provider that bills more than was held: recorded exactly as billed at every level, blocking, and never silent.

The stand-in's journal is the judge: what it billed is what must stand in the entry, whatever we expected. Limits of five levels are in
place at once, each just above the hold by another amount, so that each comes over its limit by an amount of its own. A provider that
keeps to the caps and to our count of the input causes no excess at all.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from jevons.core.ask import Dialect
from jevons.ledger.bill import check, reading
from jevons.meter.models import model_facts
from jevons.meter.tokens import MessageCounter
from jevons.wire.parse import parse
from tests.gateway.asking import Gateway, Got, Key, body_of, marker, prompt
from tests.provider import Attempt, Provider
from tests.running import Jevons, upstream

PRICES = '[[price]]\nprovider = "perplexity"\nmodel = "sonar"\nunits = { web_searches = "0.005" }\n'
"""The book has no price of a search there."""
CAP = 100
RICH_NUSD = 10**15
DOORS = {"chat": ("openai", "gpt-4o"), "responses": ("openai", "gpt-4o"), "messages": ("anthropic", "claude-sonnet-4-5")}
PIXEL = "iVBORw0KGgo="


@pytest.fixture(scope="module")
def gateway(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("adversary") / "home"
    home.mkdir(mode=0o700)
    (home / "prices.toml").write_text(PRICES)
    with Jevons(home, *upstreams(standin)) as jevons:
        yield Gateway(jevons, standin)
    assert "Traceback" not in jevons.log()
    assert check(jevons.ledger) == []


def upstreams(standin: Provider) -> list[dict[str, Any]]:
    return [
        upstream("openai", standin.openai_url, models=("gpt-*",), retries=0),
        upstream("anthropic", standin.url, "anthropic", models=("claude-*",), retries=0),
        upstream("perplexity", standin.openai_url, provider="perplexity", models=("sonar",), retries=0),
    ]


@dataclass(frozen=True)
class Scheme:
    """What the provider does with a request, and what the request has that it can do it with."""

    name: str
    script: dict[str, Any] = field(default_factory=dict)
    more_than_counted: bool = False
    """Input is billed at 1.5 times our own count; by Anthropic as written to a cache for an hour, the rate at which it is held."""
    tools: bool = False
    image: bool = False
    searches_max: int | None = None
    doors: tuple[str, ...] = tuple(DOORS)


OVER = [
    Scheme("input beyond our count", more_than_counted=True),
    Scheme("a hidden system prompt", {"hidden_system_tokens": 9000}),
    Scheme("hidden words on each tool", {"hidden_tool_tokens": 9000}, tools=True),
    Scheme("images beyond the published maximum", {"image_tokens": 90_000}, image=True),
    Scheme("reasoning beyond the cap", {"reasoning": 5000, "reply": "short", "ignore_cap": True}),
    Scheme("output beyond the cap", {"tokens_out": 5000, "ignore_cap": True}),
    Scheme("more searches than allowed", {"searches": 7}, searches_max=2, doors=("responses", "messages")),
    Scheme("searches nobody asked for", {"searches": 3}),
    Scheme(
        "everything",
        {
            "hidden_system_tokens": 500,
            "reasoning": 900,
            "tokens_out": 900,
            "ignore_cap": True,
            "searches": 5,
            "image_tokens": 9000,
        },
        tools=True,
        image=True,
        doors=("responses", "messages"),
    ),
]
HONEST = [
    Scheme("plain"),
    Scheme("tools within their allowance", {"hidden_tool_tokens": 30}, tools=True),
    Scheme("the largest image", {"image_tokens": 1445}, image=True),
    Scheme("reasoning within the cap", {"reasoning": CAP - 1, "reply": "short"}),
    Scheme("a cap that is met", {"tokens_out": 5000}),
    Scheme("searches that were allowed", {"searches": 2}, searches_max=2, doors=("responses", "messages")),
]


def cases(schemes: list[Scheme]) -> list[Any]:
    return [
        pytest.param(scheme, door, stream, id=f"{scheme.name}, {door}{', streamed' if stream else ''}")
        for scheme in schemes
        for door in scheme.doors
        for stream in (False, True)
    ]


@dataclass(frozen=True)
class Request:
    """One request that the provider deals with by a scheme."""

    door: str
    body: dict[str, Any]
    provider: str
    model: str
    mark: str

    @property
    def counted(self) -> int:
        """Our own count of its input."""
        ask = parse(Dialect(self.door), json.dumps(self.body).encode())
        about = model_facts(self.provider, self.model)
        return MessageCounter().count(ask.messages, about, ask.dialect, extras=ask.extras).tokens

    def billed_nusd(self, gateway: Gateway, attempt: Attempt) -> int:
        return gateway.cost_nusd(self.provider, self.model, attempt.bill)


def request_of(scheme: Scheme, door: str, stream: bool) -> Request:
    mark = marker()
    provider, model = DOORS[door]
    if door == "chat" and scheme.script.get("searches"):
        provider, model = "perplexity", "sonar"
    script = {**scheme.script, "marker": mark}
    billed = 0
    while True:
        if scheme.more_than_counted:
            script |= {"usage": hour_long(billed)} if door == "messages" else {"input_tokens": billed}
        request = Request(door, written(scheme, door, model, stream, script), provider, model, mark)
        if not scheme.more_than_counted or billed * 2 >= request.counted * 3:
            return request
        billed = -(-request.counted * 3 // 2)  # the script is counted too


def hour_long(tokens: int) -> dict[str, Any]:
    writes = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": tokens}
    return {"input_tokens": 0, "cache_creation_input_tokens": tokens, "cache_creation": writes, "output_tokens": 2}


def written(scheme: Scheme, door: str, model: str, stream: bool, script: dict[str, Any]) -> dict[str, Any]:
    """The body, with all that the scheme needs."""
    text = prompt("word " * 2000 if scheme.more_than_counted else "Say hello.", **script)
    body = body_of(door, model, stream, CAP, text=text)
    if scheme.image:
        url = f"data:image/png;base64,{PIXEL}"
        parts: dict[str, list[dict[str, Any]]] = {
            "chat": [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}],
            "responses": [{"type": "input_image", "image_url": url}, {"type": "input_text", "text": text}],
            "messages": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                {"type": "text", "text": text},
            ],
        }
        body["input" if door == "responses" else "messages"] = [{"role": "user", "content": parts[door]}]
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools: list[dict[str, Any]] = []
    if scheme.tools:
        tools.append(
            {
                "chat": {"type": "function", "function": {"name": "weather", "parameters": schema}},
                "responses": {"type": "function", "name": "weather", "parameters": schema},
                "messages": {"name": "weather", "input_schema": schema},
            }[door]
        )
    if scheme.searches_max is not None and door == "responses":
        tools.append({"type": "web_search"})
        body["max_tool_calls"] = scheme.searches_max
    elif scheme.searches_max is not None:
        tools.append({"type": "web_search_20250305", "name": "web_search", "max_uses": scheme.searches_max})
    return body | {"tools": tools} if tools else body


@dataclass(frozen=True, eq=False)
class Level:
    """One limit on the path of a caller's calls."""

    name: str
    settings: dict[str, Any]
    """Of the limit; none: the key's own total."""
    subject: str
    measure: str = "usd"

    @property
    def account(self) -> str:
        return f"{self.name}:{self.measure} {self.subject}"

    def put(self, gateway: Gateway, key: Key, amount: int) -> None:
        """Set it, in nano-USD or in tokens."""
        if not self.settings:
            got = gateway.admin("PUT", f"/keys/{key.name}/limit", {"limit_nusd": amount})
        else:
            stated = usd(amount) if self.measure == "usd" else amount
            got = gateway.admin("PUT", f"/limits/{self.name}", {**self.settings, self.measure: stated})
        assert got.status == 200, got.body


def usd(nusd: int) -> str:
    return f"{nusd // 10**9}.{nusd % 10**9:09d}"


class Caller:
    """A key in a team of its own, an agent, a run, and a limit at each level, outermost first."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        name = marker()[:12]
        self.key = gateway.key(RICH_NUSD, org=f"org-{name}", team=f"team-{name}")
        self.labels = {"x_jevons_agent": "attacked", "x_jevons_run_id": f"run-{name}"}
        whom = {"org": f"org-{name}"}
        self.levels = (
            Level(f"org-{name}", {"scope": "org", **whom}, f"org:org-{name}"),
            Level(f"team-{name}", {"scope": "team", **whom}, f"team:org-{name}/team-{name}"),
            Level(f"agent-{name}", {"scope": "agent", **whom}, f"agent:{self.key.name}/attacked", "tokens"),
            Level("key", {}, f"key:{self.key.name}"),
            Level(f"run-{name}", {"scope": "run", **whom}, f"run:{self.key.name}/run-{name}"),
        )

    def ask(self, request: Request, **headers: str) -> Got:
        return self.gateway.post(request.door, self.key, request.body, **self.labels, **headers)

    def ask_little(self) -> Got:
        """A small call of a provider that keeps to what was agreed."""
        return self.gateway.post("chat", self.key, body_of("chat", "gpt-4o", cap=16, reply="ok"), **self.labels)

    def overruns(self, where: str = "1", *values: object) -> dict[str, list[int]]:
        """Amounts by account, of this caller's levels."""
        found: dict[str, list[int]] = {}
        with reading(self.gateway.jevons.ledger) as db:
            for account, amount in db.execute(f"SELECT account, amount FROM overruns WHERE {where} ORDER BY id", values):
                if account in {level.account for level in self.levels}:
                    found.setdefault(account, []).append(amount)
        return found

    def standing(self) -> dict[str, dict[str, Any]]:
        """Each level as the admin API shows it."""
        shown = self.gateway.admin("GET", "/limits?accounts=1000").json
        accounts = [account for limit in shown["limits"] for account in limit["accounts"]] + shown["keys"]
        named = {level.account: level for level in self.levels}
        return {account["account"]: account for account in accounts if account["account"] in named}


@pytest.fixture
def caller(gateway: Gateway) -> Iterator[Caller]:
    """Its limits go when it goes."""
    made = Caller(gateway)
    yield made
    for level in made.levels:
        if level.settings:
            gateway.admin("DELETE", f"/limits/{level.name}")


def held_by(gateway: Gateway, request: Request) -> tuple[int, int]:
    """(nano-USD, tokens) that a call holds, by sending it under a key with money enough."""
    entry = gateway.entry_of(gateway.post(request.door, gateway.key(RICH_NUSD), request.body))
    return entry["held_nusd"], request.counted + CAP


@pytest.mark.parametrize(("scheme", "door", "stream"), cases(OVER))
def test_what_is_billed_beyond_the_hold_is_recorded_and_blocks(
    gateway: Gateway, caller: Caller, scheme: Scheme, door: str, stream: bool
) -> None:
    request = request_of(scheme, door, stream)
    held_nusd, held_tokens = held_by(gateway, request)
    billed_nusd = request.billed_nusd(gateway, gateway.attempts(request.mark)[-1])
    gap = billed_nusd - held_nusd
    assert gap > 4, "the scheme bills no more than was held: this tests nothing"
    org, team, agent, key, run = caller.levels
    limits = {org: billed_nusd, team: held_nusd + gap * 3 // 4, agent: held_tokens, key: held_nusd + gap // 4, run: held_nusd}
    for level, amount in limits.items():
        level.put(gateway, caller.key, amount)

    got = caller.ask(request, x_jevons_stream_cost="1")

    assert (got.status, got.whole) == (200, True), got.body
    attempt = gateway.attempts(request.mark)[-1]
    bill = attempt.bill
    assert bill is not None
    assert request.billed_nusd(gateway, attempt) == billed_nusd
    if scheme.more_than_counted:
        assert (bill.tokens - bill.output) * 2 >= request.counted * 3
    entry = gateway.entry_of(got)
    assert (entry["billed_nusd"], entry["list_nusd"], entry["estimate"]) == (billed_nusd, billed_nusd, "")
    kinds = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
    assert {kind: entry[kind] for kind in kinds} == {kind: getattr(bill, kind) for kind in kinds}
    assert sum(line["count"] for line in entry["lines"] if line["kind"] == "web_searches") == bill.searches
    assert (entry["held_nusd"], entry["overrun_nusd"]) == (held_nusd, gap)

    spent = {level: bill.tokens if level.measure == "tokens" else billed_nusd for level in limits}
    excess = {level.account: spent[level] - limit for level, limit in limits.items() if spent[level] > limit}
    assert {team.account, key.account, run.account} <= excess.keys()
    assert org.account not in excess
    assert caller.overruns("entry_id = ? AND cause = 'post'", entry["id"]) == {name: [nusd] for name, nusd in excess.items()}
    assert is_told(gateway, caller, got, entry["id"], billed_nusd, excess)

    over = [level for level in limits if level.account in excess]
    for level in limits:
        if level not in over:
            level.put(gateway, caller.key, RICH_NUSD)
    for level in over:  # each in its turn, as long as it is over its limit: outermost first
        refused = caller.ask_little()
        assert (refused.status, refused.error["jevons"]["scope"]) == (402, level.subject)
        assert refused.error["jevons"]["limit_name"] == level.name
        assert gateway.entries_of(refused) == []
        level.put(gateway, caller.key, RICH_NUSD)
    assert caller.ask_little().status == 200
    assert caller.overruns() == {name: [nusd] for name, nusd in excess.items()}, "more room ends no record"


def is_told(gateway: Gateway, caller: Caller, got: Got, entry_id: int, billed_nusd: int, excess: dict[str, int]) -> bool:
    """To the client, to its owner, to whoever watches: nothing of it is silent."""
    if "x-jevons-cost-nusd" in got.headers:
        assert int(got.headers["x-jevons-cost-nusd"]) == billed_nusd
        assert got.headers["x-jevons-budget-remaining-nusd"] == "0"
    else:
        assert f": jevons-cost-nusd={billed_nusd}\n\n".encode() in got.body
    assert gateway.get(f"/jevons/v1/requests/{got.request}", caller.key).json["billed_nusd"] == billed_nusd
    rows = gateway.admin("GET", "/audit?action=overrun&limit=100").json["rows"]
    logged = {row["subject"]: row["detail"] for row in rows if row["detail"]["entry_id"] == entry_id}
    assert logged == {name: {"amount": nusd, "cause": "post", "entry_id": entry_id} for name, nusd in excess.items()}
    page = gateway.get("/metrics").body.decode()
    standing = caller.standing()
    for level in caller.levels:
        unit = "_nusd" if level.measure == "usd" else ""
        account = standing[level.account]
        assert (account[f"over{unit}"], account[f"overrun{unit}"]) == (excess.get(level.account, 0),) * 2
        if level.settings:
            assert f'jevons_accounts_over{{limit="{level.name}"}} {float(level.account in excess)}' in page
    return True


@pytest.mark.parametrize(("scheme", "door", "stream"), cases(HONEST))
def test_a_provider_that_keeps_to_it_causes_no_excess(
    gateway: Gateway, caller: Caller, scheme: Scheme, door: str, stream: bool
) -> None:
    """At limits of just the hold: what was held was enough."""
    request = request_of(scheme, door, stream)
    held_nusd, held_tokens = held_by(gateway, request)
    for level in caller.levels:
        level.put(gateway, caller.key, held_tokens if level.measure == "tokens" else held_nusd)
    got = caller.ask(request)
    assert (got.status, "x-jevons-output-cap" in got.headers) == (200, False), got.body
    entry = gateway.entry_of(got)
    billed_nusd = request.billed_nusd(gateway, gateway.attempts(request.mark)[-1])
    assert (entry["billed_nusd"], entry["held_nusd"], entry["overrun_nusd"]) == (billed_nusd, held_nusd, 0)
    assert caller.overruns() == {}
    assert {account.get("over_nusd", account.get("over")) for account in caller.standing().values()} == {0}


def test_what_all_calls_bill_together_is_what_all_levels_are_over(gateway: Gateway, caller: Caller) -> None:
    """24 at once, money for some of them, each billed several times its hold: posted - limit = the sum of what is recorded."""
    request = request_of(Scheme("output", {"tokens_out": 700, "ignore_cap": True, "delay_ms": 5}), "chat", stream=True)
    held_nusd, held_tokens = held_by(gateway, request)
    probes = len(gateway.attempts(request.mark))
    org, team, agent, key, run = caller.levels
    limits = {org: 12 * held_nusd, team: 10 * held_nusd, agent: 9 * held_tokens, key: 8 * held_nusd, run: 7 * held_nusd}
    for level, amount in limits.items():
        level.put(gateway, caller.key, amount)
    with ThreadPoolExecutor(24) as pool:
        statuses = [got.status for got in pool.map(lambda _: caller.ask(request), range(24))]
    served = gateway.attempts(request.mark)[probes:]
    assert set(statuses) == {200, 402}
    assert statuses.count(200) == len(served) <= 7
    billed_nusd = sum(request.billed_nusd(gateway, attempt) for attempt in served)
    tokens = sum(attempt.bill.tokens for attempt in served if attempt.bill is not None)
    standing = caller.standing()
    for level, limit in limits.items():
        unit = "" if level is agent else "_nusd"
        spent = tokens if level is agent else billed_nusd
        account = standing[level.account]
        assert (account[f"posted{unit}"], account[f"held{unit}"]) == (spent, 0)
        assert sum(caller.overruns().get(level.account, [])) == max(0, spent - limit) == account[f"over{unit}"]
    assert caller.overruns().keys() >= {run.account, key.account}


def test_an_overrun_outlives_a_restart_until_it_is_made_good(standin: Provider, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The account stays closed; a correction opens it again, and what was recorded stays on record."""
    home = tmp_path_factory.mktemp("restarted") / "home"
    with Jevons(home, *upstreams(standin)) as jevons:
        gateway = Gateway(jevons, standin)
        caller = Caller(gateway)
        request = request_of(Scheme("output", {"tokens_out": 5000, "ignore_cap": True}), "chat", stream=False)
        held_nusd, held_tokens = held_by(gateway, request)
        for level in caller.levels:
            level.put(gateway, caller.key, 2 * (held_tokens if level.measure == "tokens" else held_nusd))
        assert caller.ask(request).status == 200
        recorded, before = caller.overruns(), caller.standing()
        assert recorded.keys() == before.keys() == {level.account for level in caller.levels}

        jevons.kill()
        jevons.start()

        refused = caller.ask_little()
        assert (refused.status, refused.error["jevons"]["scope"]) == (402, caller.levels[0].subject)
        assert caller.overruns() == recorded
        assert caller.standing() == before
        said = jevons.run("limits")
        assert all(level.subject.split(":")[1].split("/")[-1] in said for level in caller.levels)

        posted_nusd = before[caller.levels[0].account]["posted_nusd"]
        made_good = {"key": caller.key.name, "nusd": -posted_nusd, "reason": "refunded by the provider"}
        assert gateway.admin("POST", "/adjustments", made_good).status == 200
        refused = caller.ask_little()
        assert refused.error["jevons"]["scope"] == caller.levels[2].subject, "tokens are not refunded"
        caller.levels[2].put(gateway, caller.key, 10**9)
        assert caller.ask_little().status == 402, "the agent's and the run's share of a refund is nobody's to say"
        for level in caller.levels:
            level.put(gateway, caller.key, RICH_NUSD)
        assert caller.ask_little().status == 200
        assert caller.overruns() == recorded
        assert check(jevons.ledger) == []
