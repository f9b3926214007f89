package demo;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.serialization.EventSerializer;

/** Numbered lines with a first and a last one. It holds lines back until the flush. */
public class NumberedSerializer implements EventSerializer {
  private final OutputStream out;
  private final String name;
  private final StringBuilder held = new StringBuilder();
  private int count;

  private NumberedSerializer(Context context, OutputStream out) {
    this.out = out;
    name = context.getString("name", "nobody");
  }

  private void print(String text) throws IOException {
    out.write(text.getBytes(StandardCharsets.UTF_8));
  }

  @Override
  public void afterCreate() throws IOException {
    print("begin " + name + "\n");
  }

  @Override
  public void afterReopen() {
    throw new UnsupportedOperationException();
  }

  @Override
  public void write(Event event) {
    String body = new String(event.getBody(), StandardCharsets.UTF_8);
    held.append(++count).append(' ').append(event.getHeaders()).append(' ').append(body).append('\n');
  }

  @Override
  public void flush() throws IOException {
    print(held.toString());
    held.setLength(0);
  }

  @Override
  public void beforeClose() throws IOException {
    print("end " + count + "\n");
  }

  @Override
  public boolean supportsReopen() {
    return false;
  }

  public static class Builder implements EventSerializer.Builder {
    @Override
    public EventSerializer build(Context context, OutputStream out) {
      return new NumberedSerializer(context, out);
    }
  }
}
