//! A serialized Java object, as far as key stores hold some: classes without code of their own in the stream, with
//! fields that are numbers, texts, byte arrays and enumerations. After the "Java Object Serialization
//! Specification", chapter 6; anything else in it is refused by name.

use crate::java_input::{Input, Malformed};

const MAGIC_AND_VERSION: u32 = 0xaced_0005;
const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
const CLASS: u8 = 0x72;
const OBJECT: u8 = 0x73;
const STRING: u8 = 0x74;
const ARRAY: u8 = 0x75;
const END_BLOCK_DATA: u8 = 0x78;
const ENUM: u8 = 0x7e;
/// Handles count from here, in the order in which things appear.
const FIRST_HANDLE: u32 = 0x007e_0000;
/// The class has a custom write method: its values are followed by an annotation.
const WRITE_METHOD: u8 = 1;
const SERIALIZABLE: u8 = 2;
/// More than any key has, so that a stream cannot make us build much.
const MAX_HANDLES: usize = 256;
const MAX_FIELDS: usize = 32;
const MAX_ANCESTORS: usize = 8;

/// An object with the fields of its class and of all classes above, by name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JavaObject<'a> {
    /// The full name of its class.
    pub(crate) class: &'a str,
    fields: Vec<(&'a str, JavaValue<'a>)>,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JavaValue<'a> {
    /// A number, a truth value, or nothing.
    Other,
    Text(&'a str),
    Bytes(&'a [u8]),
}

#[derive(Clone, Copy)]
enum Handle<'a> {
    Value(JavaValue<'a>),
    /// An index into the classes read so far.
    Class(usize),
}

struct JavaClass<'a> {
    name: &'a str,
    flags: u8,
    fields: Vec<JavaField<'a>>,
    parent: Option<usize>,
}

#[derive(Clone, Copy)]
struct JavaField<'a> {
    name: &'a str,
    /// `B C D F I J S Z` for primitives, `L` for objects, `[` for arrays.
    code: u8,
}

struct ObjectReader<'a, 'b> {
    input: &'b mut Input<'a>,
    handles: Vec<Handle<'a>>,
    classes: Vec<JavaClass<'a>>,
}

impl<'a> JavaObject<'a> {
    /// Reads a stream that holds one object; `input` then stands behind it.
    pub(crate) fn read(input: &mut Input<'a>) -> Result<Self, Malformed> {
        if input.u32()? != MAGIC_AND_VERSION {
            return Err(Malformed("a serialized object was expected"));
        }
        let mut reader = ObjectReader {
            input,
            handles: vec![],
            classes: vec![],
        };
        if reader.input.u8()? != OBJECT {
            return Err(Malformed("an object was expected"));
        }
        reader.object()
    }

    /// The text in a field.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            JavaValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The byte array in a field.
    pub(crate) fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        match self.get(name)? {
            JavaValue::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn get(&self, name: &str) -> Option<JavaValue<'a>> {
        self.fields
            .iter()
            .find(|(field, _)| *field == name)
            .map(|(_, value)| *value)
    }
}

