"""A running gateway as its pages show it, and a ledger with a past and hostile names in it."""

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from jevons.core.entry import Entry, Estimate, Hold, Outcome, first_id_of_ms
from jevons.core.price import Line
from jevons.core.routed import Option, Routed
from jevons.core.saving import Saving, SavingKind
from jevons.core.usage import Usage
from jevons.ledger import keys
from jevons.ledger.home import Home
from jevons.ledger.ops import Adjusted, Key, KeyCreated, KeySettings, Op, Opened, Posted
from jevons.ledger.rollup import DAY_MS
from jevons.ledger.sqlite import SqliteStore
from tests.running import Jevons

DAY = 20_700
"""2026-09-04: the first day of the later period. The past of this ledger is DAY - 5 to DAY + 4."""
PERIOD = "first=2026-09-04&last=2026-09-08"
"""The later five days; the five before are what they are held against."""
FROM_TO = ("--from", "2026-09-04", "--to", "2026-09-09")
"""The same for the command line."""
HOSTILE = "<img src=x onerror=\"document.title='owned'\">'\""
HOSTILE_RUN = "<img/src=x/onerror=\"document.title='owned'\">'\""
"""What a client may call its run: no space in it."""
RATES = {"input": 3_000, "cache_read": 300, "cache_write_5m": 3_750, "output": 15_000}
"""Nano-USD a token."""


@dataclass
class Got:
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Desk:
    """A running gateway with its pages, as a browser without scripts sees them."""

    jevons: Jevons
    secrets: dict[str, str]
    cookie: str = ""
    form: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: dict[str, str] | None = None) -> Got:
        """One request, with nothing but these headers."""
        wire = http.client.HTTPConnection(urlsplit(self.jevons.url).netloc, timeout=60)
        try:
            data = urlencode(body).encode() if body is not None else None
            kind = {"content-type": "application/x-www-form-urlencoded"} if body is not None else {}
            wire.request(method, path, data, kind | (headers or {}))
            answer = wire.getresponse()
            return Got(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())
        finally:
            wire.close()

    def link(self) -> str:
        made: dict[str, str] = json.loads(self.jevons.run("dashboard", "--json"))
        return made["url"]

    def log_in(self, token: str) -> Got:
        return self.ask("POST", "/ui/login", {"origin": self.jevons.url}, {"token": token})

    def page(self, path: str) -> Got:
        """As the operator."""
        if not self.cookie:
            answer = self.log_in(self.link().partition("#")[2])
            assert answer.status == 303, answer.text
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return self.ask("GET", path, {"cookie": self.cookie})

    def call(self, key: str, run: str | None = None, **script: Any) -> Got:
        """One call of a model by a client."""
        with self.calling(key, run, **script) as wire:
            answer = wire.getresponse()
            return Got(answer.status, dict(answer.getheaders()), answer.read().decode())

    @contextmanager
    def calling(self, key: str, run: str | None = None, **script: Any) -> Iterator[http.client.HTTPConnection]:
        """A call that is sent; its client leaves when the block ends."""
        wire = http.client.HTTPConnection(urlsplit(self.jevons.url).netloc, timeout=60)
        content = "@@" + json.dumps({"reply": "one two three", **script})
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}], "max_tokens": 50}
        named = {"x-jevons-run-id": run} if run else {}
        try:
            secret = {"authorization": f"Bearer {self.secrets[key]}"}
            wire.request("POST", "/v1/chat/completions", json.dumps(body), secret | named)
            yield wire
        finally:
            wire.close()

    def json(self, *arguments: str) -> Any:
        """What the command line says."""
        return json.loads(self.jevons.run(*arguments, "--json"))


