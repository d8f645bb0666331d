"""Which files are known: what is remembered of them, and what is said when they are not what they were."""

from pathlib import Path

import pytest

from jevons.engine.gguf import NotGguf
from jevons.engine.weights.catalogue import PACKAGED, Catalogue, CatalogueError, sha256_of
from tests.engine.weights.tiny import write


def own(catalogue: Catalogue) -> list[str]:
    return [known.name for known in catalogue.known() if known.name != PACKAGED]


def test_an_added_file_stays_where_it_is(tmp_path: Path, tiny: Path) -> None:
    known = Catalogue(tmp_path).add(tiny, "mine")
    assert (known.name, known.path, known.state) == ("mine", tiny, "there")
    assert known.sha256 == sha256_of(tiny)
    again = Catalogue(tmp_path).find("mine")
    assert again == known and again.model().architecture == "llama"
    assert [path.name for path in (tmp_path / "models").glob("*.gguf")] == []
    assert (tmp_path / "models/catalogue.json").stat().st_mode & 0o777 == 0o600


def test_a_missing_and_a_changed_file_are_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", seed=1)
    catalogue = Catalogue(tmp_path)
    catalogue.add(path)
    path.touch()
    assert catalogue.find("m").state == "there", "another time alone is no other file"
    write(path, seed=2)
    assert catalogue.find("m").state == "changed"
    with pytest.raises(CatalogueError, match="jevons models add"):
        catalogue.find("m").model()
    path.unlink()
    assert catalogue.find("m").state == "missing"
    with pytest.raises(CatalogueError, match="jevons models remove m"):
        catalogue.find("m").model()


def test_names(tmp_path: Path, tiny: Path) -> None:
    catalogue = Catalogue(tmp_path)
    catalogue.add(tiny)
    catalogue.add(tiny)
    assert own(catalogue) == ["tiny"], "the same file twice is one"
    for name in (PACKAGED, "a/b", "", "-x", "q8_0"):
        with pytest.raises(CatalogueError, match="cannot be a name"):
            catalogue.add(tiny, name or "/")
    other = write(tmp_path / "other.gguf", seed=2)
    with pytest.raises(CatalogueError, match="already"):
        catalogue.add(other, "tiny")
    with pytest.raises(CatalogueError, match=r"there are: .*tiny"):
        catalogue.find("nope")


def test_a_file_that_was_cut_short_is_not_taken_in(tmp_path: Path, tiny: Path) -> None:
    catalogue = Catalogue(tmp_path)
    cut = tmp_path / "cut.gguf"
    for size in (3_000, tiny.stat().st_size - 1_000):
        cut.write_bytes(tiny.read_bytes()[:size])
        with pytest.raises(NotGguf, match=r"cut\.gguf cannot be used: .*cut short"):
            catalogue.add(cut)
    assert own(catalogue) == []


def test_a_name_is_claimed_before_its_file_is_made(tmp_path: Path, tiny: Path) -> None:
    catalogue = Catalogue(tmp_path)
    folder = catalogue.folder
    assert catalogue.claim("tiny.Q4_0") == folder / "tiny.Q4_0.gguf"
    catalogue.add(tiny, "mine")
    folder.joinpath("left.gguf").write_bytes(b"of somebody")
    for name, says in (("mine", "already, at"), ("left", "not in the catalogue"), ("n" * 80 + ".Q4_0", "cannot be a name")):
        with pytest.raises(CatalogueError, match=says):
            catalogue.claim(name)


def test_forgetting_leaves_the_operators_file(tmp_path: Path, tiny: Path) -> None:
    catalogue = Catalogue(tmp_path)
    catalogue.add(tiny)
    gone, deleted = catalogue.remove("tiny")
    assert gone.path.exists() and not deleted and own(catalogue) == []
    with pytest.raises(CatalogueError, match="packages"):
        catalogue.remove(PACKAGED)


def test_a_damaged_catalogue_is_said_and_not_overwritten(tmp_path: Path, tiny: Path) -> None:
    file = tmp_path / "models/catalogue.json"
    file.parent.mkdir()
    file.write_text("{")
    with pytest.raises(CatalogueError, match="cannot be read"):
        Catalogue(tmp_path).add(tiny)
    assert file.read_text() == "{"
