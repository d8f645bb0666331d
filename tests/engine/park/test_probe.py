"""What coding a context costs the real model's predictions, and the sensitivities measured from it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jevons.engine.models import find_model
from jevons.engine.native.context import Context
from jevons.engine.native.library import Library
from jevons.engine.native.model import Model
from jevons.engine.park import sensitivity
from jevons.engine.park.codec import Lossless
from jevons.engine.park.plan import AS_IS, Plan, known
from jevons.engine.park.probe import Probe, coded, divergences, losses
from jevons.engine.park.states import Layout, Tensor
from jevons.engine.park.turbo import Turbo

TEXT = "The capital of France is Paris, and the capital of Germany is Berlin. A conversation that holds no slot is parked. " * 3
READ, FOLLOW = 40, 8
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
LAYOUT = Layout(1, (Tensor(1, 384),) * 60)


def path() -> Path:
    found = find_model()
    assert found is not None
    return found.path


@pytest.fixture(scope="module")
def probe(library: Library, parts: None) -> Iterator[Probe]:
    with Model(library, path()) as model, Context(model, 512, threads=1) as context:
        yield Probe(context, model.tokens(TEXT)[: READ + FOLLOW], READ)


def test_divergences_and_losses_are_the_textbooks() -> None:
    random = np.random.default_rng(0)
    reference = random.standard_normal((5, 40)).astype(np.float32) * 3
    logits = reference + random.standard_normal((5, 40)).astype(np.float32)
    p, q = (np.exp(part.astype(float)) / np.exp(part.astype(float)).sum(axis=1, keepdims=True) for part in (reference, logits))
    assert divergences(reference, logits) == pytest.approx((p * np.log(p / q)).sum(axis=1), rel=1e-5)
    targets = np.arange(5, dtype=np.int32)
    assert losses(logits, targets) == pytest.approx(-np.log(q[np.arange(5), targets]), rel=1e-5)
    assert abs(divergences(reference, reference + np.float32(8.0))).max() < 2e-6


def test_a_lossless_context_predicts_the_same_and_fewer_bits_predict_worse(probe: Probe) -> None:
    assert probe.layout == LAYOUT
    assert probe.divergences(Lossless(LAYOUT)).tolist() == [0.0] * FOLLOW
    two, four = (probe.divergences(Turbo(LAYOUT, Plan(64, (bits,) * 60))).mean() for bits in (2, 4))
    assert 0 < 3 * four < two


def test_coding_from_a_place_on_leaves_what_is_before_it(probe: Probe) -> None:
    state, whole = probe.state(), probe.state()
    size = coded(state, Turbo(LAYOUT, Plan(64, (2,) * 60)), begin=16)
    assert 0 < size < READ * LAYOUT.bytes_per_token / 4
    for own, got in zip(whole.rows, state.rows, strict=True):
        assert (own[:16] == got[:16]).all()
        assert (own[16:] != got[16:]).any()


def test_the_layers_that_the_shipped_sensitivities_spare_are_the_sensitive_ones(probe: Probe) -> None:
    """Measuring all of them takes minutes (`make bench-kv-quality` names the script); here the dearest keys against the cheapest."""
    found = known(SHA256)
    assert found is not None
    keys = np.argsort(found.kld[:30])
    cheap, dear = (
        sensitivity.divergences([probe], LAYOUT, 64, tuple(2 if place in some else AS_IS for place in range(60))).mean()
        for some in (keys[:4], keys[-4:])
    )
    assert cheap < dear


def test_whole_plans_to_be_measured_are_as_large_as_they_may_be() -> None:
    found = known(SHA256)
    assert found is not None
    sizes = [8 * plan.bytes_per_token(LAYOUT) / 11_520 for plan, _ in sensitivity.plans_of(LAYOUT, found)]
    assert sizes == pytest.approx(sensitivity.WHOLE_BITS, abs=0.03)


def test_texts_that_are_too_short_are_refused(library: Library, parts: None) -> None:
    with pytest.raises(ValueError, match="tokens"):
        sensitivity.of_file(path(), ["too short"], 1, lambda _: None)
