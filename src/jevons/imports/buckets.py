"""Buckets of usage or costs as OpenAI's and Anthropic's APIs page them: a bucket, a page of buckets, pages of pages.

Comes in: a JSON file, and how its buckets are read. Goes out: a row for each result, and for each part that cannot be used. Does not know: what
a result says.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import msgspec

from jevons.imports.reading import SourceFile
from jevons.imports.record import BadRow, Record, Row


class Bucket(Protocol):
    @property
    def results(self) -> list[Any]: ...
    @property
    def data(self) -> list[msgspec.Raw] | None:
        """Of a page among pages: its buckets."""


B = TypeVar("B", bound=Bucket)


def rows_of(
    file: SourceFile, whose: str, decode: Callable[[bytes], B], records: Callable[[B, Any], Iterable[Record]]
) -> Iterator[Row]:
    """In the order of the file. `whose`: as a problem says it; `records`: of a bucket and one of its results, raises BadRow."""

    def within(line: int, offset: int, data: bytes) -> Iterator[Row]:
        try:
            bucket = decode(data)
        except msgspec.ValidationError as error:
            yield Row(line, offset, problem=f"it is no bucket of {whose} usage or costs: {error}")
            return
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield Row(line, offset, problem="it is no JSON")
            return
        for inner in bucket.data or ():
            yield from within(line, offset, bytes(inner))
        for result in bucket.results:
            try:
                yield Row(line, offset, tuple(records(bucket, result)))
            except BadRow as bad:
                yield Row(line, offset, problem=str(bad))

    for piece in file.values():
        if piece.problem:
            yield Row(piece.line, piece.offset, problem=piece.problem)
        else:
            yield from within(piece.line, piece.offset, piece.data)
