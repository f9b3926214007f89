//! What must not be seen in an event that a tap shows.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flume_core::{
    AgentInfo,
    secrets::{MASK, is_secret_name},
    tap::{TRACE_HEADER, TappedEvent},
};
use flume_java::regex::JavaRegex;
use jiff::Timestamp;

use super::TapEvent;

/// What a tap does not show.
#[derive(Clone, Default)]
pub struct TapMasks {
    headers: Vec<String>,
    text: Option<JavaRegex>,
}

impl TapMasks {
    /// As the agent's system properties say: `flume.tap.mask.headers` names headers, and what `flume.tap.mask` matches
    /// in bodies and headers is replaced. Headers whose names announce a secret are masked anyway.
    ///
    /// # Errors
    /// A property is wrong, or `flume.tap` forbids taps.
    pub fn of(agent: &AgentInfo) -> Result<Self, String> {
        let property = |name: &str| agent.system_properties.get(name);
        if let Some(value) = property("flume.tap") {
            match value.as_str() {
                "false" => return Err("the agent was started with -Dflume.tap=false".into()),
                "true" => {}
                other => return Err(format!("flume.tap takes true or false, not `{other}`")),
            }
        }
        let names = property("flume.tap.mask.headers").map_or("", String::as_str);
        let names = names.split([' ', ',']).filter(|name| !name.is_empty());
        let text = property("flume.tap.mask").map(|pattern| JavaRegex::new(pattern));
        let text = text
            .transpose()
            .map_err(|error| format!("flume.tap.mask: not a regular expression: {error}"))?;
        Ok(TapMasks {
            headers: names.map(str::to_ascii_lowercase).collect(),
            text,
        })
    }

    fn hides(&self, header: &str) -> bool {
        is_secret_name(header) || self.headers.contains(&header.to_ascii_lowercase())
    }

    fn mask(&self, text: &str) -> String {
        let Some(regex) = &self.text else {
            return text.into();
        };
        let mut shown = String::new();
        let mut from = 0;
        while from <= text.len() {
            match regex.find_at(text, from) {
                // Nobody knows what the rest holds.
                Err(_) => return shown + MASK,
                Ok(None) => break,
                Ok(Some(groups)) => {
                    let found = groups.whole();
                    shown += &text[from..found.start];
                    if found.is_empty() {
                        let next = text[found.start..].chars().next();
                        shown.extend(next);
                        from = found.start + next.map_or(1, char::len_utf8);
                    } else {
                        shown += MASK;
                        from = found.end;
                    }
                }
            }
        }
        shown + text.get(from..).unwrap_or_default()
    }

    /// Masks each run of text between bytes that are no text.
    fn mask_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut masked = vec![];
        for chunk in bytes.utf8_chunks() {
            masked.extend_from_slice(self.mask(chunk.valid()).as_bytes());
            masked.extend_from_slice(chunk.invalid());
        }
        masked
    }

    /// An event with its secrets masked, its headers and body cut.
    pub(super) fn show(&self, event: TappedEvent, max_bytes: usize) -> TapEvent {
        let header = |name: &str, value: &str| -> (String, String) {
            if name == TRACE_HEADER {
                return (name.into(), value.into());
            }
            let value = if self.hides(name) {
                MASK.into()
            } else {
                self.mask(value)
            };
            (name.into(), cut(&value, max_bytes))
        };
        let headers = event.headers.iter();
        let mut copied = &event.body[..];
        // The copy may have cut a character.
        if copied.len() < event.body_bytes
            && let Err(error) = std::str::from_utf8(copied)
            && error.error_len().is_none()
        {
            copied = &copied[..error.valid_up_to()];
        }
        let mut body = self.mask_bytes(copied);
        let cut_here = body.len() > max_bytes || event.body.len() < event.body_bytes;
        body.truncate(max_bytes);
        TapEvent {
            component: event.component.to_string(),
            passage: event.passage.name().into(),
            at: Timestamp::try_from(event.at).unwrap_or_default(),
            headers: headers.map(|(name, value)| header(name, value)).collect(),
            header_count: event.header_count,
            body: BASE64.encode(body),
            body_bytes: event.body_bytes,
            cut: cut_here,
        }
    }
}

fn cut(text: &str, max_bytes: usize) -> String {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|end| *end <= max_bytes).last().unwrap_or(0);
    text[..end].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(properties: &[(&str, &str)]) -> Result<TapMasks, String> {
        let properties = properties.iter();
        TapMasks::of(&AgentInfo {
            system_properties: properties
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            ..AgentInfo::default()
        })
    }

    #[test]
    fn what_matches_is_masked_in_text_and_in_bytes() {
        let masks = masks(&[("flume.tap.mask", r"\d{4,}|x*")]).unwrap();
        assert_eq!(masks.mask("card 12345678, é 123 xx"), "card ***, é 123 ***");
        assert_eq!(masks.mask(""), "");
        assert_eq!(masks.mask_bytes(b"\xff 12345 \xfe"), b"\xff *** \xfe");
        assert_eq!(masks.mask_bytes("é 12345".as_bytes()), "é ***".as_bytes());
        let umlaut = self::masks(&[("flume.tap.mask", "Müller")]).unwrap();
        assert_eq!(umlaut.mask_bytes("\u{0}Müller".as_bytes()), b"\0***");
        let mixed = [b"\xff\xfe", "Müller".as_bytes(), b"\xc3"].concat();
        assert_eq!(umlaut.mask_bytes(&mixed), b"\xff\xfe***\xc3");
    }

    #[test]
    fn headers_are_masked_by_name() {
        let masks = masks(&[("flume.tap.mask.headers", "User, client")]).unwrap();
        for hidden in ["user", "USER", "client", "password", "api-key"] {
            assert!(masks.hides(hidden), "{hidden}");
        }
        assert!(!masks.hides("host"));
    }

    #[test]
    fn a_wrong_mask_is_an_error_and_not_a_missing_mask() {
        assert!(masks(&[("flume.tap.mask", "(")]).is_err());
        assert!(masks(&[("flume.tap", "no")]).is_err());
        assert!(masks(&[("flume.tap", "false")]).is_err());
        assert!(masks(&[("flume.tap", "true")]).is_ok());
    }

    #[test]
    fn a_cut_keeps_characters_whole() {
        assert_eq!([cut("éa", 1), cut("éa", 2), cut("éa", 9)], ["", "é", "éa"]);
    }
}
