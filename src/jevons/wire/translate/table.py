"""Every request field of Chat Completions and Messages, and what becomes of it when the other dialect is spoken upstream.

The readers obey this table and the docs print it. A field that stands nowhere here is refused by name. `null` counts as absent.
A path writes `[]` for "every item of"; `path=value` is a row for one value of a field.
Sources: the request types of openai 3.54 and anthropic 2.12, and what clients were seen to send (LiteLLM's `thinking_blocks`,
DeepSeek's `reasoning_content`, Claude Code's `safeguards` and `context_management`).
"""

import enum

import msgspec

from jevons.core.ask import Dialect


class Verdict(enum.StrEnum):
    MAPPED = "mapped"
    DROPPED = "dropped"
    """Left out: it does not change what the answer means, or the note says what is lost."""
    REFUSED = "refused"
    """400 that names the field."""


class Row(msgspec.Struct, frozen=True):
    """What becomes of one field. A refused field is left out where its value is one of `harmless`: the other side's default."""

    dialect: Dialect
    path: str
    verdict: Verdict
    note: str
    harmless: tuple[object, ...] = ()


def _rows(dialect: Dialect, verdict: Verdict, fields: dict[str, str]) -> list[Row]:
    return [Row(dialect, path, verdict, note) for path, note in fields.items()]


_Refused = tuple[str, str, tuple[object, ...]]
"""(path, note, harmless values) of a refused field."""

