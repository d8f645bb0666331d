"""Credentials of upstreams: what is sent, what is refused, and that secrets stay where they are."""

import asyncio
import base64
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jevons.core.refusal import Refusal
from jevons.gateway.auth_command import TokenCommand
from jevons.gateway.auth_upstream import Bearer, Client, Command, Credential, SigV4, credential_for
from jevons.gateway.settings import UpstreamSettings
from jevons.gateway.sigv4 import authorization, host_of, signing_key

URL = "https://api.example.com/v1/chat/completions"
SECRET = "sk-very-secret-value-0123456789"


def sent(credential: Credential, client: list[tuple[bytes, bytes]] | None = None) -> dict[str, str]:
    return dict(asyncio.run(credential.headers("POST", URL, b"{}", client or [])))


def settings(**values: Any) -> UpstreamSettings:
    return UpstreamSettings(name="up", **values)


# Static keys


@pytest.mark.parametrize(("kind", "variable", "expected"), [
    ("openai", "OPENAI_API_KEY", {"authorization": f"Bearer {SECRET}"}),
    ("anthropic", "ANTHROPIC_API_KEY", {"x-api-key": SECRET}),
    ("azure", "AZURE_OPENAI_API_KEY", {"api-key": SECRET}),
    ("gemini", "GEMINI_API_KEY", {"authorization": f"Bearer {SECRET}"}),
])  # fmt: skip
def test_each_kind_has_its_own_header(kind: Any, variable: str, expected: dict[str, str]) -> None:
    assert sent(credential_for(settings(kind=kind), {variable: SECRET})) == expected


def test_a_key_may_stand_in_the_settings_or_in_another_variable() -> None:
    assert sent(credential_for(settings(key=SECRET), {})) == {"authorization": f"Bearer {SECRET}"}
    assert sent(credential_for(settings(key_env="MINE"), {"MINE": f" {SECRET}\n"})) == {"authorization": f"Bearer {SECRET}"}
    assert sent(credential_for(settings(auth="header", header="X-Key", key=SECRET), {})) == {"x-key": SECRET}
    assert sent(credential_for(settings(auth="none"), {})) == {}


@pytest.mark.parametrize(("bad", "environ", "said"), [
    (settings(), {}, "OPENAI_API_KEY"),
    (settings(key_env="MINE"), {"MINE": ""}, "MINE"),
    (settings(kind="local"), {}, 'auth = "none"'),
    (settings(key=f"{SECRET}\nx: y"), {}, "no header can carry"),
    (settings(key_env="MINE"), {"MINE": f"{SECRET} x"}, "MINE"),
    (settings(auth="header", key=SECRET), {}, "no header"),
    (settings(auth="command"), {}, "no command"),
    (settings(auth="aws-sigv4"), {}, "AWS_REGION"),
    (settings(auth="aws-sigv4", region="us-east-1"), {"AWS_ACCESS_KEY_ID": SECRET}, "AWS_SECRET_ACCESS_KEY"),
])  # fmt: skip
def test_what_is_missing_is_named_and_what_is_there_is_not(bad: UpstreamSettings, environ: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match="upstream 'up'") as error:
        credential_for(bad, environ)
    assert said in str(error.value)
    assert SECRET not in str(error.value)


