"""What is said to a model, and what it says, is in no file of ours; nor is any key, but those that the operator keeps there."""

from pathlib import Path

from tests.gateway.asking import Gateway
from tests.provider import Provider
from tests.running import Jevons, upstream

ASKED = "zebrafish-of-the-question"
ANSWERED = "marmalade-of-the-answer"
OWN = "sk-ant-credential-of-the-client"


def test_nothing_said_is_kept(tmp_path: Path, provider: Provider) -> None:
    upstreams = (
        upstream("openai", f"{provider.url}/v1", models=("gpt-*", "text-embedding-*")),
        upstream("anthropic", provider.url, kind="anthropic"),
        {"name": "own", "kind": "anthropic", "base_url": provider.url, "auth": "client", "models": ["own"]},
    )
    with Jevons(tmp_path / "home", *upstreams) as jevons:
        gateway = Gateway(jevons, provider)
        key = gateway.key()
        said = f'{ASKED} @@{{"reply": "{ANSWERED}"}}'
        talk = {"messages": [{"role": "system", "content": ASKED}, {"role": "user", "content": said}], "max_tokens": 50}
        for stream in (False, True):
            assert ANSWERED in gateway.post("chat", key, {"model": "gpt-4o", "stream": stream, **talk}).body.decode()
            assert ANSWERED in gateway.post("chat", key, {"model": "claude-sonnet-4-5", "stream": stream, **talk}).body.decode()
            body = {"model": "gpt-4o", "input": said, "stream": stream}
            assert ANSWERED in gateway.post("responses", key, body).body.decode()
        tier = {"model": "gpt-4o", "service_tier": f"the {ASKED}", "messages": [{"role": "user", "content": "x"}]}
        assert gateway.post("chat", key, tier).status == 200, "the upstream judges its tiers; what names none is not recorded"
        speed = {"model": "claude-sonnet-4-5", "speed": f"the {ASKED}", **talk}
        assert gateway.post("messages", key, speed).status == 200
        assert gateway.post("embeddings", key, {"model": "text-embedding-3-small", "input": ASKED}).status == 200
        own = {"model": "own/claude-sonnet-4-5", "messages": [{"role": "user", "content": said}], "max_tokens": 50}
        answer = gateway.post("messages", None, own, x_jevons_key=key.secret, x_api_key=OWN)
        assert ANSWERED in answer.body.decode()
        failing = f'{ASKED} @@{{"fault": "status", "status": 400, "message": "{ANSWERED}"}}'
        assert gateway.post("chat", key, {"model": "gpt-4o", "messages": [{"role": "user", "content": failing}]}).status >= 400
        assert gateway.post("chat", key, {"model": "nobody", "messages": [{"role": "user", "content": ASKED}]}).status == 404
        assert gateway.post("chat", key, f'{{"model": "gpt-4o", "messages": "{ASKED}'.encode()).status == 400
        gateway.settled(key, 10)
        jevons.run("backup")
    kept = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert {"ledger.db", "serve.log"} <= {path.name for path in kept}
    for path in kept:
        data = path.read_bytes()
        for secret in (ASKED, ANSWERED, OWN, key.secret):
            assert secret.encode() not in data, f"{secret} stands in {path}"
