package flume.host;

import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flume.Event;
import org.apache.flume.interceptor.Interceptor;

/** An interceptor. A body that it leaves alone is not sent back. */
final class InterceptorHost implements Lane.Component {
  private static final int NEW = -1;

  private final Lane lane;
  private final Interceptor interceptor;

  InterceptorHost(Lane lane, Interceptor interceptor) {
    this.lane = lane;
    this.interceptor = interceptor;
  }

  @Override
  public Frame handle(Frame request) {
    switch (request.kind) {
      case Frame.START:
        interceptor.initialize();
        return lane.answer(Frame.OK);
      case Frame.STOP:
        interceptor.close();
        return lane.answer(Frame.OK);
      case Frame.BATCH:
        return intercept(request);
      default:
        throw new IllegalArgumentException("an interceptor is never asked for " + request.kind);
    }
  }

  private Frame intercept(Frame request) {
    List<Event> events = SinkHost.events(request);
    Map<Event, Integer> origins = new IdentityHashMap<>(events.size());
    int[] bodies = bodies(request, events.size());
    for (int i = 0; i < events.size(); i++) {
      origins.put(events.get(i), i);
    }
    List<Event> kept = interceptor.intercept(events);
    Frame answer = lane.answer(Frame.EVENTS);
    int place = answer.at;
    answer.writeInt(0);
    int count = 0;
    if (kept != null) {
      for (Event event : kept) {
        if (event != null) {
          write(answer, event, origins.get(event), request, bodies);
          count++;
        }
      }
    }
    int end = answer.at;
    answer.at = place;
    answer.writeInt(count);
    answer.at = end;
    return answer;
  }

  /** Where each body begins in the request, to see which the interceptor has edited. */
  private static int[] bodies(Frame request, int count) {
    int[] starts = new int[count];
    request.at = 4;
    for (int i = 0; i < count; i++) {
      int headers = request.readInt();
      for (int j = 0; j < 2 * headers; j++) {
        request.skipBytes();
      }
      starts[i] = request.at;
      request.skipBytes();
    }
    return starts;
  }

  private static void write(Frame answer, Event event, Integer origin, Frame request, int[] bodies) {
    byte[] body = event.getBody() == null ? new byte[0] : event.getBody();
    boolean same = origin != null && isSame(body, request, bodies[origin]);
    answer.writeInt(origin == null ? NEW : origin).writeByte(same ? 1 : 0).writeHeaders(event.getHeaders());
    if (!same) {
      answer.writeBytes(body);
    }
  }

  private static boolean isSame(byte[] body, Frame request, int start) {
    request.at = start;
    if (request.readInt() != body.length) {
      return false;
    }
    for (int i = 0; i < body.length; i++) {
      if (body[i] != request.bytes[request.at + i]) {
        return false;
      }
    }
    return true;
  }
}
