package demo;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
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
  private LineCounter counter;
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
    counter = new LineCounter(getName());
    counter.start();
    super.start();
  }

  @Override
  public void stop() {
    try {
      out.close();
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
    counter.stop();
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
      counter.add(taken);
      if (fail.equals("null")) {
        return null;
      }
      return taken == 0 ? Status.BACKOFF : Status.READY;
    } catch (IOException | InterruptedException | RuntimeException error) {
      transaction.rollback();
      throw new EventDeliveryException(error);
    } finally {
      transaction.close();
    }
  }

  /** Goes wrong at the 25th event, but not again after a restart. */
  private void misbehave() throws IOException, InterruptedException {
    seen++;
    if (seen % 7 == 0 && fail.equals("throw")) {
      throw new IllegalStateException("every seventh event");
    }
    if (seen != 25 || !new File(file + ".misbehaved").createNewFile()) {
      return;
    }
    switch (fail) {
      case "exit":
        System.exit(5);
        break;
      case "error":
        throw new AssertionError("an Error, not an Exception");
      case "heap":
        List<byte[]> eaten = new ArrayList<>();
        while (true) {
          eaten.add(new byte[1 << 20]);
        }
      case "block":
        new CountDownLatch(1).await();
        break;
      case "print":
        print();
        break;
      default:
        break;
    }
  }

  /** A gigabyte, half of it on each stream. */
  private static void print() {
    char[] line = new char[1023];
    Arrays.fill(line, 'x');
    String text = new String(line);
    for (int i = 0; i < 1 << 19; i++) {
      System.out.println(text);
      System.err.println(text);
    }
  }
}
