"""Who may see the pages: a link from the command line or the admin token opens a session, and a signed cookie is the session.

Comes in: a secret of the home folder, instants in Unix milliseconds. Goes out: link tokens (used once, good for minutes), sessions (good for
days), and the token that goes with each form of a session. Nothing is stored: whoever removes the secret ends every session. Does not know:
HTTP, nor the keys of clients, which mean nothing here.
"""

import hashlib
import hmac
import re
import secrets
from typing import Literal

from jevons.core.limits import LOGIN_LINK_AHEAD_S, LOGIN_LINK_TTL_S, SESSION_TTL_S

PATH = "/ui"
SECRET = "dashboard"
"""Under which name the home folder keeps it."""

_SIGNED = re.compile(r"([0-9a-f]{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})")


def new_link(secret: bytes, now_ms: int) -> str:
    """A token that opens one session within the next minutes."""
    return _signed(secret, "link", now_ms + LOGIN_LINK_TTL_S * 1000)


def new_session(secret: bytes, now_ms: int) -> str:
    """The value of a session's cookie."""
    return _signed(secret, "session", now_ms + SESSION_TTL_S * 1000)


def is_session(secret: bytes, cookie: str, now_ms: int) -> bool:
    return _nonce(secret, "session", cookie, now_ms) is not None


def cookie_name(secret: bytes) -> str:
    """Each installation has its own: browsers share cookies between the ports of one machine, and a demo may run beside the real one."""
    return f"jevons_{_mac(secret, 'name', '')[:8]}"


def form_token(secret: bytes, cookie: str) -> str:
    """What each form of this session sends along, and no other site can know."""
    return _mac(secret, "form", cookie)


class Links:
    """Link tokens that were used stay used until they would have ended anyway. Of older ones than this process nobody knows; they are refused."""

    def __init__(self, secret: bytes, started_ms: int) -> None:
        self._secret = secret
        self._oldest_ms = started_ms - LOGIN_LINK_AHEAD_S * 1000
        self._used: dict[str, int] = {}

    def use(self, token: str, now_ms: int) -> bool:
        """May it open a session? Only once."""
        nonce = _nonce(self._secret, "link", token, now_ms)
        if nonce is None or nonce in self._used:
            return False
        until_ms = int(token.partition(".")[0], 16)
        if until_ms - LOGIN_LINK_TTL_S * 1000 < self._oldest_ms:
            return False
        self._used = {used: over_ms for used, over_ms in self._used.items() if over_ms > now_ms}
        self._used[nonce] = until_ms
        return True


def _signed(secret: bytes, purpose: Literal["link", "session"], until_ms: int) -> str:
    payload = f"{until_ms:x}.{secrets.token_hex(16)}"
    return f"{payload}.{_mac(secret, purpose, payload)}"


def _nonce(secret: bytes, purpose: Literal["link", "session"], text: str, now_ms: int) -> str | None:
    """The random part of a token that is ours and not over; else None."""
    match = _SIGNED.fullmatch(text)
    if match is None or not hmac.compare_digest(_mac(secret, purpose, f"{match[1]}.{match[2]}"), match[3]):
        return None
    return match[2] if now_ms < int(match[1], 16) else None


def _mac(secret: bytes, purpose: Literal["link", "session", "form", "name"], text: str) -> str:
    return hmac.new(secret, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()
