import java.io.FileInputStream;
import java.security.*;
import java.util.*;

/** Prints what Java finds in the stores: `java Digests.java *.jks *.jceks *.pkcs12`. */
public class Digests {
    public static void main(String[] files) throws Exception {
        for (String file : files) {
            String type = file.substring(file.indexOf('.') + 1);
            KeyStore store = KeyStore.getInstance(type);
            char[] password = "storePassword".toCharArray();
            store.load(new FileInputStream(file), password);
            if (file.startsWith("server.") && !type.equals("pkcs12")) {
                password = "keyPassword".toCharArray();
            }
            for (String alias : Collections.list(store.aliases())) {
                Key key = store.isKeyEntry(alias) ? store.getKey(alias, password) : null;
                System.out.printf("| `%s` | %s | %s |%n", file, key == null ? "" : digest(key.getEncoded()),
                    digest(store.getCertificate(alias).getEncoded()));
            }
        }
    }

    static String digest(byte[] bytes) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-1").digest(bytes));
    }
}
