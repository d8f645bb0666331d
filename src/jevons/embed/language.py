"""The language of a text, where it is sure.

Comes in: text. Goes out: an ISO 639-1 code, or "". The model is a file of the package `py3langid` (BSD; naive Bayes over byte n-grams, 140 languages),
read as it lies there; nothing is fetched. About 1 us a byte. Does not know: requests, which language a model is good at.
"""

from jevons.embed.static import missing

READ_BYTES = 300
"""Of the text, from its beginning: reading more makes the answer later, hardly surer."""
SURE = 0.5
"""Probability from which the answer is told. On 152 short prompts in 19 languages (tests/embed/test_language.py) 97 % are told, all of them right, and
nothing is told of 15 texts that are in no language: program text, URLs, numbers, names."""


class Languages:
    """The model in memory: about 0.8 s to read."""

    def __init__(self) -> None:
        """Raises MissingEmbedderError."""
        try:
            from py3langid.langid import (  # type: ignore[import-untyped]  # noqa: PLC0415  only for who has routes by language
                MODEL_FILE,
                LanguageIdentifier,
            )
        except ImportError as error:
            raise missing(error.name or "py3langid") from None
        self._model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self.known = frozenset(label for label in self._model.labels if len(label) == 2)
        """Codes that can be told."""

    def of(self, text: str) -> str:
        """The code; "" where it is too short, of two languages, or of none. What is asked often stands in a line before what it is asked about:
        so the first line decides, if it can."""
        read = text[:READ_BYTES].strip().encode(errors="replace")[:READ_BYTES]
        line = read.partition(b"\n")[0]
        return self._sure(line) or (self._sure(read) if len(line) < len(read) else "")

    def _sure(self, text: bytes) -> str:
        code, probability = self._model.classify(text)
        return str(code) if probability >= SURE and code in self.known else ""
