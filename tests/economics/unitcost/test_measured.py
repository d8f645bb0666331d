"""Rows of a table as systems under loads: what is filled in, what is refused and why, a fit that finds what made the rows, a check of all."""

import csv
import io
from dataclasses import replace
from math import exp, log

import pytest

from jevons.economics.unitcost.check import check, median_ape
from jevons.economics.unitcost.cycle import mean_demand
from jevons.economics.unitcost.efficiency import PRIORS, UNSEEN, Efficiencies, engine, read, shipped, written
from jevons.economics.unitcost.errors import UnitCostError
from jevons.economics.unitcost.fit import errors, fitted, joules, stacked, student90
from jevons.economics.unitcost.measured import COLUMNS, Point, material, points, rows
from jevons.economics.unitcost.serving import steady

ROW = {
    "id": "A", "model": "llama-3.1-8b", "weight_precision": "fp8", "hardware": "NVIDIA H100-SXM-80GB", "n_accelerators": "1",
    "parallelism": "TP1", "framework": "TensorRT-LLM 1.0 (PyTorch backend)", "scenario": "offline max throughput", "isl": "1000",
    "osl": "1000", "metric": "output_tokens", "tokens_per_s_total": "15220.0",
}  # fmt: skip
CHAT = {
    "framework": "vLLM",
    "scenario": "ML.ENERGY v3 lm-arena-chat",
    "batch_or_concurrency": "63.9",
    "isl": "",
    "osl": "400",
    "weight_precision": "bf16",
}
SERVED = {"framework": "SGLang", "scenario": "InferenceX 1k/8k", "batch_or_concurrency": "64"}
MLPERF = {"scenario": "MLPerf v5.1 closed Offline", "isl": "", "osl": "", "parallelism": "", "n_accelerators": "8"}


