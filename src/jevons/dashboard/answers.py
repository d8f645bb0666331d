"""What the pages answer with: templates rendered and packed in a thread, problems in words, and the headers that keep everything else out.

Comes in: the name of a template and its values. Goes out: responses. Does not know: what is on a page, nor who may see it.
"""

import gzip
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from jevons.dashboard import static
from jevons.dashboard.aside import aside
from jevons.dashboard.session import PATH
from jevons.dashboard.show import STYLE, Templates, style_hash
from jevons.economics.chart import LINES_STYLE
from jevons.economics.energy.picture import OWN_STYLE as ENERGY_STYLE
from jevons.economics.forecast.fan import FAN_STYLE
from jevons.economics.plane import PLANE_STYLE
from jevons.economics.unitcost.synergy_picture import FALL_STYLE
from jevons.economics.waterfall import STYLE as WATERFALL_STYLE
from jevons.gateway.approvals import PREFIX as APPROVALS

STYLES = (
    STYLE,
    *(WATERFALL_STYLE + own for own in ("", LINES_STYLE, LINES_STYLE + PLANE_STYLE, FALL_STYLE, ENERGY_STYLE, FAN_STYLE)),
)
"""Of the pages, and of each kind of picture in them."""
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; script-src 'self'; style-src {' '.join(map(style_hash, STYLES))}; img-src 'self';"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
PACKED_LEVEL = 4
"""A table packs to a tenth at any level; this one takes a millisecond for a hundred rows."""


class Answers:
    """Everything is rendered here."""

    def __init__(self) -> None:
        self._templates = Templates(ui=PATH, static=static.PREFIX, approvals=APPROVALS)

    def fragment(self, name: str, /, **values: Any) -> str:
        """A part of a page, at once."""
        return self._templates.render(name, **values)

    async def page(self, request: Request, name: str, /, **values: Any) -> Response:
        """Rendered in a thread: a long table must not hold up calls. The request's `form_token` goes into its forms."""
        values |= {
            "form_headers": msgspec.json.encode({"x-csrf-token": request.state.form_token}).decode(),
            "here": request.url.path,
        }
        packed = "gzip" in request.headers.get("accept-encoding", "")

        def made() -> bytes:
            text = self.fragment(name, **values).encode()
            return gzip.compress(text, PACKED_LEVEL, mtime=0) if packed else text

        return HTMLResponse(await aside(made), 200, HEADERS | ({"content-encoding": "gzip"} if packed else {}))

    def problem(self, request: Request, problem: str, status: int) -> Response:
        """A page of its own, or a line on the page that asked for a part."""
        if request.headers.get("hx-request"):
            headers = HEADERS | {"hx-retarget": "#said", "hx-reswap": "innerHTML"}
            return HTMLResponse(self.fragment("problem", problem=problem), status, headers)
        return HTMLResponse(self.fragment("problem_page", problem=problem, form_headers="{}", here=""), status, HEADERS)

    def login(self, request: Request, status: int, problem: str = "", headers: dict[str, str] | None = None) -> Response:
        """The page that lets people in, in place of the one that was asked for."""
        if request.headers.get("hx-request"):  # a part of a page whose session is over
            return Response(status_code=status, headers=HEADERS | {"hx-refresh": "true"})
        return HTMLResponse(self.fragment("login", problem=problem), status, HEADERS | (headers or {}))
