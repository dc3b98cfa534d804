#!/bin/bash
# node-proc.sh NODE containerd|kubelet|kube-proxy: becomes that program, inside the node's namespaces.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$here/control.sh"
N=$1 I=${1#node} D=$RUN/$1
exec >>"$RUN/log/$N-$2.log" 2>&1 </dev/null
echo $$ >"$D/run/$2.pid"                 # as the node counts
case $2 in
containerd)
  cat >"$D/cni.d/10-lifeboat.conflist" <<J
{"cniVersion":"1.0.0","name":"lifeboat","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"hairpinMode":true,"ipMasq":false,
  "ipam":{"type":"host-local","dataDir":"$D/cni/networks","ranges":[[{"subnet":"$PODS.$I.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
J
  cat >"$D/containerd.toml" <<T
version = 2
root = "$D/containerd"
state = "$D/run/containerd"
[grpc]
  address = "$D/run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/lifeboat/pause:local"
  disable_apparmor = true
  restrict_oom_score_adj = true          # where root may not lower the score, no sandbox would start otherwise
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$CNI"
    conf_dir = "$D/cni.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
T
  exec containerd --config "$D/containerd.toml"
  ;;
kubelet)
  cat >"$D/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NET.$I
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $RUN/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $RUN/pki/$N.crt
tlsPrivateKeyFile: $RUN/pki/$N.key
containerRuntimeEndpoint: unix://$D/run/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: $CGROUP/$N
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDNS: [$DNS_SERVICE]
clusterDomain: cluster.local
resolvConf: ""
nodeStatusUpdateFrequency: 2s
nodeLeaseDurationSeconds: 8              # renewed every 2 s, so that a node is soon missed and soon back
imageGCHighThresholdPercent: 100         # there is nowhere to fetch a removed image from
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%, imagefs.inodesFree: 1%}
serializeImagePulls: false
volumePluginDir: $D/volplugins
Y
  exec "$BIN/kubelet" --config="$D/kubelet.yaml" --kubeconfig="$RUN/$N.conf" --hostname-override="$N" --node-ip="$NET.$I" --cert-dir="$D/kubelet-certs"
  ;;
kube-proxy)
  proxy_config "$N" >"$D/proxy.yaml"
  exec "$BIN/kube-proxy" --config="$D/proxy.yaml"
  ;;
*) die "no such program on a node: $2" ;;
esac
