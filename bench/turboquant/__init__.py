"""TurboQuant measured: distortion against the theory, errors of inner products, speed, and neighbours among real embeddings."""

import os

# One thread for every side, before any library asks: what is compared is work, not how many cores a library takes.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"
