#!/usr/bin/env bash
# Prints the files, relative to the repository's root, whose content decides what build.sh makes. An install.yml carries its package
# lists in itself, so the rest of a role may change without a new image.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
find devbox/image install/install.yml install/constraints.txt install/openstack.txt -type f
find install/roles -path install/roles/kubernetes -prune -o -path '*/tasks/install.yml' -print