def table(*changes: dict[str, str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, (*COLUMNS, "note"))
    writer.writeheader()
    writer.writerows({**ROW, "id": f"R{number}", **change} for number, change in enumerate(changes))
    return text.getvalue()


def one(**change: str) -> Point:
    judged, unjudged = points(rows(table(change)))
    assert not unjudged, unjudged
    return judged[0]


def refused(**change: str) -> str:
    judged, unjudged = points(rows(table(change)))
    assert not judged
    return unjudged[0].reason


def test_what_a_row_says() -> None:
    found = one()
    assert (found.load.prompt, found.load.output, found.load.batch, found.load.requests) == (1000, 1000, None, 3000)
    assert (found.on.devices, found.kv.name, found.precision.name, found.tok_s) == (1, "fp8", "fp8", 15220)
    assert found.estimated == ("keys and values in fp8: the framework's habit",)


def test_what_a_row_leaves_out_is_filled_in_and_said() -> None:
    chat = one(**CHAT)
    assert (chat.load.prompt, chat.load.batch, chat.kv.name) == (200, 63.9, "bf16")
    assert any("prompts of 200 tokens: assumption" in line for line in chat.estimated)
    offline = one(**{**MLPERF, "model": "llama2-70b", "hardware": "AMD Instinct MI300X-192GB-750W"})
    assert (offline.load.prompt, offline.load.output, offline.on.part.name, offline.wall) == (290, 294, "MI300X", True)
    assert offline.tok_s == pytest.approx(15220 * offline.on.devices / 8)  # of one copy
    assert any("copies" in line for line in offline.estimated)
    mixture = one(**{**MLPERF, "model": "deepseek-r1", "hardware": "B200", "weight_precision": "fp4"})
    assert mixture.on.spread
    host = one(**{**MLPERF, "n_accelerators": "2", "hardware": "2x Intel Xeon 6980P", "weight_precision": "int8"})
    assert host.load.batch == 128


def test_units_of_a_table() -> None:
    each = one(tokens_per_s_total="", tokens_per_s_per_accelerator="100", n_accelerators="8", parallelism="TP8")
    assert each.tok_s == 800
    both = one(metric="total_tokens", isl="3000")
    assert both.tok_s == 15220 / 4
    unit = one(model="deepseek-r1", hardware="H800", n_accelerators="8", parallelism="decode EP144 (18-node unit)")
    assert (unit.on.devices, unit.tok_s) == (144, 15220 / 8 * 144)
    assert one(model="gpt-oss-20b").precision.name == "mxfp4"  # no others were published
    assert one(kv_precision="bf16").kv.name == "bf16"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "no-such-model"}, "architecture of 'no-such-model' is not known"),
        ({"hardware": "Banana 9000"}, "no part 'Banana 9000'"),
        ({"weight_precision": "int3"}, "int3"),
        ({"metric": "requests"}, "is none of output_tokens, total_tokens, input_tokens"),
        ({"osl": ""}, "length of answers (osl) is not given"),
        ({"isl": ""}, "length of prompts (isl) is not given"),
        ({"isl": "many"}, "isl is 'many', not a number"),
        ({"tokens_per_s_total": "-3"}, "not a number above zero"),
        ({"tokens_per_s_total": ""}, "tokens_per_s_total is not given"),
        ({"n_accelerators": "", "parallelism": ""}, "n_accelerators is not given"),
        ({"n_accelerators": "2.5"}, "not a whole number"),
        ({"n_accelerators": "", "tokens_per_s_per_accelerator": "4000"}, "3.81 of them"),
        ({"n_accelerators": "8", "tokens_per_s_per_accelerator": "15220"}, "are not 8 accelerators at 15220 each"),
        ({"n_accelerators": "4", "parallelism": "TP8"}, "takes 8 accelerators, and n_accelerators is 4"),
        ({"tokens_per_s_total": "24.524,9"}, "not a number"),
        ({"tokens_per_s_total": "1e400"}, "below 1e+12"),
        ({"isl": "1e308"}, "below 1e+12"),
        ({"parallelism": "prefill DEP4 / decode DEP16", "n_accelerators": "20"}, "devices of their own"),
        ({"parallelism": "", "scenario": "InferenceX disagg 1k/1k"}, "devices of their own"),
        ({"framework": "Acme in-house"}, "its load is not known"),
        (
            {"model": "llama-3.1-405b", "weight_precision": "bf16", "n_accelerators": "8", "parallelism": "TP8", **SERVED},
            "does not fit",
        ),
        (
            {"n_accelerators": "8", "parallelism": "", "model": "llama-3.1-405b", "weight_precision": "bf16", **SERVED},
            "does not fit",
        ),
        ({"n_accelerators": "16", "parallelism": "", **SERVED, "batch_or_concurrency": "0.5"}, "cannot be divided among copies"),
        ({"parallelism": "sideways"}, "not understood"),
    ],
)
def test_a_row_that_cannot_be_judged_says_why(change: dict[str, str], said: str) -> None:
    assert said in refused(**change)


def test_a_table_as_others_write_it() -> None:
    head = " Model ,HARDWARE,metric,tokens_per_s_per_accelerator,isl,osl,more,parallelism"
    text = f'{head}\r\nllama-3.1-8b,8x H100,output_tokens,"15,220.5",1000,1000,x,\r\n\r\nllama-3.1-8b,L40S-PCIE-48GB x2,output_tokens,99,9,9\r\n'
    judged, unjudged = points(rows(text))
    assert not unjudged
    assert [point.id for point in judged] == ["row 1", "row 2"]
    assert judged[0].tok_s == 15220.5 * judged[0].on.devices
    assert (judged[0].precision.name, judged[1].on.part.name) == ("bf16", "L40S")
    lost = one(joules_per_token="n/a-ish", tokens_per_s_total="0", tokens_per_s_per_accelerator="7", kv_precision="auto")
    assert (lost.joules_per_token, lost.tok_s) == (None, 7)
    assert any("left out: joules_per_token" in line for line in lost.estimated)


