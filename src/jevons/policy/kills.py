"""The kill switch: whom a kill concerns. Comes in: its subject as text, a call. Goes out: yes or no.

Subjects: everything · model:PATTERN · org:NAME · team:ORG/NAME · key:NAME · agent:KEY/NAME · run:KEY/LABEL (with all runs it started).
Every name may be a shell pattern: agent:*/claude-code.
"""

from collections.abc import Sequence

from jevons.policy.rules import Who, matches

KINDS = ("everything", "model", "org", "team", "key", "agent", "run")


def parse_subject(text: str) -> str:
    """The subject, checked. Raises ValueError that says how one is written."""
    kind, _, name = text.strip().partition(":")
    fits = not name if kind == "everything" else bool(name) and kind in KINDS
    if not fits or (kind in ("team", "agent", "run") and "/" not in name):
        raise ValueError(
            f"{text!r} does not say whom to stop; write everything, key:NAME, agent:KEY/NAME, run:KEY/RUN, team:ORG/NAME, org:NAME or model:NAME"
            " (names may be patterns: agent:*/codex)"
        )
    return f"{kind}:{name}" if name else kind


def hits(subject: str, who: Who, runs: Sequence[str], model: str) -> bool:
    """Does it concern this call? `runs`: labels from the root of its run to itself. `model` "" = not known yet."""
    kind, _, pattern = subject.partition(":")
    match kind:
        case "everything":
            return True
        case "model":
            return matches(model, pattern)
        case "org":
            return matches(who.org, pattern)
        case "team":
            return matches(f"{who.org}/{who.team}", pattern)
        case "key":
            return matches(who.key, pattern)
        case "agent":
            return matches(f"{who.key}/{who.agent}", pattern)
    return any(matches(f"{who.key}/{run}", pattern) for run in runs)
