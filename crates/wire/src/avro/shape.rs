//! Where a value ends: what a schema says of the bytes of its values, and nothing else.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{DatumError, DatumReader, Schema};
use crate::MAX_MESSAGE_PARTS;

/// Values within values.
const MAX_DEPTH: usize = 500;

/// What the bytes of a value look like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Shapes refer to each other by their places here; a named type can be inside of itself.
    parts: Vec<ShapePart>,
    root: usize,
}

#[derive(Clone, Debug)]
enum ShapePart {
    Width(usize),
    Number,
    Counted,
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<usize>),
}

impl Shape {
    /// The shape of a schema's values.
    pub fn of(schema: &Schema) -> Shape {
        let mut builder = Builder::default();
        // The canonical form was made from a schema that was checked.
        let json = serde_json::from_str(schema.canonical()).unwrap_or(Value::Null);
        let root = builder.part(&json);
        Shape {
            parts: builder.parts,
            root,
        }
    }

    /// Passes over a value.
    ///
    /// # Errors
    /// The bytes are not those of a value.
    pub fn skip(&self, reader: &mut DatumReader) -> Result<(), DatumError> {
        self.skip_part(self.root, reader, 0)
    }

    fn skip_part(
        &self,
        part: usize,
        reader: &mut DatumReader,
        depth: usize,
    ) -> Result<(), DatumError> {
        if depth > MAX_DEPTH {
            return Err(DatumError::TooManyParts);
        }
        let deeper = depth + 1;
        match &self.parts[part] {
            ShapePart::Width(bytes) => reader.skip(*bytes),
            ShapePart::Number => reader.long().map(drop),
            ShapePart::Counted => reader.bytes().map(drop),
            ShapePart::Record(fields) => fields
                .iter()
                .try_for_each(|field| self.skip_part(*field, reader, deeper)),
            ShapePart::Union(branches) => {
                let branch = reader.branch(branches.len() as i64)?;
                self.skip_part(branches[branch as usize], reader, deeper)
            }
            ShapePart::Array(items) | ShapePart::Map(items) => {
                let named = matches!(self.parts[part], ShapePart::Map(_));
                loop {
                    let count = reader.block()?;
                    if count == 0 {
                        return Ok(());
                    }
                    // Items may take no bytes at all, so their number has to be bounded.
                    if count > reader.remaining().max(MAX_MESSAGE_PARTS) as u64 {
                        return Err(DatumError::TooManyParts);
                    }
                    for _ in 0..count {
                        if named {
                            reader.bytes()?;
                        }
                        self.skip_part(*items, reader, deeper)?;
                    }
                }
            }
        }
    }
}

#[derive(Default)]
struct Builder {
    parts: Vec<ShapePart>,
    named: BTreeMap<String, usize>,
}

impl Builder {
    fn add(&mut self, part: ShapePart) -> usize {
        self.parts.push(part);
        self.parts.len() - 1
    }

    fn part(&mut self, json: &Value) -> usize {
        match json {
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.part(branch)).collect();
                self.add(ShapePart::Union(branches))
            }
            Value::Object(object) => {
                let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
                let inner = |key: &str| object.get(key).unwrap_or(&Value::Null);
                match text("type") {
                    "array" => {
                        let items = self.part(inner("items"));
                        self.add(ShapePart::Array(items))
                    }
                    "map" => {
                        let values = self.part(inner("values"));
                        self.add(ShapePart::Map(values))
                    }
                    "enum" => self.define(text("name"), ShapePart::Number),
                    "fixed" => {
                        let size = object.get("size").and_then(Value::as_u64).unwrap_or(0);
                        let size = usize::try_from(size).unwrap_or(usize::MAX);
                        self.define(text("name"), ShapePart::Width(size))
                    }
                    "record" | "error" => {
                        // Known before its fields are read, which may contain it.
                        let place = self.define(text("name"), ShapePart::Record(vec![]));
                        let fields = inner("fields").as_array().into_iter().flatten();
                        let fields = fields.map(|field| self.part(&field["type"])).collect();
                        self.parts[place] = ShapePart::Record(fields);
                        place
                    }
                    name => self.reference(name),
                }
            }
            other => self.reference(other.as_str().unwrap_or_default()),
        }
    }

    fn define(&mut self, name: &str, part: ShapePart) -> usize {
        let place = self.add(part);
        self.named.insert(name.into(), place);
        place
    }

    fn reference(&mut self, name: &str) -> usize {
        let primitive = match name {
            "boolean" => ShapePart::Width(1),
            "float" => ShapePart::Width(4),
            "double" => ShapePart::Width(8),
            "int" | "long" => ShapePart::Number,
            "bytes" | "string" => ShapePart::Counted,
            named => match self.named.get(named) {
                Some(place) => return *place,
                // `null`.
                None => ShapePart::Width(0),
            },
        };
        self.add(primitive)
    }
}
