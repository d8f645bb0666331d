"""What compares and reads requests by their meaning: the embedder, the answers to similar requests, what routes read.

Comes in: the configuration. Goes out: these parts, or None where nothing asks for them; numpy and numba are for those who do. Raises ConfigError, in
words for the operator, where something is asked for and its packages are not there. Does not know: what is decided by it.
"""

import asyncio

from jevons.config import Config, ConfigError
from jevons.embed import Embedder, MissingEmbedderError, missing
from jevons.embed.language import Languages
from jevons.gateway.answers import Similar
from jevons.gateway.reading import Reading
from jevons.ledger.home import Home


async def embedder_of(config: Config) -> Embedder | None:
    """One for the whole process, where anything is compared by meaning. In a thread: it is read from the disk."""
    for wanted, what in (
        (config.cache.semantic.enabled, "[cache.semantic] is enabled"),
        (any(route.classes for route in config.routes), "a route names classes"),
        (any(route.choose != "first" for route in config.routes), "a route learns"),
    ):
        if wanted:
            try:
                return await asyncio.to_thread(Embedder)
            except MissingEmbedderError as error:
                raise ConfigError(f"jevons.toml: {what}. {error}") from None
    return None


async def similar_of(config: Config, embedder: Embedder | None) -> Similar | None:
    """What knows the answers to similar requests. In a thread: where its loops are not compiled yet, that takes seconds."""
    settings = config.cache.semantic
    if not settings.enabled or embedder is None:
        return None
    if not config.cache.answers.ram_mib:
        raise ConfigError(
            "jevons.toml: [cache.semantic] gives what [cache.answers] keeps; set ram_mib of [cache.answers] above 0."
        )
    try:
        return await asyncio.to_thread(_load_similar, config, embedder)
    except ModuleNotFoundError as error:
        raise ConfigError(f"jevons.toml: [cache.semantic] is enabled. {missing(error.name or 'numba')}") from None


def _load_similar(config: Config, embedder: Embedder) -> Similar:
    from jevons.gateway.similar import SimilarRequests  # noqa: PLC0415  numpy and numba are for those who enabled it

    return SimilarRequests(config.cache.semantic, config.cache.answers.ttl_s, embedder)


async def reading_of(config: Config, home: Home, embedder: Embedder | None) -> Reading:
    """What reads requests for routes. In a thread: the model of languages takes most of a second."""
    languages = classes = None
    if any(route.languages for route in config.routes):
        try:
            languages = await asyncio.to_thread(Languages)
        except MissingEmbedderError as error:
            raise ConfigError(f"jevons.toml: a route names languages. {error}") from None
    if embedder is not None and config.classes:
        from jevons.gateway.classes import Classes  # noqa: PLC0415  numpy is for those who name classes

        classes = await asyncio.to_thread(Classes, config.classes, embedder.vector)
    return Reading(home.secret("installation"), embedder, languages, classes)
