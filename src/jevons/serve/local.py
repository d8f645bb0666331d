"""The local model: the engine as the configuration wants it, and as an upstream like any other.

Comes in: the configuration, the home folder. Goes out: an `Engine` that is not started, a `Live`. Does not know: who asks it, when it starts.
"""

from collections.abc import Callable
from pathlib import Path

from jevons.config import Config
from jevons.core.ask import Ask, Caller
from jevons.core.limits import ENGINE_WAIT_S, LOCAL_CONTEXT_TOKENS, LOCAL_SLOTS
from jevons.core.refusal import Kind, Refusal
from jevons.engine.front.labels import labels
from jevons.engine.install import install
from jevons.engine.park.sealing import tenant_tag
from jevons.engine.process import Engine
from jevons.engine.settings import BUILD_FILE, PARK_FOLDER, PLANS_FOLDER, EngineSettings, ParkSettings
from jevons.gateway.auth_upstream import Bearer
from jevons.gateway.settings import UpstreamSettings
from jevons.gateway.upstreams import Live
from jevons.ledger.home import Home


def engine_of(config: Config, home: Home, on_change: Callable[[Engine], None]) -> Engine:
    section = config.engine
    settings = EngineSettings(
        model=Path(section.model).expanduser() if section.model else None,
        threads=section.threads or None,
        slots=section.slots or LOCAL_SLOTS,
        context_tokens=section.context_tokens or LOCAL_CONTEXT_TOKENS,
        kv_type=section.kv_type,
        park=_park(config, home),
        builds=home.path / BUILD_FILE,
        log_file=home.path / "engine.log",
    )
    return Engine(settings, install=install, on_change=on_change)


def _park(config: Config, home: Home) -> ParkSettings:
    section, secret = config.engine.park, home.secret("installation")
    return ParkSettings(
        ram_bytes=section.ram_mib * 2**20,
        disk_bytes=section.disk_gib * 2**30,
        disk_folder=str(home.path / PARK_FOLDER),
        disk_tags=tuple([tenant_tag(secret, org).hex() for org in section.disk_orgs]),
        retention_s=section.retention_h * 3600.0,
        kld_max=section.kld_max,
        bytes_per_token_max=section.bytes_per_token_max,
        secret=home.secret("park").hex(),
        plans=str(home.path / PLANS_FOLDER),
    )


def upstream_of(engine: Engine, secret: bytes) -> Live:
    """The engine as an upstream: its address and key are new at each of its starts. It learns whose conversation a call goes on."""

    async def address() -> str:
        if not engine.base_url and not await engine.wait_ready(ENGINE_WAIT_S):
            raise Refusal(
                Kind.UNAVAILABLE, 503, f"The local model is not ready: {engine.detail}.", code="engine_not_ready", retry_after_s=2
            )
        return engine.base_url

    def conversation(ask: Ask, caller: Caller) -> list[tuple[str, str]]:
        return labels(secret, caller.org, ask.messages)

    settings = UpstreamSettings(name="local", kind="local", auth="bearer")
    return Live(settings, Bearer(lambda: engine.api_key), address, conversation)
