//! Schemas: whether a text is one that readers take, and whether two are the same.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A schema that was checked. Two are equal when values of one are values of the other, byte by byte: when they have
/// the same Parsing Canonical Form.
#[derive(Clone, Debug)]
pub struct Schema {
    text: String,
    canonical: String,
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Schema {
    /// Checks a JSON text.
    ///
    /// # Errors
    /// What readers would not take, as a fragment.
    pub fn parse(text: &str) -> Result<Schema, String> {
        let json: Value =
            serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let mut walk = Walk::default();
        walk.schema(&json, "")?;
        Ok(Schema {
            text: text.trim().into(),
            canonical: walk.canonical,
        })
    }

    /// The text as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its Parsing Canonical Form.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// Goes through a schema in order, so that a name is defined before it is used.
#[derive(Default)]
struct Walk {
    defined: BTreeSet<String>,
    canonical: String,
}

impl Walk {
    /// The JSON parser bounds how deep this goes.
    fn schema(&mut self, json: &Value, namespace: &str) -> Result<(), String> {
        match json {
            Value::String(name) => self.reference(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.object(object, namespace),
            other => Err(format!("`{other}` is not a schema")),
        }
    }

    fn reference(&mut self, name: &str, namespace: &str) -> Result<(), String> {
        if PRIMITIVES.contains(&name) {
            self.quoted(name);
            return Ok(());
        }
        let full = full_name(name, namespace);
        if !self.defined.contains(&full) {
            return Err(format!("the type `{full}` is not defined"));
        }
        self.quoted(&full);
        Ok(())
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        self.canonical.push('[');
        for (place, branch) in branches.iter().enumerate() {
            if branch.is_array() {
                return Err("a union may not be a branch of a union".into());
            }
            if place > 0 {
                self.canonical.push(',');
            }
            self.schema(branch, namespace)?;
            let branch = branch_name(branch, namespace);
            if !seen.insert(branch.clone()) {
                return Err(format!("`{branch}` is twice in a union"));
            }
        }
        self.canonical.push(']');
        Ok(())
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<(), String> {
        let ty = text(object, "type").ok_or("a schema has no `type`")?;
        match ty {
            "array" => self.container(object, "array", "items", namespace),
            "map" => self.container(object, "map", "values", namespace),
            "record" | "error" | "enum" | "fixed" => self.named(object, ty, namespace),
            name => self.reference(name, namespace),
        }
    }

    fn container(
        &mut self,
        object: &Map<String, Value>,
        ty: &str,
        part: &str,
        namespace: &str,
    ) -> Result<(), String> {
        let inner = object
            .get(part)
            .ok_or_else(|| format!("an {ty} has no `{part}`"))?;
        self.canonical += &format!(r#"{{"type":"{ty}","{part}":"#);
        self.schema(inner, namespace)?;
        self.canonical.push('}');
        Ok(())
    }

    fn named(
        &mut self,
        object: &Map<String, Value>,
        ty: &str,
        namespace: &str,
    ) -> Result<(), String> {
        let name = text(object, "name").ok_or_else(|| format!("a type `{ty}` has no name"))?;
        let namespace = text(object, "namespace").unwrap_or(namespace);
        let full = full_name(name, namespace);
        if !full.split('.').all(is_name) {
            return Err(format!("`{full}` is not a name"));
        }
        if PRIMITIVES.contains(&full.as_str()) || !self.defined.insert(full.clone()) {
            return Err(format!("the type `{full}` is defined twice"));
        }
        self.canonical += &format!(r#"{{"name":"{full}","type":"{ty}","#);
        match ty {
            "enum" => self.symbols(object, &full)?,
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64);
                let size = size.ok_or_else(|| format!("the fixed type `{full}` has no `size`"))?;
                self.canonical += &format!(r#""size":{size}"#);
            }
            _ => self.fields(object, &full)?,
        }
        self.canonical.push('}');
        Ok(())
    }

    fn symbols(&mut self, object: &Map<String, Value>, full: &str) -> Result<(), String> {
        let symbols = object.get("symbols").and_then(Value::as_array);
        let symbols = symbols.ok_or_else(|| format!("the enum `{full}` has no `symbols`"))?;
        let mut seen = BTreeSet::new();
        self.canonical += r#""symbols":["#;
        for (place, symbol) in symbols.iter().enumerate() {
            let symbol = symbol
                .as_str()
                .filter(|symbol| is_name(symbol) && seen.insert(*symbol));
            let symbol = symbol.ok_or_else(|| {
                format!("a symbol of the enum `{full}` is not a name, or is listed twice")
            })?;
            if place > 0 {
                self.canonical.push(',');
            }
            self.quoted(symbol);
        }
        self.canonical.push(']');
        Ok(())
    }

    fn fields(&mut self, object: &Map<String, Value>, full: &str) -> Result<(), String> {
        let fields = object.get("fields").and_then(Value::as_array);
        let fields = fields.ok_or_else(|| format!("the record `{full}` has no `fields`"))?;
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let mut seen = BTreeSet::new();
        self.canonical += r#""fields":["#;
        for (place, field) in fields.iter().enumerate() {
            let name = field
                .get("name")
                .and_then(Value::as_str)
                .filter(|name| is_name(name));
            let name = name
                .ok_or_else(|| format!("a field of `{full}` has no name, or one that is none"))?;
            if !seen.insert(name) {
                return Err(format!("`{full}` has two fields `{name}`"));
            }
            let ty = field
                .get("type")
                .ok_or_else(|| format!("the field `{full}.{name}` has no type"))?;
            if place > 0 {
                self.canonical.push(',');
            }
            self.canonical += &format!(r#"{{"name":"{name}","type":"#);
            self.schema(ty, namespace)?;
            self.canonical.push('}');
        }
        self.canonical.push(']');
        Ok(())
    }

    fn quoted(&mut self, text: &str) {
        self.canonical += &format!("\"{text}\"");
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.into()
    } else {
        format!("{namespace}.{name}")
    }
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// What branches of a union may share: nothing, so types by name, and one array and map at most.
fn branch_name(branch: &Value, namespace: &str) -> String {
    match branch {
        Value::String(name) if PRIMITIVES.contains(&name.as_str()) => name.clone(),
        Value::String(name) => full_name(name, namespace),
        Value::Object(object) => match (text(object, "type"), text(object, "name")) {
            (Some("record" | "error" | "enum" | "fixed"), Some(name)) => {
                full_name(name, text(object, "namespace").unwrap_or(namespace))
            }
            (Some(ty), _) => ty.into(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, part: &str) {
        let error = Schema::parse(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }

    #[test]
    fn schemas_are_equal_when_their_values_are() {
        let plain = r#"{"type":"record","name":"a.R","fields":[
            {"name":"f","type":["null","string"]},{"name":"g","type":{"type":"array","items":"a.R"}},
            {"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}},{"name":"x","type":"E"},
            {"name":"h","type":{"type":"fixed","name":"b.H","size":16}}]}"#;
        let decorated = r#"{"namespace":"a","doc":"…","name":"R","type":"record","fields":[
            {"doc":"…","name":"f","type":["null",{"type":"string"}],"default":null},
            {"name":"g","type":{"items":"R","type":"array"}},
            {"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"],"default":"X"}},{"name":"x","type":"a.E"},
            {"name":"h","type":{"type":"fixed","name":"b.H","size":16,"aliases":["c.H"]}}]}"#;
        let plain = Schema::parse(plain).expect("plain");
        let decorated = Schema::parse(decorated).expect("decorated");
        assert_eq!(plain, decorated);
        assert_eq!(
            plain.canonical(),
            r#"{"name":"a.R","type":"record","fields":[{"name":"f","type":["null","string"]},{"name":"g","type":{"type":"array","items":"a.R"}},{"name":"e","type":{"name":"a.E","type":"enum","symbols":["X","Y"]}},{"name":"x","type":"a.E"},{"name":"h","type":{"name":"b.H","type":"fixed","size":16}}]}"#
        );
        assert_ne!(plain, Schema::parse(r#""string""#).expect("a primitive"));
        assert_ne!(
            Schema::parse(r#"["null","int"]"#),
            Schema::parse(r#"["int","null"]"#)
        );
    }

    #[test]
    fn what_readers_refuse_is_refused() {
        refused("{", "not JSON");
        refused("12", "not a schema");
        refused(r#""strin""#, "`strin` is not defined");
        refused(r#"{"type":"record","fields":[]}"#, "no name");
        refused(r#"{"type":"record","name":"R"}"#, "no `fields`");
        refused(
            r#"{"type":"record","name":"R-1","fields":[]}"#,
            "`R-1` is not a name",
        );
        refused(
            r#"{"type":"record","name":"R","fields":[{"name":"f"}]}"#,
            "no type",
        );
        refused(r#"{"type":"enum","name":"E","symbols":["A","A"]}"#, "twice");
        refused(r#"{"type":"fixed","name":"F"}"#, "no `size`");
        refused(r#"{"type":"array"}"#, "no `items`");
        refused(r#"["null","null"]"#, "twice");
        refused(r#"["null",["int"]]"#, "union");
        refused(r#"{"type":{"type":"string"}}"#, "no `type`");
    }

    #[test]
    fn any_text_at_all_is_answered() {
        let mut random = fastrand::Rng::with_seed(11);
        let words = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"type\"",
            "\"record\"",
            "\"name\"",
            "\"R\"",
            "\"fields\"",
            "1",
        ];
        for _ in 0..20_000 {
            let text: String = (0..random.usize(..30))
                .map(|_| words[random.usize(..words.len())])
                .collect();
            let _ = Schema::parse(&text);
        }
        let deep = "[".repeat(100_000);
        assert!(Schema::parse(&deep).is_err());
    }
}
