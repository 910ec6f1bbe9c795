# shellcheck shell=bash
# Programs made on the spot: Go modules (devbox/build/NAME) and Python environments (devbox/NAME), one cache entry each.

# In the order of need: the longest build first, the rest while downloads of other parts run.
go_components=(kubernetes gvisor containerd etcd runc metrics-server registry tools)

# component NAME: where the programs of a component are.
component() {
  echo "$cache/$1-${keys[$1]}"
}

# The compiler spends a fifth of its time on its own garbage and on debug information that build.sh leaves out of the programs.
make_go_component() {
  mkdir "$2"
  GOGC=off GOMEMLIMIT=2GiB GOFLAGS="${GOFLAGS-} -gcflags=all=-dwarf=false" "$devbox/build/$1/build.sh" "$2"
}

build_component() {
  cache_fill "$1" "${keys[$1]}" make_go_component "$1"
}

# build_components: all of them, one after the other: each uses every processor by itself.
build_components() {
  local name
  for name in "${go_components[@]}"; do
    step "build-$name" "programs: $name" build_component "$name"
  done
}
