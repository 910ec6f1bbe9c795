#!/usr/bin/env bash
# Kubernetes: control plane, kubelet, kubectl, kubeadm, and agnhost (the test suite's pod). usage: build.sh OUTPUT_DIR
#
# k8s.io/kubernetes points its staging modules at ./staging, which a consumer does not see;
# go.mod replaces each with its published twin (v1.36.3 is published as v0.36.3).
set -euo pipefail
cd "$(dirname "$0")"
output=${1:?output directory}

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
[[ $version =~ ^v([0-9]+)\.([0-9]+)\. ]]
stamp=k8s.io/component-base/version
ldflags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=${BASH_REMATCH[1]} -X $stamp.gitMinor=${BASH_REMATCH[2]} -X $stamp.gitTreeState=clean"

CGO_ENABLED=0 go build -trimpath -ldflags "$ldflags" -o "$output/" \
  k8s.io/kubernetes/cmd/kube-{apiserver,controller-manager,scheduler} \
  k8s.io/kubernetes/cmd/{kubeadm,kubectl,kubelet} \
  k8s.io/kubernetes/test/images/agnhost

# pause, the process that holds a pod's namespaces, is C beside the Go sources.
sources=$(go list -m -f '{{.Dir}}' k8s.io/kubernetes)/build/pause/linux
gcc -Os -Wall -static -s -DVERSION="$version" -o "$output/pause" "$sources/pause.c"