def past(home: Home) -> dict[str, str]:
    """Two periods of five days; returns the keys that can call."""
    secrets: dict[str, str] = {}
    store = SqliteStore(home.ledger, audit_key=home.secret("audit"), backups=home.backups)
    made: list[Op] = []
    for number, (name, settings) in enumerate(
        {
            "alice": KeySettings(team="research"),
            "bob": KeySettings(team="support"),
            HOSTILE: KeySettings(team=HOSTILE),
            "asking": KeySettings(),
            "logs": KeySettings(source="claude-code"),
            "victim": KeySettings(),
        }.items(),
        1,
    ):
        secrets[name] = keys.new_key()
        made.append(
            KeyCreated(Key(number, name, keys.digest_of(secrets[name]), secrets[name][:8], (DAY - 9) * DAY_MS, None, settings))
        )
    store.apply(made)
    for day in range(DAY - 5, DAY + 5):
        later = day >= DAY
        spend(store, day, 1, "claude-opus-4-5" if later else "claude-sonnet-4-5", f"refactor-{day}", "claude-code", 6, 9_000)
        spend(store, day, 2, "gpt-5", None, "", 4 if later else 2, 2_000)
        spend(store, day, 3, HOSTILE, HOSTILE_RUN, HOSTILE, 1, 1_000)
        spend(store, day, 5, "claude-haiku-4-5", f"imported-{day}", "claude-code", 1, 3_000, source="claude-code")
    store.apply([Adjusted(1, -20_000_000, HOSTILE, (DAY + 1) * DAY_MS)])
    store.close()
    return secrets


ROUTED = Routed(
    "easy <b>", "cheaper", 0, "full", 0.5, (Option("small", "", "small"), Option("large", "", "large", warm_nusd=7_000_000))
)


def spend(
    store: SqliteStore,
    day: int,
    key_id: int,
    model: str,
    run: str | None,
    agent: str,
    calls: int,
    tokens: int,
    source: str = "",
    free: bool = False,
) -> None:
    done: list[Op] = []
    for call in range(calls):
        at_ms = day * DAY_MS + key_id * 3_600_000 + call * 60_000
        usage = Usage(
            input=tokens, cache_read=tokens * 5, cache_write_5m=tokens // 2, cache_write_1h=0, output=tokens // 10, reasoning=0
        )
        lines = tuple(Line(kind, count, count * rate, rate) for kind, rate in RATES.items() if (count := getattr(usage, kind)))
        nusd = sum(line.nusd for line in lines)
        hold = Hold(
            id=first_id_of_ms(at_ms), key_id=key_id, run_id=run, dialect="messages", model=model, target=model, upstream="anthropic",
            stream=True, held_nusd=nusd, list_held_nusd=nusd, input_tokens=tokens, input_bound="exact", output_tokens=8_192,
            price_book="b" * 64, price_row=f"anthropic/{model}@2026-01-01", chain=b"c" * 16, messages=3, agent=agent, run_source="x-session-id",
        )  # fmt: skip
        estimate = Estimate.SEEN if call == 1 else Estimate.NONE
        entry = Entry(
            hold, Outcome.OK, 200, usage, lines, nusd, 0 if free else nusd, estimate, at_ms + 900, finish="end_turn", source=source,
            savings=_savings(usage, nusd, check=call == 2),
            routed=ROUTED if call == 3 else None,
        )  # fmt: skip
        done += [Opened(hold), Posted(entry, 0, ())]
    store.apply(done)


def _savings(usage: Usage, nusd: int, *, check: bool) -> tuple[Saving, ...]:
    """Of what the client marked, some trimmed before; or it was made to check a cached answer."""
    if check:
        return (Saving(SavingKind.CHECK, -nusd, -usage.input_total - usage.output),)
    read = usage.cache_read * (RATES["input"] - RATES["cache_read"])
    written = usage.cache_write_5m * (RATES["cache_write_5m"] - RATES["input"])
    return (
        Saving(SavingKind.TRIM, 500 * RATES["cache_read"], 500, estimated=True),
        Saving(SavingKind.PROMPT_CLIENT, read - written, usage.cache_read),
    )
