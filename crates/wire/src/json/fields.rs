//! Values at given places of a JSON document. Only what leads to them is looked at; the rest is skipped.

use std::{collections::BTreeMap, fmt};

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Most steps of a path.
const MAX_STEPS: usize = 64;

/// Where a value is: keys of objects and places in arrays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Reads a JSON pointer of RFC 6901 (`/a/0`), or a path without wildcards (`$.a[0]`, `$['a.b']`).
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let steps = match text.chars().next() {
            Some('/') => text[1..].split('/').map(pointer_step).collect(),
            Some('$') => dollar_steps(&text[1..]),
            _ => Err("it begins with neither `/` nor `$`".into()),
        }?;
        if steps.len() > MAX_STEPS {
            return Err(format!("it has more than {MAX_STEPS} steps"));
        }
        Ok(FieldPath(steps))
    }
}

fn pointer_step(step: &str) -> Result<String, String> {
    let mut unescaped = String::new();
    let mut chars = step.chars();
    while let Some(c) = chars.next() {
        unescaped.push(match c {
            '~' => match chars.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err("`~` stands only in `~0` for `~` and `~1` for `/`".into()),
            },
            c => c,
        });
    }
    Ok(unescaped)
}

fn dollar_steps(mut rest: &str) -> Result<Vec<String>, String> {
    let mut steps = vec![];
    while !rest.is_empty() {
        if let Some(named) = rest.strip_prefix('.') {
            let end = named.find(['.', '[']).unwrap_or(named.len());
            let name = &named[..end];
            if name.is_empty() || name == "*" {
                return Err("a name has to follow each `.`; wildcards are not known".into());
            }
            steps.push(name.into());
            rest = &named[end..];
            continue;
        }
        let Some(bracket) = rest.strip_prefix('[') else {
            return Err(format!("expected `.` or `[` before `{rest}`"));
        };
        let quote = bracket.chars().next().filter(|c| ['\'', '"'].contains(c));
        let close = quote.map_or("]".into(), |quote| format!("{quote}]"));
        let inner = &bracket[quote.map_or(0, char::len_utf8)..];
        let end = inner.find(&close);
        let end = end.ok_or_else(|| format!("`{close}` is missing"))?;
        if quote.is_none() && inner[..end].parse::<usize>().is_err() {
            return Err("brackets hold a number or a name in quotes".into());
        }
        steps.push(inner[..end].into());
        rest = &inner[end + close.len()..];
    }
    Ok(steps)
}

/// A set of paths, and what finds all their values in one pass.
#[derive(Clone, Debug, Default)]
pub struct FieldPaths {
    root: FieldNode,
    count: usize,
}

#[derive(Clone, Debug, Default)]
struct FieldNode {
    /// Numbers of the paths that end here.
    ends: Vec<usize>,
    children: BTreeMap<String, FieldNode>,
}

/// The body is not one JSON document.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct NotJson(#[from] serde_json::Error);

impl FieldPaths {
    /// Values come in the order of these paths.
    pub fn new(paths: impl IntoIterator<Item = FieldPath>) -> Self {
        let mut set = FieldPaths::default();
        for FieldPath(steps) in paths {
            let mut node = &mut set.root;
            for step in steps {
                node = node.children.entry(step).or_default();
            }
            node.ends.push(set.count);
            set.count += 1;
        }
        set
    }

    /// The value of each path as text: strings without quotes, anything else as it is written. `None`: there is no such
    /// field, or it is `null`.
    ///
    /// # Errors
    /// The document is not JSON.
    pub fn values(&self, json: &[u8]) -> Result<Vec<Option<String>>, NotJson> {
        let document: &RawValue = serde_json::from_slice(json)?;
        let mut values = vec![None; self.count];
        self.root.find(document.get(), &mut values)?;
        Ok(values)
    }
}

