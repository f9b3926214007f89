//! Secrets in text that is shown: which names announce one, and what is shown in its place. Whatever quotes a file, a
//! setting or another program's words goes through [`masked`] or [`secret_ranges`] first.

use std::{borrow::Cow, collections::BTreeSet, ops::Range, sync::RwLock};

use crate::props::distance;

/// What is shown in the place of a secret.
pub const MASK: &str = "***";

/// Parts of names, in lower case with `_` for `-` and `.`, that say: the value is a secret.
const SECRET_PARTS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "private_key",
    "privatekey",
    "access_key",
    "accesskey",
    "account_key",
    "api_key",
    "apikey",
    "keystore_key",
    "key_pem",
    "otlp_headers",
];
/// Ends of names that say: the value only leads to the secret.
const HARMLESS_ENDS: &[&str] = &[
    "file", "path", "provider", "type", "class", "alias", "stdin",
];

/// Whether a property, variable or key of this name holds a secret: `FLUME_SSL_KEYSTORE_PASSWORD`, `fs.s3a.secret.key`,
/// `db.pass`, and also `keystorePasswrod`, which is quoted because it is unknown; not `keyStorePasswordFile`.
pub fn is_secret_name(name: &str) -> bool {
    says_secret(name).unwrap_or_else(|| has_secret_word(name))
}

/// Whether a variable of this name is kept from the programs that an agent starts. Only names that plainly say that they
/// hold a secret: a program that misses a variable fails, and nobody sees why.
pub fn is_secret_variable(name: &str) -> bool {
    says_secret(name).unwrap_or_default()
}

/// Whether a name says that its value is a secret, or that it only leads to one; `None` if it says neither.
fn says_secret(name: &str) -> Option<bool> {
    let plain = name.to_ascii_lowercase().replace(['-', '.'], "_");
    if HARMLESS_ENDS.iter().any(|end| plain.ends_with(end)) {
        return Some(false);
    }
    let says = SECRET_PARTS.iter().any(|part| plain.contains(part));
    says.then_some(true)
}

/// Words that announce a secret when they are misspelt, too: how many letters may be wrong, and what must not be taken
/// for one. Two neighbours that have changed places count as one wrong letter.
const MISSPELT: &[(&str, usize, &[&str])] = &[
    ("password", 2, &[]),
    ("secret", 1, &[]),
    ("token", 1, &["taken", "woken"]),
    ("passphrase", 2, &["paraphrase"]),
    ("credential", 2, &["prudential"]),
    ("apikey", 1, &[]),
    ("accesskey", 1, &[]),
    ("accountkey", 1, &[]),
    ("privatekey", 1, &[]),
];
/// A shorter word is no misspelt one.
const MIN_MISSPELT_LETTERS: usize = 5;

/// Whether a name has a word, or two that follow each other, that announces a secret or nearly does.
fn has_secret_word(name: &str) -> bool {
    let words = words(name);
    let Some((last, others)) = words.split_last() else {
        return false;
    };
    // `PWD` alone is a directory.
    let short = last == "pass" || last == "pwd" || others.iter().any(|word| word == "pwd");
    let pairs = words.windows(2).map(<[String]>::concat);
    (short && !others.is_empty())
        || is_login(&words)
        || words.iter().any(|word| is_misspelt(word))
        || pairs.into_iter().any(|pair| is_misspelt(&pair))
}

/// Whether these words name what a client logs in with: `Authorization`, `headers.Authorization`. That of Hadoop is a
/// switch.
fn is_login(words: &[String]) -> bool {
    let Some((last, others)) = words.split_last() else {
        return false;
    };
    let of_header = |word: &String| word.starts_with("header") || word == "proxy";
    last == "authorization" && (others.is_empty() || others.iter().any(of_header))
}

fn is_misspelt(word: &str) -> bool {
    let nearly = |right: &str, wrong: usize| {
        word.len().abs_diff(right.len()) <= wrong
            && (distance(word, right) <= wrong || is_swapped(word, right))
    };
    let mut all = MISSPELT.iter();
    word.len() >= MIN_MISSPELT_LETTERS
        && all.any(|(right, wrong, others)| nearly(right, *wrong) && !others.contains(&word))
}

