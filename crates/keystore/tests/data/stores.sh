#!/bin/sh
# Makes the stores of this directory that hold private keys and certificates, with `keytool` of OpenJDK 17 and
# `openssl` 3. Their keys are new each time: the table of README.md then comes from Digests.java.
set -eu
cd "$(dirname "$0")"
store="-storepass storePassword"
name="-dname CN=localhost -ext san=dns:localhost,ip:127.0.0.1 -validity 36500"
for type in JKS JCEKS PKCS12; do
    file=$(echo $type | tr A-Z a-z)
    key="-keypass keyPassword"
    # In PKCS12 a key has the password of its store.
    [ $type != PKCS12 ] || key=""
    keytool -genkeypair -storetype $type -keystore server.$file $store $key -alias server -keyalg EC -groupname secp256r1 $name
    keytool -exportcert -storetype $type -keystore server.$file $store -alias server -rfc -file server.crt
    keytool -importcert -noprompt -storetype $type -keystore trust.$file $store -alias server -file server.crt
    rm server.crt
done
keytool -genkeypair -storetype JKS -keystore rsa.jks $store -alias server -keyalg RSA -keysize 2048 $name
keytool -J-Dkeystore.pkcs12.legacy -importkeystore -srckeystore server.pkcs12 -srcstorepass storePassword \
    -srcstoretype PKCS12 -destkeystore legacy.pkcs12 -deststoretype PKCS12 -deststorepass storePassword
openssl pkcs12 -in server.pkcs12 -passin pass:storePassword -nodes -out server.pem
