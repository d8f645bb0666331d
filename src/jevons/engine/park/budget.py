"""From what the operator allows, a divergence or bytes, to the codec that keeps to it. Needs numba. Does not know: what is parked."""

from pathlib import Path

import numpy as np

from jevons.engine.park.plan import Plan, Sensitivities, known, plan_for
from jevons.engine.park.states import TYPE_F16, Layout, Tensor
from jevons.engine.park.turbo import Turbo
from jevons.engine.settings import ParkSettings


def compressed(settings: ParkSettings, model: str, layout: Layout) -> Turbo:
    """`model`: SHA-256 of its file, hex. Raises ValueError if nobody has measured it, or if nothing is as small as asked."""
    measured = sensitivities(model, Path(settings.plans))
    if measured is None:
        raise ValueError("nobody has measured what this model loses by it; run: jevons park measure")
    return Turbo(layout, _plan(settings, layout, measured))


def warm() -> None:
    """Code a block of zeros, so that the loops are loaded; compiled, if they never were."""
    layout = Layout(1, (Tensor(TYPE_F16, 128),) * 2)
    codec = Turbo(layout, Plan(64, (4, 4)))
    rows = [np.zeros((8, 128), np.uint8) for _ in layout.tensors]
    for part in rows:
        part.setflags(write=False)  # a view of a file that is only read is another type to the compiler
    payload = codec.encode(np.zeros(8, np.int32), rows)
    codec.decode_into(payload, [np.empty((8, 128), np.uint8) for _ in layout.tensors])


def sensitivities(model: str, folder: Path) -> Sensitivities | None:
    """What was measured of a model file: here (`jevons park measure`), else before it was shipped. Raises ValueError for a damaged file."""
    own = plan_file(model, folder)
    return Sensitivities.read(own.read_text()) if own.is_file() else known(model)


def plan_file(model: str, folder: Path) -> Path:
    """Where the operator's own measures of a model stand."""
    return folder / f"{model}.toml"


def _plan(settings: ParkSettings, layout: Layout, measured: Sensitivities) -> Plan:
    """The smallest within the divergence; where bytes are stated too and it is larger, the best of that size."""
    most = settings.bytes_per_token_max
    if settings.kld_max:
        plan = plan_for(layout, measured, kld_max=settings.kld_max)
        if not most or plan.bytes_per_token(layout) <= most:
            return plan
    return plan_for(layout, measured, bytes_per_token=most)
