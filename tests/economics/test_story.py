"""The familiar story: its verdicts follow from the rows, and the documentation says the same."""

from jevons.economics.story import story
from tests.economics.pricing import TODAY

STORY = story(TODAY)


def test_no_line_is_simply_true_and_none_is_simply_wrong() -> None:
    assert [(line.told, line.verdict) for line in STORY] == [
        ("Early 2023: about $60 for a million tokens.", "corrected"),
        ("Late 2023: half of that.", "corrected"),
        ("2024: $0.15 for a million tokens.", "corrected"),
        ("That is -99 %.", "corrected"),
        ("So tokens per dollar double every few months.", "corrected"),
    ]


def test_every_verdict_rests_on_checks_that_hold_and_checks_that_do_not() -> None:
    for line in STORY:
        assert {finding.holds for finding in line.findings} == {True, False}
        assert line.truth


def test_prices_are_compared_with_their_like_and_have_sources() -> None:
    found = {finding.means: finding for line in STORY for finding in line.findings}
    assert found["GPT-4, output"].found == "$60.00" and found["GPT-4, input"].found == "$30.00"
    assert found["GPT-4 to GPT-4 Turbo, output"].found == "$60.00 to $30.00, -50 %"
    assert found["GPT-4 to GPT-4 Turbo, input"].found == "$30.00 to $10.00, -67 %"
    assert found["GPT-4 to GPT-4o mini, output"].holds and not found["GPT-4 to GPT-4o, output: the same line"].holds
    for finding in found.values():
        assert all(row.sources for row in finding.rows)