def test_a_run_that_does_not_say_how_it_is_divided() -> None:
    """Copies share the requests, and each must fit."""
    served = {**SERVED, "n_accelerators": "8", "parallelism": "", "isl": "1000", "osl": "1000"}
    small = one(**served)
    assert small.load.batch == 64 * small.on.devices / 8
    assert small.tok_s == 15220 * small.on.devices / 8
    large = one(**served, model="deepseek-r1", hardware="H200")
    assert (large.on.devices, large.load.batch) == (8, 64)
    few = one(**{**served, "batch_or_concurrency": "2"})
    assert few.on.devices >= 4
    assert any("fp8 is computed in bf16" in line for line in one(hardware="A100").estimated)
    waiting = one(**{**served, "batch_or_concurrency": "9999999"})
    assert waiting.load.batch is not None
    assert waiting.load.batch < 5000 * waiting.on.devices
    assert any("requests at once: no more fit" in line for line in waiting.estimated)


def test_how_many_accelerators_a_row_means() -> None:
    blank = {"n_accelerators": "", "tokens_per_s_total": "10000"}
    assert one(**blank, tokens_per_s_per_accelerator="1250", parallelism="TP8").on.devices == 8
    alone = {**SERVED, "n_accelerators": "", "tokens_per_s_total": "", "tokens_per_s_per_accelerator": "1250"}
    tensor = one(**{**alone, "parallelism": "TP2,PP2"})
    assert (tensor.on.devices, tensor.tok_s) == (4, 5000)
    assert one(**{**alone, "parallelism": "TEP8", "model": "gpt-oss-120b"}).on.spread
    assert one(**{**alone, "parallelism": "TP4/EP4 DPA", "model": "gpt-oss-120b"}).on.data == 4
    least = one(**{**alone, "parallelism": "", "model": "llama-3.3-70b", "weight_precision": "bf16"})
    assert (least.on.devices, least.tok_s) == (2, 2500)
    assert any("the fewest on which it fits" in line for line in least.estimated)
    assert (least.load.prompt, least.load.output) == (1000, 1000)  # the row's own, not the scenario's name
    named = one(**{**alone, "parallelism": "TP1", "isl": "", "osl": ""})
    assert (named.load.prompt, named.load.output) == (1024, 8192)


def test_limits_on_latency_make_the_batch() -> None:
    """MLPerf's server and interactive runs are held to a time a token."""
    model = {"model": "llama2-70b-interactive-99", "hardware": "H200"}
    batches = {
        kind: one(**{**MLPERF, "scenario": f"MLPerf v5.1 closed {kind}", **model, "model": name}).load.batch
        for kind, name in (("Server", "llama2-70b-99.9"), ("Interactive", "llama2-70b-interactive-99"))
    }
    assert batches["Interactive"] is not None
    assert batches["Server"] is not None
    assert batches["Interactive"] < batches["Server"] / 4
    assert one(**{**MLPERF, "model": "llama2-70b"}).load.batch is None
    assert (
        one(
            **{**MLPERF, "model": "llama3.1-8b-edge", "scenario": "MLPerf v5.1 closed SingleStream", "n_accelerators": "1"}
        ).load.batch
        == 1
    )


def test_rows_of_tokens_that_are_read() -> None:
    reading = one(metric="input_tokens", isl="4000", osl="")
    cycle = reading.cycle()
    assert reading.reads
    assert cycle.tokens / cycle.seconds(shipped().rates("trt")) > 5 * 4000
    own = {
        "framework": "DeepSeek in-house",
        "model": "deepseek-r1",
        "hardware": "H800",
        "n_accelerators": "8",
        "isl": "",
        "osl": "",
    }
    prompts = one(**own, parallelism="prefill EP32 (4-node unit)", metric="input_tokens (56.3% cache hits included)")
    answers = one(**own, parallelism="decode EP144 (18-node unit)")
    assert (prompts.on.devices, answers.on.devices) == (32, 144)
    assert prompts.tok_s == 15220 * 4
    assert answers.load.batch is not None
    assert material([prompts, answers, reading]) == [reading]
    assert one(power_w_total="1522", weight_precision="FP8 (e4m3)").joules_per_token == pytest.approx(0.1)
    total = one(metric="total_tokens", isl="3000", joules_per_token="0.1")
    assert total.joules_per_token == pytest.approx(0.4)


