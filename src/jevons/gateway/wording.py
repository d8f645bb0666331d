"""Denials in words: whom they concern, what is spent and held, when it resets, what to do. Pure text; numbers come from accounts.

Every denial has the same members for programs: reason, scope, limit, measure, spent, held, needed, window, resets_ms, remedy.
"""

import math
from datetime import UTC, datetime

from jevons.core.limits import HOLD_RETRY_AFTER_S, RETRY_HELPS_MAX_S
from jevons.core.money import format_usd
from jevons.core.refusal import Kind, Refusal
from jevons.ledger.ops import Approval
from jevons.policy.accounts import Account
from jevons.policy.books import KEY_TOTAL, RUN_BUDGET
from jevons.policy.bounds import Passed
from jevons.policy.govern import CUTS
from jevons.policy.rules import MONEY, Measure, Rule

STOP_CODE = "insufficient_quota"
"""The one code that OpenAI's clients know as a reason to stop; what it was is in `reason`."""


def short(account: Account, needed: int, now_ms: int) -> Refusal:
    """An account has not got what a call may need, whatever becomes of the open ones."""
    frees_ms = account.frees_ms(needed)
    wait_s = math.ceil((frees_ms - now_ms) / 1000) if frees_ms is not None else None
    message = f"{whom(account.subject)} {_used(account, needed)}.{_resets(frees_ms)} {remedy(account)}"
    detail = standing(account, needed, frees_ms)
    if wait_s is not None and wait_s <= RETRY_HELPS_MAX_S:
        return Refusal(Kind.RATE_LIMIT, 429, message, code="limit_reached", retry_after_s=max(1, wait_s), detail=detail)
    return Refusal(Kind.BUDGET, 402, message, code=STOP_CODE, detail=detail)


def holds_open(account: Account, needed: int) -> Refusal:
    """It would fit, but for calls under way."""
    what = "money" if account.rule.measure in MONEY else "room"
    message = f"{whom(account.subject)} has the {what} under {_limit_of(account)}, but open calls hold it; one of them will be settled soon."
    return Refusal(
        Kind.RATE_LIMIT, 429, message, code="holds_open", retry_after_s=HOLD_RETRY_AFTER_S, detail=standing(account, needed, None)
    )


def passed(found: Passed, subject: str, why: str) -> Refusal:
    """A run has become more than a limit allows."""
    rule = found.rule
    words = {
        Measure.SECONDS: f"has been running for {found.value:,} s; {_named(rule)} allows {rule.limit:,} s",
        Measure.DEPTH: f"is {found.value} runs deep; {_named(rule)} allows {rule.limit}",
        Measure.CHILDREN: f"is the {found.value}. run that its parent started; {_named(rule)} allows {rule.limit}",
        Measure.CONTEXT: f"sends {found.value:,} input tokens in one call; {_named(rule)} allows {rule.limit:,}",
        Measure.GROWTH: f"sends {found.value / 100:g} times the input of its first call; {_named(rule)} allows {rule.limit / 100:g} times",
        Measure.REPEATS: f"repeats itself: {why or f'{found.value} times the same'}; {_named(rule)} stops it at {rule.limit}",
        Measure.IDENTICAL: f"makes the same call again and again: {why or f'{found.value} times'}; {_named(rule)} stops it at {rule.limit}",
        Measure.STALLED: f"grew by {found.value:,} input tokens since anything new happened; {_named(rule)} allows {rule.limit:,}",
        Measure.OUTPUT_CAP: f"needs {found.value:,} output tokens for its thinking; {_named(rule)} allows {rule.limit:,}",
    }[rule.measure]
    fix = f"Change what the agent does, or raise the limit: {_where(rule)}."
    detail: dict[str, object] = {
        "reason": "loop" if rule.measure in (Measure.REPEATS, Measure.IDENTICAL, Measure.STALLED) else "limit",
        "scope": subject,
        "limit_name": rule.name,
        "measure": rule.measure,
        "limit": rule.limit,
        "value": found.value,
        "remedy": fix,
    }
    return Refusal(Kind.BUDGET, 402, f"{whom(subject)} {words}. {fix}", code=STOP_CODE, detail=detail)


def killed(subject: str, reason: str) -> Refusal:
    """The operator's kill switch."""
    said = f" Reason: {reason}." if reason else ""
    message = f"The operator has stopped {subject}.{said} Nothing is served until that is lifted (`jevons kill --lift`)."
    detail: dict[str, object] = {"reason": "killed", "scope": subject, "remedy": "jevons kill --lift"}
    return Refusal(Kind.BUDGET, 402, message, code=STOP_CODE, detail=detail)


