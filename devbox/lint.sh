#!/usr/bin/env bash
# Checks the shell scripts of the devbox and of the tests. usage: lint.sh
set -euo pipefail
cd "$(dirname "$0")"
if [[ -z $(type -P shellcheck) ]]; then
  echo "lint.sh: shellcheck is missing; mend it with: apt-get install -y shellcheck" >&2
  exit 1
fi
# The entry point with all that it sources, then every script that runs by itself.
shellcheck --external-sources --check-sourced devbox
find . -name '*.sh' ! -path './lib/*' ! -name lib.sh -print0 | xargs -0 shellcheck --external-sources