/// Whether two words of the same length differ in two neighbours that have changed places.
fn is_swapped(word: &str, right: &str) -> bool {
    let word = word.as_bytes();
    let right = right.as_bytes();
    let differs = |(a, b): (&u8, &u8)| a != b;
    let Some(first) = word.iter().zip(right).position(differs) else {
        return false;
    };
    let (Some([a, b, rest @ ..]), Some([c, d, others @ ..])) =
        (word.get(first..), right.get(first..))
    else {
        return false;
    };
    a == d && b == c && rest == others
}

/// The words of `key-store.keyPassword`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut split = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            split.push(' ');
        }
        split.push(if c.is_ascii_alphanumeric() { c } else { ' ' });
        before = c;
    }
    let words = split.split_whitespace();
    words.map(str::to_ascii_lowercase).collect()
}

/// The text with every secret in it replaced by [`MASK`].
pub fn masked(text: &str) -> Cow<'_, str> {
    mask_ranges(text, 0, &secret_ranges(text))
}

/// Values that are secret although no name beside them says so: they came out of a lookup or a key store.
static REMEMBERED: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());
/// A shorter value is masked only where it is a word of its own.
const MIN_PART_BYTES: usize = 5;

/// From now on [`masked`] replaces this value wherever it stands.
pub fn remember(value: &str) {
    if value.trim().is_empty() {
        return;
    }
    // Nobody panics while he has the lock.
    if let Ok(mut remembered) = REMEMBERED.write() {
        remembered.insert(value.into());
    }
}

/// Where remembered values stand, in any order.
fn remembered_ranges(text: &str) -> Vec<Range<usize>> {
    let Ok(remembered) = REMEMBERED.read() else {
        return vec![];
    };
    let mut ranges = vec![];
    for value in remembered.iter() {
        for (start, found) in text.match_indices(value.as_str()) {
            let end = start + found.len();
            let is_word = !text[..start].ends_with(char::is_alphanumeric)
                && !text[end..].starts_with(char::is_alphanumeric);
            if value.len() >= MIN_PART_BYTES || is_word {
                ranges.push(start..end);
            }
        }
    }
    ranges
}

/// The part of a text that begins at `start`, with what lies in the ranges (places in the whole text) replaced.
pub fn mask_ranges<'a>(part: &'a str, start: usize, ranges: &[Range<usize>]) -> Cow<'a, str> {
    let end = start + part.len();
    let mut shown = String::new();
    let mut from = start;
    for range in ranges {
        if range.end <= from || range.start >= end {
            continue;
        }
        let begin = range.start.max(from);
        shown += &part[from - start..begin - start];
        shown += MASK;
        from = range.end.min(end);
    }
    if from == start {
        return Cow::Borrowed(part);
    }
    Cow::Owned(shown + &part[from - start..])
}

/// Where the secrets of a text are, in order: values after a name that announces one, in properties, JSON and
/// `name=value` pairs, on the same line or the next ones; and the user's part of a URI.
pub fn secret_ranges(text: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = vec![];
    let mut at = 0;
    while let Some(name) = next_name(text, at) {
        at = name.end;
        let value = if is_secret_name(&text[name.clone()]) {
            value_after(text, &name)
        } else {
            user_of_uri(text, name.end)
        };
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            at = value.end;
            ranges.push(value);
        }
    }
    ranges.append(&mut remembered_ranges(text));
    in_order(ranges)
}

/// Ranges in order, overlapping ones made one.
fn in_order(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = vec![];
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_.-$".contains(c)
}

fn next_name(text: &str, from: usize) -> Option<Range<usize>> {
    let start = from + text[from..].find(is_name)?;
    let length = text[start..].find(|c| !is_name(c));
    Some(start..length.map_or(text.len(), |length| start + length))
}

