import java.io.File;
import java.io.FileReader;
import java.io.Reader;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import javax.tools.ToolProvider;
import org.apache.flume.Sink;
import org.apache.flume.SinkProcessor;
import org.apache.flume.conf.FlumeConfiguration;
import org.apache.flume.conf.channel.ChannelType;
import org.apache.flume.conf.sink.SinkType;
import org.apache.flume.conf.source.SourceType;
import org.apache.flume.node.AbstractConfigurationProvider;
import org.apache.flume.node.MaterializedConfiguration;

/**
 * Prints what the released Flume keeps of configuration files. One line for each component that a list names:
 * `a1.sources.r1 netcat keeps`. `drops` is followed by who drops it: the rules (FlumeConfiguration) or the loader.
 *
 * Classes that are not in the jars are made up, so that a file with classes of a site's own can be judged.
 * Arguments: a directory for the made-up classes, which is on the class path; then files.
 */
public class Verdicts {
    static final String[] KINDS = {"sources", "channels", "sinks", "sinkgroups"};

    public static void main(String[] arguments) throws Exception {
        Path stubs = Path.of(arguments[0]);
        for (String name : Arrays.asList(arguments).subList(1, arguments.length)) {
            System.out.println("== " + name);
            Properties read = new Properties();
            try (Reader reader = new FileReader(name, StandardCharsets.UTF_8)) {
                read.load(reader);
            } catch (Exception error) {
                System.out.println("unreadable " + error);
                continue;
            }
            Map<String, String> properties = new TreeMap<>();
            read.forEach((key, value) -> properties.put((String) key, (String) value));
            stub(stubs, properties);
            for (String agent : agents(properties)) {
                judge(agent, properties);
            }
            System.out.flush();
        }
        System.exit(0);
    }

    /** Agents are those that have a list of components. */
    static Set<String> agents(Map<String, String> properties) {
        Set<String> agents = new TreeSet<>();
        for (String key : properties.keySet()) {
            for (String kind : KINDS) {
                if (key.trim().endsWith("." + kind) && key.trim().indexOf('.') == key.trim().lastIndexOf('.')
                        && key.trim().indexOf('.') > 0) {
                    agents.add(key.trim().substring(0, key.trim().indexOf('.')));
                }
            }
        }
        return agents;
    }

    static void judge(String agent, Map<String, String> properties) {
        Map<String, Set<String>> kept = new HashMap<>();
        Map<String, Set<String>> loaded = new HashMap<>();
        String fatal = null;
        FlumeConfiguration.AgentConfiguration rules = new FlumeConfiguration(properties).getConfigurationFor(agent);
        if (rules != null) {
            kept.put("sources", rules.getSourceSet());
            kept.put("channels", rules.getChannelSet());
            kept.put("sinks", rules.getSinkSet());
            kept.put("sinkgroups", rules.getSinkgroupSet());
        }
        try {
            loaded = load(agent, properties);
        } catch (Throwable error) {
            fatal = String.valueOf(error);
        }
        for (String kind : KINDS) {
            for (String name : words(properties.get(agent + "." + kind))) {
                String type = properties.getOrDefault(agent + "." + kind + "." + name
                        + (kind.equals("sinkgroups") ? ".processor.type" : ".type"), "-").trim();
                String outcome = "keeps";
                if (!kept.getOrDefault(kind, Set.of()).contains(name)) {
                    outcome = "drops rules";
                } else if (fatal != null) {
                    outcome = "drops fatal";
                } else if (!loaded.getOrDefault(kind, Set.of()).contains(name)) {
                    outcome = "drops loader";
                }
                System.out.println(agent + "." + kind + "." + name + " " + (type.isEmpty() ? "-" : type) + " " + outcome);
            }
        }
        if (fatal != null) {
            System.out.println("# fatal: " + fatal.replace('\n', ' '));
        }
    }

    static List<String> words(String text) {
        List<String> words = new ArrayList<>();
        for (String word : (text == null ? "" : text).trim().split("\\s+")) {
            if (!word.isEmpty() && !words.contains(word)) {
                words.add(word);
            }
        }
        return words;
    }

    static Map<String, Set<String>> load(String agent, Map<String, String> properties) throws Exception {
        AbstractConfigurationProvider provider = new AbstractConfigurationProvider(agent) {
            @Override
            protected FlumeConfiguration getFlumeConfiguration() {
                return new FlumeConfiguration(properties);
            }
        };
        MaterializedConfiguration built = provider.getConfiguration();
        Map<String, Set<String>> loaded = new HashMap<>();
        loaded.put("channels", built.getChannels().keySet());
        loaded.put("sources", built.getSourceRunners().keySet());
        Set<String> sinks = new HashSet<>();
        Set<String> groups = new HashSet<>();
        for (var runner : built.getSinkRunners().entrySet()) {
            Collection<Sink> members = members(runner.getValue().getPolicy());
            members.forEach(sink -> sinks.add(sink.getName()));
            groups.add(runner.getKey());
        }
        loaded.put("sinks", sinks);
        loaded.put("sinkgroups", groups);
        return loaded;
    }

