//! Patterns and texts with the answers of `java.util.regex` (golden/Golden.java): the same answer, or a refusal.

use std::collections::{BTreeMap, BTreeSet};

use flume_java::regex::{JavaRegex, Replacement};

const GOLDEN: &str = include_str!("golden/regex.tsv");

/// What Java reads and this does not; each is an error when the configuration is read.
const REFUSED: &[&str] = &[
    // A repeated group that may match nothing.
    "(a*)*",
    "(a|b*)*",
    "(|a)+",
    // Quantifiers of what has no width, of nothing and of quantifiers.
    "^*",
    r"\Z+",
    "(?=a)*",
    "{1}",
    "a{2}{3}",
    // References to groups that do not end before, or with the flag `i`; groups in what must not match.
    r"(a\1)",
    r"\1(a)",
    r"\2(a)",
    r"(?i)(a)\1",
    r"(?!(b))a(\1)?",
    // Classes that versions of Java read differently, or that are half empty.
    "[^a[b]]",
    "[^a&&b]",
    "[a&&&&b]",
    "[a&&]",
    r"(?i)\p{Lower}",
    // What no engine here has.
    r"\G a",
    r"\X",
    r"\b{g}",
    r"\N{DIGIT ONE}",
    r"\p{InGreek}",
    r"\p{InCyrillic}+",
    r"\p{block=Cyrillic}+",
    r"\p{blk=Cyrillic}+",
    r"\p{L1}+",
    r"\p{javaJavaIdentifierStart}+",
];

/// Characters that a line cannot hold, and their pictures.
const PICTURES: [(char, char); 5] = [
    ('␊', '\n'),
    ('␍', '\r'),
    ('␉', '\t'),
    ('␤', '\u{85}'),
    ('␣', '\u{2028}'),
];

fn hide(text: &str) -> String {
    let swap = |c| {
        PICTURES
            .iter()
            .find(|pair| pair.1 == c)
            .map_or(c, |pair| pair.0)
    };
    text.chars().map(swap).collect()
}

fn show(text: &str) -> String {
    let swap = |c| {
        PICTURES
            .iter()
            .find(|pair| pair.0 == c)
            .map_or(c, |pair| pair.1)
    };
    text.chars().map(swap).collect()
}

/// The answer in the columns of the golden file.
fn answer(regex: &JavaRegex, whole: &JavaRegex, text: &str) -> String {
    let found = regex.find_at(text, 0).unwrap();
    assert_eq!(regex.is_found(text).unwrap(), found.is_some());
    let groups = found.map_or("none".into(), |found| {
        let group = |number| found.get(number).map_or("␀", |range| &text[range]);
        (0..=regex.groups())
            .map(group)
            .collect::<Vec<_>>()
            .join("␞")
    });
    let whole = whole.is_found(text).unwrap();
    let quoted = Replacement::parse("«$0»", regex).unwrap();
    let replaced = regex.replace_all(text, &quoted).unwrap();
    format!(
        "{}\t{whole}\t{}",
        hide(&groups),
        hide(replaced.as_deref().unwrap_or(text))
    )
}

#[test]
fn a_pattern_means_what_java_means_or_is_refused() {
    let mut refused = BTreeSet::new();
    let mut patterns = BTreeMap::new();
    let mut wrong = vec![];
    for line in GOLDEN.lines() {
        let columns: Vec<_> = line.splitn(3, '\t').collect();
        let [pattern, text, expected] = columns[..] else {
            panic!("{line}")
        };
        let regex = patterns.entry(pattern).or_insert_with(|| {
            let pattern = show(pattern);
            JavaRegex::new(&pattern).map(|regex| (regex, JavaRegex::whole(&pattern).unwrap()))
        });
        match (regex, expected) {
            (Ok(_), "error") => wrong.push(format!("{pattern} is an error in Java")),
            (Err(_), "error") => {}
            (Err(error), _) => {
                assert!(error.contains(", at character "), "{error}");
                refused.insert(pattern);
            }
            (Ok((regex, whole)), expected) => {
                let seen = answer(regex, whole, &show(text));
                if seen != expected {
                    wrong.push(format!("{pattern} on {text}: {seen}, in Java {expected}"));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(refused, BTreeSet::from_iter(REFUSED.iter().copied()));
    assert!(patterns.len() >= 350, "{}", patterns.len());
}

#[test]
fn a_replacement_names_groups_that_there_are() {
    let check = |pattern: &str, replacement: &str, expected: Result<&str, &str>| {
        let regex = JavaRegex::new(pattern).unwrap();
        let replaced = Replacement::parse(replacement, &regex).map(|replacement| {
            regex
                .replace_all("key=value", &replacement)
                .unwrap()
                .unwrap()
        });
        assert_eq!(
            replaced.as_deref().map_err(String::as_str),
            expected,
            "{replacement}"
        );
    };
    check(r"(\w+)=(\w+)", "$2=$1", Ok("value=key"));
    check(r"(\w+)=(\w+)", "$23", Ok("value3"));
    check(r"(?<k>\w+)=", "${k}:", Ok("key:value"));
    check("=(x)?", r"\$1$1\\", Ok(r"key$1\value"));
    check("=", "$1", Err("the pattern has no group 1"));
    check("=", "${k}", Err("the pattern has no group `k`"));
    check(
        "=",
        "a$",
        Err("a `$` without a group; the character itself is written `\\$`"),
    );
    check(
        "=",
        r"a\",
        Err(r"a `\` at the end; the character itself is written `\\`"),
    );
}

#[test]
fn a_search_that_takes_for_ever_is_given_up() {
    let regex = JavaRegex::new(r"^(?>a?)(a|aa)+\1b$").unwrap();
    assert!(regex.is_found(&"a".repeat(60)).is_err());
}
