"""Each row of data/clients.toml, by the headers that the real client sends (recorded on the wire; ids made up)."""

from typing import NamedTuple

import pytest

from jevons.core.ask import Caller, RunClaim
from jevons.core.refusal import Kind, Refusal
from jevons.gateway.clients import FAMILIES, RUN_HEADERS, family_of, for_client, label, named_run

SESSION = "7f4a1c9e-3b52-4d7e-9f10-2a6b8c0d1e2f"
THREAD = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"
OTHER = "019ab3c4-9999-7f80-9a1b-2c3d4e5f6072"
AI_SDK = "ai-sdk/provider-utils/4.0.23 runtime/bun/1.3.14"


class Sent(NamedTuple):
    """What a client sends, and what it is to be taken for."""

    what: str
    headers: dict[str, str]
    family: str | None
    run: RunClaim | None = None
    status: int | None = None


CLAUDE = {"x-claude-code-session-id": SESSION, "x-stainless-retry-count": "0", "anthropic-version": "2023-06-01"}
CODEX = {
    "originator": "codex_cli_rs",
    "session-id": THREAD,
    "thread-id": THREAD,
    "x-codex-window-id": f"{THREAD}:0",
    "x-client-request-id": THREAD,
    "x-codex-turn-metadata": '{"turn_id":"t"}',
}
OPENCODE = {"user-agent": f"opencode/1.18.33 {AI_SDK}", "x-session-affinity": "ses_dfef98573", "x-session-id": "ses_dfef98573"}
SENT = [
    Sent("claude-code", CLAUDE, "claude-code", RunClaim(SESSION, None, "x-claude-code-session-id")),
    Sent(
        "claude-code subagent",
        CLAUDE | {"x-claude-code-agent-id": "a1b2c3d4e5f6a7b8c"},
        "claude-code",
        RunClaim(f"{SESSION}:a1b2c3d4e5f6a7b8c", SESSION, "x-claude-code-agent-id"),
    ),
    Sent(
        "claude-code nested subagent",
        CLAUDE
        | {"x-claude-code-agent-id": "a9", "x-claude-code-parent-agent-id": "a1", "x-claude-code-request-class": "subagent"},
        "claude-code",
        RunClaim(f"{SESSION}:a9", f"{SESSION}:a1", "x-claude-code-agent-id"),
    ),
    Sent("codex", CODEX, "codex", RunClaim(THREAD, None, "thread-id"), 429),
    Sent(
        "codex subagent",
        CODEX | {"thread-id": OTHER, "x-codex-parent-thread-id": THREAD, "x-openai-subagent": "collab_spawn"},
        "codex",
        RunClaim(OTHER, THREAD, "thread-id"),
        429,
    ),
    Sent(
        "codex nested subagent",
        CODEX | {"thread-id": "third", "x-codex-parent-thread-id": OTHER},
        "codex",
        RunClaim("third", OTHER, "thread-id"),
        429,
    ),
    Sent("codex subagent that names no parent", CODEX | {"thread-id": OTHER}, "codex", RunClaim(OTHER, THREAD, "thread-id"), 429),
    Sent("opencode", OPENCODE, "opencode", RunClaim("ses_dfef98573", None, "x-session-id")),
    Sent(
        "opencode subagent",
        OPENCODE | {"x-session-id": "ses_b", "x-session-affinity": "ses_b", "x-parent-session-id": "ses_a"},
        "opencode",
        RunClaim("ses_b", "ses_a", "x-session-id"),
    ),
    Sent("aider", {"user-agent": "aider/0.86.2 litellm"}, "aider", status=400),
    Sent("litellm", {"user-agent": "litellm/1.83.0", "anthropic-version": "2023-06-01"}, "litellm", status=400),
    Sent(
        "litellm and aider on OpenAI, LangChain",
        {"user-agent": "OpenAI/Python 2.8.0", "x-stainless-raw-response": "true"},
        "openai-raw",
        status=400,
    ),
    Sent("openai-agents", {"user-agent": "Agents/Python 0.24.0", "x-stainless-lang": "python"}, "openai-agents"),
    Sent("pydantic-ai", {"user-agent": "pydantic-ai/2.68.0", "x-stainless-lang": "python"}, "pydantic-ai"),
    Sent("ai-sdk", {"user-agent": "ai/6.0.326 ai-sdk/provider-utils/4.0.62 runtime/node.js/v20.20.2"}, "ai-sdk"),
    Sent("ai-sdk, without its core", {"user-agent": "ai-sdk/openai-compatible/0.1.0"}, "ai-sdk"),
    Sent("a program on the AI SDK", {"user-agent": f"ZCode/0.13.3 {AI_SDK}"}, None),
    Sent("openai SDK, llm, langchain", {"user-agent": "OpenAI/Python 3.54.0", "x-stainless-lang": "python"}, None),
    Sent("anthropic SDK", {"user-agent": "Anthropic/Python 2.12.0", "anthropic-version": "2026-10-21"}, None),
    Sent("crush", {"x-session-affinity": "c-1"}, None, RunClaim("c-1", None, "x-session-affinity")),
    Sent("opencode's own gateway", {"x-opencode-session": "ses_c"}, None, RunClaim("ses_c", None, "x-opencode-session")),
    Sent(
        "opencode's own gateway, a subagent",
        {"x-opencode-session": "ses_d", "x-parent-session-id": "ses_c"},
        None,
        RunClaim("ses_d", "ses_c", "x-opencode-session"),
    ),
    Sent("LiteLLM's agents", {"x-litellm-trace-id": "t-1"}, None, RunClaim("t-1", None, "x-litellm-trace-id")),
    Sent("a trace", {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, None),
    Sent("nothing", {}, None),
]


def named(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode("latin-1") for name, value in headers.items()}


@pytest.mark.parametrize("sent", SENT, ids=[sent.what for sent in SENT])
def test_who_it_is_and_which_run(sent: Sent) -> None:
    family = family_of(named(sent.headers))
    assert (family.name if family else None) == sent.family
    assert (family.status if family else None) == sent.status
    assert named_run(named(sent.headers)) == sent.run


def test_every_row_has_its_test() -> None:
    assert {family.name for family in FAMILIES} == {sent.family for sent in SENT if sent.family}
    by_source = {sent.run.source for sent in SENT if sent.run}
    assert by_source >= {headers.child or headers.run for headers in RUN_HEADERS}


def test_a_family_is_of_one_name() -> None:
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names))
    assert all(label(name) for name in names)


