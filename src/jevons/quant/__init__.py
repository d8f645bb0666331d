"""Vectors in few bits: TurboQuant (Zandieh, Daliri, Hadian, Mirrokni: arXiv 2504.19874) and the quantisers it is measured against.

It knows arrays of numbers, and nothing of models, caches or files. It needs the extra `quant` (numpy and numba): importing it
without them says so."""

try:
    import numba as _numba  # noqa: F401  the reason for failing is given here, once, for every module of this room
    import numpy as _numpy  # noqa: F401
except ImportError as error:
    raise ModuleNotFoundError(f"Quantising vectors needs {error.name}: python -m pip install numba", name=error.name) from error
