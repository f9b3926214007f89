#!/bin/bash
# Starts an agent as Ambari does for HDP 2.6: a directory for each agent, a stack's version for the JVM, a monitoring
# service, and flume-env.sh with a collector and a heap.
conf="$ROOT/etc/flume/conf/$AGENT"
export JAVA_HOME="$ROOT/usr/jdk64/jdk1.8.0_112"
export FLUME_HOME="$ROOT/usr/hdp/current/flume-server"
cd "$ROOT" || exit 1
exec "$FLUME_HOME/bin/flume-ng" agent --name "$AGENT" --conf "$conf" --conf-file "$conf/flume.conf" \
  -Dhdp.version=2.6.5.0-292 -Dflume.monitoring.type=org.apache.hadoop.metrics2.sink.flume.FlumeTimelineMetricsSink \
  -Dflume.monitoring.node="collector.example.com:6188" > "$ROOT/out" 2>&1
