//! OTLP in protobuf, field by field. The numbers are those of `logs.proto`, `common.proto` and `resource.proto`.

use bytes::Bytes;
use flume_core::Str;
use prost::{
    DecodeError,
    encoding::{WireType, decode_key, decode_varint},
};

use super::{Events, MAX_DEPTH, OtlpError, Record, ScopeFacts, Value};

impl From<DecodeError> for OtlpError {
    fn from(error: DecodeError) -> Self {
        OtlpError::Broken(error.to_string())
    }
}

fn broken(text: &str) -> OtlpError {
    OtlpError::Broken(text.into())
}

/// What a field holds; whoever knows its number knows which of both it is.
#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn number(self) -> Result<u64, OtlpError> {
        match self {
            Field::Number(number) => Ok(number),
            Field::Bytes(_) => Err(broken("expected a number, found text or a message")),
        }
    }

    fn bytes(self) -> Result<&'a [u8], OtlpError> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            Field::Number(_) => Err(broken("expected text or a message, found a number")),
        }
    }

    fn text(self) -> Result<Str, OtlpError> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned().into())
    }

    fn hex(self) -> Result<String, OtlpError> {
        let digits = self.bytes()?.iter();
        Ok(digits.map(|byte| format!("{byte:02x}")).collect())
    }

    fn fields(self) -> Result<Fields<'a>, OtlpError> {
        Ok(Fields(self.bytes()?))
    }
}

/// The fields of a message, in order.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>), OtlpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<(u32, Field<'a>), OtlpError> {
        let (tag, kind) = decode_key(&mut self.0)?;
        let field = match kind {
            WireType::Varint => Field::Number(decode_varint(&mut self.0)?),
            WireType::SixtyFourBit => Field::Number(little_endian(self.take(8)?)),
            WireType::ThirtyTwoBit => Field::Number(little_endian(self.take(4)?)),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut self.0)?;
                Field::Bytes(self.take(length)?)
            }
            WireType::StartGroup | WireType::EndGroup => {
                return Err(broken("a message has a group, which OTLP does not use"));
            }
        };
        Ok((tag, field))
    }

    fn take(&mut self, bytes: u64) -> Result<&'a [u8], OtlpError> {
        let length = usize::try_from(bytes).unwrap_or(usize::MAX);
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| broken("a field is longer than its message"))?;
        self.0 = rest;
        Ok(taken)
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

pub(super) fn read(request: &Bytes, events: &mut Events) -> Result<(), OtlpError> {
    for field in Fields(request) {
        if let (1, resource_logs) = field? {
            events.count(1)?;
            read_resource_logs(resource_logs.fields()?.0, request, events)?;
        }
    }
    Ok(())
}

/// The resource may stand behind its records.
fn read_resource_logs(
    message: &[u8],
    request: &Bytes,
    events: &mut Events,
) -> Result<(), OtlpError> {
    let mut origin = ScopeFacts::default();
    for field in Fields(message) {
        if let (1, resource) = field? {
            origin.add(attributes(resource, 1, request, events)?);
        }
    }
    for field in Fields(message) {
        if let (2, scope_logs) = field? {
            // A scope without records has the attributes of its resource, too.
            events.count(1 + origin.attributes.len())?;
            read_scope_logs(scope_logs.bytes()?, origin.clone(), request, events)?;
        }
    }
    Ok(())
}

fn read_scope_logs(
    message: &[u8],
    mut origin: ScopeFacts,
    request: &Bytes,
    events: &mut Events,
) -> Result<(), OtlpError> {
    for field in Fields(message) {
        if let (1, scope) = field? {
            origin.add(attributes(scope, 3, request, events)?);
            for field in scope.fields()? {
                if let (1, name) = field? {
                    origin.scope_name = name.text()?;
                }
            }
        }
    }
    for field in Fields(message) {
        if let (2, record) = field? {
            let record = read_record(record, request, events)?;
            events.add(record, &origin)?;
        }
    }
    Ok(())
}

fn read_record(
    message: Field<'_>,
    request: &Bytes,
    events: &mut Events,
) -> Result<Record, OtlpError> {
    let mut record = Record::default();
    for field in message.fields()? {
        let (number, field) = field?;
        match number {
            1 => record.time_nanos = field.number()?,
            2 => record.severity_number = field.number()?,
            3 => record.severity_text = field.text()?,
            5 => record.body = read_value(field, request, events, 0)?,
            6 => record
                .attributes
                .push(read_pair(field, request, events, 0)?),
            9 => record.trace_id = field.hex()?,
            10 => record.span_id = field.hex()?,
            11 => record.observed_nanos = field.number()?,
            12 => record.event_name = field.text()?,
            _ => {}
        }
    }
    Ok(record)
}

/// The pairs of a message that has them in this field.
fn attributes(
    message: Field<'_>,
    wanted: u32,
    request: &Bytes,
    events: &mut Events,
) -> Result<Vec<(Str, Value)>, OtlpError> {
    let mut pairs = vec![];
    for field in message.fields()? {
        let (number, field) = field?;
        if number == wanted {
            pairs.push(read_pair(field, request, events, 0)?);
        }
    }
    Ok(pairs)
}

fn read_pair(
    message: Field<'_>,
    request: &Bytes,
    events: &mut Events,
    depth: usize,
) -> Result<(Str, Value), OtlpError> {
    events.count(1)?;
    let mut key = Str::default();
    let mut value = Value::None;
    for field in message.fields()? {
        match field? {
            (1, field) => key = field.text()?,
            (2, field) => value = read_value(field, request, events, depth)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Texts and bytes are parts of the request, without a copy.
fn read_value(
    message: Field<'_>,
    request: &Bytes,
    events: &mut Events,
    depth: usize,
) -> Result<Value, OtlpError> {
    events.count(1)?;
    if depth == MAX_DEPTH {
        return Err(OtlpError::TooDeep);
    }
    let mut value = Value::None;
    for field in message.fields()? {
        let (number, field) = field?;
        value = match number {
            1 => Value::Text(request.slice_ref(field.bytes()?)),
            2 => Value::Json((field.number()? != 0).to_string()),
            3 => Value::Json(field.number()?.cast_signed().to_string()),
            4 => Value::number(f64::from_bits(field.number()?)),
            5 => Value::array(
                elements(field)?.map(|element| read_value(element?, request, events, depth + 1)),
            )?,
            6 => Value::map(
                elements(field)?.map(|element| read_pair(element?, request, events, depth + 1)),
            )?,
            7 => Value::Bytes(request.slice_ref(field.bytes()?)),
            _ => value,
        };
    }
    Ok(value)
}

/// The elements of an array or a map.
fn elements<'a>(
    message: Field<'a>,
) -> Result<impl Iterator<Item = Result<Field<'a>, OtlpError>>, OtlpError> {
    let fields = message.fields()?;
    Ok(fields.filter_map(|field| match field {
        Ok((1, element)) => Some(Ok(element)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }))
}