def test_header_names_are_as_asgi_gives_them() -> None:
    shown = [family.header for family in FAMILIES]
    naming = [name for headers in RUN_HEADERS for name in (headers.run, headers.child, headers.parent)]
    assert all(name == name.lower() for name in (*shown, *naming))
    assert all(pattern == pattern.lower() for family in FAMILIES for pattern in family.match)


def test_claude_code_before_codex_before_opencode_before_the_general_ones() -> None:
    order = [CLAUDE, CODEX, OPENCODE, {"x-session-affinity": "a"}, {"x-opencode-session": "b"}, {"x-litellm-trace-id": "c"}]
    while order:
        together = {name: value for headers in reversed(order) for name, value in headers.items()}
        assert named_run(named(together)) == named_run(named(order[0]))
        order = order[1:]


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "é", "a\tb", "a\x7f"])
def test_what_is_no_label_names_nothing(bad: str) -> None:
    """A client's own header that is unusable is as if it were not there: the next one counts."""
    assert label(bad) is None
    assert named_run(named({"x-session-id": bad})) is None
    assert named_run(named({"x-session-id": bad, "x-litellm-trace-id": "t"})) == RunClaim("t", None, "x-litellm-trace-id")
    assert named_run(named(CLAUDE | {"x-claude-code-agent-id": bad})) == named_run(named(CLAUDE))
    assert named_run(named(OPENCODE | {"x-parent-session-id": bad})) == named_run(named(OPENCODE))
    assert named_run(named(CODEX | {"thread-id": bad})) == RunClaim(THREAD, None, "session-id")


def test_a_label_may_have_any_visible_character() -> None:
    odd = "".join(map(chr, range(0x21, 0x7F)))
    assert label(odd) == odd
    assert label("x" * 128) == "x" * 128


def test_a_subagent_whose_id_would_be_too_long_is_the_session() -> None:
    sent = CLAUDE | {"x-claude-code-agent-id": "a" * 100}
    assert named_run(named(sent)) == RunClaim(SESSION, None, "x-claude-code-session-id")
    nested = CLAUDE | {"x-claude-code-agent-id": "a", "x-claude-code-parent-agent-id": "b" * 100}
    assert named_run(named(nested)) == RunClaim(f"{SESSION}:a", SESSION, "x-claude-code-agent-id")


def test_an_agent_without_its_session_is_no_run() -> None:
    assert named_run({b"x-claude-code-agent-id": b"a1"}) is None
    assert named_run({b"x-claude-code-parent-agent-id": b"a1"}) is None


def test_nobody_is_its_own_parent() -> None:
    assert named_run(named({"x-session-id": "a", "x-parent-session-id": "a"})) == RunClaim("a", None, "x-session-id")
    assert named_run(named({"thread-id": "t", "x-codex-parent-thread-id": "t"})) == RunClaim("t", None, "thread-id")
    own = {"thread-id": "t", "x-codex-parent-thread-id": "t", "session-id": "s"}
    assert named_run(named(own)) == RunClaim("t", "s", "thread-id")
    claude = CLAUDE | {"x-claude-code-agent-id": "a", "x-claude-code-parent-agent-id": "a"}
    assert named_run(named(claude)) == RunClaim(f"{SESSION}:a", SESSION, "x-claude-code-agent-id")


def test_a_thread_without_a_session() -> None:
    assert named_run({b"thread-id": b"t"}) == RunClaim("t", None, "thread-id")


def denied(headers: dict[str, str], key_status: int | None = None) -> Refusal:
    refusal = Refusal(Kind.BUDGET, 402, "Spent.", code="insufficient_quota", param="p", detail={"limit_nusd": 1})
    return for_client(refusal, named(headers), Caller(1, "k", denial_status=key_status))


@pytest.mark.parametrize("sent", SENT, ids=[sent.what for sent in SENT])
def test_the_status_of_a_denial(sent: Sent) -> None:
    refusal = denied(sent.headers)
    assert refusal.status == (sent.status or 402)
    assert (refusal.kind, refusal.message, refusal.code, refusal.param) == (Kind.BUDGET, "Spent.", "insufficient_quota", "p")
    assert refusal.detail == ({} if sent.family == "opencode" else {"limit_nusd": 1})
    assert denied(sent.headers, 403).status == 403
