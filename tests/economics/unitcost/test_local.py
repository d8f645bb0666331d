"""A step of the local engine is the sum of its operations, each at its measured time."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from jevons.economics.unitcost.architecture import Architecture, Attention, Dense, Experts, Layers, Recurrence
from jevons.economics.unitcost.errors import UnitCostError, UnknownFact
from jevons.economics.unitcost.local import LocalModel, Rates, calibrated, with_layers
from jevons.economics.unitcost.local_price import Speed, Terms, Turn, entry, prices, speed
from jevons.economics.unitcost.local_saved import FILE, Calibration, calibration, load
from jevons.meter.overrides import parse_overrides


class Weight(NamedTuple):
    name: str
    shape: tuple[int, ...]
    type: str


NOTHING = dict.fromkeys(("norm", "add", "gate", "rope"), (0.0, 0.0))
READING = [(1, 1.0), (2, 1.0), (64, 8.0), (128, 16.0)]
"""One or two rows only read the weight; with 64 and 128 it is computing that takes the time."""
RATES = Rates(
    1, "zen4", "f16", {"q8_0": {512: READING, 2048: READING}}, {"q8_0": {1024: [(1, 1.0), (32, 32.0)]}}, {64: (0, 0, 0)}, NOTHING
)
ATTENTION = Attention(heads=4, kv_heads=2, head_dim=64)


def model(rates: Rates = RATES, chunk: int = 64, window: int | None = None) -> LocalModel:
    """Two layers of 100 weights each, an output matrix of 10."""
    mixer = msgspec.structs.replace(ATTENTION, window=window)
    architecture = Architecture("small", "llama", 8, 32, True, (Layers(2, mixer, Dense(16)),))
    weights = [Weight(f"blk.{layer}.ffn_up.weight", (20, 5), "Q8_0") for layer in range(2)]
    weights += [Weight("token_embd.weight", (5, 2), "Q8_0"), Weight("blk.0.attn_norm.weight", (8,), "F32")]
    return LocalModel(architecture, weights, rates, chunk)


def test_products_are_those_of_every_matrix_and_the_head_is_of_what_is_asked_for() -> None:
    step = model().decode(1, 100)
    assert (step.products_s, step.head_s, step.attention_s) == (200, 10, 0)
    assert model().decode(33, 100).products_s == 200 * 4.5  # half way between 2 and 64 rows
    piece = model().piece(64, 0)
    assert (piece.products_s, piece.head_s) == (1600, 10)  # one row of logits
    assert model(chunk=512).piece(256, 0).products_s == 200 * 32  # in proportion beyond the last


def test_an_output_matrix_of_its_own_is_the_head() -> None:
    architecture = Architecture("small", "llama", 8, 32, False, (Layers(1, ATTENTION, Dense(16)),))
    weights = [Weight("token_embd.weight", (5, 2), "Q8_0"), Weight("output.weight", (5, 7), "Q8_0")]
    assert LocalModel(architecture, weights, RATES).decode(1, 0).head_s == 35


def test_short_rows_cost_more_and_the_law_goes_with_the_rows_ends() -> None:
    ends = msgspec.structs.replace(RATES, products={"q8_0": {500: [(1, 3.0)], 1000: [(1, 2.0)]}})
    assert [ends.product("Q8_0", width, 1) for width in (250, 500, 1000, 2000)] == pytest.approx([5, 3, 2, 2])


def test_attention_is_linear_in_what_is_kept_and_quadratic_in_a_prompt() -> None:
    rates = msgspec.structs.replace(RATES, attention={64: (1.0, 0.25, 0.0)})
    assert model(rates).decode(1, 99).attention_s == 2 * 4 * 100
    assert model(rates).decode(8, 99).attention_s == 8 * 2 * 4 * 100
    assert model(rates).piece(8, 100).attention_s == 2 * 4 * (8 * 100 + 36)  # below a tile: each query sees those before it
    assert model(rates).piece(64, 100).attention_s == 2 * 4 * 64 * 192 * 0.25  # a tile, to the end of the last one it sees
    first, second = (model(rates).piece(64, kept).attention_s for kept in (0, 64))
    assert model(rates).prefill(128) == pytest.approx(2 * 1610 + first + second)


def test_the_cache_is_read_once_for_all_queries_of_a_conversation() -> None:
    rates = msgspec.structs.replace(RATES, attention={64: (0.0, 0.0, 1.0)})
    assert model(rates).decode(1, 99).attention_s == 2 * 2 * 100
    assert model(rates).decode(3, 99).attention_s == 3 * 2 * 2 * 100
    assert model(rates).piece(8, 92).attention_s == 2 * 2 * 100


def test_a_window_bounds_what_is_looked_at() -> None:
    rates = msgspec.structs.replace(RATES, attention={64: (1.0, 1.0, 0.0)})
    assert model(rates, window=32).decode(1, 1000).attention_s == 2 * 4 * 32
    assert model(rates, window=32).piece(64, 1000).attention_s == 2 * 4 * 64 * 128


def test_heads_between_and_below_the_measured_ones() -> None:
    rates = msgspec.structs.replace(RATES, attention={64: (2.0, 1.0, 0.0), 128: (4.0, 3.0, 1.0)})
    assert rates.look(96) == (3.0, 2.0, 0.5)
    assert rates.look(32) == (1.0, 0.5, 0.0)
    assert rates.look(256) == (8.0, 6.0, 2.0)


def test_small_operations_have_a_call_and_elements() -> None:
    rates = msgspec.structs.replace(RATES, small={**NOTHING, "norm": (1.0, 0.5)})
    assert model(rates).decode(3, 0).small_s == 5 * (1 + 0.5 * 3 * 8)  # two of each layer, and the last


def mixture(rates: Rates = RATES) -> LocalModel:
    architecture = Architecture("mixed", "llama", 8, 32, True, (Layers(1, ATTENTION, Experts(number=4, active=2, width=16)),))
    weights = [Weight("blk.0.ffn_up_exps.weight", (10, 10, 4), "Q8_0"), Weight("token_embd.weight", (5, 2), "Q8_0")]
    return LocalModel(architecture, weights, rates)


def test_an_expert_meets_its_share_of_the_rows() -> None:
    assert mixture().decode(1, 0).products_s == 2 * 100  # two experts, one row each
    met = 4 * (1 - 0.5**8)
    assert mixture().decode(8, 0).products_s == pytest.approx(met * 100 * 16 / met)  # here each row of each costs the same


def test_tiny_models_say_what_goes_with_a_layer() -> None:
    tiny, mixed = model(), mixture()
    rates = with_layers(RATES, tiny, 210 + 8, mixed, 210 + 3)
    assert (rates.layer_s, rates.mixture_layer_s) == (4, 3)
    assert model(rates).decode(1, 0).seconds == 218
    assert with_layers(RATES, tiny, 1, mixed, 1).layer_s == 0  # faster than its operations: nothing goes with it


def test_the_factor_is_the_mean_ratio_of_steps_of_one_row_and_of_these_alone() -> None:
    rates = calibrated(RATES, [(1, 100, 200), (1, 100, 800), (8, 100, 50), (128, 10, 20)])
    assert rates.factor == pytest.approx(4)
    assert model(rates).decode(1, 0).seconds == pytest.approx(210 * 4)
    assert model(rates).decode(4, 0) == model(RATES).decode(4, 0)
    assert model(rates).decode_tok_s(4, 0) == pytest.approx(4 / model(rates).decode(4, 0).seconds)


def test_what_was_not_measured_is_said() -> None:
    none = msgspec.structs.replace(RATES, products={})
    with pytest.raises(UnknownFact, match=r"products of Q8_0 weights were not measured .*jevons hw calibrate"):
        model(none)
    with pytest.raises(UnknownFact, match="Q8_0 weights in experts"):
        mixture(msgspec.structs.replace(RATES, expert_products={}))
    recurrent = Recurrence(1, 1, 1, 1, 1)
    with pytest.raises(UnknownFact, match="layers of recurrence"):
        LocalModel(Architecture("odd", "mamba", 8, 32, True, (Layers(1, recurrent, None),)), [], RATES)


def test_a_turns_prices_add_up_to_what_the_machine_took() -> None:
    rates = msgspec.structs.replace(RATES, attention={64: (1e-3, 1e-3, 0.0)})
    turn = Turn(prompt=300, repeated=200, output=10)
    found = speed(model(rates), turn, 0.0)
    assert found.cached_tok_s is not None
    assert 100 / found.prefill_tok_s + 200 / found.cached_tok_s == pytest.approx(model(rates).prefill(100, 200))
    assert found.decode_tok_s == model(rates).decode_tok_s(1, 305)
    slower = speed(model(rates), turn, 1.0)
    assert slower.cached_tok_s == pytest.approx(
        200 / (200 / found.cached_tok_s + 2 * 2 * 2 * 64 * 200)
    )  # putting back every element
    assert speed(model(rates), Turn(300, 0, 10), 1.0).cached_tok_s is None


@pytest.mark.parametrize("turn", [Turn(10, 10, 1), Turn(10, 0, 0), Turn(10, 0, 1, 0), Turn(10, -1, 1)])
def test_a_turn_that_cannot_be(turn: Turn) -> None:
    with pytest.raises(UnitCostError, match="more tokens than are repeated"):
        speed(model(), turn, 0.0)


def test_the_packaged_price_is_this_formula() -> None:
    assert [str(usd) for usd in prices(Speed(200, 6400, 64), Terms())] == ["0.1648", "0.005150", "0.5150"]  # local_prices.toml
    assert Terms(pue=2).busy_second_usd() - Terms().busy_second_usd() == pytest.approx(0.030 * 0.15 / 3600)
    with pytest.raises(UnitCostError, match="PUE 1 or more"):
        Terms(pue=0.5).busy_second_usd()


def test_the_entry_is_one_that_the_price_book_reads() -> None:
    text = entry(prices(Speed(2e9, None, 1e-3), Terms()), "local*", "2026-11-22T19:02:00Z", "measured")
    (found,) = parse_overrides(text, "prices.toml")
    assert (found.provider, found.model, set(found.rates)) == ("local", "local*", {"input", "cache_read", "output"})
    assert found.period.from_ms == 1_795_374_120_000


def test_what_was_found_is_kept(tmp_path: Path) -> None:
    with pytest.raises(UnknownFact, match="jevons hw calibrate"):
        calibration(tmp_path)
    saved = Calibration(RATES, "model.gguf", "EPYC", "2026-11-22T19:02Z", [], 1e-9)
    (tmp_path / FILE).write_bytes(msgspec.json.encode(saved))
    assert calibration(tmp_path) == saved
    (tmp_path / FILE).write_text("{")
    with pytest.raises(UnitCostError, match=r"cannot be read .* jevons hw calibrate"):
        load(tmp_path)
