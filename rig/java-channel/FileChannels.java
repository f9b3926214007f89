import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.Transaction;
import org.apache.flume.channel.file.FileChannel;
import org.apache.flume.conf.Configurables;
import org.apache.flume.event.EventBuilder;

/**
 * Makes directories of the released file channel, and says what it delivers from them.
 *
 * Arguments: a directory and a scenario, or a directory, `drain` and further properties.
 */
public class FileChannels {
    static FileChannel channel;
    static int number;

    public static void main(String[] arguments) throws Exception {
        File root = new File(arguments[0]);
        Map<String, String> properties = new HashMap<>();
        properties.put("checkpointDir", root + "/checkpoint");
        properties.put("dataDirs", root + "/data");
        properties.put("capacity", "16");
        properties.put("transactionCapacity", "16");
        properties.put("checkpointInterval", "600000");
        properties.put("minimumRequiredSpace", "1048576");
        String scenario = arguments[1];
        if (scenario.equals("roll") || new File(root, "data2").exists()) {
            properties.put("dataDirs", root + "/data," + root + "/data2");
        }
        if (scenario.equals("roll")) {
            properties.put("maxFileSize", "300");
        }
        if (scenario.matches("checkpoint|logs|open")) {
            properties.put("checkpointInterval", "1000");
        }
        for (int place = 2; place < arguments.length; place++) {
            String[] pair = arguments[place].split("=", 2);
            properties.put(pair[0], pair[1]);
        }
        channel = new FileChannel();
        channel.setName("c1");
        Configurables.configure(channel, new Context(properties));
        channel.start();
        switch (scenario) {
            case "crash":
                some();
                break;
            case "checkpoint":
            case "logs":
                some();
                Thread.sleep(2500);
                put(2).commit();
                take(1).commit();
                break;
            case "open":
                // Transactions that are open while the checkpoint is made; some are committed behind it.
                put(4).commit();
                Transaction committed = inOther(() -> put(2));
                inOther(() -> put(1));
                Transaction taken = inOther(() -> take(1));
                inOther(() -> take(1));
                Thread.sleep(2500);
                inOther(() -> { committed.commit(); return null; }, 0);
                inOther(() -> { taken.commit(); return null; }, 2);
                put(1).commit();
                break;
            case "roll":
                for (int round = 0; round < 4; round++) {
                    put(3).commit();
                    take(2).commit();
                }
                break;
            case "clean":
            case "encrypted":
                some();
                channel.stop();
                break;
            case "drain":
                drain();
                channel.stop();
                break;
            default:
                throw new IllegalArgumentException(scenario);
        }
        // As a killed process: no checkpoint, nothing is closed.
        Runtime.getRuntime().halt(0);
    }

    /** Some events, some of them taken, some never committed. */
    static void some() throws Exception {
        put(5).commit();
        take(2).commit();
        Transaction back = put(1);
        back.rollback();
        back.close();
        Transaction again = take(1);
        again.rollback();
        again.close();
        Map<String, String> headers = new HashMap<>();
        headers.put("host", "h\u00e9");
        headers.put("empty", "");
        Transaction transaction = channel.getTransaction();
        transaction.begin();
        channel.put(EventBuilder.withBody(new byte[] {0, (byte) 0x7f, (byte) 0x80, '\n'}, headers));
        transaction.commit();
        transaction.close();
        inOther(() -> put(1));
        inOther(() -> take(1));
    }

    static Transaction put(int count) {
        Transaction transaction = channel.getTransaction();
        transaction.begin();
        for (int left = count; left > 0; left--) {
            Map<String, String> headers = new HashMap<>();
            headers.put("number", Integer.toString(number));
            channel.put(EventBuilder.withBody(("event " + number++).getBytes(StandardCharsets.UTF_8), headers));
        }
        return new Closing(transaction);
    }

    static Transaction take(int count) {
        Transaction transaction = channel.getTransaction();
        transaction.begin();
        for (int left = count; left > 0; left--) {
            channel.take();
        }
        return new Closing(transaction);
    }

    static void drain() {
        while (true) {
            Transaction transaction = channel.getTransaction();
            transaction.begin();
            Event event = channel.take();
            if (event != null) {
                StringBuilder line = new StringBuilder(new TreeMap<>(event.getHeaders()).toString());
                for (byte one : event.getBody()) {
                    line.append(String.format(" %02x", one));
                }
                System.out.println(line);
            }
            transaction.commit();
            transaction.close();
            if (event == null) {
                return;
            }
        }
    }

    interface Work {
        Transaction run() throws Exception;
    }

    static final java.util.List<java.util.concurrent.ExecutorService> threads = new java.util.ArrayList<>();

    /** A thread has one transaction at a time, so one that stays open has a thread of its own. */
    static Transaction inOther(Work work) throws Exception {
        threads.add(java.util.concurrent.Executors.newSingleThreadExecutor());
        return inOther(work, threads.size() - 1);
    }

    static Transaction inOther(Work work, int thread) throws Exception {
        return threads.get(thread).submit(work::run).get();
    }

    /** A transaction that closes when it is committed. */
    static class Closing implements Transaction {
        final Transaction inner;

        Closing(Transaction inner) {
            this.inner = inner;
        }

        public void begin() {
            inner.begin();
        }

        public void commit() {
            inner.commit();
            inner.close();
        }

        public void rollback() {
            inner.rollback();
        }

        public void close() {
            inner.close();
        }
    }
}
