#!/usr/bin/env bash
# ansible.sh DIR: makes a virtual environment with Ansible and the OpenStack client, at the pinned versions, in DIR, which must not exist.
# A virtual environment that was moved runs by its interpreter only: DIR/bin/python -m ansible playbook, DIR/bin/python -m openstackclient.shell.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${1:?usage: ansible.sh DIR}
[ ! -e "$dir" ] || { echo "ansible.sh: $dir exists" >&2; exit 1; }

/usr/bin/python3 -m venv "$dir"
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check --prefer-binary --requirement "$here/ansible-requirements.txt"
