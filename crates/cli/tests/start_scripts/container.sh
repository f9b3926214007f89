#!/bin/bash
# The entry point of a container image: everything in variables, options for the JVM in two of them.
FLUME_CONF_DIR=${FLUME_CONF_DIR:-$ROOT/opt/flume-config}
if [[ -n $FLUME_CONF_BASE64 ]]; then
  base64 -d <<< "$FLUME_CONF_BASE64" > "$FLUME_CONF_DIR/flume.conf"
fi
export JAVA_OPTS="${JAVA_OPTS} -server -Xmx${FLUME_HEAP:-256m} -XX:+UseG1GC"
export FLUME_JAVA_OPTS="-Dflume.monitoring.type=http -Dflume.monitoring.port=0 -Djava.net.preferIPv4Stack=true \
--add-opens=java.base/java.lang=ALL-UNNAMED -ea"
PATH="$ROOT/opt/flume/bin:$PATH"
exec flume-ng agent -c "$FLUME_CONF_DIR" -f "$FLUME_CONF_DIR/flume.conf" -n"${FLUME_AGENT_NAME:-docker}" \
  -Dflume.root.logger="${LOG_LEVEL:-INFO},console" "$@" > "$ROOT/out" 2>&1
