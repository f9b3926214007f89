// Writes what java.util.regex answers beside each pattern and text of regex.tsv:
//
//     java Golden.java regex.tsv > answered && mv answered regex.tsv
//
// Columns: pattern, text, groups of the first match, whether the whole text matches, the text with every match in
// angle quotes. A pattern that Java refuses has `error`. Characters that a line cannot hold stand as pictures.
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

class Golden {
    static final String HIDDEN = "\n\r\t\u0085\u2028";
    static final String PICTURES = "\u240a\u240d\u2409\u2424\u2423";

    static String swap(String text, String from, String to) {
        StringBuilder swapped = new StringBuilder();
        for (char c : text.toCharArray()) {
            int place = from.indexOf(c);
            swapped.append(place < 0 ? c : to.charAt(place));
        }
        return swapped.toString();
    }

    static String answer(String pattern, String text) {
        Matcher matcher;
        try {
            matcher = Pattern.compile(pattern).matcher(text);
        } catch (PatternSyntaxException e) {
            return "error";
        }
        String groups = "none";
        if (matcher.find()) {
            List<String> all = new ArrayList<>();
            for (int group = 0; group <= matcher.groupCount(); group++) {
                all.add(matcher.group(group) == null ? "\u2400" : matcher.group(group));
            }
            groups = String.join("\u241e", all);
        }
        boolean whole = matcher.reset().matches();
        String replaced = matcher.reset().replaceAll("\u00ab$0\u00bb");
        return swap(groups, HIDDEN, PICTURES) + "\t" + whole + "\t" + swap(replaced, HIDDEN, PICTURES);
    }

    public static void main(String[] args) throws Exception {
        StringBuilder out = new StringBuilder();
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            String[] columns = line.split("\t", -1);
            String pattern = swap(columns[0], PICTURES, HIDDEN);
            String text = swap(columns[1], PICTURES, HIDDEN);
            out.append(columns[0]).append('\t').append(columns[1]).append('\t').append(answer(pattern, text)).append('\n');
        }
        System.out.write(out.toString().getBytes(StandardCharsets.UTF_8));
        System.out.flush();
    }
}
