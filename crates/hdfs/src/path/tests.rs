use flume_java::zone::Zone;

use super::*;

fn clock(zone: &str, rounding: Option<Rounding>) -> Clock {
    let Zone(zone) = flume_core::config::Scalar::parse(zone).unwrap();
    Clock {
        zone,
        rounding,
        local: false,
    }
}

fn event(pairs: &[(&str, &str)]) -> Event {
    let headers = pairs
        .iter()
        .map(|(name, value)| (name.to_string().into(), value.to_string().into()));
    Event {
        headers: headers.collect(),
        ..Event::default()
    }
}

fn rendered(template: &mut Template, event: &Event, clock: &Clock) -> Result<String, String> {
    let mut out = String::new();
    template
        .render(
            event,
            clock,
            Timestamp::from_millisecond(86_400_000).unwrap(),
            &mut out,
        )
        .map(|()| out)
}

fn expand(text: &str, values: HeaderValues, event: &Event) -> Result<String, String> {
    rendered(
        &mut Template::parse(text, values)?,
        event,
        &clock("UTC", None),
    )
}

/// `tests/golden/Golden.java` makes the data with Flume's own class.
#[test]
fn escapes_as_flume_expands_them() {
    let mut wrong = vec![];
    for line in include_str!("../../tests/golden/paths.tsv").lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [template, zone, timestamp, unit, value, expected] = fields[..] else {
            panic!("{line}")
        };
        let unit = (!unit.is_empty()).then(|| flume_core::config::Scalar::parse(unit).unwrap());
        let rounding = unit.map(|unit| Rounding {
            unit,
            value: value.parse().unwrap(),
        });
        let event = event(&[
            ("timestamp", timestamp),
            ("h", "web"),
            ("d-e.f_1", "x"),
            ("path", "a/b"),
            ("dots", "../../etc"),
            ("money", "$1\\2"),
        ]);
        let mut parsed = Template::parse(template, HeaderValues::Any).unwrap();
        let found = rendered(&mut parsed, &event, &clock(zone, rounding));
        if found.as_deref() != Ok(expected) {
            wrong.push(format!(
                "{template} {zone} {timestamp} {rounding:?}: {found:?}, not {expected}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn what_is_missing_is_said() {
    let said =
        |pairs: &[(&str, &str)]| expand("/%Y", HeaderValues::Path, &event(pairs)).unwrap_err();
    assert!(said(&[]).contains("no header `timestamp`"));
    assert!(said(&[("timestamp", "soon")]).contains("not a number of milliseconds: `soon`"));
    assert!(said(&[("timestamp", "1700000000000000")]).contains("beyond the year 9999"));
    assert_eq!(
        expand("/%%/%{no}/x", HeaderValues::Path, &event(&[])).unwrap(),
        "/%//x"
    );
    assert!(
        Template::parse("/%[host]", HeaderValues::Path)
            .unwrap_err()
            .contains("%[FQDN]")
    );
}

#[test]
fn times_are_rendered_anew_with_each_second() {
    let mut template = Template::parse("%H%M%S/%t", HeaderValues::Path).unwrap();
    for (millis, expected) in [
        ("0", "000000/0"),
        ("999", "000000/999"),
        ("1000", "000001/1000"),
        ("0", "000000/0"),
    ] {
        let found = rendered(
            &mut template,
            &event(&[("timestamp", millis)]),
            &clock("UTC", None),
        );
        assert_eq!(found.as_deref(), Ok(expected));
    }
    let local = Clock {
        local: true,
        ..clock("GMT+1", None)
    };
    assert_eq!(
        rendered(&mut template, &event(&[]), &local).as_deref(),
        Ok("010000/86400000")
    );
    assert!(rendered(&mut template, &event(&[]), &clock("UTC", None)).is_err());
}

/// Java's calendar counts fields from 0 before 1970, too, so they are rounded down like any other; `%s` is divided, and
/// so goes towards 0. Flume itself refuses to round these.
#[test]
fn times_before_1970_are_rounded_down() {
    for (zone, millis, unit, value, expected) in [
        ("UTC", 0, RoundUnit::Second, 15, "1970-01-01 00:00:00 0"),
        ("UTC", 0, RoundUnit::Hour, 24, "1970-01-01 00:00:00 0"),
        ("UTC", -1, RoundUnit::Second, 1, "1969-12-31 23:59:59 -1"),
        ("UTC", -1, RoundUnit::Second, 15, "1969-12-31 23:59:45 -15"),
        ("UTC", -1, RoundUnit::Second, 60, "1969-12-31 23:59:00 -60"),
        ("UTC", -1, RoundUnit::Minute, 10, "1969-12-31 23:50:00 -600"),
        ("UTC", -1, RoundUnit::Minute, 7, "1969-12-31 23:56:00 -240"),
        ("UTC", -1, RoundUnit::Hour, 5, "1969-12-31 20:00:00 -14400"),
        ("UTC", -1, RoundUnit::Hour, 24, "1969-12-31 00:00:00 -86400"),
        (
            "UTC",
            -86_400_001,
            RoundUnit::Hour,
            2,
            "1969-12-30 22:00:00 -93600",
        ),
        (
            "Asia/Kathmandu",
            -1,
            RoundUnit::Minute,
            7,
            "1970-01-01 05:28:00 -120",
        ),
        (
            "Asia/Kathmandu",
            -1,
            RoundUnit::Hour,
            2,
            "1970-01-01 04:00:00 -5400",
        ),
        (
            "America/New_York",
            0,
            RoundUnit::Hour,
            24,
            "1969-12-31 00:00:00 -68400",
        ),
    ] {
        let mut template = Template::parse("%Y-%m-%d %H:%M:%S %s", HeaderValues::Path).unwrap();
        let event = event(&[("timestamp", &i64::to_string(&millis))]);
        let rounding = Some(Rounding { unit, value });
        let found = rendered(&mut template, &event, &clock(zone, rounding));
        assert_eq!(
            found.as_deref(),
            Ok(expected),
            "{zone} {millis} {rounding:?}"
        );
    }
    let mut template = Template::parse("%S %s", HeaderValues::Path).unwrap();
    for (millis, expected) in [
        ("-1", "59 0"),
        ("-1000", "59 -1"),
        ("-1001", "58 -1"),
        ("-1999", "58 -1"),
    ] {
        let found = rendered(
            &mut template,
            &event(&[("timestamp", millis)]),
            &clock("UTC", None),
        );
        assert_eq!(found.as_deref(), Ok(expected), "{millis}");
    }
}

#[test]
fn the_host_is_filled_in() {
    let mut template = Template::parse("/%[LocalHost]/%[ip]/%[fqdn]", HeaderValues::Path).unwrap();
    assert_eq!(template.host_parts().count(), 3);
    template.fill_in(&flume_host::names::LocalHost::look_up());
    let text = template.constant().unwrap();
    assert!(
        text.split('/').skip(1).all(|part| !part.is_empty()),
        "{text}"
    );
}

#[test]
fn headers_cannot_leave_the_directory() {
    let check = |values, text: &str, value: &str, expected: &str| {
        let path = expand(text, values, &event(&[("h", value)])).unwrap();
        let fixed = text.find('%').unwrap_or(text.len());
        assert_eq!(
            normal(&path, fixed, values),
            expected,
            "{values:?} {text} {value}"
        );
    };
    check(HeaderValues::Path, "/logs/%{h}/x", "a/b", "/logs/a/b/x");
    check(
        HeaderValues::Path,
        "/logs/%{h}/x",
        "../../etc",
        "/logs/%2E%2E/%2E%2E/etc/x",
    );
    check(
        HeaderValues::Path,
        "/logs/.%{h}/x",
        "./..",
        "/logs/%2E%2E/%2E%2E/x",
    );
    check(HeaderValues::Path, "/logs/../%{h}", ".", "/%2E");
    check(HeaderValues::Path, "/logs//%{h}//", "", "/logs");
    check(HeaderValues::Name, "/logs/%{h}/x", "../a", "/logs/..%2Fa/x");
    check(HeaderValues::Name, "/logs/%{h}/x", "..", "/logs/%2E%2E/x");
    check(HeaderValues::Any, "/logs/%{h}/x", "../../../etc", "/etc/x");
    check(HeaderValues::Any, "/logs/./%{h}", "a/../b", "/logs/b");
}

/// Whatever stands in the configuration and in headers, nothing panics, and no path leaves its directory.
#[test]
fn anything_at_all_makes_a_path_or_an_error() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut next = |below: usize| random.usize(..below);
    let pieces = [
        "%",
        "{",
        "}",
        "[",
        "]",
        "h",
        "Y",
        ".",
        "..",
        "/",
        "é",
        "%{h}",
        "%Y",
        "t",
        "%%",
        "\u{10ffff}",
        "-9",
        "1",
    ];
    for _ in 0..20_000 {
        let mut text = || {
            (0..next(8))
                .map(|_| pieces[next(pieces.len())])
                .collect::<String>()
        };
        let template = format!("/base/{}", text());
        let value = text();
        let timestamp = text();
        let Ok(mut parsed) = Template::parse(&template, HeaderValues::Path) else {
            continue;
        };
        let event = event(&[("h", &value), ("timestamp", &timestamp)]);
        if let Ok(path) = rendered(&mut parsed, &event, &clock("UTC", None)) {
            let normal = normal(&path, "/base/".len(), HeaderValues::Path);
            assert!(normal.starts_with("/base"), "{template} {value} {normal}");
        }
    }
}