def test_what_is_no_table_is_said() -> None:
    with pytest.raises(UnitCostError, match="it has no column model"):
        rows("a,b\n1,2\n")
    with pytest.raises(UnitCostError, match="no column tokens_per_s_total or tokens_per_s_per_accelerator"):
        rows("model,hardware,metric\n1,2,3\n")
    with pytest.raises(UnitCostError, match="no rows"):
        rows(table())
    with pytest.raises(UnitCostError, match="no column model"):
        rows("")


def test_engines_by_the_names_of_tables() -> None:
    names = {"vLLM": "vllm", "TensorRT-LLM 1.0 (PyTorch backend)": "tensorrt-llm", "TRT-LLM": "tensorrt-llm", "SGLang": ""}
    assert {name: engine(name) for name in names} == names


def made(efficiencies: Efficiencies, off: float = 1.0) -> str:
    """A table of runs that do exactly as `efficiencies` say, `off` by a factor."""
    changes: list[dict[str, str]] = []
    for model in ("llama-3.1-8b", "qwen3-14b", "qwen3-30b-a3b", "gpt-oss-20b", "gemma-3-27b"):
        changes += [{**CHAT, "model": model, "batch_or_concurrency": str(batch)} for batch in (2, 8, 32, 64, 90)]
        changes += [
            {"model": model, "isl": str(prompt), "osl": str(output)}
            for prompt, output in ((128, 2048), (5000, 500), (2048, 128), (9000, 9))
        ]
    judged, unjudged = points(rows(table(*changes)))
    assert not unjudged
    for change, point in zip(changes, judged, strict=True):
        cycle = steady(point.arch, point.precision, point.kv, point.on, point.load)
        seconds = cycle.seconds(efficiencies.rates(point.framework))
        change["tokens_per_s_total"] = repr(off * cycle.tokens / seconds)
        if point.framework == "vLLM":
            change["joules_per_token"] = repr(
                700 * efficiencies.power.share(mean_demand(cycle.steps), seconds) * seconds / cycle.tokens
            )
    return table(*changes)


TRUE = replace(
    shipped(), parameters={**shipped().parameters, "read": 0.7, "dense": 0.5, "sequence_s.vllm": 3e-5, "cache": 0.5}, resamples=()
)  # fmt: skip


def test_a_fit_finds_what_made_the_rows() -> None:
    judged, _ = points(rows(made(TRUE)))
    found = stacked(judged)
    fit = fitted(found, resamples=2, on="2026-11-22", source="made")
    assert abs(errors(found, fit)).max() < 0.1
    assert fit.parameters["read"] == pytest.approx(0.7, rel=0.1)
    assert fit.parameters["sequence_s.vllm"] == pytest.approx(3e-5, rel=0.3)
    measured = [
        (told, point.joules_per_token) for told, point in zip(joules(found, fit), judged, strict=True) if point.joules_per_token
    ]
    assert len(measured) == 25
    assert all(told == pytest.approx(was, rel=0.2) for told, was in measured)
    assert fit.spread < 0.12  # of five models that were left out: Student's factor is 1.3
    assert len(fit.draws()) == 2
    low, high = fit.interval("read")
    assert low <= high
    again = read(written(fit))
    assert again.parameters["read"] == pytest.approx(fit.parameters["read"], rel=1e-4)
    assert (again.fitted, again.source, again.rows) == ("2026-11-22", "made", fit.rows)


def test_a_fit_says_how_far_off_what_it_has_not_seen_is() -> None:
    """Rows in which vLLM's are twice as slow as the formula knows: each framework predicts the other badly, each model the others well."""
    judged, _ = points(rows(made(TRUE)))
    slow = [replace(point, tok_s=point.tok_s / 2) if point.framework == "vLLM" else point for point in judged]
    found = fitted(stacked(slow)).measured
    assert found.unseen is not None
    assert set(found.unseen) == set(UNSEEN)
    assert found.unseen["framework"] > fitted(stacked(judged)).measured.unseen["framework"] + 0.1  # type: ignore[index]
    assert found.frameworks == ("tensorrt-llm", "vllm")
    assert set(found.power_parts) == {point.on.part.name for point in judged if point.joules_per_token}
    assert read(written(fitted(stacked(slow)))).measured.parts == found.parts


