import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.flume.Event;
import org.apache.flume.api.*;
import org.apache.flume.event.EventBuilder;

/**
 * Sends the events of standard input by Flume's client SDK, all of them once for each file of properties among the
 * arguments. An event is the count of its headers, their names and values, and its body; each text and the body follow
 * their length. `connected` is said once all clients are. A client that fails is left out, and the error is said.
 */
class Sender {
    static final int BATCH = 100;

    public static void main(String[] files) throws Exception {
        Map<String, RpcClient> clients = new LinkedHashMap<>();
        for (String file : files) {
            try {
                clients.put(file, connect(file));
            } catch (Exception error) {
                fail(file, error);
            }
        }
        System.out.println("connected");
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        for (List<Event> batch = read(in); !batch.isEmpty(); batch = read(in)) {
            List<Event> events = batch;
            clients.entrySet().removeIf(client -> {
                try {
                    client.getValue().appendBatch(events);
                    return false;
                } catch (Exception error) {
                    return fail(client.getKey(), error);
                }
            });
        }
        clients.values().forEach(RpcClient::close);
        // Threads of the SDK live on.
        System.exit(0);
    }

    static RpcClient connect(String file) throws Exception {
        Properties properties = new Properties();
        try (Reader reader = new FileReader(file)) {
            properties.load(reader);
        }
        boolean secure = Boolean.parseBoolean(properties.getProperty("kerberos"));
        return secure ? SecureRpcClientFactory.getThriftInstance(properties)
            : RpcClientFactory.getInstance(properties);
    }

    static boolean fail(String file, Exception error) {
        System.err.println(file);
        error.printStackTrace();
        return true;
    }

    static List<Event> read(DataInputStream in) throws IOException {
        List<Event> batch = new ArrayList<>();
        try {
            while (batch.size() < BATCH) {
                Map<String, String> headers = new HashMap<>();
                for (int left = in.readInt(); left > 0; left--) {
                    headers.put(text(in), text(in));
                }
                batch.add(EventBuilder.withBody(bytes(in), headers));
            }
        } catch (EOFException end) {
            // The rest is the last batch.
        }
        return batch;
    }

    static String text(DataInputStream in) throws IOException {
        return new String(bytes(in), StandardCharsets.UTF_8);
    }

    static byte[] bytes(DataInputStream in) throws IOException {
        byte[] bytes = new byte[in.readInt()];
        in.readFully(bytes);
        return bytes;
    }
}
