"""Recorded conversations of agents with tools, and the same with a loop planted in them, or with work that only looks like one.

Comes in: tau-bench trajectories (Chat messages). Goes out: `Script`, the messages of one run and where its requests end. Does not know the
detector.
"""

import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FILE = "agents/tau_bench_gpt4o_airline.json"
STEPS = 40  # planted in each conversation: twice what stops a run at the longest of the simple loops
CYCLES = 24
Message = dict[str, Any]
Exchange = tuple[Message, Message]  # a call, and its result


@dataclass
class Script:
    """Conversations of one run. `ends`: of each, the lengths at which the agent asks; `planted`: how many of the last are planted."""

    name: str
    conversations: list[list[Message]]
    ends: list[list[int]]
    planted: int = 0


def load() -> list[Script]:
    """Every trajectory as its agent lived it: a request before each answer."""
    folder = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data"))
    path = folder / FILE
    if not path.exists():
        sys.exit(
            f"The trajectories are not there: {path}. They are tau-bench's (sierra-research/tau-bench, historical_trajectories/"
            "gpt-4o-airline.json, MIT). Put the folder that holds agents/ at ../shared/data beside this checkout, or name it: JEVONS_DATA=…"
        )
    found = []
    for one in json.loads(path.read_text(encoding="utf-8")):
        messages = one["traj"]
        ends = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        found.append(Script(f"task {one['task_id']}, trial {one['trial']}", [messages], [[*ends, len(messages)]]))
    return found


def exchanges(messages: list[Message]) -> list[Exchange]:
    """Each single call with its result."""
    return [
        (one, other) for one, other in pairwise(messages) if other["role"] == "tool" and len(one.get("tool_calls") or ()) == 1
    ]


def distinct(messages: list[Message], count: int) -> list[Exchange]:
    """The last exchanges that differ in call or result; fewer than asked for if there are no more."""
    found: dict[tuple[str, str, str], Exchange] = {}
    for call, result in reversed(exchanges(messages)):
        function = call["tool_calls"][0]["function"]
        found.setdefault((function["name"], function["arguments"], result["content"]), (call, result))
    return list(found.values())[:count][::-1]


def again(exchange: Exchange, number: int, arguments: dict[str, Any] | None = None, result: str | None = None) -> list[Message]:
    """The same call once more, with an id of its own; other arguments or another result if given."""
    call, answer = exchange
    [tool] = call["tool_calls"]
    name = f"call_planted_{number}"
    function = tool["function"] if arguments is None else {**tool["function"], "arguments": json.dumps(arguments)}
    return [
        {**call, "tool_calls": [{**tool, "id": name, "function": function}]},
        {**answer, "tool_call_id": name, **({} if result is None else {"content": result})},
    ]


