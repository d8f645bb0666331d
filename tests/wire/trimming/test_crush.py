"""Tool output made shorter: what is kept is word for word, what is left out is counted, twice is as once."""

import json
import random
import string

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jevons.wire.trimming.crush import ALL, Form, crush, cut
from jevons.wire.trimming.crushed import is_marked, marked

REF = "012345678901234"
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
KEYS = st.sampled_from(["id", "name", "a.b", "columns", "state", "…"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=40)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": st.integers(), "who": st.fixed_dictionaries({"name": st.text(max_size=8), "ok": st.booleans()})}
    ),
    min_size=2,
    max_size=12,
)
LINES = st.lists(
    st.sampled_from(
        [
            "2026-11-22 10:00:{:02d} INFO request {} done",
            "2026-11-22 10:01:{:02d} ERROR disk {} is full",
            "2026-11-22 10:02:{:02d} DEBUG poll",
            "Traceback (most recent call last):",
            '  File "a.py", line {}, in run',
            "ValueError: {} is not a number",
            "tests/test_{}.py::test_it PASSED",
        ]
    ),
    min_size=20,
    max_size=120,
)


def grown(value: object) -> object:
    """JSON as it was before its tables were made: the way back, as a reader goes it."""
    if isinstance(value, list):
        return [grown(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) - {"every_row"} != {"columns", "rows"}:
        return {key: grown(item) for key, item in value.items()}

    def row(cells: object) -> object:
        if (
            isinstance(cells, list)
            and len(cells) == len(value["columns"])
            and not (cells and isinstance(cells[0], list) and nested)
        ):
            return unflat({**dict(zip(value["columns"], cells, strict=True)), **value.get("every_row", {})})
        return [row(one) for one in cells] if isinstance(cells, list) else grown(cells)

    rows = value["rows"]
    nested = False
    return {key: row(cells) for key, cells in rows.items()} if isinstance(rows, dict) else [row(cells) for cells in rows]


def unflat(flat: dict[str, object]) -> dict[str, object]:
    whole: dict[str, object] = {}
    for name, value in flat.items():
        *above, last = name.split(".")
        place = whole
        for step in above:
            place = place.setdefault(step, {})  # type: ignore[assignment]
        place[last] = grown(value)
    return whole


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_a_table_says_what_its_objects_said(rows: list[dict[str, object]]) -> None:
    crushed = crush(json.dumps(rows, indent=1))
    assert crushed is not None and crushed.left == ()
    assert grown(json.loads(crushed.text)) == rows
    keyed = {f"k{place}": row for place, row in enumerate(rows)}
    again = crush(json.dumps(keyed, indent=1))
    assert again is not None and grown(json.loads(again.text)) == keyed


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_every_value_of_json_is_kept(value: object) -> None:
    """Leaves are compared as they are spelt, numbers digit for digit; what all rows share stands once."""
    crushed = crush(json.dumps(value, indent=4))
    if crushed is None:
        return
    assert len(crushed.text) < len(json.dumps(value, indent=4))
    before, after = set(leaves(value)), set(leaves(json.loads(crushed.text)))
    assert before <= after | {"[]", "{}"}


def leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)] or ["{}"]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)] or ["[]"]
    return [json.dumps(value)]


@settings(max_examples=150, deadline=None)
@given(LINES, st.integers(0, 9))
def test_every_line_of_a_log_is_one_of_its_own(templates: list[str], number: int) -> None:
    """But for the beginning that all instants share; the numbers of lines add up; every error stays."""
    lines = [template.format(place % 60, place % (number + 1)) for place, template in enumerate(templates)]
    crushed = crush("\n".join(lines), frozenset({Form.LOG}))
    if crushed is None:
        return
    head, *rest = crushed.text.split("\n")
    shared = head.split('"')[1] if head.startswith("[instants begin ") else ""
    if not shared:
        rest = [head, *rest]
    kept = [line for line in rest if not line.endswith(" lines like others here]")]
    gone = sum([int(line[1:].split()[0].replace(",", "")) for line in rest if line.endswith(" lines like others here]")])
    own = set(lines) | {line.removeprefix(shared) for line in lines}
    assert set(kept) <= own
    assert len(kept) + gone == len(lines) and crushed.left == (((gone, "lines"),) if gone else ())
    said = {line.partition(" ERROR ")[2] for line in kept}
    assert {line.partition(" ERROR ")[2] for line in lines} <= said | {""}
    assert {line for line in lines if line.startswith("ValueError")} <= set(kept)