def question(approval: Approval, url: str, now_ms: int) -> Refusal:
    """A person is asked; until there is a yes, the answer is no."""
    detail: dict[str, object] = {
        "reason": "approval",
        "scope": approval.account,
        "approval": approval.id,
        "approval_url": url,
        "expires_ms": approval.expires_ms,
        "remedy": f"jevons approve {approval.id}",
    }
    if approval.open(now_ms):
        until = _clock(approval.expires_ms)
        how = f"{url} (or `jevons approve {approval.id}`), until {until}"
        message = f"{approval.question} A person must approve before it goes on: {how}. Then send the request again."
    else:
        why = "was denied" if approval.state == "denied" else "was not approved in time, which counts as a no"
        detail["reason"] = "approval_denied"
        message = f"{approval.question} That {why}. It can still be approved: {url} (or `jevons approve {approval.id}`)."
    return Refusal(Kind.BUDGET, 402, message, code=STOP_CODE, detail=detail)


def too_many_questions(key: str) -> Refusal:
    """A person would be asked, and has enough to answer."""
    message = f"Key {key!r} has as many questions open as a key may have; a person must answer them first (`jevons approve`)."
    detail: dict[str, object] = {"reason": "approval", "scope": f"key:{key}", "remedy": "jevons approve"}
    return Refusal(Kind.BUDGET, 402, message, code=STOP_CODE, detail=detail)


def asked(rule: Rule, subject: str, value: int, grants: int, why: str = "") -> str:
    """The question, for whoever decides."""
    came = (
        f"has come to {amount(rule.measure, value)}"
        if rule.counted
        else why or f"has come to {amount(rule.measure, value)} ({rule.measure})"
    )
    return f"{whom(subject)} {came}; {_named(rule)} asks from {amount(rule.measure, rule.approve or 0)} on. A yes allows {amount(rule.measure, grants)} more."


def standing(account: Account, needed: int, frees_ms: int | None) -> dict[str, object]:
    """An account for programs. Money is in nano-USD, and says so in its members' names."""
    unit = "_nusd" if account.rule.measure in MONEY else ""
    return {
        "reason": "limit",
        "scope": account.subject,
        "limit_name": account.rule.name,
        "measure": account.rule.measure,
        f"limit{unit}": account.limit,
        f"spent{unit}": account.posted,
        f"held{unit}": account.held,
        f"needed{unit}": needed,
        "window": account.rule.window.name,
        "resets_ms": frees_ms,
        "remedy": remedy(account),
    }


def whom(subject: str) -> str:
    """An account's subject as the beginning of a sentence."""
    kind, _, name = subject.partition(":")
    key, _, rest = name.partition("/")
    match kind:
        case "org":
            return f"Organisation {name!r}"
        case "team":
            return f"Team {rest!r}"
        case "agent":
            return f"Agent {rest!r} of key {key!r}"
        case "run":
            return f"Run {rest!r} of key {key!r}"
    return f"Key {name!r}"


def remedy(account: Account) -> str:
    """What to do, for whoever owns the limit."""
    rule = account.rule
    if rule is KEY_TOTAL:
        return f"Raise the limit with `jevons keys limit {account.subject.removeprefix('key:')} AMOUNT`, or ask for less output."
    if rule is RUN_BUDGET:
        return "The run's own calls set this budget (x-jevons-run-budget-usd); begin a new run."
    less = (
        " Or ask for less output."
        if account.index in CUTS
        else " Or begin a new run."
        if account.subject.startswith("run:")
        else ""
    )
    return f"Raise the limit: {_where(rule)}.{less}"


def amount(measure: Measure, value: int) -> str:
    """A number with its unit."""
    if measure in MONEY:
        return format_usd(value)
    if measure is Measure.CONCURRENT:
        return f"{value:,} calls at once"
    return f"{value:,} {measure.replace('_', ' ')}"


def _used(account: Account, needed: int) -> str:
    """What is used up of an account, as a part of a sentence."""
    measure, limit = account.rule.measure, account.limit or 0
    if measure in MONEY:
        held = f", {format_usd(account.held)} more is held by open calls" if account.held else ""
        return (
            f"has spent {format_usd(account.posted)} of {_limit_of(account)}{held}; this call may cost up to {format_usd(needed)}"
        )
    held = f", and {account.held:,} more are held by open calls" if account.held else ""
    name = measure.replace("_", " ")
    used = f"has used {account.posted:,} of the {limit:,} {name} that its {_named(account.rule)} allows{_per(account)}{held}"
    return used if measure is Measure.STEPS else f"{used}; this call may need up to {needed:,}"


def _per(account: Account) -> str:
    name = account.rule.window.name
    return "" if name == "total" else f" per {name}"


def _limit_of(account: Account) -> str:
    if account.rule is KEY_TOTAL:
        return f"its limit of {format_usd(account.limit or 0)}"
    return f"its {_named(account.rule)} of {amount(account.rule.measure, account.limit or 0)}{_per(account)}"


def _named(rule: Rule) -> str:
    return f"limit {rule.name!r}"


def _where(rule: Rule) -> str:
    return f"`jevons limits` says where {rule.name!r} is set"


def _resets(frees_ms: int | None) -> str:
    return f" There is room again at {_clock(frees_ms)}." if frees_ms is not None else ""


def _clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
