"""Prices of recorded calls: each under the price book that it was held and charged under.

Comes in: hashes of price books, as entries have them. Goes out: `PriceBook`s. A book that this home has no more is stood in for by the one
in use, and named.
"""

from pathlib import Path

from jevons.meter.pricebook import PriceBook, open_book, reopen_book


class Rates:
    """The price books of a home."""

    def __init__(self, home: Path, current: PriceBook | None = None) -> None:
        """`current`: the book in use, if it is open already."""
        self._home = home
        self._current = current
        self._books: dict[str, PriceBook] = {}
        self.absent: set[str] = set()
        """Books that are not there any more."""

    def of(self, book_hash: str) -> PriceBook:
        """The book of that hash, overrides included."""
        book = self._books.get(book_hash)
        if book is None:
            book = self._books[book_hash] = self._find(book_hash)
        return book

    @property
    def current(self) -> PriceBook:
        if self._current is None:
            self._current = open_book(self._home)
        return self._current

    def _find(self, book_hash: str) -> PriceBook:
        if self._current is not None and self._current.hash == book_hash:
            return self._current
        try:
            return reopen_book(self._home, book_hash)
        except LookupError:
            self.absent.add(book_hash)
            return self.current
