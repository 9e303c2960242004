#!/bin/sh
# An authority of your own for what speaks within the cluster, and a certificate for each host: `./certificates.sh FOLDER`,
# on a machine that is safe. What is in the folder already stays: to renew a certificate, remove its two files first.
set -eu
umask 077

# How long they are good, in days.
AUTHORITY=7300
HOST=825

cd "$1"
settings=$(mktemp)
trap 'rm -f "$settings"' EXIT
printf '[req]\ndistinguished_name = name\n[name]\n' >"$settings"

# make NAME DAYS EXTENSION… [-CA FILE -CAkey FILE]
make() {
    name=$1 days=$2
    shift 2
    [ -e "$name.pem" ] && return
    openssl req -x509 -config "$settings" -subj "/O=Tillwatch cluster/CN=$name" -days "$days" -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
        -noenc -keyout "$name-key.pem" -out "$name.pem" "$@"
}

# host NAME ADDRESS
host() {
    make "$1" "$HOST" -CA ca.pem -CAkey ca-key.pem -addext "subjectAltName=DNS:$1,IP:$2" \
        -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature \
        -addext extendedKeyUsage=serverAuth
}

make ca "$AUTHORITY" -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign
host node-a 10.0.0.11
host node-b 10.0.0.12
host node-c 10.0.0.13
host postgres 10.0.0.21
host nats 10.0.0.22
