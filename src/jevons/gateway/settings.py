"""What an operator can say about an upstream, and what is assumed per kind when nothing is said."""

from typing import Annotated, Literal

import msgspec

from jevons.core.ask import Dialect
from jevons.core.limits import AUTH_COMMAND_TTL_S, CONNECT_TIMEOUT_S, FIRST_BYTE_TIMEOUT_S, RETRIES_DEFAULT, STREAM_IDLE_TIMEOUT_S

Kind = Literal["openai", "anthropic", "azure", "gemini", "local"]
Auth = Literal["bearer", "header", "command", "aws-sigv4", "client", "none"]


class KindDefaults(msgspec.Struct, frozen=True):
    """What a kind of upstream speaks and how it is reached."""

    base_url: str
    provider: str
    """Its name in the price book; "" = the upstream's own name."""
    paths: dict[Dialect, str]
    """Dialect -> path after the base URL; {model} is replaced."""
    auth: Auth = "bearer"
    header: str = ""
    cap_field: str = "max_tokens"
    """Where a Chat output cap is injected."""
    models: tuple[str, ...] = ()
    key_env: str = ""
    probe: str = ""
    """Path of a GET that costs nothing, to see whether it is there; "" = nothing is asked."""


_CHAT = {Dialect.CHAT: "/chat/completions", Dialect.EMBEDDINGS: "/embeddings"}
_MESSAGES = {Dialect.MESSAGES: "/v1/messages", Dialect.COUNT_TOKENS: "/v1/messages/count_tokens"}

KINDS: dict[str, KindDefaults] = {
    "openai": KindDefaults(
        base_url="https://api.openai.com/v1",
        provider="",
        paths={**_CHAT, Dialect.RESPONSES: "/responses"},
        models=("gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "codex-*", "text-embedding-*"),
        key_env="OPENAI_API_KEY",
        probe="/models",
    ),
    "anthropic": KindDefaults(
        base_url="https://api.anthropic.com",
        provider="anthropic",
        paths=_MESSAGES,
        auth="header",
        header="x-api-key",
        models=("claude-*",),
        key_env="ANTHROPIC_API_KEY",
        probe="/v1/models",
    ),
    "gemini": KindDefaults(
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        provider="google",
        paths=_CHAT,
        models=("gemini-*",),
        key_env="GEMINI_API_KEY",
        probe="/models",
    ),
    "azure": KindDefaults(
        base_url="",
        provider="azure",
        paths={
            Dialect.CHAT: "/openai/deployments/{model}/chat/completions",
            Dialect.EMBEDDINGS: "/openai/deployments/{model}/embeddings",
            Dialect.RESPONSES: "/openai/v1/responses",
        },
        auth="header",
        header="api-key",
        cap_field="max_completion_tokens",
        key_env="AZURE_OPENAI_API_KEY",
        probe="/openai/models",
    ),
    "local": KindDefaults(
        base_url="",
        provider="local",
        paths={
            Dialect.CHAT: "/v1/chat/completions",
            Dialect.RESPONSES: "/v1/responses",
            Dialect.COUNT_TOKENS: "/v1/messages/count_tokens",
        },
        models=("local",),
    ),
}


class Pass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A method and path that is forwarded although Jevons does not know it, because the operator states what it costs."""

    method: str
    path: str
    price_usd: str = "0"
    """Per request, as a decimal string; "0" = stated free."""


class UpstreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[upstreams]]` table of jevons.toml."""

    name: str
    kind: Kind = "openai"
    base_url: str = ""
    provider: str = ""
    """Whose prices apply (a provider of the price book); default by kind."""
    auth: Auth | None = None
    key: str = ""
    """The credential itself; better `key_env`, so that it stays out of the file."""
    key_env: str = ""
    key_envs: tuple[str, ...] = ()
    """Several credentials: calls are spread over them, and each cools down by itself."""
    header: str = ""
    """auth = "header": the header that carries the key."""
    command: tuple[str, ...] = ()
    """auth = "command": a program that prints a token."""
    command_ttl_s: int = AUTH_COMMAND_TTL_S
    region: str = ""
    service: str = ""
    models: tuple[str, ...] = ()
    query: dict[str, str] = {}
    """Added to every request, e.g. api-version of Azure."""
    paths: dict[str, str] = {}
    """Path per dialect (chat, responses, embeddings, messages, count_tokens), if not the kind's own; {model} is replaced."""
    headers: dict[str, str] = {}
    """Added to every request."""
    billed: bool = True
    """False under a subscription or free tier: entries keep the list cost, the account pays nothing."""
    service_tier: str = "default"
    """What a request that names no tier gets by your account's settings at the provider (OpenAI projects can be set to priority)."""
    tiers: tuple[str, ...] = ()
    """Service tiers that it takes in a request (flex), for keys that can wait."""
    cap_field: str = ""
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    retries: int = RETRIES_DEFAULT
    hedge_ms: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Interactive calls: when its first byte comes later than 95 of 100 did, or than so many milliseconds while that is not known, the next target is
    asked too, and whoever begins first is shown; 0 = never."""
    probe: str | None = None
    """Path of a GET that costs nothing, to see whether it is there while its breaker is open; "" = nothing is asked; default by kind."""
    client: Literal["lean", "library"] = "lean"
    """"library": a client in a thread of its own, for comparison; upstreams behind a proxy of the environment always get it."""
    connections_max: int = 512
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    first_byte_timeout_s: float = FIRST_BYTE_TIMEOUT_S
    idle_timeout_s: float = STREAM_IDLE_TIMEOUT_S
    ca_file: str = ""
    """PEM file of a private certificate authority."""
    passes: tuple[Pass, ...] = ()

    @property
    def price_provider(self) -> str:
        """Whose prices apply: as said, else by kind; an OpenAI-compatible host of your own goes by its name."""
        if self.provider or self.defaults.provider:
            return self.provider or self.defaults.provider
        return self.name if self.base_url else self.kind

    @property
    def defaults(self) -> KindDefaults:
        return KINDS[self.kind]

    @property
    def is_clients(self) -> bool:
        """Is it called with the client's own credential?"""
        return (self.auth or self.defaults.auth) == "client"

    @property
    def probe_path(self) -> str:
        return self.defaults.probe if self.probe is None else self.probe

    def path_of(self, dialect: Dialect) -> str | None:
        return self.paths.get(dialect) or self.defaults.paths.get(dialect)

    def dialects(self) -> frozenset[Dialect]:
        return frozenset(self.defaults.paths) | frozenset(Dialect(name) for name in self.paths)


class GovernorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[governor]`: how runs are found, how questions and agents are dealt with."""

    infer_runs: bool = True
    """Requests that name no run are joined by their history."""
    approval_s: int = 0
    """How long a question stays open before it counts as denied; 0 = the default, 15 minutes."""
    holds: Literal["strict", "packed"] = "strict"
    """packed: hold what the caller's answers usually need, and more as they grow."""
    tell_agent: bool = False
    """A short note at the end of a request, once half of a limit is used or a warning is due."""
    public_url: str = ""
    """Where people reach this gateway, for links; "" = where it listens."""
