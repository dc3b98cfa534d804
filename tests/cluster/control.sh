# shellcheck shell=bash
# The programs of the control plane, each by its name. They live in the namespace of the bridge.
PROGRAMS=(etcd kube-apiserver kube-controller-manager kube-scheduler directory-provisioner kube-proxy)

ready() { quiet kubectl get --raw /readyz; }
stored() { inside "$NAME-cp" curl --silent --fail --max-time 2 http://127.0.0.1:2379/readyz; }
ready_or_ended() { "$2" || ! alive "$1"; } # PROGRAM CHECK

# The store first: an API server that waits 20 s for it in vain ends for good, and a busy disk can take that long.
control_plane() {
  start etcd
  comes_up etcd stored
  start kube-apiserver
  comes_up kube-apiserver ready
}

comes_up() { # PROGRAM CHECK: waited for as long as it runs, up to three minutes
  await 180 ready_or_ended "$@" && quiet "$2" && return 0
  if alive "$1" >/dev/null; then say "$1 does not answer"; else say "$1 has ended"; fi
  tail -n 15 "$RUN/log/$1.log" | cut -c1-300 >&2
  die "the cluster has no control plane: see $RUN/log"
}

start() { # PROGRAM
  local p=$RUN/pki c=("$BIN/$1") kubeconfig=$RUN/$1.conf
  if alive "$1" >/dev/null; then return 0; fi
  # shellcheck disable=SC2054 # commas inside words
  case $1 in
  etcd)
    mkdir -p "$RUN/etcd"; chmod 700 "$RUN/etcd"
    c+=(--name "$NAME" --data-dir "$RUN/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379
      --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380
      --initial-cluster "$NAME=http://127.0.0.1:2380" "${ETCD[@]}") ;;
  kube-apiserver)
    c+=(--bind-address="$CP" --advertise-address="$CP" --secure-port=6443 --etcd-servers=http://127.0.0.1:2379
      --service-cluster-ip-range="$SERVICES.0/16" --allow-privileged=true --authorization-mode=Node,RBAC
      --default-not-ready-toleration-seconds="$EVICT" --default-unreachable-toleration-seconds="$EVICT"
      --enable-admission-plugins=NodeRestriction --client-ca-file="$p/ca.crt"
      --tls-cert-file="$p/apiserver.crt" --tls-private-key-file="$p/apiserver.key"
      --kubelet-client-certificate="$p/kubelet-client.crt" --kubelet-client-key="$p/kubelet-client.key"
      --kubelet-certificate-authority="$p/ca.crt" --kubelet-preferred-address-types=InternalIP
      --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$p/sa.pub"
      --service-account-signing-key-file="$p/sa.key" --cert-dir="$RUN/apiserver-certs") ;;
  kube-controller-manager)
    c+=(--bind-address=127.0.0.1 --kubeconfig="$kubeconfig" --authentication-kubeconfig="$kubeconfig"
      --authorization-kubeconfig="$kubeconfig" --client-ca-file="$p/ca.crt" --root-ca-file="$p/ca.crt"
      --service-account-private-key-file="$p/sa.key" --cluster-signing-cert-file="$p/ca.crt" --cluster-signing-key-file="$p/ca.key"
      --use-service-account-credentials=true --leader-elect=false --cert-dir="$RUN/controller-certs"
      --node-monitor-period=1s --node-monitor-grace-period="$GRACE" --kube-api-qps="$QPS" --kube-api-burst=$((QPS * 3 / 2))) ;;
  kube-scheduler)
    c+=(--bind-address=127.0.0.1 --kubeconfig="$kubeconfig" --authentication-kubeconfig="$kubeconfig"
      --authorization-kubeconfig="$kubeconfig" --leader-elect=false --cert-dir="$RUN/scheduler-certs"
      --kube-api-qps=$((QPS * 5 / 2)) --kube-api-burst=$((QPS * 5))) ;;
  directory-provisioner)
    mkdir -p "$RUN/volumes"
    c+=(--kubeconfig="$RUN/admin.conf" --root="$RUN/volumes") ;;
  kube-proxy)
    proxy_config gateway >"$RUN/gateway.yaml"
    c+=(--config="$RUN/gateway.yaml") ;;
  *) die "no such program: $1; there are ${PROGRAMS[*]}" ;;
  esac
  background "$1" nsenter --net="/run/netns/$NAME-cp" "${c[@]}"
  [ "$1" != kube-proxy ] || introduce
}

proxy_config() { # NAME: how its kube-proxy works
  cat <<Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: $PROXY
oomScoreAdj: 0
clusterCIDR: $PODS.0.0/16
hostnameOverride: $1
bindAddress: 0.0.0.0
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
clientConnection: {kubeconfig: $RUN/kube-proxy.conf}
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s} # cannot be set in a namespace
Y
}

# kube-proxy starts at once only if its machine is a Node, else after waiting for that for 30 s. The control plane is
# none, so there is one in its name for the second or two that the start takes; nothing can be scheduled to it.
introduce() {
  local answering=(inside "$NAME-cp" curl --silent --fail --max-time 1 http://127.0.0.1:10256/livez)
  quiet kubectl create -f - <<Y || return 0 # without the API it waits
apiVersion: v1
kind: Node
metadata: {name: gateway}
spec: {unschedulable: true, taints: [{key: lifeboat.test/gateway, effect: NoExecute}]}
status: {addresses: [{type: InternalIP, address: $CP}]}
Y
  await 40 "${answering[@]}" || say "services have no way from this machine yet: see $RUN/log/kube-proxy.log"
  quiet kubectl delete node gateway || true
}
