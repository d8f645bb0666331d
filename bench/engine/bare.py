"""llama.cpp's server alone, with exactly the parameters that the product gives it: the other side of the comparison.

`python -m bench.engine.bare` reads a `ServeOrder` from standard input and reports a port, as the engine's own process does; no front, no park.
"""

import importlib
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from jevons.engine.builds.exchange import apply
from jevons.engine.server import parameters
from jevons.engine.settings import Report, ServeOrder


def main() -> None:
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=ServeOrder)
    apply(Path(order.builds) if order.builds else None)
    engine = importlib.import_module("xllamacpp")
    server = engine.Server(parameters(engine, order, None))
    reports.write(msgspec.json.encode(Report(port=urlsplit(server.listening_address).port or 0)) + b"\n")
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
