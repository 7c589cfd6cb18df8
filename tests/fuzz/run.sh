#!/usr/bin/env bash
# Builds the fuzzer and feeds it for a while: half of the time mutated JSON, half of it HDF5 and ZIP.
# What it finds lies in build-asan/fuzz/found, and makes the script fail. What it learnt stays in
# build-asan/fuzz/corpus, and the next run begins there.
#   usage: tests/fuzz/run.sh [seconds [seed]]      60 by default, and another seed each time
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60} seed=${2:-0}

source cmake/setup.sh
install_missing "${weft_packages[@]}"
install_missing "${weft_sanitizer_packages[@]}"
cmake --preset asan
cmake --build --preset asan --target weft_fuzz weft_fuzz_seeds

build=$PWD/build-asan/fuzz programs=$PWD/build-asan/tests/fuzz
seeds=$build/seeds corpus=$build/corpus found=$build/found
rm -rf "$seeds" "$found"
mkdir -p "$seeds" "$corpus"/{json,files} "$found"
# Fresh memory is filled, so that what is read before it is written shows.
export OMP_NUM_THREADS=1 ASAN_OPTIONS=allocator_may_return_null=1:max_malloc_fill_size=16777216:malloc_fill_byte=165
export ASAN_SYMBOLIZER_PATH=/usr/lib/llvm-16/bin/llvm-symbolizer
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
"$programs"/weft_fuzz_seeds "$seeds/json" "$seeds/files"

status=0
fuzz() { # fuzz <kind> <option>...
  local kind=$1 log=$build/fuzz-$1.log
  shift
  "$programs"/weft_fuzz "$corpus/$kind" "$seeds/$kind" -max_total_time=$((seconds / 2)) -seed="$seed" \
    -max_len=80000 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=512 -artifact_prefix="$found/$kind-" \
    -print_final_stats=1 -verbosity=0 "$@" >"$log" 2>&1 || {
    status=1
    tail -n 60 "$log"
  }
  echo "fuzz: $kind: $(awk '/stat::number_of_executed_units/ { count = $2 } END { print count }' "$log") files in" \
    "$((seconds / 2)) s, a corpus of $(find "$corpus/$kind" -type f | wc -l), found" \
    "$(find "$found" -name "$kind-*" | wc -l)"
}
fuzz json -only_ascii=1 -dict=tests/fuzz/keras.dict
fuzz files
exit $status
