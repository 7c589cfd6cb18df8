#!/usr/bin/env bash
# Runs an example, and fails unless it ends well and writes all that it should, anew.
#   usage: run.sh [--writes FILE]... PROGRAM [ARGUMENT]...
set -euo pipefail

written=()
while [ "$1" = --writes ]; do
  written+=("$2")
  shift 2
done
rm -f ${written[@]+"${written[@]}"}
"$@"
for file in ${written[@]+"${written[@]}"}; do
  if [ ! -s "$file" ]; then
    echo "$1 did not write $file, or nothing into it"
    exit 1
  fi
done
