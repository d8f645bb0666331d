"""A mixture behind the gateway: the operator's own file, through the engine's server, metered like any model."""

from pathlib import Path

from openai import OpenAI

from jevons.engine.experts.routing import STORED
from tests.running import Jevons


def test_a_mixture_is_served(parts: None, tmp_path: Path) -> None:
    engine = {"enabled": True, "model": str(STORED), "slots": 1, "context_tokens": 256}
    with Jevons(tmp_path / "home", engine=engine) as jevons:
        client = OpenAI(base_url=jevons.openai_url, api_key=jevons.key("writer"))
        prompt = [{"role": "user", "content": "Abre el cuadro de diálogo"}]
        answer = client.chat.completions.create(model="local", messages=prompt, max_tokens=8, temperature=0)  # type: ignore[arg-type]
        assert answer.choices[0].message.content and answer.usage is not None and answer.usage.completion_tokens == 8
        (entry,) = jevons.settled(1)
        assert (entry["output"], entry["model"]) == (8, "local")
