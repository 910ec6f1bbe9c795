//go:build tools

// Package tools pins the commands that the devbox builds from this module.
package tools

import (
	_ "gvisor.dev/gvisor/runsc"
	_ "gvisor.dev/gvisor/shim"
)
