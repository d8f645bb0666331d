"""Where a route's predictor lies: whoever only asks whether there is one needs no numpy. Does not know: what is in it (`learn.saved`)."""

from pathlib import Path
from urllib.parse import quote

FOLDER = "routers"
"""Under JEVONS_HOME."""


def path_of(folder: Path, org: str, route: str) -> Path:
    return folder / quote(org, safe="") / f"{quote(route, safe='')}.router"
