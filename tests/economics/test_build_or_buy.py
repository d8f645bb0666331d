"""Bought and built are compared on the ledger's own sums; what is missing is said, and nothing crosses where it does not."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from jevons.core.entry import Outcome
from jevons.core.routed import Role
from jevons.core.saving import Break, Saving, SavingKind
from jevons.core.usage import Usage
from jevons.economics.build_or_buy import Comparison, compare, load_of, model_of
from jevons.economics.build_or_buy_picture import picture, volume
from jevons.economics.unitcost.cost import Owning, owned, rented, stated
from jevons.economics.unitcost.efficiency import shipped
from jevons.economics.unitcost.errors import DoesNotFit, TooLong, UnitCostError, UnknownFact
from jevons.economics.unitcost.hardware import part
from jevons.economics.ways import Here
from jevons.economics.workload import Workload, workload
from jevons.ledger.ops import Op
from jevons.ledger.rollup import DAY_MS, HOUR_MS
from jevons.meter.pricebook import PriceBook, open_book
from tests.economics.test_workload import DAY0, call, ledger

H100 = part("H100-SXM-80GB")
MISSING = UnknownFact("nobody knows its price")
AGENT = Usage(input=500, cache_read=3_500, cache_write_5m=1_000, output=200)
NUSD = 20_000_000


def work_of(path: Path, calls: int = 40, **changes: object) -> Workload:
    """Ten days, four calls in one hour of each."""
    ops: list[Op] = []
    for number in range(calls):
        at_ms = DAY0 + number // 4 * DAY_MS + 9 * HOUR_MS + number
        fields = {"usage": AGENT, "savings": (Saving(SavingKind.ROUTE, NUSD // 2, 0, False),), "billed_nusd": NUSD // 2}
        ops += call(at_ms, 12_000, NUSD, **(fields | changes))
    found = workload(ledger(path / "ledger.db", ops), DAY0, DAY0 + 10 * DAY_MS)
    assert found is not None
    return found


def compared(work: Workload, **changes: object) -> Comparison:
    model, names = model_of("gpt-oss-120b")
    asked = {"rented": rented(H100), "owned": owned(H100), "here": "not measured", "names": names}
    return compare(work, model, H100, shipped(), **(asked | changes))  # type: ignore[arg-type]


@pytest.fixture
def work(tmp_path: Path) -> Workload:
    return work_of(tmp_path)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return open_book(tmp_path_factory.mktemp("home"))


def test_what_was_bought_is_the_ledgers_sum(work: Workload, book: PriceBook) -> None:
    found = compared(work, book=book)
    spans = {way.name: way.span_nusd for way in found.ways if way.span_nusd is not None}
    money = work.money
    assert spans == {
        "api_list": money.baseline_nusd,
        "api_caches": money.list_nusd + money.ours_nusd,
        "api_billed": money.billed_nusd,
    }
    assert money.ours_nusd == 40 * NUSD // 2 and money.billed_nusd == 40 * NUSD // 2
    monthly = found.way("api_billed").monthly
    assert monthly is not None and monthly.mid == round(money.billed_nusd / 10 * 365.25 / 12)
    host = found.way("api_open")
    assert host.monthly is not None and host.monthly.low < host.monthly.mid < host.monthly.high
    per_million = host.document(work.tokens_a_month)["per_million"]
    assert per_million["p50_nusd"] == pytest.approx(host.per_token_nusd * 1e6, abs=1)  # type: ignore[operator]


def test_the_mean_request_and_its_peak_decide_how_much_is_built(work: Workload) -> None:
    load = load_of(work)
    assert (load.prompt, load.cached, load.output) == (1_500, 3_500, 200)
    found = compared(work, uneven=5.0)
    rent, own = found.way("rented"), found.way("owned")
    assert [way.replicas[0].devices for way in (rent, own)] == [1, 1]  # it fits one, and one does it
    assert rent.monthly is not None and rent.monthly.mid == pytest.approx(2.5 * 730.5 * 1e9)
    assert rent.tok_s_user is not None and rent.tok_s_user > 50  # alone on the device, not at the floor
    assert rent.utilisation is not None and 0 < rent.utilisation < 0.01
    busier = compared(work, uneven=10.0)
    assert busier.way("rented").replicas[0].month.mid == pytest.approx(rent.replicas[0].month.mid / 2)
    # In the ledger: all of a day's work in one hour of 24.
    assert compared(work).way("rented").replicas[0].month.mid == pytest.approx(rent.replicas[0].month.mid * 5 / 24)


def test_at_the_break_even_both_cost_the_same(work: Workload, book: PriceBook) -> None:
    found = compared(work, book=book)
    assert {(one.build, one.buy) for one in found.crossings} == {
        (build, buy) for build in ("rented", "owned") for buy in ("api_list", "api_caches", "api_billed", "api_open")
    }
    for one in found.crossings:
        if one.tokens is not None:
            built, bought = found.way(one.build).at(one.tokens.mid), found.way(one.buy).at(one.tokens.mid)
            assert built == pytest.approx(bought)
            before = one.tokens.mid * 0.99
            assert (found.way(one.build).at(before) or 0) > (found.way(one.buy).at(before) or 0)
    listed, billed = (
        (next(one for one in found.crossings if (one.build, one.buy) == ("rented", buy))) for buy in ("api_list", "api_billed")
    )
    assert listed.tokens is not None and billed.tokens is not None and listed.tokens.mid < billed.tokens.mid


def test_dollars_are_over_the_tokens_that_they_are_of(work: Workload, tmp_path: Path, book: PriceBook) -> None:
    """As many answers of our caches again: the list price of a million stays, what is behind the caches serves twice the tokens."""
    path, ops = tmp_path / "twice.db", []
    for number in range(40):
        at_ms = DAY0 + number // 4 * DAY_MS + 9 * HOUR_MS + number
        ops += call(at_ms, 12_000, NUSD, usage=AGENT)
        hit = Saving(SavingKind.ANSWER_EXACT, NUSD, 5_200, True)
        ops += call(at_ms + 4, 50, 0, usage=Usage(), outcome=Outcome.CACHED, savings=(hit,))
    twice = workload(ledger(path, ops), DAY0, DAY0 + 10 * DAY_MS)
    assert twice is not None and twice.tokens_a_month == 2 * work.tokens_a_month
    here = Here("small", 1_000.0, 35_000.0, 100.0, 50.0, 1.15, 0.05, "measured")
    once, found = compared(work, book=book, here=here), compared(twice, book=book, here=here)
    listed, billed = found.way("api_list"), found.way("api_billed")
    assert (listed.per_token_nusd, billed.per_token_nusd) == (NUSD / 5_200, NUSD / 10_400)
    assert listed.monthly is not None and listed.monthly.mid == pytest.approx(listed.at(twice.tokens_a_month) or 0)
    before = once.way("api_open").per_token_nusd
    assert before is not None and found.way("api_open").per_token_nusd == pytest.approx(before / 2)
    for name in ("rented", "here"):
        assert found.way(name).replicas[0].month.mid == pytest.approx(2 * once.way(name).replicas[0].month.mid)
    assert found.electricity is not None and once.electricity is not None
    assert found.electricity.nusd == pytest.approx(once.electricity.nusd / 2, abs=1)
    assert any("208,000 reached nobody" in note for note in found.notes)


def test_what_we_asked_ourselves_is_said(tmp_path: Path) -> None:
    found = compared(work_of(tmp_path, calls=1), uneven=1.0)
    assert not any("of our own" in note for note in found.notes)
    own = {"role": Role.JUDGE, "savings": (Saving(SavingKind.SHADOW, -NUSD, -5_200),)}
    ops = [*call(DAY0, 12_000, NUSD, usage=AGENT), *call(DAY0 + 1, 12_000, NUSD, usage=AGENT, **own)]
    judged = workload(ledger(tmp_path / "judged.db", ops), DAY0, DAY0 + 10 * DAY_MS)
    assert judged is not None and judged.asked == 5_200 and judged.money.baseline_nusd == NUSD
    assert any("1 calls of our own" in note and "$0.02 " in note for note in compared(judged).notes)


def test_electricity_is_at_its_price_and_of_whole_computers_where_known(work: Workload) -> None:
    found, dear = compared(work).electricity, compared(work, terms=Owning(electricity_usd_kwh=0.8, pue=2.4)).electricity
    assert found is not None and dear is not None and dear.nusd == pytest.approx(20 * found.nusd, rel=1e-5)
    model, _ = model_of("gpt-oss-120b")
    bare = compare(work, model, replace(H100, allin_kw=None), shipped(), rented=MISSING, owned=MISSING, here="").electricity
    assert bare is not None and (found.of, bare.of) == ("computers", "devices")
    assert found.nusd == pytest.approx(bare.nusd * 1.73 / 1.2 / 0.7, rel=1e-5)


def test_this_machine_by_what_was_measured_on_it(work: Workload) -> None:
    here = Here("small", 1_000.0, 35_000.0, 100.0, 50.0, 1.15, 0.05, "measured")
    way = compared(work, here=here, uneven=1.0).way("here")
    seconds = 1_500 / 1_000 + 3_500 / 35_000 + 200 / 100  # of one call
    assert way.replicas[0].month.mid == pytest.approx(0.7 * 730.5 * 3600 / seconds * 5_200)
    assert way.replicas[0].month.high == pytest.approx(1.15 * way.replicas[0].month.mid)
    assert way.monthly is not None and way.monthly.mid == pytest.approx(0.05 * 730.5 * 1e9) and way.tok_s_user == 50
    none = compared(work).way("here")
    assert (none.monthly, none.at(1e9), none.says) == (None, None, "not measured")


def test_what_is_missing_is_said_beside_what_is_not(work: Workload) -> None:
    found = compared(work, rented=MISSING, owned=stated(1, 2, 3))
    assert found.way("rented").monthly is None and "nobody knows" in found.way("rented").says
    assert {one.build for one in found.crossings} == {"owned"}
    assert "is not the models" in found.notes[0]
    assert json.dumps(found.document())
    hostless = compared(work, book=None)
    assert all(way.name != "api_open" for way in hostless.ways)


def test_a_model_that_no_host_sells(work: Workload, book: PriceBook) -> None:
    found = compared(work, book=book, names=("no-such-model-anywhere",))
    assert found.way("api_open").monthly is None and "prices update" in found.way("api_open").says


def test_work_that_writes_nothing_is_read_all_the_same(tmp_path: Path) -> None:
    found = compared(work_of(tmp_path, usage=Usage(input=1_500)))
    replica, speed = found.way("rented").replicas[0], found.placed.speed
    assert replica.month.mid == pytest.approx(0.7 / 24 * 730.5 * 3600 * replica.devices * speed.device_tok_s * 1_500)
    assert speed.device_tok_s * 1_500 < 1.01 * speed.prefill_tok_s


def test_what_is_announced_is_marked(work: Workload) -> None:
    h100 = replace(H100, status="announced", announced="soon")
    model, _ = model_of("gpt-oss-120b")
    found = compare(work, model, h100, shipped(), rented=MISSING, owned=MISSING, here="")
    assert any("announced (soon)" in note for note in found.notes)


def test_nothing_billed_is_no_price_to_beat(tmp_path: Path) -> None:
    found = compared(work_of(tmp_path, billed_nusd=0, savings=()))
    assert {one.buy for one in found.crossings} == {"api_list", "api_caches"}
    assert sum("Nothing was billed" in note or "No saving of ours" in note for note in found.notes) == 2


def test_what_could_yet_be_saved_is_said(tmp_path: Path) -> None:
    found = compared(work_of(tmp_path, broke=Break(1, "user", "changed", 100, 25_000_000)))
    assert any("$3.04 a month was lost to broken prefixes" in note for note in found.notes)  # 40 x $0.025 in ten days


def test_sums_of_days_have_no_busiest_hour(tmp_path: Path) -> None:
    work = work_of(tmp_path, source="buckets", settled_ms=DAY0 + 20 * DAY_MS)
    with pytest.raises(UnknownFact, match="--busiest-over-mean"):
        compared(work)
    assert any("is stated: 4 times" in note for note in compared(work, uneven=4.0).notes)
    with pytest.raises(UnitCostError, match="less than 1"):
        compared(work, uneven=0.5)


def test_what_does_not_fit_or_is_too_slow_ends_it(work: Workload) -> None:
    model, _ = model_of("llama-3.1-405b")
    prices = {"rented": stated(1, 1, 1), "owned": MISSING, "here": ""}
    with pytest.raises(DoesNotFit, match="GB"):
        compare(work, model, part("L4"), shipped(), **prices)  # type: ignore[arg-type]
    with pytest.raises(UnitCostError, match="cannot be met"):
        compared(work, floor_tok_s=9_000.0)


def test_the_picture_shows_lines_steps_and_crossings(work: Workload, book: PriceBook) -> None:
    found = compared(work, book=book, uneven=8.0)
    svg = ElementTree.fromstring(picture(found))
    drawn = [one for one in found.crossings if one.tokens is not None and one.buy != "api_caches"]
    circles = [element for element in svg.iter() if element.tag.endswith("circle")]
    rings = [element for element in svg.iter() if "a4.5" in element.get("d", "")]
    assert (len(circles), len(rings)) == (sum(one.stays for one in drawn), sum(not one.stays for one in drawn))
    assert circles and rings  # list price for good; the host only until the next device
    text = " ".join("".join(element.itertext()) for element in svg.iter() if element.tag.endswith(("text", "desc")))
    assert volume(work.tokens_a_month) in text and "H100-SXM-80GB, rented" in text
    unbuilt = compared(work, rented=MISSING, owned=MISSING)
    assert ElementTree.fromstring(picture(unbuilt)) is not None
    assert [volume(tokens) for tokens in (12.0, 1_500.0, 2.5e6, 3.52e9, 1e12)] == ["12", "1.5 k", "2.5 M", "3.52 B", "1 T"]


def test_a_model_has_the_bits_that_its_maker_publishes() -> None:
    assert [model_of(name)[0].precision.name for name in ("gpt-oss-120b", "deepseek-v3", "llama-3.1-70b")] == [
        "mxfp4",
        "fp8",
        "bf16",
    ]
    assert model_of("llama-3.1-70b", "fp8")[0].precision.name == "fp8"


def test_hosts_are_asked_for_the_model_itself_and_not_for_its_kin() -> None:
    """Llama 3.1 and 3.3 of 70 billion share one configuration, not one price."""
    assert not any("3.3" in name for name in model_of("llama-3.1-70b")[1])
    assert "openai/gpt-oss-120b" in model_of("gpt-oss-120b")[1]


def test_calls_that_are_longer_than_the_model_takes(tmp_path: Path) -> None:
    work = work_of(tmp_path, usage=Usage(input=9_000, output=200))
    assert work.longest_tokens == work.document()["longest_tokens"] == 9_200
    long, _ = model_of("llama-3.1-8b")
    short, _ = model_of("llama-3-8b")
    options = {"rented": MISSING, "owned": MISSING, "here": "", "uneven": 4.0}
    with pytest.raises(TooLong, match=r"llama-3-8b takes 8,192 tokens .* the mean call of this work has 9,200 \(9,000 \+ 200\)"):
        compare(work, short, H100, shipped(), **options)  # type: ignore[arg-type]
    assert not any("the longest call" in note for note in compare(work, long, H100, shipped(), **options).notes)  # type: ignore[arg-type]
    one = work._replace(longest_tokens=140_000)
    notes = compare(one, long, H100, shipped(), **options).notes  # type: ignore[arg-type]
    assert any("llama-3.1-8b takes 131,072 tokens in a sequence, and the longest call had 140,000" in note for note in notes)