/// The value that follows a name, if the name is a key.
fn value_after(text: &str, name: &Range<usize>) -> Option<Range<usize>> {
    let before = text[..name.start].trim_end_matches(['"', '\'']);
    let line = before.rfind(['\n', '\r']).map_or(0, |end| end + 1);
    let first_on_line = before[line..].trim().is_empty();
    let after = text[name.end..].trim_start_matches(['"', '\'']);
    let blank = after.trim_start_matches([' ', '\t', '\u{c}']);
    let next = after.trim_start();
    let rest = if let Some(rest) = blank.strip_prefix('=') {
        after_continuations(rest)
    } else if let Some(rest) = next.strip_prefix(':') {
        rest.trim_start()
    } else if first_on_line
        && text[name.clone()].contains('.')
        && blank.len() < after.len()
        && !blank.starts_with(['\n', '\r'])
    {
        // A property whose key ends at a blank. Keys of Flume have dots; the first word of a sentence has none.
        after_continuations(blank)
    } else {
        return None;
    };
    let start = text.len() - rest.len();
    let is_login = is_login(&words(&text[name.clone()]));
    let shown = &text[line..start];
    let is_open = |quote| shown.matches(quote).count() % 2 == 1;
    let ends = |c: char| match c {
        _ if first_on_line => false,
        // `Bearer TOKEN`, `Digest user="a", response="b"`: a login has blanks, commas and quotes.
        '"' | '\'' if is_login => is_open(c),
        _ if is_login => false,
        _ => c.is_whitespace() || ",;}])\"'&".contains(c),
    };
    Some(start..start + value_length(rest, ends))
}

/// Skips blanks, and line ends that a backslash hides.
fn after_continuations(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\u{c}']);
        let hidden = ["\\\r\n", "\\\n", "\\\r"];
        match hidden.iter().find_map(|end| rest.strip_prefix(end)) {
            Some(next) => rest = next,
            None => return rest,
        }
    }
}

/// How long a value is: to its closing quote, or to the end of the line or what else ends one without quotes.
fn value_length(value: &str, ends_plain: impl Fn(char) -> bool) -> usize {
    let quote = value.chars().next().filter(|c| ['"', '\''].contains(c));
    let mut escaped = false;
    for (at, c) in value.char_indices() {
        let ends = match (quote, c) {
            (_, '\n' | '\r') => !escaped,
            (Some(quote), c) => at > 0 && c == quote && !escaped,
            (None, c) => ends_plain(c),
        };
        if ends {
            return if quote == Some(c) { at + 1 } else { at };
        }
        escaped = c == '\\' && !escaped;
    }
    value.len()
}

