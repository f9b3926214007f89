//! Character sets by the names Java knows, decoded to UTF-8 piece by piece.

use std::fmt;

use encoding_rs::{CoderResult, DecoderResult, EncoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flume_core::config::Scalar;

/// A character set. Differs from the web's reading of names where Java does: ISO-8859-1 and US-ASCII are
/// themselves and not windows-1252, UTF-16 without a byte order mark is big endian.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Charset {
    /// `US-ASCII`.
    Ascii,
    /// `ISO-8859-1`.
    Latin1,
    /// Either byte order when read, as its mark says; big endian with a mark when written.
    Utf16,
    /// Any other.
    Other(&'static Encoding),
}

/// Decodes a stream that comes in pieces; keeps the bytes of an unfinished character for the next piece.
pub enum Decoder {
    /// Of `US-ASCII`.
    Ascii,
    /// Of `ISO-8859-1`.
    Latin1,
    /// Of any other.
    Other(Box<encoding_rs::Decoder>),
}

/// Bytes that mean nothing in their character set. Everything before them was decoded.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl Scalar for Charset {
    const TYPE: &'static str = "charset";

    fn parse(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_lowercase().replace('_', "-");
        match name.as_str() {
            "us-ascii" | "ascii" | "iso646-us" | "646" => Ok(Charset::Ascii),
            "iso-8859-1" | "iso8859-1" | "8859-1" | "latin1" | "l1" | "cp819" | "ibm819"
            | "819" => Ok(Charset::Latin1),
            "utf-16" | "utf16" | "unicode" => Ok(Charset::Utf16),
            "utf-16be" | "unicodebigunmarked" | "x-utf-16be" => Ok(Charset::Other(UTF_16BE)),
            "utf-16le" | "unicodelittleunmarked" | "x-utf-16le" => Ok(Charset::Other(UTF_16LE)),
            _ => [text, &name, &name.replace("iso8859-", "iso-8859-")]
                .iter()
                .find_map(|label| Encoding::for_label_no_replacement(label.as_bytes()))
                .map(Charset::Other)
                .ok_or_else(|| {
                    "the name of a character set such as `UTF-8` or `ISO-8859-1`".into()
                }),
        }
    }
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Charset::Ascii => "US-ASCII",
            Charset::Latin1 => "ISO-8859-1",
            Charset::Utf16 => "UTF-16",
            Charset::Other(encoding) => encoding.name(),
        })
    }
}

impl Charset {
    /// Whether a byte is a character, so that a line feed is the byte 10.
    pub fn is_single_byte(self) -> bool {
        match self {
            Charset::Ascii | Charset::Latin1 => true,
            Charset::Utf16 => false,
            Charset::Other(encoding) => encoding.is_single_byte(),
        }
    }

    /// Whether it is UTF-8.
    pub fn is_utf8(self) -> bool {
        self == Charset::Other(UTF_8)
    }

    /// A decoder for a new stream.
    pub fn decoder(self) -> Decoder {
        match self {
            Charset::Ascii => Decoder::Ascii,
            Charset::Latin1 => Decoder::Latin1,
            Charset::Utf16 => Decoder::Other(Box::new(UTF_16BE.new_decoder())),
            Charset::Other(encoding) => {
                Decoder::Other(Box::new(encoding.new_decoder_without_bom_handling()))
            }
        }
    }

    /// As `String.getBytes`: what the set lacks becomes a question mark.
    pub fn encode(self, text: &str) -> Vec<u8> {
        let narrow = |last: u32| {
            text.chars()
                .map(|c| if c as u32 <= last { c as u8 } else { b'?' })
                .collect()
        };
        let wide = |mark: &[u8], bytes: fn(u16) -> [u8; 2]| {
            mark.iter()
                .copied()
                .chain(text.encode_utf16().flat_map(bytes))
                .collect()
        };
        match self {
            Charset::Ascii => narrow(0x7F),
            Charset::Latin1 => narrow(0xFF),
            Charset::Utf16 => wide(&[0xFE, 0xFF], u16::to_be_bytes),
            Charset::Other(encoding) if encoding == UTF_8 => text.into(),
            Charset::Other(encoding) if encoding == UTF_16BE => wide(&[], u16::to_be_bytes),
            Charset::Other(encoding) if encoding == UTF_16LE => wide(&[], u16::to_le_bytes),
            Charset::Other(encoding) => encode(encoding, text),
        }
    }

    /// A whole text; what means nothing becomes U+FFFD.
    pub fn decode_lossy(self, bytes: &[u8]) -> String {
        let mut text = String::new();
        self.decoder().decode_lossy(bytes, &mut text, true);
        text
    }

    /// For what follows in the same stream: a byte order mark is written once.
    pub fn after_mark(self) -> Charset {
        if self == Charset::Utf16 {
            Charset::Other(UTF_16BE)
        } else {
            self
        }
    }
}

fn encode(encoding: &'static Encoding, mut text: &str) -> Vec<u8> {
    let mut encoder = encoding.new_encoder();
    let mut out = Vec::with_capacity(text.len() + 16);
    loop {
        let (result, read) =
            encoder.encode_from_utf8_to_vec_without_replacement(text, &mut out, true);
        text = &text[read..];
        match result {
            EncoderResult::InputEmpty => return out,
            EncoderResult::OutputFull => out.reserve(text.len() + 16),
            EncoderResult::Unmappable(_) => out.push(b'?'),
        }
    }
}

