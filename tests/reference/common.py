"""What the programs here share that write figures of Keras 3 for Weft's tests to compare with.

All inputs come from fixed seeds, so that another run writes the same bytes; another processor may
change the last bits of what Keras computes. The tests need only the files in data/, which are kept
with the sources. To write them anew:

    python3 -m venv /tmp/reference
    /tmp/reference/bin/pip install keras==3.15.1 jax==0.10.2 numpy==2.4.6
    /tmp/reference/bin/python tests/reference/generate.py
"""

import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np  # noqa: E402

DATA = Path(__file__).parent / "data"


def write(name, array):
    """Integers stay integers, the rest becomes float32."""
    array = np.asarray(array)
    kind = np.int32 if array.dtype.kind in "iu" else np.float32
    path = DATA / f"{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array.astype(kind))


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)
