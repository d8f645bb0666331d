"""One budget, many streams: what a provider bills beyond it, how much of it is usable, who is refused and who waits.

Comes in: a mode, a number of callers, a seed. Goes out: an `Outcome`, judged by what the stand-in provider billed (its journal), never
by our own ledger. Does not know: how the gateway decides.
"""

import asyncio
import http.client
import json
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.governor.callers import Pace, Tally, Tenant
from bench.governor.lengths import drawn
from jevons.core.price import Price, charge
from jevons.core.usage import Usage
from jevons.ledger.home import Home
from jevons.meter.pricebook import open_book
from tests.provider import Provider
from tests.running import Jevons, upstream

MODEL = "gpt-4o-mini"
MODES = ("strict", "packed", "after")
PROMPT_TOKENS = 20
"""About, by the stand-in's own count."""
WARM_ANSWERS = 40
WARM_AT_ONCE = 20
SECONDS_MAX = 150
PRICE_MS = 1_790_000_000_000
"""An instant at which the model has its price."""


@dataclass(frozen=True)
class Outcome:
    """One run. Money in nano-USD."""

    mode: str
    callers: int
    seed: int
    budget_nusd: int
    billed_nusd: int
    """By the stand-in, all answers of the run, broken ones too."""
    answers: int
    tally: Tally
    said_nusd: int
    """What our own ledger has posted for them: shown beside, not judged by."""
    overrun_nusd: int

    @property
    def overshoot_pct(self) -> float:
        return 100 * max(0, self.billed_nusd - self.budget_nusd) / self.budget_nusd

    @property
    def usable_pct(self) -> float:
        return 100 * min(self.billed_nusd, self.budget_nusd) / self.budget_nusd


class House:
    """A gateway in one mode with the stand-in behind it."""

    def __init__(self, mode: str, jevons: Jevons, provider: Provider) -> None:
        self.mode = mode
        self._jevons = jevons
        self._provider = provider
        price = open_book(jevons.home).price("openai", MODEL, PRICE_MS)
        assert price is not None
        self._price: Price = price

    def run(self, callers: int, answers_per_caller: float, seed: int, pace: Pace) -> Outcome:
        """A new key, warmed up; then a budget for about so many answers each, until the last caller is refused."""
        _, mean, lengths = drawn(seed)
        one_nusd = charge(Usage(input=PROMPT_TOKENS, output=round(mean)), self._price).nusd
        budget_nusd = round(one_nusd * answers_per_caller * callers)
        name, marker = f"tenant-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
        key = self._admin("POST", "/keys", {"name": name})["key"]
        warm = Tenant(self._jevons.url, key, MODEL, uuid.uuid4().hex, lengths, pace)
        asyncio.run(warm.answers(WARM_ANSWERS, WARM_AT_ONCE))
        warm_nusd = self._account(name)["posted_nusd"]
        if self.mode == "after":
            usd = f"{(warm_nusd + budget_nusd) / 1e9:.9f}"
            self._admin("PUT", f"/limits/{name}", {"key": name, "usd": usd, "mode": "observe"})
        else:
            self._admin("PUT", f"/keys/{name}/limit", {"limit_nusd": warm_nusd + budget_nusd})
        tenant = Tenant(self._jevons.url, key, MODEL, marker, lengths, pace)
        tally = asyncio.run(tenant.exhaust(callers, SECONDS_MAX, budget_nusd if self.mode == "after" else None))
        attempts = self._provider.attempts(marker)
        account = self._account(name)
        return Outcome(
            mode=self.mode,
            callers=callers,
            seed=seed,
            budget_nusd=budget_nusd,
            billed_nusd=sum(self._cost(attempt.bill) for attempt in attempts),
            answers=len(attempts),
            tally=tally,
            said_nusd=account["posted_nusd"] - warm_nusd,
            overrun_nusd=account["overrun_nusd"],
        )

    def _cost(self, bill: Any) -> int:
        return charge(Usage(bill.input, bill.cache_read, 0, 0, bill.output, bill.reasoning), self._price).nusd if bill else 0

    def _account(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in self._admin("GET", "/keys")["keys"] if one["name"] == name)
        return found

    def _admin(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {Home(self._jevons.home).admin_token()}", "content-type": "application/json"}
        wire = http.client.HTTPConnection(self._jevons.url.partition("://")[2], timeout=30)
        try:
            wire.request(method, "/jevons/v1/admin" + path, None if body is None else json.dumps(body), headers)
            answer = wire.getresponse()
            text = answer.read()
        finally:
            wire.close()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {text!r}")
        found: dict[str, Any] = json.loads(text)
        return found


@contextmanager
def house(mode: str, folder: Path) -> Iterator[House]:
    """Everything in it ends with it. `folder`: the disk that is measured on."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"governor-{mode}-", dir=folder.resolve()) as directory, Provider() as provider:
        reached = upstream("standin", provider.openai_url, provider="openai", models=(MODEL,), retries=0)
        holds = {"holds": "packed" if mode == "packed" else "strict"}
        with Jevons(Path(directory) / "home", reached, governor=holds) as jevons:
            yield House(mode, jevons, provider)
