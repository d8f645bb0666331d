"""Recorded conversations as the requests that an agent sends, and the same with one thing that breaks prefixes.

Comes in: a run, the bodies of its Chat requests in order. Goes out: the run with something planted, and where and as what it must be found.
Does not know the doctor.
"""

import json
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

Body = dict[str, Any]
Run = list[Body]


class Planted(NamedTuple):
    """A run that was changed. `found`: (cause, position, role) that each of `at`, places of requests, must be given; all others nothing."""

    run: Run
    found: tuple[str, int, str]
    at: frozenset[int]


Plant = Callable[[Run], Planted | None]
SAID_BYTES = 2000
"""From the second question on, so that more than 256 tokens are lost where one of those changes."""
TIME = "The current time is 2024-05-15 15:00:00 EST."
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
PHOTO = {"type": "text", "text": "This is the damaged suitcase, seen from the side and from above; the zip is torn. " * 30}


def clock(run: Run) -> Planted:
    """The hour in the system prompt."""
    return _system(run, "clock", lambda n: TIME.replace("15:00:00", f"15:{n % 60:02}:{n * 7 % 60:02}"))


def day(run: Run) -> Planted:
    """The day in words."""
    return _system(run, "clock", lambda n: f"Today is {DAYS[n % 7]}, May {n + 1}, 2024.")


def random_id(run: Run) -> Planted:
    """A session's id, made anew for each request."""
    return _system(run, "random_id", lambda n: f"Request {uuid.UUID(int=(n + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)}.")


def counter(run: Run) -> Planted:
    """What is left of something."""
    return _system(run, "counter", lambda n: f"You have {90 - n} calls left.")


def tools_order(run: Run) -> Planted | None:
    """Tools out of a set, in whatever order it has."""
    return _once(run, ("tools_order", 0, "tools"), lambda body: body["tools"].reverse())


def tool_gone(run: Run) -> Planted | None:
    """One tool fewer."""
    return _once(run, ("tools_set", 0, "tools"), lambda body: body["tools"].pop(1))


def tool_schema(run: Run) -> Planted | None:
    """A tool is described otherwise."""
    return _once(run, ("tool_schema", 0, "tools"), lambda body: body["tools"][1]["function"].update(description="Another one."))


def spelling(run: Run) -> Planted | None:
    """The same tools, their keys in another order."""

    def turn(body: Body) -> None:
        body["tools"] = [dict(reversed(tool.items())) for tool in body["tools"]]

    return _once(run, ("json", 0, "tools"), turn)


def edited(run: Run) -> Planted | None:
    """An old message is rewritten."""

    def rewrite(body: Body) -> None:
        body["messages"][1]["content"] = "I would like to ask about something else, namely a seat by the window."

    return _once(run, ("edited", 2, "user"), rewrite)


def dropped(run: Run) -> Planted | None:
    """A sliding window: the oldest exchange is left out."""
    return _once(run, ("dropped", 2, "user"), lambda body: body["messages"].__delitem__(slice(1, _second_question(body))))


def summarised(run: Run) -> Planted | None:
    """Old messages are replaced by their summary."""

    def compact(body: Body) -> None:
        summary = {"role": "user", "content": "So far: the customer gave their name and asked for a change."}
        body["messages"][1 : _second_question(body)] = [summary]

    return _once(run, ("summarised", 2, "user"), compact)


def inserted(run: Run) -> Planted | None:
    """What was retrieved is put before the old turns."""
    note = {"role": "user", "content": "Retrieved: bags of 23 kg are free of charge for gold members."}
    return _once(run, ("inserted", 2, "user"), lambda body: body["messages"].insert(1, note))


def wrapped(run: Run) -> Planted | None:
    """Strings become blocks with a mark."""

    def wrap(body: Body) -> None:
        system = body["messages"][0]
        system["content"] = [{"type": "text", "text": system["content"], "cache_control": {"type": "ephemeral"}}]

    return _once(run, ("markers", 1, "system"), wrap)


def parameters(run: Run) -> Planted | None:
    """Another choice of tools."""
    return _once(run, ("parameters", 0, "tool_choice"), lambda body: body.update(tool_choice="required"))


def model(run: Run) -> Planted | None:
    """Another model goes on."""
    return _once(run, ("model", 0, "model"), lambda body: body.update(model="gpt-4o-mini"))


def signed_url(run: Run) -> Planted:
    """An attachment's address is signed anew for each request."""
    run = [_copy(body) for body in run]
    for number, body in enumerate(run):
        url = (
            f"https://files.example.com/suitcase.jpg?X-Amz-Date=20240515T15{number:02}00Z&X-Amz-Signature={(number + 7) ** 30:x}"
        )
        body["messages"][1]["content"] = [{"type": "image_url", "image_url": {"url": url}}, PHOTO]
    return Planted(run, ("signed_url", 2, "user"), frozenset(range(1, len(run))))


PLANTS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        clock, day, random_id, counter, tools_order, tool_gone, tool_schema, spelling, edited, dropped, summarised, inserted, wrapped,
        parameters, model, signed_url,
    )
}  # fmt: skip


def run_of(messages: list[Body], model: str = "gpt-4o") -> Run:
    """The requests that led to a recorded conversation: one before each answer. The tools are those that are called, so described."""
    names = sorted(
        {call["function"]["name"] for message in messages for call in message.get("tool_calls") or ()} | {"think", "calculate"}
    )
    tools = [_tool(name) for name in names]
    messages = json.loads(json.dumps(messages))
    ends = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    return [{"model": model, "tools": tools, "messages": messages[:end]} for end in ends]


def _tool(name: str) -> Body:
    parameters = {"type": "object", "properties": {"request": {"type": "string"}}, "required": ["request"]}
    return {
        "type": "function",
        "function": {"name": name, "description": f"{name} for the customer. " * 12, "parameters": parameters},
    }


def _system(run: Run, cause: str, line: Callable[[int], str]) -> Planted:
    """A line of the system prompt that is another one in each request."""
    run = [_copy(body) for body in run]
    for number, body in enumerate(run):
        system = body["messages"][0]
        system["content"] = system["content"].replace(TIME, line(number))
    return Planted(run, (cause, 1, "system"), frozenset(range(1, len(run))))


def _once(run: Run, found: tuple[str, int, str], change: Callable[[Body], Any]) -> Planted | None:
    """A change of one request, once enough was said to lose, and of all that follow: their prefix breaks once."""
    first = next((place for place in range(2, len(run)) if _said(run[place - 1]) >= SAID_BYTES), None)
    if first is None:
        return None
    run = [_copy(body) if place >= first else body for place, body in enumerate(run)]
    for body in run[first:]:
        change(body)
    return Planted(run, found, frozenset({first}))


def _said(body: Body) -> int:
    """Bytes of the messages from the second question on."""
    return sum(len(json.dumps(message)) for message in body["messages"][_second_question(body) :])


def _second_question(body: Body) -> int:
    roles = [message["role"] for message in body["messages"]]
    return roles.index("user", 2) if "user" in roles[2:] else len(roles)


def _copy(body: Body) -> Body:
    copied: Body = json.loads(json.dumps(body))
    return copied
