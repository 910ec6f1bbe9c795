#!/usr/bin/env bash
# Whether every test that the security model names is there: a line without its test is a promise. usage: cited.sh [FILE]
set -euo pipefail
cd "$(dirname "$0")/.."
page=${1:-docs/security-model/README.md}
missing=0

# Where the tests of a crate are, by the names that the page explains at its head.
folders() {
  case $1 in
    e2e) echo tests/e2e/tests/e2e ;;
    node | datapath) echo "crates/$1/tests/it" ;;
    auth) echo crates/auth/src crates/auth/tests/it ;;
    "auth live") echo crates/auth/tests/live ;;
    controller) echo crates/controller/src ;;
    *) echo crates/*/src crates/*/tests ;;
  esac
}

# The files of module $1 under the folders $2...
module() {
  find "${@:2}" \( -name "$1.rs" -o -path "*/$1/*.rs" -o -path '*/main.rs' -path "*/$1/main.rs" \)
  grep -rlE "^ *(pub(\([a-z]+\))? )?mod $1 \{" "${@:2}" --include='*.rs' || true
}

# Whether the path $2, modules and then a test or a module, is there for the crate $1.
exists() {
  local last=${2##*::} rest=${2%"${2##*::}"} files
  read -ra places <<< "$(folders "$1")"
  [ "$2" ] || { [ -d "${places[0]}" ]; return; }
  for part in ${rest//::/ }; do
    mapfile -t files < <(module "$part" "${places[@]}")
    [ "${#files[@]}" -gt 0 ] || return 1
    places=("${files[@]}")
  done
  grep -rqE "^ *(pub )?(async )?fn $last\b|^ *mod $last\b" "${places[@]}" || [ "$(module "$last" "${places[@]}")" ]
}

# shellcheck disable=SC2016 # backticks of Markdown
names=$(grep -oE '`(auth live(::[a-z0-9_]+)?|(e2e|node|auth|controller|datapath) [a-z0-9_:]+|[a-z0-9_]+(::[a-z0-9_]+)+)`' "$page" | tr -d '`' | sort -u)
while IFS= read -r name; do
  case $name in
    "auth live"*) crate="auth live" path=${name#auth live} path=${path#::} ;;
    *" "*) crate=${name%% *} path=${name#* } ;;
    *) crate="" path=$name ;;
  esac
  exists "$crate" "$path" || { echo "$page names a test that does not exist: $name" >&2; missing=1; }
done <<< "$names"
[ "$(wc -l <<< "$names")" -gt 40 ] || { echo "$page: hardly any test is named" >&2; missing=1; }
exit "$missing"