/// `user:password` of what follows `scheme`, if that is `://user:password@`. The password may have a slash in it.
fn user_of_uri(text: &str, after_scheme: usize) -> Option<Range<usize>> {
    let rest = text[after_scheme..].strip_prefix("://")?;
    let start = text.len() - rest.len();
    let end = rest.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c));
    let whole = &rest[..end.unwrap_or(rest.len())];
    let authority = &whole[..whole.find(['/', '?', '#']).unwrap_or(whole.len())];
    if let Some(at) = authority.rfind('@') {
        return Some(start..start + at);
    }
    // A port is a number; anything else after a colon is the beginning of a password.
    let (_, port) = authority.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.chars().all(|c| c.is_ascii_digit() || c == ']');
    let at = whole.find('@').filter(|_| !is_port)?;
    Some(start..start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_programs_do_not_get() {
        for name in ["DB_PASSWORD", "API_TOKEN", "AWS_SECRET_ACCESS_KEY"] {
            assert!(is_secret_variable(name), "{name}");
        }
        for name in ["MYSQL_PWD", "DB_PASS", "PASSPORT_URL", "TOKEN_FILE"] {
            assert!(!is_secret_variable(name), "{name}");
        }
    }

    #[test]
    fn names_that_announce_a_secret() {
        for secret in [
            "FLUME_KADMIN_PASSWORD",
            "FLUME_SSL_KEYSTORE_PASSWORD",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "DbPasswd",
            "fs.s3a.secret.key",
            "keystore-password",
            "a1.sources.r1.keystorePasswrod",
            "ssl.truststore.passwrd",
            "sslKeystorePwd",
            "a1.sinks.k2.pass",
            "DB_PASS",
            "clientScret",
            "Authorization",
            "Proxy-Authorization",
            "a1.sinks.k3.headers.Authorization",
            "flume.otlp.headers",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ] {
            assert!(is_secret_name(secret), "{secret}");
        }
        for plain in [
            "PATH",
            "JAVA_OPTS",
            "KRB5_CONFIG",
            "keyStorePasswordFile",
            "kadmin_password_file",
            "PWD",
            "OLDPWD",
            "bypass",
            "hadoop.security.authorization",
            "keystorePasswrodFile",
            "authTokneFile",
            "eventTakenCount",
            "taken",
            "broken",
            "spoken",
            "paraphrase",
            "potential",
            "essentials",
            "a1.sources.r1.select",
            "process.key",
            "primaryKey",
            "partitionKey",
            "a1.channels.c1.keep-alive",
            "batchSize",
            "a1.sources.r1.selector.type",
        ] {
            assert!(!is_secret_name(plain), "{plain}");
        }
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        for (text, expected) in [
            ("a1.s.password = hunter 2", "a1.s.password = ***"),
            ("a1.s.password: hunter2\nb = c", "a1.s.password: ***\nb = c"),
            ("a1.s.password hunter2", "a1.s.password ***"),
            (
                "a1.s.password = \\\n  hunter2\nb = c",
                "a1.s.password = \\\n  ***\nb = c",
            ),
            (
                "a1.s.password = hun\\\n  ter2\nb = c",
                "a1.s.password = ***\nb = c",
            ),
            ("a1.s.password =\nb = c", "a1.s.password =\nb = c"),
            (
                "{kadmin_password: \"hunter2\", realm: \"A\"}",
                "{kadmin_password: ***, realm: \"A\"}",
            ),
            (
                "{\"kadmin_password\" : 'it''s'}",
                "{\"kadmin_password\" : ***'s'}",
            ),
            (
                "{\"kadmin_password\":\n  \"hunter2\"\n}",
                "{\"kadmin_password\":\n  ***\n}",
            ),
            (
                "{\"kadmin_password\"\n: hunter2}",
                "{\"kadmin_password\"\n: ***}",
            ),
            (
                "kadmin_password: \"never closed, realm",
                "kadmin_password: ***",
            ),
            (
                "x = module required password=\"a b\" user=\"c\";",
                "x = module required password=*** user=\"c\";",
            ),
            ("url?user=a&password=b&c=d", "url?user=a&password=***&c=d"),
            ("x Authorization: Bearer T", "x Authorization: ***"),
            ("x Authorization: Basic T\ny z", "x Authorization: ***\ny z"),
            (
                "GET / {Proxy-Authorization=Basic T}",
                "GET / {Proxy-Authorization=***",
            ),
            (
                "curl -H 'Authorization: Bearer T' -H \"Authorization: Basic T\" http://a",
                "curl -H 'Authorization: ***' -H \"Authorization: ***\" http://a",
            ),
            (
                "{\"Authorization\": \"Bearer T\", \"a\": 1}",
                "{\"Authorization\": ***, \"a\": 1}",
            ),
            (
                "x Authorization: Digest username=\"a\", response=\"b\"",
                "x Authorization: ***",
            ),
            ("p = s3a://KEY:SECRET@bucket/x", "p = s3a://***@bucket/x"),
            ("p = s3a://KEY:SEC/RET@bucket/x", "p = s3a://***@bucket/x"),
            ("p = hdfs://nn:8020/a@b", "p = hdfs://nn:8020/a@b"),
            ("p = hdfs://nn/a@b", "p = hdfs://nn/a@b"),
            (
                "kadmin_password_file: \"/root/x\"",
                "kadmin_password_file: \"/root/x\"",
            ),
            ("Password incorrect", "Password incorrect"),
            (
                "the password of root/admin is wrong",
                "the password of root/admin is wrong",
            ),
            ("", ""),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }

    #[test]
    fn remembered_values_are_masked_without_a_name() {
        remember("");
        remember("qz");
        remember("s3cr3t-of-test");
        for (text, expected) in [
            ("bind s3cr3t-of-test: no", "bind ***: no"),
            ("xs3cr3t-of-testx", "x***x"),
            ("a qz, qzz `qz`", "a ***, qzz `***`"),
            ("password = a s3cr3t-of-test", "password = ***"),
            ("password=s3cr3t-of-test b", "password=***"),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }

    #[test]
    fn a_line_is_masked_by_what_stands_before_it() {
        let text = "{\"kadmin_password\":\n  \"hunter2\"\n}";
        let ranges = secret_ranges(text);
        let start = text.find("  \"").unwrap_or_default();
        assert_eq!(mask_ranges("  \"hunter2\"", start, &ranges), "  ***");
        assert_eq!(mask_ranges("}", text.len() - 1, &ranges), "}");
    }

    #[test]
    fn anything_at_all_can_be_masked() {
        let mut random = fastrand::Rng::with_seed(7);
        let pieces = [
            "password", "=", ":", "\"", "\\", "\n", "\r", " ", "://", "@", "é", "x", "/",
        ];
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                text += random.choice(pieces).expect("there are pieces");
            }
            masked(&text);
        }
    }
}
