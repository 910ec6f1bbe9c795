#!/usr/bin/env bash
# Whether every test that the pages of the security model name is there: a line without its test is a promise. usage: cited.sh [FILE]...
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$#" -gt 0 ] || set -- docs/security-model/*.md
missing=0

# Where the tests of a crate are, by the names that the pages explain at their heads.
folders() {
  case $1 in
    e2e) echo tests/e2e/tests/e2e ;;
    node | datapath) echo "crates/$1/tests/it" ;;
    auth) echo crates/auth/src crates/auth/tests/it ;;
    "auth live") echo crates/auth/tests/live ;;
    controller) echo crates/controller/src ;;
    "openstack live") echo crates/openstack/tests/live ;;
    proxy | openstack | cli | api) echo "crates/$1/src" "crates/$1/tests" ;;
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

# The names on the page $1, one a line.
names() {
  # shellcheck disable=SC2016 # backticks of Markdown
  grep -oE '`((auth|openstack) live(( |::)[a-z0-9_]+(::[a-z0-9_]+)*)?|(e2e|node|auth|controller|datapath|proxy|openstack|cli|api) [a-z0-9_:]+|[a-z0-9_]+(::[a-z0-9_]+)+)`' "$1" |
    tr -d '`' | sort -u
}

check() {
  local page=$1 name crate path names
  names=$(names "$page")
  while IFS= read -r name; do
    case $name in
      *" live"*) crate="${name%% *} live" path=${name#* live} path=${path#::} path=${path# } ;;
      *" "*) crate=${name%% *} path=${name#* } ;;
      *) crate="" path=$name ;;
    esac
    exists "$crate" "$path" || { echo "$page names a test that does not exist: $name" >&2; missing=1; }
  done <<< "$names"
  [ "$(wc -l <<< "$names")" -gt 40 ] || { echo "$page: hardly any test is named" >&2; missing=1; }
}

# Whether the last cell of every row on the page $1, in tables that have a column of tests, names a test or refers to the row above.
rows() {
  local row cell tests=""
  while IFS= read -r row; do
    case $row in
      *"| Test |") tests=1; continue ;;
      "| ---"*) continue ;;
      "|"*) ;;
      *) tests=""; continue ;;
    esac
    [ "$tests" ] || continue
    cell=${row% |} cell=${cell##*| }
    # shellcheck disable=SC2016 # backticks of Markdown
    [[ $cell =~ \`[^\`]+\`|^the\ same ]] || { echo "$1: a row names no test: ${row:0:100}" >&2; missing=1; }
  done < "$1"
}

# Whether every finding has its row on the page $1, with a test or why there is none.
findings() {
  local row
  for finding in N{1..40} I{1..30}; do
    row=$(grep -E "^\| $finding \|" "$1" || true)
    [ "$row" ] || { echo "$1 has no row for $finding" >&2; missing=1; continue; }
    # shellcheck disable=SC2016
    [[ ${row##*| *| } =~ \`|Open:|Later: ]] || { echo "$1: $finding has neither a test nor why it is open" >&2; missing=1; }
  done
}

for page in "$@"; do
  check "$page"
  rows "$page"
  if [[ $page == */findings.md ]]; then findings "$page"; fi
done
exit "$missing"
