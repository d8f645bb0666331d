"""Measures the packaged model's sensitivities and writes them as the data file that is shipped: python -m bench.kv_quality.sensitivities

Some minutes on one core. Texts are those that the bench does not use (texts.py).
"""

import argparse
import sys

from bench.kv_quality import texts
from jevons.engine.models import find_model
from jevons.engine.park.sensitivity import FOLLOW_TOKENS, READ_TOKENS, measure

TARGET = texts.ROOT / "src/jevons/engine/park/data/smollm2-135m-instruct-q4_1.toml"
COMMENT = """\
# How much the predictions of SmolLM2-135M-Instruct (the packaged file) change when the keys or the values of one layer are coded.
#
# Written by: python -m bench.kv_quality.sensitivities. Read by engine/park/plan.py.
# Measured on {texts} texts (worked problems of GPT-4 from lm-sys/RouteLLM, agent transcripts of tau-bench), of each the {follow} tokens after a context
# of {read}, over half-precision weights; each text through a rotation of its own.
#
# model         SHA-256 of the model file
# head          elements of a head
# bits          of the codes that were measured
# keys, values  per layer: Kullback-Leibler divergence in nats when it alone is coded in so many bits (square of the root's mean over tokens)
# whole         of four plans: the sum of what their layers are expected to cost, and the mean divergence that was measured

"""


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--texts", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=1)
    options = arguments.parse_args()
    found = find_model()
    if found is None:
        sys.exit("The local model is not installed: jevons engine install")
    sample = [texts.text(texts.TRAINING_FROM + place) for place in range(options.texts)]
    measured = measure(
        found.path, sample, threads=options.threads, progress=lambda share: print(f"\r{share:4.0%}", end="", flush=True)
    )
    TARGET.write_text(COMMENT.format(texts=options.texts, follow=FOLLOW_TOKENS, read=READ_TOKENS) + measured.text)
    print(f"\r{TARGET.relative_to(texts.ROOT)} is written")


if __name__ == "__main__":
    main()
