#!/usr/bin/env bash
# Measures Weft beside other libraries on this machine, and prints the table that the README shows.
#   usage: bench/compare.sh [--install-only] [options of bench/compare.py: see bench/compare.sh --help]
#
# It installs what is missing, builds Weft, and runs each measurement with one library after the other,
# three times over. Peers live in build/bench/peers, each in a place of its own; one that cannot be
# installed is named in the table, and the others are measured. bench/README.md says what is compared.
#
# PEER_PYTHON names the Python for the peers of PyPI; without it, the newest that is here is taken.
# PyPI's PyTorch brings its GPU libraries along, several gigabytes: where an index of CPU builds is at
# hand, PIP_EXTRA_INDEX_URL makes pip take those.
set -euo pipefail
cd "$(dirname "$0")/.."
source cmake/setup.sh

peers=build/bench/peers
all=(pytorch pytorch-debian libtorch tensorflow jax onnxruntime)

say() { echo "$*" >&2; }

# A Python that can make virtual environments.
python() {
  local candidate
  for candidate in ${PEER_PYTHON:-python3.14 python3.13 python3.12 python3 /usr/bin/python3}; do
    if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  install_missing python3-venv
  echo /usr/bin/python3
}

# venv <folder> <module to import> <package>...
venv() {
  local folder=$peers/$1 module=$2
  shift 2
  if [ -x "$folder/bin/python" ] && "$folder/bin/python" -c "import $module" 2>/dev/null; then return; fi
  say "Installing $* into $folder"
  "$(python)" -m venv "$folder" && "$folder/bin/pip" install --quiet --no-cache-dir "$@"
}

install_pytorch() { venv pytorch torch torch numpy; }
install_tensorflow() { venv tensorflow tensorflow tensorflow-cpu; }
install_jax() { venv jax jax jax; }
# With OpenBLAS, and such that it shares PyTorch's threads.
install_pytorch-debian() { install_missing python3-torch python3-numpy libopenblas0-openmp; }
install_libtorch() {
  install_missing g++ libcli11-dev libtorch-dev libopenblas0-openmp
  local program=$peers/libtorch source=bench/peers/libtorch.cpp
  if [ "$program" -nt "$source" ]; then return; fi
  say "Building $program"
  g++ -std=c++17 -O2 -w "$source" -o "$program" -I/usr/include/torch/csrc/api/include \
    -ltorch -ltorch_cpu -lc10 -fopenmp
}
# --ignore-scripts: the package's own would fetch libraries for GPUs. Its models are written by onnx.
install_onnxruntime() {
  command -v node >/dev/null && command -v npm >/dev/null || install_missing nodejs npm
  venv onnx onnx onnx
  local folder=$peers/onnxruntime
  if [ -d "$folder/node_modules/onnxruntime-node" ]; then return; fi
  say "Installing onnxruntime-node into $folder"
  mkdir -p "$folder"
  npm install --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent onnxruntime-node
}

wanted=("${all[@]}") only_install='' options=()
while [ $# -gt 0 ]; do
  case $1 in
    --install-only) only_install=1 ;;
    --peers)
      IFS=, read -ra wanted <<<"${2:?--peers needs a list}"
      options+=("$1" "$2")
      shift
      ;;
    -h | --help) exec python3 bench/compare.py --help ;;
    *) options+=("$1") ;;
  esac
  shift
done

mkdir -p "$peers"
for peer in "${wanted[@]}"; do
  if [ "$peer" = none ]; then continue; fi
  if ! declare -F "install_$peer" >/dev/null; then
    say "There is no peer $peer; there are: ${all[*]}, or none"
    exit 1
  fi
  # In a shell of its own, in which any failed command ends the installation, and only that.
  set +e
  (
    set -e
    "install_$peer"
  ) </dev/null >"$peers/$peer.log" 2> >(tee -a "$peers/$peer.log" >&2)
  status=$?
  set -e
  if [ $status != 0 ]; then say "$peer could not be installed: $peers/$peer.log"; fi
done
if [ "$only_install" ]; then exit; fi

install_missing "${weft_packages[@]}" python3
cmake --preset release >/dev/null
cmake --build --preset release --target weft_bench >&2

# MNIST, uncompressed: libtorch reads no other.
data=$(examples/mnist.sh --get-data)
mkdir -p build/bench/mnist
for file in {train,t10k}-{images-idx3,labels-idx1}-ubyte; do
  if [ ! -s "build/bench/mnist/$file" ]; then
    from=$data/$file
    if [ ! -f "$from" ]; then from=$from.gz; fi
    gzip -cdf "$from" >"build/bench/mnist/$file"
  fi
done
exec python3 bench/compare.py ${options[@]+"${options[@]}"}
