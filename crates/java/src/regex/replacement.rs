//! What a match is replaced by, as `Matcher.replaceAll` reads it.

use std::ops::Range;

use super::{JavaRegex, TooManySteps};

/// A replacement that was checked against its pattern: text, `$1`, `${name}`, and `\` before a character itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement(Vec<ReplacementPart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum ReplacementPart {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// Reads a replacement for matches of `regex`.
    ///
    /// # Errors
    /// For a group that the pattern does not have, and for a `$` or `\` that nothing follows.
    pub fn parse(text: &str, regex: &JavaRegex) -> Result<Self, String> {
        let mut parts = vec![];
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => literal.push(
                    chars
                        .next()
                        .ok_or("a `\\` at the end; the character itself is written `\\\\`")?,
                ),
                '$' => {
                    let group = if chars.next_if_eq(&'{').is_some() {
                        let name: String = chars.by_ref().take_while(|c| *c != '}').collect();
                        regex
                            .group(&name)
                            .ok_or_else(|| format!("the pattern has no group `{name}`"))?
                    } else {
                        let digit = chars.next().and_then(|c| c.to_digit(10));
                        let mut group = digit
                            .ok_or("a `$` without a group; the character itself is written `\\$`")?
                            as usize;
                        if group > regex.groups() {
                            return Err(format!("the pattern has no group {group}"));
                        }
                        while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                            let longer = group * 10 + digit as usize;
                            if longer > regex.groups() {
                                break;
                            }
                            group = longer;
                            chars.next();
                        }
                        group
                    };
                    parts.push(ReplacementPart::Text(std::mem::take(&mut literal)));
                    parts.push(ReplacementPart::Group(group));
                }
                c => literal.push(c),
            }
        }
        parts.push(ReplacementPart::Text(literal));
        Ok(Replacement(parts))
    }
}

impl JavaRegex {
    /// The text with every match replaced; `None` when there is none.
    ///
    /// # Errors
    /// When the pattern needs too many steps.
    pub fn replace_all(
        &self,
        text: &str,
        replacement: &Replacement,
    ) -> Result<Option<String>, TooManySteps> {
        let mut replaced = String::new();
        let mut copied = 0;
        let mut from = 0;
        let mut found_any = false;
        while from <= text.len() {
            let Some(groups) = self.find_at(text, from)? else {
                break;
            };
            let whole = groups.whole();
            found_any = true;
            replaced += &text[copied..whole.start];
            for part in &replacement.0 {
                match part {
                    ReplacementPart::Text(literal) => replaced += literal,
                    ReplacementPart::Group(group) => {
                        replaced += groups.get(*group).map_or("", |range| &text[range])
                    }
                }
            }
            copied = whole.end;
            from = after(text, &whole);
        }
        replaced += &text[copied..];
        Ok(found_any.then_some(replaced))
    }

    /// The parts between the matches, as `String.split`: without the empty ones at the end, and without an empty
    /// one at the front that an empty match leaves.
    ///
    /// # Errors
    /// When the pattern needs too many steps.
    pub fn split<'t>(&self, text: &'t str) -> Result<Vec<&'t str>, TooManySteps> {
        let mut parts = vec![];
        let mut copied = 0;
        let mut from = 0;
        while let Some(groups) = self.find_at(text, from)? {
            let whole = groups.whole();
            if whole.end > 0 {
                parts.push(&text[copied..whole.start]);
            }
            copied = whole.end;
            from = after(text, &whole);
            if from > text.len() {
                break;
            }
        }
        parts.push(&text[copied..]);
        while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
            parts.pop();
        }
        Ok(parts)
    }
}

/// Where the next search begins: after an empty match, at least a character later.
fn after(text: &str, found: &Range<usize>) -> usize {
    if found.is_empty() {
        found.end + text[found.end..].chars().next().map_or(1, char::len_utf8)
    } else {
        found.end
    }
}
