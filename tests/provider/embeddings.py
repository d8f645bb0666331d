"""OpenAI Embeddings and the model lists of both providers."""

import base64
import hashlib
import math
import random
import struct
from typing import Any

from tests.provider.errors import ApiError
from tests.provider.journal import Bill
from tests.provider.prompt import Prompt, Segment, tokens

DIMENSIONS = 1536
CREATED = 1_750_000_000
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-5.4", "gpt-5.4-mini", "text-embedding-3-small", "gemini-3.1-pro-preview")
CLAUDES = ("claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-8")


def read(body: dict[str, Any]) -> tuple[Prompt, list[str]]:
    """The prompt, and each input as text. Raises ApiError."""
    if not isinstance(body.get("model"), str):
        raise ApiError(400, "you must provide a model parameter")
    given = body.get("input")
    many: list[Any] = given if isinstance(given, list) and not (given and isinstance(given[0], int)) else [given]
    if not many or any(item in (None, "", []) for item in many):
        raise ApiError(
            400, "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        )
    segments = tuple(Segment(str(item), tokens(item) if isinstance(item, str) else len(item)) for item in many)
    return Prompt(body["model"], False, segments, ()), [segment.content for segment in segments]


def answer(body: dict[str, Any], inputs: list[str], bill: Bill, usage_forced: dict[str, Any] | None) -> dict[str, Any]:
    """Vectors that depend on nothing but the text: unit length, the same in both encodings."""
    size = body.get("dimensions") or DIMENSIONS
    data = []
    for index, text in enumerate(inputs):
        packed = _vector(text, size)
        value: Any = (
            base64.b64encode(packed).decode()
            if body.get("encoding_format") == "base64"
            else list(struct.unpack(f"<{size}f", packed))
        )
        data.append({"object": "embedding", "index": index, "embedding": value})
    return {"object": "list", "data": data, "model": body["model"], "usage": usage_forced or usage(bill)}


def _vector(text: str, size: int) -> bytes:
    chance = random.Random(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    raw = [chance.gauss(0, 1) for _ in range(size)]
    length = math.sqrt(sum(x * x for x in raw))
    return struct.pack(f"<{size}f", *(x / length for x in raw))


def usage(bill: Bill) -> dict[str, Any]:
    """Embeddings have no output."""
    return {"prompt_tokens": bill.input, "total_tokens": bill.input}


def bill_of(usage_: dict[str, Any]) -> Bill:
    """What a usage object that a script forces costs."""
    return Bill(input=usage_.get("prompt_tokens") or 0)


def models(flavour: str) -> dict[str, Any]:
    """`GET /v1/models`."""
    if flavour == "anthropic":
        data = [_claude(name) for name in CLAUDES]
        return {"data": data, "has_more": False, "first_id": CLAUDES[0], "last_id": CLAUDES[-1]}
    return {"object": "list", "data": [_model(name) for name in MODELS]}


def model(flavour: str, name: str) -> dict[str, Any]:
    """`GET /v1/models/{name}`. Raises ApiError 404."""
    if name not in (CLAUDES if flavour == "anthropic" else MODELS):
        raise ApiError(404)
    return _claude(name) if flavour == "anthropic" else _model(name)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}


def _claude(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": "2025-09-29T00:00:00Z",
        "lifecycle": "active",
    }
