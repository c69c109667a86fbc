#!/usr/bin/env bash
# Builds the Debian package in build/, from whatever `scripts/build.sh release` finds on this machine. With --try, as root,
# it also installs the package in a fresh Debian root made by debootstrap, runs it there, and removes that root again.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/build.sh release -DTATR_CUDA=ON -DBUILD_TESTING=OFF
scripts/install_packages.sh --program dpkg-dev file
(cd build && cpack >/dev/null)
package=$(ls -t build/tatr-sim_*.deb | head -n 1)
echo "Built $package"
[ "${1:-}" = --try ] || exit 0

scripts/install_packages.sh --program debootstrap
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
echo "Making a Debian root in $root"
debootstrap --variant=minbase "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" >/dev/null
cp "$package" "$root/tatr-sim.deb"
chroot "$root" sh -euc '
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Use-Pty=0 install -y -qq --no-install-recommends /tatr-sim.deb >/dev/null
  tatr-sim --version
  tatr-sim run /usr/share/tatr-sim/configs/quick.json --device cpu --jsonl /quick.jsonl --markdown -
  tatr-sim merge /quick.jsonl --csv /quick.csv
  apt-get -o Dpkg::Use-Pty=0 purge -y -qq tatr-sim >/dev/null
  test ! -e /usr/bin/tatr-sim && test ! -e /usr/share/tatr-sim'
echo "The package installs, runs and leaves nothing behind"
