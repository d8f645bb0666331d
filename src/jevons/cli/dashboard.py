"""`jevons dashboard`: a link that opens the pages of the gateway that serves."""

import time
import webbrowser

import click
import msgspec

from jevons.cli.options import as_json, show
from jevons.config import home_path
from jevons.core.limits import LOGIN_LINK_TTL_S
from jevons.dashboard.session import PATH, SECRET, new_link
from jevons.ledger.errors import LedgerError
from jevons.ledger.home import Home


@click.command()
@click.option("--open", "browser", is_flag=True, help="Open it in the browser of this machine.")
@as_json
def dashboard(browser: bool, json: bool) -> None:
    """A link to the pages of the gateway: what is being spent now, and the bill. It opens one session, within five minutes.

    Example: jevons dashboard --open
    """
    home = Home(home_path())
    try:
        address = msgspec.json.decode(home.address.read_bytes())["address"]
    except FileNotFoundError:
        raise LedgerError(
            "Nobody serves here, and the pages are the gateway's. Start it with `make run` or `jevons serve`."
        ) from None
    link = f"{address}{PATH}/login#{new_link(home.secret(SECRET), int(time.time() * 1000))}"

    def tell() -> None:
        click.echo(link)
        if not browser:
            click.echo(
                f"It opens one session, within {LOGIN_LINK_TTL_S // 60} minutes; whoever has it may stop keys and runs.", err=True
            )

    show(json, {"url": link}, tell)
    if browser:
        webbrowser.open(link)
