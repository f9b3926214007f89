// What Flume 1.11 makes of escapes, a line per case: template, zone, timestamp, unit and value of rounding, result.
// Run as, with DIRECTORY what rig/java-flume/install.sh filled: java -cp "DIRECTORY/lib/*" Golden.java > paths.tsv

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.flume.formatter.output.BucketPath;

public class Golden {
    static final String[] TEMPLATES = {
        "/logs/%Y-%m-%d/%H%M", "/a/%a/%A/%b/%B/%c", "/d/%d/%e/%D", "/h/%H/%I/%k/%l/%p", "/j/%j/%m/%M/%n", "/s/%s/%S/%t",
        "/y/%y/%Y/%z/%Z", "%%", "%%d", "%%%d", "100%", "%", "x%y%", "%-d", "%é", "%q%_%5%x", "%{h}", "%{none}", "a%{none}b",
        "%{a b}", "%{}", "%[]", "%[two words]", "%{d-e.f_1}", "%{h}/%{h}", "%{path}", "%{dots}", "%{money}", "%{h}%Y%{h}",
        "%Y%Y%m", "%{timestamp}", "%t", "é%{h}ü", "%{ünï}", "{h}", "[ip]", "%{h", "%[h", "%Ytail", "%%{h}", "%{%h}",
    };

    static final String[] ZONES = {
        "UTC", "GMT", "America/New_York", "Europe/Berlin", "Europe/London", "Europe/Dublin", "Australia/Lord_Howe",
        "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu", "America/St_Johns", "America/Caracas",
        "PST", "EST", "MST", "HST", "CST", "IST", "BST", "ECT", "JST", "SST", "NST", "AGT", "ACT", "AET", "ART", "AST",
        "BET", "CAT", "CNT", "CTT", "EAT", "IET", "MIT", "NET", "PLT", "PNT", "PRT", "VST", "CET", "EST5EDT", "PST8PDT",
        "GMT+8", "GMT-3:30", "GMT+0530", "GMT+05:30", "GMT-11", "GMT+24", "GMT+8:5", "GMT8", "UTC+8", "Etc/GMT-8", "Zulu",
        "Nowhere/Else", "europe/berlin", "utc", "pst", "GMT0", "GMT+0", "GMT+1:00:00", "GMT+23:59", "GMT+005",
    };

    /** Noon, midnights, ends of months and years, before 1970. */
    static final long[] INSTANTS = {
        1700000000123L, 1709164799999L, 1735689599000L, 1735689600000L, 1782907200000L, 0L, -1L, -86400001L, 951782400000L,
        915148800000L, 1330000000000L, 4102444799000L,
    };

    /** Seconds before and after changes of offset in some zones. */
    static final Object[][] CHANGES = {
        {"America/New_York", 1710054000L}, {"America/New_York", 1730613600L}, {"Europe/Berlin", 1711846800L},
        {"Europe/Berlin", 1729990800L}, {"Europe/London", 1729990800L}, {"Europe/Dublin", 1711846800L},
        {"Europe/Dublin", 1729990800L}, {"Australia/Lord_Howe", 1712415600L}, {"Australia/Lord_Howe", 1728142200L},
        {"America/Sao_Paulo", 1541300400L}, {"America/Sao_Paulo", 1550368800L}, {"PST", 1710064800L}, {"PST", 1730624400L},
        {"Pacific/Apia", 1325239200L}, {"America/Caracas", 1197183600L}, {"America/Caracas", 1462086000L},
        {"America/St_Johns", 1194143460L}, {"Australia/Lord_Howe", 1743865200L},
    };

    static final long[] OFFSETS = {-7200, -5400, -3601, -3600, -1800, -1, 0, 1, 1799, 1800, 3599, 3600, 5400, 7200};

    static final Object[][] ROUNDINGS = {
        {"second", 1}, {"second", 15}, {"second", 60}, {"minute", 1}, {"minute", 10}, {"minute", 7}, {"minute", 60},
        {"hour", 1}, {"hour", 2}, {"hour", 5}, {"hour", 24},
    };

    static final String ALL = "%Y-%m-%d %H:%M:%S %z %s";

    static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    static void show(String template, String zone, long timestamp, String unit, int value) {
        Map<String, String> headers = new TreeMap<>();
        headers.put("timestamp", Long.toString(timestamp));
        headers.put("h", "web");
        headers.put("d-e.f_1", "x");
        headers.put("path", "a/b");
        headers.put("dots", "../../etc");
        headers.put("money", "$1\\2");
        int field = unit == null ? 0 : unit.equals("second") ? Calendar.SECOND
            : unit.equals("minute") ? Calendar.MINUTE : Calendar.HOUR_OF_DAY;
        TimeZone tz = TimeZone.getTimeZone(zone);
        String result = BucketPath.escapeString(template, headers, tz, unit != null, field, value, false);
        OUT.printf("%s\t%s\t%d\t%s\t%d\t%s%n", template, zone, timestamp, unit == null ? "" : unit, value, result);
    }

    public static void main(String[] arguments) {
        Locale.setDefault(Locale.US);
        for (String template : TEMPLATES) show(template, "America/New_York", 1700000000123L, null, 0);
        for (String zone : ZONES)
            for (long instant : new long[] {1700000000123L, 1720000000000L}) show(ALL, zone, instant, null, 0);
        for (long instant : INSTANTS)
            for (String zone : new String[] {"UTC", "America/New_York", "Asia/Kathmandu"})
                show("%c %D %p %I %l %k %j %e %n %y " + ALL, zone, instant, null, 0);
        for (Object[] change : CHANGES)
            for (long offset : OFFSETS) {
                long instant = 1000 * ((Long) change[1] + offset) + 123;
                show(ALL, (String) change[0], instant, null, 0);
                for (Object[] rounding : ROUNDINGS)
                    show(ALL, (String) change[0], instant, (String) rounding[0], (Integer) rounding[1]);
            }
    }
}
