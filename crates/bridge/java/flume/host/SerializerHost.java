package flume.host;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.List;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.serialization.EventSerializer;

/** The serializer of one file of the agent's. The agent writes the file; an answer brings what the serializer wrote. */
final class SerializerHost implements Lane.Component {
  private final Lane lane;
  private final Written written = new Written();
  private final EventSerializer serializer;

  SerializerHost(Lane lane, EventSerializer.Builder builder, Context context) {
    this.lane = lane;
    serializer = builder.build(context, written);
  }

  @Override
  public Frame handle(Frame request) throws Throwable {
    switch (request.kind) {
      case Frame.START:
        serializer.afterCreate();
        return lane.answer(Frame.OK);
      case Frame.STOP:
        return finish();
      case Frame.BATCH:
        return serialize(SinkHost.events(request));
      default:
        throw new IllegalArgumentException("a serializer is never asked for " + request.kind);
    }
  }

  private Frame serialize(List<Event> events) throws IOException {
    Frame answer = lane.answer(Frame.SERIALIZED);
    written.moveTo(answer);
    answer.writeInt(events.size());
    for (Event event : events) {
      String refusal = write(event);
      answer.writeString(refusal);
      written.moveTo(answer);
    }
    serializer.flush();
    written.moveTo(answer);
    return answer;
  }

  /**
   * Why the serializer cannot write the event; empty if it has. What it has written all the same stays: a serializer
   * with a buffer may have kept earlier events until now.
   */
  private String write(Event event) {
    try {
      serializer.write(event);
      return "";
    } catch (Exception failure) {
      String text = Failures.text(failure);
      return text.isEmpty() ? failure.getClass().getName() : text;
    }
  }

  private Frame finish() throws IOException {
    serializer.flush();
    serializer.beforeClose();
    Frame answer = lane.answer(Frame.SERIALIZED);
    written.moveTo(answer);
    answer.writeInt(0);
    written.moveTo(answer);
    return answer;
  }

  private static final class Written extends ByteArrayOutputStream {
    /** Hands over all bytes; a serializer may write on. */
    synchronized void moveTo(Frame frame) {
      frame.writeBytes(buf, count);
      reset();
    }
  }
}
