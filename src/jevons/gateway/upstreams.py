"""The upstreams as they run: settings, pool, credential, and where each is right now."""

from collections.abc import Awaitable, Callable

from jevons.core.ask import Ask, Caller, Dialect
from jevons.core.limits import ROUTE_MEMO_ENTRIES_MAX
from jevons.gateway.auth_upstream import Credential, credentials_for
from jevons.gateway.outbound import url_of
from jevons.gateway.settings import UpstreamSettings
from jevons.gateway.upstream import Upstream
from jevons.policy.route import Alias, Offer, Table


class Live:
    """One upstream, ready to be called. `address` is asked at each call: the local engine moves when it restarts.

    `labels`: further headers for a call, by which the local engine knows whose conversation it goes on.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        credential: Credential,
        address: Callable[[], Awaitable[str]],
        labels: Callable[[Ask, Caller], list[tuple[str, str]]] = lambda ask, caller: [],
        more: tuple[Credential, ...] = (),
    ) -> None:
        """`more` credentials: calls are spread over all."""
        self.settings = settings
        self.credential = credential
        """The first: what a provider stores lies under it."""
        self.credentials = (credential, *more)
        self.upstream = Upstream(settings)
        self.labels = labels
        self._address = address
        self._urls: dict[tuple[str, Dialect, str, bytes], str] = {}

    @property
    def provider(self) -> str:
        """Whose prices apply."""
        return self.settings.price_provider

    def carries(self, credential_for: str) -> bool:
        """May a request go there whose client's own credential is for the upstream of that name? To any other upstream it is never sent."""
        return not self.settings.is_clients or self.settings.name == credential_for

    def url(self, address: str, dialect: Dialect, model: str, query: bytes) -> str:
        """Where a call goes; remembered."""
        key = (address, dialect, model, query)
        url = self._urls.get(key)
        if url is None:
            if len(self._urls) >= ROUTE_MEMO_ENTRIES_MAX:
                self._urls.clear()
            url = self._urls[key] = url_of(address, self.settings, dialect, model, query)
        return url

    async def address(self) -> str:
        """Its base URL. Raises Refusal (503) while the upstream is not there."""
        return await self._address()


def live(settings: UpstreamSettings) -> Live:
    """An upstream at a fixed address. Raises ValueError naming what is missing in its settings."""
    base_url = settings.base_url or settings.defaults.base_url
    if not base_url:
        raise ValueError(f"upstream {settings.name!r} of kind {settings.kind!r} needs a base_url")

    async def address() -> str:
        return base_url

    if "batch" in settings.tiers:
        raise ValueError(
            f'upstream {settings.name!r} lists the tier "batch": what a batch answers comes within a day, and a client waits for its answer'
        )
    first, *more = credentials_for(settings)
    return Live(settings, first, address, more=tuple(more))


def table_of(settings: list[UpstreamSettings], aliases: list[Alias]) -> Table:
    """What routing needs to know of them. Raises ValueError for an alias of an unknown upstream or two upstreams of one name."""
    names = [one.name for one in settings]
    if len(set(names)) != len(names):
        raise ValueError(f"two upstreams have one name: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
    for alias in aliases:
        if alias.upstream not in names:
            raise ValueError(
                f"model {alias.name!r} names the upstream {alias.upstream!r}, which is not configured (there are: {', '.join(names) or 'none'})"
            )
    offers = tuple(Offer(one.name, one.models or one.defaults.models, one.dialects()) for one in settings)
    return Table(offers, tuple(aliases))