def test_few_groups_make_an_interval_wider() -> None:
    assert [student90(degrees) for degrees in (3, 8, 16)] == pytest.approx(
        [2.353, 1.860, 1.746], rel=0.02
    )  # tables of Student's t


def test_a_fit_needs_models() -> None:
    judged, _ = points(rows(table({}, {"isl": "500"})))
    with pytest.raises(UnitCostError, match="rows of 3 models or more"):
        fitted(stacked(judged))


def test_a_check_of_rows_that_do_as_predicted() -> None:
    found = check(made(shipped()), shipped())
    figures = found.figures
    assert figures["judged"] == figures["rows"] == 45
    assert figures["median_ape_spec_pct"] == figures["median_ape_calibrated_pct"] == figures["median_ape_joules_pct"] == 0
    assert figures["inside_90_pct"] == 100
    assert figures["plain_roofline_ape_pct"] > 20  # type: ignore[operator]
    assert figures["calibrated_rows"] == 5 * (2 + 1)  # three of five and three of four are known
    assert found.by("framework")["vLLM"] == (25, 0)


def test_three_points_tell_what_is_off_everywhere() -> None:
    found = check(made(shipped(), off=0.6), shipped()).figures
    assert found["median_ape_spec_pct"] == pytest.approx(66.7, abs=0.1)
    assert found["median_ape_calibrated_pct"] < 5  # type: ignore[operator]


def test_copies_of_what_calibrates_are_not_judged_after_it() -> None:
    loads = [{"isl": str(prompt), "osl": str(output)} for prompt, output in ((128, 2048), (5000, 500), (2048, 128), (9000, 9))]
    left = [verdict.calibrated_error is None for verdict in check(table(*loads), shipped()).verdicts]
    assert left.count(False) == 1
    twice = check(table(*loads, *loads), shipped())
    assert [verdict.calibrated_error is None for verdict in twice.verdicts] == 2 * left
    assert twice.figures["judged"] == 8 and twice.figures["calibrated_rows"] == 2
    three_loads = check(table(*loads[:3], *loads[:3]), shipped()).figures
    assert three_loads["judged"] == 6 and three_loads["calibrated_rows"] == 0  # three known loads leave nothing to predict


def test_no_row_is_dropped() -> None:
    text = table({}, {"model": "no-such-model"}, {"model": "llama-3.1-405b", "weight_precision": "bf16"}, {"isl": "500"})
    found = check(text, shipped())
    assert [row.id for row in found.unjudged] == ["R1", "R2"]
    assert "weights take" in found.unjudged[1].reason
    assert found.figures["rows"] == 4
    nothing = check(table({"model": "no-such-model"}), shipped())
    assert nothing.figures["median_ape_spec_pct"] is None
    assert nothing.figures["inside_90_pct"] is None


def test_classes_without_rows_name_their_parents() -> None:
    classes = {(row["numbers"], row["matrices"], row["phase"]): row for row in shipped().classes()}
    assert classes["fp8", "dense", "prefill"]["from"] is None
    taken, own = classes["int8", "dense", "prefill"], classes["fp8", "dense", "prefill"]
    assert (taken["from"], taken["share"]) == ("dense fp8", own["share"])
    assert log(taken["high"] / taken["low"]) > log(own["high"] / own["low"])
    assert set(shipped().parameters) == set(PRIORS)
    assert median_ape([log(1.1), None, log(0.9), log(1.5)]) == pytest.approx(10, abs=0.01)
    assert median_ape([]) is None
    assert all(row["low"] <= row["share"] <= max(row["high"], row["share"]) <= exp(0) for row in classes.values())
