//! JAAS: how Java is told who to log in as, in Kafka's `sasl.jaas.config` or in an entry of a file.
//!
//! ```text
//! KafkaClient {
//!   com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true keyTab="/x.keytab" principal="flume@R";
//! };
//! ```

use std::collections::BTreeMap;

/// A login module with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginModule {
    /// The class.
    pub class: String,
    /// Its options by name.
    pub options: BTreeMap<String, String>,
}

impl LoginModule {
    /// The class without its package: `Krb5LoginModule`.
    pub fn name(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or(&self.class)
    }

    /// The value of an option.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }
}

/// The first module of `sasl.jaas.config`.
///
/// # Errors
/// It is no login module.
pub fn parse_one(text: &str) -> Result<LoginModule, String> {
    let mut tokens = Tokens::new(text);
    let module = module(&mut tokens)?.ok_or("there is no login module")?;
    Ok(module)
}

/// The first module of an entry of a file; `None`: the file has no such entry.
///
/// # Errors
/// The file is no JAAS, or the entry has no module.
pub fn parse_entry(text: &str, entry: &str) -> Result<Option<LoginModule>, String> {
    let mut tokens = Tokens::new(text);
    while let Some(name) = tokens.next()? {
        if tokens.next()?.as_deref() != Some("{") {
            return Err(format!("expected `{{` after `{name}`"));
        }
        let mut first = None;
        while let Some(module) = module(&mut tokens)? {
            first = first.or(Some(module));
        }
        // After the modules stand `}` and `;`.
        if tokens.next()?.as_deref() != Some(";") {
            return Err(format!("expected `;` after the entry `{name}`"));
        }
        if name == entry {
            return first
                .map(Some)
                .ok_or_else(|| format!("the entry `{entry}` has no login module"));
        }
    }
    Ok(None)
}

/// `class flag key=value … ;`; none at `}` or the end.
fn module(tokens: &mut Tokens<'_>) -> Result<Option<LoginModule>, String> {
    let Some(class) = tokens.next()?.filter(|token| token != "}") else {
        return Ok(None);
    };
    let flag = tokens.next()?.unwrap_or_default();
    let flags = ["required", "requisite", "sufficient", "optional"];
    if !flags.iter().any(|known| known.eq_ignore_ascii_case(&flag)) {
        return Err(format!(
            "expected one of {} after `{class}`",
            flags.join(", ")
        ));
    }
    let mut options = BTreeMap::new();
    loop {
        match tokens.next()? {
            Some(token) if token == ";" => return Ok(Some(LoginModule { class, options })),
            None => return Err(format!("`{class}` is not ended by `;`")),
            Some(key) => {
                if tokens.next()?.as_deref() != Some("=") {
                    // The word may be a part of a password: it is not quoted.
                    let text = "expected `=` after the name of an option: put a value with blanks or quotes in double quotes";
                    return Err(text.into());
                }
                let value = tokens.next()?.ok_or("an option has no value")?;
                options.insert(key, value);
            }
        }
    }
}

/// Words, quoted texts and the signs `{`, `}`, `;` and `=`.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Self {
        Tokens { rest: text }
    }

    fn next(&mut self) -> Result<Option<String>, String> {
        self.skip_blanks()?;
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        if "{};=".contains(first) {
            self.rest = &self.rest[1..];
            return Ok(Some(first.into()));
        }
        if first == '"' || first == '\'' {
            return self.quoted(first).map(Some);
        }
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || "{};=\"".contains(c));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Ok(Some(word.into()))
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                _ if c == quote => {
                    self.rest = &self.rest[at + c.len_utf8()..];
                    return Ok(text);
                }
                _ => text.push(c),
            }
        }
        Err("a quoted text has no end".into())
    }

    fn skip_blanks(&mut self) -> Result<(), String> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("//") || self.rest.starts_with('#') {
                self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                let (_, rest) = comment.split_once("*/").ok_or("a comment has no end")?;
                self.rest = rest;
            } else {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_a_class_and_options() {
        let text = r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="a\"b" password='p;w' x=1;"#;
        let module = parse_one(text).unwrap();
        assert_eq!(module.name(), "ScramLoginModule");
        assert_eq!(
            (module.option("username"), module.option("password")),
            (Some("a\"b"), Some("p;w"))
        );
        assert_eq!(module.option("x"), Some("1"));
    }

    #[test]
    fn an_entry_is_found_in_a_file() {
        let text = "// ours\nClient { a.B optional; };\n/* the\nother */ KafkaClient {\n  c.Krb5LoginModule required\n  \
                    useKeyTab=true keyTab=\"/k t\"\n  principal=\"f/h@R\";\n  d.E required;\n};\n";
        let module = parse_entry(text, "KafkaClient").unwrap().unwrap();
        assert_eq!(
            (module.name(), module.option("keyTab")),
            ("Krb5LoginModule", Some("/k t"))
        );
        assert_eq!(parse_entry(text, "Server"), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for text in [
            "",
            "A",
            "A maybe;",
            "A required",
            "A required a;",
            "A required a=",
            "A required a=\"",
            "/*",
        ] {
            assert!(parse_one(text).is_err(), "{text}");
        }
        for text in ["E", "E {", "E { A required; }", "E { };"] {
            assert!(parse_entry(text, "E").is_err(), "{text}");
        }
    }
}
