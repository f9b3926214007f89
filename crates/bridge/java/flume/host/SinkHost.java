package flume.host;

import java.util.ArrayList;
import java.util.List;
import org.apache.flume.Event;
import org.apache.flume.Sink;
import org.apache.flume.Transaction;
import org.apache.flume.event.SimpleEvent;

/** A sink, and the channel from which it takes the batch in hand. */
final class SinkHost implements Lane.Component {
  /** Calls of process() that take nothing although there is something; then the sink is told to pause. */
  private static final int MAX_IDLE_CALLS = 2;

  private final Lane lane;
  private final Sink sink;
  private final BatchChannel channel = new BatchChannel();

  SinkHost(Lane lane, Sink sink) {
    this.lane = lane;
    this.sink = sink;
    channel.setName("channel-of-" + sink.getName());
    sink.setChannel(channel);
  }

  @Override
  public Frame handle(Frame request) throws Throwable {
    switch (request.kind) {
      case Frame.START:
        sink.start();
        return lane.answer(Frame.OK);
      case Frame.STOP:
        sink.stop();
        return lane.answer(Frame.OK);
      case Frame.BATCH:
        channel.offer(events(request));
        return process();
      case Frame.TICK:
        channel.offer(new ArrayList<>());
        return process();
      default:
        throw new IllegalArgumentException("a sink is never asked for " + request.kind);
    }
  }

  static List<Event> events(Frame batch) {
    int count = batch.readInt();
    List<Event> events = new ArrayList<>(Math.min(count, batch.bytes.length / 8));
    for (int i = 0; i < count; i++) {
      SimpleEvent event = new SimpleEvent();
      event.setHeaders(batch.readStrings());
      event.setBody(batch.readBytes());
      events.add(event);
    }
    return events;
  }

  /** A sink that throws may leave its transaction open. It could never begin another one. */
  private void endTransaction() {
    Transaction transaction = channel.getTransaction();
    try {
      transaction.rollback();
    } catch (IllegalStateException notOpen) {
      // Nothing was begun, or it is over.
    }
    transaction.close();
  }

  /** Lets the sink work until it has taken all, or cannot go on. */
  private Frame process() {
    boolean pause = false;
    String error = "";
    int idle = 0;
    try {
      do {
        int before = channel.committed();
        pause = sink.process() == Sink.Status.BACKOFF;
        idle = channel.committed() == before ? idle + 1 : 0;
      } while (!channel.isDone() && !pause && idle < MAX_IDLE_CALLS);
    } catch (Throwable failure) {
      error = Failures.text(failure);
      if (failure instanceof OutOfMemoryError) {
        throw (OutOfMemoryError) failure;
      }
      endTransaction();
    }
    int committed = channel.close();
    return lane.answer(Frame.RESULT).writeInt(committed).writeByte(pause ? 1 : 0).writeString(error);
  }
}
