"""The governor at the door: which run a request belongs to, who is stopped, what its run has become, whom to ask.

Comes in: a caller and a parsed request. Goes out: a `Passage`, with which the gate admits each attempt, or a Refusal. Money and the other
counted limits are decided at the gate (`policy.govern`); here are the others. Does not know: upstreams, prices.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from jevons.core.ask import Ask, Caller, Dialect
from jevons.core.chain import chain
from jevons.core.entry import request_text
from jevons.core.limits import (
    APPROVAL_TTL_S,
    LINEAGE_TTL_S,
    NOTE_FRAME_TOKENS,
    NOTED_RUNS_MAX,
    NOTES_EVERY_S,
    QUESTIONS_OF_KEY_MAX,
    RUN_DEPTH_MAX,
)
from jevons.core.refusal import Refusal, invalid
from jevons.gateway import wording
from jevons.gateway.clients import Named
from jevons.gateway.conversations import Conversations
from jevons.gateway.fence import Fence, Note
from jevons.gateway.identify import claimed_run, run_budget
from jevons.gateway.passage import NO_LOOPS, WITHOUT_STEPS, Passage
from jevons.gateway.settings import GovernorSettings
from jevons.gateway.standing import note_for
from jevons.gateway.stop import Stop
from jevons.gateway.trails import Trails
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Approval, Kill, Noted
from jevons.policy.access import Access
from jevons.policy.accounts import Account
from jevons.policy.books import OF_RUNS
from jevons.policy.bounds import Facts, Passed, judge, output_cap
from jevons.policy.kills import hits
from jevons.policy.route import allowed
from jevons.policy.rules import Measure, Rule, Who
from jevons.policy.runs import Run, TooDeep
from jevons.wire.tool_calls import ToolCall, calls_in


class Governor:
    """Decides on requests, and keeps what it needs of those before."""

    def __init__(self, ledger: Ledger, secret: bytes, settings: GovernorSettings, access: tuple[Access, ...] = ()) -> None:
        self._ledger = ledger
        self._secret = secret
        self._settings = settings
        self._fence = Fence(access)
        self._conversations = Conversations(secret)
        self._trails = Trails(secret)
        self._open: dict[int, tuple[Passage, Stop]] = {}
        """Requests under way by their id: sent, waiting for a hold, or between two attempts."""
        self._asked: dict[int, deque[int]] = {}
        """Key id -> when its latest questions end, Unix ms."""
        self._noted: dict[tuple[str, str, str], tuple[int, int]] = {}
        self.address = ""
        """Where people find this gateway, for the links they get."""
        ledger.control.on_kill.append(self._cut)
        ledger.control.on_grant.append(self._granted)

    def recall(self, now_ms: int) -> None:
        """After a start: the runs that were inferred before go on, and the log says which policy holds from now on."""
        self._ledger.note_policy(self._fence.tables, msgspec.to_builtins(self._settings), now_ms)
        for key_id, run_id, head, at_ms in self._ledger.history.inferred(now_ms - LINEAGE_TTL_S * 1000):
            self._conversations.recall(key_id, run_id, head, at_ms)

    def enter(self, ask: Ask, caller: Caller, named: Named, request: int) -> tuple[Ask, Passage]:
        """The request without tools that are denied, and its passage. Raises Refusal: whoever is stopped, what is denied, a run too deep."""
        passage = Passage(caller, self._who(caller, None), request, chain(self._secret, ask.messages))
        passage.models = (ask.model,)
        self.check_kills(passage, ask.model)  # what can be refused without its run makes none
        self._fence.check_model(passage.who, ask.model, self._noter(passage))
        ask, passage.removed_tools = self._fence.sift(ask, passage.who, self._noter(passage))
        if passage.removed_tools:
            passage.links = chain(self._secret, ask.messages)
        passage.run = self._run(passage, ask, named)
        budget_nusd = run_budget(named)
        if passage.run is not None:
            passage.who = self._who(caller, passage.run.label)
            self.check_kills(passage, ask.model)
            if budget_nusd is not None:
                self._ledger.tighten(passage.run, passage.who, budget_nusd, passage.at_ms)
        elif budget_nusd is not None and ask.dialect is not Dialect.COUNT_TOKENS:
            raise invalid("x-jevons-run-budget-usd is there, and no run: name it in x-jevons-run-id.", code="invalid_run_budget")
        return ask, passage

    def enter_plain(self, caller: Caller, request: int, model: str) -> Passage:
        """The passage of a call that has no messages: an operator's own door. Raises Refusal for whoever is stopped."""
        passage = Passage(caller, self._who(caller, None), request, chain(self._secret, ()))
        passage.models = (model,)
        self.check_kills(passage, model)
        return passage

    def enter_again(self, passage: Passage, request: int, ask: Ask | None = None) -> Passage:
        """The passage of a call of our own that asks the same, or `ask`: its key pays, but no run, for no agent takes a step."""
        links = passage.links if ask is None else chain(self._secret, ask.messages)
        again = Passage(passage.caller, self._who(passage.caller, None), request, links)
        again.trim = passage.trim if ask is None else None
        again.models = passage.models
        again.credential_for = passage.credential_for
        again.read = passage.read if ask is None else None
        return again

    def check_kills(self, passage: Passage, model: str) -> None:
        """Raises Refusal for whoever is stopped."""
        for kill in self._ledger.control.kills.values():
            if hits(kill.subject, passage.who, passage.lineage, model):
                self.note(passage, "denied", "killed", {"kill": kill.id}, of_run=_is_of_run(kill.subject))
                raise wording.killed(kill.subject, kill.reason)

    def path(self, passage: Passage, model: str) -> tuple[Account, ...]:
        """The accounts that this call counts in, as they are now."""
        passage.path = self._ledger.path_of(passage.who, passage.run, model, passage.at_ms)
        return passage.path

    def tell(self, passage: Passage, model: str) -> int:
        """Put the note to the agent into the passage, if it is due. Returns by how many tokens it can lengthen the request."""
        if not self._settings.tell_agent:
            return 0
        passage.note = note_for(self.path(passage, model), passage.warnings)
        return len(passage.note.encode()) + NOTE_FRAME_TOKENS if passage.note else 0

    def judge(self, passage: Passage, ask: Ask, model: str, input_tokens: int) -> int | None:
        """Hold the run's facts against its limits. Returns the largest output cap they allow; raises Refusal, warns in the passage."""
        passage.models = (ask.model, model)
        self.check_kills(passage, model)
        if model != ask.model:
            self._fence.check_target(passage.who, model, self._noter(passage))
        if ask.dialect is Dialect.COUNT_TOKENS:
            return None
        passage.warnings.clear()
        rules = self._ledger.books.bounds(passage.who, passage.run, model)
        facts = passage.facts = self._facts(passage, ask, input_tokens, rules)
        if not rules:
            return None
        for found in judge(rules, facts, lambda rule: self._raised(passage, rule)):
            if not found.rule.enforced:
                self._observe(passage, found)
            elif found.step == "deny":
                refusal = wording.passed(found, self._subject(passage, found.rule), facts.why)
                self.note(passage, "denied", found.rule.name, refusal.detail, of_run=found.rule.scope in OF_RUNS)
                raise refusal
            elif found.step == "ask":
                label, subject = self._label(passage, found.rule), self._subject(passage, found.rule)
                grants = max(1, found.rule.approve or 0)
                text = wording.asked(found.rule, subject, found.value, grants, facts.why)
                raise self._question(passage, label, 0, text, grants)
            else:
                passage.warnings.append(f"{found.rule.name}: {found.rule.measure} {found.value} of {found.rule.limit}")
        return output_cap(rules)

    def may_use(self, caller: Caller, model: str, target: str = "") -> bool:
        """Is the model on the allow-lists of the caller's key and of all tables? `target`: its own name behind an alias, which may be denied too."""
        who = self._who(caller, None)
        return (
            allowed(caller.models, model)
            and self._fence.allows_model(who, model)
            and (not target or target == model or self._fence.allows_target(who, target))
        )

    def call_judge(self, passage: Passage) -> Callable[[ToolCall], Refusal | None] | None:
        """What judges the tool calls of its answer; None = nothing to judge."""
        return self._fence.call_judge(passage.who, self._noter(passage))

    def judge_answer(self, passage: Passage, dialect: Dialect, body: bytes) -> Refusal | None:
        """Why a whole answer must not be passed on: it calls a tool that is denied."""
        judge = self.call_judge(passage)
        if judge is None or dialect in WITHOUT_STEPS:
            return None
        return next((refusal for call in calls_in(dialect, body) if (refusal := judge(call)) is not None), None)

    def packs(self, holds: str) -> bool:
        """Does a caller with this setting have packed holds?"""
        return (holds or self._settings.holds) == "packed"

    def ask(self, passage: Passage, account: Account) -> Refusal:
        """A person is to be asked before more is spent on an account."""
        grants = max(1, account.rule.approve or 0)
        text = wording.asked(account.rule, account.subject, account.posted + account.held, grants)
        return self._question(passage, account.label, account.period.start_ms, text, grants)

    def denied(self, passage: Passage, refusal: Refusal) -> Refusal:
        """A denial by an account, for the log."""
        of_run = _is_of_run(str(refusal.detail.get("scope", "")))
        self.note(passage, "denied", str(refusal.detail.get("limit_name", "")), refusal.detail, of_run=of_run)
        return refusal

    def observed(self, passage: Passage, accounts: tuple[Account, ...]) -> None:
        """Accounts that are observed would have refused this call."""
        for account in accounts:
            of_run = _is_of_run(account.subject)
            self.note(passage, "would-deny", account.rule.name, {"account": account.label}, of_run=of_run)

    @contextmanager
    def under_way(self, passage: Passage) -> Iterator[Stop]:
        """While a request is made, a kill finds it here, whatever it waits for. Raises Refusal if it was stopped."""
        stop = Stop()
        self._open[passage.request] = (passage, stop)
        try:
            yield stop
        except asyncio.CancelledError:
            if (stopped := stop.was_cut()) is None:
                raise
            raise stopped from None
        finally:
            self.answered(passage)

    def answered(self, passage: Passage) -> None:
        """What is on its way to the client whole is done and charged: nobody stops it any more."""
        self._open.pop(passage.request, None)

    def remember(self, passage: Passage, ask: Ask, input_tokens: int) -> None:
        """A request was admitted: what it said leads the next one of its run here."""
        run = passage.run
        if run is None:
            return
        if not run.context_tokens and ask.dialect not in WITHOUT_STEPS:
            run.context_tokens = input_tokens
        if passage.trace is not None:
            self._conversations.remember(passage.caller.key_id, run.label, passage.trace, passage.at_ms)

    def note(self, passage: Passage, action: str, name: str, detail: dict[str, object], *, of_run: bool = False) -> None:
        """A line for the audit log: at once for the first of its kind, then one a minute with their number.

        `of_run`: what is said is of the run, so that each has lines of its own, unless there are very many; else they are of its key.
        """
        now_ms, key = passage.at_ms, f"key:{passage.who.key}"
        kind = (action, passage.subject if of_run else key, name)
        if kind not in self._noted and len(self._noted) >= NOTED_RUNS_MAX:
            kind = (action, key, name)
        begun_ms, times = self._noted.get(kind, (0, 0))
        if now_ms - begun_ms < NOTES_EVERY_S * 1000:
            self._noted[kind] = (begun_ms, times + 1)
            return
        self._noted[kind] = (now_ms, 0)
        if kind[1] == key and passage.run is not None:
            detail = {**detail, "run": passage.run.label}
        self._ledger.control.note(Noted(now_ms, action, kind[1], {**detail, "unlogged_before": times} if times else detail))

    def flush_notes(self, now_ms: int) -> None:
        """Write what was counted and not yet noted; forget what is long past."""
        for kind, (begun_ms, times) in list(self._noted.items()):
            if times:
                action, subject, name = kind
                self._ledger.control.note(Noted(now_ms, action, subject, {"limit_name": name, "times": times}))
                self._noted[kind] = (begun_ms, 0)
            elif now_ms - begun_ms > NOTES_EVERY_S * 1000:
                del self._noted[kind]

    def _noter(self, passage: Passage) -> Note:
        return lambda action, name, detail: self.note(passage, action, name, detail)

    def _who(self, caller: Caller, run: str | None) -> Who:
        return Who(caller.org, caller.team, caller.key_id, caller.key_name, caller.agent, run)

    def _run(self, passage: Passage, ask: Ask, named: Named) -> Run | None:
        key_id, now_ms = passage.caller.key_id, passage.at_ms
        claim = passage.caller.run or claimed_run(named, ask)
        label, parent, new = None, None, False
        if claim is not None:
            label, parent, passage.source = claim.run_id, claim.parent_id, claim.source
        elif ask.previous_response_id is not None:
            label = self._ledger.history.run_of_response(key_id, ask.previous_response_id)
            passage.source = "previous_response_id"
        if label is None and self._settings.infer_runs and ask.dialect not in WITHOUT_STEPS and ask.messages:
            passage.source = "inferred"
            passage.trace = self._conversations.trace(key_id, ask.messages, passage.links, now_ms)
            found = passage.trace.found
            if found is not None and found.kind == "continues":
                label = found.run_id
            else:
                label, new = f"auto-{request_text(passage.request).removeprefix('req_')}", True
                parent = found.run_id if found is not None else None
        if label is None:
            return None
        try:
            run = self._ledger.runs.enter(key_id, label, parent, now_ms, new=new)
        except TooDeep:
            raise invalid(f"Run {label!r} is more than {RUN_DEPTH_MAX} runs deep.", code="run_too_deep", status=403) from None
        if new and passage.trace is not None:  # also if it is refused: the same request, sent again, is of the same run
            self._conversations.remember(key_id, label, passage.trace, now_ms)
        return run

    def _facts(self, passage: Passage, ask: Ask, input_tokens: int, rules: tuple[Rule, ...]) -> Facts:
        run = passage.run
        if run is None:
            return Facts(input_tokens, ask.thinking_budget)
        no_step = ask.dialect in WITHOUT_STEPS
        loops = passage.loops
        if loops is None:
            loops, came = NO_LOOPS, ask if passage.trim is None else passage.trim.came
            if any(rule.measure in (Measure.REPEATS, Measure.IDENTICAL, Measure.STALLED) for rule in rules):
                loops = self._trails.follow(run.trail, came, passage.links.digests, input_tokens)
            passage.loops = loops
        return Facts(
            context_tokens=input_tokens,
            thinking_budget=ask.thinking_budget,
            seconds=(passage.at_ms - run.root.first_ms) // 1000,
            own_seconds=(passage.at_ms - run.first_ms) // 1000,
            depth=run.depth,
            ordinal=run.ordinal,
            growth_pct=0 if no_step or not run.context_tokens else input_tokens * 100 // run.context_tokens,
            repeats=loops.repeats,
            identical=loops.identical,
            stalled_tokens=loops.stalled_tokens,
            why=loops.why,
        )

    def _subject(self, passage: Passage, rule: Rule) -> str:
        return passage.subject if rule.scope in OF_RUNS else f"key:{passage.who.key}"

    def _label(self, passage: Passage, rule: Rule) -> str:
        return f"{rule.name}:{rule.measure} {self._subject(passage, rule)}"

    def _raised(self, passage: Passage, rule: Rule) -> int:
        return self._ledger.control.grants.get((self._label(passage, rule), 0), 0)

    def _observe(self, passage: Passage, found: Passed) -> None:
        if found.step == "warn":
            return
        action = "would-deny" if found.step == "deny" else "would-ask"
        detail: dict[str, object] = {"measure": found.rule.measure, "value": found.value}
        self.note(passage, action, found.rule.name, detail, of_run=found.rule.scope in OF_RUNS)

    def _question(self, passage: Passage, label: str, window_ms: int, text: str, grants: int) -> Refusal:
        """Ask a person, or say what became of the question."""
        control, now_ms = self._ledger.control, passage.at_ms
        approval = control.asked(label, window_ms)
        if approval is None or approval.state == "approved":
            if not self._may_ask(passage):
                raise wording.too_many_questions(passage.who.key)
            expires_ms = now_ms + (self._settings.approval_s or APPROVAL_TTL_S) * 1000
            approval = Approval(f"apr_{secrets.token_urlsafe(16)}", label, window_ms, text, grants, now_ms, expires_ms)
            control.ask(approval)
        refusal = wording.question(approval, f"{self.address}/jevons/v1/approvals/{approval.id}", now_ms)
        detail = {"reason": refusal.detail["reason"], "approval": approval.id}
        limit, _, subject = label.partition(" ")
        self.note(passage, "denied", limit.partition(":")[0], detail, of_run=_is_of_run(subject))
        return refusal

    def _may_ask(self, passage: Passage) -> bool:
        """A key may have so many questions open, and no more: each is a row on the disk, and somebody's time."""
        asked = self._asked.setdefault(passage.caller.key_id, deque())
        while asked and asked[0] <= passage.at_ms:
            asked.popleft()
        if len(asked) >= QUESTIONS_OF_KEY_MAX:
            return False
        asked.append(passage.at_ms + (self._settings.approval_s or APPROVAL_TTL_S) * 1000)
        return True

    def _granted(self, label: str, window_ms: int, granted: int) -> None:
        for account in self._ledger.books.accounts.values():
            if account.period.start_ms == window_ms and account.label == label:
                account.granted = granted

    def _cut(self, kill: Kill) -> None:
        """Stop every call under way that a new kill concerns."""
        for passage, stop in self._open.values():
            if any(hits(kill.subject, passage.who, passage.lineage, model) for model in passage.models):
                stop.cut(wording.killed(kill.subject, kill.reason))


def _is_of_run(subject: str) -> bool:
    return subject.startswith("run:")
