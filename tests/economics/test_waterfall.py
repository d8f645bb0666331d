"""The waterfall: a picture that stands by itself, whose bars are the amounts, and which can be read aloud."""

import random
import re
import sys
import xml.etree.ElementTree as ET

import pytest

from jevons.core.money import format_usd
from jevons.economics.waterfall import NoRasteriser, png, waterfall

SVG = "{http://www.w3.org/2000/svg}"
STEPS = [("price", -30_000_000_000), ("volume", 60_000_000_000), ("mix", 0), ("cache <read>", -5_000_000_000)]
DRAWN = waterfall("A & B", ("before", 100_000_000_000), STEPS, ("now", 125_000_000_000))


def rects(svg: str) -> list[tuple[str, float, float]]:
    """(class, left, right) of each bar."""
    found = ET.fromstring(svg).iter(f"{SVG}rect")
    return [(bar.get("class", ""), float(bar.get("x", 0)), float(bar.get("x", 0)) + float(bar.get("width", 0))) for bar in found]


def test_the_bars_are_the_amounts_and_each_begins_where_the_last_ended() -> None:
    level, price, volume, cache, now = rects(DRAWN)
    assert [bar[0] for bar in (level, price, volume, cache, now)] == ["level", "down", "up", "down", "level"]
    unit = (level[2] - level[1]) / 100
    assert price[2] - price[1] == pytest.approx(30 * unit, abs=0.2)
    assert price[2] == pytest.approx(level[2], abs=0.2)
    assert volume[1] == pytest.approx(price[1], abs=0.2)
    assert cache[2] == pytest.approx(volume[2], abs=0.2)
    assert now[2] == pytest.approx(cache[1], abs=0.2)


def test_it_says_what_it_shows_and_leaves_out_what_is_nothing() -> None:
    root = ET.fromstring(DRAWN)
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "A & B"
    assert root.findtext(f"{SVG}desc") == "before $100.00; price -$30.00; volume +$60.00; cache <read> -$5.00; now $125.00."
    assert "mix" not in DRAWN


def test_it_needs_nothing_from_elsewhere_and_knows_the_dark() -> None:
    assert not re.search(r"(?:href|src|url\()", DRAWN)
    assert "prefers-color-scheme:dark" in DRAWN
    assert "style=" not in DRAWN, "a page's policy would drop it"


def test_a_small_change_of_a_large_bill_can_be_seen_and_the_cut_is_said() -> None:
    drawn = waterfall("t", ("before", 1_000_000_000_000), [("price", 20_000_000_000)], ("now", 1_020_000_000_000))
    _, price, _ = rects(drawn)
    assert price[2] - price[1] > 100
    assert "The bars begin at $980.00, not at nothing." in drawn
    assert "not at nothing" not in DRAWN


def test_links_lead_from_the_steps() -> None:
    drawn = waterfall("t", ("before", 1), [("a", 1)], ("now", 2), links={"a": "#effect-1", "before": "#no"})
    assert [link.get("href") for link in ET.fromstring(drawn).iter(f"{SVG}a")] == ["#effect-1"]


@pytest.mark.parametrize(
    ("base", "steps", "total"),
    [
        (0, [], 0),
        (0, [("new", 5)], 5),
        (5, [("gone", -5)], 0),
        (3, [("credit", -8)], -5),
        (-5, [("owed", 9)], 4),
        (2**62, [("x", 2**61)], 2**62 + 2**61),
    ],
)
def test_any_amounts_can_be_drawn(base: int, steps: list[tuple[str, int]], total: int) -> None:
    bars = rects(waterfall("t", ("before", base), steps, ("now", total)))
    assert len(bars) == 2 + len(steps)
    assert all(0 <= left < right <= 761 for _, left, right in bars)


def test_a_thousand_random_ways_stay_in_the_picture() -> None:
    rng = random.Random(4)
    for _ in range(1000):
        base = rng.choice((0, rng.randrange(10**6), rng.randrange(10**15)))
        steps = [
            (f"step {i}", rng.randrange(-(10 ** rng.randrange(1, 15)), 10 ** rng.randrange(1, 15)))
            for i in range(rng.randrange(8))
        ]
        total = base + sum(nusd for _, nusd in steps)
        drawn = waterfall("t", ("before", base), steps, ("now", total))
        assert all(0 <= left < right <= 761.5 for _, left, right in rects(drawn))
        assert format_usd(total) in drawn


def test_steps_that_do_not_lead_there_are_refused() -> None:
    with pytest.raises(ValueError, match="do not lead"):
        waterfall("t", ("before", 1), [("a", 1)], ("now", 3))


def test_a_png_is_the_picture_in_pixels() -> None:
    made = png(DRAWN, width=320)
    assert made.startswith(b"\x89PNG\r\n") and int.from_bytes(made[16:20], "big") == 320


def test_without_a_rasteriser_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(NoRasteriser, match="pip install resvg-py"):
        png(DRAWN)
