#!/usr/bin/env bash
# Runs a command in a bare Debian system that holds nothing but apt and a copy of this checkout.
#   usage: tests/debian.sh 13|12 [command [argument]...]      the default command is tests/run.sh
#
# Needs root. The first run makes the system by debootstrap in .cache/debian-13 (or -12), from the package
# mirror that this machine uses, with its keys and its settings for apt. Later runs use it again: with the
# packages that were installed, the build folder, and the data in /weft. To begin anew, remove the folder.
# All mounts lie in a mount namespace of the command, so they end with it, whatever ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
source cmake/setup.sh

declare -A codenames=([12]=bookworm [13]=trixie)
suite=${codenames[${1:-none}]:-}
if [ -z "$suite" ]; then
  echo "tests/debian.sh: say which Debian, 13 or 12: tests/debian.sh 13 [command [argument]...]" >&2
  exit 2
fi
if [ "$(id -u)" != 0 ]; then
  echo "tests/debian.sh: debootstrap, mount and chroot need root: run it with sudo" >&2
  exit 2
fi
folder=$PWD/.cache/debian-$1 root=$PWD/.cache/debian-$1/root
shift
if [ $# = 0 ]; then set -- tests/run.sh; fi

# The sources of Debian's own packages that this machine has, for the wanted release:
# "<address> <suite> [<keyring>]" a line.
sources_here() {
  local uri release component origin
  apt-get indextargets --format "\$(REPO_URI) \$(RELEASE) \$(COMPONENT) \$(ORIGIN)" 'Created-By: Packages' |
    while read -r uri release component origin; do
      if [ "$component" != main ] || [ "$origin" != Debian ]; then continue; fi
      case $release in
        *-updates) echo "${uri%/} $suite-updates $(keyring_of "${uri%/}")" ;;
        *-security) echo "${uri%/} $suite-security $(keyring_of "${uri%/}")" ;;
        *-*) ;;  # backports, for example
        *) echo "${uri%/} $suite $(keyring_of "${uri%/}")" ;;
      esac
    done
}

# The file that the sources of an address name as their key: signed-by= in a .list, Signed-By: in a .sources.
keyring_of() {
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    if [ ! -f "$file" ]; then continue; fi
    if [[ $file == *.list ]]; then
      grep -v '^ *#' "$file" | grep -F "$1" | sed -n 's/.*signed-by=\([^], ]*\).*/\1/p'
    else
      awk -v RS= -v uri="$1" 'index($0, uri)' "$file" | sed -n 's/^signed-by: *//Ip'
    fi
  done | grep -m 1 '^/' || true
}

# What apt is to know inside: sources, keys, proxies and other settings for downloads.
configure_apt() {
  local etc=$root/etc/apt uri release keyring setting file
  mkdir -p "$etc"/{apt.conf.d,trusted.gpg.d,keyrings}
  cp -n /etc/apt/trusted.gpg.d/*.{asc,gpg} "$etc/trusted.gpg.d/" 2>/dev/null || true
  cp -n /etc/apt/keyrings/* "$etc/keyrings/" 2>/dev/null || true
  cp -r /etc/apt/auth.conf /etc/apt/auth.conf.d "$etc/" 2>/dev/null || true
  while read -r uri release keyring; do
    if [ -f "$keyring" ] && [ ! -e "$root$keyring" ]; then install -D -m 644 "$keyring" "$root$keyring"; fi
    echo "deb ${keyring:+[signed-by=$keyring] }$uri $release main"
  done <<<"$sources" >"$etc/sources.list"
  # Not its hooks: the programs that they run are not there.
  apt-config dump | grep '^Acquire::' | grep -v '^Acquire::IndexTargets' >"$etc/apt.conf.d/00host"
  # Certificates and keys of https, which the settings name.
  while IFS='"' read -r setting file _; do
    if [[ $setting == Acquire::http* && $file == /* && -f $file ]]; then
      install -D -m 644 "$file" "$root$file"
    fi
  done <"$etc/apt.conf.d/00host"
}

# Makes the system; one that was broken off is made anew.
make_root() {
  local uri release keyring
  install_missing debootstrap debian-archive-keyring
  read -r uri release keyring < <(grep " $suite " <<<"$sources")
  rm -rf --one-file-system "$root" "$root.new"
  mkdir -p "$root.new"
  if [ -z "${http_proxy:-}" ]; then
    local proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    if [ "$proxy" ]; then export http_proxy=$proxy; fi
  fi
  unshare --mount --pid --fork --kill-child debootstrap --variant=minbase ${keyring:+"--keyring=$keyring"} \
    "$suite" "$root.new" "$uri" >&2
  mv "$root.new" "$root"
}

# The checkout without what was built in it; the copy keeps its own builds and data.
copy_checkout() {
  mkdir -p "$root/weft"
  find "$root/weft" -mindepth 1 -maxdepth 1 ! -name 'build*' ! -name .cache -exec rm -rf {} +
  tar --exclude='./build*' --exclude=./.cache --exclude=./.git -cf - . | tar -C "$root/weft" -xf -
}

# Runs in a namespace of its own.
enter() {
  local root=$1
  shift
  mount --rbind /dev "$root/dev"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  # What is set outside for compilers and shells stays outside.
  local kept=() name
  while read -r name; do
    case $name in
      *_proxy | *_PROXY | WEFT_* | OMP_* | ONEDNN_* | TERM) kept+=("$name=${!name}") ;;
    esac
  done < <(compgen -e)
  exec env -i HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    "${kept[@]}" chroot "$root" sh -c 'cd /weft && exec "$@"' sh "$@"
}

mkdir -p "$folder"
exec 9>"$folder/lock"
flock -n 9 || { echo "tests/debian.sh: $folder is in use: waiting" >&2 && flock 9; }

sources=$(sources_here)
if [ -z "$sources" ]; then
  apt-get update -qq >&2
  sources=$(sources_here)
fi
if ! grep -q " $suite " <<<"$sources"; then
  echo "tests/debian.sh: this machine has no package source of Debian's, so there is no mirror to take" >&2
  exit 1
fi
if [ ! -d "$root" ]; then make_root; fi
configure_apt
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
copy_checkout
export -f enter
unshare --mount --pid --fork --kill-child bash -euo pipefail -c 'enter "$@"' enter "$root" "$@"
