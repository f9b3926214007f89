import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.PrivilegedExceptionAction;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FsShell;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.tools.DFSAdmin;
import org.apache.hadoop.hdfs.tools.DFSHAAdmin;
import org.apache.hadoop.hdfs.tools.ECAdmin;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.util.Tool;
import org.apache.hadoop.util.ToolRunner;

/**
 * Hadoop's command line tools, many commands of many users in one JVM.
 *
 * <p>A line of input is a command: user or principal, keytab, proxied user, tool, arguments, between tabs. The answer
 * is a line with exit code, bytes of output and bytes of errors, and then these.
 */
public class Shell {
  private static final Map<String, UserGroupInformation> USERS = new HashMap<>();

  public static void main(String[] none) throws Exception {
    UserGroupInformation.setConfiguration(new HdfsConfiguration());
    PrintStream answers = System.out;
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = commands.readLine()) != null; ) {
      String[] words = line.split("\t", -1);
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      ByteArrayOutputStream err = new ByteArrayOutputStream();
      System.setOut(new PrintStream(out, true));
      System.setErr(new PrintStream(err, true));
      int code = run(words);
      System.out.flush();
      System.err.flush();
      answers.println(code + " " + out.size() + " " + err.size());
      out.writeTo(answers);
      err.writeTo(answers);
      answers.flush();
    }
  }

  private static int run(String[] words) {
    try {
      UserGroupInformation user = user(words[0], words[1], words[2]);
      return user.doAs((PrivilegedExceptionAction<Integer>) () ->
          ToolRunner.run(new HdfsConfiguration(), tool(words[3]), Arrays.copyOfRange(words, 4, words.length)));
    } catch (Throwable failure) {
      failure.printStackTrace();
      return 255;
    }
  }

  private static UserGroupInformation user(String name, String keytab, String proxied) throws Exception {
    UserGroupInformation user = USERS.get(name);
    if (user == null) {
      user = keytab.isEmpty()
          ? UserGroupInformation.createRemoteUser(name)
          : UserGroupInformation.loginUserFromKeytabAndReturnUGI(name, keytab);
      USERS.put(name, user);
    }
    if (!keytab.isEmpty()) {
      user.checkTGTAndReloginFromKeytab();
    }
    return proxied.isEmpty() ? user : UserGroupInformation.createProxyUser(proxied, user);
  }

  private static Tool tool(String name) {
    switch (name) {
      case "fs":
        return new FsShell();
      case "dfsadmin":
        return new DFSAdmin();
      case "ec":
        return new ECAdmin(new HdfsConfiguration());
      case "haadmin":
        return new DFSHAAdmin();
      default:
        throw new IllegalArgumentException(name);
    }
  }
}