def grown(script: Script, chance: random.Random, steps: Iterator[list[Message]]) -> Script:
    """A conversation up to some point after its first half, and then the planted steps."""
    [messages], [ends] = script.conversations, script.ends
    end = chance.choice(ends[len(ends) // 2 :])
    messages, ends = list(messages[:end]), [one for one in ends if one <= end]
    planted = 0
    for step in steps:
        messages += step
        ends.append(len(messages))
        planted += 1
    return Script(script.name, [messages], [ends], planted)


def cycle(period: int) -> Callable[[Script, random.Random], Script | None]:
    """The last calls with their results, over and over."""

    def plant(script: Script, chance: random.Random) -> Script | None:
        known = distinct(script.conversations[0], period)
        steps = (again(known[number % period], number) for number in range(CYCLES * period))
        return grown(script, chance, steps) if len(known) == period else None

    return plant


def compacted(script: Script, chance: random.Random) -> Script | None:
    """The same call over and over; after every eight the history is cut down to a summary."""
    [messages] = script.conversations
    known = distinct(messages, 1)
    if not known:
        return None
    whole = grown(script, chance, (again(known[0], number) for number in range(8)))
    short = [messages[0], {"role": "user", "content": "Summary: the customer asks for help, and the agent looks things up."}]
    for part in range(1, STEPS // 8):
        steps = [again(known[0], 8 * part + number) for number in range(8)]
        whole.conversations.append([*short, *(message for step in steps for message in step)])
        whole.ends.append(list(range(2, 19, 2)))
        whole.planted += 9
    return whole


def aimless(script: Script, chance: random.Random) -> Script | None:
    """Four known calls in no order: the context grows, nothing new comes of it."""
    known = distinct(script.conversations[0], 4)
    steps = (again(chance.choice(known), number) for number in range(STEPS))
    return grown(script, chance, steps) if len(known) == 4 else None


def turns(*changes: Callable[[str, random.Random, int], str]) -> Callable[[Script, random.Random], Script | None]:
    """What the agent said last without calling a tool and what it was told, over and over, each changed in its way."""

    def plant(script: Script, chance: random.Random) -> Script | None:
        [messages] = script.conversations
        said = [
            pair
            for pair in pairwise(messages)
            if pair[0]["role"] == "assistant" and pair[1]["role"] == "user" and pair[0].get("content")
        ]
        if not said:
            return None
        steps = (
            [{**one, "content": change(one["content"], chance, number)} for change, one in zip(changes, said[-1], strict=True)]
            for number in range(STEPS)
        )
        return grown(script, chance, steps)

    return plant


WORDS = (
    "above again almost already also anyway apparently basically because before better certainly clearly currently exactly finally first "
    "further gladly indeed instead just likely maybe moreover mostly namely nearly next now often once only otherwise perhaps plainly "
    "possibly presumably quickly quite rather really simply slightly somehow sometimes soon still surely then therefore though thus "
    "together truly usually very well whether"
).split()
NAMES = (
    "Ada Ben Cleo Dan Eve Finn Gus Hana Ivo June Kai Lea Max Nia Otto Pia Quin Rosa Sam Tess Uma Vito Wim Xena Yara Zoe".split()
)


def reworded(text: str, chance: random.Random, number: int) -> str:
    """One word in 25, at least one of a text of eight or more, becomes another. Numbers and words with a capital stay."""
    words = text.split(" ")
    plain = [place for place, word in enumerate(words) if word.isalpha() and word.islower()]
    for place in chance.sample(plain, min(len(plain), max(1, len(words) // 25) if len(words) >= 8 else 0)):
        words[place] = chance.choice(WORDS)
    return " ".join(words)


def exactly(text: str, chance: random.Random, number: int) -> str:
    """Nothing changes."""
    return text


def for_another(text: str, chance: random.Random, number: int) -> str:
    """A form that is filled in for one customer after the other."""
    return f"{text} This is for my customer {NAMES[number % len(NAMES)]}, number {1000 + number}."


def for_a_thing(text: str, chance: random.Random, number: int) -> str:
    """The same, but neither number nor name tells the things apart."""
    return f"{text} This is about the word {WORDS[number % len(WORDS)]}."


def polling(script: Script, chance: random.Random) -> Script | None:
    """One call, and each time it has got a little further."""
    known = distinct(script.conversations[0], 1)
    if not known:
        return None
    result = known[0][1]["content"]
    return grown(script, chance, (again(known[0], n, result=f"{result} progress: {n} %") for n in range(STEPS)))


def waiting(script: Script, chance: random.Random) -> Script | None:
    """Polling with a pause between, which always ends the same."""
    known = distinct(script.conversations[0], 2)
    if len(known) < 2:
        return None
    steps = (
        again(known[n % 2], n, result=f"progress: {n} %" if n % 2 else '{"slept_s": 5}', arguments={}) for n in range(2 * STEPS)
    )
    return grown(script, chance, steps)


def batch(script: Script, chance: random.Random) -> Script | None:
    """One tool for many things, always with the same result."""
    known = distinct(script.conversations[0], 1)
    return (
        grown(script, chance, (again(known[0], n, arguments={"item": n}, result="ok") for n in range(STEPS))) if known else None
    )


def conversations(script: Script, chance: random.Random) -> Script | None:
    """One prompt filled in for many customers, a conversation each, all of one run; each begins with the same call."""
    [messages] = script.conversations
    known = distinct(messages, 1)
    if not known:
        return None
    found = []
    for number in range(STEPS):
        task = {"role": "user", "content": for_another(messages[1]["content"], chance, number)}
        found.append([messages[0], task, *again(known[0], number), *again(known[0], number, arguments={"item": number})])
    return Script(script.name, found, [[2, 4, 6]] * STEPS, 3 * STEPS)
