"""Which route takes a request: by name and caller first, then by what the request is; the first that fits."""

import msgspec
import pytest

from jevons.core.features import Features
from jevons.policy.matching import Needs, claiming, fitting, needs
from jevons.policy.routes import Route
from jevons.policy.rules import Who

WHO = Who("acme", "search", 1, "alice", "codex")
TO = ("small", "large")


@pytest.mark.parametrize(
    ("limits", "asked", "taken"),
    [
        ({}, "auto", True),
        ({}, "gpt-5", False),
        ({"models": ("gpt-*", "auto")}, "gpt-5", True),
        ({"models": ("claude-opus[1m]",)}, "claude-opus[1m]", True),
        ({"orgs": ("acme",)}, "auto", True),
        ({"orgs": ("others",)}, "auto", False),
        ({"teams": ("s*",), "keys": ("alice", "bob")}, "auto", True),
        ({"teams": ("s*",), "keys": ("bob",)}, "auto", False),
        ({"agents": ("codex",)}, "auto", True),
        ({"agents": ("claude-code",)}, "auto", False),
    ],
)
def test_by_name_and_caller(limits: dict[str, tuple[str, ...]], asked: str, taken: bool) -> None:
    route = msgspec.structs.replace(Route("r", TO), **limits)
    assert claiming((route,), asked, WHO) == ((route,) if taken else ())


@pytest.mark.parametrize(
    ("limits", "features", "taken"),
    [
        ({}, Features(), True),
        ({"languages": ("es", "pt")}, Features(language="es"), True),
        ({"languages": ("es",)}, Features(language="en"), False),
        ({"languages": ("es",)}, Features(), False),
        ({"classes": ("code",)}, Features(task="code"), True),
        ({"classes": ("code",)}, Features(), False),
        ({"tools": True}, Features(tools=2), True),
        ({"tools": True}, Features(), False),
        ({"tools": False}, Features(), True),
        ({"tools": False}, Features(tools=1), False),
        ({"min_tokens": 100}, Features(input_tokens=100), True),
        ({"min_tokens": 100}, Features(input_tokens=99), False),
        ({"max_tokens": 100}, Features(input_tokens=100), True),
        ({"max_tokens": 100}, Features(input_tokens=101), False),
        ({"modalities": ("image",)}, Features(modalities=("image",)), True),
        ({"modalities": ("image",)}, Features(), False),
        ({"modalities": ("image",)}, Features(modalities=("file", "image")), False),
        ({"modalities": ("text",)}, Features(), True),
        ({"modalities": ("text",)}, Features(modalities=("image",)), False),
        ({"modalities": ("text", "image")}, Features(modalities=("image",)), True),
        ({"modalities": ("text", "image")}, Features(), True),
    ],
)
def test_by_what_it_is(limits: dict[str, object], features: Features, taken: bool) -> None:
    route = msgspec.structs.replace(Route("r", TO), **limits)
    assert fitting((route,), features) is (route if taken else None)


def test_the_first_that_fits_takes_it() -> None:
    spanish, tools, rest = Route("spanish", TO, languages=("es",)), Route("tools", TO, tools=True), Route("rest", TO)
    routes = claiming((spanish, Route("other", TO, keys=("bob",)), tools, rest), "auto", WHO)
    assert routes == (spanish, tools, rest)
    assert fitting(routes, Features(language="es", tools=1)) is spanish
    assert fitting(routes, Features(tools=1)) is tools
    assert fitting(routes, Features()) is rest
    assert fitting((), Features()) is None


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ({}, Needs(body=False, language=False, task=False)),
        ({"languages": ("es",)}, Needs(body=False, language=True, task=False)),
        ({"classes": ("code",)}, Needs(body=False, language=False, task=True)),
        ({"tools": False}, Needs(body=True, language=False, task=False)),
        ({"modalities": ("text",)}, Needs(body=True, language=False, task=False)),
        ({"min_tokens": 1}, Needs(body=True, language=False, task=False)),
        ({"max_tokens": 1}, Needs(body=True, language=False, task=False)),
    ],
)
def test_what_must_be_read_for_it(limits: dict[str, object], wanted: Needs) -> None:
    assert needs((Route("any", TO), msgspec.structs.replace(Route("r", TO), **limits))) == wanted
