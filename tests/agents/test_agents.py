"""Real agents through a real gateway: a job comes to its end, its run is recognised, and a limit ends it cleanly."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.agents import aider, claude_code, codex, openai_agents, opencode, pydantic_ai
from tests.agents.agent import DONE, RUN_TIMEOUT_S, Agent, Job, Ran, run_agent, scripted
from tests.agents.install import INSTALL_TIMEOUT_S, Unavailable
from tests.agents.table import add_row, message_of
from tests.provider import Provider
from tests.running import Jevons, upstream

AGENTS = (codex.AGENT, claude_code.AGENT, opencode.AGENT, aider.AGENT, openai_agents.AGENT, *pydantic_ai.AGENTS)
STEPS = 3
STEPS_OF_A_LONG_JOB = 30
STEP_CAP = 3
NO_SEARCH = {"name": "no-search", "tools_deny": ["web_search"]}
"""Codex offers its model a search that the provider bills by use and nobody bounds: no budget could hold."""

pytestmark = pytest.mark.timeout(2 * INSTALL_TIMEOUT_S + 2 * RUN_TIMEOUT_S)
each_agent = pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
each_that_delegates = pytest.mark.parametrize("agent", [one for one in AGENTS if one.delegate], ids=lambda agent: agent.name)


class Bench:
    """Puts one agent to work, with a gateway and a stand-in of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys

    def run(self, agent: Agent, prompt: str, rounds: int, **limit: Any) -> tuple[Ran, list[dict[str, Any]]]:
        """What it did, and the runs that the ledger has of it. Fails if it does not end by itself, skips if it cannot be installed.

        `limit`: what each of its runs may use.
        """
        try:
            with self._capsys.disabled():
                program = agent.install()
        except Unavailable as reason:
            pytest.skip(f"{agent.name} {agent.version} cannot be installed: {reason}")
        with Provider() as provider:
            upstreams = [
                upstream("openai", provider.openai_url, models=("gpt-*",)),
                upstream("anthropic", provider.url, "anthropic", models=("claude-*",)),
            ]
            limits = [{"name": "work", "scope": "run", **limit}] if limit else []
            with Jevons(self._folder / "jevons", *upstreams, limits=limits, access=[NO_SEARCH]) as jevons:
                job = Job(jevons.url, jevons.key("agent"), prompt, rounds)
                try:
                    ran = run_agent(agent, program, job, self._folder, provider.script)
                except subprocess.TimeoutExpired as late:
                    said = (late.stdout or b"").decode(errors="replace")
                    pytest.fail(f"{agent.name} did not end within {RUN_TIMEOUT_S} s; it said:\n{said}")
                return ran, runs_in(jevons)


def runs_in(jevons: Jevons) -> list[dict[str, Any]]:
    """All runs, the first to begin first, once no call is open."""
    jevons.settled(0)
    runs: list[dict[str, Any]] = json.loads(jevons.run("runs", "--json"))["runs"]
    return sorted(runs, key=lambda run: int(run["first_ms"]))


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, capsys)


@each_agent
def test_a_job_is_one_run(bench: Bench, agent: Agent) -> None:
    ran, runs = bench.run(agent, agent.prompt(STEPS), STEPS)
    add_row(agent, "a job", ran, runs)
    assert ran.status == 0, ran.output
    assert DONE in ran.output
    assert {call.status for call in ran.calls} == {200}
    assert len(ran.calls) > STEPS
    [run] = runs
    assert (run["source"], run["parent_run_id"], run["steps"]) == (agent.run_source, None, len(ran.calls))


@each_that_delegates
def test_a_subagent_is_a_child(bench: Bench, agent: Agent) -> None:
    assert agent.delegate is not None
    ran, runs = bench.run(agent, scripted(agent.delegate(agent.prompt(1))), 1)
    add_row(agent, "a subagent", ran, runs)
    assert ran.status == 0, ran.output
    [parent, child] = runs
    assert (parent["parent_run_id"], child["parent_run_id"]) == (None, parent["run_id"])
    assert child["steps"] == 2
    assert parent["steps"] + child["steps"] == len(ran.calls)


@each_agent
def test_a_step_cap_ends_it(bench: Bench, agent: Agent) -> None:
    ran, runs = bench.run(agent, agent.prompt(STEPS_OF_A_LONG_JOB), STEPS_OF_A_LONG_JOB, steps=STEP_CAP)
    add_row(agent, "a step cap", ran, runs)
    check_clean_end(agent, ran)
    assert ran.first_denial == STEP_CAP


@each_agent
def test_a_budget_ends_it(bench: Bench, agent: Agent) -> None:
    ran, runs = bench.run(agent, agent.prompt(STEPS_OF_A_LONG_JOB), STEPS_OF_A_LONG_JOB, usd=agent.budget_usd)
    add_row(agent, "a budget", ran, runs)
    check_clean_end(agent, ran)
    assert ran.first_denial > 0


def check_clean_end(agent: Agent, ran: Ran) -> None:
    """It was denied, did not try again, ended by itself, and showed why: whom it concerns, which limit, and what to do."""
    assert ran.first_denial < len(ran.calls), ran.output
    assert len(ran.after_denial) <= agent.goes_on
    said = message_of(ran.denial)
    assert "agent" in said  # the key's name
    assert "'work'" in said
    assert "`jevons limits` says where 'work' is set" in said
    assert said in ran.output
