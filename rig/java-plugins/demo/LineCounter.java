package demo;

import org.apache.flume.instrumentation.MonitoredCounterGroup;

/** A counter of a plugin's own, under a name of its own, as plugins have them. */
public class LineCounter extends MonitoredCounterGroup implements LineCounterMBean {
  private static final String WRITTEN = "sink.lines.written";

  LineCounter(String sink) {
    super(Type.SINK, "Lines." + sink, WRITTEN);
  }

  void add(long lines) {
    addAndGet(WRITTEN, lines);
  }

  @Override
  public long getLinesWritten() {
    return get(WRITTEN);
  }
}
