"""One typed configuration: jevons.toml, then JEVONS_* variables over it. Only serve and cli read it.

A mistake is told with the file, the place and what is expected there; nothing is guessed.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import inspect

from jevons.cache.settings import CacheSettings
from jevons.core.limits import PARK_RAM_MIB
from jevons.gateway.settings import KINDS, GovernorSettings, UpstreamSettings
from jevons.ledger.capture import CaptureSettings
from jevons.policy.access import Access
from jevons.policy.route import Alias
from jevons.policy.routes import Route, TaskClass
from jevons.policy.rules import Limit, rules_of

PORT = 4141
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=0)]
_UNKNOWN_WORD = re.compile(r"^Invalid enum value .* - at `\$(.+)`$", re.DOTALL)
_STEP = re.compile(r"\[|[a-z_]\w*")
"""Into an item, or into the member of that name."""


class ConfigError(Exception):
    """The configuration cannot be used; the message names file, place and remedy."""


class ParkSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[engine.park]`: conversations that hold no slot of the engine, kept so that they need not be computed again."""

    ram_mib: Count = PARK_RAM_MIB
    """Memory for them; 0 = nothing is parked."""
    disk_gib: Count = 0
    """Room on disk, encrypted, so that they survive a restart; 0 = nothing is written."""
    disk_orgs: tuple[str, ...] = ("default",)
    """Organisations whose conversations may be written to disk; keys that name none belong to "default"."""
    retention_h: Annotated[int, msgspec.Meta(gt=0)] = 72
    """Older files are removed."""
    kld_max: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Mean KL divergence in nats per token that compressing may cost; 0 = parked as they are."""
    bytes_per_token_max: Count = 0
    """Bytes that a parked token may take; 0 = no bound."""


class EngineSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[engine]`: the embedded model, called `local`."""

    enabled: bool = True
    model: str = ""
    """A GGUF file; "" = the packaged 135M model, for trying, and for simple tasks."""
    threads: Count = 0
    """0 = all cores but one."""
    slots: Count = 0
    """Requests decoded in parallel; 0 = the default."""
    context_tokens: Count = 0
    """Prompt and answer of one request together; 0 = the default."""
    kv_type: Literal["f16", "q8_0", "q4_0"] = "f16"
    """Keys and values in the slots. On a CPU the smaller ones save memory and cost time."""
    park: ParkSection = ParkSection()


class LedgerSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[ledger]`. Both switches exist to show what durability costs and that the tests notice when it is gone; leave them alone."""

    enabled: bool = True
    synchronous: Literal["FULL", "OFF"] = "FULL"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of jevons.toml."""

    host: str = "127.0.0.1"
    port: Port = PORT
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    """Host names that are answered to (against DNS rebinding); add your own when others reach the gateway. Empty = any."""
    upstreams: tuple[UpstreamSettings, ...] = ()
    models: tuple[Alias, ...] = ()
    routes: tuple[Route, ...] = ()
    classes: tuple[TaskClass, ...] = ()
    limits: tuple[Limit, ...] = ()
    access: tuple[Access, ...] = ()
    engine: EngineSection = EngineSection()
    ledger: LedgerSection = LedgerSection()
    governor: GovernorSettings = GovernorSettings()
    cache: CacheSettings = CacheSettings()
    capture: CaptureSettings = CaptureSettings()


def home_path(environ: Mapping[str, str] = os.environ) -> Path:
    """JEVONS_HOME, or ~/.jevons."""
    return Path(environ.get("JEVONS_HOME") or Path.home() / ".jevons").expanduser()


def load(file: Path | None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration in `file` (none = defaults), with JEVONS_HOST, JEVONS_PORT over it. Raises ConfigError."""
    table = read(file) if file is not None else {}
    if environ.get("JEVONS_HOST"):
        table["host"] = environ["JEVONS_HOST"]
    if environ.get("JEVONS_PORT"):
        try:
            table["port"] = int(environ["JEVONS_PORT"])
        except ValueError:
            raise ConfigError(f"JEVONS_PORT is {environ['JEVONS_PORT']!r}; it must be a port number.") from None
    if environ.get("JEVONS_LEDGER_SYNCHRONOUS"):
        table["ledger"] = {**_section(table, "ledger"), "synchronous": environ["JEVONS_LEDGER_SYNCHRONOUS"]}
    return parse(table, file)


def read(file: Path) -> dict[str, Any]:
    """What stands in a file. Raises ConfigError."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.") from None


def parse(table: Mapping[str, object], file: Path | None) -> Config:
    """The same as a configuration; `file` is named in errors. Raises ConfigError."""
    try:
        config = msgspec.convert(table, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{file or 'the environment'}: {error}{_allowed(str(error))}. The reference is docs/configuration.md."
        ) from None
    _check_limits(file, config.limits)
    return config


def _allowed(mistake: str) -> str:
    """What may stand where a word is not one of those that are known: msgspec says only which it is not, and the place."""
    found = _UNKNOWN_WORD.search(mistake)
    if found is None:
        return ""
    types = _plain(inspect.type_info(Config))
    for name in _STEP.findall(found[1]):
        types = [inner for one in types for inner in _within(one, name)]
    words = [word for one in types if isinstance(one, inspect.LiteralType) for word in one.values]
    return f"; it must be one of: {', '.join(map(str, words))}" if words else ""


def _within(outer: inspect.Type, name: str) -> list[inspect.Type]:
    """The types of the member called `name`, or of an item, for which `name` is "["."""
    if isinstance(outer, inspect.StructType):
        return [inner for field in outer.fields if field.encode_name == name for inner in _plain(field.type)]
    return _plain(outer.item_type) if isinstance(outer, inspect.ListType | inspect.VarTupleType) else []


def _plain(one: inspect.Type) -> list[inspect.Type]:
    return list(one.types) if isinstance(one, inspect.UnionType) else [one]


def _check_limits(file: Path | None, limits: Sequence[Limit]) -> None:
    """Raises ConfigError for a limit that makes no sense, and for a second one of its name."""
    names: set[str] = set()
    for place, limit in enumerate(limits):
        try:
            rules_of(msgspec.structs.replace(limit, mode="enforce"))  # one that is off must make sense too
            if limit.name in names:
                raise ValueError(f"limit {limit.name!r} is there twice; each needs a name of its own")
        except ValueError as error:
            raise ConfigError(f"{file}: {error} - at `$.limits[{place}]`. The reference is docs/configuration.md.") from None
        names.add(limit.name)


def _section(table: Mapping[str, object], name: str) -> dict[str, object]:
    section = table.get(name, {})
    return dict(section) if isinstance(section, dict) else {}


class Offer(msgspec.Struct, frozen=True):
    """A provider whose key stands in the environment."""

    name: str
    key_env: str
    toml: str


KNOWN_KEYS = (
    ("openai", "OPENAI_API_KEY", 'kind = "openai"'),
    ("anthropic", "ANTHROPIC_API_KEY", 'kind = "anthropic"'),
    ("gemini", "GEMINI_API_KEY", 'kind = "gemini"'),
    ("gemini", "GOOGLE_API_KEY", 'kind = "gemini"'),
    ("openrouter", "OPENROUTER_API_KEY", 'base_url = "https://openrouter.ai/api/v1"'),
    (
        "mistral",
        "MISTRAL_API_KEY",
        'base_url = "https://api.mistral.ai/v1"\nmodels = ["mistral-*", "codestral-*", "ministral-*", "magistral-*"]',
    ),
    ("deepseek", "DEEPSEEK_API_KEY", 'base_url = "https://api.deepseek.com/v1"\nmodels = ["deepseek-*"]'),
    ("groq", "GROQ_API_KEY", 'base_url = "https://api.groq.com/openai/v1"\nmodels = ["llama-*", "openai/gpt-oss-*"]'),
    ("x-ai", "XAI_API_KEY", 'base_url = "https://api.x.ai/v1"\nmodels = ["grok-*"]'),
)
"""(upstream, variable, the lines that reach it). Base URLs are the vendors' published OpenAI-compatible ones."""


def found_keys(environ: Mapping[str, str] = os.environ) -> list[Offer]:
    """Upstreams that can be offered because their key is in the environment. The key itself is never copied."""
    offers: dict[str, Offer] = {}
    for name, variable, lines in KNOWN_KEYS:
        if environ.get(variable) and name not in offers:
            models = "" if "models" in lines or 'kind = "' in lines else f'\nmodels = ["{name}/*"]'
            offers[name] = Offer(name, variable, f'[[upstreams]]\nname = "{name}"\n{lines}{models}\nkey_env = "{variable}"\n')
    azure = environ.get("AZURE_OPENAI_ENDPOINT")
    if environ.get("AZURE_OPENAI_API_KEY") and azure:
        lines = f'kind = "azure"\nbase_url = "{azure}"\nmodels = ["azure/*"]\nquery = {{ api-version = "2024-10-21" }}'
        offers["azure"] = Offer(
            "azure", "AZURE_OPENAI_API_KEY", f'[[upstreams]]\nname = "azure"\n{lines}\nkey_env = "AZURE_OPENAI_API_KEY"\n'
        )
    return list(offers.values())


def first_config(offers: list[Offer]) -> str:
    """The text of a new jevons.toml: what was found in the environment, by reference, and pointers to the rest."""
    head = (
        "# Jevons reads this at start. Everything has a default; the reference is docs/configuration.md.\n"
        "# Credentials stay in the environment: `key_env` names the variable.\n\n"
        f'# host = "127.0.0.1"\n# port = {PORT}\n\n'
    )
    if offers:
        return head + "\n".join(offer.toml for offer in offers)
    kinds = ", ".join(KINDS)
    return head + (
        f"# No provider key was found in the environment. The local model works without one. An upstream looks like this (kinds: {kinds}):\n"
        '#\n# [[upstreams]]\n# name = "openai"\n# kind = "openai"\n# key_env = "OPENAI_API_KEY"\n'
    )
