"""How a request to an upstream is authenticated: bearer, header, command, aws-sigv4, client, none.

Comes in: an upstream's settings, then each request. Goes out: the headers that carry the credential. No secret stands in a repr,
an error or a log. Does not know: HTTP clients, retries; after a 401 the caller says `rejected()`.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from jevons.core.limits import AUTH_COMMAND_TIMEOUT_S
from jevons.core.refusal import Kind, Refusal
from jevons.gateway.auth_command import TokenCommand
from jevons.gateway.settings import UpstreamSettings
from jevons.gateway.sigv4 import authorization, host_of
from jevons.ledger.keys import KEY_PREFIX

Header = tuple[str, str]
Sent = Iterable[tuple[bytes, bytes]]
"""The client's own headers, lower-case names, as ASGI gives them."""
Secret = Callable[[], str]

CLIENT_HEADERS = (b"authorization", b"x-api-key", b"api-key")
"""Where SDKs put their provider's credential."""


class Credential(Protocol):
    """Signs requests to one upstream."""

    async def headers(self, method: str, url: str, body: bytes, client: Sent) -> list[Header]:
        """Headers to add to this request. Raises Refusal (401, 503) if there is no credential to send."""
        ...

    def rejected(self) -> None:
        """The upstream answered 401 or 403: what can be renewed is renewed before the next request."""
        ...


class Static:
    """A credential that does not change, in one header."""

    def __init__(self, name: str, secret: Secret, scheme: str = "") -> None:
        self._name, self._secret, self._scheme = name, secret, scheme

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    async def headers(self, method: str, url: str, body: bytes, client: Sent) -> list[Header]:
        secret = self._secret()
        if not secret:
            raise Refusal(Kind.UNAVAILABLE, 503, "The upstream's key is empty; its operator must set it.", code="no_upstream_key")
        return [(self._name, self._scheme + secret)]

    def rejected(self) -> None:
        pass


class Bearer(Static):
    """`authorization: Bearer <key>`; the key is asked for at each request, since the local engine's changes with its restarts."""

    def __init__(self, secret: Secret) -> None:
        super().__init__("authorization", secret, "Bearer ")


class Command:
    """A token that a program prints, renewed before it expires and after a rejection."""

    def __init__(self, command: TokenCommand, name: str = "authorization") -> None:
        self._command, self._name = command, name

    def __repr__(self) -> str:
        return f"Command({self._command!r}, {self._name!r})"

    async def headers(self, method: str, url: str, body: bytes, client: Sent) -> list[Header]:
        token = await self._command.token()
        return [(self._name, f"Bearer {token}" if self._name == "authorization" else token)]

    def rejected(self) -> None:
        self._command.rejected()


