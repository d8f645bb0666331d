"""Scripts and the icon, read and packed once, under an address that changes with them: a browser fetches each version once.

`static/vendor/` holds others' work as published; its README names versions, origins and licences.
"""

import gzip
import hashlib
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from jevons.dashboard.session import PATH

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_FILES = {file.name: file.read_bytes() for file in sorted(_FOLDER.rglob("*")) if file.suffix in _TYPES}
_PACKED = {name: gzip.compress(content, mtime=0) for name, content in _FILES.items()}

VERSION = hashlib.sha256(b"".join(_FILES.values())).hexdigest()[:12]
PREFIX = f"{PATH}/static/{VERSION}"
_HEADERS = {
    "cache-control": "public, max-age=31536000, immutable",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "vary": "accept-encoding",
}


async def answer(request: Request) -> Response:
    """One file; no session is needed, for the login page has a script too."""
    name = request.path_params["name"]
    if name not in _FILES:
        raise HTTPException(404)
    kind = _TYPES[Path(name).suffix]
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(_PACKED[name], 200, _HEADERS | {"content-encoding": "gzip"}, kind)
    return Response(_FILES[name], 200, _HEADERS, kind)