_CHAT_MAPPED = {
    "model": "replaced by the target model",
    "messages": "leading system and developer messages become `system`; the rest become turns",
    "max_tokens": "becomes `max_tokens`, after policy",
    "max_completion_tokens": "becomes `max_tokens`, after policy",
    "stream": "same",
    "stream_options": "`include_usage` decides whether the client gets the usage chunk",
    "temperature": "same, up to 1; Claude 4.7 and later take none, and say so",
    "top_p": "same",
    "stop": "becomes `stop_sequences`",
    "tools": "function tools become tools with an `input_schema`",
    "tool_choice": "auto, none; required becomes any; a named function becomes tool",
    "parallel_tool_calls": "false becomes `tool_choice.disable_parallel_tool_use`",
    "reasoning_effort": "`thinking` adaptive + `output_config.effort`, or a budget for models before 4.6; none = disabled",
    "response_format": "json_schema becomes `output_config.format`, always strict; its name and description are lost",
    "user": "becomes `metadata.user_id`",
    "safety_identifier": "becomes `metadata.user_id` if there is no `user`",
    "service_tier": "auto is the default; default becomes standard_only",
    "messages[].role": "developer counts as system; a system message after the first turn stays in its place",
    "messages[].content": "text, images and PDFs; empty text is left out, as Messages does not allow it",
    "messages[].refusal": "becomes text of that turn",
    "messages[].tool_calls": "become `tool_use` blocks after the text",
    "messages[].tool_call_id": "becomes `tool_use_id`; tool messages in a row become one user turn",
    "messages[].thinking_blocks": "signed thinking, as our own answers carry it: becomes thinking blocks",
    "messages[].tool_calls[].id": "same; characters that Anthropic does not allow are escaped",
    "messages[].tool_calls[].type": "function only",
    "messages[].tool_calls[].function": "its arguments, JSON text, become `input`",
    "messages[].content[].type": "text, image_url, file, refusal",
    "messages[].content[].text": "same",
    "messages[].content[].refusal": "becomes text",
    "messages[].content[].image_url": "https URL or base64 data URL of JPEG, PNG, GIF or WebP",
    "messages[].content[].file": "a PDF as base64 data URL becomes a document",
    "tools[].type": "function only",
    "tools[].function": "name, description, parameters, strict",
}
_CHAT_DROPPED = {
    "metadata": "labels for OpenAI's dashboard",
    "store": "Anthropic keeps no copy to ask for",
    "prompt_cache_key": "cache hint",
    "prompt_cache_retention": "cache hint",
    "prompt_cache_options": "cache hint",
    "prediction": "a speed hint: the answer is the same without it",
    "messages[].annotations": "part of an answer sent back; the text holds what counts",
    "messages[].reasoning_content": "Anthropic takes back no unsigned thinking; `thinking_blocks` beside it survive",
    "messages[].reasoning": "the same under vLLM's and OpenRouter's name",
    "messages[].tool_calls[].index": "left over from a stream",
    "messages[].content[].prompt_cache_breakpoint": "cache hint",
    "messages[].content[].cache_control": "cache hint",
    "messages[].content[].image_url.detail": "Anthropic always reads an image in full",
    "messages[].name=tool": "a tool message's name repeats what its id says",
    "stream_options.include_obfuscation": "padding of chunks",
}
_CHAT_REFUSED: list[_Refused] = [
    ("n", "one answer per request", (1,)),
    ("frequency_penalty", "there is no penalty", (0,)),
    ("presence_penalty", "there is no penalty", (0,)),
    ("logit_bias", "token ids differ between providers", ({},)),
    ("logprobs", "probabilities are not given out", (False,)),
    ("top_logprobs", "probabilities are not given out", (0,)),
    ("seed", "sampling cannot be fixed", ()),
    ("modalities", "answers are text", (["text"],)),
    ("audio", "answers are text", ()),
    ("verbosity", "length is asked for in the prompt", ("medium",)),
    ("web_search_options", "a tool that OpenAI runs", ()),
    ("moderation", "a check that OpenAI runs", ()),
    ("functions", "use tools", ([],)),
    ("function_call", "use tool_choice", ()),
    ("temperature>1", "Anthropic's range is 0 to 1", ()),
    ("response_format.type=json_object", "there is no JSON mode without a schema: use json_schema", ()),
    ("service_tier=flex", "a price that Anthropic does not have", ()),
    ("service_tier=scale", "a price that Anthropic does not have", ()),
    ("service_tier=priority", "Anthropic's priority tier is not asked for by request", ()),
    ("service_tier=fast", "a price that Anthropic does not have", ()),
    ("tool_choice.type=allowed_tools", "send only the allowed tools", ()),
    ("tool_choice.type=custom", "custom tools have no JSON schema", ()),
    ("tools[].type=custom", "custom tools have no JSON schema", ()),
    ("messages[].name", "speakers have no names", ()),
    ("messages[].audio", "audio cannot be read", ()),
    ("messages[].function_call", "use tool_calls", ()),
    ("messages[].role=function", "use role tool", ()),
    ("messages[].tool_calls[].type=custom", "custom tools have no JSON schema", ()),
    ("messages[].content[].type=input_audio", "audio cannot be read", ()),
    ("messages[].content[].file.file_id", "the file lies with OpenAI: send its data", ()),
]
_MESSAGES_MAPPED = {
    "model": "replaced by the target model",
    "messages": "tool results become tool messages; a system message stays in its place",
    "max_tokens": "becomes `max_completion_tokens` (or `max_tokens`), after policy",
    "system": "becomes the first message",
    "stream": "same; `stream_options.include_usage` is always asked for",
    "temperature": "same",
    "top_p": "same",
    "stop_sequences": "become `stop`; the answer no longer says which one matched",
    "tools": "become function tools",
    "tool_choice": "auto, none; any becomes required; tool becomes a named function",
    "thinking": "disabled becomes `reasoning_effort` none; a budget becomes its effort by Gemini's table; adaptive = unsaid",
    "output_config": "effort becomes `reasoning_effort`; format becomes `response_format` json_schema",
    "metadata": "`user_id` becomes `user`; over 64 characters its SHA-256",
    "service_tier": "auto is the default; standard_only becomes default",
    "tool_choice.disable_parallel_tool_use": "becomes `parallel_tool_calls` false",
    "messages[].role": "same",
    "messages[].content": "text, images, PDFs, thinking, tool calls and their results",
    "messages[].content[].type": "text, image, document, thinking, redacted_thinking, tool_use, tool_result",
    "messages[].content[].text": "same; an assistant's text blocks are joined",
    "messages[].content[].source": "image: base64 or URL; document: base64 PDF, or plain text, which becomes a text part",
    "messages[].content[].title": "a PDF's file name; stands before a plain text",
    "messages[].content[].thinking": "unsigned thinking goes back as `reasoning_content`, to where it came from",
    "messages[].content[].id": "same",
    "messages[].content[].name": "same",
    "messages[].content[].input": "becomes the arguments, as JSON text",
    "messages[].content[].tool_use_id": "becomes `tool_call_id`",
    "messages[].content[].content": "text stays; images and PDFs move to a user message after the tool messages",
    "messages[].content[].is_error": "true becomes the line `Error:` before the text",
    "messages[].content[].tool_name": "a tool_reference sends its deferred tool and leaves a line of text",
    "tools[].type": "custom only",
    "tools[].name": "same",
    "tools[].description": "same",
    "tools[].input_schema": "becomes `parameters`",
    "tools[].strict": "same",
    "tools[].defer_loading": "the tool is sent once a tool_reference in the conversation names it",
}
_MESSAGES_DROPPED = {
    "cache_control": "OpenAI caches prefixes unasked",
    "context_management": "the conversation is sent whole",
    "diagnostics": "about Anthropic's cache",
    "safeguards": "no verdicts come back; Claude Code then runs its own checks",
    "thinking.display": "reasoning text is passed on as the upstream gives it",
    "system[].cache_control": "OpenAI caches prefixes unasked",
    "system[].text=x-anthropic-billing-header": "Claude Code's note to Anthropic: differs by session, spoils prefix caches",
    "messages[].output_config": "the request's own counts",
    "messages[].content[].cache_control": "OpenAI caches prefixes unasked",
    "messages[].content[].citations": "of an earlier answer; the text holds what counts",
    "messages[].content[].caller": "direct, as only such tools are translated",
    "messages[].content[].signature": "signed thinking means nothing to another provider, and is left out whole",
    "messages[].content[].data": "redacted thinking means nothing to another provider",
    "tools[].cache_control": "OpenAI caches prefixes unasked",
    "tools[].eager_input_streaming": "how arguments are cut into events",
}
_MESSAGES_REFUSED: list[_Refused] = [
    ("top_k", "OpenAI has no such parameter", ()),
    ("container", "runs at Anthropic", ()),
    ("inference_geo", "a promise that another provider does not give", ()),
    ("mcp_servers", "Anthropic would call them", ([],)),
    ("speed", "a price that OpenAI does not have", ("standard",)),
    ("user_profile_id", "an Anthropic account's", ()),
    ("workspace_id", "an Anthropic account's", ()),
    ("thinking.type=between_tools", "chat models cannot be told when to think", ()),
    ("messages[].content[].type=search_result", "there are no citable results", ()),
    ("messages[].content[].type=container_upload", "runs at Anthropic", ()),
    ("messages[].content[].type=server_tool_use", "a tool that Anthropic runs", ()),
    ("messages[].content[].type=web_search_tool_result", "a tool that Anthropic runs", ()),
    ("messages[].content[].type=web_fetch_tool_result", "a tool that Anthropic runs", ()),
    ("messages[].content[].type=code_execution_tool_result", "a tool that Anthropic runs", ()),
    ("messages[].content[].type=bash_code_execution_tool_result", "a tool that Anthropic runs", ()),
    ("messages[].content[].type=text_editor_code_execution_tool_result", "a tool that Anthropic runs", ()),
    ("messages[].content[].type=tool_search_tool_result", "a tool that Anthropic runs", ()),
    ("messages[].content[].toolset_name", "a toolset that Anthropic defines", ()),
    ("messages[].content[].transformations", "images are sent as they are", ({}, [])),
    ("messages[].content[].context", "a file has no note beside it: put it in a text block", ()),
    ("messages[].content[].citations.enabled=True", "there are no citations", ()),
    ("messages[].content[].source.type=file", "the file lies with Anthropic: send its data", ()),
    ("messages[].content[].source.type=content", "a document is one file: send its text", ()),
    ("messages[].content[].source.type=url", "chat takes no document by URL: send its data", ()),
    ("messages[].content[].type=browser_state", "a toolset that Anthropic defines", ()),
    ("tools[].allowed_callers", "only the model itself can call", (["direct"],)),
    ("tools[].input_examples", "put them in the description", ([],)),
]


