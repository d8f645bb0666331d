"""The governor's documents for people: limits with their accounts, kills, questions, the audit log. What is shown is what --json prints."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.text import Text

from jevons.cli.doctor import count
from jevons.cli.tables import console, plain, printable, whole
from jevons.core.money import format_usd
from jevons.policy.rules import SUMMED, Limit, Measure, Rule, rules_of

BAR = 20
"""Characters of a bar."""
EACH = {
    "org": "each organisation",
    "team": "each team",
    "key": "each key",
    "agent": "each agent of a key",
    "run": "each run",
    "child": "each run that a run started",
}
MODES = {"enforce": "enforced", "observe": "only observed", "off": "off"}

Record = dict[str, Any]


def limits(found: Record) -> None:
    for one in found["limits"]:
        where = f" ({one['where']})" if one["where"] != "ledger" else ""
        console.print(Text(one["name"] + where, "bold"), Text(in_words(msgspec.convert(one["settings"], Limit))), soft_wrap=True)
        _accounts(one["accounts"], one["accounts_known"])
    capped = [account for account in found["keys"] if account["limit_nusd"] is not None]
    if capped:
        console.print(Text("Totals of keys", "bold"), Text("set by: jevons keys limit NAME AMOUNT"))
        _accounts(capped, len(capped))
    if found["run_budgets"]:
        console.print(Text("Budgets of runs", "bold"), Text("set by their own calls (x-jevons-run-budget-usd)"))
        _accounts(found["run_budgets"], len(found["run_budgets"]))
    if all(one["where"] == "built in" for one in found["limits"]):
        _say("No limit of yours is set. For example: jevons limits set session --scope run --agent claude-code --usd 5")


def stated(limit: Limit) -> None:
    """A limit that was just set."""
    _say(f"Limit {limit.name} is set: {in_words(limit)}. `jevons limits` shows what counts already.")


def in_words(limit: Limit) -> str:
    """Whom a limit holds for, what it limits, what happens there."""
    rules = rules_of(msgspec.structs.replace(limit, mode="enforce"))
    patterns = {name: getattr(limit, name) for name in ("org", "team", "key", "agent", "model")}
    whom = [EACH[limit.scope], *(f"{name} {pattern}" for name, pattern in patterns.items() if pattern != "*")]
    first = rules[0]
    parts = [", ".join(whom), " and ".join(f"{r.measure} ≤ {amount(r.measure, r.limit)}{_per(r, limit)}" for r in rules)]
    parts.append(MODES[limit.mode])
    if first.warn is not None:
        parts.append(f"warns from {amount(first.measure, first.warn)}")
    if first.approve is not None:
        parts.append(f"asks from {amount(first.measure, first.approve)}")
    if limit.degrade_to:
        parts.append(f"degrades to {', '.join(limit.degrade_to)} from {limit.degrade_at or 0:.0%} on")
    return "; ".join(parts)


def _per(rule: Rule, limit: Limit) -> str:
    if rule.measure not in SUMMED:
        return ""
    zone = f" ({limit.timezone})" if limit.timezone != "UTC" else ""
    return " in total" if rule.window.name == "total" else f" per {rule.window.name}{zone}"


def amount(measure: Measure | str, value: int) -> str:
    """A number of this measure for people."""
    if measure in (Measure.USD, Measure.LIST_USD):
        return format_usd(value)
    return f"{value / 100:g}×" if measure == Measure.GROWTH else f"{value:,}"


def killed(made: Record) -> None:
    cut = f", with {count(made['open_calls'], 'call')} under way" if made["open_calls"] else ""
    _say(f"Stopped: {made['subject']}{cut}. `jevons kill --lift {made['id']}` lets it go on.")


def kills(found: list[Record]) -> None:
    if not found:
        _say("Nobody is stopped. `jevons kill SUBJECT` stops a run, an agent, a key: see `jevons kill --help`.")
        return
    table = plain("kill", "subject", "since", "reason", title=None)
    for kill in found:
        table.add_row(str(kill["id"]), Text(kill["subject"]), clock(kill["created_ms"]), Text(kill["reason"]))
    whole(table)
    _say("`jevons kill --lift NUMBER` lets them go on.")


def approvals(found: list[Record], others: int) -> None:
    for one in found:
        states = {
            "pending": f"waits until {clock(one['expires_ms'])}",
            "expired": f"nobody answered until {clock(one['expires_ms'])}, which is a no",
        }
        state = states.get(one["state"]) or f"{one['state']} {clock(one['decided_ms'])}"
        console.print(Text(one["id"], "bold"), Text(state), soft_wrap=True)
        console.print(Text(printable(f"  {one['question']}")), soft_wrap=True)
    if found:
        _say("Yes: `jevons approve ID`. No: `jevons approve ID --deny`, or silence.")
        return
    rest = f" {count(others, 'question')} answered or expired: `jevons approve --all`." if others else ""
    _say(f"No question waits for an answer.{rest} A limit with `approve` asks before more is spent.")


def decided(one: Record) -> None:
    what = "Approved; the agent may send its request again" if one["state"] == "approved" else "Denied"
    _say(f"{what}. {one['question']}")


def audit(rows: list[Record]) -> None:
    if not rows:
        _say("Nothing is logged. Every change of keys, limits and kills will be, and every denial.")
        return
    for row in rows:
        detail = " ".join(f"{name}={_short(value)}" for name, value in row["detail"].items() if value not in (None, ""))
        line = f"{row['seq']:>6}  {clock(row['at_ms'])}  {row['action']:<12} {row['subject']}  {detail}"
        _say(line)


def _say(line: str, style: str | None = None) -> None:
    console.print(printable(line), style=style, markup=False, soft_wrap=True)


def clock(at_ms: int) -> str:
    """To the second, UTC."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _accounts(found: list[Record], known: int) -> None:
    if not found:
        _say("  nobody has called under it yet", style="dim")
        return
    several = len({account["measure"] for account in found}) > 1
    names = [account["subject"] + (f" {account['measure']}" if several else "") for account in found]
    width = max(map(len, names))
    for name, account in zip(names, found, strict=True):
        console.print(Text.assemble(f"  {name:<{width}}  ", _bar(account), "  ", _use(account)), soft_wrap=True)
    if known > len(found):
        _say(f"  … and {known - len(found):,} more: --accounts {known}", style="dim")


