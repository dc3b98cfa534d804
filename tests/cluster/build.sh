#!/bin/bash
# Compiles the cluster's programs and packs its three small images, once for each state of their sources.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ ! -e "$BUILD/complete" ] || exit 0
PATH=$PATH:/usr/local/go/bin
quiet command -v go || die "Go 1.24 or later is missing: it compiles Kubernetes"
need busybox-static:busybox
mkdir -p "$CACHE"
exec 9>"$CACHE/cluster.lock"
flock 9
[ ! -e "$BUILD/complete" ] || exit 0
say "compiling Kubernetes, once: 7 to 19 minutes on two cores"
rm -rf "$BUILD"
mkdir -p "$BIN" "$BUILD/images"
# No C; and no debugging information: it would be stripped anyway, and is a tenth of the compiler's work.
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false -gcflags=all=-dwarf=false ${GOFLAGS:-}"
version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' "$here/go/go.mod")
minor=${version#v1.}; minor=${minor%%.*}
x=k8s.io/component-base/version
stamp="-X $x.gitVersion=$version -X $x.gitMajor=1 -X $x.gitMinor=$minor -X $x.gitTreeState=archive -X $x.gitCommit=module -X $x.buildDate=1970-01-01T00:00:00Z"
cd "$here/go"
nice -n 10 go build -ldflags "-s -w $stamp" -o "$BIN/k8s" .
nice -n 10 go build -ldflags "-s -w" -o "$BIN/" ./coredns ./pause
for c in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl etcd etcdctl etcdutl directory-provisioner; do
  ln -sf k8s "$BIN/$c"
done

root=$BUILD/rootfs
image() { # NAME CONFIGURATION: from $root, which is then empty again
  "$here/image.sh" "docker.io/lifeboat/$1" "$root" "$BUILD/images/$1.tar" "$2"
  rm -rf "$root"; mkdir -p "$root"
}
mkdir -p "$root"
cp "$BIN/pause" "$root/"
image pause '{"Entrypoint":["/pause"]}'
cp "$BIN/coredns" "$root/"
image coredns '{"Entrypoint":["/coredns"]}'
mkdir -p "$root/bin" "$root/etc" "$root/www"; mkdir -m 1777 "$root/tmp"
cp "$(command -v busybox)" "$root/bin/busybox"
for a in $(busybox --list); do [ -e "$root/bin/$a" ] || ln -s busybox "$root/bin/$a"; done
image busybox '{"Env":["PATH=/bin"],"Cmd":["sh"]}'
rm -rf "$root"
touch "$BUILD/complete"
