"""A conversation as the model sees it: through the chat template in its file, which is Jinja.

Comes in: the template's source. Goes out: token ids. A model without one, and a passage of plain text, gets the bare text.
The template comes with a model file, so it runs in Jinja's sandbox. Does not know: what is done with the tokens.
"""

from typing import NoReturn

import numpy as np
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from numpy.typing import NDArray

from jevons.engine.native.model import Model
from jevons.engine.weights.traffic import Text


class Template:
    """Of one model."""

    def __init__(self, source: str, model: Model) -> None:
        self._model = model
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        environment.globals["raise_exception"] = _refuse
        self._special = {name: self._token(ident) for name, ident in (("bos_token", model.bos), ("eos_token", model.eos))}
        try:
            self._template = environment.from_string(source) if source else None
        except TemplateError:
            self._template = None

    def _token(self, ident: int) -> str:
        return self._model.text(np.array([ident], np.int32), special=True) if ident >= 0 else ""

    def tokens(self, text: Text) -> NDArray[np.int32]:
        """The whole conversation, answers included; as bare text where the template refuses it."""
        if self._template is None or not text.turns[0].role:
            return self._model.tokens(text.plain)
        turns = [{"role": turn.role, "content": turn.content} for turn in text.turns]
        try:
            shown = self._template.render(messages=turns, add_generation_prompt=False, **self._special)
        except (TemplateError, TypeError):
            return self._model.tokens(text.plain)
        bos = self._special["bos_token"]
        return self._model.tokens(shown, special=True, beginning=not (bos and shown.startswith(bos)))


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