impl Decoder {
    /// Appends what `bytes` mean to `text`; `last` when nothing follows.
    ///
    /// # Errors
    /// For bytes that mean nothing; what stands before them was appended.
    pub fn decode(&mut self, bytes: &[u8], text: &mut String, last: bool) -> Result<(), Malformed> {
        match self {
            Decoder::Latin1 => {
                text.extend(bytes.iter().map(|byte| *byte as char));
                Ok(())
            }
            Decoder::Ascii => {
                let good = bytes.iter().take_while(|byte| byte.is_ascii());
                text.extend(good.map(|byte| *byte as char));
                if bytes.is_ascii() {
                    Ok(())
                } else {
                    Err(Malformed)
                }
            }
            Decoder::Other(decoder) => {
                let mut rest = bytes;
                loop {
                    let needed = decoder.max_utf8_buffer_length_without_replacement(rest.len());
                    text.reserve(needed.unwrap_or(rest.len()));
                    let (result, read) =
                        decoder.decode_to_string_without_replacement(rest, text, last);
                    match result {
                        DecoderResult::InputEmpty => return Ok(()),
                        DecoderResult::Malformed(..) => return Err(Malformed),
                        DecoderResult::OutputFull => rest = &rest[read..],
                    }
                }
            }
        }
    }

    /// The same; what means nothing becomes U+FFFD.
    pub fn decode_lossy(&mut self, bytes: &[u8], text: &mut String, last: bool) {
        match self {
            Decoder::Latin1 => text.extend(bytes.iter().map(|byte| *byte as char)),
            Decoder::Ascii => text.extend(bytes.iter().map(|byte| {
                if byte.is_ascii() {
                    *byte as char
                } else {
                    char::REPLACEMENT_CHARACTER
                }
            })),
            Decoder::Other(decoder) => {
                let mut rest = bytes;
                loop {
                    text.reserve(
                        decoder
                            .max_utf8_buffer_length(rest.len())
                            .unwrap_or(rest.len()),
                    );
                    let (result, read, _) = decoder.decode_to_string(rest, text, last);
                    match result {
                        CoderResult::InputEmpty => return,
                        CoderResult::OutputFull => rest = &rest[read..],
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `bytes` mean, decoded in one piece and byte by byte; and how the text is written again.
    fn check(name: &str, bytes: &[u8], text: Result<&str, &str>, written: &[u8]) {
        let charset = Charset::parse(name).unwrap();
        for size in [1, bytes.len()] {
            let mut decoder = charset.decoder();
            let mut strict = String::new();
            let mut outcome = Ok(());
            for piece in bytes.chunks(size) {
                outcome = outcome.and_then(|()| decoder.decode(piece, &mut strict, false));
            }
            assert_eq!(
                outcome
                    .map(|()| strict.as_str())
                    .map_err(|_| strict.as_str()),
                text,
                "{name}"
            );
        }
        let mut decoder = charset.decoder();
        let mut lossy = String::new();
        for piece in bytes.chunks(1) {
            decoder.decode_lossy(piece, &mut lossy, false);
        }
        decoder.decode_lossy(b"", &mut lossy, true);
        assert_eq!(charset.encode(&lossy), written, "{name}");
    }

    #[test]
    fn names_mean_what_they_mean_in_java() {
        check(
            "UTF-8",
            b"\xef\xbb\xbf\xc3\xa9",
            Ok("\u{feff}\u{e9}"),
            b"\xef\xbb\xbf\xc3\xa9",
        );
        check("utf8", b"a\xffb", Err("a"), b"a\xef\xbf\xbdb");
        check("ISO-8859-1", b"\x80\xe9", Ok("\u{80}\u{e9}"), b"\x80\xe9");
        check("ISO8859_1", b"\x80\xe9", Ok("\u{80}\u{e9}"), b"\x80\xe9");
        check("Cp1252", b"\x80\xe9", Ok("\u{20ac}\u{e9}"), b"\x80\xe9");
        check("US-ASCII", b"a\x80", Err("a"), b"a?");
        check("UTF-16", b"\0a", Ok("a"), b"\xfe\xff\0a");
        check("UTF-16", b"\xff\xfea\0", Ok("a"), b"\xfe\xff\0a");
        check(
            "UTF-16BE",
            b"\xd8\x3d\xde\0",
            Ok("\u{1f600}"),
            b"\xd8\x3d\xde\0",
        );
        check("UTF-16LE", b"a\0", Ok("a"), b"a\0");
        check("Shift_JIS", b"\x82\xa0", Ok("\u{3042}"), b"\x82\xa0");
        check("ISO8859_15", b"\xa4", Ok("\u{20ac}"), b"\xa4");
        check("GBK", b"\xff", Err(""), b"?");
        for unknown in ["", "no-such", "utf-7", "UTF-32"] {
            assert!(Charset::parse(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn what_a_set_lacks_is_a_question_mark() {
        for (name, written) in [
            ("US-ASCII", "??"),
            ("ISO-8859-1", "??"),
            ("windows-1251", "??"),
        ] {
            assert_eq!(
                Charset::parse(name).unwrap().encode("\u{3042}\u{1f600}"),
                written.as_bytes(),
                "{name}"
            );
        }
    }
}
