package demo;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.PollableSource;
import org.apache.flume.conf.Configurable;
import org.apache.flume.event.EventBuilder;
import org.apache.flume.source.AbstractSource;

/** Puts so many numbers, ten at a time; a batch that is refused is put again. */
public class CountSource extends AbstractSource implements Configurable, PollableSource {
  private int count;
  private int next;

  @Override
  public void configure(Context context) {
    count = context.getInteger("count");
  }

  @Override
  public Status process() {
    List<Event> events = new ArrayList<>();
    for (int i = next; i < Math.min(count, next + 10); i++) {
      events.add(EventBuilder.withBody(Integer.toString(i), StandardCharsets.UTF_8));
    }
    if (events.isEmpty()) {
      return Status.BACKOFF;
    }
    getChannelProcessor().processEventBatch(events);
    next += events.size();
    return Status.READY;
  }

  @Override
  public long getBackOffSleepIncrement() {
    return 1000;
  }

  @Override
  public long getMaxBackOffSleepInterval() {
    return 5000;
  }
}
