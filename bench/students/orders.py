"""One order of one stream under one rule, for a process of its own. Comes in: which. Goes out: what became of each request."""

from functools import lru_cache

from bench.students.loop import Embed, Told, rival, route, students
from bench.students.rivals import Nearest, Ocats
from bench.students.sets import load
from jevons.distil.train import agrees
from jevons.embed import Embedder

ALPHA = 0.05
GRADERS = {"addresses": "json"}
"""By set; exact for the others."""
RIVALS: dict[str, type[Nearest] | type[Ocats]] = {"knn_cache": Nearest, "ocats": Ocats}
STUDENT = "student"


def run(job: tuple[str, str, int, int, float]) -> list[Told]:
    """(set, rule, seed, requests, noise)"""
    name, rule, seed, requests, noise = job
    rows, embed = load()[name].stream(seed, requests, noise), embedding()
    if rule == STUDENT:
        return students(rows, route(name, ALPHA, GRADERS.get(name, "exact")), embed, agrees, seed).told
    return rival(rows, RIVALS[rule](requests), ALPHA, embed, agrees, seed).told


def embedding() -> Embed:
    """Each question's vector is made once."""
    return lru_cache(maxsize=50_000)(Embedder().vector)
