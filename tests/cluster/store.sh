#!/bin/bash
# store.sh [FOLDER]: makes a containerd store with all images unpacked, once, and FOLDER a copy of it for a node.
# The copy is by hard links: unpacking a gigabyte for each node and each start would take far longer.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
images=()
for i in "$BUILD"/images/*.tar "$CACHE"/images/*.tar; do [ ! -e "$i" ] || images+=("$i"); done
store=$BUILD/store-$(stat -c '%n %s %Y' "${images[@]}" | sha256sum | cut -c1-16)
exec 9>"$CACHE/cluster.lock"
flock 9
if [ ! -e "$store/complete" ]; then
  say "unpacking ${#images[@]} images, once"
  rm -rf "$BUILD"/store-*
  mkdir -p "$store/run"
  cat >"$store/containerd.toml" <<T
version = 2
root = "$store/root"
state = "$store/run/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$store/run/c.sock"
T
  # to see no mounts of it, and to be rid of them with it
  unshare --mount --propagation private nice -n 5 containerd --config "$store/containerd.toml" >"$store/log" 2>&1 9>&- &
  pid=$!
  trap 'kill $pid; wait $pid || true' EXIT
  ctr() { command ctr -a "$store/run/c.sock" -n k8s.io "$@"; }
  await 20 ctr version || die "containerd does not start: see $store/log"
  for i in "${images[@]}"; do ctr images import "$i" >>"$store/log" || die "cannot import $i"; done
  # containerd's part for Kubernetes takes care only of images with this mark
  for i in $(ctr images ls -q); do ctr images label "$i" io.cri-containerd.image=managed >/dev/null; done
  kill $pid; wait $pid || true; trap - EXIT
  rm -rf "$store/run"
  touch "$store/complete"
fi
[ $# -eq 1 ] || exit 0
rm -rf "$1.new"
cp -al "$store/root" "$1.new" 2>/dev/null || { rm -rf "$1.new"; cp -a "$store/root" "$1.new"; } # on another file system
for i in "$1".new/*/*.db; do cp --preserve=mode "$i" "$i.own"; mv "$i.own" "$i"; done # the indexes alone are written in place
mv "$1.new" "$1"
