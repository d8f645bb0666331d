"""`jevons experts`, with the stored mixture."""

from pathlib import Path

import pytest

from jevons.engine.experts.routing import DENSE
from jevons.engine.native.package import NativeError, find
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def native() -> None:
    try:
        find()
    except NativeError as error:
        pytest.skip(str(error))


def test_experts_of_a_text(jevons: Run) -> None:
    done = jevons("experts", "Abre el cuadro de diálogo.")
    assert not done.status and "824 k of 2 M" in done.out and "·diálogo" in done.out
    found = jevons("experts", "Abre el cuadro de diálogo.", "--json").json
    assert (found["experts"], found["used"], found["active_parameters"]) == (8, 2, 824_448)
    assert "".join(token["text"] for token in found["tokens"][1:]) == "Abre el cuadro de diálogo."
    assert all(len(set(layer)) == 2 for token in found["tokens"] for layer in token["experts"])
    for place, layer in enumerate(found["layers"]):
        met = {expert for token in found["tokens"] for expert in token["experts"][place]}
        assert layer["idle_share"] == 1 - len(met) / 8


def test_two_languages_are_compared(jevons: Run, tmp_path: Path) -> None:
    english = "Opens the dialog.|Saves the file in a folder.|Prints the page.|Closes the window.|Shows the list of tables."
    spanish = (
        "Abre el diálogo.|Guarda el archivo en una carpeta.|Imprime la página.|Cierra la ventana.|Muestra la lista de tablas."
    )
    for name, texts in (("en", english), ("es", spanish)):
        (tmp_path / name).write_text(texts.replace("|", "\n\n"))
    files = str(tmp_path / "en"), str(tmp_path / "es")
    found = jevons("experts", "--compare", *files, "--permutations", "100", "--json").json
    assert found["texts"] == [5, 5] and len(found["layers"]) == 4
    assert all(layer["language"]["low"] <= layer["language"]["bits"] <= layer["language"]["high"] for layer in found["layers"])
    assert "permutations" in jevons("experts", "--compare", *files, "--permutations", "100").out
    (tmp_path / "es").write_text("Abre el diálogo.")
    refused = jevons("experts", "--compare", *files)
    assert refused.status == 1 and "5 texts of each language are needed" in refused.err


def test_what_cannot_be_shown_is_said(jevons: Run) -> None:
    assert "has no experts" in jevons("experts", "text", "--model", str(DENSE)).err
    assert "not a GGUF file" in jevons("experts", "text", "--model", __file__).err
    undecodable = jevons("experts", "\udcff")
    assert undecodable.status == 1 and "not UTF-8" in undecodable.err
    assert "Give a TEXT" in jevons("experts").err
