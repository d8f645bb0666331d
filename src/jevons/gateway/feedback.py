"""What a client says of an answer that it was given, or of how an agent's run ended: `POST /jevons/v1/feedback`.

Comes in: an authenticated caller and its words. Goes out: labels, on disk and learnt, once each; what was said first stands. It may come days
later: who answered is read from the ledger. Nobody learns whether another organisation has made a request. Does not know: what labels are good for.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Annotated

import msgspec

from jevons.core.ask import Caller
from jevons.core.entry import parse_request_text, request_text
from jevons.core.features import Features
from jevons.core.label import Label
from jevons.core.limits import FEEDBACK_BYTES_MAX, FEEDBACK_PER_MINUTE_MAX, FEEDBACK_RUN_ANSWERS_MAX
from jevons.core.refusal import Kind, Refusal, invalid
from jevons.gateway.pace import PerMinute
from jevons.ledger.ledger import Ledger
from jevons.ledger.ops import Labelled
from jevons.ledger.routing import Answered, answered, answered_in_run, label_of

PATH = "/jevons/v1/feedback"
GRADER = "feedback"
GOOD_FROM = 0.5
"""A score from here on is a good answer."""


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said, of a request or of a run."""

    request: str | None = None
    """req_…, as `x-jevons-request-id` says it."""
    run: str | None = None
    """One of the caller's own key."""
    good: bool | None = None
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """In place of `good`."""
    model: str | None = None
    """Who is believed to have answered; another than did is an error."""


_words = msgspec.json.Decoder(Words).decode


class Feedback:
    """One for all. Lives on one event loop."""

    def __init__(self, ledger: Ledger, learn: Callable[[Label], None]) -> None:
        """`learn` is told of every label once it is on disk."""
        self._ledger = ledger
        self._learn = learn
        self._one_at_a_time = asyncio.Lock()
        """Between looking for an earlier label and writing one nobody else does."""
        self._pace = PerMinute(FEEDBACK_PER_MINUTE_MAX, "words of feedback")

    async def take(self, caller: Caller, body: bytes) -> bytes:
        """Returns the answer as JSON. Raises Refusal (400, 404, 413, 429), LedgerUnavailable, LedgerError."""
        self._pace.take(caller.key_id)
        words, good = _read(body)
        if words.run is not None:
            return await self._of_run(caller, words.run, good)
        assert words.request is not None
        return await self._of_request(caller, words.request, good, words.model)

    async def _of_request(self, caller: Caller, text: str, good: bool, model: str | None) -> bytes:
        first = parse_request_text(text)
        found = None if first is None else await asyncio.to_thread(answered, self._ledger.path, first)
        if found is None or self._ledger.by_id[found.key_id].settings.org != caller.org:
            raise Refusal(
                Kind.NOT_FOUND, 404, f"There is no answered request {text!r} of this organisation.", code="unknown_request"
            )
        if model is not None and model not in (found.model, found.target):
            raise invalid(f"{text} was answered by {found.model!r}, not by {model!r}.", param="model", code="another_model")
        earlier = await self._label(found, caller, good)
        said = earlier.good if earlier is not None else good
        return msgspec.json.encode(
            {"request": request_text(found.request), "model": found.model, "good": said, "recorded": earlier is None}
        )

    async def _of_run(self, caller: Caller, run: str, good: bool) -> bytes:
        """How a run ended speaks for each of its answers that was routed."""
        most = FEEDBACK_RUN_ANSWERS_MAX
        found = await asyncio.to_thread(answered_in_run, self._ledger.path, caller.key_id, run, most)
        routed = [one for one in found if one.routed is not None and one.routed.route]
        if not routed:
            raise Refusal(Kind.NOT_FOUND, 404, f"There is no run {run!r} of this key with routed answers.", code="unknown_run")
        new = [await self._label(one, caller, good) is None for one in routed]
        return msgspec.json.encode({"run": run, "answers": len(routed), "good": good, "recorded": sum(new)})

    async def _label(self, found: Answered, caller: Caller, good: bool) -> Label | None:
        """Write the label. What was said of this answer before stands, and is returned. Raises LedgerUnavailable."""
        async with self._one_at_a_time:
            earlier = await asyncio.to_thread(label_of, self._ledger.path, found.request, found.model, GRADER)
            if earlier is not None:
                return earlier
            label = _label(found, caller.org, good)
            await self._ledger.writer.submit(Labelled(label))
            self._learn(label)
            return None


def _read(body: bytes) -> tuple[Words, bool]:
    """What is said, and whether that is good. Raises Refusal."""
    if len(body) > FEEDBACK_BYTES_MAX:
        raise Refusal(Kind.TOO_LARGE, 413, f"Feedback has at most {FEEDBACK_BYTES_MAX} bytes.", code="request_too_large")
    try:
        words = _words(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"This is no feedback: {error}.") from None
    if (words.request is None) == (words.run is None):
        raise invalid('Say of what: either "request" (the x-jevons-request-id of an answer) or "run".', param="request")
    if (words.good is None) == (words.score is None):
        raise invalid('Say either "good" (true or false) or "score" (0 to 1).', param="good")
    return words, words.good if words.good is not None else (words.score or 0.0) >= GOOD_FROM


def _label(found: Answered, org: str, good: bool) -> Label:
    routed = found.routed
    options = routed.options if routed is not None else ()
    return Label(
        request=found.request,
        key_id=found.key_id,
        org=org,
        route=routed.route if routed is not None else "",
        model=found.model,
        reference="",
        good=good,
        harm=not good,
        grader=GRADER,
        weight=1.0,
        score=next((one.score for one in options if one.model == found.model), None),
        shown=True,
        at_ms=int(time.time() * 1000),
        features=routed.features if routed is not None else Features(),
    )
