import java.io.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.*;

/**
 * Writes records and looks at topics and groups by Kafka's own client: what the other side is compared with. Commands come
 * line by line; each answer ends with a line that is a dot, or an exclamation mark and the error.
 */
class Records {
    final Admin admin;
    final KafkaProducer<byte[], byte[]> producer;
    final Map<String, Object> settings;

    Records(String servers) {
        settings = new HashMap<>(Map.of("bootstrap.servers", servers, "acks", "all", "linger.ms", "5"));
        admin = Admin.create(settings);
        producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    public static void main(String[] arguments) throws Exception {
        Records records = new Records(arguments[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            try {
                records.run(line.split(" "));
                System.out.println(".");
            } catch (Exception error) {
                System.out.println("!" + error.toString().replace('\n', ' '));
            }
            System.out.flush();
        }
    }

    void run(String[] words) throws Exception {
        switch (words[0]) {
            case "topic" -> admin.createTopics(List.of(
                    new NewTopic(words[1], Integer.parseInt(words[2]), Short.parseShort(words[3])))).all().get();
            case "put" -> put(words);
            case "delete" -> admin.deleteTopics(List.of(words[1])).all().get();
            // truncate TOPIC PARTITION OFFSET: as retention does it.
            case "truncate" -> admin.deleteRecords(Map.of(
                    new TopicPartition(words[1], Integer.parseInt(words[2])),
                    RecordsToDelete.beforeOffset(Long.parseLong(words[3])))).all().get();
            case "fill" -> fill(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
            case "bulk" -> bulk(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3]));
            case "dump" -> dump(words[1]);
            case "offsets" -> offsets(words[1]);
            default -> throw new IllegalArgumentException(words[0]);
        }
    }

    /** put TOPIC PARTITION|- TIMESTAMP|- KEY|- VALUE|- [HEADER=VALUE...], keys and values in hexadecimal, - is null. */
    void put(String[] words) throws Exception {
        RecordHeaders headers = new RecordHeaders();
        for (int at = 6; at < words.length; at++) {
            String[] pair = words[at].split("=", 2);
            headers.add(pair[0], bytes(pair[1]));
        }
        Integer partition = words[2].equals("-") ? null : Integer.valueOf(words[2]);
        Long timestamp = words[3].equals("-") ? null : Long.valueOf(words[3]);
        producer.send(new ProducerRecord<>(words[1], partition, timestamp, bytes(words[4]), bytes(words[5]), headers)).get();
    }

    /** The numbers from FROM to TO as texts, with themselves as keys. */
    void fill(String topic, int from, int to) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (int number = from; number < to; number++) {
            byte[] text = Integer.toString(number).getBytes();
            sent.add(producer.send(new ProducerRecord<>(topic, text, text)));
        }
        for (Future<RecordMetadata> one : sent) {
            one.get();
        }
    }

    /** So many records of so many bytes. */
    void bulk(String topic, int count, int bytes) {
        byte[] value = new byte[bytes];
        Arrays.fill(value, (byte) 'x');
        for (int number = 0; number < count; number++) {
            producer.send(new ProducerRecord<>(topic, value));
        }
        producer.flush();
    }

    /** All records: partition, timestamp, key, value, headers. */
    void dump(String topic) {
        Map<String, Object> reading = new HashMap<>(settings);
        reading.put("isolation.level", "read_committed");
        ByteArrayDeserializer raw = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(reading, raw, raw)) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                    .map(info -> new TopicPartition(topic, info.partition())).toList();
            consumer.assign(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            consumer.seekToBeginning(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    StringJoiner headers = new StringJoiner(" ");
                    record.headers().forEach(header -> headers.add(header.key() + "=" + hex(header.value())));
                    System.out.println(record.partition() + " " + record.timestamp() + " " + hex(record.key()) + " "
                            + hex(record.value()) + " " + headers);
                }
            }
        }
    }

    /** The positions of a group: partition, position, end. */
    void offsets(String group) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> known =
                admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
        known.keySet().forEach(partition -> asked.put(partition, OffsetSpec.latest()));
        var ends = admin.listOffsets(asked).all().get();
        known.forEach((partition, position) -> System.out.println(
                partition + " " + position.offset() + " " + ends.get(partition).offset()));
    }

    static byte[] bytes(String hex) {
        return hex.equals("-") ? null : HexFormat.of().parseHex(hex);
    }

    static String hex(byte[] bytes) {
        return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
    }
}
