package flume.host;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flume.instrumentation.util.JMXPollUtil;

/**
 * Runs Flume components written in Java for an agent that is not. It reads frames from descriptor 3 and answers on
 * descriptor 4, so that nothing a component prints can end up among the frames. Each component has a lane, and each
 * lane a thread.
 */
public final class Host {
  private static final int VERSION = 1;
  /** Shutdown hooks of components get this long when the agent is gone. */
  private static final long EXIT_MILLIS = 5000;

  private final OutputStream out;
  private final Map<Integer, Lane> lanes = new ConcurrentHashMap<>();

  private Host(OutputStream out) {
    this.out = out;
  }

  public static void main(String[] arguments) throws IOException {
    DataInputStream in =
        new DataInputStream(new BufferedInputStream(new FileInputStream("/proc/self/fd/3"), 1 << 16));
    Host host = new Host(new FileOutputStream("/proc/self/fd/4"));
    readSecrets(in);
    initGlobalTls();
    host.send(Frame.answer(0, Frame.HELLO)
        .writeInt(VERSION)
        .writeString(System.getProperty("java.version"))
        .writeString(System.getProperty("java.class.path")));
    try {
      host.serve(in);
    } catch (EOFException end) {
      // The agent has closed its side, or is gone.
    } catch (Throwable failure) {
      // Without a reader nothing is answered any more: the agent must see an end.
      failure.printStackTrace();
    }
    exit();
  }

  private static void exit() {
    Thread watchdog = new Thread(() -> {
      try {
        Thread.sleep(EXIT_MILLIS);
      } catch (InterruptedException ignored) {
        // Halts at once.
      }
      Runtime.getRuntime().halt(0);
    });
    watchdog.setDaemon(true);
    watchdog.start();
    System.exit(0);
  }

  /** System properties that everybody could read on the command line. They come before the first frame. */
  private static void readSecrets(DataInputStream in) throws IOException {
    for (int left = in.readInt(); left > 0; left--) {
      String name = readText(in);
      System.setProperty(name, readText(in));
    }
  }

  private static String readText(DataInputStream in) throws IOException {
    int length = in.readInt();
    if (length < 0 || length > Frame.MAX_BYTES) {
      throw new IOException("a text of " + length + " bytes");
    }
    byte[] bytes = new byte[length];
    in.readFully(bytes);
    return new String(bytes, StandardCharsets.UTF_8);
  }

  /** As Flume's Application does since 1.9. */
  private static void initGlobalTls() {
    try {
      Class.forName("org.apache.flume.util.SSLUtil").getMethod("initGlobalSSLParameters").invoke(null);
    } catch (ReflectiveOperationException | LinkageError older) {
      // An older Flume has no global parameters.
    }
  }

  private void serve(DataInputStream in) throws IOException {
    while (true) {
      int length = in.readInt();
      if (length < 5 || length > Frame.MAX_BYTES) {
        throw new IOException("a frame of " + length + " bytes");
      }
      int lane = in.readInt();
      int kind = in.readByte();
      byte[] payload = new byte[length - 5];
      in.readFully(payload);
      dispatch(Frame.received(lane, kind, payload));
    }
  }

  private void dispatch(Frame frame) {
    if (frame.lane == 0) {
      if (frame.kind == Frame.METRICS) {
        // Beans are code of components, which may block or fail.
        Thread reader = new Thread(() -> send(counters()), "counters");
        reader.setDaemon(true);
        reader.start();
      }
      return;
    }
    Lane lane = lanes.computeIfAbsent(frame.lane, id -> new Lane(this, id));
    lane.receive(frame);
  }

  void closed(int lane) {
    lanes.remove(lane);
  }

  private static Frame counters() {
    Frame answer = Frame.answer(0, Frame.READINGS);
    Map<String, Map<String, String>> beans = new java.util.HashMap<>();
    try {
      beans.putAll(JMXPollUtil.getAllMBeans());
    } catch (RuntimeException bean) {
      // One bean that cannot be read hides all of this round.
    }
    beans.put("JVM.host", memory());
    answer.writeInt(beans.size());
    for (Map.Entry<String, Map<String, String>> bean : beans.entrySet()) {
      answer.writeString(bean.getKey()).writeHeaders(bean.getValue());
    }
    return answer;
  }

  private static Map<String, String> memory() {
    Map<String, String> readings = new java.util.HashMap<>();
    java.lang.management.MemoryUsage heap = ManagementFactory.getMemoryMXBean().getHeapMemoryUsage();
    readings.put("HeapUsedBytes", Long.toString(heap.getUsed()));
    readings.put("HeapMaxBytes", Long.toString(heap.getMax()));
    long collected = 0;
    for (java.lang.management.GarbageCollectorMXBean bean : ManagementFactory.getGarbageCollectorMXBeans()) {
      collected += Math.max(0, bean.getCollectionTime());
    }
    readings.put("GcTimeMillis", Long.toString(collected));
    readings.put("ThreadCount", Integer.toString(ManagementFactory.getThreadMXBean().getThreadCount()));
    return readings;
  }

  /** Writes a frame whole. The agent's end is the end of this process. */
  void send(Frame frame) {
    byte[] head = new byte[9];
    int length = frame.at + 5;
    for (int i = 0; i < 4; i++) {
      head[i] = (byte) (length >>> 24 - 8 * i);
      head[4 + i] = (byte) (frame.lane >>> 24 - 8 * i);
    }
    head[8] = (byte) frame.kind;
    synchronized (out) {
      try {
        out.write(head);
        out.write(frame.bytes, 0, frame.at);
        out.flush();
      } catch (IOException gone) {
        exit();
      }
    }
  }
}
