"""Texts of the data folder: worked problems (GPT-4's answers, from lm-sys/RouteLLM) and transcripts of an agent (tau-bench), by turns.

The bench measures texts from 0 on; sensitivities are measured on texts from 140 on, which are other problems and other tasks of the agent.
"""

import csv
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROBLEMS = "routing/routellm/gsm8k_responses.csv"
TRANSCRIPTS = "agents/tau_bench_gpt4o_airline.json"
PROBLEMS_OF_TEXT = 12
TRAINING_FROM = 140


def text(place: int) -> str:
    """Some 2,000 tokens or more."""
    return problems(place // 2) if place % 2 == 0 else transcript(place // 2)


def problems(place: int) -> str:
    with data(PROBLEMS).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[place * PROBLEMS_OF_TEXT :][:PROBLEMS_OF_TEXT]
    return "\n\n".join(f"Question: {row['prompt']}\nAnswer: {row['gpt-4-1106-preview_response']}" for row in rows)


def transcript(place: int) -> str:
    """Two of them, without the system prompt, which all have in common."""
    trajectories = json.loads(data(TRANSCRIPTS).read_text(encoding="utf-8"))[2 * place : 2 * place + 2]
    messages = [message for trajectory in trajectories for message in trajectory["traj"][1:]]
    return "\n".join(
        f"{message['role']}: {message.get('content') or json.dumps(message.get('tool_calls'))}" for message in messages
    )


def data(name: str) -> Path:
    path = Path(os.environ.get("JEVONS_DATA", ROOT.parent / "shared" / "data")) / name
    if not path.exists():
        sys.exit(f"{path} is not there. Name the data folder: JEVONS_DATA=…")
    return path
