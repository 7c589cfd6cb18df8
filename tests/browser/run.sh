#!/usr/bin/env bash
# Tests the page of `weft serve` in Chromium, without a screen.
#   usage: tests/browser/run.sh [--install]    --install gets chromium and chromium-driver from Debian
# Without them it says so and passes. Screenshots are left in $WEFT_SCREENSHOTS, if that is set.
set -euo pipefail
cd "$(dirname "$0")/../.."
source cmake/setup.sh
if [ "${1:-}" = --install ]; then install_missing chromium chromium-driver; fi
if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
  echo "SKIPPED: the page is not tested: chromium and chromedriver are not here; $0 --install gets them"
  exit 0
fi
install_missing "${weft_packages[@]}"
build=${WEFT_BUILD:-build}
if [ ! -f "$build/CMakeCache.txt" ]; then cmake --preset release; fi
cmake --build "$build" --target weft_browser_tests weft_program
OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive "$build/tests/weft_browser_tests"
