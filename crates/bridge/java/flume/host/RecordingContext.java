package flume.host;

import java.util.Collection;
import java.util.Map;
import java.util.TreeSet;
import org.apache.flume.Context;

/** A component's properties. It remembers which keys the component asked for; a prefix ends with a dot. */
final class RecordingContext extends Context {
  private final TreeSet<String> asked = new TreeSet<>();

  RecordingContext(Map<String, String> properties) {
    super(properties);
  }

  synchronized Collection<String> asked() {
    return new TreeSet<>(asked);
  }

  private synchronized void ask(String key) {
    asked.add(key);
  }

  @Override
  public boolean containsKey(String key) {
    ask(key);
    return super.containsKey(key);
  }

  @Override
  public Map<String, String> getSubProperties(String prefix) {
    ask(prefix);
    return super.getSubProperties(prefix);
  }

  @Override
  public Boolean getBoolean(String key, Boolean fallback) {
    ask(key);
    return super.getBoolean(key, fallback);
  }

  @Override
  public Boolean getBoolean(String key) {
    ask(key);
    return super.getBoolean(key);
  }

  @Override
  public Integer getInteger(String key, Integer fallback) {
    ask(key);
    return super.getInteger(key, fallback);
  }

  @Override
  public Integer getInteger(String key) {
    ask(key);
    return super.getInteger(key);
  }

  @Override
  public Long getLong(String key, Long fallback) {
    ask(key);
    return super.getLong(key, fallback);
  }

  @Override
  public Long getLong(String key) {
    ask(key);
    return super.getLong(key);
  }

  @Override
  public String getString(String key, String fallback) {
    ask(key);
    return super.getString(key, fallback);
  }

  @Override
  public String getString(String key) {
    ask(key);
    return super.getString(key);
  }
}
