#!/usr/bin/env bash
# Prints the lines of a sources.list for a release of Debian, with the mirrors that this machine's own apt uses.
# usage: sources.sh SUITE
#
# DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR name others. Without a security mirror there are no lines for security.
set -euo pipefail
suite=${1:?a release, such as trixie}

# sources: apt's own view of where Debian comes from, whatever the format of its files. It lists what has been downloaded.
# shellcheck disable=SC2016 # apt's variables
sources() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' 'Component: main'
}

if [[ -z $(sources) ]]; then apt-get update --quiet >&2; fi
mirror='' security=''
while read -r uri release _; do
  case $release in
    *-security) security=${security:-$uri} ;;
    *) mirror=${mirror:-$uri} ;;
  esac
done < <(sources)
mirror=${DEBIAN_MIRROR:-${mirror%/}} security=${DEBIAN_SECURITY_MIRROR:-${security%/}}
if [[ -z $mirror ]]; then
  echo "sources.sh: apt of this machine has no source of Debian's component main; add one to /etc/apt, or set DEBIAN_MIRROR" >&2
  exit 1
fi
printf 'deb %s main\n' "$mirror $suite" "$mirror $suite-updates"
if [[ -n $security ]]; then printf 'deb %s main\n' "$security $suite-security"; fi
