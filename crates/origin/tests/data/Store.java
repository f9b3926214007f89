// Made credentials.jceks: `java Store.java credentials.jceks none` writes what Hadoop's JavaKeyStoreProvider writes.
import java.io.FileOutputStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import javax.crypto.spec.SecretKeySpec;

public class Store {
    public static void main(String[] arguments) throws Exception {
        char[] password = arguments[1].toCharArray();
        KeyStore store = KeyStore.getInstance("jceks");
        store.load(null, password);
        String[][] credentials = {{"db.password", "hunter2-é"}, {"other", "x"}};
        for (String[] credential : credentials) {
            byte[] bytes = credential[1].getBytes(StandardCharsets.UTF_8);
            store.setKeyEntry(credential[0], new SecretKeySpec(bytes, "AES"), password, null);
        }
        try (FileOutputStream out = new FileOutputStream(arguments[0])) {
            store.store(out, password);
        }
    }
}
