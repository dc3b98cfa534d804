#!/bin/bash
# certs.sh NODE...: the keys, certificates and access files of the control plane and of these nodes; what is there stays.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
mkdir -p "$RUN/pki"; chmod 700 "$RUN/pki"; cd "$RUN/pki"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
sign() { # FILE SUBJECT USAGE [NAMES]
  [ ! -e "$1.crt" ] || return 0
  key "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" 2>/dev/null \
    -extfile <(printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n%s' "$3" "${4:+subjectAltName=$4}")
  rm "$1.csr"
}
config() { # FILE CERTIFICATE: whole in itself, so that it can be copied
  (umask 077; cat >"$RUN/$1.conf") <<Y
apiVersion: v1
kind: Config
current-context: $NAME
clusters: [{name: $NAME, cluster: {server: "https://$CP:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $NAME, user: {client-certificate-data: $(base64 -w0 "$2.crt"), client-key-data: $(base64 -w0 "$2.key")}}]
contexts: [{name: $NAME, context: {cluster: $NAME, user: $NAME}}]
Y
}

if [ ! -e ca.crt ]; then
  key ca
  openssl req -x509 -new -key ca.key -subj "/CN=$NAME" -days 30 -out ca.crt \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
  openssl genrsa -out sa.key 2048 2>/dev/null
  openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
fi
sign apiserver /CN=kube-apiserver serverAuth \
  "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$CP,IP:$API_SERVICE"
sign kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
sign admin /O=system:masters/CN=admin clientAuth
for c in kube-controller-manager kube-scheduler kube-proxy; do
  sign $c /CN=system:$c clientAuth; config $c $c
done
config admin admin
for n in "$@"; do
  sign "$n" "/O=system:nodes/CN=system:node:$n" clientAuth,serverAuth "DNS:$n,IP:$NET.${n#node}"; config "$n" "$n"
done
