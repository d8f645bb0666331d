"""The OpenAI Agents SDK, over Responses: a program of a few lines (programs/weather_openai_agents.py)."""

from pathlib import Path

from tests.agents.agent import Agent, Job, Launch
from tests.agents.install import from_pypi, locked_version

PROGRAM = Path(__file__).parent / "programs" / "weather_openai_agents.py"


def launch(program: Path, job: Job) -> Launch:
    command = [str(program), str(PROGRAM), "gpt-5.5", job.prompt]
    return Launch(command, {"OPENAI_BASE_URL": f"{job.url}/v1", "OPENAI_API_KEY": job.key})


AGENT = Agent(
    name="openai-agents",
    version=locked_version("openai-agents", "openai-agents"),
    install=lambda: from_pypi("openai-agents"),
    launch=launch,
    run_source="inferred",
    budget_usd="0.02",
    tool="weather",
    arguments=lambda step: {"city": f"city {step}"},
)
