#!/usr/bin/env bash
# Makes the certificates by which the API server and stackube-auth know each other on the loopback interface of one host:
# one authority, one server, one client. The authority's key is thrown away: renewing means making all three anew.
# usage: stackube-auth-certificates.sh DIRECTORY GROUP     GROUP (a number) may read the server's key.
# Prints `made` or `kept`.
set -euo pipefail
directory=${1:?directory} group=${2:?group}
lifetime=3650 # days, as long as that of the cluster's own authority
renew=$((365 * 86400)) # seconds before the end

valid() {
  local file
  for file in ca.crt server.crt client.crt; do
    openssl x509 -in "$directory/$file" -noout -checkend "$renew" >/dev/null 2>&1 || return 1
  done
  [[ -s $directory/server.key && -s $directory/client.key ]]
}
if valid; then
  echo kept
  exit
fi

umask 077
work=$(mktemp --directory "$(dirname "$directory")/.stackube-auth.XXXXXX")
trap 'rm -rf "$work"' EXIT

key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key"; }

# leaf NAME SUBJECT USAGE [ALTERNATIVE NAMES]
leaf() {
  key "$1"
  openssl req -new -key "$work/$1.key" -subj "/CN=$2" -out "$work/$1.csr"
  printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n%s\n' \
    "$3" "${4:+subjectAltName=$4}" >"$work/$1.ext"
  openssl x509 -req -in "$work/$1.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -days "$lifetime" -sha256 \
    -extfile "$work/$1.ext" -out "$work/$1.crt" 2>/dev/null
}

key ca
openssl req -x509 -new -key "$work/ca.key" -subj /CN=stackube-auth-ca -days "$lifetime" -sha256 \
  -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign -out "$work/ca.crt"
leaf server stackube-auth serverAuth IP:127.0.0.1,DNS:localhost
leaf client kube-apiserver clientAuth
rm "$work"/*.csr "$work"/*.ext "$work/ca.key"
chmod 0644 "$work"/*.crt
chmod 0640 "$work/server.key"
chgrp "$group" "$work/server.key"

# The certificates are read together and replaced one by one; readers that see a mixture keep what they had.
mkdir -p "$directory"
chmod 0755 "$directory"
mv "$work"/* "$directory/"
echo made
