"""Real files of a real f32 model, made, measured each in a process of its own, and chosen."""

from pathlib import Path

import msgspec
import pytest

from jevons.engine.weights.catalogue import Catalogue, CatalogueError, Known, sha256_of
from jevons.engine.weights.choose import Bound, Mix
from jevons.engine.weights.contents import Contents
from jevons.engine.weights.measure import Sizes
from jevons.engine.weights.quantise import file_type, need_room, quantise
from jevons.engine.weights.traffic import Traffic, read_traffic
from jevons.engine.weights.trial import Trial, Wanted
from tests.engine.weights.tiny import write

pytestmark = pytest.mark.usefixtures("native")

SIZES = Sizes(tokens=3_300, questions=4, rounds=1, threads=1)
WANTED = Wanted(("Q8_0", "Q4_0"), Bound(0.05), Mix(4, 1, "planted"), "bytes", SIZES)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Catalogue:
    catalogue = Catalogue(tmp_path_factory.mktemp("home"))
    catalogue.add(tiny)
    return catalogue


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return read_traffic()


def test_choose(catalogue: Catalogue, traffic: Traffic) -> None:
    said: list[str] = []
    choice = Trial(catalogue, catalogue.find("tiny"), said.append).run(WANTED, traffic)
    source, q8, q4 = choice.rows
    assert source.kld_mean == 0 and source.top1_agreement == 1 and source.bits_per_weight == 32 and not source.requantised
    assert q8.kld_mean is not None and q4.kld_mean is not None and q8.kld_upper is not None and q4.kld_upper is not None
    assert 0 < q8.kld_mean < q8.kld_upper < 0.05 < q4.kld_mean < q4.kld_upper, "of chance, but 8 bits lose less than 4"
    assert q8.perplexity == pytest.approx(source.perplexity, rel=0.05)
    assert (choice.chosen, choice.label, choice.none_passes) == ("tiny.Q8_0", "Q8_0", False)
    assert q8.rss_mib is not None and 20 < q8.rss_mib < 200 and q8.decode_tok_s
    kept = catalogue.find("tiny.Q8_0")
    assert kept.made and kept.made.type == "Q8_0" and not kept.made.requantised
    assert list((catalogue.folder / "candidates").iterdir()) == [], "what was not chosen is gone"
    assert any("Q4_0" in line for line in said)

    again = Trial(catalogue, catalogue.find("tiny"), said.append).run(WANTED, traffic)
    assert again == choice and "measured before" in said[-1]
    said.clear()
    Trial(catalogue, catalogue.find("tiny"), said.append).run(msgspec.structs.replace(WANTED, types=("Q8_0",)), traffic)
    assert said == ["speed, round 1 of 1: 2 files"], "speeds of another run are not compared with"
    remembered = (catalogue.folder / "measures.json").read_text()
    assert not any(text.turns[0].content[:30] in remembered for text in traffic.texts), "no text is kept"


def test_a_file_of_a_quantised_source_says_so(catalogue: Catalogue) -> None:
    source = quantise(catalogue, catalogue.find("tiny"), "Q8_0")
    made = quantise(catalogue, source, "Q4_K_M")
    assert made.made and made.made.requantised and made.source == "quantised from tiny.Q8_0"
    contents = Contents(made.path)
    assert "Q4_K" not in contents.shares, "rows of 64 have no superblocks"
    assert contents.fell_back("Q4_K_M").startswith("rows of 15 of 15 matrices are no multiple of 256")
    assert contents.fell_back("Q8_0") == ""
    assert contents.bits_per_weight == pytest.approx(8 * sum(t.size_bytes for t in contents.tensors) / contents.parameters)
    modified = made.path.stat().st_mtime_ns
    assert quantise(catalogue, source, "Q4_K_M") == made and made.path.stat().st_mtime_ns == modified, "made once"
    _, deleted = catalogue.remove("tiny.Q8_0.Q4_K_M")
    assert deleted and not made.path.exists()


def test_a_made_file_is_never_overwritten(tmp_path: Path, tiny: Path, traffic: Traffic) -> None:
    catalogue = Catalogue(tmp_path)
    made = quantise(catalogue, catalogue.add(tiny, "m"), "Q8_0")
    catalogue.remove("m")
    source, said = catalogue.add(write(tmp_path / "other.gguf", seed=2), "m"), list[str]()
    with pytest.raises(CatalogueError, match="jevons models remove m"):
        quantise(catalogue, source, "Q8_0")
    with pytest.raises(CatalogueError, match="jevons models remove m"):
        Trial(catalogue, source, said.append).run(WANTED, traffic)
    assert said == [], "nothing was measured in vain"
    assert catalogue.find("m.Q8_0") == made and sha256_of(made.path) == made.sha256


def test_a_candidate_that_cannot_be_measured_is_left_out(tmp_path: Path, tiny: Path, traffic: Traffic) -> None:
    """A file in waiting that was cut short, as a full disk leaves it."""
    catalogue = Catalogue(tmp_path)
    source = catalogue.add(tiny)
    place = catalogue.folder / "candidates" / f"{source.sha256[:16]}.Q8_0.gguf"
    place.parent.mkdir()
    place.write_bytes(tiny.read_bytes()[:20_000])
    wanted = Wanted(("Q8_0",), Bound(0.05), WANTED.mix, "bytes", Sizes(tokens=600, questions=0, rounds=1, threads=1))
    choice = Trial(catalogue, source, lambda line: None).run(wanted, traffic)
    assert choice.none_passes and choice.chosen == "tiny" and choice.rows[1].perplexity is None
    assert str(place) in choice.rows[1].why_not


def test_a_source_that_is_no_more_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf")
    catalogue = Catalogue(tmp_path)
    source = catalogue.add(path)
    path.unlink()
    with pytest.raises(CatalogueError, match="not there any more"):
        Trial(catalogue, Known(source.name, path, source.sha256, None, "missing", ""), lambda line: None)


def test_types_and_room(tmp_path: Path) -> None:
    assert file_type("q4_k_m") == "Q4_K_M"
    with pytest.raises(CatalogueError, match="there is no file type 'Q9'"):
        file_type("Q9")
    with pytest.raises(CatalogueError, match="importance matrix"):
        file_type("iq2_xs")
    with pytest.raises(CatalogueError, match="GiB left"):
        need_room(tmp_path, 10**15, ("Q8_0", "F16"))
