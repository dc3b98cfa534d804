# shellcheck shell=bash
# The cluster's network: a bridge in a namespace of its own, the control plane's, to which the nodes and this machine
# are plugged in. The way from this machine to the services goes through the control plane, where a kube-proxy of its
# own answers for their addresses: as a cloud's load balancer it does not fall with any node.

network_up() {
  local rule
  claim_folders "$NAME" /run/netns /run/containerd /var/lib/kubelet /var/lib/cni
  if ! [ -e "/run/netns/$NAME-cp" ]; then
    ip netns add "$NAME-cp"
    ip -n "$NAME-cp" link set lo up
    ip -n "$NAME-cp" link add br0 type bridge
    ip -n "$NAME-cp" addr add "$CP/24" dev br0
    ip -n "$NAME-cp" link set br0 up
    # What one node sends to another only crosses the bridge: the rules for services are not meant for it here.
    inside "$NAME-cp" sysctl -qwe net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=0
    ip link add "$NAME-host" type veth peer name "$NAME-hostp" netns "$NAME-cp"
    ip -n "$NAME-cp" link set "$NAME-hostp" master br0 up
    ip addr add "$HOST/24" dev "$NAME-host"
    ip link set "$NAME-host" up
    ip route replace "$SERVICES.0/16" via "$CP"
  fi
  # Docker sets the policy of FORWARD to DROP; its containers shall reach the cluster all the same.
  for rule in "-i $NAME-host" "-o $NAME-host"; do
    # shellcheck disable=SC2086 # two words
    iptables -C FORWARD $rule -j ACCEPT 2>/dev/null || iptables -I FORWARD $rule -j ACCEPT
  done
}

network_down() {
  local rule
  for rule in "-i $NAME-host" "-o $NAME-host"; do
    # shellcheck disable=SC2086 # two words
    while quiet iptables -D FORWARD $rule -j ACCEPT; do :; done
  done
  ip link del "$NAME-host" 2>/dev/null || true # its routes go with it
  ip netns del "$NAME-cp" 2>/dev/null || true
  release_folders "$NAME"
}

cable() { # NODE: its namespace, plugged in
  local n=$1 i=${1#node}
  if [ -e "/run/netns/$NAME-$n" ]; then return 0; fi
  ip netns add "$NAME-$n"
  ip -n "$NAME-$n" link set lo up
  ip link add eth0 netns "$NAME-$n" type veth peer name "$n" netns "$NAME-cp"
  ip -n "$NAME-cp" link set "$n" master br0 up
  ip -n "$NAME-$n" addr add "$NET.$i/24" dev eth0
  ip -n "$NAME-$n" link set eth0 up
  ip -n "$NAME-$n" route add default via "$CP" # which knows where each node's pods are
  ip route replace "$PODS.$i.0/24" via "$NET.$i"
  ip -n "$NAME-cp" route replace "$PODS.$i.0/24" via "$NET.$i"
  inside "$NAME-$n" sysctl -qwe net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
}
