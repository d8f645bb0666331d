"""`python -m tests.provider --port 0 --journal FILE`: runs the stand-in until it is told to stop (SIGTERM, SIGINT).

Prints one JSON line once it listens: `{"port": …, "url": …, "pid": …, "ca": path of the CA's certificate or null}`.
"""

import argparse
import asyncio
import json
import os
import signal
import ssl
from pathlib import Path

from tests.provider.server import serve


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A fresh CA and a certificate of it for localhost and 127.0.0.1; the CA's certificate is written to `folder`."""
    import trustme  # noqa: PLC0415  only for --tls: it loads slowly

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return context, path


async def main() -> None:
    """Parses the command line and serves."""
    parser = argparse.ArgumentParser(prog="python -m tests.provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--journal", type=Path, required=True, help="file to append to")
    parser.add_argument("--bodies", action="store_true", help="keep request bodies in the journal")
    parser.add_argument("--tls", action="store_true", help="HTTPS; the CA is written beside the journal")
    options = parser.parse_args()
    tls, authority = certificate(options.journal.parent) if options.tls else (None, None)
    server, stand_in = await serve(options.host, options.port, options.journal, options.bodies, tls)
    port = server.sockets[0].getsockname()[1]
    url = f"{'https' if tls else 'http'}://{options.host}:{port}"
    print(json.dumps({"port": port, "url": url, "pid": os.getpid(), "ca": str(authority) if authority else None}), flush=True)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    server.close()
    await stand_in.stop()


asyncio.run(main())
