"""Which status a budget denial takes for which client family. The table is data/denials.toml; a key may override it."""

import tomllib
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources

import msgspec

from jevons.core.ask import Caller
from jevons.core.refusal import Refusal


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Clients that are told apart by one header, and the status that stops them at once."""

    name: str
    header: str
    match: tuple[str, ...]
    status: int


@lru_cache(maxsize=1)
def families() -> tuple[Family, ...]:
    text = resources.files("jevons.gateway").joinpath("data/denials.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["family"], tuple[Family, ...])


def status_for(headers: list[tuple[bytes, bytes]], key_status: int | None) -> int | None:
    """The status of a budget denial for this client, or None for the default."""
    if key_status is not None:
        return key_status
    for family in families():
        for name, value in headers:
            if name.decode("latin-1") == family.header and any(
                fnmatchcase(value.decode("latin-1").lower(), p) for p in family.match
            ):
                return family.status
    return None


def for_client(refusal: Refusal, headers: list[tuple[bytes, bytes]], caller: Caller) -> Refusal:
    """The refusal as this client is to hear it: a budget denial in the status that stops it at once."""
    status = status_for(headers, caller.denial_status) or refusal.status
    return Refusal(refusal.kind, status, refusal.message, code=refusal.code, param=refusal.param, detail=refusal.detail)
