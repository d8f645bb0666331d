"""Claude Code, over Messages."""

from pathlib import Path
from typing import Any

from tests.agents.agent import DONE, Agent, Job, Launch
from tests.agents.install import from_npm

VERSION = "2.1.330"


def launch(program: Path, job: Job) -> Launch:
    command = [str(program), "-p", "--model", "claude-sonnet-4-6", "--allowedTools", "Bash", "Agent", "--", job.prompt]
    return Launch(command, {"ANTHROPIC_BASE_URL": job.url, "ANTHROPIC_API_KEY": job.key})


def delegate(prompt: str) -> dict[str, Any]:
    arguments = {"description": "help", "prompt": prompt, "subagent_type": "general-purpose"}
    return {"tools": [{"name": "Agent", "arguments": arguments}], "then": {"reply": DONE}}


AGENT = Agent(
    name="claude-code",
    version=VERSION,
    install=lambda: from_npm("@anthropic-ai/claude-code", VERSION, "claude"),
    launch=launch,
    run_source="x-claude-code-session-id",
    budget_usd="0.50",
    tool="Bash",
    arguments=lambda step: {"command": f"echo step {step}", "description": "say it"},
    delegate=delegate,
)