def _refused(dialect: Dialect, rows: list[_Refused]) -> list[Row]:
    return [Row(dialect, path, Verdict.REFUSED, note, harmless) for path, note, harmless in rows]


ROWS: tuple[Row, ...] = (
    *_rows(Dialect.CHAT, Verdict.MAPPED, _CHAT_MAPPED),
    *_rows(Dialect.CHAT, Verdict.DROPPED, _CHAT_DROPPED),
    *_refused(Dialect.CHAT, _CHAT_REFUSED),
    *_rows(Dialect.MESSAGES, Verdict.MAPPED, _MESSAGES_MAPPED),
    *_rows(Dialect.MESSAGES, Verdict.DROPPED, _MESSAGES_DROPPED),
    *_refused(Dialect.MESSAGES, _MESSAGES_REFUSED),
)
"""The whole table, in the order the docs print it."""

BY_PATH: dict[tuple[Dialect, str], Row] = {(row.dialect, row.path): row for row in ROWS}

HEAD = """\
# What translation does to each request field

Only between dialects: OpenAI Chat Completions asked for by the client and Anthropic Messages spoken upstream, or the other way. Within
one dialect every field passes as it came. A field that stands nowhere here is refused with a 400 that names it; `null` counts as absent.
Printed from `src/jevons/wire/translate/table.py` by `python -m jevons.wire.translate`; every row has a test.

## Answers, whole or streamed

| Chat Completions | Messages |
| --- | --- |
| `content` | text blocks, joined |
| `reasoning_content` (read also: `reasoning`) | thinking blocks |
| `thinking_blocks`: send them back with the assistant message, and signed thinking survives | `signature`, `redacted_thinking` |
| `tool_calls`; their deltas may interleave | `tool_use` blocks, one after the other: later ones wait until an earlier one is complete |
| `refusal` | from chat: text and stop reason `refusal`; to chat: `stop_details.explanation` |
| `stop` | `end_turn`, `stop_sequence` |
| `length` | `max_tokens`, `pause_turn`, `model_context_window_exceeded` |
| `tool_calls`, or `stop` after a call | `tool_use` |
| `content_filter` | `refusal` |
| `prompt_tokens` = all input, of which `cached_tokens`, `cache_write_tokens` | `input_tokens` + `cache_read_…` + `cache_creation_input_tokens` |
| `completion_tokens`, of which `reasoning_tokens` | `output_tokens`, of which `thinking_tokens` |

Citations, log probabilities and service tiers of answers are not passed on. A stream that its upstream broke off never ends cleanly.
"""


