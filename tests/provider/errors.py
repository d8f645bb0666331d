"""Error bodies as the providers write them, by flavour (openai, azure, gemini, anthropic) and status."""

import json
from dataclasses import dataclass

CLOUDFLARE_STATUSES = frozenset({502, 504, 520, 522, 524})
"""Statuses that come from the edge before the provider: an HTML page, not JSON."""

_PAGE = (
    "<html>\r\n<head><title>{status} error</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n"
    "<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
)
_OPENAI = {
    400: ("invalid_request_error", None, "Invalid request."),
    401: (
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided: sk-wrong. You can find your API key at https://platform.openai.com/account/api-keys.",
    ),
    402: (
        "invalid_request_error",
        "billing_not_active",
        "Your account is not active, please check your billing details on our website.",
    ),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Country, region, or territory not supported"),
    404: ("invalid_request_error", "model_not_found", "The model `{model}` does not exist or you do not have access to it."),
    413: ("invalid_request_error", "request_too_large", "Request too large."),
    429: (
        "tokens",
        "rate_limit_exceeded",
        (
            "Rate limit reached for {model} in organization org-stand-in on tokens per min (TPM): Limit 30000, Used 29980, "
            "Requested 512. Please try again in 984ms. Visit https://platform.openai.com/account/rate-limits to learn more."
        ),
    ),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("server_error", "server_is_overloaded", "Our servers are currently overloaded. Please try again later."),
}
_OPENAI_CODES = {
    "insufficient_quota": (
        "insufficient_quota",
        (
            "You exceeded your current quota, please check your plan and billing details. For more information on "
            "this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
        ),
    ),
    "context_length_exceeded": (
        "invalid_request_error",
        (
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens. "
            "Please reduce the length of the messages."
        ),
    ),
}
_ANTHROPIC = {
    400: ("invalid_request_error", "Invalid request."),
    401: ("authentication_error", "invalid x-api-key"),
    402: (
        "billing_error",
        (
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or "
            "purchase credits."
        ),
    ),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "model: {model}"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit of 30,000 input tokens per minute."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}
_AZURE = {
    401: (
        "401",
        (
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active "
            "subscription and use a correct regional API endpoint for your resource."
        ),
    ),
    404: (
        "DeploymentNotFound",
        (
            "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
            "please wait a moment and try again."
        ),
    ),
    429: (
        "429",
        (
            "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded token rate limit "
            "of your current OpenAI S0 pricing tier. Please retry after 6 seconds."
        ),
    ),
}
_GEMINI = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


@dataclass
class ApiError(Exception):
    """A refusal of the provider. `message` None: the provider's usual words for the status."""

    status: int
    message: str | None = None
    code: str | None = None
    param: str | None = None
    retry_after: int | str | None = None


def error_body(flavour: str, error: ApiError, model: str, request_id: str) -> tuple[str, bytes]:
    """(content type, body) of an error."""
    if error.status in CLOUDFLARE_STATUSES:
        return "text/html; charset=UTF-8", _PAGE.format(status=error.status).encode()
    if flavour == "anthropic":
        document: object = {**anthropic_error(error, model), "request_id": request_id}
        return "application/json", json.dumps(document, separators=(",", ":")).encode()
    if flavour == "gemini":
        status = _GEMINI.get(error.status, "UNKNOWN")
        document = [{"error": {"code": error.status, "message": error.message or status, "status": status}}]
    elif flavour == "azure" and error.message is None:
        code, words = _AZURE.get(error.status, (str(error.status), "The server had an error processing your request."))
        document = {"error": {"code": code, "message": words}}
    else:
        document = openai_error(error, model)
    return "application/json", json.dumps(document, indent=2).encode()


def openai_error(error: ApiError, model: str) -> dict[str, object]:
    """OpenAI's error object, also the data of its error event in a stream."""
    kind, code, words = _OPENAI.get(error.status, _OPENAI[400 if error.status < 500 else 500])
    if error.code in _OPENAI_CODES:
        kind, words = _OPENAI_CODES[error.code]
    if error.message is not None and error.code is None:
        code = None
    message = error.message or words.replace("{model}", model)
    return {"error": {"message": message, "type": kind, "param": error.param, "code": error.code or code}}


def anthropic_error(error: ApiError, model: str) -> dict[str, object]:
    """Anthropic's error object, also the data of its error event in a stream."""
    kind, words = _ANTHROPIC.get(error.status, _ANTHROPIC[400 if error.status < 500 else 500])
    return {"type": "error", "error": {"type": error.code or kind, "message": error.message or words.replace("{model}", model)}}
