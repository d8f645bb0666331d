"""The stored mixture in the real library: what its routers pick, and what batches meet."""

import re

import numpy as np
import pytest

from jevons.engine.experts import load
from jevons.engine.experts.routing import DENSE, STORED, Router
from jevons.engine.native.context import Context
from jevons.engine.native.library import Library
from jevons.engine.native.model import Model
from jevons.engine.native.package import NativeError

ENGLISH = "Opens the dialog in which you choose the folder for your documents."


def test_each_token_meets_two_experts_in_each_layer(library: Library) -> None:
    with Model(library, STORED) as model, Router(model, 64) as router:
        ids = model.tokens(ENGLISH)
        routing, logits = router.read(ids)
        assert (
            routing.layers == (0, 1, 2, 3)
            and routing.chosen.shape == (4, len(ids), 2)
            and logits.shape == (len(ids), model.vocabulary)
        )
        assert (routing.chosen[..., 0] != routing.chosen[..., 1]).all()
        assert (np.argsort(-routing.shares, axis=-1)[..., :2] == routing.chosen).all()
        assert routing.shares.sum(axis=-1) == pytest.approx(1, abs=1e-5)
        assert (routing.counts().sum(axis=1) == 2 * len(ids)).all()
        again, _ = router.read(ids[:5])
        assert (again.chosen == routing.chosen[:, :5]).all()  # a router looks back, never ahead


def test_the_stored_weights_have_learnt_both_languages(library: Library) -> None:
    """A token of a manual costs far less than the 11 bits that it costs who knows nothing."""
    spanish = "Abre el cuadro de diálogo en el que puede elegir la carpeta de sus documentos."
    for file in (STORED, DENSE):
        with Model(library, file) as model, Context(model, 64, batch_tokens=64, threads=1) as context:
            for text in (ENGLISH, spanish):
                ids = model.tokens(text)
                logits = context.decode(ids, logits="all", position=0)[:-1].astype(np.float64)
                nats = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), ids[1:]]
                assert nats.mean() / np.log(2) < 8


def test_texts_decoded_together_meet_more_experts(library: Library) -> None:
    with Model(library, STORED) as model, Router(model, 32, sequences=8) as router:
        routing = router.step(model.tokens(ENGLISH)[:8].tolist())
        assert routing.chosen.shape == (4, 8, 2)
        assert (1 - load.idle_share(routing) > load.expected_coverage(8, 2, 1)).all()


def test_load_of_planted_counts() -> None:
    assert load.expected_coverage(8, 2, 1) == 0.25
    assert load.expected_coverage(128, 8, 64) == pytest.approx(0.984, abs=1e-3)
    assert load.entropy_bits(np.array([[0.5, 0.5, 0, 0], [0.25] * 4])) == pytest.approx([1, 2])


def test_a_dense_model_has_no_routers(library: Library) -> None:
    with Model(library, DENSE) as model, pytest.raises(NativeError, match=re.escape("has no experts")):
        Router(model, 32)
