package flume.host;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.apache.flume.Event;

/**
 * A frame of docs/format/component-host.md: read from front to back, or written so. Numbers are big-endian. A frame
 * that ends too early throws {@link IndexOutOfBoundsException}.
 */
final class Frame {
  /** Largest frame, without its length field. */
  static final int MAX_BYTES = 64 << 20;
  private static final int HEAD_BYTES = 5;

  /** From the agent: make the component of this lane. */
  static final int OPEN = 1;
  /** From the agent: begin to work. */
  static final int START = 2;
  /** From the agent: end. */
  static final int STOP = 3;
  /** From the agent: events for a sink or an interceptor. */
  static final int BATCH = 4;
  /** From the agent: a second has passed without events for a sink. */
  static final int TICK = 5;
  /** From the agent: what became of a PUT. */
  static final int DONE = 6;
  /** From the agent, lane 0: the counters of all components. */
  static final int METRICS = 11;

  /** From the host: it is done. */
  static final int OK = 64;
  /** From the host: it failed, and why. */
  static final int FAILED = 65;
  /** From the host: the component is made. */
  static final int OPENED = 66;
  /** From the host: how much of a batch a sink has committed. */
  static final int RESULT = 67;
  /** From the host: the events that an interceptor returns. */
  static final int EVENTS = 68;
  /** From the host: events of a source. */
  static final int PUT = 69;
  /** From the host: what a serializer made of a batch. */
  static final int SERIALIZED = 70;
  /** From the host, lane 0: counters. */
  static final int READINGS = 71;
  /** From the host, lane 0, first of all. */
  static final int HELLO = 72;

  final int lane;
  final int kind;
  byte[] bytes;
  /** Where the next value is read, or how much is written. */
  int at;

  private Frame(int lane, int kind, byte[] bytes) {
    this.lane = lane;
    this.kind = kind;
    this.bytes = bytes;
  }

  static Frame received(int lane, int kind, byte[] payload) {
    return new Frame(lane, kind, payload);
  }

  static Frame answer(int lane, int kind) {
    return new Frame(lane, kind, new byte[256]);
  }

  int readByte() {
    return bytes[at++];
  }

  int readInt() {
    at += 4;
    return (bytes[at - 4] & 255) << 24 | (bytes[at - 3] & 255) << 16 | (bytes[at - 2] & 255) << 8
        | bytes[at - 1] & 255;
  }

  String readString() {
    int length = length();
    at += length;
    return new String(bytes, at - length, length, StandardCharsets.UTF_8);
  }

  Map<String, String> readStrings() {
    int count = readInt();
    Map<String, String> strings = new HashMap<>();
    for (int i = 0; i < count; i++) {
      String name = readString();
      strings.put(name, readString());
    }
    return strings;
  }

  byte[] readBytes() {
    int length = length();
    at += length;
    return Arrays.copyOfRange(bytes, at - length, at);
  }

  /** Passes over a text or bytes. */
  void skipBytes() {
    // Not `at += length()`: Java would read `at` before the length moves it.
    int length = length();
    at += length;
  }

  private int length() {
    int length = readInt();
    if (length < 0 || length > bytes.length - at) {
      throw new IndexOutOfBoundsException("a length of " + length + " in a frame of " + bytes.length);
    }
    return length;
  }

  Frame writeByte(int value) {
    room(1);
    bytes[at++] = (byte) value;
    return this;
  }

  Frame writeInt(int value) {
    room(4);
    bytes[at++] = (byte) (value >>> 24);
    bytes[at++] = (byte) (value >>> 16);
    bytes[at++] = (byte) (value >>> 8);
    bytes[at++] = (byte) value;
    return this;
  }

  Frame writeString(String value) {
    return writeBytes(value.getBytes(StandardCharsets.UTF_8));
  }

  Frame writeBytes(byte[] value) {
    return writeBytes(value, value.length);
  }

  Frame writeBytes(byte[] value, int length) {
    writeInt(length);
    room(length);
    System.arraycopy(value, 0, bytes, at, length);
    at += length;
    return this;
  }

  Frame writeStrings(java.util.Collection<String> strings) {
    writeInt(strings.size());
    for (String string : strings) {
      writeString(string);
    }
    return this;
  }

  /** A null name or value cannot travel: Flume's own formats have no place for one either. */
  Frame writeHeaders(Map<String, String> headers) {
    if (headers == null) {
      return writeInt(0);
    }
    int place = at;
    writeInt(0);
    int count = 0;
    for (Map.Entry<String, String> header : headers.entrySet()) {
      if (header.getKey() != null && header.getValue() != null) {
        writeString(header.getKey());
        writeString(header.getValue());
        count++;
      }
    }
    int end = at;
    at = place;
    writeInt(count);
    at = end;
    return this;
  }

  Frame writeEvent(Event event) {
    writeHeaders(event.getHeaders());
    byte[] body = event.getBody();
    return writeBytes(body == null ? new byte[0] : body);
  }

  private void room(int more) {
    if (more > MAX_BYTES - HEAD_BYTES - at) {
      throw new IllegalStateException("more than " + MAX_BYTES + " bytes at once cannot travel: use smaller batches");
    }
    if (more > bytes.length - at) {
      bytes = Arrays.copyOf(bytes, Math.max(2 * bytes.length, at + more));
    }
  }
}
