"""What routing knows of a request besides its text: counts, marks and words from short lists. Names no content, so it may be kept.

Does not know: how they are found (`wire`, `embed`), what they are good for (`learn`, `policy`).
"""

import msgspec


class Features(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request. The order of the members is that on the disk: new ones go to the end, with a default."""

    dialect: str = ""
    input_tokens: int = 0
    """About: bytes / 4 where nobody counted."""
    messages: int = 0
    """With tools and system."""
    step: int = 0
    """Which call of its run, from 1; 0 = it has no run."""
    question_chars: int = 0
    """The last thing that a person said."""
    question_words: int = 0
    digits_pct: int = 0
    """Of the question's characters."""
    tools: int = 0
    """Offered to the model."""
    tool_results: bool = False
    """It goes on from the result of a tool."""
    schema: bool = False
    """It asks for JSON of a stated shape."""
    code: bool = False
    """The question seems to hold program text."""
    modalities: tuple[str, ...] = ()
    """Besides text: image, audio, file."""
    language: str = ""
    """Of the question, ISO 639-1; "" = not told, too short or not sure."""
    task: str = ""
    """The operator's class that it is nearest to; "" = none."""
    template: str = ""
    """Keyed hash (hex) of what stays the same between calls of one kind: system prompt, tools, schema. "" = has none."""
    output_cap: int = 0
    """0 = none was sent."""
