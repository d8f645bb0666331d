"""Writes the packaged sample of traffic from the data folder: `python -m bench.quants.sample`. The same rows every time.

Problems with their answers are conversations; customers' questions with four topics are what a small model can be asked about.
"""

import csv
import json
import os
import random
import re
from pathlib import Path

from jevons.engine.weights.traffic import CHOICES, SAMPLE

PROBLEMS, QUESTIONS = 72, 120
SEED = 1865
PROMPT = "The customer of a bank writes: {text}\nThe topic of the message is:"


def main() -> None:
    data = Path(os.environ.get("JEVONS_DATA", ""))
    if not (data / "qa").is_dir():
        raise SystemExit("The data folder is missing; say where it is: JEVONS_DATA=/path/to/data")
    chance = random.Random(SEED)
    lines = [*problems(data / "qa" / "gsm8k_test.jsonl", chance), *questions(data / "intents" / "banking77_test.csv", chance)]
    SAMPLE.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    print(f"{SAMPLE}: {len(lines)} lines, {SAMPLE.stat().st_size / 1024:.0f} KiB")


def problems(file: Path, chance: random.Random) -> list[dict[str, object]]:
    """Question and worked answer, without the data set's marks for a calculator."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    found = []
    for row in chance.sample(rows, PROBLEMS):
        answer = re.sub(r"<<.*?>>", "", row["answer"]).replace("#### ", "The answer is ")
        turns = [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": answer}]
        found.append({"messages": turns})
    return found


def questions(file: Path, chance: random.Random) -> list[dict[str, object]]:
    """A message and four topics, one of them right."""
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    topics = sorted({row["category"] for row in rows})
    found = []
    for row in chance.sample(rows, QUESTIONS):
        right = row["category"]
        choices = [right, *chance.sample([topic for topic in topics if topic != right], CHOICES - 1)]
        chance.shuffle(choices)
        prompt = PROMPT.format(text=" ".join(row["text"].split()))
        words = [" " + choice.lower().replace("_", " ").strip("?") for choice in choices]
        found.append({"prompt": prompt, "choices": words, "answer": choices.index(right)})
    return found


if __name__ == "__main__":
    main()
