"""From a prompt and a script to an answer, still in no dialect: texts, tool calls, what ends it, and what it costs."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.provider.journal import Bill
from tests.provider.prompt import CALL_TOKENS, MEDIA_TOKENS, CacheUse, Prompt, Tool, compact, tokens
from tests.provider.script import Script, ToolScript

THINKING = "Let me think about this."
SCHEMA_DEPTH_MAX = 8


@dataclass(frozen=True)
class Call:
    """One tool call; `arguments` is JSON text."""

    number: int
    name: str
    arguments: str


@dataclass(frozen=True)
class Plan:
    """An answer before it has a dialect. `finish` is stop, length, tool_calls, or a script's verbatim reason."""

    id: str
    created: int
    model: str
    texts: tuple[str, ...]
    thinking: str
    calls: tuple[Call, ...]
    finish: str
    forced_finish: str | None
    bill: Bill
    script: Script
    prompt: Prompt

    @property
    def usage_forced(self) -> dict[str, Any] | None:
        """The usage object a script demands, verbatim."""
        return self.script.usage


def make_plan(prompt: Prompt, script: Script, cache: CacheUse, answer_id: str, created: int) -> Plan:
    """Decides the answer. `answer_id` is the variable part of ids, `created` in Unix seconds."""
    calls = _calls(prompt, script)
    text = _text(prompt, script, calls)
    thinking = script.thinking if script.thinking is not None else (THINKING if prompt.thinking else "")
    reasoning = script.reasoning or tokens(thinking)
    visible = tokens(text) + sum(CALL_TOKENS + tokens(call.arguments) for call in calls)
    if script.tokens_out is not None:
        visible = script.tokens_out
    finish = "tool_calls" if calls else "stop"
    if prompt.cap is not None and reasoning + visible > prompt.cap and not script.ignore_cap:
        reasoning = min(reasoning, prompt.cap)
        kept = prompt.cap - reasoning
        text, calls = _cut(text, calls, kept, visible)
        visible, finish = kept, "length"
    many = prompt.choices
    return Plan(
        id=answer_id,
        created=created,
        model=prompt.model,
        texts=tuple(text if i == 0 or not text else f"{text} #{i}" for i in range(many)),
        thinking=thinking,
        calls=calls,
        finish=finish,
        forced_finish=script.finish,
        bill=replace(_input(prompt, script, cache), output=many * (reasoning + visible), reasoning=many * reasoning),
        script=script,
        prompt=prompt,
    )


def _input(prompt: Prompt, script: Script, cache: CacheUse) -> Bill:
    """What is billed before a word is answered: the prompt, what the provider adds to it, its searches."""
    if script.input_tokens is not None:
        return Bill(script.input_tokens, searches=script.searches)
    fresh = prompt.input_tokens - cache.read - cache.written_5m - cache.written_1h
    hidden = script.hidden_system_tokens + script.hidden_tool_tokens * len(prompt.tools)
    media = prompt.media * (script.image_tokens - MEDIA_TOKENS) if script.image_tokens is not None else 0
    return Bill(fresh + hidden + media, cache.read, cache.written_5m, cache.written_1h, searches=script.searches)


def _text(prompt: Prompt, script: Script, calls: tuple[Call, ...]) -> str:
    if script.reply is not None:
        return script.reply
    if script.tokens_out is not None and not calls:
        return " ".join(["tok"] * script.tokens_out)
    if calls:
        return ""
    if prompt.schema is not None:
        return compact(instance(prompt.schema))
    results = prompt.results_since_user()
    if results:
        return "The tools said: " + "; ".join(results)
    return "You said: " + prompt.last_user_text


def _calls(prompt: Prompt, script: Script) -> tuple[Call, ...]:
    wanted = script.tools
    if not wanted and script.reply is None and prompt.must_call is not None and prompt.tools:
        tool = next((t for t in prompt.tools if t.name == prompt.must_call), prompt.tools[0])
        wanted = (_default_call(tool),)
    return tuple(Call(i, t.name, t.raw if t.raw is not None else compact(t.arguments)) for i, t in enumerate(wanted))


def _default_call(tool: Tool) -> ToolScript:
    made = instance(tool.schema)
    return ToolScript(tool.name, made if isinstance(made, dict) else {})


def _cut(text: str, calls: tuple[Call, ...], kept: int, of: int) -> tuple[str, tuple[Call, ...]]:
    """What is left of an answer of `of` tokens when only `kept` fit: words of the text, characters of the arguments."""
    words = re.findall(r"\s*\S+", text)
    text = "".join(words[: len(words) * kept // of])
    return text, tuple(Call(c.number, c.name, c.arguments[: len(c.arguments) * kept // of]) for c in calls if kept)


def pieces(text: str, count: int) -> list[str]:
    """The text in at most `count` parts, cut before white space; none if the text is empty."""
    words = re.findall(r"\s*\S+|\s+$", text)
    count = min(count, len(words))
    return ["".join(words[i * len(words) // count : (i + 1) * len(words) // count]) for i in range(count)]


def slices(text: str, count: int) -> list[str]:
    """The text in at most `count` parts, cut anywhere: how providers stream the arguments of a call."""
    count = min(count, len(text))
    return [text[i * len(text) // count : (i + 1) * len(text) // count] for i in range(count)]


def instance(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, depth: int = 0) -> object:
    """The smallest value a JSON schema allows (of the schemas that clients send: objects, arrays, enums, $ref into $defs)."""
    root = schema if root is None else root
    if depth > SCHEMA_DEPTH_MAX:
        return None
    if "$ref" in schema:
        target: Any = root
        for step in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[step]
        return instance(target, root, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return instance(schema[key][0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> object:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {
            name: instance(properties[name], root, depth + 1) for name in schema.get("required", properties) if name in properties
        }
    if kind == "array":
        return [instance(schema.get("items", {}), root, depth + 1) for _ in range(schema.get("minItems", 0))]
    return {"string": "word", "integer": schema.get("minimum", 1), "number": 1.5, "boolean": True, "null": None}[kind]


def parsed(arguments: str) -> dict[str, Any]:
    """A call's arguments as an object; raw arguments that are none become an empty one (Messages has no other form)."""
    try:
        found = json.loads(arguments)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
