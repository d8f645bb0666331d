"""A run's figures go into the marked cells, again and again."""

from bench.gateway.into_docs import PAGES, filled
from tests.docs.pages import read

PAGE = "| CPU | <!-- bench: cpu_us_per_request --> | <!-- bench: rps_c64 --> |\n| none | <!-- bench: absent --> |\n"


def test_cells_are_filled_anew() -> None:
    once = filled(PAGE, {"cpu_us_per_request": 151.26, "rps_c64": 5123.4})
    assert once == (
        "| CPU | 151 µs <!-- bench: cpu_us_per_request --> | 5,123 <!-- bench: rps_c64 --> |\n| none | <!-- bench: absent --> |\n"
    )
    assert filled(once, {"cpu_us_per_request": 160, "rps_c64": None, "absent": {"cores": 2, "cpu": "Any"}}) == (
        "| CPU | 160 µs <!-- bench: cpu_us_per_request --> | <!-- bench: rps_c64 --> |\n| none | cores 2, cpu Any <!-- bench: absent --> |\n"
    )


def test_the_cells_of_other_benchmarks_stay() -> None:
    once = filled(PAGE, {"cpu_us_per_request": 151.26})
    assert filled(once, {"rps_c64": 5123.4}).startswith(
        "| CPU | 151 µs <!-- bench: cpu_us_per_request --> | 5,123 <!-- bench: rps_c64 --> |"
    )


def test_pages_have_cells_to_fill() -> None:
    for name in PAGES:
        text = read(name)
        assert text.count("<!-- bench: ") > 3
        assert filled(filled(text, {}), {}) == filled(text, {})
