package demo;

import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import org.apache.flume.Channel;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.EventDeliveryException;
import org.apache.flume.Transaction;
import org.apache.flume.conf.Configurable;
import org.apache.flume.sink.AbstractSink;

/** Appends bodies to a file, a few in each transaction, as a textbook sink does. On request it misbehaves. */
public class LineSink extends AbstractSink implements Configurable {
  private String file;
  private int batchSize;
  private String fail;
  private OutputStream out;
  private int seen;

  @Override
  public void configure(Context context) {
    file = context.getString("file");
    batchSize = context.getInteger("batchSize", 10);
    fail = context.getString("fail", "");
    if (fail.equals("configure")) {
      throw new IllegalArgumentException("this sink refuses its configuration");
    }
  }

  @Override
  public void start() {
    try {
      out = new FileOutputStream(file, true);
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
    super.start();
  }

  @Override
  public void stop() {
    try {
      out.close();
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
    super.stop();
  }

  @Override
  public Status process() throws EventDeliveryException {
    Channel channel = getChannel();
    Transaction transaction = channel.getTransaction();
    transaction.begin();
    try {
      StringBuilder lines = new StringBuilder();
      int taken = 0;
      for (Event event; taken < batchSize && (event = channel.take()) != null; taken++) {
        misbehave();
        lines.append(event.getHeaders().getOrDefault("mark", "")).append(' ');
        lines.append(new String(event.getBody(), "UTF-8")).append('\n');
      }
      out.write(lines.toString().getBytes("UTF-8"));
      out.flush();
      transaction.commit();
      return taken == 0 ? Status.BACKOFF : Status.READY;
    } catch (IOException | RuntimeException error) {
      transaction.rollback();
      throw new EventDeliveryException(error);
    } finally {
      transaction.close();
    }
  }

  private void misbehave() {
    seen++;
    if (seen % 7 == 0 && fail.equals("throw")) {
      throw new IllegalStateException("every seventh event");
    }
    if (seen == 25 && fail.equals("exit")) {
      System.exit(5);
    }
    if (seen == 25 && fail.equals("error")) {
      throw new AssertionError("an Error, not an Exception");
    }
    if (fail.equals("print")) {
      System.out.println("event " + seen);
    }
  }
}
