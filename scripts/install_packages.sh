#!/usr/bin/env bash
# Installs what building and testing need, from Debian or Ubuntu: install_packages.sh [--program] [PACKAGE…]. With --program, only what
# the program itself is built from; packages that are named come with either. Does nothing where all of it is there.
set -euo pipefail

packages=(g++ cmake ninja-build git libcli11-dev libfmt-dev nlohmann-json3-dev libvalijson-dev libarchive-dev zlib1g-dev
  libopenblas-dev libthrust-dev)
if [ "${1:-}" = --program ]; then shift; else packages+=(make pkg-config python3 python3-numpy catch2 zsh groff-base mandoc); fi
packages+=("$@")

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install_packages.sh: need root or sudo to install: ${missing[*]}" >&2; exit 3; }
  as_root=(sudo)
fi
echo "Installing ${#missing[@]} packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"${as_root[@]}" apt-get update -qq >"$log" 2>&1 &&
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || {
  echo "install_packages.sh: apt-get failed; the end of its log:" >&2
  tail -n 20 "$log" >&2
  exit 3
}
