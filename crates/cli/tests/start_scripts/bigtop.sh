#!/bin/sh
# Starts an agent as Bigtop's service does: the launcher in /usr/bin is a script that finds its home and runs the other.
. "$ROOT/etc/default/flume-agent"
BIGTOP_DEFAULTS_DIR=${BIGTOP_DEFAULTS_DIR-$ROOT/etc/default}
[ -r "$BIGTOP_DEFAULTS_DIR/hadoop" ] && . "$BIGTOP_DEFAULTS_DIR/hadoop"
export FLUME_HOME="${FLUME_HOME:-$ROOT/usr/lib/flume}"
if [ "$1" = version ]; then
  exec sh "$FLUME_HOME/bin/flume-ng" version
fi
exec sh "$FLUME_HOME/bin/flume-ng" agent -n "$FLUME_AGENT_NAME" -c "$FLUME_CONF_DIR" \
  -f "$FLUME_CONF_DIR/flume.conf" -Dflume.log.dir="$FLUME_LOG_DIR" -C "$ROOT/usr/lib/flume/extra/*" \
  --plugins-path "$ROOT/var/lib/plugins:$ROOT/opt/plugins" > "$ROOT/out" 2>&1
