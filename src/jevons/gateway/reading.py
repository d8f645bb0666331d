"""What is read of a request, once, for whoever routes, labels or learns: its features, its question, and the question as a vector.

Comes in: a parsed request with its passage. Goes out: `Seen`, which stands on the passage. What nobody needs is not computed: the language and the class only
where routes name some, the vector when it is first asked for. Does not know: routes, models.
"""

from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

import msgspec

from jevons.core.ask import Ask
from jevons.core.features import Features
from jevons.core.limits import EMBEDDED_CHARS_MAX, TEMPLATE_BYTES_MAX
from jevons.gateway.passage import Passage
from jevons.wire.features import read

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from jevons.gateway.classes import Classes

TEMPLATE_BYTES = 8


class Embeds(Protocol):
    """`embed.Embedder`."""

    def vector(self, text: str) -> "NDArray[float32]": ...


class Tells(Protocol):
    """`embed.language.Languages`."""

    known: frozenset[str]

    def of(self, text: str) -> str: ...


class Seen:
    """One request."""

    __slots__ = ("_embed", "_vector", "features", "question")

    def __init__(self, features: Features, question: str, embed: Embeds | None) -> None:
        self.features = features
        self.question = question
        """The last thing that a person said; "" = nothing."""
        self._embed = embed
        self._vector: NDArray[float32] | None = None

    @property
    def vector(self) -> "NDArray[float32] | None":
        """f32[dimensions] of length 1, of the question's first EMBEDDED_CHARS_MAX characters; None: nothing was asked, or there is no embedder."""
        if self._vector is None and self._embed is not None and self.question:
            vector = self._embed.vector(self.question[:EMBEDDED_CHARS_MAX])
            self._vector = vector if vector.any() else None
        return self._vector


class Reading:
    """Reads requests."""

    def __init__(
        self,
        secret: bytes,
        embedder: Embeds | None = None,
        languages: Tells | None = None,
        classes: "Classes | None" = None,
    ) -> None:
        """`languages`: where routes go by them. With `classes` there must be an embedder."""
        self._secret = secret
        self.embedder = embedder
        self.languages = languages
        self._classes = classes

    def of(self, ask: Ask, passage: Passage) -> Seen:
        """The same for every call with the same passage."""
        if passage.read is not None:
            return passage.read
        features, question, head = read(ask, of_run=passage.run is not None)
        features = msgspec.structs.replace(features, template=self._template(ask, head))
        seen = passage.read = Seen(features, question, self.embedder)
        language = self.languages.of(question) if self.languages is not None and question else ""
        vector = seen.vector if self._classes is not None else None
        task = self._classes.of(vector) if self._classes is not None and vector is not None else ""
        if language or task:
            seen.features = msgspec.structs.replace(features, language=language, task=task)
        return seen

    def _template(self, ask: Ask, head: int) -> str:
        """What stays the same between calls of one kind: tools, system prompt, the shape that is asked for; "" = it has none of these. Spaces between
        members, and their order, do not count."""
        parts = (*ask.messages[:head], *ask.extras)
        if not parts:
            return ""
        hashed = blake2b(digest_size=TEMPLATE_BYTES, key=self._secret, person=b"template")
        told = sum(len(part) for part in parts) <= TEMPLATE_BYTES_MAX
        for part in parts:
            written = _canonical(part) if told else part
            hashed.update(len(written).to_bytes(8))
            hashed.update(written)
        return hashed.hexdigest()


def _canonical(part: bytes) -> bytes:
    """JSON in one spelling; what cannot be decoded stays as it is."""
    try:
        return msgspec.json.encode(msgspec.json.decode(part), order="deterministic")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return part
