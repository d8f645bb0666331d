"""docs/price-history.md says what the commands say: every figure in its tables is worked out again."""

import re
from datetime import date

from jevons.cli import price_tables as shown
from jevons.economics.breaks import find_breaks
from jevons.economics.decline import Decline, of_line, of_milestone, of_tier
from jevons.economics.epoch import choices, own_points
from jevons.economics.history import price_rows, scores, series
from jevons.economics.index_chart import DRAWN, picture
from jevons.economics.indices import list_index
from jevons.economics.quality import MILESTONES, offers
from jevons.economics.story import story
from jevons.meter.lineages import Tier
from tests.docs.pages import ROOT, prose, read, table
from tests.economics.pricing import TODAY

PAGE = "docs/price-history.md"
TIERS: tuple[Tier, ...] = ("frontier", "commodity")


def test_the_familiar_story() -> None:
    said = [
        [line.told if first else "", finding.means, finding.said, finding.found, "yes" if finding.holds else "no"]
        for line in story(TODAY)
        for first, finding in zip((True, *[False] * len(line.findings)), line.findings, strict=False)
    ]
    assert table(PAGE, "The familiar story, line by line") == said


def test_how_fast() -> None:
    found: list[Decline | None] = [of_milestone(milestone, TODAY) for milestone in MILESTONES]
    found += [of_tier(tier, TODAY) for tier in TIERS]
    found += [of_line(line) for line in series(until=TODAY)]
    assert table(PAGE, "How fast") == [[d.what, *shown.decline_cells(d)] for d in found if d]


def test_the_indices() -> None:
    indices = [
        {point.day: point.value for point in list_index(series(tier=tier, until=TODAY), TODAY, method=method)}
        for tier in TIERS
        for method in ("succession", "matched")
    ]
    for day, *cells in table(PAGE, "Three indices"):
        assert cells == [f"{index[date.fromisoformat(day)]:.1f}" for index in indices]


def test_the_breaks() -> None:
    said = [
        [
            tier or "both", f"{b.day}", "searched" if b.searched else "given", shown.factor(b.before), shown.factor(b.after), f"{b.f:.1f}",
            f"{b.p_rows:.3f}", f"{b.p_lines:.3f}",
        ]
        for tier in (*TIERS, None)
        for b in find_breaks(series(tier=tier, until=TODAY))
    ]  # fmt: skip
    assert table(PAGE, "Did it change in May 2024?") == said


def test_epochs_regression() -> None:
    said = [
        [choice.words, f"{choice.fit.n}", shown.factor(choice.fit.factor_a_year), shown.interval(*choice.fit.interval())]
        for choice in (own_points(), *choices(TODAY))
    ]
    assert table(PAGE, "Epoch's regression, recovered") == said


def test_the_numbers_of_rows() -> None:
    announced = sum(row.date > TODAY for row in price_rows())
    assert f"({len(price_rows())} list prices" in prose(PAGE) and announced == 4
    assert f"({len(scores())} scores" in prose(PAGE)


def test_the_picture() -> None:
    lists = {tier: list_index(series(tier=tier, until=TODAY), TODAY) for tier in TIERS}
    names = set(re.findall(r"(?:frontier|commodity|fixed quality) [\d.]+", picture(lists, DRAWN, offers(DRAWN), "blend")))
    assert names >= {"frontier 22", "commodity 36", "fixed quality 0.35"}
    file = (ROOT / "docs" / "price-history.svg").read_text(encoding="utf-8")
    assert all(name in file for name in names)
    assert min(round(point.value) for point in lists["commodity"]) == 29
    assert "fell to 22 of 100" in read(PAGE) and "to 29 and back to 36" in read(PAGE) and "fell to 0.35" in read(PAGE)
