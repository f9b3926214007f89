// Writes what Joda-Time answers beside each pattern and text of dates.tsv, in the zone America/New_York:
//
//     java -cp joda-time-2.9.9.jar Dates.java dates.tsv > answered && mv answered dates.tsv
//
// Columns: pattern, text, milliseconds since 1970 or `none`. A pattern that is none has `error`.
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.joda.time.DateTimeZone;
import org.joda.time.format.DateTimeFormat;
import org.joda.time.format.DateTimeFormatter;

class Dates {
    static String answer(String pattern, String text) {
        DateTimeFormatter formatter;
        try {
            formatter = DateTimeFormat.forPattern(pattern);
        } catch (IllegalArgumentException e) {
            return "error";
        }
        try {
            return String.valueOf(formatter.parseMillis(text));
        } catch (RuntimeException e) {
            return "none";
        }
    }

    public static void main(String[] args) throws Exception {
        DateTimeZone.setDefault(DateTimeZone.forID("America/New_York"));
        Locale.setDefault(Locale.US);
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            String[] columns = line.split("\t", -1);
            System.out.println(columns[0] + "\t" + columns[1] + "\t" + answer(columns[0], columns[1]));
        }
    }
}
