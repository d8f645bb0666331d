"""aider, over Chat Completions. It has no tools: it edits a file, runs a test, and tells its model what failed.

Each round is two calls: the edit, and an unstreamed one for the message of its commit, with other words from the beginning. It names no
session, and writes its history anew for each round, with the file's latest text in the midst: nothing that it sends shows that its calls
are one run. So its base URL does: the run's name stands in it.
"""

from pathlib import Path

from tests.agents.agent import DONE, Agent, Job, Launch
from tests.agents.install import from_pypi, locked_version

REFLECTIONS_MAX = 3
"""So often it goes back to its model with a failed test."""


def launch(program: Path, job: Job) -> Launch:
    """The test fails until the last round."""
    rounds = min(job.steps, REFLECTIONS_MAX)
    command = [str(program), "-m", "aider", "--model", "openai/gpt-5.5", "--yes-always", "--no-stream", "words.txt"]
    command += ["--auto-test", "--test-cmd", f"grep -q word-{rounds} words.txt || (echo word-{rounds} is missing; exit 1)"]
    answers = []
    for round_ in range(rounds + 1):
        text = f"{DONE}\n\nwords.txt\n```\nword-{round_}\n```\n"
        answers += [{"reply": text}, {"reply": f"Word {round_}"}]
    environ = {"OPENAI_API_BASE": f"{job.url}/run/words/v1", "OPENAI_API_KEY": job.key}
    return Launch([*command, "--message", "Write the words."], environ, answers=answers)


AGENT = Agent(
    name="aider",
    version=locked_version("aider", "aider-chat"),
    install=lambda: from_pypi("aider"),
    launch=launch,
    run_source="x-jevons-run-id",  # what a run in the base path stands for
    budget_usd="0.01",
    goes_on=2,  # a commit's message is asked of its small model, then of its large one (here the same); without one the next round begins
)
