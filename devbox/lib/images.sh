# shellcheck shell=bash
# Images for the running devbox.

# load_image NAME SOURCE: puts an image where containerd of every host finds it under NAME, as if it came from docker.io.
# SOURCE is an archive (OCI or Docker, as `buildah push` writes them) or a containers-storage reference.
load_image() {
  local name=${1:?name of the image} source=${2:?an archive or a reference} host
  if [[ ${name##*/} != *:* ]]; then name+=:latest; fi
  if [[ -z $(host_running "${host_names[0]}") ]]; then die "no devbox runs" "start it with: make devbox"; fi
  if [[ -f $source ]]; then source=$(archive_reference "$source"); fi
  for host in "${!host_address[@]}"; do
    if [[ -n $(host_running "$host") ]]; then load_image_on "$host" "$name" "$source"; fi
  done
}

# load_image_on HOST NAME SOURCE: the same on one host.
load_image_on() {
  local host=$1 name=$2 source=$3
  # The registry listens on the host's own loopback: enter its network, nothing else.
  nsenter --net="/run/netns/$host" skopeo copy --quiet --dest-tls-verify=false \
    --dest-compress-format zstd --dest-compress-level 1 "$source" "docker://127.0.0.1:5001/${name#docker.io/}"
  # The name may have meant an older image.
  host_exec "$host" ctr --namespace k8s.io images pull --hosts-dir /etc/containerd/certs.d \
    "$(docker_reference "$name")" >/dev/null
}

# archive_reference FILE: how the archive is called by the tools: Docker's archives have a manifest.json, OCI's have not.
archive_reference() {
  if [[ -n $(tar --list --file "$1" | sed -n '/^manifest\.json$/p') ]]; then
    echo "docker-archive:$1"
  else
    echo "oci-archive:$1"
  fi
}

# docker_reference NAME: the full name, as containerd keeps it.
docker_reference() {
  case $1 in
    *.*/* | localhost/*) echo "$1" ;;
    */*) echo "docker.io/$1" ;;
    *) echo "docker.io/library/$1" ;;
  esac
}
