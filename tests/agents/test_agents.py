"""Real agents through a real gateway: a job comes to its end, its run is recognised, and a limit ends it cleanly."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jevons.ledger.bill import reading
from tests.agents import aider, claude_code, codex, openai_agents, opencode, pydantic_ai
from tests.agents.agent import DONE, RUN_TIMEOUT_S, Agent, Job, Ran, run_agent, scripted
from tests.agents.install import Unavailable
from tests.agents.table import add_row, message_of
from tests.provider import Provider
from tests.running import Jevons, upstream

AGENTS = (codex.AGENT, claude_code.AGENT, opencode.AGENT, aider.AGENT, openai_agents.AGENT, *pydantic_ai.AGENTS)
STEPS = 3
STEPS_OF_A_LONG_JOB = 30
STEP_CAP = 3

pytestmark = pytest.mark.timeout(RUN_TIMEOUT_S + 1000)  # an agent may have to be installed first
each_agent = pytest.mark.parametrize("agent", AGENTS, ids=[agent.name for agent in AGENTS])


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """One stand-in for all of them: they come one after another."""
    with Provider(bodies=True) as started:
        yield started


@pytest.fixture(scope="session")
def gateway(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jevons]:
    """A gateway with limits for keys by their names: for each run, or in all where nothing shows what a run is."""
    limits = []
    for agent in AGENTS:
        scope = "run" if agent.run_source else "key"
        limits.append({"name": f"steps-of-{agent.name}", "scope": scope, "key": f"capped-{agent.name}", "steps": STEP_CAP})
        limits.append({"name": f"budget-of-{agent.name}", "scope": scope, "key": f"paying-{agent.name}", "usd": agent.budget_usd})
    upstreams = [
        upstream("openai", provider.openai_url, models=("gpt-*",)),
        upstream("anthropic", provider.url, "anthropic", models=("claude-*",)),
    ]
    with Jevons(tmp_path_factory.mktemp("gateway") / "home", *upstreams, limits=limits) as jevons:
        yield jevons


class Bench:
    """Puts agents to work, each job with a key of its own."""

    def __init__(self, gateway: Jevons, provider: Provider, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._gateway, self._provider, self._folder, self._capsys = gateway, provider, folder, capsys

    def run(self, agent: Agent, key: str, prompt: str, steps: int, limited: bool = False) -> Ran:
        """The agent's job with a new key of this name. Fails if it does not end by itself, skips if it cannot be installed."""
        try:
            with self._capsys.disabled():
                program = agent.install()
        except Unavailable as reason:
            pytest.skip(f"{agent.name} {agent.version} cannot be installed: {reason}")
        job = Job(self._gateway.url, self._gateway.key(key), prompt, steps, limited)
        try:
            return run_agent(agent, program, job, self._folder, self._provider.script)
        except subprocess.TimeoutExpired as late:
            pytest.fail(
                f"{agent.name} did not end within {RUN_TIMEOUT_S} s; it said:\n{(late.stdout or b'').decode(errors='replace')}"
            )

    def runs(self, key: str) -> list[dict[str, Any]]:
        """The runs that the ledger has of this key, the first to begin first."""
        with reading(self._gateway.ledger) as db:
            query = "SELECT run_id, parent_run_id, agent, source, steps, entries FROM runs JOIN keys ON keys.id = key_id WHERE name = ?"
            rows = db.execute(query + " ORDER BY first_ms", (key,))
            return [dict(zip(("run", "parent", "agent", "source", "steps", "entries"), row, strict=True)) for row in rows]


@pytest.fixture
def bench(gateway: Jevons, provider: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(gateway, provider, tmp_path, capsys)


@each_agent
def test_a_job_is_one_run(bench: Bench, agent: Agent) -> None:
    key = f"free-{agent.name}"
    ran = bench.run(agent, key, agent.prompt(STEPS), STEPS)
    runs = bench.runs(key)
    sources = sorted({run["source"] for run in runs})
    add_row(agent, "a job", ran, f"{', '.join(sources)}{'' if len(runs) == 1 else f': {len(runs)} runs'}")
    assert ran.status == 0, ran.output
    assert DONE in ran.output
    assert {call.status for call in ran.calls} == {200}
    assert len(ran.calls) > STEPS
    assert sum(run["steps"] for run in runs) == len(ran.calls)
    if agent.run_source:
        assert [(run["source"], run["parent"]) for run in runs] == [(agent.run_source, None)]


@pytest.mark.parametrize("agent", [agent for agent in AGENTS if agent.delegate], ids=lambda agent: agent.name)
def test_a_subagent_is_a_child(bench: Bench, agent: Agent) -> None:
    assert agent.delegate is not None
    key = f"parent-{agent.name}"
    ran = bench.run(agent, key, scripted(agent.delegate(agent.prompt(1))), 1)
    runs = bench.runs(key)
    add_row(agent, "a subagent", ran, f"{', '.join(sorted({run['source'] for run in runs}))}: {len(runs)} runs")
    assert ran.status == 0, ran.output
    [parent, child] = runs
    assert (parent["parent"], child["parent"]) == (None, parent["run"])
    assert child["steps"] == 2
    assert parent["steps"] + child["steps"] == len(ran.calls)


@each_agent
def test_a_step_cap_ends_it(bench: Bench, agent: Agent) -> None:
    ran = bench.run(agent, f"capped-{agent.name}", agent.prompt(STEPS_OF_A_LONG_JOB), STEPS_OF_A_LONG_JOB)
    add_row(agent, "a step cap", ran)
    check_clean_end(ran, f"steps-of-{agent.name}")
    assert ran.first_denial == STEP_CAP


@each_agent
def test_a_budget_ends_it(bench: Bench, agent: Agent) -> None:
    key = f"paying-{agent.name}"
    ran = bench.run(agent, key, agent.prompt(STEPS_OF_A_LONG_JOB), STEPS_OF_A_LONG_JOB, limited=True)
    add_row(agent, "a budget", ran)
    check_clean_end(ran, f"budget-of-{agent.name}")
    assert ran.first_denial > 0


def check_clean_end(ran: Ran, limit: str) -> None:
    """It was denied, knocked no more, ended by itself, and showed why: which limit, and what to do."""
    assert ran.first_denial < len(ran.calls), ran.output
    assert not ran.after_denial
    said = message_of(ran.denial)
    assert limit in said
    assert f"jevons limits set {limit}" in said
    assert said in ran.output
