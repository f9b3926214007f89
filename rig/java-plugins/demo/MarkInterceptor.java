package demo;

import java.util.ArrayList;
import java.util.List;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.interceptor.Interceptor;

/** Sets a header, drops events that begin with `#`, edits those that begin with `+` in place. */
public class MarkInterceptor implements Interceptor {
  private final String value;

  private MarkInterceptor(String value) {
    this.value = value;
  }

  @Override
  public void initialize() {}

  @Override
  public Event intercept(Event event) {
    byte[] body = event.getBody();
    if (body.length > 0 && body[0] == '#') {
      return null;
    }
    if (body.length > 0 && body[0] == '+') {
      body[0] = '-';
    }
    event.getHeaders().put("mark", value);
    return event;
  }

  @Override
  public List<Event> intercept(List<Event> events) {
    List<Event> kept = new ArrayList<>();
    for (Event event : events) {
      Event next = intercept(event);
      if (next != null) {
        kept.add(next);
      }
    }
    return kept;
  }

  @Override
  public void close() {}

  /** As Flume wants it. */
  public static class Builder implements Interceptor.Builder {
    private String value;

    @Override
    public void configure(Context context) {
      value = context.getString("value", "none");
    }

    @Override
    public Interceptor build() {
      return new MarkInterceptor(value);
    }
  }
}
