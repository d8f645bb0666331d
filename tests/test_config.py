"""jevons.toml and JEVONS_*: what is read, and that a mistake is told with file, place and remedy."""

from pathlib import Path

import pytest

from jevons.config import Config, ConfigError, first_config, found_keys, home_path, load
from jevons.gateway.settings import KINDS
from jevons.gateway.upstreams import live, table_of
from jevons.policy.route import Alias


def written(folder: Path, text: str) -> Path:
    file = folder / "jevons.toml"
    file.write_text(text)
    return file


def test_without_a_file_defaults_apply() -> None:
    assert load(None, {}) == Config()
    assert load(None, {}).host == "127.0.0.1"


def test_a_whole_file(tmp_path: Path) -> None:
    text = """
port = 5000
hosts = []
[[upstreams]]
name = "azure"
kind = "azure"
base_url = "https://x.openai.azure.com"
key_env = "K"
query = { api-version = "2024-10-21" }
models = ["azure-*"]
on_disconnect = "drain"
billed = false
[[models]]
name = "fast"
upstream = "azure"
target = "gpt-4o-mini"
[engine]
enabled = false
[ledger]
synchronous = "OFF"
"""
    config = load(written(tmp_path, text), {})
    assert (config.port, config.hosts, config.engine.enabled, config.ledger.synchronous) == (5000, (), False, "OFF")
    assert config.upstreams[0].query == {"api-version": "2024-10-21"}
    assert config.models == (Alias("fast", "azure", "gpt-4o-mini"),)


def test_the_environment_is_stronger(tmp_path: Path) -> None:
    file = written(tmp_path, "port = 5000\n[ledger]\nenabled = false\n")
    config = load(file, {"JEVONS_PORT": "6000", "JEVONS_HOST": "0.0.0.0", "JEVONS_LEDGER_SYNCHRONOUS": "OFF"})
    assert (config.port, config.host, config.ledger.synchronous, config.ledger.enabled) == (6000, "0.0.0.0", "OFF", False)
    assert load(file, {"JEVONS_PORT": "", "JEVONS_HOST": ""}).port == 5000


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("prot = 1", "prot"),
        ("port = 'x'", "port"),
        ("[[upstreams]]\nkind = 'openai'", "name"),
        ("[[upstreams]]\nname = 'x'\nkind = 'nonsense'", "nonsense"),
        ("[[upstreams]]\nname = 'x'\nkeys = 'y'", "keys"),
        ("[[upstreams]]\nname = 'x'\non_disconnect = 'sulk'", "sulk"),
        ("[engine]\nthreads = 'many'", "threads"),
        ("[ledger]\nsynchronous = 'MAYBE'", "MAYBE"),
        ("[cache.prompt]\nmode = 'auto'", "must be one of: observe, off, on."),
        ("[[limits]]\nname = 'x'\nmode = 'auto'", "must be one of: enforce, observe, off."),
        ("not toml at all", "TOML"),
    ],
)
def test_a_mistake_names_the_file_and_the_place(tmp_path: Path, text: str, word: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert str(file) in str(caught.value)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml", {})
    (tmp_path / "jevons.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="TOML"):
        load(tmp_path / "jevons.toml", {})
    with pytest.raises(ConfigError, match="JEVONS_PORT"):
        load(None, {"JEVONS_PORT": "http"})


def test_the_home() -> None:
    assert home_path({"JEVONS_HOME": "/x/y"}) == Path("/x/y")
    assert home_path({}) == Path.home() / ".jevons"


def test_what_is_found_in_the_environment_can_be_read_again(tmp_path: Path) -> None:
    """By reference; every offer is an upstream that works as it is written."""
    names = ["OPENAI", "ANTHROPIC", "GEMINI", "GOOGLE", "OPENROUTER", "MISTRAL", "DEEPSEEK", "GROQ", "XAI", "AZURE_OPENAI"]
    environ = {f"{name}_API_KEY": f"sk-canary-{name}" for name in names} | {"AZURE_OPENAI_ENDPOINT": "https://x.openai.azure.com"}
    text = first_config(found_keys(environ))
    assert "canary" not in text
    config = load(written(tmp_path, text), {})
    assert [one.name for one in config.upstreams] == [
        "openai", "anthropic", "gemini", "openrouter", "mistral", "deepseek", "groq", "x-ai", "azure",
    ]  # fmt: skip
    assert all(one.key_env in environ and not one.key for one in config.upstreams)
    table_of(list(config.upstreams), [])


def test_without_any_key_the_first_file_shows_how(tmp_path: Path) -> None:
    text = first_config([])
    assert load(written(tmp_path, text), {}) == Config()
    assert all(kind in text for kind in KINDS)
    example = "\n".join(
        line.removeprefix("# ") for line in text.splitlines() if line.startswith(("# [[", "# name", "# kind", "# key_env"))
    )
    assert load(written(tmp_path, example), {}).upstreams[0].name == "openai"


def test_upstreams_that_cannot_be(tmp_path: Path) -> None:
    twice = load(written(tmp_path, "[[upstreams]]\nname = 'x'\n[[upstreams]]\nname = 'x'\n"), {})
    with pytest.raises(ValueError, match="one name: x"):
        table_of(list(twice.upstreams), [])
    with pytest.raises(ValueError, match="'nowhere', which is not configured"):
        table_of([], [Alias("a", "nowhere", "m")])
    azure = load(written(tmp_path, "[[upstreams]]\nname = 'x'\nkind = 'azure'\nkey = 'k'\n"), {})
    with pytest.raises(ValueError, match="needs a base_url"):
        live(azure.upstreams[0])
