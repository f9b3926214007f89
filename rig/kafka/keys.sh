#!/bin/sh
# Writes the keys of a test cluster into DIRECTORY: an authority, a certificate of the brokers for localhost, one of the
# client, and the stores that Java's clients want. Every password is PASSWORD.
set -eu
directory=${1:?usage: keys.sh DIRECTORY PASSWORD}
password=${2:?usage: keys.sh DIRECTORY PASSWORD}
mkdir -p "$directory"
cd "$directory"

openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=authority -keyout ca.key -out ca.pem 2>/dev/null
echo 'subjectAltName=DNS:localhost,IP:127.0.0.1' >names
for who in server client; do
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$who" -keyout $who.key -out $who.csr 2>/dev/null
    openssl x509 -req -days 30 -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out $who.pem 2>/dev/null
    openssl pkcs12 -export -in $who.pem -inkey $who.key -certfile ca.pem -name $who -passout "pass:$password" -out $who.p12
    keytool -importkeystore -noprompt -srckeystore $who.p12 -srcstoretype PKCS12 -srcstorepass "$password" \
        -destkeystore $who.jks -deststoretype JKS -deststorepass "$password" 2>/dev/null
done
keytool -importcert -noprompt -alias ca -file ca.pem -storetype JKS -keystore trust.jks -storepass "$password" 2>/dev/null
