#!/bin/bash
# node-init.sh NODE: the first process of a node, so that the node ends with it.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
N=$1 D=$RUN/$1
hostname "$N"
mount -t proc proc /proc
for m in kubelet:/var/lib/kubelet cni:/var/lib/cni log:/var/log shims:/run/containerd; do mount --bind "$D/${m%%:*}" "${m#*:}"; done
mount -t tmpfs tmpfs /run/netns          # the network namespaces of this node's pods
# The kubelet wants these of the whole machine. It finds them as it wants them, and the machine keeps its own.
while read -r path value; do
  echo "$value" >"$D/sysctl.$(basename "$path")"
  mount --bind "$D/sysctl.$(basename "$path")" "/proc/sys/$path"
done <<S
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
S
mount --make-rshared /
"$here/node-proc.sh" "$N" containerd &
await 20 ctr -a "$D/run/containerd.sock" version
for i in "$RUN"/images/*.tar; do
  [ ! -e "$i" ] || ctr -a "$D/run/containerd.sock" -n k8s.io images import "$i" >>"$RUN/log/$N-images.log" 2>&1
done
"$here/node-proc.sh" "$N" kubelet &
"$here/node-proc.sh" "$N" kube-proxy &
trap 'exit 0' TERM INT
while :; do wait -n 2>/dev/null || sleep 1; done # children that end are reaped, and nothing is started again by itself
