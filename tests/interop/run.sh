#!/usr/bin/env bash
# Exchanges model files with Keras 3, both ways, and trains on what the other began; has TensorBoard
# read what a training writes for it.
#   usage: tests/interop/run.sh [NAME...]      checks whose names have one of these in them
#          tests/interop/run.sh --all          with every optimizer, and more conversions
#   KERAS_PYTHON=<python>  takes one that has keras, jax, h5py and perhaps tensorboard, instead of
#                          installing them
# Needs a built Weft in build/. Says so and succeeds where the packages cannot be had.
set -euo pipefail
cd "$(dirname "$0")/../.."

place=build/interop
python=${KERAS_PYTHON:-$place/bin/python}
export KERAS_BACKEND=jax JAX_PLATFORMS=cpu
if ! "$python" -c 'import keras, jax, h5py' 2>/dev/null; then
  maker=
  for candidate in python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
    if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
      maker=$candidate
      break
    fi
  done
  if [ -z "$maker" ]; then
    echo "SKIPPED: exchanging files with Keras needs Python 3 with venv"
    exit 0
  fi
  echo "Installing Keras into $place"
  "$maker" -m venv "$place"
  if ! timeout 300 "$place/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 jax==0.10.2 h5py numpy; then
    rm -rf "$place"
    echo "SKIPPED: exchanging files with Keras needs packages that cannot be had here: keras, jax, h5py"
    exit 0
  fi
  python=$place/bin/python
fi
# Into what is ours only. Without it, its check alone is skipped.
if [ "$python" = "$place/bin/python" ] && ! "$python" -c 'import tensorboard' 2>/dev/null; then
  timeout 300 "$place/bin/pip" install --quiet --disable-pip-version-check tensorboard==2.21.0 ||
    echo "TensorBoard cannot be had here"
fi

cmake --build build --target weft_program weft_interop
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
"$python" -B tests/interop/check.py build/tools/weft build/tests/weft_interop build/interop-files "$@" </dev/null
