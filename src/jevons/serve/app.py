"""The gateway's application, put together: upstreams, gate, router, what watches them, what answers on the port.

Comes in: the configuration and the parts that live longer than a request. Goes out: an `App`. Does not know: sockets, signals, in which order things start.
"""

from collections.abc import Callable

from jevons.config import Config, ConfigError
from jevons.dashboard.pages import Pages
from jevons.engine.process import Engine, EngineState
from jevons.gateway.admin import AdminApi
from jevons.gateway.answers import Answers
from jevons.gateway.app import App
from jevons.gateway.gate import Gate
from jevons.gateway.governor import Governor
from jevons.gateway.health import KIND, Health
from jevons.gateway.metrics import Metrics
from jevons.gateway.prefixes import Prefixes
from jevons.gateway.probes import Probes
from jevons.gateway.routing import Router
from jevons.gateway.showing import Listener
from jevons.gateway.spots import Spots
from jevons.gateway.trimming import Trimmer
from jevons.gateway.unseen import Asides
from jevons.gateway.upstreams import Live, live, table_of
from jevons.ledger.home import Home
from jevons.ledger.ledger import Ledger
from jevons.ledger.routing import learnt
from jevons.meter.pricebook import open_book
from jevons.policy.route import Table, offered
from jevons.policy.routes import check
from jevons.serve.learning import Learning, labelling_of
from jevons.serve.local import upstream_of


def app_of(
    config: Config,
    home: Home,
    ledger: Ledger,
    engine: Engine | None,
    governor: Governor,
    pages: Pages,
    answers: Answers,
    learning: Learning,
) -> App:
    """Raises ConfigError for upstreams, models and routes that do not fit together."""
    metrics = Metrics(ledger)
    prefixes = Prefixes(config.cache.prompt, home.secret("installation"))
    metrics.add(prefixes)
    gate = Gate(ledger, open_book(home.path), governor, prefixes, metrics.count)
    lives, table = _upstreams(config, home, engine, learning)
    health = Health(ledger.writer.submit)
    health.recall(learnt(home.ledger, KIND))
    metrics.add(health)
    Probes(health, lives)
    spots = Spots(gate, lives, health)
    router = Router(table, gate, lives, config.routes, learning.reading, learning.promises)
    router.candidates.students = learning.students
    router.candidates.scores = learning.predictors
    router.candidates.wait_ms = health.wait_ms
    labelling = labelling_of(config, gate, lives, Asides(gate, spots), table, learning)
    listeners: list[Listener] = []
    if labelling is not None:
        metrics.add(labelling.shadows)
        listeners += labelling.listeners
    if learning.capturing is not None:
        metrics.add(learning.capturing)
        listeners.append(learning.capturing)  # last: shadows teach it until they end
    return App(
        gate,
        lives,
        table,
        metrics,
        answers,
        spots,
        AdminApi(ledger, home.admin_token(), answers, engine, health, learning.students).application(),
        pages.application(),
        config.hosts,
        _ready(ledger, engine, frozenset(lives)),
        router,
        _trimmer(config, home),
        tuple(listeners),
        labelling.feedback if labelling is not None else None,
        labelling.cascades if labelling is not None else None,
    )


def _upstreams(config: Config, home: Home, engine: Engine | None, learning: Learning) -> tuple[dict[str, Live], Table]:
    """Those of the configuration, the local model, the students; and which models they offer."""
    reading, students = learning.reading, learning.students
    try:
        lives = {settings.name: live(settings) for settings in config.upstreams}
        settings = list(config.upstreams)
        if engine is not None and "local" not in lives:
            lives["local"] = upstream_of(engine, home.secret("installation"))
            settings.append(lives["local"].settings)
        if students is not None:
            lives[students.live.settings.name] = students.live
            settings.append(students.live.settings)
        table = table_of(settings, list(config.models))
        told = reading.languages.known if reading is not None and reading.languages is not None else frozenset()
        check(config.routes, config.classes, lambda name: offered(table, name) is not None, told)
    except ValueError as error:
        raise ConfigError(f"jevons.toml: {error}.") from None
    return lives, table


def _ready(ledger: Ledger, engine: Engine | None, upstreams: frozenset[str]) -> Callable[[], str]:
    """Says why no request can be served, or ""."""

    def ready() -> str:
        if ledger.writer.failing:
            return f"the ledger cannot be written: {ledger.writer.failing}"
        if engine is not None and upstreams == {"local"} and engine.state is not EngineState.READY:
            return f"the local model is not ready: {engine.detail}"
        return ""

    return ready


def _trimmer(config: Config, home: Home) -> Trimmer | None:
    settings = config.cache.trim
    return Trimmer(settings, home.secret("installation")) if settings.enabled else None
