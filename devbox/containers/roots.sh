#!/usr/bin/env bash
# Makes the root file systems of the nginx and busybox images from Debian packages. usage: roots.sh OUTPUT_DIR
set -euo pipefail
cd "$(dirname "$0")"
output=${1:?output directory}
suite=trixie
sources=$(../image/sources.sh "$suite")
mkdir -p "$output"

# Only what runs nginx, and curl, which the image on Docker Hub has too.
mmdebstrap --quiet --variant=minbase --include=nginx-light,curl \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  "$suite" "$output/nginx" - <<<"$sources"
cp nginx.conf "$output/nginx/etc/nginx/conf.d/default.conf"
rm -f "$output/nginx/etc/nginx/sites-enabled/default" "$output/nginx/etc/resolv.conf" "$output/nginx/etc/hostname"
rm -rf "$output"/nginx/var/{cache/apt,lib/apt/lists}/*
ln -sf /dev/stdout "$output/nginx/var/log/nginx/access.log"
ln -sf /dev/stderr "$output/nginx/var/log/nginx/error.log"

mmdebstrap --quiet --variant=extract --include=busybox-static "$suite" "$output/busybox.all" - <<<"$sources"
mkdir -p "$output"/busybox/{bin,etc,home,root,usr,var}
install -d -m 1777 "$output/busybox/tmp"
cp "$(find "$output/busybox.all" -path '*/bin/busybox')" "$output/busybox/bin/busybox"
"$output/busybox/bin/busybox" --list | while read -r applet; do
  if [[ $applet != busybox ]]; then ln "$output/busybox/bin/busybox" "$output/busybox/bin/$applet"; fi
done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n' >"$output/busybox/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$output/busybox/etc/group"
rm -rf "$output/busybox.all"
