//! The parser of `multiport_syslogtcp`: what does not fit is an error, and becomes an event that says so.

use std::borrow::Cow;

use flume_core::{Headers, Str};
use jiff::tz::TimeZone;

use super::{
    Clock, KeptFields, number,
    scan::Scan,
    time::{Rfc3164Time, Rfc5424Time},
};

/// How far behind `<` a priority may end.
const MAX_PRIORITY_END: usize = 6;
/// A date of RFC 3164 has exactly so many characters.
const RFC3164_TIME_CHARS: usize = 15;
/// A time of RFC 5424 has more: a fraction or a zone.
const MIN_RFC5424_TIME_CHARS: usize = 20;

/// A message that fits.
#[derive(Debug, PartialEq)]
pub struct StrictMessage<'a> {
    /// Priority, facility, severity, version, time and host.
    pub headers: Headers,
    /// What follows, or the whole message when nothing does.
    pub body: Cow<'a, str>,
}

/// Why a text is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotSyslog(&'static str);

/// Reads one message, without its line feed. A date without a year is in UTC, as in Flume.
///
/// # Errors
/// When it does not fit.
pub fn parse<'a>(
    message: &'a str,
    keep: KeptFields,
    clock: &Clock,
) -> Result<StrictMessage<'a>, NotSyslog> {
    let rest = message
        .strip_prefix('<')
        .ok_or(NotSyslog("it does not begin with `<`"))?;
    let end = rest.find('>').filter(|end| *end < MAX_PRIORITY_END);
    let end = end.ok_or(NotSyslog("its priority has no `>`"))?;
    let priority = &rest[..end];
    let code: u32 = priority
        .parse()
        .map_err(|_| NotSyslog("its priority is not a number"))?;
    let mut rest = &rest[end + 1..];
    if rest.is_empty() {
        return Err(NotSyslog("it has only a priority"));
    }
    let mut headers = vec![
        (Str::from_static("Priority"), Str::from(priority)),
        (Str::from_static("Facility"), number(code / 8)),
        (Str::from_static("Severity"), number(code % 8)),
    ];
    let version = rest.strip_prefix("1 ");
    if let Some(after) = version {
        headers.push((Str::from_static("Version"), Str::from_static("1")));
        rest = after;
    }
    let (time, millis) = timestamp(rest, clock)?;
    rest = &rest[time.len()..];
    headers.push((Str::from_static("timestamp"), millis.to_string().into()));
    rest = rest
        .strip_prefix(' ')
        .ok_or(NotSyslog("no space follows its time"))?;
    let (host, body) = match rest.split_once(' ') {
        Some((host, body)) => (host, body),
        None => return Err(NotSyslog("it has no host")),
    };
    headers.push((Str::from_static("host"), host.into()));
    let body = if keep.all || body.is_empty() {
        Cow::Borrowed(message)
    } else {
        kept(body, keep, priority, version.is_some(), time, host)
    };
    Ok(StrictMessage {
        headers: headers.into_iter().collect(),
        body,
    })
}

fn kept<'a>(
    body: &'a str,
    keep: KeptFields,
    priority: &str,
    has_version: bool,
    time: &str,
    host: &str,
) -> Cow<'a, str> {
    if !keep.any() {
        return Cow::Borrowed(body);
    }
    let mut text = String::new();
    if keep.priority {
        text += &format!("<{priority}>");
    }
    if keep.version && has_version {
        text += "1 ";
    }
    if keep.timestamp {
        text += &format!("{time} ");
    }
    if keep.hostname {
        text += &format!("{host} ");
    }
    Cow::Owned(text + body)
}

/// The time as it is written, and in milliseconds since 1970.
fn timestamp<'a>(text: &'a str, clock: &Clock) -> Result<(&'a str, i64), NotSyslog> {
    const WRONG: NotSyslog = NotSyslog("its time is not understood");
    match text.as_bytes().first() {
        Some(b'-') => Ok((&text[..1], clock.now)),
        Some(b'A'..=b'Z') => {
            let time = text.get(..RFC3164_TIME_CHARS).ok_or(WRONG)?;
            let mut scan = Scan::new(time.as_bytes());
            let date = Rfc3164Time::scan(&mut scan, |byte| byte == b' ');
            // Flume's time for a date that does not exist.
            let exists = date.filter(|date| scan.rest().is_empty() && date.is_regular());
            let millis = exists.and_then(|date| date.millis(clock, &TimeZone::UTC));
            Ok((time, millis.unwrap_or(0)))
        }
        _ => {
            let end = text.find(' ').filter(|end| *end >= MIN_RFC5424_TIME_CHARS);
            let time = &text[..end.ok_or(WRONG)?];
            let mut scan = Scan::new(time.as_bytes());
            let parsed = Rfc5424Time::scan(&mut scan, usize::MAX).ok_or(WRONG)?;
            if !parsed.is_regular() {
                return Err(NotSyslog("its time has a field out of range"));
            }
            // Flume takes any other zone for UTC.
            let zone = if parsed.has_offset() {
                &clock.zone
            } else {
                &TimeZone::UTC
            };
            Ok((time, parsed.millis(zone).ok_or(WRONG)?))
        }
    }
}