def _bar(account: Record) -> Text:
    """Spent, held, free."""
    limit, posted, held, over = (_of(account, name) for name in ("limit", "posted", "held", "over"))
    if over:
        return Text("█" * BAR, "red")
    whole = max(1, limit)
    spent = min(BAR, max(0, posted) * BAR // whole)
    upto = min(BAR, -(-max(0, posted + held) * BAR // whole)) if held else spent
    bar = Text("█" * spent, "green")
    bar.append("▒" * (upto - spent), "yellow")
    return bar.append("░" * (BAR - upto), "dim")


def _use(account: Record) -> Text:
    measure = account["measure"]
    limit, posted, held, over, overrun = (_of(account, name) for name in ("limit", "posted", "held", "over", "overrun"))
    text = Text(f"{amount(measure, posted)} spent")
    if held:
        text.append(f", {amount(measure, held)} held", "yellow")
    text.append(f" of {amount(measure, limit)}")
    if over:
        text.append(f", {amount(measure, over)} over", "red")
    elif overrun:
        text.append(f", overrun before: {amount(measure, overrun)}", "red")
    if account["window_end_ms"] is not None:
        text.append(f", until {clock(account['window_end_ms'])}", "dim")
    return text


def _of(account: Record, name: str) -> int:
    value: int = account.get(f"{name}_nusd", account.get(name)) or 0
    return value


def _short(value: object) -> str:
    if isinstance(value, dict):
        return "{" + " ".join(f"{name}={_short(one)}" for name, one in value.items()) + "}"
    return str(value)
