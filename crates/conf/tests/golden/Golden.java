// What java.util.Properties reads: one line of JSON per input, which is in hexadecimal.
// Run as: java Golden.java > properties.jsonl

import java.io.*;
import java.nio.ByteBuffer;
import java.nio.charset.*;
import java.util.*;

public class Golden {
    /** Remembers what is put, in order, repeated keys too. */
    static class Recorded extends Properties {
        final List<String[]> entries = new ArrayList<>();

        @Override
        public synchronized Object put(Object key, Object value) {
            entries.add(new String[] {(String) key, (String) value});
            return super.put(key, value);
        }
    }

    static final String[] BY_HAND = {
        "a=1", "a = 1 ", "a:1", "a 1", "a\t1", "a\f1", " a=1", "\fa=1", "a==1", "a=:1", "a :=1", "a  = : 1", "=1", ":1",
        "a", "a=", "a\\", "a\\\n", "a\\=b=1", "a\\:b:1", "a\\ b 1", "a\\\\=1", "a\\\\\\=1", "# a=1", "! a=1", "  # a=1",
        "a=#1", "#a\\\nb=1", "a=1\\\n  2", "a=1\\\r\n\t2", "a=1\\\r2", "a=1\\\n\nb=2", "a=1\\\n# 2", "\\\n#a=1\nb=2",
        "\\\n\\\na=1", "a=1\rb=2\r\nc=3\nd=4", "a=\\t\\n\\r\\f\\b\\z\\\"\\'", "a=\\u0041", "a=\\u00e9\\u00E9", "a=\\u12",
        "a=\\u00g0", "a=\\u", "\\u0041=1", "\\u12=1", "a=\\ud83d\\ude00", "a=é ü", "é=1", "a=1\0b", "a\0=1", "a=C:\\\\logs",
        "a=^\\\\d+$", "a=1\\\\\nb=2", "a=1\\\\\\\nb=2", "\n\n\ra=1", " \t\f\n a=1", "a=1\na=2", "\uFEFFa=1", "a=\u20ac",
        "a1.sources = r1 r2\na1.sources.r1.type=netcat\n", "a.b\\\n  .c = 1", "a=\\\n1", "a\\\n=1", "a=1 \\\n 2", "\u00a0a=1",
    };

    public static void main(String[] arguments) throws IOException {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
        for (String text : BY_HAND) {
            print(out, text.getBytes(StandardCharsets.UTF_8));
        }
        print(out, new byte[] {'a', '=', (byte) 0xe9});
        print(out, new byte[] {(byte) 0xff, '=', '1', '\n', 'b', '=', (byte) 0xfc});
        Random random = new Random(11);
        String alphabet = "aab=: \t\f\n\r\\\\\\u0041#!éx1";
        for (int count = 0; count < 3000; count++) {
            StringBuilder text = new StringBuilder();
            for (int length = random.nextInt(24); length >= 0; length--) {
                text.append(alphabet.charAt(random.nextInt(alphabet.length())));
            }
            print(out, text.toString().getBytes(StandardCharsets.UTF_8));
        }
        out.flush();
    }

    static void print(PrintStream out, byte[] input) throws IOException {
        StringBuilder hex = new StringBuilder();
        for (byte b : input) {
            hex.append(String.format("%02x", b));
        }
        Recorded read = new Recorded();
        String error = null;
        try {
            try {
                String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(input)).toString();
                read.load(new StringReader(text));
            } catch (CharacterCodingException notUtf8) {
                read.load(new ByteArrayInputStream(input));
            }
        } catch (IllegalArgumentException malformed) {
            error = malformed.getMessage();
        }
        StringBuilder line = new StringBuilder("{\"input\":\"" + hex + "\",");
        if (error != null) {
            line.append("\"error\":").append(quote(error));
        } else {
            line.append("\"entries\":[");
            for (int at = 0; at < read.entries.size(); at++) {
                String[] entry = read.entries.get(at);
                line.append(at == 0 ? "" : ",").append("[" + quote(entry[0]) + "," + quote(entry[1]) + "]");
            }
            line.append("]");
        }
        out.print(line.append("}\n"));
    }

    static String quote(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            quoted.append(c >= ' ' && c < 127 && c != '"' && c != '\\' ? String.valueOf(c) : String.format("\\u%04x", (int) c));
        }
        return quoted.append('"').toString();
    }
}
