package flume.host;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import org.apache.flume.Context;
import org.apache.flume.event.SimpleEvent;
import org.apache.flume.serialization.EventSerializer;

/** A serializer of a sink of the agent's. Each call returns the bytes that it wrote. Each file has a new serializer. */
final class SerializerHost implements Lane.Component {
  private final Lane lane;
  private final EventSerializer.Builder builder;
  private final Context context;
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();
  private EventSerializer serializer;

  SerializerHost(Lane lane, EventSerializer.Builder builder, Context context) {
    this.lane = lane;
    this.builder = builder;
    this.context = context;
    serializer = builder.build(context, out);
  }

  @Override
  public Frame handle(Frame request) throws IOException {
    out.reset();
    switch (request.kind) {
      case Frame.START:
      case Frame.STOP:
        return lane.answer(Frame.OK);
      case Frame.BEGIN:
        serializer = builder.build(context, out);
        serializer.afterCreate();
        break;
      case Frame.WRITE:
        SimpleEvent event = new SimpleEvent();
        event.setHeaders(request.readStrings());
        event.setBody(request.readBytes());
        serializer.write(event);
        break;
      case Frame.FLUSH:
        serializer.flush();
        break;
      case Frame.END:
        serializer.flush();
        serializer.beforeClose();
        break;
      default:
        throw new IllegalArgumentException("a serializer is never asked for " + request.kind);
    }
    byte[] bytes = out.toByteArray();
    return lane.answer(Frame.BYTES).writeBytes(bytes);
  }
}
