#!/usr/bin/env bash
# A program that Stackube is measured beside, from its Go module. usage: build.sh kube-proxy|coredns OUTPUT_DIR
set -euo pipefail
cd "$(dirname "$0")/${1:?program}"
output=${2:?output directory}
case $1 in
  # go.mod replaces Kubernetes' staging modules as devbox/build/kubernetes does, and has the same version.
  kube-proxy) package=k8s.io/kubernetes/cmd/kube-proxy ;;
  coredns) package=. ;;
esac
mkdir -p "$output"
CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$output/$1" "$package"