class SigV4:
    """AWS Signature Version 4 over host, date, body hash and session token."""

    def __init__(
        self,
        service: str,
        region: str,
        access_key: str,
        secret_key: str,
        session_token: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._service, self._region, self._clock = service, region, clock
        self._access_key, self._secret_key, self._session_token = access_key, secret_key, session_token

    def __repr__(self) -> str:
        return f"SigV4({self._service!r}, {self._region!r})"

    async def headers(self, method: str, url: str, body: bytes, client: Sent) -> list[Header]:
        own = {"x-amz-date": self._clock().strftime("%Y%m%dT%H%M%SZ")}
        if self._session_token:
            own["x-amz-security-token"] = self._session_token
        signature = authorization(
            method,
            url,
            {"host": host_of(url), **own},
            body,
            access_key=self._access_key,
            secret_key=self._secret_key,
            region=self._region,
            service=self._service,
        )
        return [*own.items(), ("authorization", signature)]

    def rejected(self) -> None:
        pass


class Client:
    """The client's own credential (an API key, a subscription's token), passed on and never stored."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream

    def __repr__(self) -> str:
        return f"Client({self._upstream!r})"

    async def headers(self, method: str, url: str, body: bytes, client: Sent) -> list[Header]:
        """Raises Refusal (401) if the client sent none of its own."""
        own = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in own_credential(client)]
        if not own:
            raise Refusal(
                Kind.AUTHENTICATION,
                401,
                f"Upstream {self._upstream!r} is called with your own credential. Send it as `Authorization` or `x-api-key`, and "
                "the Jevons key in `x-jevons-key` or in the base URL (/k/<key>).",
                code="no_client_credential",
            )
        return own

    def rejected(self) -> None:
        pass


class Nothing:
    """An upstream that asks for no credential."""

    def __repr__(self) -> str:
        return "Nothing()"

    async def headers(self, method: str, url: str, body: bytes, client: Sent) -> list[Header]:
        return []

    def rejected(self) -> None:
        pass


def own_credential(client: Sent) -> list[tuple[bytes, bytes]]:
    """The client's own credential among its headers; a Jevons key is never passed on."""
    return [
        (name, value)
        for name, value in client
        if name in CLIENT_HEADERS and not value.rpartition(b" ")[2].startswith(KEY_PREFIX.encode())
    ]


def credential_for(settings: UpstreamSettings, environ: Mapping[str, str] = os.environ) -> Credential:
    """The credential that an upstream's settings describe. Raises ValueError naming what is missing, never what is there."""
    auth = settings.auth or settings.defaults.auth
    where = f"upstream {settings.name!r}"
    if auth == "none":
        return Nothing()
    if auth == "client":
        return Client(settings.name)
    header = (settings.header or settings.defaults.header).lower()
    if auth == "command":
        if not settings.command:
            raise ValueError(f'{where} has auth = "command" and no command')
        command = TokenCommand(settings.name, settings.command, float(settings.command_ttl_s), AUTH_COMMAND_TIMEOUT_S)
        return Command(command, settings.header.lower() or "authorization")
    if auth == "aws-sigv4":
        return _sigv4(settings, environ, where)
    key = _key(settings, environ, where)
    if auth == "bearer":
        return Bearer(lambda: key)
    if not header:
        raise ValueError(f'{where} has auth = "header" and no header')
    return Static(header, lambda: key)


def credentials_for(settings: UpstreamSettings, environ: Mapping[str, str] = os.environ) -> tuple[Credential, ...]:
    """All of an upstream's credentials, in order. Raises ValueError naming what is missing."""
    if not settings.key_envs:
        return (credential_for(settings, environ),)
    if settings.key or settings.key_env or (settings.auth or settings.defaults.auth) not in ("bearer", "header"):
        raise ValueError(
            f"upstream {settings.name!r} has key_envs: its keys come from these alone, and are sent as bearer or header"
        )
    single = [msgspec.structs.replace(settings, key_env=name, key_envs=()) for name in settings.key_envs]
    return tuple([credential_for(one, environ) for one in single])


def _key(settings: UpstreamSettings, environ: Mapping[str, str], where: str) -> str:
    variable = settings.key_env or settings.defaults.key_env
    key = (settings.key or environ.get(variable, "")).strip()
    if not key:
        hint = f"set the environment variable {variable}" if variable else "name one with key_env"
        raise ValueError(f'{where} has no key: {hint}, or write auth = "none" if it needs none')
    if not (key.isascii() and key.isprintable()) or " " in key:
        source = f"environment variable {variable}" if not settings.key else "setting `key`"
        raise ValueError(f"{where}: the key in the {source} has characters that no header can carry")
    return key


def _sigv4(settings: UpstreamSettings, environ: Mapping[str, str], where: str) -> SigV4:
    region = settings.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION", "")
    if not region:
        raise ValueError(f"{where} has no region: set `region`, or the environment variable AWS_REGION")
    missing = [name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if not environ.get(name)]
    if missing:
        raise ValueError(f"{where} is signed with AWS keys: set the environment variable {' and '.join(missing)}")
    return SigV4(
        settings.service or "bedrock",
        region,
        environ["AWS_ACCESS_KEY_ID"],
        environ["AWS_SECRET_ACCESS_KEY"],
        environ.get("AWS_SESSION_TOKEN", ""),
    )
