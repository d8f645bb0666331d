"""One request as policy sees it, and who sent it. Bytes stay bytes: only what policy needs is decoded."""

import enum

import msgspec


class Dialect(enum.StrEnum):
    """The wire formats we speak in front and behind."""

    CHAT = "chat"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"


class InputBound(enum.StrEnum):
    """How sure the input count of a hold is. `exact` and `bounded` cannot be exceeded; `estimated` can."""

    EXACT = "exact"
    BOUNDED = "bounded"
    ESTIMATED = "estimated"


class Ask(msgspec.Struct, frozen=True):
    """A parsed request. `fields` are the body's top-level members, undecoded."""

    dialect: Dialect
    model: str
    stream: bool
    body: bytes
    fields: dict[str, msgspec.Raw]
    messages: tuple[bytes, ...]
    """Raw JSON of tools, system and each message, in the order providers cache them: tools, system, messages."""
    extras: tuple[bytes, ...] = ()
    """Raw JSON of further members that reach the prompt (an answer's JSON schema)."""
    output_cap: int | None = None
    """The largest of all cap fields present; None if the client sent none."""
    choices: int = 1
    """`n`: how many answers are asked for, each up to the cap."""
    include_usage: bool = False
    """Chat only: the client itself asked for the usage chunk of a stream."""
    thinking_budget: int = 0
    """Anthropic `thinking.budget_tokens`, or 0."""
    reasons: bool = False
    """The request switches hidden or summarised reasoning on."""
    service_tier: str | None = None
    speed: str | None = None
    """Anthropic's `speed`: "fast" is dearer."""
    previous_response_id: str | None = None
    server_tools: tuple[tuple[str, int | None], ...] = ()
    """(billed unit kind, bound or None) of provider-run tools in the request; strict refuses an unbounded one."""
    remote_context: bool = False
    """Refers to content we cannot see: file ids, stored prompts, previous responses."""
    stored: bool = False
    """The provider keeps the answer under an id (Responses with store != false)."""


class RunClaim(msgspec.Struct, frozen=True):
    """The run that a request says it belongs to: labels that a client chose, never authority."""

    run_id: str
    parent_id: str | None
    """The run that started this one, if the request names it."""
    source: str
    """The header or field that named the run."""


class Caller(msgspec.Struct, frozen=True):
    """Who sent it: an authenticated key with its team and organisation, the client program, and the run it names."""

    key_id: int
    key_name: str
    org: str = "default"
    team: str = ""
    """Empty: the key belongs to no team."""
    agent: str = ""
    """What the client calls itself, else the program that its headers show. Empty: neither tells."""
    run: RunClaim | None = None
    default_output_tokens: int | None = None
    models: tuple[str, ...] = ()
    """Model allow-list as shell patterns; empty = all."""
    denial_status: int | None = None
    holds: str = ""
    """strict or packed; empty: as the configuration says."""
    tiers: tuple[str, ...] = ()
    """Service tiers that it can wait for, where they are cheaper."""

    @property
    def run_id(self) -> str | None:
        return None if self.run is None else self.run.run_id
