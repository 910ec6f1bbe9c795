//go:build tools

// Package tools pins the command that the benchmark builds from this module.
package tools

import _ "k8s.io/kubernetes/cmd/kube-proxy"
