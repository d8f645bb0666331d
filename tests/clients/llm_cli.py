"""The `llm` command, as a process: a prompt, its continuation, a tool, a schema, over Chat and Responses.

It cannot be given headers on its command line: `Door.headers` go into its model file.
"""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.clients.door import Door, Said, conversation
from tests.clients.openai_sdk import CALLS, REPLY

TIMEOUT_S = 60
FUNCTION = 'def weather(city: str) -> str:\n    "The weather in a city."\n    return "rain in " + city\n'


class Llm:
    """The command with a home of its own, so that nothing of the user's is read or written."""

    def __init__(self, door: Door, home: Path, responses: bool = False) -> None:
        self._home = home
        model = {
            "model_id": "door",
            "model_name": door.model,
            "api_base": door.openai_url,
            "api_key_name": "door",
            "responses": responses,
        }
        able = {"supports_tools": True, "supports_schema": True, "headers": door.headers or None}
        # JSON is YAML.
        (home / "extra-openai-models.yaml").write_text(json.dumps([model | able]))
        (home / "keys.json").write_text(json.dumps({"door": door.key}))

    def __call__(self, *arguments: str) -> str:
        """Runs it; returns what it printed. Raises AssertionError with its complaints if it failed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "LLM_"))}
        environment |= {"LLM_USER_PATH": str(self._home), "LLM_LOAD_PLUGINS": ""}
        done = subprocess.run(
            [sys.executable, "-m", "llm", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix("\n")

    def usage(self) -> tuple[int, int]:
        """(input, output) tokens of everything it logged."""
        with contextlib.closing(sqlite3.connect(self._home / "logs.db")) as logs:
            counts: tuple[int, int] = logs.execute("select sum(input_tokens), sum(output_tokens) from turns").fetchone()
        return counts


@conversation("chat")
def llm_prompt(door: Door) -> Said:
    """A streamed answer and its continuation, which is not streamed."""
    with tempfile.TemporaryDirectory() as folder:
        llm = Llm(door, Path(folder))
        door.heard(
            llm("-m", "door", "-s", "Be brief.", "-o", "max_tokens", "32", door.prompt("Say hello.", reply="hello")), "hello"
        )
        text = llm("-c", "--no-stream", "-o", "max_tokens", "32", door.prompt("Again.", reply=REPLY))
        return Said(door.heard(text, REPLY), 2, *llm.usage())


@conversation("chat", tools=True)
def llm_tools(door: Door) -> Said:
    """Two calls of a Python function, run by llm, and the answer to them."""
    with tempfile.TemporaryDirectory() as folder:
        llm = Llm(door, Path(folder))
        text = llm("-m", "door", "--functions", FUNCTION, door.prompt("Weather?", tools=CALLS))
        return Said(door.heard(text, "The tools said: rain in Ulm; rain in Köln am Rhein"), 2, *llm.usage())


@conversation("chat", tools=True, portable=False)
def llm_schema(door: Door) -> Said:
    """An answer in a shape."""
    with tempfile.TemporaryDirectory() as folder:
        llm = Llm(door, Path(folder))
        text = llm(
            "-m", "door", "--schema", "name, people int", door.prompt("A city.", reply='{"name": "Ulm", "people": 128928}')
        )
        assert json.loads(text) == {"name": "Ulm", "people": 128928}
        return Said(text, 1, *llm.usage())


@conversation("responses", tools=True, portable=False)
def llm_responses(door: Door) -> Said:
    """The same command over the Responses API, with a tool."""
    with tempfile.TemporaryDirectory() as folder:
        llm = Llm(door, Path(folder), responses=True)
        text = llm("-m", "door", "--functions", FUNCTION, door.prompt("Weather?", tools=CALLS[:1]))
        return Said(door.heard(text, "The tools said: rain in Ulm"), 2, *llm.usage())