    /** The sinks of a processor, which it does not show. */
    @SuppressWarnings("unchecked")
    static Collection<Sink> members(SinkProcessor processor) throws Exception {
        for (Class<?> type = processor.getClass(); type != null; type = type.getSuperclass()) {
            for (Field field : type.getDeclaredFields()) {
                field.setAccessible(true);
                if (field.getName().equals("sink")) {
                    return List.of((Sink) field.get(processor));
                }
                if (field.getName().equals("sinkList")) {
                    return (Collection<Sink>) field.get(processor);
                }
            }
        }
        return List.of();
    }

    /** Makes the classes that the file names and nobody has. */
    static void stub(Path directory, Map<String, String> properties) throws Exception {
        List<String> sources = new ArrayList<>();
        for (var entry : properties.entrySet()) {
            String parent = parent(entry.getKey().trim());
            String name = className(parent, entry.getValue().trim());
            boolean isClass = name.matches("[A-Za-z_][\\w]*(\\.[A-Za-z_][\\w]*)+(\\$[A-Za-z_]\\w*)?");
            if (parent == null || !isClass || exists(name)) {
                continue;
            }
            String outer = name.split("\\$")[0];
            String simple = outer.substring(outer.lastIndexOf('.') + 1);
            String text = "package " + outer.substring(0, outer.lastIndexOf('.')) + "; public class " + simple;
            text += name.contains("$")
                    ? " { public static class " + name.split("\\$")[1] + body(parent) + "}"
                    : parent.equals("interceptor") && !name.endsWith("Builder") ? " {}" : body(parent);
            Path file = directory.resolve(outer.replace('.', '/') + ".java");
            Files.createDirectories(file.getParent());
            Files.writeString(file, text);
            sources.add(file.toString());
        }
        if (!sources.isEmpty()) {
            List<String> command = new ArrayList<>(List.of("-nowarn", "-d", directory.toString(), "-cp",
                    System.getProperty("java.class.path")));
            command.addAll(sources);
            ToolProvider.getSystemJavaCompiler().run(null, null, null, command.toArray(new String[0]));
        }
    }

    /** The class behind a short name of Flume; some of those jars are not here. */
    static String className(String parent, String name) {
        try {
            switch (parent == null ? "" : parent) {
                case "source":
                    return SourceType.valueOf(name.toUpperCase(Locale.ENGLISH)).getSourceClassName();
                case "sink":
                    return SinkType.valueOf(name.toUpperCase(Locale.ENGLISH)).getSinkClassName();
                case "channel":
                    return ChannelType.valueOf(name.toUpperCase(Locale.ENGLISH)).getChannelClassName();
                default:
                    return name;
            }
        } catch (IllegalArgumentException unknown) {
            return name;
        }
    }

    static String parent(String key) {
        if (key.matches("[^.]+\\.sources\\.[^.]+\\.type")) {
            return "source";
        }
        if (key.matches("[^.]+\\.sinks\\.[^.]+\\.type")) {
            return "sink";
        }
        if (key.matches("[^.]+\\.channels\\.[^.]+\\.type")) {
            return "channel";
        }
        if (key.matches("[^.]+\\.sources\\.[^.]+\\.interceptors\\.[^.]+\\.type")) {
            return "interceptor";
        }
        if (key.matches("[^.]+\\.sources\\.[^.]+\\.handler")) {
            return "handler";
        }
        return null;
    }

    static String body(String parent) {
        String configure = "public void configure(org.apache.flume.Context context) {}";
        switch (parent) {
            case "source":
                return " extends org.apache.flume.source.AbstractSource implements org.apache.flume.EventDrivenSource,"
                        + " org.apache.flume.conf.Configurable { " + configure + "}";
            case "sink":
                return " extends org.apache.flume.sink.AbstractSink implements org.apache.flume.conf.Configurable { "
                        + configure + " public Status process() { return Status.BACKOFF; } }";
            case "channel":
                return " extends org.apache.flume.channel.MemoryChannel {}";
            case "interceptor":
                return " implements org.apache.flume.interceptor.Interceptor.Builder { " + configure
                        + " public org.apache.flume.interceptor.Interceptor build() {"
                        + " return new org.apache.flume.interceptor.HostInterceptor.Builder() {{ configure(new"
                        + " org.apache.flume.Context()); }}.build(); } }";
            default:
                return " implements org.apache.flume.source.http.HTTPSourceHandler { " + configure
                        + " public java.util.List<org.apache.flume.Event> getEvents(javax.servlet.http.HttpServletRequest"
                        + " request) { return java.util.List.of(); } }";
        }
    }

    static boolean exists(String name) {
        try {
            Class.forName(name, false, Thread.currentThread().getContextClassLoader());
            return true;
        } catch (Throwable missing) {
            return new File(name.replace('.', '/') + ".class").exists();
        }
    }
}
