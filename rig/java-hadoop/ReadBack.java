import java.io.InputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;

import org.apache.avro.file.DataFileStream;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.io.LongWritable;
import org.apache.hadoop.io.SequenceFile;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.io.Writable;
import org.apache.hadoop.io.compress.CompressionCodec;
import org.apache.hadoop.io.compress.CompressionCodecFactory;

/**
 * Prints what files hold, as Hadoop's and Avro's own classes read them. For each file a line with its name; then
 * <ul>
 * <li>of a SequenceFile its value class and codec, and a line with key and value of each record;
 * <li>of an Avro container its codec, and a line for each value: of events the sorted headers and the body, else JSON;
 * <li>of anything else, decompressed as its name says, all bytes in a line.
 * </ul>
 * Bytes are in hexadecimal. Names are read from the standard input, a path a line.
 */
public final class ReadBack {
  private static final char[] DIGITS = "0123456789abcdef".toCharArray();

  private final Configuration conf = new Configuration();
  private final CompressionCodecFactory codecs = new CompressionCodecFactory(conf);
  private final PrintStream out;

  private ReadBack(PrintStream out) {
    this.out = out;
  }

  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(System.out, false, "UTF-8");
    ReadBack reader = new ReadBack(out);
    String names = new String(System.in.readAllBytes(), StandardCharsets.UTF_8);
    for (String name : names.split("\n")) {
      out.println("FILE " + name);
      try {
        reader.read(new Path(name));
      } catch (Exception e) {
        out.println("FAILED " + e);
      }
    }
    out.flush();
  }

  private void read(Path path) throws Exception {
    FileSystem files = FileSystem.getLocal(conf).getRaw();
    CompressionCodec codec = codecs.getCodec(path);
    byte[] start = new byte[4];
    try (InputStream file = files.open(path)) {
      file.readNBytes(start, 0, 4);
    }
    if (new String(start, 0, 3, StandardCharsets.ISO_8859_1).equals("SEQ")) {
      sequenceFile(path);
      return;
    }
    try (InputStream file = files.open(path);
        InputStream raw = codec == null ? file : codec.createInputStream(file)) {
      byte[] bytes = raw.readAllBytes();
      if (bytes.length >= 4 && bytes[0] == 'O' && bytes[1] == 'b' && bytes[2] == 'j' && bytes[3] == 1) {
        container(bytes);
      } else {
        out.println(hex(bytes, bytes.length));
      }
    }
  }

  private void sequenceFile(Path path) throws Exception {
    try (SequenceFile.Reader reader = new SequenceFile.Reader(conf, SequenceFile.Reader.file(path))) {
      CompressionCodec codec = reader.getCompressionCodec();
      String compression = codec == null ? "none" : codec.getClass().getName();
      out.println(reader.getValueClassName() + " " + compression + " " + reader.getCompressionType());
      LongWritable key = new LongWritable();
      Writable value = (Writable) reader.getValueClass().getDeclaredConstructor().newInstance();
      while (reader.next(key, value)) {
        String bytes = value instanceof Text
            ? hex(((Text) value).getBytes(), ((Text) value).getLength())
            : hex(((BytesWritable) value).getBytes(), ((BytesWritable) value).getLength());
        out.println(key.get() + " " + bytes);
      }
    }
  }

  private void container(byte[] bytes) throws Exception {
    InputStream in = new java.io.ByteArrayInputStream(bytes);
    try (DataFileStream<Object> values = new DataFileStream<>(in, new GenericDatumReader<>())) {
      out.println(values.getMetaString("avro.codec"));
      for (Object value : values) {
        out.println(values.getSchema().getFullName().equals("Event") ? event((GenericRecord) value) : value);
      }
    }
  }

  private static String event(GenericRecord event) {
    Map<String, String> headers = new TreeMap<>();
    ((Map<?, ?>) event.get("headers")).forEach((name, value) -> headers.put(name.toString(), value.toString()));
    ByteBuffer body = (ByteBuffer) event.get("body");
    byte[] bytes = new byte[body.remaining()];
    body.get(bytes);
    return headers + " " + hex(bytes, bytes.length);
  }

  private static String hex(byte[] bytes, int length) {
    char[] digits = new char[2 * length];
    for (int place = 0; place < length; place++) {
      digits[2 * place] = DIGITS[bytes[place] >> 4 & 15];
      digits[2 * place + 1] = DIGITS[bytes[place] & 15];
    }
    return new String(digits);
  }
}
