"""The cache doctor's page says what the code says: causes, bounds."""

from jevons.core.limits import BREAK_TOKENS_MIN, BREAKS_MEMORY_BYTES
from jevons.economics.prefix_breaks import MONTH_DAYS, WHAT
from jevons.policy.breaks import LOST_UNCHANGED, Cause
from tests.docs.pages import code, read, table

PAGE = "docs/cache-doctor.md"


def test_every_cause() -> None:
    named = [code(row[0])[0] for row in table(PAGE, "What is named")]
    assert named == [cause for cause in Cause if cause not in LOST_UNCHANGED]
    rest = read(PAGE).partition("Four more losses")[2]
    assert len(LOST_UNCHANGED) == 4 and all(f"| `{cause}` |" in rest for cause in LOST_UNCHANGED)
    assert "message 1, system: " + WHAT[Cause.CLOCK] in read(PAGE)


def test_every_bound() -> None:
    text = " ".join(read(PAGE).split())
    assert f"bounded ({BREAKS_MEMORY_BYTES // 2**20} MiB)" in text
    assert f"by more than {BREAK_TOKENS_MIN} tokens" in text
    assert f"A month is {MONTH_DAYS} days" in text
