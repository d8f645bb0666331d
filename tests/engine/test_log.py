"""The engine's log: bounded on disk and in memory, private, and honest when the disk fails."""

import stat
from pathlib import Path

import pytest

from jevons.core.limits import ENGINE_LOG_BYTES_MAX
from jevons.engine.log import EngineLog


def test_both_files_stay_bounded_and_private(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    log = EngineLog(path)
    for _ in range(45):
        log.add(b"x" * (ENGINE_LOG_BYTES_MAX // 20) + b"\n")
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["engine.log", "engine.log.1"]
    assert all(0 < file.stat().st_size <= ENGINE_LOG_BYTES_MAX for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_errors_come_without_time_stamps(tmp_path: Path) -> None:
    log = EngineLog(None)
    assert log.errors() == ""
    log.add(b"0.00.001.000 I srv          init: loading\n")
    assert log.errors() == "0.00.001.000 I srv init: loading"
    log.add(b"0.00.011.231 E srv    load_model: failed to load model, 'm.gguf'\n")
    assert log.errors() == "srv load_model: failed to load model, 'm.gguf'"
    log.clear()
    assert log.errors() == ""


def test_a_log_that_cannot_be_written_goes_on_in_memory(tmp_path: Path) -> None:
    log = EngineLog(tmp_path / "missing" / "engine.log")
    log.add(b"first\n")
    assert "not written any more" in log.errors()
    log.add(b"second\n")
    assert log.errors() == "second"


@pytest.mark.parametrize("junk", [b"\xff\xfe\n", b"\n"])
def test_any_bytes_may_come(junk: bytes) -> None:
    log = EngineLog(None)
    log.add(junk)
    assert isinstance(log.errors(), str)
