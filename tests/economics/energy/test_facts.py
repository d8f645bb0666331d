"""What is known of a model: its architecture, its class, what its operator states; else nothing is assumed."""

from pathlib import Path

import pytest

from jevons.economics.energy.facts import assumed, facts, stated
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact


@pytest.mark.parametrize(
    ("provider", "model", "basis", "name"),
    [
        ("openrouter", "meta-llama/llama-3.3-70b-instruct:free", "architecture", "llama-3.3-70b"),
        ("mistral", "mistral-large-instruct-2407", "architecture", "mistral-large"),
        ("mistral", "mistral-large-2512", "class", "frontier"),  # another architecture under the same name
        ("anthropic", "claude-sonnet-4-5", "class", "frontier"),
        ("openai", "gpt-5-nano", "class", "smallest of a closed vendor"),
        ("openai", "gpt-5.4-pro", "class", "largest"),
        ("deepseek", "deepseek-chat", "class", "open weights"),
        ("local", "anything", "this machine", "local"),
        ("student", "intents@2", "this machine", "student"),
    ],
)
def test_what_a_model_is_judged_by(provider: str, model: str, basis: str, name: str) -> None:
    found = facts(provider, model)
    assert (found.basis, found.name) == (basis, name) and found.source
    assert (found.architecture is not None) == (basis == "architecture") and (found.active_b is not None) == (basis == "class")


@pytest.mark.parametrize("model", ["frobnicate-1", "text-embedding-3-small", "gpt-image-1", "openrouter/horizon-alpha"])
def test_of_what_nobody_knows_nothing_is_assumed(model: str) -> None:
    with pytest.raises(UnknownFact, match=r"State its size in energy\.toml"):
        facts("openai", model)


def test_the_operators_word_stands_before_all(tmp_path: Path) -> None:
    text = '[[model]]\nmatch = ["acme/*", "claude-*"]\nactive_b = [20, 40]\ntotal_b = [100, 200]\nsource = "their card"\n'
    (tmp_path / "energy.toml").write_text(text)
    own = stated(tmp_path)
    for provider, model in (("acme", "ACME/one"), ("anthropic", "claude-sonnet-4-5")):
        found = facts(provider, model, own)
        assert (found.basis, found.active_b, found.source) == ("stated", (20, 40), "their card")
    assert stated(tmp_path / "nowhere") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[model", "cannot be read"),
        ("[[models]]\nmatch = []", "'models', which is not read"),
        ('[[model]]\nmatch = ["x"]\nactive_b = [1, 2]', "go together"),
        ('[[model]]\nmatch = ["x"]\nactive_b = [2, 1]\ntotal_b = [2, 3]', r"\[2, 1\] is no interval"),
        ('[[model]]\nmatch = ["x"]\nactive_b = [200, 400]\ntotal_b = [100, 200]', "more parameters than there are"),
        ('[[model]]\nmatch = ["x"]\nparams = 3', "params"),
    ],
)
def test_a_mistake_in_it_is_told(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "energy.toml").write_text(text)
    with pytest.raises(UnitCostError, match=said):
        stated(tmp_path)


def test_every_class_has_a_source() -> None:
    assert all(one.source for one in assumed().classes if one.active_b)
    assert [one.name for one in assumed().classes if not one.active_b] == ["no text", "made by nobody knows whom"]
