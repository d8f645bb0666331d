"""opencode, over Chat Completions. It asks for a title first, with the same prompt and no tools."""

import json
from pathlib import Path
from typing import Any

from tests.agents.agent import DONE, Agent, Job, Launch
from tests.agents.install import from_npm

VERSION = "1.18.33"


def launch(program: Path, job: Job) -> Launch:
    """The prompt comes by standard input: it would quote one that is an argument."""
    options = {"baseURL": f"{job.url}/v1", "apiKey": job.key}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "Jevons", "options": options, "models": {"gpt-5.5": {}}}
    files = {".config/opencode/opencode.json": json.dumps({"provider": {"jevons": provider}})}
    return Launch([str(program), "run", "-m", "jevons/gpt-5.5"], files=files, stdin=job.prompt)


def delegate(prompt: str) -> dict[str, Any]:
    arguments = {"description": "help", "prompt": prompt, "subagent_type": "general"}
    return {"tools": [{"name": "task", "arguments": arguments}], "then": {"reply": DONE}}


AGENT = Agent(
    name="opencode",
    version=VERSION,
    install=lambda: from_npm("opencode-ai", VERSION, "opencode"),
    launch=launch,
    run_source="x-session-id",
    budget_usd="0.15",
    tool="bash",
    arguments=lambda step: {"command": f"echo step {step}", "description": "say it"},
    delegate=delegate,
)
