"""pydantic-ai, over each dialect: a program of a few lines (programs/weather_pydantic_ai.py), in the environment of the tests."""

import sys
from importlib.metadata import version
from pathlib import Path

from tests.agents.agent import Agent, Job, Launch

PROGRAM = Path(__file__).parent / "programs" / "weather_pydantic_ai.py"


def agent(dialect: str, model: str, budget_usd: str) -> Agent:
    """The agent over one dialect; `model` as pydantic-ai names it."""

    def launch(program: Path, job: Job) -> Launch:
        environ = {"OPENAI_BASE_URL": f"{job.url}/v1", "OPENAI_API_KEY": job.key}
        environ |= {"ANTHROPIC_BASE_URL": job.url, "ANTHROPIC_API_KEY": job.key}
        return Launch([str(program), str(PROGRAM), model, job.prompt], environ)

    return Agent(
        name=f"pydantic-ai-{dialect}",
        version=version("pydantic-ai-slim"),
        install=lambda: Path(sys.executable),
        launch=launch,
        run_source="inferred",
        budget_usd=budget_usd,
        tool="weather",
        arguments=lambda step: {"city": f"city {step}"},
    )


AGENTS = (
    agent("chat", "openai-chat:gpt-5.5", "0.02"),
    agent("responses", "openai-responses:gpt-5.5", "0.02"),
    agent("messages", "anthropic:claude-sonnet-4-6", "0.04"),
)
