package flume.host;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.apache.flume.ChannelException;
import org.apache.flume.Event;
import org.apache.flume.channel.BasicChannelSemantics;
import org.apache.flume.channel.BasicTransactionSemantics;

/**
 * A channel that holds one batch of the agent's. The agent learns how many events from the front are committed; the
 * rest returns to its own channel. Transactions of several threads may be open at once.
 */
final class BatchChannel extends BasicChannelSemantics {
  private final Deque<Integer> waiting = new ArrayDeque<>();
  private List<Event> events = new ArrayList<>();
  private boolean[] done = new boolean[0];
  private int taken;

  synchronized void offer(List<Event> batch) {
    events = batch;
    done = new boolean[batch.size()];
    waiting.clear();
    for (int i = 0; i < batch.size(); i++) {
      waiting.addLast(i);
    }
  }

  /** Events from the front that are committed. */
  synchronized int committed() {
    int count = 0;
    while (count < done.length && done[count]) {
      count++;
    }
    return count;
  }

  /** Whether nothing is left to take or to commit. */
  synchronized boolean isDone() {
    return waiting.isEmpty() && taken == 0;
  }

  /** Ends the batch: whatever is not committed by now belongs to the agent again. */
  synchronized int close() {
    int count = committed();
    events = new ArrayList<>();
    done = new boolean[0];
    waiting.clear();
    taken = 0;
    return count;
  }

  @Override
  protected BasicTransactionSemantics createTransaction() {
    return new Batch();
  }

  private final class Batch extends BasicTransactionSemantics {
    private final Deque<Integer> mine = new ArrayDeque<>();
    /** The batch that the events were taken from. */
    private List<Event> source;

    @Override
    protected void doPut(Event event) {
      throw new ChannelException("a sink cannot put into this channel: it is the agent's, seen from the JVM");
    }

    @Override
    protected Event doTake() {
      synchronized (BatchChannel.this) {
        if (!mine.isEmpty() && source != events) {
          throw new ChannelException("the batch has been given back to the agent");
        }
        Integer next = waiting.pollFirst();
        if (next == null) {
          return null;
        }
        source = events;
        mine.addLast(next);
        taken++;
        return events.get(next);
      }
    }

    @Override
    protected void doCommit() {
      synchronized (BatchChannel.this) {
        if (source == events) {
          for (int index : mine) {
            done[index] = true;
          }
          taken -= mine.size();
        } else if (!mine.isEmpty()) {
          throw new ChannelException("the batch has been given back to the agent");
        }
        mine.clear();
      }
    }

    @Override
    protected void doRollback() {
      synchronized (BatchChannel.this) {
        if (source == events) {
          taken -= mine.size();
          while (!mine.isEmpty()) {
            waiting.addFirst(mine.pollLast());
          }
        }
        mine.clear();
      }
    }
  }
}
