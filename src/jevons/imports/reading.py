"""Files as rows, without ever holding a file: lines, elements of JSON arrays, records of CSV tables; gzip and zstd are unpacked in passing.

Comes in: a path. Goes out: rows with their line number and the offset of their end in the unpacked file, so that a later reading can go on
there. Memory is one row and a chunk. Does not know: what a row means.
"""

import csv
import gzip
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import msgspec

from jevons.core.limits import IMPORT_CHUNK_BYTES, IMPORT_HEAD_BYTES, IMPORT_ROW_BYTES_MAX

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CUT_OFF = "the file ends in the middle of it: the export or the copy was cut off"
TOO_LONG = f"it is longer than {IMPORT_ROW_BYTES_MAX // 2**20} MiB"

csv.field_size_limit(IMPORT_ROW_BYTES_MAX)
_BOM = b"\xef\xbb\xbf"
_LINES_TOLD = 256
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}"]', re.DOTALL)
"""Whole strings, brackets, and a quotation mark whose string has not ended yet."""
_DATA = re.compile(rb'"data"\s*:\s*')
_QUOTE, _BRACKET, _OPENING = ord('"'), ord("["), b"[{"


class Unreadable(Exception):
    """A file cannot be read as what it should be. The message names it and says what to do."""


class Piece(NamedTuple):
    """A row as it stands in the file."""

    line: int
    offset: int
    data: bytes
    problem: str = ""


class Opened(NamedTuple):
    """A file to read from, and the packed one beneath it, which says how far that is."""

    file: BinaryIO
    packed: BufferedReader


class Cells(NamedTuple):
    """A record of a table."""

    line: int
    offset: int
    cells: dict[str, str]
    """By the column's name as the caller spells it; empty cells and columns that nobody asked for are left out."""
    all: list[str]
    problem: str = ""


class SourceFile:
    """One file to import."""

    def __init__(self, path: Path, on_read: Callable[[int], None] = lambda packed_bytes: None) -> None:
        """`on_read` is told how far the file itself is read, packed as it is. Raises Unreadable if it is not there."""
        self.path = path
        self._on_read = on_read
        try:
            stat = path.stat()
        except OSError as error:
            raise Unreadable(f"{path} cannot be read: {error.strerror}.") from None
        self.size, self.mtime_ns = stat.st_size, stat.st_mtime_ns

    @cached_property
    def head(self) -> bytes:
        """Its first bytes, unpacked."""
        with self._open() as opened:
            return opened.file.read(IMPORT_HEAD_BYTES).removeprefix(_BOM)

    @property
    def is_json(self) -> bool:
        return self.head.lstrip()[:1] in (b"{", b"[")

    @cached_property
    def has_lines(self) -> bool:
        """Is each line a JSON object of its own, and no page of many?"""
        first = self.head.lstrip().partition(b"\n")[0]
        try:
            return not bytes(msgspec.json.decode(first, type=dict[str, msgspec.Raw]).get("data", b"")).startswith(b"[")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False

    def lines(self, start: int = 0, line: int = 0) -> Iterator[Piece]:
        """Its lines that are not blank, from an offset on, where a line begins."""
        offset = start
        with self._open() as (file, packed):
            if start:
                file.seek(start)
            while data := file.readline(IMPORT_ROW_BYTES_MAX):
                line += 1
                offset += len(data)
                if len(data) == IMPORT_ROW_BYTES_MAX and data[-1:] != b"\n":
                    offset += _skip_line(file)
                    yield Piece(line, offset, b"", TOO_LONG)
                elif not data.isspace():
                    yield Piece(line, offset, data.removeprefix(_BOM) if line == 1 else data)
                if not line % _LINES_TOLD:
                    self._on_read(packed.tell())
            self._on_read(packed.tell())

    def elements(self) -> Iterator[Piece]:
        """JSON values, however they are packed: those of arrays, those in the `data` member of objects, and other objects whole."""
        splitter = Splitter()
        with self._open() as (file, packed):
            while chunk := file.read(IMPORT_CHUNK_BYTES):
                yield from splitter.feed(chunk)
                if splitter.kept > IMPORT_ROW_BYTES_MAX:
                    raise Unreadable(f"{self.path} has a value {TOO_LONG.removeprefix('it is ')}, at byte {splitter.base:,}.")
                self._on_read(packed.tell())
        yield from splitter.end()

    def values(self, start: int = 0, line: int = 0) -> Iterator[Piece]:
        """JSON values line by line where the file is so, else as elements. Only lines can begin in the middle."""
        return self.lines(start, line) if self.has_lines else self.elements()

    def table(self, columns: tuple[str, ...], required: tuple[str, ...] = ()) -> Iterator[Cells]:
        """Records of a CSV file by these columns, which may be written in any case, with spaces or underscores. Others are ignored.

        Raises Unreadable if a required column is not there.
        """
        records = self._records()
        header = next(records, None)
        if header is None:
            raise Unreadable(f"{self.path} is empty.")
        text = header.data.decode("utf-8-sig", "replace")
        delimiter = max(",\t;", key=text.count)
        [names] = csv.reader([text.rstrip("\r\n")], delimiter=delimiter)
        spelled = {plain_name(column): column for column in columns}
        places = [(place, spelled[plain]) for place, name in enumerate(names) if (plain := plain_name(name)) in spelled]
        missing = [column for column in required if column not in {column for _, column in places}]
        if missing:
            raise Unreadable(
                f"{self.path} has no column {', '.join(missing)}. It begins with: {', '.join(names[:8])[:200]}. Is it the right export?"
            )
        for record in records:
            if record.problem:
                yield Cells(record.line, record.offset, {}, [], record.problem)
                continue
            try:
                cells = _cells(record.data, delimiter)
            except csv.Error:
                yield Cells(record.line, record.offset, {}, [], "it is no record of a CSV file")
                continue
            if len(cells) != len(names):
                problem = f"it has {len(cells)} cells, the header has {len(names)}"
                yield Cells(record.line, record.offset, {}, cells, problem)
            else:
                yield Cells(record.line, record.offset, {column: cells[place] for place, column in places if cells[place]}, cells)

    def _records(self) -> Iterator[Piece]:
        """Lines, joined where a quoted cell runs over their end."""
        begun: list[bytes] = []
        size, first = 0, 0
        for piece in self.lines():
            if not begun and (piece.problem or piece.data.count(b'"') % 2 == 0):
                yield piece
                continue
            begun.append(piece.data)
            size += len(piece.data)
            first = first or piece.line
            if len(begun) > 1 and piece.data.count(b'"') % 2:
                yield Piece(first, piece.offset, b"".join(begun))
            elif size > IMPORT_ROW_BYTES_MAX:
                yield Piece(first, piece.offset, b"", TOO_LONG)
            else:
                continue
            begun, size, first = [], 0, 0
        if begun:
            yield Piece(first, 0, b"", "a quotation mark is opened in it and closed nowhere after it")

    @contextmanager
    def _open(self) -> Iterator[Opened]:
        """Whatever goes wrong while it is read is Unreadable."""
        try:
            with cast(BufferedReader, self.path.open("rb", buffering=IMPORT_CHUNK_BYTES)) as packed:
                magic = packed.peek(4)[:4]
                if magic[:2] == b"\x1f\x8b":
                    yield Opened(cast(BinaryIO, gzip.GzipFile(fileobj=packed)), packed)
                elif magic == b"\x28\xb5\x2f\xfd":
                    yield Opened(cast(BinaryIO, zstd.ZstdFile(packed)), packed)
                else:
                    yield Opened(packed, packed)
        except OSError as error:
            raise Unreadable(f"{self.path} cannot be read: {error.strerror or error}.") from None
        except (EOFError, zlib.error, zstd.ZstdError):
            raise Unreadable(f"{self.path} cannot be unpacked to its end: it is damaged, or was cut off.") from None


