#!/usr/bin/env bash
# Builds Weft and runs all of its tests. The last line is "N passed, N failed".
#   usage: tests/run.sh [preset]      release (the default), debug, asan or tsan: CMakePresets.json
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release}

# Whatever ends the script, it ends with the count; a build that fails is one failure.
passed=0 failed=1
trap 'echo "$passed passed, $failed failed"' EXIT

source cmake/setup.sh
install_missing "${weft_packages[@]}"
if [ "$preset" = asan ]; then install_missing "${weft_sanitizer_packages[@]}"; fi
cmake --preset "$preset"
cmake --build --preset "$preset"

# Tests run side by side, so their threads must not wait by spinning. Two are enough to race.
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
# Hostile files ask for more memory than there is, which must be an exception.
export ASAN_OPTIONS=allocator_may_return_null=1
export ASAN_SYMBOLIZER_PATH=/usr/lib/llvm-16/bin/llvm-symbolizer
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
log=$(mktemp)
ctest --preset "$preset" -j "$(nproc)" </dev/null | tee "$log" && status=0 || status=$?

# ctest sums up in a line like "100% tests passed, 0 tests failed out of 123".
summary=$(grep -E '^[0-9]+% tests passed' "$log" || true)
rm -f "$log"
if [[ $summary =~ ([0-9]+)\ tests\ failed\ out\ of\ ([0-9]+) ]]; then
  failed=${BASH_REMATCH[1]}
  passed=$((BASH_REMATCH[2] - failed))
else
  status=1
fi
exit "$status"
