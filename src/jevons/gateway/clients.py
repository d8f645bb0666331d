"""Client programs by their headers: who it is, which run it names, and the status that stops it when its budget is spent.

Comes in: a request's headers by name. The table is data/clients.toml. Does not know: keys, bodies, what a run has spent.
"""

import re
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources

import msgspec

from jevons.core.ask import Caller, RunClaim
from jevons.core.limits import FAMILY_MEMO_ENTRIES_MAX
from jevons.core.refusal import Refusal

Named = Mapping[bytes, bytes]
"""Headers by lower-cased name; the last of a repeated one."""

_LIKE_A_STATUS = re.compile(r"(?<=4)(?=29)|(?<=5)(?=0[0234]|24)")
_JOINER = "\u2060"
"""Has no width: people read the number as before."""
_LABEL = re.compile(r"[\x21-\x7e]{1,128}")


class RunHeaders(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names of the headers that carry a run, its child and its parent; "" = there is none."""

    run: str
    child: str = ""
    parent: str = ""
    child_within_run: bool = False
    """Child and parent are told apart only within their run."""


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client program that one header shows."""

    name: str
    header: str
    match: tuple[str, ...]
    """Shell patterns of the lower-cased value."""
    status: int | None = None
    """Of a denial for money; None = the default."""
    failed_event: bool = False
    """A denial of a streamed Responses request is a `response.failed` event."""
    plain: bool = False
    """It takes digits in a denial for a status: words alone."""
    agent: bool = True
    """Its name says which program it is."""
    runs: RunHeaders | None = None


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    family: tuple[Family, ...]
    runs: tuple[RunHeaders, ...]


def _read() -> _Table:
    text = resources.files("jevons.gateway").joinpath("data/clients.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _Table)


_TABLE = _read()
FAMILIES = _TABLE.family
RUN_HEADERS = (*(family.runs for family in FAMILIES if family.runs is not None), *_TABLE.runs)
"""In order of precedence."""

_SHOWING = tuple(dict.fromkeys(family.header.encode() for family in FAMILIES))
_NAMING = frozenset(name.encode() for headers in RUN_HEADERS for name in (headers.run, headers.child) if name)


def label(value: str | None) -> str | None:
    """A label that a client chose, if it is 1 to 128 visible ASCII characters; else None."""
    return value if value is not None and _LABEL.fullmatch(value) else None


def family_of(named: Named) -> Family | None:
    """The client program that sent this, or None if its headers do not say."""
    for header in _SHOWING:
        value = named.get(header)
        if value is not None and (family := _shown(header, value)) is not None:
            return family
    return None


@lru_cache(maxsize=FAMILY_MEMO_ENTRIES_MAX)
def _shown(header: bytes, value: bytes) -> Family | None:
    text = value.decode("latin-1").lower()
    for family in FAMILIES:
        if family.header.encode() == header and any(fnmatchcase(text, pattern) for pattern in family.match):
            return family
    return None


def named_run(named: Named) -> RunClaim | None:
    """The run that a client's own headers name. A value that is no label is as good as none."""
    if _NAMING.isdisjoint(named):
        return None
    for headers in RUN_HEADERS:
        if (claim := _claim(headers, named)) is not None:
            return claim
    return None


def _claim(headers: RunHeaders, named: Named) -> RunClaim | None:
    run, child, parent = _value(named, headers.run), _value(named, headers.child), _value(named, headers.parent)
    if headers.child_within_run:
        if run is None:
            return None
        child = label(f"{run}:{child}") if child is not None else None
        parent = label(f"{run}:{parent}") if child is not None and parent is not None else None
    if child is not None:
        starter = run if parent in (None, child) else parent
        return RunClaim(child, None if starter == child else starter, headers.child)
    return None if run is None else RunClaim(run, None if parent == run else parent, headers.run)


def _value(named: Named, header: str) -> str | None:
    value = named.get(header.encode())
    return None if value is None else label(value.decode("latin-1"))


def for_client(refusal: Refusal, named: Named, caller: Caller) -> Refusal:
    """A denial in the status and the words that stop this client at once; its key may say which status."""
    family = family_of(named)
    status, message, detail = caller.denial_status, refusal.message, refusal.detail
    if family is not None:
        status = status or family.status
        if family.plain:
            message, detail = _LIKE_A_STATUS.sub(_JOINER, message), {}
    return Refusal(refusal.kind, status or refusal.status, message, code=refusal.code, param=refusal.param, detail=detail)


def takes_failed_event(named: Named, caller: Caller) -> bool:
    """Is a denial of its streamed Responses request an event of the stream?"""
    family = family_of(named)
    return caller.denial_status is None and family is not None and family.failed_event
