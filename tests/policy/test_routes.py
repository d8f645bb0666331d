"""What the operator says of routing: mistakes are told with the table and the remedy."""

import msgspec
import pytest

from jevons.core.routed import Stage
from jevons.policy.routes import Route, TaskClass, check

OFFERED = {"small", "large", "gpt-5", "student/intents"}
LANGUAGES = {"es", "en"}
FINE = Route("fine", ("small", "large"))
CODE = TaskClass("code", ("Fix this function.",))


def test_what_is_right_is_taken() -> None:
    judged = Route(
        "judged", ("small", "large"), choose="cascade", stage=Stage.SHADOW, grader="judge", judge="gpt-5", classes=("code",)
    )
    taught = Route("taught", ("student/intents", "large"), choose="learned", stage=Stage.FULL)
    check((FINE, judged, taught, Route("spanish", ("small",), languages=("es",))), (CODE,), OFFERED.__contains__, LANGUAGES)
    check((), (), OFFERED.__contains__, ())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"to": ()}, "`to` is empty"),
        ({"to": ("gpt-*",)}, "'gpt-\\*' is a pattern"),
        ({"to": ("tiny", "large")}, "no upstream offers 'tiny'. Add it"),
        ({"to": ("auto", "large")}, "no upstream offers 'auto'; a route cannot lead to a name that routes take"),
        ({"models": ("cheap",), "to": ("cheap",)}, "no upstream offers 'cheap'; a route cannot lead"),
        ({"to": ("large", "large")}, "twice"),
        ({"to": ("large", "student/intents")}, "cannot be a student"),
        ({"to": ("student/intents", "large")}, 'choose = "learned"'),
        ({"to": ("student/intents", "large"), "choose": "cascade"}, 'a student tells no confidence .* choose = "learned"'),
        ({"to": ("student/intents", "large"), "choose": "learned", "grader": "feedback"}, 'grader = "feedback" asks somebody'),
        ({"choose": "cascade", "stage": Stage.SHARE, "grader": "judge", "judge": "gpt-5"}, 'grader = "judge" judges .* shown'),
        ({"choose": "cascade", "stage": Stage.FULL, "grader": "feedback"}, 'or stage = "shadow"'),
        ({"to": ("large",), "choose": "learned"}, 'choose = "learned" needs at least two'),
        ({"to": ("large",), "choose": "cascade"}, 'choose = "cascade" needs at least two'),
        ({"min_tokens": 9, "max_tokens": 8}, "min_tokens is 9, more than max_tokens, 8"),
        ({"classes": ("code", "poems")}, "no \\[\\[classes\\]\\] table has the name 'poems'"),
        ({"languages": ("es", "xx")}, "'xx' is no language"),
        ({"sample_usd_day": "-1"}, "sample_usd_day is -1"),
        ({"latency_usd_s": "much"}, "'much' is not an amount"),
        ({"grader": "judge"}, 'judge = "MODEL"'),
        ({"to": ("student/nope", "large")}, "a student answers only where that is promised"),
        ({"to": ("small", "gpt-5", "large"), "choose": "cascade"}, "takes two models in `to`, not 3"),
    ],
)
def test_what_is_wrong_is_told(change: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=f"route 'fine': .*{told}"):
        check((msgspec.structs.replace(FINE, **change),), (CODE,), OFFERED.__contains__, LANGUAGES)


def test_names_are_there_once() -> None:
    with pytest.raises(ValueError, match=r"routes: .*'fine' is there 2 times"):
        check((FINE, FINE), (), OFFERED.__contains__, ())
    with pytest.raises(ValueError, match=r"classes: .*'code' is there 2 times"):
        check((), (CODE, CODE), OFFERED.__contains__, ())
    for name in ("", "off", "two words", "-", "n" * 65):
        with pytest.raises(ValueError, match=r"routes: .* cannot be a name"):
            check((Route(name, ("small",)),), (), OFFERED.__contains__, ())


def test_a_class_has_examples() -> None:
    with pytest.raises(ValueError, match="class 'code' has no examples"):
        check((), (TaskClass("code", (" ",)),), OFFERED.__contains__, ())
