"""One JSON object of a request, read field by field; what nobody took is judged by the table.

In: an object's raw JSON and where it stands. Out: decoded values, or a 400 that names the field. It decodes only what is asked
for, so JSON that is merely carried stays as the client wrote it.
"""

from typing import TypeVar

import msgspec

from jevons.core.ask import Dialect
from jevons.core.refusal import Refusal, invalid
from jevons.wire.body import BAD_JSON
from jevons.wire.translate.table import BY_PATH, NAMES, Row, Verdict

T = TypeVar("T")

_OTHER = {Dialect.CHAT: NAMES[Dialect.MESSAGES], Dialect.MESSAGES: NAMES[Dialect.CHAT]}


class Fields:
    """An object of the client's body. `path` names it for people ("messages[3]"), `rule` for the table ("messages[]")."""

    __slots__ = ("_left", "dialect", "path", "rule")

    def __init__(self, dialect: Dialect, raw: bytes | msgspec.Raw, path: str = "", rule: str = "") -> None:
        self.dialect = dialect
        self.path = path
        self.rule = rule
        try:
            self._left = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        except BAD_JSON as error:
            raise invalid(f"{path or 'The body'} must be a JSON object: {error}", param=path or None) from None

    def where(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _rule(self, name: str) -> str:
        return f"{self.rule}.{name}" if self.rule else name

    def take(self, name: str, kind: type[T]) -> T | None:
        """The value of a field, None if absent or null. Raises Refusal if it is of another type."""
        raw = self._left.pop(name, None)
        if raw is None:
            return None
        try:
            return msgspec.json.decode(raw, type=kind | None)
        except BAD_JSON as error:
            raise invalid(f"{self.where(name)}: {error}", param=self.where(name)) from None

    def need(self, name: str, kind: type[T]) -> T:
        """The value of a field that must be there."""
        value = self.take(name, kind)
        if value is None:
            raise invalid(f"{self.where(name)} is missing", param=self.where(name))
        return value

    def take_json(self, name: str) -> str | None:
        """The JSON text of a field that must be an object, as the client wrote it."""
        raw = self._left.pop(name, None)
        if raw is None or bytes(raw) == b"null":
            return None
        return self.require_object(bytes(raw), name)

    def require_object(self, json: bytes, name: str) -> str:
        """The text of JSON that is an object; anything else is refused."""
        try:
            msgspec.json.decode(json, type=dict[str, msgspec.Raw])
            return json.decode()
        except BAD_JSON as error:
            raise invalid(f"{self.where(name)} must be a JSON object: {error}", param=self.where(name)) from None

    def take_string(self, name: str) -> str | None:
        """The value if it is a JSON string, else None with the field left in place: for fields of several shapes."""
        raw = self._left.get(name)
        if raw is None or not bytes(raw).startswith(b'"'):
            return None
        return self.take(name, str)

    def child(self, name: str) -> "Fields | None":
        """An object inside this one."""
        raw = self._left.pop(name, None)
        return None if raw is None or bytes(raw) == b"null" else Fields(self.dialect, raw, self.where(name), self._rule(name))

    def children(self, name: str, rule: str = "") -> "list[Fields]":
        """A list of objects; absent = empty. `rule` is given where the table writes their path in another way."""
        raws = self.take(name, list[msgspec.Raw]) or []
        rule = rule or self._rule(name) + "[]"
        return [Fields(self.dialect, raw, f"{self.where(name)}[{i}]", rule) for i, raw in enumerate(raws)]

    def skip(self, *names: str) -> None:
        """Leaves fields out, whatever they hold: others have read them, or a row of the table drops them in this case only."""
        for name in names:
            self._left.pop(name, None)

    def refuse(self, name: str, value: object, row: str = "") -> Refusal:
        """The 400 for a value that the other dialect does not have; the table gives its reason if it knows the value."""
        known = BY_PATH.get((self.dialect, row or f"{self._rule(name)}={value}"))
        why = known.note if known else "this value is not known"
        field = self.where(name)
        return invalid(f"{field} = {value!r} cannot be said in {_OTHER[self.dialect]}: {why}", param=field)

    def close(self) -> None:
        """Judges every field that nobody took. Raises Refusal for the first that may not be left out."""
        for name, raw in self._left.items():
            row = BY_PATH.get((self.dialect, self._rule(name)))
            if bytes(raw) == b"null" or (row and (row.verdict is Verdict.DROPPED or _is_harmless(raw, row))):
                continue
            field = self.where(name)
            if row is None or row.verdict is Verdict.MAPPED:
                raise invalid(f"{field} is not known to the translation to {_OTHER[self.dialect]}: leave it out", param=field)
            raise invalid(f"{field} cannot be said in {_OTHER[self.dialect]}: {row.note}", param=field)


def _is_harmless(raw: msgspec.Raw, row: Row) -> bool:
    return bool(row.harmless) and len(bytes(raw)) <= 64 and msgspec.json.decode(raw) in row.harmless
