package demo;

/** What the bean of {@link LineCounter} shows. */
public interface LineCounterMBean {
  long getLinesWritten();

  String getType();
}
