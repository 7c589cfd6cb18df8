#!/usr/bin/env bash
# Installs a build into a scratch folder, builds main.cpp against that copy by find_package(weft), and
# runs it. Checks that no installed header needs Boost, oneDNN or another library, and that each includes
# what it needs.
#   usage: run.sh <build folder> <C++ compiler>
set -euo pipefail

build=$1 compiler=$2
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/prefix" >/dev/null

headers=$scratch/prefix/include/weft
if grep -rnE 'boost/|dnnl|hdf5\.h|nlohmann|<zip\.h>|<png\.h>' "$headers"; then
  echo "a public header mentions a library's"
  exit 1
fi

mkdir "$scratch/build"
(cd "$headers" && find . -name '*.hpp' | sort | sed 's|^\./\(.*\)|#include "\1"|' &&
  echo 'int main() {}') >"$scratch/build/every_header.cpp"
cmake -G Ninja -S "$here" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$scratch/prefix" \
  -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$scratch/build"
answer=$("$scratch/build/uses_weft")
echo "uses_weft printed $answer"
[ "$answer" = 12 ]

# Printed, not checked. Time of the processor, since other programs may be running.
TIMEFORMAT='main.cpp compiled in %U s; it should take less than 3 s'
time "$compiler" -std=c++20 -O2 -I "$headers" -c "$here/main.cpp" -o "$scratch/main.o"