impl FieldNode {
    fn find(&self, raw: &str, values: &mut [Option<String>]) -> Result<(), serde_json::Error> {
        if !self.ends.is_empty() {
            let value = match raw.as_bytes().first() {
                Some(b'"') => Some(serde_json::from_str::<String>(raw)?),
                Some(b'n') => None,
                _ => Some(raw.to_string()),
            };
            self.ends
                .iter()
                .for_each(|&end| values[end] = value.clone());
        }
        if self.children.is_empty() {
            return Ok(());
        }
        let mut reader = serde_json::Deserializer::from_str(raw);
        let search = Search { node: self, values };
        match raw.as_bytes().first() {
            Some(b'{') => reader.deserialize_map(search),
            Some(b'[') => reader.deserialize_seq(search),
            _ => Ok(()),
        }
    }

    /// Of an object with the same key twice the last counts, and nothing of the first.
    fn forget(&self, values: &mut [Option<String>]) {
        self.ends.iter().for_each(|&end| values[end] = None);
        self.children
            .values()
            .for_each(|child| child.forget(values));
    }
}

struct Search<'a> {
    node: &'a FieldNode,
    values: &'a mut [Option<String>],
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match self.node.children.get(&key) {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(child) => {
                    child.forget(self.values);
                    let raw = map.next_value::<&RawValue>()?;
                    let found = child.find(raw.get(), self.values);
                    found.map_err(serde::de::Error::custom)?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut place = 0_usize;
        while let Some(raw) = items.next_element::<&RawValue>()? {
            if let Some(child) = self.node.children.get(&place.to_string()) {
                let found = child.find(raw.get(), self.values);
                found.map_err(serde::de::Error::custom)?;
            }
            place += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(path: &str, json: &str) -> Option<String> {
        let paths = FieldPaths::new([FieldPath::parse(path).unwrap()]);
        paths.values(json.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn values_at_places() {
        let json = r#" {"a":{"b":"x\u00e9\n"},"n":1e999,"t":true,"z":null,"l":[1,{"q":[2]}],"a.b":"dot","a/b":0.10} "#;
        for (path, expected) in [
            ("/a/b", "xé\n"),
            ("$.a.b", "xé\n"),
            ("$['a']['b']", "xé\n"),
            ("$['a.b']", "dot"),
            ("/a~1b", "0.10"),
            ("/n", "1e999"),
            ("$.t", "true"),
            ("/l/0", "1"),
            ("$.l[1].q[0]", "2"),
            ("/l", r#"[1,{"q":[2]}]"#),
            ("$.a", r#"{"b":"x\u00e9\n"}"#),
        ] {
            assert_eq!(value(path, json).as_deref(), Some(expected), "{path}");
        }
        for path in ["/z", "/no", "/a/b/c", "/l/2", "/l/x", "/t/0", "/"] {
            assert_eq!(value(path, json), None, "{path}");
        }
        assert_eq!(value("$", "7").as_deref(), Some("7"));
        assert_eq!(value("/", r#"{"":1}"#).as_deref(), Some("1"));
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        assert_eq!(value("/a", r#"{"a":1,"a":2}"#).as_deref(), Some("2"));
        assert_eq!(value("/a/b", r#"{"a":{"b":1},"a":{}}"#), None);
    }

    #[test]
    fn what_is_not_json_is_an_error_whatever_is_asked() {
        let paths = FieldPaths::new([FieldPath::parse("/a").unwrap()]);
        let deep = "[".repeat(1 << 20);
        for text in [
            "",
            "x",
            "{\"a\":1",
            "{\"a\":1} 2",
            "{'a':1}",
            "\u{feff}{}",
            &deep,
        ] {
            assert!(paths.values(text.as_bytes()).is_err(), "{text:.20}");
        }
        assert!(paths.values(b"{\"a\":\"\xff\"}").is_err());
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(value("/b", &deep), None);
    }

    #[test]
    fn wrong_paths() {
        for text in [
            "", "a", "/a~2", "$a", "$.", "$.a..b", "$[x]", "$['a]", "$.*", "$[-1]", "$[0",
        ] {
            assert!(FieldPath::parse(text).is_err(), "{text}");
        }
        assert!(FieldPath::parse(&"/a".repeat(65)).is_err());
    }
}
