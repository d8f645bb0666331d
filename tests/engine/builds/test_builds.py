"""Real builds with the packaged model: one is put into a real server, and the command measures and chooses."""

import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from jevons.cli.main import commands
from jevons.engine.builds import measure
from jevons.engine.builds.build import BUILT_IN, built_in
from jevons.engine.builds.choice import Choice, processor
from jevons.engine.builds.exchange import Applied, apply, look
from jevons.engine.builds.measure import TEXT, fill, started
from jevons.engine.models import find_model
from jevons.engine.native import package
from jevons.engine.native.apart import apart
from jevons.engine.native.library import Library

SERVER_OF_ANOTHER = f"""#!{sys.executable}
# What a llama-server does with llama.cpp's own flags, by the same code in another wrapping.
import sys, threading, xllamacpp
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
params = xllamacpp.CommonParams()
params.model.path, params.hostname, params.port = flags["--model"], flags["--host"], int(flags["--port"])
params.n_parallel, params.n_ctx = int(flags["--parallel"]), int(flags["--ctx-size"])
params.n_batch = params.n_ubatch = int(flags["--batch-size"])
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(flags["--threads"])
server = xllamacpp.Server(params)
threading.Event().wait()
"""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round of a few tokens: what is tested is not how fast they are."""
    monkeypatch.setattr(measure, "CHOOSE_ROUNDS_LEAST", 1)
    monkeypatch.setattr(measure, "CHOOSE_ROUNDS_MAX", 1)
    monkeypatch.setattr(measure, "HEAT", (32, 8))
    monkeypatch.setattr(measure, "ROUND", (33, 4))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JEVONS_HOME", str(tmp_path))
    return tmp_path


def test_the_command_measures_takes_one_and_the_engine_gets_it(
    library: Library, parts: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = home / "bin" / "llama-server"
    program.parent.mkdir()
    program.write_text(SERVER_OF_ANOTHER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    monkeypatch.setattr(measure, "CHOOSE_ROUNDS_LEAST", 1)
    monkeypatch.setattr(measure, "CHOOSE_ROUNDS_MAX", 1)
    monkeypatch.setattr(
        "jevons.engine.builds.build.variant_scores", lambda _: {library.variant: 1}
    )  # one, for the time of a test
    answer = CliRunner().invoke(commands, ["engine", "choose", "--json"], catch_exceptions=False)
    choice = msgspec.json.decode(answer.stdout, type=Choice)
    assert [(row.build, row.problem) for row in choice.rows] == [(BUILT_IN, ""), (library.variant, ""), ("llama-server", "")]
    assert all(row.rounds == 1 and row.prefill_tok_s > 0 and row.decode_tok_s > 0 for row in choice.rows)
    assert choice.rows[2].difference_nats == 0
    file = home / "engine.json"
    assert Choice.read(file) == choice
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(choice, build=library.variant))
    )  # whichever was faster in one round
    assert apart(apply, file) == look(file) == Applied(library.variant, look(file).said)
    status = msgspec.json.decode(CliRunner().invoke(commands, ["engine", "status", "--json"]).stdout)
    assert status["build"] == library.variant
    assert status["llama_server"] == str(program)
    assert "× built-in" in CliRunner().invoke(commands, ["engine", "status"]).stdout


def test_a_back_end_that_was_changed_since_is_not_loaded(
    library: Library, parts: None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "engine.json"
    file.write_bytes(
        msgspec.json.encode(Choice(library.variant, "", processor(), "", "", 1, "", [])),
    )
    assert look(file).build == library.variant
    monkeypatch.setattr(sys, "prefix", str(home))
    target = package.folder()
    target.mkdir(parents=True)
    for name in package.SHA256:
        (target / name).symlink_to(library.folder / name)
    assert look(file).build == library.variant
    back_end = target / package.VARIANT.format(library.variant)
    content = bytearray(back_end.read_bytes())
    content[-1] ^= 1
    back_end.unlink()
    back_end.write_bytes(content)
    assert look(file).build == BUILT_IN
    assert "is not the file of" in look(file).said


def test_a_build_that_computes_something_else_is_noticed(parts: None) -> None:
    model = find_model()
    assert model
    with started(built_in(), model.path, 1) as own:
        prompt = fill(own.tokens(TEXT), 33)
        steps, row = own.heat(prompt, None)
        assert (row.difference_nats, row.problem) == (0, "")
        assert own.heat(prompt[1:], steps)[1].problem.startswith("it computes something else")
