"""AWS Signature Version 4: one request in, its `authorization` header out. Pure: no clock, no environment.

Source: AWS General Reference, "Create a signed AWS API request"; the tests hold AWS's published vectors.
Does not know: S3's exceptions (it signs paths as all other services want them: percent-encoded twice), chunked uploads.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import quote, unquote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"


def authorization(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    service: str,
) -> str:
    """Value of the `authorization` header.

    `headers` are those to be signed: at least `host` and `x-amz-date` (ISO basic: 20150830T123600Z). Raises KeyError without
    the date.
    """
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    names = ";".join(sorted(signed))
    parts = urlsplit(url)
    canonical = "\n".join(
        [
            method,
            quote(parts.path or "/", safe="/-_.~"),
            _canonical_query(parts.query),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            sha256(body).hexdigest(),
        ]
    )
    date = signed["x-amz-date"]
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    message = "\n".join([ALGORITHM, date, scope, sha256(canonical.encode()).hexdigest()])
    signature = hmac.new(signing_key(secret_key, date[:8], region, service), message.encode(), sha256).hexdigest()
    return f"{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"


def signing_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    """Key of one day (YYYYMMDD), region and service."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), sha256).digest()
    return key


def host_of(url: str) -> str:
    """The `host` header that an HTTP client sends for a URL."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, default) else f"{host}:{parts.port}"


def _canonical_query(query: str) -> str:
    pairs = []
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        pairs.append((quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))
