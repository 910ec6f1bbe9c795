//go:build tools

// Package tools pins the commands that the devbox builds from this module.
package tools

import (
	_ "sigs.k8s.io/metrics-server/cmd/metrics-server"
)
