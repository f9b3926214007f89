package flume.host;

/** Failures of components, in the words that an operator needs. */
final class Failures {
  private static final int MAX_CAUSES = 8;

  private Failures() {}

  static String text(Throwable failure) {
    if (failure instanceof java.lang.reflect.InvocationTargetException && failure.getCause() != null) {
      return text(failure.getCause());
    }
    if (failure instanceof ClassNotFoundException) {
      return "there is no class " + failure.getMessage() + " on the class path: put its jar into"
          + " plugins.d/NAME/lib of FLUME_HOME, or name it with --classpath";
    }
    if (failure instanceof NoClassDefFoundError && failure.getCause() instanceof ClassNotFoundException) {
      return "the class " + failure.getCause().getMessage() + ", which it uses, is not on the class path: put its"
          + " jar into plugins.d/NAME/libext of FLUME_HOME";
    }
    if (failure instanceof UnsupportedClassVersionError) {
      return failure.getMessage() + "; this Java is " + System.getProperty("java.version")
          + ": set JAVA_HOME to a newer one";
    }
    StringBuilder text = new StringBuilder();
    Throwable cause = failure;
    for (int i = 0; cause != null && i < MAX_CAUSES; i++) {
      text.append(i == 0 ? "" : "; caused by ").append(cause);
      cause = cause.getCause();
    }
    return text.toString();
  }
}
