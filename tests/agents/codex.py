"""Codex CLI, over Responses. It asks for a WebSocket first, and posts once that is refused."""

from pathlib import Path

from tests.agents.agent import Agent, Job, Launch
from tests.agents.install import from_npm

VERSION = "0.169.0"


def launch(program: Path, job: Job) -> Launch:
    """Its commands run without a sandbox: not every machine can make the one that it wants."""
    command = [str(program), "exec", "--skip-git-repo-check", "-s", "danger-full-access", "-c", f'openai_base_url="{job.url}/v1"']
    return Launch([*command, "-m", "gpt-5.5", job.prompt], {"CODEX_API_KEY": job.key})


AGENT = Agent(
    name="codex",
    version=VERSION,
    install=lambda: from_npm("@openai/codex", VERSION, "codex"),
    launch=launch,
    run_source="thread-id",
    budget_usd="0.15",
    tool="exec_command",
    arguments=lambda step: {"cmd": f"echo step {step}"},
)
