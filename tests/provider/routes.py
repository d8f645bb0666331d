"""Which door a request means, and who knocks: paths, credentials and bodies of every provider."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from tests.provider.errors import ApiError
from tests.provider.http1 import Request

DOORS = {
    ("POST", "chat/completions"): "chat",
    ("POST", "responses"): "responses",
    ("POST", "embeddings"): "embeddings",
    ("POST", "messages"): "messages",
    ("POST", "messages/count_tokens"): "count_tokens",
    ("GET", "models"): "models",
}
NAMED_DOORS = {("GET", "models"): "model", ("GET", "responses"): "stored", ("DELETE", "responses"): "delete"}

_NO_KEY = {
    "anthropic": "x-api-key header is required",
    "openai": "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY).",
}
_NOT_JSON = (
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. "
    "The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
)


@dataclass(frozen=True)
class Route:
    """What a target means: `door` (chat, responses, …), `flavour` (openai, azure, gemini, anthropic), the rest of the path."""

    door: str
    flavour: str
    rest: str = ""
    deployment: str | None = None


def route(request: Request) -> Route:
    """Finds the door. Raises ApiError 404."""
    path, _, query = request.target.partition("?")
    flavour = "anthropic" if request.header("anthropic-version") or path.startswith("/v1/messages") else "openai"
    deployment, rest = None, ""
    if path.startswith("/openai/deployments/"):
        deployment, _, rest = path.removeprefix("/openai/deployments/").partition("/")
        flavour = "azure"
    elif path.startswith("/v1beta/openai/"):
        flavour, rest = "gemini", path.removeprefix("/v1beta/openai/")
    elif path.startswith("/openai/"):
        flavour, rest = "azure", path.removeprefix("/openai/").removeprefix("v1/")
    elif path.startswith("/v1/"):
        rest = path.removeprefix("/v1/")
    if flavour == "azure" and not path.startswith("/openai/v1/") and "api-version" not in parse_qs(query):
        raise ApiError(404, "Resource not found", "404")
    if (request.method, rest) in DOORS:
        return Route(DOORS[request.method, rest], flavour, deployment=deployment)
    kind, _, name = rest.partition("/")
    if name and (request.method, kind) in NAMED_DOORS:
        return Route(NAMED_DOORS[request.method, kind], flavour, name)
    raise ApiError(404, f"Invalid URL ({request.method} {path})")


def credential(request: Request, flavour: str) -> str:
    """The caller's key. Raises ApiError 401."""
    bearer = (request.header("authorization") or "").removeprefix("Bearer ")
    key = bearer or request.header("x-api-key") or request.header("api-key") or request.header("x-goog-api-key") or ""
    if not key:
        raise ApiError(401, _NO_KEY["anthropic" if flavour == "anthropic" else "openai"])
    if "wrong" in key:
        raise ApiError(401)
    return key


def parse_body(request: Request, found: Route) -> dict[str, Any]:
    """The JSON body; an Azure deployment stands in for its model. Raises ApiError 400 (a missing version too, for Anthropic)."""
    if found.flavour == "anthropic" and not request.header("anthropic-version"):
        raise ApiError(400, "anthropic-version: header is required")
    try:
        body = json.loads(bytes(request.body))
    except ValueError as error:
        raise ApiError(400, _NOT_JSON) from error
    if not isinstance(body, dict):
        raise ApiError(400, "Invalid type for request body: expected an object.")
    return body if found.deployment is None else {**body, "model": found.deployment}