def test_a_stack_trace_stays_whole_once() -> None:
    trace = ["Traceback (most recent call last):", '  File "a.py", line 3, in run', "    run(1)", "OSError: no room"]
    log = []
    for place in range(50):
        log += [f"2026-11-22 10:00:{place:02d} INFO step {place}", "2026-11-22 10:01:00 ERROR it broke", *trace]
    crushed = crush("\n".join(log))
    assert crushed is not None
    text = crushed.text
    assert "\n".join(trace) in text
    assert text.count("OSError") < 10 and text.count("    run(1)") == text.count("OSError")


@pytest.mark.parametrize(
    ("template", "usual", "odd"),
    [
        ('10.0.0.{n} - - [10/Oct/2026:13:00:00 +0000] "GET /item/{n} HTTP/1.1" {value} 7{n}', 200, 500),
        ("2026-11-22 10:00:00 INFO worker job {n} exited with code {value} after {n} ms", 0, 137),
        ("2026-11-22 10:00:00 INFO worker {n} done, exitCode={value}", 0, -1),
        ("2026-11-22 10:00:00 INFO request id={n} status={value} ms={n}", 200, 503),
        ("2026-11-22 10:00:00 INFO upstream status_code: {value} in {n} ms", 204, 404),
        ("2026-11-22 10:00:00 INFO suite {n}: 10 passed, {value} lost", 0, 3),
    ],
)
def test_the_one_line_that_went_wrong_stays(template: str, usual: int, odd: int) -> None:
    """A number is all that tells it from three hundred others."""
    lines = [template.format(n=n, value=odd if n == 150 else usual) for n in range(300)]
    crushed = crush("\n".join(lines))
    assert crushed is not None and crushed.left[0][0] > 250
    assert lines[150][20:] in crushed.text


def test_a_progress_bar_leaves_its_end_and_colours_go() -> None:
    log = "\n".join(["\x1b[32mCollecting\x1b[0m numpy", *[f"Collecting p{n}" for n in range(30)], "10%\r50%\r100% done"])
    crushed = crush(log)
    assert crushed is not None
    assert crushed.text.endswith("\n100% done") and "\x1b" not in crushed.text and crushed.text.startswith("Collecting numpy\n")


def test_what_went_wrong_is_not_overwritten() -> None:
    """A progress bar goes on over the line that said it."""
    log = "\n".join([*[f"Collecting p{n}" for n in range(30)], "1%\rERROR: disk full\r2%\r3%\r", "done"])
    crushed = crush(log)
    assert crushed is not None
    assert crushed.text.endswith("\nERROR: disk full\n3%\ndone") and (2, "overwritten lines") in crushed.left


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return x\n" * 50,
        "\n".join(f"{n:6}\t2026-11-22 10:00:00 INFO a line of a file, numbered by its reader" for n in range(50)),
        "name,count\n" + "\n".join(f"item {n},{n}" for n in range(200)),
        "A paragraph of prose. " * 100,
        '{"broken": [1, 2',
        '{ "twice": 1, "twice": 2 }',
        "[" * 900 + "]" * 900,
        '[{"a": ' * 300 + "1" + "}]" * 300,
        "5",
        "",
    ],
)
def test_what_is_not_surely_one_of_them_is_left_alone(text: str) -> None:
    assert crush(text) is None


DIFF = """commit 1a2b3c
Author: A

diff --git a/src/a.py b/src/a.py
index 111..222 100644
--- a/src/a.py
+++ b/src/a.py
@@ -1,8 +1,8 @@ class A:
 one
 two
 three
-four
+4
 five
 six
 seven
 eight
diff --git a/package-lock.json b/package-lock.json
--- a/package-lock.json
+++ b/package-lock.json
@@ -1,3 +1,4 @@
 {
-  "a": 1,
+  "a": 2,
+  "b": 3,
 }
"""


def test_a_diff_keeps_its_changes_and_names_what_a_program_wrote() -> None:
    crushed = crush(DIFF)
    assert crushed is not None
    kept = crushed.text.split("\n")
    assert kept[7:12] == ["@@ -1,8 +1,8 @@ class A:", " three", "-four", "+4", " five"]
    assert kept[-2:] == ["[generated file: +2 -1 lines]", ""] or "[generated file: +2 -1 lines]" in kept
    assert crushed.left == ((5, "context lines"), (6, "lines of generated files"))
    assert '"b": 3' not in crushed.text


