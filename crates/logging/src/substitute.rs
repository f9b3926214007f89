//! `${…}` in a configuration of logging: properties of the file, of the system, of the environment.

use std::{collections::BTreeMap, env};

/// Deepest nesting of `${…}`.
const MAX_DEPTH: usize = 8;
/// Longest text that may come out.
const MAX_BYTES: usize = 64 << 10;

/// Names and what they stand for.
pub(crate) struct Names<'a> {
    /// Of the file.
    pub(crate) own: &'a BTreeMap<String, String>,
    /// Java's system properties.
    pub(crate) system: &'a BTreeMap<String, String>,
    /// Whether a plain name is a system property in the first place, as in log4j 1.
    pub(crate) system_first: bool,
}

impl Names<'_> {
    /// Resolves a text. What stands for nothing stays as it is, as in log4j.
    pub(crate) fn resolve(&self, text: &str) -> String {
        let mut text = self.expand(text, 0);
        if text.len() > MAX_BYTES {
            text.clear();
        }
        text
    }

    fn expand(&self, text: &str, depth: usize) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            out += &rest[..start];
            let inner = &rest[start + 2..];
            let Some(end) = inner.find('}').filter(|_| depth < MAX_DEPTH) else {
                rest = &rest[start..];
                break;
            };
            // The innermost is resolved first: `${sys:a:-${b}}`.
            let open = inner[..end].rfind("${");
            if let Some(open) = open {
                let inside = self.expand(&inner[open..=end], depth + 1);
                let whole = format!("${{{}{inside}{}", &inner[..open], &inner[end + 1..]);
                if whole.len() > MAX_BYTES || inside == inner[open..=end] {
                    return out + &rest[start..];
                }
                return out + &self.expand(&whole, depth + 1);
            }
            let name = &inner[..end];
            match self.value(name) {
                Some(value) => out += &self.expand(&value, depth + 1),
                None => out += &rest[start..start + 2 + end + 1],
            }
            rest = &inner[end + 1..];
            if out.len() > MAX_BYTES {
                return out;
            }
        }
        out + rest
    }

    fn value(&self, name: &str) -> Option<String> {
        let (name, default) = match name.split_once(":-") {
            Some((name, default)) => (name, Some(default.to_string())),
            None => (name, None),
        };
        let found = match name.split_once(':') {
            Some(("sys", name)) => self.system.get(name).cloned(),
            Some(("env", name)) => env::var(name).ok(),
            Some(("main" | "ctx" | "map", _)) => None,
            _ if self.system_first => self
                .system
                .get(name)
                .or_else(|| self.own.get(name))
                .cloned(),
            _ => self.own.get(name).cloned(),
        };
        found.or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_and_circles_end() {
        let own = [("DIR", "/d/${sys:x}"), ("A", "${B}"), ("B", "${A}x")];
        let own = own
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into();
        let system = BTreeMap::from([("x".to_string(), "y".to_string())]);
        let names = Names {
            own: &own,
            system: &system,
            system_first: false,
        };
        assert_eq!(names.resolve("${DIR}/f"), "/d/y/f");
        assert_eq!(names.resolve("${sys:no:-z}${no}"), "z${no}");
        assert_eq!(names.resolve("${sys:no:-${DIR}}"), "/d/y");
        assert_eq!(names.resolve("${sys:${no}}"), "${sys:${no}}");
        assert!(names.resolve("${A}").len() < 100);
        assert_eq!(names.resolve("${"), "${");
    }
}