def markdown() -> str:
    """The table as docs/translation.md holds it."""
    lines = [HEAD]
    for dialect, other in ((Dialect.CHAT, Dialect.MESSAGES), (Dialect.MESSAGES, Dialect.CHAT)):
        lines += [f"## {NAMES[dialect]} → {NAMES[other]}\n", "| field | | what happens |", "| --- | --- | --- |"]
        for row in ROWS:
            if row.dialect is dialect:
                said = ", ".join(f"`{msgspec.json.encode(value).decode()}`" for value in row.harmless)
                lines.append(f"| `{row.path}` | {row.verdict} | {row.note}{f'; {said} may stand' if said else ''} |")
        lines.append("")
    return "\n".join(lines)


NAMES = {Dialect.CHAT: "OpenAI Chat Completions", Dialect.MESSAGES: "Anthropic Messages"}
"""What a message to people calls a dialect."""

EFFORT_BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
"""Thinking tokens an effort stands for: https://ai.google.dev/gemini-api/docs/openai#thinking, the one published table."""

EFFORT_OF_BUDGET = ((1_024, "low"), (8_192, "medium"))
"""The effort of a budget up to so many tokens, by the same table; a larger one is "high"."""

EFFORT_FOR_ANTHROPIC = {"minimal": "low"}
"""Efforts that `output_config.effort` does not know; the others have the same names."""

BUDGET_MODELS = r"claude-(3-7-sonnet|(sonnet|opus)-4(-[015])?|haiku-4-5)(-\d{8}|-latest)?$"
"""Models that think by `budget_tokens`; from 4.6 on they do by `adaptive` and effort, and 4.7 refuses a budget."""

THINKING_BUDGET_MIN = 1_024
"""Anthropic's least `budget_tokens`."""

USER_CHARS_MAX = 64
"""OpenAI's longest `user`; Claude Code's `metadata.user_id` is three times that."""
