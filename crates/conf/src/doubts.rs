//! Values that are right by their form, and hardly what somebody meant; and causes that would be told twice.

use std::collections::BTreeMap;

use flume_core::{
    Code, Diagnostic,
    props::{Section, Setting, suggestion},
};

/// Properties in which `~/` is the home directory, as in Flume.
const HOME_KEYS: [&str; 3] = ["checkpointDir", "dataDirs", "backupCheckpointDir"];
/// What the last word of a key contains if its value may well have brackets, tildes and hash marks.
const FREE_TEXT: [&str; 6] = [
    "command",
    "regex",
    "pattern",
    "replace",
    "delimiter",
    "body",
];

/// What is doubtful about the values of a component, each value once.
pub(crate) fn doubts(section: &Section) -> Vec<Diagnostic> {
    let values = section.settings.iter();
    values
        .filter_map(|(key, setting)| doubt(&format!("{}.{key}", section.name), key, setting))
        .collect()
}

fn doubt(full: &str, key: &str, setting: &Setting) -> Option<Diagnostic> {
    let last = key.rsplit('.').next().unwrap_or_default();
    let last = last.to_ascii_lowercase();
    if FREE_TEXT.iter().any(|word| last.contains(word)) {
        return None;
    }
    let value = setting.text.as_str();
    let found = |code, part: &str, text: String, hint: &str| {
        let found = Diagnostic::new(code, setting.place_of(part), full, text);
        Some(found.hint(Some(hint.into())))
    };
    if let Some(comment) = comment(value) {
        let text = "a `#` behind a value begins no comment: it is a part of the value".into();
        return found(Code::CommentInValue, comment, text, COMMENT_HINT);
    }
    if let Some(placeholder) = placeholder(value) {
        let text = format!("`{placeholder}` looks like a placeholder that nobody has filled in");
        return found(
            Code::Placeholder,
            placeholder,
            text,
            "write what it stands for",
        );
    }
    if (value == "~" || value.starts_with("~/")) && !HOME_KEYS.contains(&key) {
        let text = "`~` is not the home directory here, but a name below the working directory";
        let hint = "write the whole path, or `${sys:user.home}`";
        return found(Code::Tilde, "~", text.into(), hint);
    }
    if is_windows_path(value) {
        let text = "this is a path of Windows".into();
        return found(
            Code::WindowsPath,
            value,
            text,
            "write a path of this system",
        );
    }
    None
}

const COMMENT_HINT: &str = "a comment needs a line of its own";

/// What begins with `#` behind a blank.
fn comment(value: &str) -> Option<&str> {
    let at = value.find([' ', '\t']).map(|blank| &value[blank..])?;
    let at = at
        .find(" #")
        .or_else(|| at.find("\t#"))
        .map(|start| &at[start + 1..])?;
    Some(at)
}

/// `<namenode>`, with its brackets.
fn placeholder(value: &str) -> Option<&str> {
    let (start, _) = value.match_indices('<').find(|(start, _)| {
        let name = value[start + 1..].split('>').next().unwrap_or_default();
        let is_closed = value[start + 1 + name.len()..].starts_with('>');
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.');
        is_closed
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(is_word)
    })?;
    let end = value[start..].find('>')?;
    Some(&value[start..=start + end])
}

/// `C:/data`, or `C:\data` while it still has its backslashes.
fn is_windows_path(value: &str) -> bool {
    let mut chars = value.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.next() == Some(':')
        && matches!(chars.next(), Some('/' | '\\'))
        && !value[2..].starts_with("//")
}

/// Adds doubts about values to what was found. A doubt about a value that has another finding explains it: its hint goes
/// there, and the value is told once.
pub(crate) fn merge_doubts(found: &mut Vec<Diagnostic>, doubts: Vec<Diagnostic>) {
    for doubt in doubts {
        let mut is_told = false;
        found.retain_mut(|other| {
            if other.key != doubt.key || other.code == Code::NotListed {
                return true;
            }
            let is_first = !is_told;
            is_told = true;
            if other.code != Code::UnknownProperty {
                other.hint.clone_from(&doubt.hint);
            }
            is_first || other.is_error()
        });
        if !is_told {
            found.push(doubt);
        }
    }
}