class Splitter:
    """Finds where the values of a JSON text begin and end, without reading what is in them."""

    def __init__(self) -> None:
        self.base = 0
        """Offset in the text of what is kept."""
        self._buffer = b""
        self._line = 1
        self._scanned = 0
        self._depth = 0
        self._level = 0
        """At which depth values stand: 0 in the text, 1 in an array, 2 in the `data` of an object; -1 after such `data`."""
        self._start = -1
        self._key = 0

    @property
    def kept(self) -> int:
        """Bytes that are kept because their value has not ended."""
        return len(self._buffer)

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """The values that end in this chunk."""
        buffer = self._buffer = self._buffer + chunk
        done = len(buffer)
        for match in _TOKEN.finditer(buffer, self._scanned):
            token, at = buffer[match.start()], match.start()
            if token == _QUOTE:
                if match.end() - at == 1:  # its end is in a later chunk
                    done = at
                    break
                self._key = at
            elif token in _OPENING:
                self._open(token, at)
            else:
                yield from self._close(at + 1)
        self._scanned = done
        self._forget(self._start if self._start >= 0 else done)

    def end(self) -> Iterator[Piece]:
        """What is left is a value that was cut off."""
        if self._depth or self._buffer.strip():
            yield Piece(self._line, self.base + len(self._buffer), b"", CUT_OFF)

    def _open(self, token: int, at: int) -> None:
        if self._level == 0 and self._depth == 0 and token == _BRACKET:
            self._level = 1
        elif self._level == 0 and self._depth == 1 and token == _BRACKET and _DATA.fullmatch(self._buffer, self._key, at):
            self._level, self._start = 2, -1
        elif self._depth == self._level:
            self._start = at
        self._depth += 1

    def _close(self, end: int) -> Iterator[Piece]:
        self._depth = max(0, self._depth - 1)
        if self._start >= 0 and self._depth == self._level:
            line = self._line + self._buffer.count(b"\n", 0, self._start)
            yield Piece(line, self.base + end, self._buffer[self._start : end])
            self._start = -1
        elif self._level == 2 and self._depth == 1:
            self._level = -1
        if self._depth == 0:
            self._level = 0

    def _forget(self, place: int) -> None:
        self._line += self._buffer.count(b"\n", 0, place)
        self._buffer = self._buffer[place:]
        self.base += place
        self._scanned -= place
        self._key -= place
        if self._start >= 0:
            self._start -= place


def plain_name(column: str) -> str:
    """A column's name without its spelling: "Prompt Tokens", "prompt_tokens" and "promptTokens" are one."""
    return "".join(character for character in column.lower() if character.isalnum())


def _cells(data: bytes, delimiter: str) -> list[str]:
    text = data.decode("utf-8", "replace").rstrip("\r\n")
    if '"' not in text:
        return text.split(delimiter)
    return next(csv.reader([text], delimiter=delimiter))


def _skip_line(file: BinaryIO) -> int:
    """Bytes up to the end of a line that is too long."""
    skipped = 0
    while data := file.readline(IMPORT_CHUNK_BYTES):
        skipped += len(data)
        if data.endswith(b"\n"):
            break
    return skipped