def test_no_repr_shows_a_secret() -> None:
    aws = {"AWS_ACCESS_KEY_ID": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": SECRET, "AWS_REGION": "r"}
    for credential in (
        credential_for(settings(key=SECRET), {}),
        credential_for(settings(auth="header", header="x-key", key=SECRET), {}),
        credential_for(settings(auth="aws-sigv4"), aws),
        credential_for(settings(auth="command", command=("echo", SECRET)), {}),
        credential_for(settings(auth="client"), {}),
        credential_for(settings(auth="none"), {}),
    ):
        assert SECRET not in repr(credential)
        credential.rejected()


def test_a_changing_key_is_read_each_time() -> None:
    keys = iter(["one", "two", ""])
    bearer = Bearer(lambda: next(keys))
    assert sent(bearer) == {"authorization": "Bearer one"}
    assert sent(bearer) == {"authorization": "Bearer two"}
    with pytest.raises(Refusal, match="empty"):
        sent(bearer)


# The client's own credential


def test_the_clients_credential_travels_on_and_the_jevons_key_does_not() -> None:
    client = [
        (b"host", b"x"), (b"x-jevons-key", b"jv-abc"), (b"authorization", b"Bearer sk-ant-oat01-own"), (b"x-api-key", b"jv-abc"),
    ]  # fmt: skip
    assert sent(Client("up"), client) == {"authorization": "Bearer sk-ant-oat01-own"}


@pytest.mark.parametrize("client", [[], [(b"authorization", b"Bearer jv-abc")], [(b"x-api-key", b"jv-abc")]])
def test_without_a_credential_of_its_own_the_client_is_told_where_to_put_it(client: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refusal, match="x-jevons-key") as refusal:
        sent(Client("up"), client)
    assert refusal.value.status == 401
    assert "jv-abc" not in str(refusal.value)


# AWS Signature Version 4: the vectors of AWS's test suite (aws-sig-v4-test-suite) and of its documentation

SUITE = {"access_key": "AKIDEXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "region": "us-east-1"}
HOST = {"Host": "example.amazonaws.com", "X-Amz-Date": "20150830T123600Z"}


@pytest.mark.parametrize(("method", "path", "headers", "body", "signature"), [
    ("GET", "/", HOST, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("POST", "/", HOST, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("GET", "/?Param2=value2&Param1=value1", HOST, b"", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ("POST", "/", {**HOST, "Content-Type": "application/x-www-form-urlencoded"}, b"Param1=value1",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
])  # fmt: skip
def test_the_signatures_of_the_test_suite(method: str, path: str, headers: dict[str, str], body: bytes, signature: str) -> None:
    made = authorization(method, f"https://example.amazonaws.com{path}", headers, body, service="service", **SUITE)
    assert made.endswith(f"Signature={signature}")
    assert made.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=")


def test_the_signature_of_the_documentation() -> None:
    """IAM ListUsers, the example of "Create a signed AWS API request"."""
    made = authorization(
        "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
        {"content-type": "application/x-www-form-urlencoded; charset=utf-8", "host": "iam.amazonaws.com", "x-amz-date": "20150830T123600Z"},
        b"", service="iam", **SUITE,
    )  # fmt: skip
    assert made == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )


def test_the_derived_key_of_the_documentation() -> None:
    key = signing_key(SUITE["secret_key"], "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


def test_a_request_is_signed_with_everything_it_sends() -> None:
    credential = SigV4(
        "bedrock", "eu-west-1", "AKIDEXAMPLE", SECRET, "session", clock=lambda: datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
    )
    headers = sent(credential)
    assert headers["x-amz-date"] == "20261121T010203Z"
    assert headers["x-amz-security-token"] == "session"
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token" in headers["authorization"]
    assert "/20261121/eu-west-1/bedrock/aws4_request" in headers["authorization"]
    again = dict(asyncio.run(credential.headers("POST", URL, b'{"a":1}', [])))
    assert again["authorization"] != headers["authorization"]


@pytest.mark.parametrize(("url", "host"), [
    ("https://Bedrock.Example.com/x", "bedrock.example.com"), ("https://a:443/", "a"), ("https://a:8443/", "a:8443"),
    ("http://[::1]:80/", "[::1]"),
])  # fmt: skip
def test_host(url: str, host: str) -> None:
    assert host_of(url) == host


# Commands


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., list[str]]:
    """A program that notes each of its runs in `runs`, then does what the test says; `n` is the number of the run."""

    def make(code: str) -> list[str]:
        path = tmp_path / "program.py"
        path.write_text(
            f"import sys, time, json, pathlib\nruns = pathlib.Path({str(tmp_path / 'runs')!r})\n"
            f"with runs.open('a') as f: f.write('x')\nn = len(runs.read_text())\n{code}\n"
        )
        return [sys.executable, "-S", "-E", str(path)]

    return make


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text())


def test_one_run_serves_all_who_wait(program: Callable[..., list[str]], tmp_path: Path) -> None:
    async def main() -> None:
        command = TokenCommand("up", program("print(f'token-{n}')"), 300, 20)
        assert set(await asyncio.gather(*[command.token() for _ in range(20)])) == {"token-1"}
        assert await command.token() == "token-1"
        credential = Command(command)
        assert await credential.headers("GET", URL, b"", []) == [("authorization", "Bearer token-1")]
        assert await Command(command, "x-goog-api-key").headers("GET", URL, b"", []) == [("x-goog-api-key", "token-1")]

    asyncio.run(main())
    assert runs(tmp_path) == 1


def test_renewed_behind_the_scenes_before_it_expires(program: Callable[..., list[str]], tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        command = TokenCommand("up", program("print(f'token-{n}')"), 300, 20, clock)
        assert await command.token() == "token-1"
        clock.now += 239
        assert await command.token() == "token-1"
        assert runs(tmp_path) == 1
        clock.now += 2
        assert await command.token() == "token-1"  # at once; the new one is on its way
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)
        assert await command.token() == "token-2"
        clock.now += 301
        assert await command.token() == "token-3"

    asyncio.run(main())


def test_a_rejected_token_is_replaced_but_not_over_and_over(program: Callable[..., list[str]]) -> None:
    async def main() -> None:
        clock = Clock()
        command = TokenCommand("up", program("print(f'token-{n}')"), 300, 20, clock)
        assert await command.token() == "token-1"
        clock.now += 11
        command.rejected()
        assert await command.token() == "token-2"
        command.rejected()
        assert await command.token() == "token-2"

    asyncio.run(main())


def test_a_failing_renewal_is_not_felt_while_the_token_holds(program: Callable[..., list[str]], tmp_path: Path) -> None:
    async def main() -> None:
        clock = Clock()
        command = TokenCommand("up", program("print('token') if n == 1 else sys.exit('offline')"), 300, 20, clock)
        await command.token()
        clock.now += 250
        assert await command.token() == "token"
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        assert await command.token() == "token"
        assert runs(tmp_path) == 2
        clock.now += 51
        with pytest.raises(Refusal, match="offline"):
            await command.token()

    asyncio.run(main())


def test_a_failure_is_told_to_all_and_not_repeated_at_once(program: Callable[..., list[str]], tmp_path: Path) -> None:
    code = f"print({SECRET!r}); print('not logged in:', {SECRET!r}, 'short-' + 'a' * 40, file=sys.stderr); sys.exit(3)"

    async def main() -> None:
        clock = Clock()
        command = TokenCommand("up", program(code), 300, 20, clock)
        failures = await asyncio.gather(*[command.token() for _ in range(5)], return_exceptions=True)
        for failure in failures:
            assert isinstance(failure, Refusal)
            assert failure.status == 503
            assert "status 3: not logged in:" in failure.message
            assert SECRET not in failure.message
            assert "aaaa" not in failure.message
        with pytest.raises(Refusal):
            await command.token()
        assert runs(tmp_path) == 1
        clock.now += 11
        with pytest.raises(Refusal):
            await command.token()
        assert runs(tmp_path) == 2

    asyncio.run(main())


@pytest.mark.parametrize(("code", "said"), [
    ("pass", "printed no token"),
    ("print('two words')", "alone, on one line"),
    ("print('{\"x\": 1}')", "printed no token"),
    ("print('{broken')", "printed no token"),
    ("print('x' * 70000)", "more than"),
    ("print(json.dumps({'token': 'x', 'expires_on': 5}))", "expired already"),
    ("sys.exit(7)", "status 7, and said nothing"),
])  # fmt: skip
def test_what_is_not_a_token(program: Callable[..., list[str]], code: str, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        asyncio.run(TokenCommand("up", program(code), 300, 20).token())


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(Refusal, match="cannot be started: No such file"):
        asyncio.run(TokenCommand("up", ["/nowhere/to/be/found"], 300, 20).token())


def test_a_program_that_hangs_is_ended_with_its_children(program: Callable[..., list[str]]) -> None:
    code = "import subprocess; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    with pytest.raises(Refusal, match=r"within 0\.5 s"):
        asyncio.run(TokenCommand("up", program(code), 300, 0.5).token())


def test_a_waiter_that_leaves_does_not_stop_the_others(program: Callable[..., list[str]], tmp_path: Path) -> None:
    async def main() -> None:
        command = TokenCommand("up", program("print(f'token-{n}')"), 300, 20)
        impatient = asyncio.create_task(command.token())
        patient = asyncio.create_task(command.token())
        await asyncio.sleep(0)
        impatient.cancel()
        assert await patient == "token-1"
        assert impatient.cancelled()

    asyncio.run(main())
    assert runs(tmp_path) == 1


def jwt(expiry: int) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expiry}).encode()).decode().rstrip("=")
    return f"head.{claims}.sig"


@pytest.mark.parametrize(("printed", "token", "lifetime_s"), [
    ("plain", "plain", 300),
    (jwt(1_000_900), jwt(1_000_900), 900),
    ("head.x.sig", "head.x.sig", 300),
    (json.dumps({"access_token": "t", "expires_in": 1200, "token_type": "Bearer"}), "t", 1200),
    (json.dumps({"accessToken": "t", "expires_on": 1_000_700, "expiresOn": "1970-01-12 00:00:00"}), "t", 700),
    (json.dumps({"token": "t", "expires_at": "1970-01-12T14:00:00Z"}), "t", 800),
    (json.dumps({"token": "t", "expires_at": "1970-01-12T14:00:00"}), "t", 800),
    (json.dumps({"token": "t", "expires_on": "1000600"}), "t", 600),
    (json.dumps({"token": "t", "expires_at": "soon"}), "t", 300),
    (json.dumps({"kind": "ExecCredential", "status": {"token": "t", "expirationTimestamp": "1970-01-12T13:48:20Z"}}), "t", 100),
    (json.dumps({"token": jwt(1_000_050), "expires_in": 1200}), jwt(1_000_050), 50),
])  # fmt: skip
def test_expiry_is_read_where_it_is_told(
    program: Callable[..., list[str]], tmp_path: Path, printed: str, token: str, lifetime_s: int
) -> None:
    async def main() -> None:
        clock = Clock()
        command = TokenCommand("up", program(f"print({printed!r})"), 300, 20, clock)
        assert await command.token() == token
        clock.now += lifetime_s - 0.001
        assert await command.token() == token
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    asyncio.run(main())
    assert runs(tmp_path) == 2  # the second in the background
