//! `doctor`: looks at a host that is provisioned, changes nothing, and says what to do.

mod host;
mod kerberos;
mod software;

use std::path::PathBuf;

use serde::Serialize;

use crate::{Site, fault::Fault};

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub topic: String,
    /// Whether all is well.
    pub ok: bool,
    /// What was found.
    pub text: String,
    /// What to do.
    pub advice: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(topic: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding {
            topic: topic.into(),
            ok: true,
            text: text.into(),
            advice: None,
        }
    }

    /// Something is to be done.
    pub fn to_do(
        topic: impl Into<String>,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding {
            topic: topic.into(),
            ok: false,
            text: text.into(),
            advice: Some(advice.into()),
        }
    }

    fn of(topic: &str, fault: Fault) -> Finding {
        Finding::to_do(topic, fault.cause, fault.remedy)
    }
}

/// What is looked at, with what only the program knows: what it makes of its configuration.
pub struct Patient<'a> {
    /// The host.
    pub site: &'a Site,
    /// What `validate` says.
    pub configuration: Vec<Finding>,
    /// Where durable channels keep events.
    pub channel_directories: Vec<PathBuf>,
}

type Look = fn(&Patient<'_>) -> Result<Vec<Finding>, Fault>;

/// Everything that is looked at, in this order.
#[rustfmt::skip]
const LOOKS: &[(&str, Look)] = &[
    ("program", software::program),
    ("unit", software::unit),
    ("agents", software::agents),
    ("configuration", |patient| Ok(patient.configuration.clone())),
    ("directories", host::directories),
    ("space", host::space),
    ("open files", host::open_files),
    ("name", host::names),
    ("hadoop", software::hadoop),
    ("clock", kerberos::clock),
    ("keytab", kerberos::keytab),
    ("last check", software::last_check),
];

/// Looks at everything. A look that is not possible is a finding of its own.
pub fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let look = |(topic, look): &(&str, Look)| {
        look(patient).unwrap_or_else(|fault| vec![Finding::of(topic, fault)])
    };
    LOOKS.iter().flat_map(look).collect()
}
