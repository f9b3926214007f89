import java.text.SimpleDateFormat;
import java.util.*;

/** Prints what each letter of a pattern gives in a language: the letters of hdfs.path that are words. */
public class Names {
    public static void main(String[] tags) {
        for (String tag : tags) {
            Locale locale = Locale.forLanguageTag(tag);
            StringBuilder line = new StringBuilder(tag);
            // January 4, 2026 is a Sunday.
            row(line, locale, "EEE", Calendar.DAY_OF_MONTH, 4, 7);
            row(line, locale, "EEEE", Calendar.DAY_OF_MONTH, 4, 7);
            row(line, locale, "MMM", Calendar.MONTH, 0, 12);
            row(line, locale, "MMMM", Calendar.MONTH, 0, 12);
            row(line, locale, "d MMM", Calendar.MONTH, 0, 12);
            row(line, locale, "a", Calendar.AM_PM, 0, 2);
            System.out.println(line);
        }
    }

    static void row(StringBuilder line, Locale locale, String pattern, int field, int first, int count) {
        SimpleDateFormat format = new SimpleDateFormat(pattern, locale);
        line.append('|');
        for (int i = 0; i < count; i++) {
            Calendar day = new GregorianCalendar(2026, Calendar.JANUARY, 4, 0, 0, 0);
            day.set(field, first + i);
            if (i > 0) line.append(';');
            String text = format.format(day.getTime());
            line.append(pattern.startsWith("d ") ? text.substring(text.indexOf(' ') + 1) : text);
        }
    }
}
