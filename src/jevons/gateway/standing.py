"""How a caller stands with its limits, as the agent is told: in headers of every answer, and in a note where notes are on."""

from collections.abc import Sequence

from jevons.core.limits import TOLD_FROM_PCT
from jevons.core.money import format_usd
from jevons.gateway.passage import Passage
from jevons.policy.accounts import Account
from jevons.policy.rules import COUNTED, MONEY, Measure


def standing_headers(passage: Passage) -> list[tuple[bytes, bytes]]:
    """What the agent is told: its run, what is left of money and steps, until when, and warnings."""
    headers: list[tuple[bytes, bytes]] = []
    tightest = least(passage.path, Measure.USD)
    headers.append((b"x-jevons-budget-remaining-nusd", b"unlimited" if tightest is None else str(tightest.available).encode()))
    if tightest is not None and (reset_s := _reset_s(tightest, passage.at_ms)):
        headers.append((b"x-jevons-budget-reset", str(reset_s).encode()))
    if (steps := least(passage.path, Measure.STEPS)) is not None:
        headers.append((b"x-jevons-steps-remaining", str(steps.available).encode()))
    if passage.run is not None:
        headers.append((b"x-jevons-run-id", passage.run.label.encode()))
    warnings = passage.warnings + [
        f"{account.label} is past its warning"
        for account in passage.path
        if account.rule.warn is not None and account.enforced and account.warns
    ]
    if warnings:
        headers.append((b"x-jevons-warning", "; ".join(warnings).encode()))
    if passage.removed_tools:
        headers.append((b"x-jevons-tools-removed", ", ".join(passage.removed_tools).encode()))
    if passage.degraded:
        headers.append((b"x-jevons-degraded", passage.degraded.encode()))
    return headers


def least(path: Sequence[Account], measure: Measure) -> Account | None:
    """The enforced account of a measure with the least left; None = no limit."""
    tightest, left = None, 0
    for account in path:
        if account.limit is None or account.rule.measure is not measure or not account.enforced:
            continue
        available = account.limit - account.posted - account.held
        if tightest is None or available < left:
            tightest, left = account, available
    return tightest


def _reset_s(account: Account, now_ms: int) -> int:
    """Unix seconds from which all of the limit is there again if nothing more is spent; 0 = never by itself."""
    rolling_ms = account.rule.window.rolling_ms
    if rolling_ms:
        return -(-(now_ms + rolling_ms + account.rule.window.bucket_ms) // 1000)
    return account.period.end_ms // 1000 if account.period.start_ms else 0


def note_for(path: Sequence[Account], warnings: Sequence[str]) -> str:
    """One or two sentences for the model, "" while there is nothing it should know. Calls at once are not its business."""
    said = [_left(account) for measure in COUNTED[:-1] if (account := least(path, measure)) is not None and _is_told(account)]
    said += [f"warning: {warning}" for warning in warnings]
    return f"[Note from the gateway: {'; '.join(said)}. Finish what matters most.]" if said else ""


def _is_told(account: Account) -> bool:
    used = account.posted + account.held
    return account.warns or used * 100 >= TOLD_FROM_PCT * (account.limit or 0)


def _left(account: Account) -> str:
    measure, limit = account.rule.measure, account.limit or 0
    left = account.available or 0
    of_a_run = " for this run" if account.subject.startswith("run:") else ""
    if measure in MONEY:
        return f"{format_usd(left)} of a budget of {format_usd(limit)} is left{of_a_run}"
    return f"{left:,} of {limit:,} {measure.replace('_', ' ')} are left{of_a_run}"
