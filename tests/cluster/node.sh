# shellcheck shell=bash
# Nodes: each is a group of processes with its own network, mounts, name and process numbers; its disk is a folder.

# shellcheck disable=SC2154 # lib.sh sets what is read here

cgroups() { # the folder of each hierarchy of control groups
  local c
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo /sys/fs/cgroup; return 0; fi # one hierarchy (v2)
  for c in /sys/fs/cgroup/*/; do [ ! -e "${c}cgroup.procs" ] || echo "${c%/}"; done
}

nodes() { local p; for p in "$RUN"/pid/node*; do [ ! -e "$p" ] || basename "$p"; done; }

init() { # NODE: its first process, as this machine counts
  local p; p=$(alive "$1") && pgrep -P "$p" | head -n 1 | grep .
}

node_up() {
  local n=$1 d=$RUN/$1 c g
  if alive "$n" >/dev/null; then return 0; fi
  mkdir -p "$d"/{kubelet,cni,cni.d,log,run,shims,volplugins}
  [ -d "$d/containerd" ] || "$here/store.sh" "$d/containerd"
  cable "$n"
  for c in $(cgroups); do
    mkdir -p "$c$CGROUP/$n"
    # a new group of this hierarchy is good for nothing until it is told its processors and memory
    case $c in */cpuset)
      for g in "$CGROUP" "$CGROUP/$n"; do
        cat "$c/cpuset.cpus" >"$c$g/cpuset.cpus"
        cat "$c/cpuset.mems" >"$c$g/cpuset.mems"
      done ;;
    /sys/fs/cgroup)
      for g in "" "$CGROUP"; do
        sed 's/^\| / +/g' "$c/cgroup.controllers" >"$c$g/cgroup.subtree_control" || say "not all control groups can be used"
      done ;;
    esac
  done
  quiet kubectl delete lease -n kube-node-lease "$n" || true # else a status from before would be believed
  background "$n" nsenter --net="/run/netns/$NAME-$n" \
    unshare --mount --uts --pid --fork --kill-child --propagation private "$here/node-init.sh" "$n"
}

# shellcheck disable=SC2317 # called through await
node_is_ready() {
  quiet kubectl get lease -n kube-node-lease "$1" &&
    kubectl get node "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' | grep -q True
}

node_kill() {
  local first; first=$(init "$1") || true
  [ -z "$first" ] || kill -KILL "$first" 2>/dev/null || true
  end "$1"
}

node_clean() { # after node_kill: all but its network
  local c
  for c in $(cgroups); do
    await 10 sweep "$c$CGROUP/$1" || say "not empty: $c$CGROUP/$1"
  done
  rm -rf "${RUN:?}/$1" "$RUN/volumes/$1"
}
sweep() { [ ! -d "$1" ] || find "$1" -depth -type d -exec rmdir {} +; }

on_node() { # NODE COMMAND...: inside its namespaces
  local first; first=$(init "$1") || die "$1 is not running"
  shift; nsenter --target "$first" --net --mount --uts --pid "$@"
}
node_stop() { # NODE PROGRAM
  on_node "$1" bash -c "kill -KILL $(cat "$RUN/$1/run/$2.pid")"
}
node_start() { # NODE PROGRAM
  local first; first=$(init "$1") || die "$1 is not running"
  setsid nsenter --target "$first" --net --mount --uts --pid "$here/node-proc.sh" "$1" "$2" >/dev/null 2>&1 </dev/null &
}
