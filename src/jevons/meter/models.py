"""What is known of a model beside its price: tokenizer, limits, and whether it can bill what no one sees.

Comes in: the upstream's kind and a model name. Goes out: `ModelFacts`, from data/models.toml, the first family that matches; an
unknown model gets the conservative default. Does not know: prices, requests.
"""

import enum
import tomllib
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import resources

import msgspec

from jevons.core.ask import InputBound
from jevons.core.limits import MODEL_FACTS_MEMO_MAX


class Reasons(enum.StrEnum):
    """When a model may bill output tokens that are not in its answer, or only in a summary."""

    ALWAYS = "always"
    THINKING = "thinking"
    """Only if the request switches thinking on."""
    NEVER = "never"


class ModelFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One family of data/models.toml; the file's head explains every field."""

    name: str = "unknown"
    tokenizer: str
    factor_percent: int
    bound: InputBound
    message_tokens: int
    request_tokens: int
    tools_tokens: int
    context_window: int
    max_output: int
    reasons_unseen: Reasons
    image_tokens: int
    audio_tokens: int
    file_tokens: int
    text_only: bool
    source: str
    match: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """False for the conservative default: its window is a guess, and bounds nothing."""
        return bool(self.match)

    @property
    def count_encoding(self) -> str:
        """Encoding by which to count output that was seen: a fair estimate, where `tokenizer` may be a bound."""
        return "o200k_base" if self.tokenizer == "bytes" else self.tokenizer

    def shows_all(self, *, reasons: bool) -> bool:
        """Whether every billed output token is in the answer; `reasons`: the request switches thinking on."""
        return self.reasons_unseen is Reasons.NEVER or (self.reasons_unseen is Reasons.THINKING and not reasons)


@lru_cache(maxsize=MODEL_FACTS_MEMO_MAX)
def model_facts(provider: str, model: str) -> ModelFacts:
    """Facts of a model by its name, as a provider or a router spells it. Never fails; see `ModelFacts.known`.

    `provider` is the upstream's kind or genai-prices' id: some patterns hold for one only ("local:*").
    """
    name = model.lower()
    spellings = (f"{provider}:{name}", name.rpartition("/")[2], name)
    families, unknown = _load()
    for family in families:
        if any(fnmatchcase(spelling, pattern) for pattern in family.match for spelling in spellings):
            return family
    return unknown


def families() -> tuple[ModelFacts, ...]:
    """All families, in the order in which they are tried."""
    return _load()[0]


@lru_cache(maxsize=1)
def _load() -> tuple[tuple[ModelFacts, ...], ModelFacts]:
    text = resources.files("jevons.meter").joinpath("data/models.toml").read_text(encoding="utf-8")
    data = tomllib.loads(text)
    default = data["default"]
    known = tuple(msgspec.convert({**default, **family}, ModelFacts) for family in data["family"])
    return known, msgspec.convert(default, ModelFacts)
