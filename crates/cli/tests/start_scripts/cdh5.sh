#!/bin/bash
# Starts an agent as the init script of CDH 5 does: a file of defaults, a shell in between, options in one variable.
set -e
. "$ROOT/etc/default/flume-ng-agent"
export FLUME_HOME="$ROOT/usr/lib/flume-ng"
launcher="$FLUME_HOME/bin/flume-ng"
mkdir -p "$FLUME_LOG_DIR" "$FLUME_RUN_DIR"
exec /bin/bash -c "echo \$\$ > $FLUME_RUN_DIR/flume-ng-agent.pid && exec /bin/bash $launcher agent --conf $FLUME_CONF_DIR \
  --conf-file $FLUME_CONF_FILE --name $FLUME_AGENT_NAME $FLUME_AGENT_OPTS >> $FLUME_LOG_DIR/flume.out 2>&1 < /dev/null"
