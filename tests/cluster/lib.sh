# shellcheck shell=bash
# Settings and helpers of the test cluster's scripts.
#
#   LIFEBOAT_CACHE, LIFEBOAT_STATE   where programs and running clusters are kept, as everywhere in this project
#   LIFEBOAT_K8S_ID                  0..9, for several clusters side by side [0]
#   LIFEBOAT_K8S_GRACE               a silent node counts as lost after this [12s]; what upstream takes: 50s, before 1.32 40s
#   LIFEBOAT_K8S_EVICT               seconds until a lost node's pods are given up, where they do not say so [300, as upstream]
#   LIFEBOAT_K8S_PROXY               iptables or nftables: how services are reached [iptables]
#   LIFEBOAT_K8S_QPS                 requests a second that the controllers allow themselves [20, as upstream]
#   LIFEBOAT_K8S_ETCD                more flags for etcd, as --unsafe-no-fsync
# shellcheck disable=SC2034  # used by the scripts that read this file
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../deploy/images/common.sh"

ID=${LIFEBOAT_K8S_ID:-0}
case $ID in [0-9]) ;; *) die "LIFEBOAT_K8S_ID must be 0..9" ;; esac
GRACE=${LIFEBOAT_K8S_GRACE:-12s}
EVICT=${LIFEBOAT_K8S_EVICT:-300}
PROXY=${LIFEBOAT_K8S_PROXY:-iptables}
QPS=${LIFEBOAT_K8S_QPS:-20}
read -ra ETCD <<<"${LIFEBOAT_K8S_ETCD:-}"

BUILD=$CACHE/cluster-$(digest "$here"/go/go.sum "$here"/go/*.go "$here"/go/*/*.go "$here/build.sh")
BIN=$BUILD/bin
case $ID in 0) RUN=$STATE/cluster ;; *) RUN=$STATE/cluster$ID ;; esac
CNI=/usr/lib/cni                         # where Debian puts the programs that give pods their network

NAME=lb$ID                               # prefix of network namespaces and links
NET=10.21$ID.0                           # machines: .1 to .200 nodes, .253 this host, .254 the control plane
CP=$NET.254
HOST=$NET.253
PODS=10.22$ID                            # pods of node I: $PODS.I.0/24
SERVICES=10.$((96 + ID)).0               # addresses of services: /16
API_SERVICE=$SERVICES.1
DNS_SERVICE=$SERVICES.10
CGROUP=/lifeboat$ID

kubectl() { "$BIN/kubectl" --kubeconfig="${LIFEBOAT_TEST_KUBECONFIG:-$RUN/admin.conf}" "$@"; }
# not `ip netns exec`: that mounts a new /sys, in which the control groups are missing
inside() { local ns=$1; shift; nsenter --net="/run/netns/$ns" "$@"; }

# A process is known by its number and its time of birth, so that a number used again is never ended. One that has ended
# but was not yet reaped does not count: the first process of some machines is slow at it.
born() {
  local stat; stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  [ "${stat%% *}" != Z ] && cut -d' ' -f20 <<<"$stat"
}
alive() { # NAME: its number
  local pid at
  read -r pid at 2>/dev/null <"$RUN/pid/$1" && [ "$(born "$pid")" = "$at" ] && echo "$pid"
}
background() { # NAME COMMAND...
  local name=$1; shift
  setsid "$@" >>"$RUN/log/$name.log" 2>&1 </dev/null &
  echo "$! $(born $!)" >"$RUN/pid/$name"
}
end() { # NAME: killed, and waited for until it is gone
  local pid; pid=$(alive "$1") || return 0
  kill -KILL "$pid" 2>/dev/null || true
  while alive "$1" >/dev/null; do sleep 0.02; done
}
