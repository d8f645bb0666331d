"""JSON made shorter: no white space, arrays and objects of like objects as tables, long texts said once, long arrays cut.

Comes in: a text that is one JSON value, or one on each line. Goes out: JSON again (a table is {"columns", "rows"}, what all rows share is
"every_row"; a column "a.b" is of objects in objects). Numbers keep their digits, keys and rows their order. Does not know: what the values mean.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from jevons.wire.body import BAD_JSON
from jevons.wire.trimming.crushed import Crushed, total

ITEMS_MAX = 200
"""A longer array is cut: an agent that lists more rarely reads them one by one."""
HEAD, TAIL = 120, 40
"""Items kept of it at either end."""
TEXT_CHARS_MIN = 80
"""A text of this length is said once."""
TEXT_HEAD_CHARS = 40
"""How much of it stands where it comes again."""
NESTED_CHARS_MIN = 1_000
"""A text of this length inside of JSON is looked at as a log, a diff or JSON of its own: what a command printed often comes so."""
BLOB_CHARS_MIN = 2_000
"""Base64 of this length is data. What is shorter may be the token of a next page or a handle, which the next call must say in full."""
BLOB = re.compile(r"(?:data:[\w/+.;=-]+,)?(?=[A-Za-z0-9+/_-]*[a-z])(?=[A-Za-z0-9+/_-]*[A-Z])[A-Za-z0-9+/_-]+={0,2}")
MINUS_ZERO = re.compile(r"-0(?<=[\[:,\s]-0)(?=[\s,\]}])")
"""The one whole number that is not written again as it was read."""
WRONG = re.compile(
    rb'(?i)error|fail|exception|fatal|warn|denied|refused|timeout|"status_?(?:code)?":"?[45]\d\d\b|"exit_?(?:code|status)?":"?-?[1-9]'
)
"""Items that say so are kept wherever they stand."""
LIKE_SHARE = 0.7
"""So much of an array must have the same members for a table; the others stand in it as they are."""
TABLE_CHARS = 40
"""What a table's own words cost."""

Nested = Callable[[str], Crushed | None]
_decode = msgspec.json.Decoder(float_hook=lambda digits: msgspec.Raw(digits.encode())).decode
"""Numbers with a point or an exponent keep their digits."""
_encode = msgspec.json.encode


def crush_json(text: str, nested: Nested) -> Crushed | None:
    """None: it is no JSON object or array, is nested very deeply, has a member twice or a -0. `nested` looks at long texts inside. About 2 ms per
    100 KB."""
    begin = text.lstrip()[:1]
    if begin not in ("{", "[") or MINUS_ZERO.search(text):
        return None
    try:
        value, lines = _decode(text), False
    except BAD_JSON:
        value, lines = _lines(text), True
    if not isinstance(value, dict | list):
        return None
    work = _Crusher(nested)
    try:
        work.count(value)
        if work.members != _members(text):
            return None
        small = work.shrink(value)
    except RecursionError:
        return None
    if lines and isinstance(small, list):
        return Crushed("\n".join([_encode(item).decode() for item in small]), total(work.left))
    return Crushed(_encode(small).decode(), total(work.left))


def _lines(text: str) -> list[Any] | None:
    """JSON, one object on each line."""
    lines = text.split("\n")
    try:
        values = [_decode(line) for line in lines if line and not line.isspace()]
    except BAD_JSON:
        return None
    return values if len(values) > 1 and all(isinstance(value, dict) for value in values) else None


def _members(text: str) -> int:
    """Members of all objects, by the colons outside of texts: one that is there twice is decoded once."""
    if "\\" in text:
        text = text.replace("\\\\", "").replace('\\"', "")
    return sum([part.count(":") for part in text.split('"')[::2]])


