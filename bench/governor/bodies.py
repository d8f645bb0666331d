"""What is sent where the CPU of governing is measured: short chat calls, and an agent's calls with their growing history.

`@@@@@@@@` stands where a number goes that is new in each round, so that no request is sent twice: a repeated one is what the loop detector
looks for, and costs more. It does not know who sends them.
"""

import json
from dataclasses import dataclass
from typing import Any

from bench.gateway.loads import MODEL, SYSTEM_TEXT, USER_TEXT

ROUND = "@@@@@@@@"
RUNS = 16
STEPS = 20
HISTORY_MESSAGES = 30
"""Of an agent's request in the middle of its run."""
SHORT_PER_RUN = 20
TOOLS = ("read_file", "search_code", "run_tests", "edit_file", "list_files", "web_fetch", "ask_user", "finish")


@dataclass(frozen=True)
class Bodies:
    """Requests in the order in which they are sent, and of each its run and the run that started this one, with a space between."""

    name: str
    lines: tuple[str, ...]
    runs: tuple[str, ...]


def short() -> Bodies:
    """The request of the gateway benchmark (about 800 bytes), each another question; twenty in a run."""
    lines, runs = [], []
    for number in range(RUNS * SHORT_PER_RUN):
        messages = [
            {"role": "system", "content": SYSTEM_TEXT},
            {"role": "user", "content": f"{USER_TEXT} (Question {ROUND}-{number})"},
        ]
        lines.append(_line(messages))
        runs.append(_run(number % RUNS))
    return Bodies("short", tuple(lines), tuple(runs))


def agent() -> Bodies:
    """An agent's steps: eight tools, a history of about 30 messages that grows by a call and its result with each step; 16 runs in turn."""
    tools = [_tool(name) for name in TOOLS]
    lines, runs = [], []
    for step in range(STEPS):
        for run in range(RUNS):
            messages: list[dict[str, Any]] = [
                {"role": "system", "content": SYSTEM_TEXT},
                {"role": "user", "content": f"Task {run}, round {ROUND}. {USER_TEXT}"},
            ]
            for turn in range((HISTORY_MESSAGES - 2) // 2 - STEPS // 2 + step):
                messages += _turn(run, turn)
            lines.append(_line(messages, tools=tools))
            runs.append(_run(run))
    return Bodies("agent", tuple(lines), tuple(runs))


def _run(number: int) -> str:
    """Four runs to a task."""
    return f"run-{number} task-{number // 4}"


def _line(messages: list[dict[str, Any]], **more: Any) -> str:
    fields = {"model": MODEL, "user": "bench n=0 pace=4000", "temperature": 0.2, "max_tokens": 256, "top_p": 1}
    return json.dumps(fields | more | {"messages": messages}, separators=(",", ":"))


def _tool(name: str) -> dict[str, Any]:
    text = {"type": "string", "description": "What it is for, in a sentence that the model can understand without further help."}
    schema = {"type": "object", "properties": {"path": text, "query": text, "limit": {"type": "integer"}}, "required": ["path"]}
    about = f"The tool {name}: what it does, when it should be used, and when another one is the better choice."
    return {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}


def _turn(run: int, turn: int) -> list[dict[str, Any]]:
    """A call and its result, unlike every other."""
    name = TOOLS[(run + turn) % len(TOOLS)]
    arguments = json.dumps({"path": f"src/part{run}/file{turn}.py", "query": f"def step_{turn}", "limit": turn + 1})
    call = {"id": f"call_{run}_{turn}", "type": "function", "function": {"name": name, "arguments": arguments}}
    found = "".join(
        f"src/part{run}/file{turn}.py:{line}: value_{line} = compute({run * 7919 + turn * 31 + line})\n" for line in range(8)
    )
    return [
        {"role": "assistant", "content": f"Next I look at part {turn}.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": found},
    ]
