# Sourced by a shell before an agent starts. What is set here is in the agent's environment.

# Options of the agent; `-D…` is heeded, what is for a JVM (-Xmx…) has no effect.
# JAVA_OPTS="-Dflume.monitoring.type=http -Dflume.monitoring.port=41414"

# Where core-site.xml and hdfs-site.xml are.
# HADOOP_CONF_DIR=/etc/hadoop/conf

# KRB5_CONFIG=/etc/krb5.conf
