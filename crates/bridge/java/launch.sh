# Starts the JVM for Java components as the start script of Flume would: environment file, class path, plugins.
# $1: the configuration directory or nothing; then options for the JVM. Frames: standard input and output.
conf=$1
shift
[ -n "$conf" ] && [ -r "$conf/flume-env.sh" ] && . "$conf/flume-env.sh"
# The agent has read these, and passes on what is in them: passwords among them must not stand on a command line.
unset JAVA_OPTS FLUME_JAVA_OPTS
[ -n "$FLUME_HOST_CLASSPATH" ] && FLUME_CLASSPATH=$FLUME_HOST_CLASSPATH
path="$FLUME_HOST_HOME/lib/*${FLUME_CLASSPATH:+:$FLUME_CLASSPATH}"
native=$FLUME_JAVA_LIBRARY_PATH
IFS=:
for plugins in ${FLUME_HOST_PLUGINS:-$FLUME_HOST_HOME/plugins.d}; do
    for plugin in "$plugins"/*; do
        [ -d "$plugin/lib" ] && path="$path:$plugin/lib/*"
        [ -d "$plugin/libext" ] && path="$path:$plugin/libext/*"
        [ -d "$plugin/native" ] && native="$native${native:+:}$plugin/native"
    done
done
unset IFS
for tool in "${HADOOP_HOME:+$HADOOP_HOME/bin/}hadoop" "${HBASE_HOME:+$HBASE_HOME/bin/}hbase"; do
    if command -v "$tool" >/dev/null 2>&1; then
        more=$("$tool" classpath 2>/dev/null) && path="$path:$more"
    fi
done
[ -n "$HIVE_HOME" ] && path="$path:$HIVE_HOME/lib/*:$HIVE_HOME/hcatalog/share/hcatalog/*"
[ -n "$conf" ] && path="$conf:$path"
[ -n "$native" ] && set -- "-Djava.library.path=$native" "$@"
java=java
[ -n "$JAVA_HOME" ] && [ -x "$JAVA_HOME/bin/java" ] && java=$JAVA_HOME/bin/java
case " $* " in *" -Xmx"*) ;; *) set -- -Xmx256m "$@" ;; esac
case " $* " in *" -XX:+Use"*GC*) ;; *) set -- -XX:+UseSerialGC "$@" ;; esac
# The agent ends the JVM when Java components have drained, so a signal to the whole group must not.
trap '' TERM INT HUP
exec "$java" -XX:+ExitOnOutOfMemoryError "$@" -cp "$path:$FLUME_HOST_JAR" flume.host.Host \
    3<&0 4>&1 </dev/null 1>&2
