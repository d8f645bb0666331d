"""A bare llama.cpp server that saves and restores slots, and one state that it saved."""

import importlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jevons.engine.models import find_model

TEXT = "A conversation that holds no slot is parked: its keys and values wait until it comes back. " * 6


@dataclass(frozen=True)
class Slots:
    """Asks the server; files are in `folder`."""

    address: str
    folder: Path

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def go_on(self, slot: int, tokens: list[int], count: int) -> tuple[list[int], int]:
        """The next tokens at temperature 0, and how many of the prompt's the slot already had."""
        asked = {
            "prompt": tokens,
            "n_predict": count,
            "temperature": 0,
            "id_slot": slot,
            "return_tokens": True,
            "ignore_eos": True,
        }
        answer = self.post("/completion", asked)
        return answer["tokens"], answer["timings"]["cache_n"]

    def save(self, slot: int, name: str) -> bytes:
        self.post(f"/slots/{slot}?action=save", {"filename": name})
        return (self.folder / name).read_bytes()

    def restore(self, slot: int, state: bytes | bytearray) -> None:
        (self.folder / "restored").write_bytes(state)
        self.post(f"/slots/{slot}?action=restore", {"filename": "restored"})

    def erase(self, slot: int) -> None:
        self.post(f"/slots/{slot}?action=erase", {})


@pytest.fixture(scope="session")
def slots(parts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slots]:
    engine: Any = importlib.import_module("xllamacpp")
    model = find_model()
    assert model is not None
    folder = tmp_path_factory.mktemp("slots")
    params = engine.CommonParams()
    params.model.path = str(model.path)
    params.port = 0
    params.n_parallel, params.n_ctx = 2, 1024
    params.n_batch = params.n_ubatch = 256
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_ram_mib = 0
    params.slot_save_path = f"{folder}/"
    params.ui = False
    params.verbosity = 1
    server = engine.Server(params)
    yield Slots(server.listening_address, folder)
    del server


@pytest.fixture(scope="session")
def saved(slots: Slots) -> bytes:
    """The file of a conversation of some hundred tokens, from slot 1 of 2."""
    tokens = slots.post("/tokenize", {"content": TEXT})["tokens"]
    slots.go_on(1, tokens, 1)
    return slots.save(1, "saved")
