"""The loads: what is sent, by which tool, and what the tool says of it. They go to 127.0.0.1 only, from one core.

It does not know which system answers."""

import json
import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gateway.native import SOURCES, Tools

PATH = "/v1/chat/completions"
MODEL = "gpt-4o-mini"
SYSTEM_TEXT = (
    "You are a careful assistant inside a company's internal support tool. Answer from the text you are given, say so when the "
    "text does not hold the answer, keep the answer under one hundred and fifty words, and write plain prose without headings. "
)
USER_TEXT = (
    "Our service sends every model call through a gateway. Please explain in a few sentences what such a gateway does for a team "
    "of forty developers, which of its duties matter most for cost, and what could go wrong when it is slow or down. The team "
    "uses three providers, has a monthly budget for each group, and must be able to tell an auditor who spent what, and when."
)
PROMPT_BYTES_LARGE = 100_000
AGENT_TOOLS = 30
RECORD_BYTES = 58
OPEN_PACE_US = 50_000  # 20 events/s
OPEN_SETTLE_S = 0.2  # as in sseload.c
TOOL_GRACE_S = 60


@dataclass(frozen=True)
class Load:
    """One kind of load: `stream_events` of 0 means no stream; `held` keeps all streams open at once, one for each connection."""

    name: str
    connections: int
    seconds: float
    stream_events: int = 0
    pace_us: int = 4000
    held: bool = False
    prompt_bytes: int = 0
    tools: int = 0
    """An agent's: so many tools, and a call of each with its result."""

    def body(self) -> bytes:
        """The request: about 800 bytes, or with a long history of varied words. What the stand-in looks for comes first."""
        fields: dict[str, Any] = {"model": MODEL}
        if self.stream_events:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
        fields |= {"user": f"bench n={self.stream_events} pace={self.pace_us}", "temperature": 0.2, "max_tokens": 256, "top_p": 1}
        records = range(self.prompt_bytes // RECORD_BYTES)
        history = "".join(f"Record {i}: call {i * 7919 % 997} cost {i * 31 % 8191} tokens and was answered.\n" for i in records)
        messages = [{"role": "system", "content": SYSTEM_TEXT}, {"role": "user", "content": history + USER_TEXT}]
        if self.tools:
            fields["tools"] = [{"type": "function", "function": _tool(i)} for i in range(self.tools)]
            messages += [message for i in range(self.tools) for message in _called(i)]
        return json.dumps(fields | {"messages": messages}, separators=(",", ":")).encode()


def _tool(number: int) -> dict[str, Any]:
    names = ("customer", "flight", "date", "payment")
    members = {name: {"type": "string", "description": f"The {name} that is meant, as the record has it."} for name in names}
    parameters = {"type": "object", "properties": members, "required": ["customer"]}
    return {
        "name": f"look_up_{number}",
        "description": f"Looks {number} up in the company's records. " * 3,
        "parameters": parameters,
    }


def _called(number: int) -> list[dict[str, Any]]:
    """A call, and what came back: JSON in a text, as tools answer."""
    arguments = json.dumps({"customer": f"c{number * 7919 % 997}"})
    call = {"id": f"call_{number}", "type": "function", "function": {"name": f"look_up_{number}", "arguments": arguments}}
    rows = [
        {"flight": f"HAT{number * i % 311:03}", "seats": {"basic": i, "business": i // 2}, "status": "available"}
        for i in range(4)
    ]
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(rows)},
    ]


def open_streams(connections: int, ramp_s: float, window_s: float) -> Load:
    """Streams of 20 events/s that are all open for the window, in which events are counted."""
    events = math.ceil((ramp_s + OPEN_SETTLE_S + window_s) * 1e6 / OPEN_PACE_US) + 1
    return Load(f"open_c{connections}", connections, seconds=window_s, stream_events=events, pace_us=OPEN_PACE_US, held=True)


class Loader:
    """Runs loads with wrk (whole answers) and sseload (streams), pinned to one core."""

    def __init__(self, tools: Tools, cpu: int, directory: Path, ramp_s: float) -> None:
        self.tools, self.cpu, self.directory, self.ramp_s = tools, cpu, directory, ramp_s

    def run(self, load: Load, port: int, key: str) -> dict[str, float]:
        """Figures of one run, times in microseconds: answered, seconds, bad, p50, p99; streams also first_p50 and event_p99.

        Raises RuntimeError with the tool's own words when it fails."""
        body = self.directory / f"{load.name}.json"
        body.write_bytes(load.body())
        header = f"Authorization: Bearer {key}"
        return self._streams(load, port, header, body) if load.stream_events else self._whole(load, port, header, body)

    def _tool(self, arguments: list[str], environment: dict[str, str], seconds: float) -> str:
        pinned = ["taskset", "-c", str(self.cpu), *arguments]
        limit_s = seconds + TOOL_GRACE_S
        done = subprocess.run(pinned, env=os.environ | environment, capture_output=True, text=True, timeout=limit_s, check=False)
        if done.returncode:
            raise RuntimeError(f"{arguments[0]} ended with {done.returncode}: {done.stdout[-300:]} {done.stderr[-300:]}")
        if done.stderr:
            print(done.stderr[-600:].strip())
        return done.stdout

    def _whole(self, load: Load, port: int, header: str, body: Path) -> dict[str, float]:
        seconds = max(1, round(load.seconds))
        flags = ["-t1", f"-c{load.connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(SOURCES / "post.lua")]
        environment = {"BENCH_BODY": str(body), "BENCH_HEADERS": header}
        text = self._tool(["wrk", *flags, f"http://127.0.0.1:{port}{PATH}"], environment, seconds)
        said = json.loads(next(line for line in text.splitlines() if line.startswith("JSON "))[5:])
        answered = said["requests"] - said["bad_status"]
        bad = said["bad_status"] + said["socket_errors"]
        return {"answered": answered, "bad": bad, "seconds": said["us"] / 1e6, "p50": said["p50"], "p99": said["p99"]}

    def _streams(self, load: Load, port: int, header: str, body: Path) -> dict[str, float]:
        shape = [str(round(self.ramp_s * 1000)), str(round(load.seconds * 1000))] if load.held else [str(load.seconds)]
        arguments = ["open" if load.held else "closed", str(port), PATH, str(body), str(load.connections), *shape, header]
        said = json.loads(self._tool([str(self.tools.sseload), *arguments], {}, load.seconds + 10))
        return {"answered": said.pop("streams"), "bad": said.pop("errors"), "p50": said["whole_p50"], **said}
