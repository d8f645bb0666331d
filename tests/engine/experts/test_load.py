"""What is said of a router's choice, and what is not."""

import numpy as np
import pytest

from jevons.engine.experts.load import doubt_bits
from jevons.engine.experts.routing import Routing


def test_only_a_softmax_has_a_doubt() -> None:
    logits = np.random.default_rng(1).normal(0, 2, (2, 5, 4)).astype(np.float32)
    chosen = np.argsort(-logits, axis=-1)[..., :2].astype(np.int32)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    assert doubt_bits(Routing((0, 1), 4, chosen, np.full_like(logits, 0.25))) == pytest.approx([2, 2])
    found = doubt_bits(Routing((0, 1), 4, chosen, softmax))
    assert found is not None and (found > 0).all() and (found < 2).all()
    for gate in (logits, 1 / (1 + np.exp(-logits))):
        assert doubt_bits(Routing((0, 1), 4, chosen, gate)) is None
