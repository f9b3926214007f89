package flume.host;

import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;

/** The frames of one component, and the thread that works on them one after the other. */
final class Lane {
  /** A component's part of the protocol. */
  interface Component {
    /** Answers a request. What it throws is the answer FAILED. */
    Frame handle(Frame request) throws Throwable;

    /** Whether an answer belongs to a waiting thread of the component, which takes it. Called on the reading thread. */
    default boolean takes(Frame frame) {
      return false;
    }
  }

  final Host host;
  final int id;
  private final BlockingQueue<Frame> requests = new LinkedBlockingQueue<>();
  private volatile Component component;

  Lane(Host host, int id) {
    this.host = host;
    this.id = id;
    Thread thread = new Thread(this::work, "lane-" + id);
    thread.setDaemon(true);
    thread.start();
  }

  void receive(Frame frame) {
    Component known = component;
    if (known == null || !known.takes(frame)) {
      requests.add(frame);
    }
  }

  Frame answer(int kind) {
    return Frame.answer(id, kind);
  }

  private void work() {
    boolean open = true;
    while (open) {
      Frame request;
      try {
        request = requests.take();
      } catch (InterruptedException plugin) {
        continue;
      }
      open = request.kind != Frame.STOP;
      try {
        host.send(handle(request));
      } catch (Throwable failure) {
        host.send(answer(Frame.FAILED).writeString(Failures.text(failure)));
        if (failure instanceof OutOfMemoryError) {
          throw (OutOfMemoryError) failure;
        }
      }
      // A component may leave its thread interrupted.
      Thread.interrupted();
    }
    host.closed(id);
  }

  private Frame handle(Frame request) throws Throwable {
    if (request.kind != Frame.OPEN) {
      if (component == null) {
        throw new IllegalStateException("the component is not open");
      }
      return component.handle(request);
    }
    Opening opening = new Opening(this, request);
    Thread.currentThread().setName(opening.name);
    component = opening.make();
    return answer(Frame.OPENED).writeInt(opening.wanted).writeStrings(opening.context.asked());
  }
}
