"""Whether a measurement of this machine had the machine to itself.

Comes in: how many processes wanted to run when it began, as its file has it (`load`), and the cores. Goes out: a sentence, or none. Does not know:
who counts them, where the sentence stands.
"""

QUIET_SHARE = 0.25
"""Of the cores: with more at work when it begins, a measurement is told to be one of a busy machine."""


def crowded(load: float | None, cores: int, again: str) -> str:
    """What is to be said of it; "" if nothing else was at work, or nobody knows. `again`: the command that measures."""
    if load is None or load <= QUIET_SHARE * cores:
        return ""
    return (
        f"{load:.1f} processes wanted to run when it began: others were at work. Threads wait for them, caches and memory are shared, so "
        f"speeds are lower than the machine's, and what a token costs is higher. When it is quiet, measure again: {again}"
    )
