//! `${key}`, `${user.name}`, `${env.NAME}`, `${env.NAME:-else}` within a value, by the rules of Hadoop's
//! `Configuration`: twenty replacements at most, and what is unknown stays as it is.

use std::{collections::BTreeMap, env, sync::OnceLock};

use flume_kerberos::user_name;

/// Replacements in one value.
const MAX_REPLACEMENTS: usize = 20;

/// `look_up` gives the raw value of a key. An error completes "`key` …"; the value is best left as it is then.
pub(super) fn expand(
    raw: &str,
    look_up: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut value = raw.to_string();
    for _ in 0..MAX_REPLACEMENTS {
        let Some((start, end)) = find(&value) else {
            return Ok(value);
        };
        let reference = &value[start..end];
        let name = &value[start + 2..end - 1];
        let Some(found) = variable(name).or_else(|| look_up(name)) else {
            return Ok(value);
        };
        if found.contains(reference) {
            return Err(format!("refers to itself by {reference}"));
        }
        value.replace_range(start..end, &found);
    }
    match find(&value) {
        None => Ok(value),
        Some(_) => Err(format!("has more than {MAX_REPLACEMENTS} replacements")),
    }
}

/// The first `${name}` whose name has no blank, `$` or brace in it.
fn find(value: &str) -> Option<(usize, usize)> {
    value.match_indices("${").find_map(|(start, _)| {
        let name = &value[start + 2..];
        let length = name.find(|c: char| c == '}' || c == '$' || c.is_whitespace())?;
        let closed = length > 0 && name[length..].starts_with('}');
        closed.then_some((start, start + 2 + length + 1))
    })
}

/// What `-Dkey=value` set: it wins over everything else, as in Hadoop.
static SYSTEM_PROPERTIES: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Sets the system properties of this process, once.
pub fn set_system_properties(properties: BTreeMap<String, String>) {
    let _ = SYSTEM_PROPERTIES.set(properties);
}

fn variable(name: &str) -> Option<String> {
    if let Some(value) = SYSTEM_PROPERTIES.get().and_then(|all| all.get(name)) {
        return Some(value.clone());
    }
    if let Some(name) = name.strip_prefix("env.").filter(|name| !name.is_empty()) {
        return environment(name, |name| env::var(name).ok());
    }
    match name {
        "user.name" => Some(user_name()),
        "user.home" => env::var("HOME").ok(),
        "user.dir" => Some(env::current_dir().ok()?.display().to_string()),
        "java.io.tmpdir" => Some("/tmp".into()),
        "file.separator" => Some("/".into()),
        "path.separator" => Some(":".into()),
        _ => None,
    }
}

/// `NAME`, `NAME-else` if it is unset, `NAME:-else` if it is unset or empty.
fn environment(text: &str, get: impl Fn(&str) -> Option<String>) -> Option<String> {
    let Some(dash) = text.find('-') else {
        return get(text);
    };
    let name = &text[..dash];
    let other = &text[dash + 1..];
    match name.strip_suffix(':') {
        Some(name) => get(name)
            .filter(|value| !value.is_empty())
            .or_else(|| Some(other.into())),
        None => get(name).or_else(|| Some(other.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: Result<&str, &str>) {
        let look_up = |name: &str| match name {
            "a" => Some("1".to_string()),
            "b" => Some("${a}${a}".to_string()),
            "which" => Some("b".to_string()),
            "self" => Some("x${self}".to_string()),
            "ping" => Some("${pong}".to_string()),
            "pong" => Some("${ping}".to_string()),
            _ => None,
        };
        let expanded = expand(raw, &look_up);
        assert_eq!(
            expanded.as_deref().map_err(String::as_str),
            expected,
            "{raw}"
        );
    }

    #[test]
    fn variables_are_replaced_as_hadoop_does() {
        check("plain", Ok("plain"));
        check("<${a}>", Ok("<1>"));
        check("${b}-${${which}}", Ok("11-11"));
        check("${unknown} ${a}", Ok("${unknown} ${a}"));
        check("${} $a ${a b} ${a", Ok("${} $a ${a b} ${a"));
        check("${self}", Err("refers to itself by ${self}"));
        check("${ping}", Err("has more than 20 replacements"));
        check("${file.separator}tmp", Ok("/tmp"));
        check("${user.name}", Ok(&user_name()));
    }

    #[test]
    fn the_environment_has_defaults() {
        let get = |name: &str| match name {
            "SET" => Some("v".to_string()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(environment(text, get).as_deref(), expected, "{text}");
        };
        check("SET", Some("v"));
        check("NONE", None);
        check("NONE-d", Some("d"));
        check("NONE:-d-e", Some("d-e"));
        check("EMPTY-d", Some(""));
        check("EMPTY:-d", Some("d"));
    }
}
