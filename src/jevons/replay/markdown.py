"""A replay as a short text for a pull request: what the change would have cost, and how sure that is.

Comes in: the document of `replay.report`. Goes out: Markdown. Names in it were chosen by clients: what would be markup is taken out.
"""

import re
from datetime import UTC, datetime
from typing import Any

from jevons.core.money import NUSD_PER_USD

Record = dict[str, Any]
_MARKUP = re.compile(r"[|`<>\[\]\\\r\n]")
LIMITS_SHOWN = 8


def markdown(document: Record) -> str:
    """The whole of it."""
    recorded, policies = document["recorded"], document["policies"]
    lines = [f"### What this policy would have cost {span(document)}", ""]
    lines += [
        "| policy | cost | may be | against the bill | refused | not made then | to another model |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines.append(f"| the bill | {usd(recorded['billed_nusd'])} | | | {recorded['refused']:,} | | |")
    lines += [_row(policy, recorded["billed_nusd"]) for policy in policies]
    for policy in policies:
        lines += _said(policy)
    lines += ["", *assumptions(document)]
    return "\n".join(lines) + "\n"


def span(document: Record) -> str:
    """The time, in words."""
    since, until = document["since_ms"], document["until_ms"]
    said = f"from {_day(since)}" if since else "from the beginning"
    return f"{said} until {_day(until)}" if until is not None else said


def assumptions(document: Record) -> list[str]:
    """What the figures rest on, a sentence each."""
    recorded, policies = document["recorded"], document["policies"]
    said = [
        f"Replayed: {recorded['calls']:,} recorded calls, each decided again by the code that decides live ones.",
        "Cost is that of runs that end at their first refusal; the interval also has runs that go on and try again.",
    ]
    if recorded["refused"]:
        said.append(
            f"{recorded['refused']:,} requests were refused at the time and left no entry. Where a policy would let them through, the upper end"
            " has an average call of their key for each."
        )
    if any(policy["moved"] for policy in policies):
        said.append("Calls that go to another model cost the same tokens at its price; the interval allows for other lengths.")
    if recorded["imported_calls"]:
        said.append(
            f"{recorded['imported_calls']:,} calls were imported: they count with what they came to, since nobody knows what would have been held"
            " for them. In the bill as it was they are under no limit."
        )
    if recorded["calls_without_terms"]:
        said.append(
            f"{recorded['calls_without_terms']:,} calls are from before terms were recorded: they count with what they came to."
        )
    fences = max((policy["not_replayed"].get("tool_fences", 0) for policy in policies), default=0)
    if fences:
        said.append("Fences of tools are not replayed: which tools were offered is not kept.")
    if any(policy["not_replayed"].get("calls_without_repetition") for policy in policies):
        said.append("Whether some runs repeat themselves was not looked at then; a limit on it lets them pass.")
    if any(policy["not_replayed"].get("price_books_gone") for policy in policies):
        said.append("Some calls were made under a price book that is gone; the one in use stands in.")
    if any(policy["spared"] for policy in policies):
        said.append(
            "Shadows, judges and tries of cascades that other routes do not ask are left out; none that they would ask are added."
        )
    if any(policy["not_replayed"].get("thresholds_with_hindsight") for policy in policies):
        said.append(
            "Routes that promise something else than the configuration have thresholds from all labels of the ledger: with hindsight."
        )
    if any(policy["not_replayed"].get("unknown_routes") for policy in policies):
        said.append(
            "Some routed requests go where they went: of what the policy would have to know of their candidates, too little was recorded."
        )
    if recorded["cache_hits"]:
        said.append(f"{recorded['cache_hits']:,} calls were answered from the answer cache, and are so again, at no cost.")
    return said


def usd(nusd: int) -> str:
    """Dollars, to the cent; below a dollar to four digits."""
    sign, magnitude = ("-" if nusd < 0 else ""), abs(nusd)
    decimals = 2 if magnitude >= NUSD_PER_USD or not magnitude else 4
    return f"{sign}${magnitude / NUSD_PER_USD:,.{decimals}f}"


def interval(policy: Record) -> str:
    """Between what the cost may lie; "" where nothing is open."""
    low, high = policy["low_nusd"], policy["high_nusd"]
    return "" if low == high else f"{usd(low)} to {usd(high)}"


def change(policy: Record, billed_nusd: int) -> str:
    """Against the bill."""
    difference = policy["change_nusd"]
    if not difference:
        return "the same"
    share = f" ({difference / billed_nusd:+.1%})" if billed_nusd else ""
    return f"{'+' if difference > 0 else ''}{usd(difference)}{share}"


def whose(key: str, run: str) -> str:
    return f"run {run} of {key}" if run else f"key {key}"


def _row(policy: Record, billed_nusd: int) -> str:
    moved = sum(row["calls"] for row in policy["moved"])
    cells = [
        plain(policy["name"]),
        usd(policy["cost_nusd"]),
        interval(policy),
        change(policy, billed_nusd),
        f"{policy['refused']:,}",
        f"{policy['unmade']:,}",
        f"{moved:,}",
    ]
    return f"| {' | '.join(cells)} |"


def _said(policy: Record) -> list[str]:
    lines = []
    for stopped in policy["limits"][:LIMITS_SHOWN]:
        first = f"first {whose(stopped['first_key'], stopped['first_run'])} on {_day(stopped['first_ms'])}"
        asked = f", {stopped['asked']:,} of them a person would have been asked about" if stopped["asked"] else ""
        lines.append(
            f"- **{plain(stopped['limit'])}** refuses {_of(stopped['refused'], 'request')}{asked}, and {stopped['unmade']:,} more do not come then:"
            f" {usd(stopped['avoided_nusd'])} ({plain(first)})."
        )
        lines += [
            f"  - {plain(whose(run['key'], run['run']))}: {usd(run['avoided_nusd'])} from there on"
            for run in stopped["runs"][:3]
            if run["avoided_nusd"]
        ]
    for row in policy["moved"]:
        agent = f" of {row['agent']}" if row["agent"] else ""
        lines.append(
            f"- {_of(row['calls'], 'call')}{plain(agent)} to another model, from {plain(row['from'])} to {plain(row['to'])}: {usd(row['cost_nusd'])}"
            f" ({usd(row['low_nusd'])} to {usd(row['high_nusd'])}; {row['basis']})."
        )
    if policy["cut"]:
        lines.append(f"- Cut for their length: {_of(policy['cut'], 'answer')}.")
    if policy["waits"]:
        lines.append(f"- Waiting for open calls: {_of(policy['waits'], 'call')}, {policy['waited_ms'] / 1000:,.1f} s in all.")
    if policy["longer"]:
        lines.append(
            f"- Cut for their length then, with room to go on now: {_of(policy['longer'], 'answer')}, up to {usd(policy['longer_nusd'])} more."
        )
    lines += [f"- {plain(name)} (observed) would have refused {n:,}." for name, n in policy["observed"].items()]
    return ["", f"**{plain(policy['name'])}**", "", *lines] if lines else []


def plain(text: str) -> str:
    """Without signs that are markup."""
    return _MARKUP.sub("?", text)


def _of(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"
