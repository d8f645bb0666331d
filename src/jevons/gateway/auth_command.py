"""A program that prints a token: run when needed, once for all who wait, and ahead of expiry.

Comes in: the program and how long its token is good. Goes out: the token. It may print the token alone, or JSON with it and its
expiry (`az account get-access-token`, kubectl's ExecCredential, OAuth token answers); a JWT's own `exp` counts as well.
The token never stands in an error or a repr; what looks like a secret in the program's error output is blotted out.
Does not know: headers, upstreams.
"""

import asyncio
import base64
import binascii
import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from jevons.core.limits import AUTH_OUTPUT_BYTES_MAX, AUTH_REFRESH_AHEAD_S, AUTH_REJECTED_INTERVAL_S
from jevons.core.refusal import Kind, Refusal

_SECRET = re.compile(r"[A-Za-z0-9_+=-]{20,}")
_ERROR_TAIL_CHARS = 300


class TokenCommand:
    """Keeps one token fresh. Bound to the event loop that first asks for it."""

    def __init__(
        self, name: str, argv: Sequence[str], ttl_s: float, timeout_s: float, wall: Callable[[], float] = time.time
    ) -> None:
        self._name, self._argv, self._ttl_s, self._timeout_s, self._wall = name, tuple(argv), ttl_s, timeout_s, wall
        self._token = ""
        self._made_s = self._renew_s = self._expires_s = 0.0
        self._failed = ""
        self._failed_s = 0.0
        self._running: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"TokenCommand({self._name!r}, {self._argv[0]!r})"

    async def token(self) -> str:
        """A token that has not expired. Raises Refusal (503) if the program fails, for all who ask within some seconds."""
        now = self._wall()
        if now < self._expires_s:
            if now >= self._renew_s:
                self._renew_s = now + AUTH_REJECTED_INTERVAL_S  # if it fails, the next try is that far away
                self._start()
            return self._token
        if self._failed and now - self._failed_s < AUTH_REJECTED_INTERVAL_S:
            raise _refusal(self._failed)
        await asyncio.shield(self._start())  # one waiter's leaving does not stop it for the others
        if self._failed:
            raise _refusal(self._failed)
        return self._token

    def rejected(self) -> None:
        """The upstream refused the token: the next request gets a new one, unless this one was made a moment ago."""
        if self._wall() - self._made_s >= AUTH_REJECTED_INTERVAL_S:
            self._expires_s = 0.0

    def _start(self) -> asyncio.Task[None]:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run(), name=f"credential of {self._name}")
        return self._running

    async def _run(self) -> None:
        """Never raises: a failure is kept for those who wait; who has a token that still holds does not hear of it."""
        try:
            token, lifetime_s = self._read(await self._output())
        except Refusal as failed:
            self._failed, self._failed_s = failed.message, self._wall()
            return
        self._failed, self._token, self._made_s = "", token, self._wall()
        self._expires_s = self._made_s + lifetime_s
        self._renew_s = self._made_s + max(lifetime_s - AUTH_REFRESH_AHEAD_S, lifetime_s / 2)

    async def _output(self) -> bytes:
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv, stdin=nothing, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except OSError as error:
            raise self._fault(f"cannot be started: {error.strerror}") from None
        assert process.stdout is not None
        assert process.stderr is not None
        ended = False
        try:
            async with asyncio.timeout(self._timeout_s):
                out, err = await asyncio.gather(_bounded(process.stdout), _bounded(process.stderr))
                status = await process.wait()
            ended = True
        except TimeoutError:
            raise self._fault(f"did not end within {self._timeout_s:g} s") from None
        finally:
            if not ended:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # the group: a shell's children would hold the pipes open
                await process.wait()
        if status != 0:
            raise self._fault(f"ended with status {status}{_tail(err, out)}")
        return out

    def _read(self, out: bytes) -> tuple[str, float]:
        """(token, seconds that it is good)."""
        text = out.decode("utf-8", "replace").strip()
        token, expires_s = text, None
        if text.startswith("{"):
            token, expires_s = _from_json(text, self._wall())
        if not token:
            raise self._fault("printed no token")
        if len(token) > AUTH_OUTPUT_BYTES_MAX:
            raise self._fault(f"printed more than {AUTH_OUTPUT_BYTES_MAX:,} bytes")
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise self._fault("must print the token alone, on one line, or JSON with a member `token` or `access_token`")
        known = [moment for moment in (expires_s, _jwt_expiry(token)) if moment is not None]
        lifetime_s = min(known) - self._wall() if known else self._ttl_s
        if lifetime_s <= 0:
            raise self._fault("printed a token that has expired already")
        return token, lifetime_s

    def _fault(self, what: str) -> Refusal:
        return _refusal(f"The command that gives the credential of upstream {self._name!r} ({self._argv[0]}) {what}.")


def _refusal(message: str) -> Refusal:
    return Refusal(Kind.UNAVAILABLE, 503, message, code="credential_command_failed")


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    """All of a stream, but no more than a byte over the limit is kept."""
    kept = bytearray()
    while chunk := await stream.read(2**16):
        kept += chunk[: AUTH_OUTPUT_BYTES_MAX + 1 - len(kept)]
    return bytes(kept)


def _tail(err: bytes, out: bytes) -> str:
    """The end of what a program said, on one line, without anything that looks like a secret or stands in its output."""
    text = err.decode("utf-8", "replace")
    for word in out.decode("utf-8", "replace").split():
        if len(word) >= 6:
            text = text.replace(word, "…")
    text = " ".join(_SECRET.sub("…", text).split())[-_ERROR_TAIL_CHARS:]
    return f": {text}" if text else ", and said nothing"


def _from_json(text: str, now_s: float) -> tuple[str, float | None]:
    """(token or "", unix time of expiry or None) of the customary JSON forms."""
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return "", None
    if isinstance(found.get("status"), dict):  # kubectl's ExecCredential
        found = found["status"]
    token = next((found[key] for key in ("token", "access_token", "accessToken") if isinstance(found.get(key), str)), "")
    seconds = found.get("expires_in")
    if isinstance(seconds, int | float):
        return token, now_s + seconds
    for key in ("expires_on", "expires_at", "expirationTimestamp", "expiration", "Expiration"):
        moment = _moment(found.get(key))
        if moment is not None:
            return token, moment
    return token, None


def _moment(value: object) -> float | None:
    """Unix seconds of a number, a string of digits, or an ISO 8601 time (UTC where it names no zone)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    if value.isdecimal():
        return float(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _jwt_expiry(token: str) -> float | None:
    """`exp` of a JSON web token (RFC 7519, 4.1.4), or None if it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, RecursionError):
        return None
    expiry = claims.get("exp") if isinstance(claims, dict) else None
    return float(expiry) if isinstance(expiry, int | float) else None
