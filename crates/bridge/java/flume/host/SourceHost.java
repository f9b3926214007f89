package flume.host;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.flume.ChannelException;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.Source;
import org.apache.flume.SourceRunner;
import org.apache.flume.channel.ChannelProcessor;
import org.apache.flume.channel.ReplicatingChannelSelector;

/** A source, run by Flume's own runner; its events go to the agent, which answers each put. */
final class SourceHost implements Lane.Component {
  /** Some sources never return from start(). */
  private static final long START_MILLIS = 5000;

  private final Lane lane;
  private final SourceRunner runner;
  private final Map<Integer, CompletableFuture<String>> puts = new ConcurrentHashMap<>();
  private final AtomicInteger ids = new AtomicInteger();

  SourceHost(Lane lane, Source source) {
    this.lane = lane;
    source.setChannelProcessor(new AgentProcessor());
    runner = SourceRunner.forSource(source);
  }

  @Override
  public boolean takes(Frame frame) {
    if (frame.kind != Frame.DONE) {
      return false;
    }
    CompletableFuture<String> put = puts.remove(frame.readInt());
    if (put != null) {
      put.complete(frame.readString());
    }
    return true;
  }

  @Override
  public Frame handle(Frame request) throws Throwable {
    switch (request.kind) {
      case Frame.START:
        start();
        return lane.answer(Frame.OK);
      case Frame.STOP:
        runner.stop();
        return lane.answer(Frame.OK);
      default:
        throw new IllegalArgumentException("a source is never asked for " + request.kind);
    }
  }

  private void start() throws Throwable {
    CountDownLatch started = new CountDownLatch(1);
    Throwable[] failure = new Throwable[1];
    Thread thread = new Thread(() -> {
      try {
        runner.start();
      } catch (Throwable thrown) {
        failure[0] = thrown;
      }
      started.countDown();
    }, Thread.currentThread().getName() + "-start");
    thread.setDaemon(true);
    thread.start();
    if (started.await(START_MILLIS, TimeUnit.MILLISECONDS) && failure[0] != null) {
      throw failure[0];
    }
  }

  private void put(List<Event> events) {
    if (events.isEmpty()) {
      return;
    }
    int id = ids.incrementAndGet();
    Frame frame = lane.answer(Frame.PUT).writeInt(id).writeInt(events.size());
    for (Event event : events) {
      frame.writeEvent(event);
    }
    CompletableFuture<String> answer = new CompletableFuture<>();
    puts.put(id, answer);
    lane.host.send(frame);
    String error;
    try {
      error = answer.get();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new ChannelException("interrupted while the agent stores the events", interrupted);
    } catch (ExecutionException never) {
      throw new IllegalStateException(never);
    }
    if (!error.isEmpty()) {
      throw new ChannelException(error);
    }
  }

  /** Interceptors and channels are the agent's. */
  private final class AgentProcessor extends ChannelProcessor {
    AgentProcessor() {
      super(new ReplicatingChannelSelector());
    }

    @Override
    public void initialize() {}

    @Override
    public void close() {}

    @Override
    public void configure(Context context) {}

    @Override
    public void processEventBatch(List<Event> events) {
      put(events);
    }

    @Override
    public void processEvent(Event event) {
      put(Collections.singletonList(event));
    }
  }
}
