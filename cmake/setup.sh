# Sourced by the scripts that build Weft: installs the Debian packages that are missing.
# docs/dependencies.md says what each is for.

weft_packages=(cmake ninja-build g++ libboost-dev libdnnl-dev ocl-icd-opencl-dev libfmt-dev pkg-config zlib1g-dev libpng-dev
  libturbojpeg0-dev libhdf5-dev libzip-dev libcsv-dev libplplot-dev plplot-driver-cairo libprotobuf-dev
  nlohmann-json3-dev libcli11-dev libcpp-httplib-dev graphviz doctest-dev)
weft_sanitizer_packages=(clang-16 libclang-rt-16-dev libomp-16-dev llvm-16)

# install_missing <package>...: asks for root's rights only if there is something to install.
install_missing() {
  if ! command -v dpkg-query >/dev/null; then
    echo "This is no Debian: please see to it that these are here: $*" >&2
    return
  fi
  local package missing=() as_root=()
  for package in "$@"; do
    if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
      missing+=("$package")
    fi
  done
  if [ ${#missing[@]} = 0 ]; then return; fi
  echo "Installing ${missing[*]}" >&2
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
      echo "Neither root nor sudo: please install ${missing[*]}" >&2
      return 1
    }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq </dev/null >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >&2
}
