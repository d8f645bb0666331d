"""Rows of files: of any shape, packed or not, cut at any byte, and never held as a whole."""

import gzip
import json
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jevons.imports.reading import CUT_OFF, SourceFile, Splitter, Unreadable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(['"', "\\", '\\"', "[", "}", '"data"']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
ELEMENTS = st.lists(st.dictionaries(st.sampled_from(["a", "b", '"', "data "]), JSON, max_size=3), max_size=5)


def split(text: bytes, sizes: list[int]) -> list[Any]:
    """The values of a text that is fed in chunks of these sizes, over and over."""
    splitter, found, place, turn = Splitter(), [], 0, 0
    while place < len(text):
        size = sizes[turn % len(sizes)]
        found += list(splitter.feed(text[place : place + size]))
        place, turn = place + size, turn + 1
    found += list(splitter.end())
    assert [text[piece.offset - len(piece.data) : piece.offset] for piece in found] == [piece.data for piece in found]
    return found


@given(ELEMENTS, st.lists(st.integers(1, 40), min_size=1, max_size=4), st.sampled_from([None, 1]))
def test_elements_of_an_array_in_chunks_of_any_size(elements: list[Any], sizes: list[int], indent: int | None) -> None:
    text = json.dumps(elements, indent=indent).encode()
    assert [json.loads(piece.data) for piece in split(text, sizes)] == elements


@given(ELEMENTS, JSON, st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_elements_of_pages(elements: list[Any], other: Any, sizes: list[int]) -> None:
    """Whatever stands beside `data`; one page after the other, as a loop writes them."""
    page = json.dumps({"object": "data", "x": {"data": [1]}, "data": elements, "y": [{"z": other}]}).encode()
    assert [json.loads(piece.data) for piece in split(page + b"\n" + page, sizes)] == elements * 2


@given(ELEMENTS.filter(bool), st.integers(1, 10**6))
def test_a_text_that_was_cut_says_so(elements: list[Any], cut: int) -> None:
    text = json.dumps(elements).encode()
    text = text[: 1 + cut % (len(text) - 1)]
    found = split(text, [7])
    assert found[-1].problem == CUT_OFF
    assert [json.loads(piece.data) for piece in found[:-1]] == elements[: len(found) - 1]


def test_the_line_of_an_element(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('[\n {"a": 1},\n\n {"b":\n 2}]')
    assert [piece.line for piece in SourceFile(file).elements()] == [2, 4]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress])
def test_packed_files_are_unpacked_in_passing(tmp_path: Path, pack: Any) -> None:
    """And read from the middle on."""
    file, told = tmp_path / "a", []
    file.write_bytes(pack(b'{"a": 1}\n\n{"b": "\xc3\xa9"}\n{"c": 3}'))
    source = SourceFile(file, told.append)
    assert source.is_json and source.has_lines
    pieces = list(source.lines())
    assert [(piece.line, piece.data) for piece in pieces] == [(1, b'{"a": 1}\n'), (3, b'{"b": "\xc3\xa9"}\n'), (4, b'{"c": 3}')]
    assert list(source.lines(pieces[0].offset, 1)) == pieces[1:]
    assert told[-1] == source.size


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_packed_file_that_was_cut(tmp_path: Path, pack: Any) -> None:
    file = tmp_path / "a.gz"
    file.write_bytes(pack(b"".join(b'{"a": %d}\n' % number for number in range(20_000)))[:-20])
    with pytest.raises(Unreadable, match="cannot be unpacked to its end: it is damaged, or was cut off"):
        list(SourceFile(file).lines())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="cannot be read: No such file"):
        SourceFile(tmp_path / "none")
    with pytest.raises(Unreadable, match="cannot be read: Is a directory"):
        list(SourceFile(tmp_path).lines())


def rows(path: Path, text: str, *columns: str) -> list[dict[str, str] | str]:
    path.write_text(text)
    return [cells.problem or cells.cells for cells in SourceFile(path).table(columns)]


def test_tables(tmp_path: Path) -> None:
    """Columns by any spelling; quoted cells over several lines; other separators."""
    file = tmp_path / "a.csv"
    assert rows(file, '\ufeffA b,c\r\n1,"x\r\n""y"""\r\n,2\r\n', "a_b", "c", "d") == [{"a_b": "1", "c": 'x\r\n"y"'}, {"c": "2"}]
    assert rows(file, "a\tb\n1\t2,5\n", "a", "b") == [{"a": "1", "b": "2,5"}]
    assert rows(file, "a;b\n1;2,5\n", "a", "b") == [{"a": "1", "b": "2,5"}]


def test_rows_of_tables_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    assert rows(file, "a,b\n1\n1,2\n", "a") == ["it has 1 cells, the header has 2", {"a": "1"}]
    assert rows(file, 'a,b\n1,"2\n3,4\n', "a") == ["a quotation mark is opened in it and closed nowhere after it"]
    assert rows(file, 'a,b\n1,"2\r3"\r4"\n', "a") == ["a quotation mark is opened in it and closed nowhere after it"]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """16 MiB as one line of JSON."""
    file = tmp_path / "big.json"
    element = json.dumps({"text": "x" * 1_000, "n": [1, 2, 3]})
    with file.open("w") as out:
        out.write("[" + element)
        for _ in range(16 * 1024):
            out.write("," + element)
        out.write("]")
    tracemalloc.start()
    assert sum(1 for _ in SourceFile(file).elements()) == 16 * 1024 + 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 2**20
