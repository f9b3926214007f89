import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.event.EventBuilder;
import org.apache.flume.sink.hdfs.HDFSCompressedDataStream;
import org.apache.flume.sink.hdfs.HDFSSequenceFile;
import org.apache.flume.sink.hdfs.HDFSWriter;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.io.SequenceFile.CompressionType;
import org.apache.hadoop.io.compress.CompressionCodec;
import org.apache.hadoop.util.ReflectionUtils;

/**
 * Writes the files of crates/hdfs/tests/golden, by Flume's own writers over Hadoop's own classes:
 *
 * <pre>
 * rig/java-flume/install.sh target/java-flume
 * rig/java-hadoop/install.sh target/java-hadoop target/java-flume
 * java -cp "target/java-hadoop:target/java-flume/lib/*" Golden crates/hdfs/tests/golden
 * </pre>
 *
 * The events are those of `golden_batches` in crates/hdfs/tests/formats/golden.rs.
 */
public final class Golden {
  private static final String PACKAGE = "org.apache.hadoop.io.compress.";

  public static void main(String[] args) throws Exception {
    String directory = new File(args[0]).getAbsolutePath();
    for (String format : new String[] {"Writable", "Text"}) {
      Context context = new Context();
      context.put("hdfs.writeFormat", format);
      write(new HDFSSequenceFile(), context, directory + "/" + format + ".seq", null, CompressionType.NONE);
    }
    for (String codec : new String[] {"Gzip", "BZip2", "Default", "Deflate", "Snappy", "Lz4"}) {
      String name = directory + "/" + codec;
      write(new HDFSSequenceFile(), new Context(), name + ".seq", codec, CompressionType.BLOCK);
      write(new HDFSCompressedDataStream(), new Context(), name + ".stream", codec, CompressionType.BLOCK);
    }
  }

  private static void write(HDFSWriter writer, Context context, String path, String name, CompressionType type)
      throws Exception {
    context.put("hdfs.useRawLocalFileSystem", "true");
    writer.configure(context);
    CompressionCodec codec = name == null ? null : (CompressionCodec) ReflectionUtils.newInstance(
        Class.forName(PACKAGE + name + "Codec"), new Configuration());
    new File(path).delete();
    writer.open("file://" + path, codec, type);
    // A body longer than a block of Snappy or LZ4, where it compresses well.
    for (List<Event> batch : batches(codec == null ? 1000 : 300000)) {
      for (Event event : batch) {
        writer.append(event);
      }
      writer.sync();
    }
    writer.close();
  }

  private static List<List<Event>> batches(int last) {
    List<Event> few = Arrays.asList(
        event(1700000000000L, "hello".getBytes()), event(-1, new byte[0]), event(0, new byte[] {-1, -2, 0, 10}));
    List<Event> many = new ArrayList<>();
    for (int number = 0; number < 200; number++) {
      many.add(event(number, ("line " + number).getBytes()));
    }
    List<Event> large = new ArrayList<>();
    for (int length : new int[] {52000, 52000, last}) {
      byte[] body = new byte[length];
      Arrays.fill(body, (byte) 'a');
      large.add(event(Long.MAX_VALUE, body));
    }
    return Arrays.asList(few, many, large);
  }

  private static Event event(long timestamp, byte[] body) {
    Event event = EventBuilder.withBody(body);
    event.getHeaders().put("timestamp", Long.toString(timestamp));
    return event;
  }
}