/// A required property that is missing, and set by a name that does not exist: the one finding says where.
fn explain_misspelt(found: &mut Vec<Diagnostic>) {
    let unknown = found.iter().filter(|it| it.code == Code::UnknownProperty);
    let unknown: Vec<_> = unknown.cloned().collect();
    let mut explained = vec![];
    for missing in found
        .iter_mut()
        .filter(|it| it.code == Code::RequiredNotSet)
    {
        let means_it = |other: &&Diagnostic| {
            let place = in_four(&missing.key).zip(in_four(&other.key));
            place.is_some_and(|((component, property), (its_component, _))| {
                component == its_component && other.hint == Some(suggestion(property))
            })
        };
        if let Some(other) = unknown.iter().find(means_it) {
            let written = in_four(&other.key).map_or("", |(_, written)| written);
            missing.hint = Some(format!("line {} sets `{written}`", other.place.line));
            explained.push(other.key.clone());
        }
    }
    found.retain(|it| it.code != Code::UnknownProperty || !explained.contains(&it.key));
}

/// A property that is missing, and set for the same name under another agent or kind: the one finding says where. What
/// is said of the line there goes.
pub(crate) fn explain_missing(found: &mut Vec<Diagnostic>, settings: &BTreeMap<String, Setting>) {
    explain_misspelt(found);
    let mut explained = vec![];
    for missing in found.iter_mut() {
        if missing.code != Code::RequiredNotSet || missing.hint.is_some() {
            continue;
        }
        let Some((agent, kind, rest)) = in_three(&missing.key) else {
            continue;
        };
        let mut strays = settings.iter().filter(|(key, _)| {
            let differs = |(other, its_kind, its_rest): (&str, &str, &str)| {
                its_rest == rest && (other == agent) != (its_kind == kind)
            };
            in_three(key).is_some_and(differs)
        });
        if let (Some((key, setting)), None) = (strays.next(), strays.next()) {
            missing.hint = Some(sets(key, setting));
            explained.push(key.clone());
        }
    }
    found.retain(|other| match other.code {
        Code::UnknownWord => !explained.contains(&other.key),
        Code::NotListed => {
            let prefix = format!("{}.", other.key);
            let mut own = settings.keys().filter(|key| key.starts_with(&prefix));
            own.any(|key| !explained.contains(key))
        }
        _ => true,
    });
}

fn sets(key: &str, setting: &Setting) -> String {
    format!("line {} sets `{key}`", setting.key_place.line)
}

/// Takes out what is said of an agent by a misspelt name, if other findings name each of its lines. `found` is about all
/// agents.
pub(crate) fn leave_out_explained_agents(
    found: &mut Vec<Diagnostic>,
    settings: &BTreeMap<String, Setting>,
) {
    let hints: Vec<_> = found.iter().filter_map(|it| it.hint.clone()).collect();
    found.retain(|it| {
        let prefix = format!("{}.", it.key);
        let mut own = settings.iter().filter(|(key, _)| key.starts_with(&prefix));
        it.code != Code::MisspeltAgent
            || own.any(|(key, setting)| !hints.contains(&sets(key, setting)))
    });
}

/// The component of a key, and the property.
fn in_four(key: &str) -> Option<(&str, &str)> {
    let (dot, _) = key.match_indices('.').nth(2)?;
    Some((&key[..dot], &key[dot + 1..]))
}

/// Agent, kind, and the rest of a key.
fn in_three(key: &str) -> Option<(&str, &str, &str)> {
    let mut words = key.splitn(3, '.');
    Some((words.next()?, words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_values() {
        for (value, expected) in [
            ("100 # events", Some("# events")),
            ("a b\t#c", Some("#c")),
            ("a#b", None),
            ("#b", None),
            ("", None),
        ] {
            assert_eq!(comment(value), expected, "{value}");
        }
        for (value, expected) in [
            ("hdfs://<namenode>:8020/x", Some("<namenode>")),
            ("<your host>", Some("<your host>")),
            ("a<b", None),
            ("<a(b>", None),
            ("< a>", None),
            ("<<a>>", Some("<a>")),
            ("<>", None),
            ("é<é>", None),
        ] {
            assert_eq!(placeholder(value), expected, "{value}");
        }
        for (value, expected) in [
            ("C:/x", true),
            ("c:\\x", true),
            ("x://host", false),
            ("C:x", false),
            ("é:/", false),
            ("", false),
        ] {
            assert_eq!(is_windows_path(value), expected, "{value}");
        }
    }
}
