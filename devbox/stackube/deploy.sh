#!/usr/bin/env bash
# Builds Stackube from this checkout and rolls it out on the running devbox, by the same manifests as everywhere.
# Running it again replaces what has changed, and nothing else.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/../.."
state=$PWD/.devbox
export PATH=$state/bin:$PATH KUBECONFIG=$state/kubeconfig
say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }
[[ -s $KUBECONFIG ]] || { echo "no devbox is running: run \`make devbox\`" >&2; exit 1; }

# image NAME CONTAINERFILE FILE...: makes stackube/NAME from FILEs and loads it, named by its content; prints the tag.
image() {
  local name=$1 containerfile=$2 tag work
  shift 2
  tag=dev-$(cat "$containerfile" "$@" | sha256sum | cut -c1-12)
  if [[ ! -e $state/images/$name-$tag ]]; then
    work=$(mktemp -d)
    mkdir -p "$work/context" "$state/images"
    cp "$@" "$work/context/"
    buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs build --quiet --layers=false \
      --isolation chroot --file "$containerfile" --tag "$name" "$work/context" >/dev/null
    buildah --root "$work/store" --runroot "$work/run" --storage-driver vfs push --quiet "$name" "oci-archive:$work/image.tar"
    devbox/devbox load-image "stackube/$name:$tag" "$work/image.tar" >&2
    rm -rf "$work"
    touch "$state/images/$name-$tag"
  fi
  echo "$tag"
}

# The service user's password comes from clouds.yaml; it goes to the API server by standard input only.
configuration() {
  local network
  network=$(openstack --os-cloud devbox network show public -f value -c id)
  sed -e "s#^  auth-url:.*#  auth-url: \"$(openstack --os-cloud stackube configuration show -f value -c auth.auth_url)\"#" \
    -e "s#^  ext-net-id:.*#  ext-net-id: \"$network\"#" \
    -e "s#^  kubernetes-host:.*#  kubernetes-host: \"$(kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}' | sed -E 's#https://([^:]+):.*#\1#')\"#" \
    -e "s#^  password:.*#  password: \"$(openstack --os-cloud stackube configuration show --unmask -f value -c auth.password)\"#" \
    deployment/stackube-configmap.yaml
}

# Who operates the cluster by Keystone: whoever holds the role `operator` in a project or a domain of that name. Nobody does at first.
operators() {
  local domain project role
  domain=$(openstack --os-cloud devbox domain create --or-show operators -f value -c id)
  project=$(openstack --os-cloud devbox project create --or-show --domain "$domain" operators -f value -c id)
  role=$(openstack --os-cloud devbox role create --or-show operator -f value -c id)
  echo "$role@project:$project,$role@domain:$domain"
}

# Commands on the host for the guide: `devbox-host ip link`.
printf '#!/bin/sh\nexec %q enter devbox-1 "$@"\n' "$PWD/devbox/devbox" >"$state/bin/devbox-host"
chmod +x "$state/bin/devbox-host"

say "building"
# Chosen like the tests (the whole workspace, with one of its tests), so that Cargo builds dependencies once for both.
cargo build --quiet --workspace --bins --test e2e
target=${CARGO_TARGET_DIR:-target}/$(rustc -vV | sed -n 's/^host: //p')/debug
controller=$(image stackube-controller images/stackube-controller.Containerfile "$target/stackube-controller")
kubestack=$(image kubestack images/kubestack.Containerfile "$target/kubestack" "$target/kubestackd")
proxy=$(image stackube-proxy images/stackube-proxy.Containerfile "$target/stackube-proxy")
# What users have on their machines; kubectl finds the second name.
install -m 755 "$target/stackube" "$state/bin/stackube"
ln -sf stackube "$state/bin/kubectl-stackube"
auth=$(image stackube-auth images/stackube-auth.Containerfile "$target/stackube-auth")
say "images: stackube-controller:$controller kubestack:$kubestack stackube-proxy:$proxy stackube-auth:$auth"

configuration | kubectl apply --server-side --force-conflicts -f - >/dev/null
# Another manager of the same ConfigMap, so that both keep their keys.
kubectl apply --server-side --field-manager devbox -f devbox/stackube/configuration.yaml >/dev/null
operators=$(operators)
kubectl -n stackube-system create configmap stackube-auth --from-literal="operators=$operators" --dry-run=client -o yaml |
  kubectl apply --server-side --field-manager devbox -f - >/dev/null
mkdir -p "$state/deploy"
cat >"$state/deploy/kustomization.yaml" <<YAML
resources: [$(realpath --relative-to="$state/deploy" deployment)]
images:
  - {name: stackube/stackube-controller, newTag: $controller}
  - {name: stackube/kubestack, newTag: $kubestack}
  - {name: stackube/stackube-proxy, newTag: $proxy}
  - {name: stackube/stackube-auth, newTag: $auth}
patches: # stackube-auth reads its configuration when it starts: another one starts it anew.
  - target: {kind: DaemonSet, name: stackube-auth}
    patch: '[{"op": "add", "path": "/spec/template/metadata/annotations", "value": {"stackube.kubernetes.io/operators": "$operators"}}]'
YAML
kubectl apply --server-side --force-conflicts -f deployment/runtimeclasses.yaml >/dev/null
kubectl apply --server-side --force-conflicts -k "$state/deploy" >/dev/null
kubectl wait --for=condition=Established crd/tenants.stackube.kubernetes.io crd/networks.stackube.kubernetes.io \
  crd/ports.stackube.kubernetes.io --timeout=30s >/dev/null
say "waiting for stackube-controller, kubestack, stackube-proxy and stackube-auth"
kubectl -n stackube-system rollout status deployment/stackube-controller --timeout=180s
kubectl -n stackube-system rollout status daemonset/kubestack --timeout=180s
kubectl -n stackube-system rollout status daemonset/stackube-proxy --timeout=180s
kubectl -n stackube-system rollout status daemonset/stackube-auth --timeout=180s
kubectl wait --for=condition=Ready nodes --all --timeout=120s
say "Stackube runs on the devbox: export KUBECONFIG=$state/kubeconfig"
