"""Who calls, in which run: precedence of headers and body, labels of two keys, what is refused and what is passed over."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.core.ask import Ask, Dialect, RunClaim
from jevons.core.refusal import Refusal
from jevons.gateway.clients import RUN_HEADERS
from jevons.gateway.identify import claimed_run, identify, run_budget
from jevons.ledger.keys import digest_of
from jevons.ledger.ops import Key, KeySettings
from jevons.wire.parse import parse

SESSION = "7f4a1c9e-3b52-4d7e-9f10-2a6b8c0d1e2f"
USER_ID = json.dumps({"device_id": "0" * 64, "account_uuid": "", "session_id": SESSION})
OLD_USER_ID = f"user_{'0' * 64}_account__session_{SESSION}"
FIRST = Key(1, "first", digest_of("jv-first-0000000000000000"), "jv-first", 0)
SECOND = Key(
    2,
    "second",
    digest_of("jv-second-000000000000000"),
    "jv-second",
    0,
    settings=KeySettings(default_output_tokens=7, models=("gpt-*",), denial_status=403, team="search", org="acme"),
)
KNOWN = {key.digest: key for key in (FIRST, SECOND)}


def caller_of(secret: str = "jv-first-0000000000000000", **headers: str) -> Any:
    pairs = [(b"authorization", f"Bearer {secret}".encode())]
    pairs += [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return identify(KNOWN, pairs, dict(pairs), "")


def ask_of(dialect: Dialect = Dialect.MESSAGES, **members: Any) -> Ask:
    said = {"input": "hi"} if dialect is Dialect.RESPONSES else {"messages": [{"role": "user", "content": "hi"}]}
    return parse(dialect, json.dumps({"model": "m", "max_tokens": 9} | said | members).encode())


def run_of(ask: Ask | None = None, **headers: str) -> RunClaim | None:
    return claimed_run({name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}, ask)


def test_a_caller_is_its_key() -> None:
    caller = caller_of()
    assert (caller.key_id, caller.key_name, caller.org, caller.team, caller.agent) == (1, "first", "default", "", "")
    assert (caller.run, caller.run_id) == (None, None)
    assert (caller.default_output_tokens, caller.models, caller.denial_status) == (None, (), None)


def test_team_organisation_and_settings_come_from_the_key() -> None:
    caller = caller_of("jv-second-000000000000000", x_jevons_team="other", x_jevons_org="other")
    assert (caller.org, caller.team) == ("acme", "search")
    assert (caller.default_output_tokens, caller.models, caller.denial_status) == (7, ("gpt-*",), 403)


def test_an_unknown_key_is_refused_whatever_it_is_labelled() -> None:
    with pytest.raises(Refusal) as refused:
        caller_of("jv-nobody-00000000000000", x_jevons_run_id="r")
    assert refused.value.status == 401


def test_the_same_labels_under_two_keys_are_two_callers() -> None:
    labels = {"x_jevons_run_id": "r", "x_jevons_agent": "a"}
    one, two = caller_of(**labels), caller_of("jv-second-000000000000000", **labels)
    assert one.run == two.run
    assert (one.key_id, two.key_id) == (1, 2)


def test_the_agent_is_what_it_calls_itself_else_its_program() -> None:
    assert caller_of(user_agent="pydantic-ai/2.68.0").agent == "pydantic-ai"
    assert caller_of(user_agent="pydantic-ai/2.68.0", x_jevons_agent="nightly").agent == "nightly"
    assert caller_of(user_agent="curl/8").agent == ""


@pytest.mark.parametrize("bad", ["", "two words", "x" * 129, "é"])
@pytest.mark.parametrize(
    ("header", "code"),
    [("x-jevons-agent", "invalid_agent"), ("x-jevons-run-id", "invalid_run_id"), ("x-jevons-parent-run-id", "invalid_run_id")],
)
def test_a_label_of_ours_that_is_none_is_refused(header: str, code: str, bad: str) -> None:
    """Whoever sends it means it: served without it, the call would count for another."""
    with pytest.raises(Refusal) as refused:
        caller_of(**{header: bad})
    assert (refused.value.status, refused.value.code) == (400, code)
    assert header in refused.value.message


def test_our_run_id_comes_before_all_others() -> None:
    theirs = {headers.run: "theirs" for headers in RUN_HEADERS}
    assert run_of(x_jevons_run_id="ours", **theirs) == RunClaim("ours", None, "x-jevons-run-id")
    both = run_of(x_jevons_run_id="ours", x_jevons_parent_run_id="above", **theirs)
    assert both == RunClaim("ours", "above", "x-jevons-run-id")


def test_a_parent_that_is_named_our_way_holds_for_a_run_named_its_own_way() -> None:
    above = {"x_jevons_parent_run_id": "above"}
    claude = {"x_claude_code_session_id": SESSION}
    assert run_of(**above, **claude) == RunClaim(SESSION, "above", "x-claude-code-session-id")
    nested = run_of(**above, **claude, x_claude_code_agent_id="a")
    assert nested == RunClaim(f"{SESSION}:a", SESSION, "x-claude-code-agent-id")
    assert run_of(**above) is None
    assert run_of(x_jevons_run_id="above", **above) == RunClaim("above", None, "x-jevons-run-id")
    body = run_of(ask_of(metadata={"session_id": "s"}), **above)
    assert body == RunClaim("s", "above", "metadata.session_id")


def test_headers_come_before_the_body_in_which_metadata_comes_first() -> None:
    everything = ask_of(metadata={"session_id": "s", "user_id": USER_ID}, prompt_cache_key="p")
    assert run_of(everything, x_litellm_trace_id="t") == RunClaim("t", None, "x-litellm-trace-id")
    assert run_of(everything) == RunClaim("s", None, "metadata.session_id")
    assert run_of(ask_of(metadata={"user_id": USER_ID}, prompt_cache_key="p")) == RunClaim(SESSION, None, "metadata.user_id")
    assert run_of(ask_of(metadata={"user_id": "u"}, prompt_cache_key="p")) == RunClaim("p", None, "prompt_cache_key")


def test_without_the_ask_only_headers_count() -> None:
    assert run_of(None) is None
    assert caller_of(x_session_id="s").run == RunClaim("s", None, "x-session-id")


def test_codex_names_its_thread_although_its_cache_key_is_the_session() -> None:
    ask = ask_of(Dialect.RESPONSES, prompt_cache_key="session")
    sent = {"session_id": "session", "thread_id": "thread", "x_codex_parent_thread_id": "session"}
    assert run_of(ask, **sent) == RunClaim("thread", "session", "thread-id")
    assert run_of(ask) == RunClaim("session", None, "prompt_cache_key")


@pytest.mark.parametrize("user_id", [USER_ID, OLD_USER_ID])
@pytest.mark.parametrize("dialect", [Dialect.MESSAGES, Dialect.COUNT_TOKENS])
def test_a_session_in_anthropics_user_id(user_id: str, dialect: Dialect) -> None:
    assert run_of(ask_of(dialect, metadata={"user_id": user_id})) == RunClaim(SESSION, None, "metadata.user_id")


@pytest.mark.parametrize(
    "user_id",
    [
        "alice",
        "",
        SESSION,
        "{",
        '{"session_id": 5}',
        '{"session_id": "a b"}',
        '["session_id"]',
        "{}",
        "x_session_short",
        '{"session_id": "\\ud800"}',
        '{"a":' * 9999,
        None,
        5,
        {"a": 1},
    ],
)
def test_any_other_user_id_names_a_person(user_id: object) -> None:
    assert run_of(ask_of(metadata={"user_id": user_id})) is None


def test_a_user_id_elsewhere_names_a_person_too() -> None:
    assert run_of(ask_of(Dialect.CHAT, metadata={"user_id": USER_ID}, user=SESSION, safety_identifier=SESSION)) is None


@pytest.mark.parametrize("dialect", [Dialect.CHAT, Dialect.RESPONSES])
def test_session_and_cache_key_in_openais_dialects(dialect: Dialect) -> None:
    assert run_of(ask_of(dialect, metadata={"session_id": "s", "x": [1]})) == RunClaim("s", None, "metadata.session_id")
    assert run_of(ask_of(dialect, prompt_cache_key="p")) == RunClaim("p", None, "prompt_cache_key")


@pytest.mark.parametrize("bad", [None, 5, "", "a b", "x" * 129, "é", ["s"], {"s": 1}])
def test_members_that_are_no_labels_are_passed_over(bad: object) -> None:
    for ask in (ask_of(metadata=bad), ask_of(metadata={"session_id": bad}), ask_of(prompt_cache_key=bad)):
        assert run_of(ask) is None
    assert run_of(ask_of(metadata={"session_id": bad}, prompt_cache_key="p")) == RunClaim("p", None, "prompt_cache_key")


def test_a_response_that_is_continued_says_more_than_a_cache_key() -> None:
    """Its run is looked up by whoever knows the response."""
    continued = {"previous_response_id": "resp_1", "prompt_cache_key": "p"}
    assert run_of(ask_of(Dialect.RESPONSES, **continued)) is None
    named = run_of(ask_of(Dialect.RESPONSES, **continued, metadata={"session_id": "s"}))
    assert named == RunClaim("s", None, "metadata.session_id")


def test_a_traceparent_is_no_run() -> None:
    assert run_of(ask_of(), traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate="a=b") is None


@given(
    st.dictionaries(
        st.sampled_from([name for h in RUN_HEADERS for name in (h.run, h.child, h.parent) if name]), st.text(max_size=9)
    )
)
def test_no_headers_of_a_client_are_refused_and_what_comes_out_is_a_label(headers: dict[str, str]) -> None:
    claim = claimed_run({name.encode(): value.encode() for name, value in headers.items()})
    if claim is None:
        return
    assert claim.run_id != claim.parent_id
    for name in (claim.run_id, claim.parent_id or "-"):
        assert 1 <= len(name) <= 128
        assert all("!" <= character <= "~" for character in name)


def test_the_budget_of_a_run() -> None:
    assert run_budget({}) is None
    for text, nusd in (("5", 5 * 10**9), ("0.25", 250_000_000), ("$1,000", 10**12), ("0", 0), (" 2 ", 2 * 10**9)):
        assert run_budget({b"x-jevons-run-budget-usd": text.encode()}) == nusd


@pytest.mark.parametrize("bad", ["", "five", "0,25", "-1", "1e-10", "1" * 99, "é", "nan"])
def test_a_budget_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(Refusal) as refused:
        run_budget({b"x-jevons-run-budget-usd": bad.encode("latin-1")})
    assert (refused.value.status, refused.value.code) == (400, "invalid_run_budget")
    assert refused.value.message.startswith("x-jevons-run-budget-usd: ")
