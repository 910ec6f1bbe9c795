# shellcheck shell=bash
# What the machine must have. Set-up installs what apt gives; the rest is checked, each failure with its mend.

# Packages of the machine, and why: builds (gcc pkg-config libseccomp-dev), images (buildah mmdebstrap), Python venvs, hosts.
packages=(
  gcc libc6-dev pkg-config libseccomp-dev
  buildah skopeo mmdebstrap debian-archive-keyring
  python3-venv
  jq iproute2 nftables ethtool openssh-client util-linux procps curl ca-certificates
)

# version_at_least HAVE WANT
version_at_least() {
  [[ $(printf '%s\n%s\n' "$2" "$1" | sort --version-sort | head -n 1) == "$2" ]]
}

# missing PROBLEM MEND: notes one unmet prerequisite.
missing() {
  unmet+=("$1" "    mend it with: $2")
}

check_debian() {
  local id='' version=''
  if [[ -r /etc/os-release ]]; then
    id=$(sed -n 's/^ID=//p' /etc/os-release)
    version=$(sed -n 's/^VERSION_ID="\?\([0-9]*\).*/\1/p' /etc/os-release)
  fi
  if [[ $id != debian || ! $version =~ ^(12|13)$ ]]; then
    missing "this machine runs ${id:-an unknown system} ${version}, the devbox needs Debian 12 or 13" "a Debian 13 machine or container"
  fi
}

check_tools() {
  local have
  for have in git make; do
    if [[ -z $(type -P "$have") ]]; then missing "$have is not installed" "apt-get install -y $have"; fi
  done
  have=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
  if [[ -z $have ]] || ! version_at_least "$have" 1.95; then
    missing "Rust ${have:-is missing}, 1.95 or newer is needed" "rustup toolchain install stable && rustup default stable (https://rustup.rs)"
  fi
  have=$(go env GOVERSION 2>/dev/null || true)
  if [[ -z $have ]] || ! version_at_least "${have#go}" 1.26; then
    missing "Go ${have:-is missing}, 1.26 or newer is needed" "the tarball of https://go.dev/dl/, unpacked as /usr/local/go, with /usr/local/go/bin in PATH"
  fi
}

check_disk() {
  local directory type
  for directory in "$state" "$cache"; do
    mkdir -p "$directory"
    type=$(stat --file-system --format=%T "$directory")
    if [[ $type == overlayfs || $type == tmpfs ]]; then
      missing "$directory is on $type, which cannot carry the hosts' file systems" "mount a disk with ext4 or xfs there"
    fi
    if [[ $directory == *[:,\\]* ]]; then
      missing "$directory has a colon, comma or backslash in its name, which overlay mounts cannot take" "another place for the checkout, or STACKUBE_CACHE"
    fi
  done
}

# check_space: a full disk breaks builds and images at any place, and late.
check_space() {
  local directory free wanted=10
  # Measured: 10 GiB for a checkout's builds, 6 GiB for the cache.
  if compgen -G "$repository/target/*/debug/deps" >/dev/null; then wanted=3; fi
  for directory in "$state" "$cache"; do
    free=$(df --output=avail --block-size=G "$directory" | tail --lines=1 | tr --delete --complement 0-9)
    if ((free < wanted)); then
      missing "$directory has $free GiB free, at least $wanted are needed" "devbox/devbox prune 0, or cargo clean in checkouts that are not in use"
    fi
  done
}

# install_packages: installs what is missing, and asks apt nothing when nothing is.
install_packages() {
  local package absent=()
  for package in "${packages[@]}"; do
    if [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true) != installed ]]; then absent+=("$package"); fi
  done
  if ((${#absent[@]} == 0)); then return; fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update --quiet
  apt-get install --yes --quiet --no-install-recommends "${absent[@]}"
}

# prerequisites: ends with every unmet prerequisite, or with all of them met.
prerequisites() {
  unmet=()
  if ((EUID != 0)); then missing "the devbox makes network namespaces and mounts, which takes root" "sudo make devbox"; fi
  check_debian
  check_tools
  if ((EUID == 0)); then
    check_disk
    check_space
  fi
  if ((${#unmet[@]} > 0)); then die "${unmet[@]}"; fi
  step packages "prerequisites: packages of the machine" install_packages
}