impl<'a> ObjectReader<'a, '_> {
    fn object(&mut self) -> Result<JavaObject<'a>, Malformed> {
        let class = self
            .class()?
            .ok_or(Malformed("an object without a class"))?;
        self.remember(Handle::Value(JavaValue::Other))?;
        let mut lineage = vec![];
        let mut next = Some(class);
        while let Some(ancestor) = next {
            if lineage.len() == MAX_ANCESTORS {
                return Err(Malformed("a class with too many ancestors"));
            }
            lineage.push(ancestor);
            next = self.classes.get(ancestor).and_then(|class| class.parent);
        }
        let mut fields = vec![];
        for ancestor in lineage.into_iter().rev() {
            let Some(class) = self.classes.get(ancestor) else {
                break;
            };
            let flags = class.flags;
            let own = class.fields.clone();
            if flags & SERIALIZABLE == 0 {
                return Err(Malformed("an object that writes itself"));
            }
            for field in own {
                fields.push((field.name, self.value(field.code)?));
            }
            if flags & WRITE_METHOD != 0 && self.input.u8()? != END_BLOCK_DATA {
                return Err(Malformed("an object with data of its own"));
            }
        }
        let class = self.classes.get(class).map_or("", |class| class.name);
        Ok(JavaObject { class, fields })
    }

    fn value(&mut self, code: u8) -> Result<JavaValue<'a>, Malformed> {
        let width = match code {
            b'B' | b'Z' => 1,
            b'C' | b'S' => 2,
            b'F' | b'I' => 4,
            b'D' | b'J' => 8,
            _ => return self.content(),
        };
        self.input.take(width)?;
        Ok(JavaValue::Other)
    }

    fn content(&mut self) -> Result<JavaValue<'a>, Malformed> {
        match self.input.u8()? {
            NULL => Ok(JavaValue::Other),
            REFERENCE => match self.referenced()? {
                Handle::Value(value) => Ok(value),
                Handle::Class(_) => Err(Malformed("a class as a value")),
            },
            STRING => self.string().map(JavaValue::Text),
            ARRAY => {
                let class = self.class()?.and_then(|class| self.classes.get(class));
                if class.is_none_or(|class| class.name != "[B") {
                    return Err(Malformed("an array of something else than bytes"));
                }
                let place = self.handles.len();
                self.remember(Handle::Value(JavaValue::Other))?;
                let length = self.input.u32()? as usize;
                let value = JavaValue::Bytes(self.input.take(length)?);
                self.handles[place] = Handle::Value(value);
                Ok(value)
            }
            ENUM => {
                self.class()?;
                self.remember(Handle::Value(JavaValue::Other))?;
                self.text().map(JavaValue::Text)
            }
            _ => Err(Malformed("an object within an object")),
        }
    }

    /// The description of a class, new or known; the index of the class.
    fn class(&mut self) -> Result<Option<usize>, Malformed> {
        match self.input.u8()? {
            NULL => return Ok(None),
            REFERENCE => match self.referenced()? {
                Handle::Class(class) => return Ok(Some(class)),
                Handle::Value(_) => return Err(Malformed("a value as a class")),
            },
            CLASS => {}
            _ => return Err(Malformed("a class was expected")),
        }
        let name = self.input.text()?;
        self.input.take(8)?;
        let place = self.classes.len();
        self.remember(Handle::Class(place))?;
        let flags = self.input.u8()?;
        self.classes.push(JavaClass {
            name,
            flags,
            fields: vec![],
            parent: None,
        });
        let count = usize::from(self.input.u16()?);
        if count > MAX_FIELDS {
            return Err(Malformed("a class with too many fields"));
        }
        let mut fields = vec![];
        for _ in 0..count {
            let code = self.input.u8()?;
            let name = self.input.text()?;
            match code {
                b'L' | b'[' => drop(self.text()?),
                b'B' | b'C' | b'D' | b'F' | b'I' | b'J' | b'S' | b'Z' => {}
                _ => return Err(Malformed("a field of an unknown type")),
            }
            fields.push(JavaField { name, code });
        }
        if self.input.u8()? != END_BLOCK_DATA {
            return Err(Malformed("a class with an annotation"));
        }
        if self.classes.len() > MAX_ANCESTORS * 4 {
            return Err(Malformed("too many classes"));
        }
        let parent = self.class()?;
        let class = &mut self.classes[place];
        (class.fields, class.parent) = (fields, parent);
        Ok(Some(place))
    }

    /// A string object, new or known.
    fn text(&mut self) -> Result<&'a str, Malformed> {
        match self.input.u8()? {
            STRING => self.string(),
            REFERENCE => match self.referenced()? {
                Handle::Value(JavaValue::Text(text)) => Ok(text),
                _ => Err(Malformed("a text was expected")),
            },
            _ => Err(Malformed("a text was expected")),
        }
    }

    fn string(&mut self) -> Result<&'a str, Malformed> {
        let text = self.input.text()?;
        self.remember(Handle::Value(JavaValue::Text(text)))?;
        Ok(text)
    }

    fn remember(&mut self, handle: Handle<'a>) -> Result<(), Malformed> {
        if self.handles.len() == MAX_HANDLES {
            return Err(Malformed("too many objects"));
        }
        self.handles.push(handle);
        Ok(())
    }

    fn referenced(&mut self) -> Result<Handle<'a>, Malformed> {
        let place = self.input.u32()?.checked_sub(FIRST_HANDLE);
        let handle = place.and_then(|place| self.handles.get(place as usize));
        handle.copied().ok_or(Malformed("a reference to nothing"))
    }
}
