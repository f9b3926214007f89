package flume.host;

import org.apache.flume.Sink;
import org.apache.flume.Source;
import org.apache.flume.conf.Configurable;
import org.apache.flume.interceptor.Interceptor;
import org.apache.flume.serialization.EventSerializer;

/** Makes the component that a frame OPEN describes, as Flume's own factories do. */
final class Opening {
  static final int SOURCE = 1;
  static final int SINK = 2;
  static final int INTERCEPTOR = 3;
  static final int SERIALIZER = 4;

  final String name;
  final RecordingContext context;
  /** Events that the component would like in a batch; 0: it does not say. */
  int wanted;
  private final Lane lane;
  private final int kind;
  private final String className;

  Opening(Lane lane, Frame open) {
    this.lane = lane;
    kind = open.readByte();
    name = open.readString();
    className = open.readString();
    context = new RecordingContext(open.readStrings());
  }

  Lane.Component make() throws Throwable {
    Object made = Class.forName(className).getDeclaredConstructor().newInstance();
    switch (kind) {
      case SOURCE:
        return source(as(Source.class, made));
      case SINK:
        return sink(as(Sink.class, made));
      case INTERCEPTOR:
        Interceptor.Builder builder = as(Interceptor.Builder.class, made);
        builder.configure(context);
        return new InterceptorHost(lane, builder.build());
      case SERIALIZER:
        return new SerializerHost(lane, as(EventSerializer.Builder.class, made), context);
      default:
        throw new IllegalArgumentException("there is no kind " + kind + " of component");
    }
  }

  private Lane.Component source(Source source) throws Throwable {
    source.setName(name);
    configure(source);
    return new SourceHost(lane, source);
  }

  private Lane.Component sink(Sink sink) throws Throwable {
    sink.setName(name);
    configure(sink);
    wanted = batchSize(sink);
    return new SinkHost(lane, sink);
  }

  private void configure(Object component) {
    if (component instanceof Configurable) {
      ((Configurable) component).configure(context);
    }
  }

  /** Since Flume 1.9 a component may say so. */
  private static int batchSize(Object component) {
    try {
      Class<?> type = Class.forName("org.apache.flume.conf.BatchSizeSupported");
      if (type.isInstance(component)) {
        return (int) Math.min(Integer.MAX_VALUE, (Long) type.getMethod("getBatchSize").invoke(component));
      }
    } catch (ReflectiveOperationException | LinkageError older) {
      // It does not say.
    }
    return 0;
  }

  private <T> T as(Class<T> type, Object made) {
    if (type.isInstance(made)) {
      return type.cast(made);
    }
    throw new ClassCastException("the class " + className + " is not a " + type.getName().replace('$', '.'));
  }
}