def test_a_diff_that_is_cut_off_is_kept_as_it_is() -> None:
    broken = DIFF[: DIFF.index(" six")]
    assert crush(broken, frozenset({Form.DIFF})) is None


@pytest.mark.parametrize(("name", "usual", "odd"), [("status", "done", "failed"), ("status", 200, 503), ("exit_code", 0, 137)])
def test_long_arrays_keep_their_ends_and_what_went_wrong(name: str, usual: object, odd: object) -> None:
    rows = [{"id": n, name: odd if n == 500 else usual} for n in range(1_000)]
    crushed = crush(json.dumps(rows))
    assert crushed is not None and crushed.left == ((839, "items"),)
    table = json.loads(crushed.text)
    assert [500, odd] in table["rows"] and "… 839 items left out …" in table["rows"]


def test_long_texts_are_said_once_and_blobs_by_their_length() -> None:
    url, blob = "https://example.org/" + "path/" * 20, "".join(random.Random(1).choices(string.ascii_letters + "09", k=4_000))
    token = blob[:600]
    crushed = crush(json.dumps({"a": url, "b": [url, url], "c": blob, "next_page_token": token}))
    assert crushed is not None and crushed.left == ((1, "base64 texts"),)
    small = json.loads(crushed.text)
    assert small["a"] == url and small["b"] == [f"{url[:40]}… (in full elsewhere)"] * 2
    assert small["c"] == f"{blob[:40]}… (base64, 4,000 characters)"
    assert small["next_page_token"] == token, "without it the next page cannot be asked for"


def test_a_log_inside_of_json_is_read_too() -> None:
    log = "\n".join(f"Collecting package-{n}" for n in range(200))
    crushed = crush(json.dumps({"exit": 0, "stdout": log}))
    assert crushed is not None and crushed.left == ((175, "lines"),)


def test_numbers_keep_their_digits() -> None:
    assert crush('{ "a" : "x: \\\\\\" : y" , "b": [ { "c\\\\": 1 } ] }') is not None, "a colon in a text is no member"
    assert crush('[ {"a": -0} ]') is None
    text = '[ {"a": 1.50, "b": 1e3, "c": 12345678901234567890123, "d": -0.0} ]'
    crushed = crush(text)
    assert crushed is not None and crushed.text == text.replace(" ", "")


def test_a_point_in_a_name_is_no_object() -> None:
    rows = [{"a": {"b": n, "c": "some text"}, "a.b": n + 1} for n in range(9)]
    crushed = crush(json.dumps(rows))
    assert crushed is not None
    table = json.loads(crushed.text)
    assert table["columns"] == ["a", "a.b"] and table["rows"][3] == [{"b": 3, "c": "some text"}, 4]


def test_json_lines_are_a_table() -> None:
    crushed = crush("\n".join(json.dumps({"time": n, "level": "info", "msg": f"m{n}"}) for n in range(9)))
    assert crushed is not None
    table = json.loads(crushed.text)
    assert table["every_row"] == {"level": "info"} and table["rows"][8] == [8, "m8"]


def test_what_was_made_shorter_is_left_as_it_is() -> None:
    crushed = crush(json.dumps([{"id": n, "name": "x"} for n in range(9)], indent=1))
    assert crushed is not None
    text = marked(crushed, REF)
    assert is_marked(text) and crush(text) is None and crush(text, ALL | {Form.PLAIN}, 10) is None
    assert text.endswith(f"GET /jevons/v1/trimmed/{REF}]")


def test_plain_text_is_cut_in_whole_lines_where_it_is_wished() -> None:
    text = "\n".join(f"line {n}" for n in range(100))
    crushed = crush(text, ALL | {Form.PLAIN}, 90)
    assert crushed is not None
    head, gap, tail = crushed.text.partition("[")[0], crushed.left, crushed.text.rpartition("]\n")[2]
    assert text.startswith(head) and text.endswith(tail) and gap == ((len(text) - len(head) - len(tail), "characters"),)
    assert cut("short", 90) is None
    assert cut("x" * 100, 90) is not None


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet='ab\n{[",:1@-+ \\é', max_size=300))
def test_nothing_that_a_tool_prints_breaks_it(text: str) -> None:
    first = crush(text, ALL | {Form.PLAIN}, 50)
    assert first == crush(text, ALL | {Form.PLAIN}, 50)
    if first is not None:
        msgspec.json.encode(first.text)