class _Crusher:
    """One document."""

    def __init__(self, nested: Nested) -> None:
        self.left: list[tuple[int, str]] = []
        self.members = 0
        self._nested = nested
        self._long: Counter[str] = Counter()
        self._heads: Counter[str] = Counter()
        self._said: set[str] = set()

    def count(self, value: Any) -> None:
        """Members, and how often each long text comes."""
        if isinstance(value, str):
            if len(value) >= TEXT_CHARS_MIN:
                self._heads[value[:TEXT_HEAD_CHARS]] += value not in self._long
                self._long[value] += 1
        elif isinstance(value, dict):
            self.members += len(value)
            for item in value.values():
                if type(item) in _DEEP:
                    self.count(item)
        elif isinstance(value, list):
            for item in value:
                if type(item) in _DEEP:
                    self.count(item)

    def shrink(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value) if len(value) >= TEXT_CHARS_MIN else value
        if isinstance(value, list):
            return self._array(value)
        if isinstance(value, dict):
            like = self._table(list(value.values()))
            if like is not None:
                columns, shared, rows = like
                return _as_table(columns, shared, dict(zip(value, rows, strict=True)))
            return self.shrink_members(value)
        return value

    def _array(self, items: list[Any]) -> Any:
        kept, gap = self._cut(items)
        flat: list[Any] = []
        shape = _flatten(kept, flat)
        like = self._table(flat)
        if like is None:
            small = [self.shrink(item) if type(item) in _DEEP else item for item in kept]
            return _with_gap(small, gap)
        columns, shared, rows = like
        return _as_table(columns, shared, _with_gap(_refold(shape, iter(rows)), gap))

    def _cut(self, items: list[Any]) -> tuple[list[Any], tuple[int, int]]:
        """What is kept of an array, and (where the gap is, how many are gone)."""
        if len(items) <= ITEMS_MAX:
            return items, (0, 0)
        middle = items[HEAD:-TAIL]
        telling = [item for item in middle if type(item) in _DEEP and WRONG.search(_encode(item))]
        gone = len(middle) - len(telling)
        if gone:
            self.left.append((gone, "items"))
        return [*items[:HEAD], *telling, *items[-TAIL:]], (HEAD + len(telling), gone)

    def _table(self, rows: list[Any]) -> tuple[list[str], dict[str, Any], list[Any]] | None:
        """Columns, what all rows share, and the rows: arrays of values, or objects that are unlike. None: they are not alike."""
        if len(rows) < 2 or not isinstance(rows[0], dict):
            return None
        kinds = Counter([frozenset(row) if isinstance(row, dict) else None for row in rows])
        keys, count = kinds.most_common(1)[0]
        if not keys or count < LIKE_SHARE * len(rows) or any(not isinstance(row, dict) for row in rows):
            return None
        if (count - 1) * sum([len(key) + 3 for key in keys]) <= TABLE_CHARS:
            return None
        alike = [row for row in rows if row.keys() == keys]
        columns = _columns("", list(alike[0]), alike)
        shared: dict[str, Any] = {}
        if len(alike) == len(rows) > 2:
            shared = {name: values[0] for name, values in columns if _constant(values)}
        varying = [(name, values) for name, values in columns if name not in shared]
        cells = [[self.shrink(value) if type(value) in _DEEP else value for value in values] for _, values in varying]
        made = iter([list(row) for row in zip(*cells, strict=True)] if cells else [[] for _ in alike])
        table = [next(made) if row.keys() == keys else self.shrink_members(row) for row in rows]
        shared = {name: self.shrink(value) for name, value in shared.items()}
        return [name for name, _ in varying], shared, table

    def shrink_members(self, value: dict[str, Any]) -> dict[str, Any]:
        """An object that is no table."""
        return {key: self.shrink(item) if type(item) in _DEEP else item for key, item in value.items()}

    def _text(self, text: str) -> str:
        if len(text) >= NESTED_CHARS_MIN and (inner := self._nested(text)) is not None and len(inner.text) < len(text):
            self.left.extend(inner.left)
            return inner.text
        if len(text) >= BLOB_CHARS_MIN and BLOB.fullmatch(text):
            self.left.append((1, "base64 texts"))
            return f"{text[:TEXT_HEAD_CHARS]}… (base64, {len(text):,} characters)"
        if self._long[text] > 1 and self._heads[text[:TEXT_HEAD_CHARS]] == 1:
            if text in self._said:
                return f"{text[:TEXT_HEAD_CHARS]}… (in full elsewhere)"
            self._said.add(text)
        return text


_DEEP = frozenset({str, dict, list})


def _flatten(items: list[Any], flat: list[Any]) -> list[Any]:
    """Arrays in arrays: puts what is in them into `flat`, and returns the nesting, with None for each."""
    shape: list[Any] = []
    for item in items:
        if isinstance(item, list):
            shape.append(_flatten(item, flat))
        else:
            flat.append(item)
            shape.append(None)
    return shape


def _refold(shape: list[Any], rows: Any) -> list[Any]:
    return [next(rows) if place is None else _refold(place, rows) for place in shape]


def _with_gap(items: list[Any], gap: tuple[int, int]) -> list[Any]:
    place, gone = gap
    return [*items[:place], f"… {gone:,} items left out …", *items[place:]] if gone else items


def _columns(prefix: str, order: list[str], rows: list[dict[str, Any]]) -> list[tuple[str, list[Any]]]:
    """(name, values) of each column; like objects in a column become columns of their own, unless a point in a name would be taken for that."""
    found: list[tuple[str, list[Any]]] = []
    plain = not any("." in key for key in order)
    for key in order:
        values = [row[key] for row in rows]
        inner = values[0]
        if (
            plain
            and isinstance(inner, dict)
            and inner
            and not any("." in name for name in inner)
            and all(isinstance(value, dict) and value.keys() == inner.keys() for value in values)
        ):
            found += _columns(f"{prefix}{key}.", list(inner), values)
        else:
            found.append((prefix + key, values))
    return found


def _constant(values: list[Any]) -> bool:
    """Is it one plain value in all rows? Types count: 1 is not true, and 1.0 is not 1."""
    first = values[0]
    if isinstance(first, dict | list):
        return False
    kind = type(first)
    if kind is msgspec.Raw:
        return all(type(value) is kind and bytes(value) == bytes(first) for value in values)
    return all(type(value) is kind and value == first for value in values)


def _as_table(columns: list[str], shared: dict[str, Any], rows: Any) -> dict[str, Any]:
    return {"columns": columns, **({"every_row": shared} if shared else {}), "rows": rows}
