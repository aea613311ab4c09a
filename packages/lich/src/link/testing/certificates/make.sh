#!/bin/sh
# Makes the certificates of certificates.ts anew: sh make.sh
set -eu
cd "$(dirname "$0")"
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 \
    -subj "/CN=$2" -keyout "$1.key.tmp" -out "$1.pem" 2>/dev/null
}
host() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key.pem" -out "$1.csr.tmp" 2>/dev/null
  openssl x509 -req -in "$1.csr.tmp" -CA "$2.pem" -CAkey "$2.key.tmp" -CAcreateserial -days 36500 -out "$1.pem" 2>/dev/null
}
authority ca 'lich test authority'
authority stranger-ca 'another authority'
for name in a b c; do host "$name" ca; done
host stranger stranger-ca
rm -f ./*.tmp ./*.srl
