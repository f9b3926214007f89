//! `flume-ng validate --java`: every Java class is loaded and configured in a JVM, nothing is started.

use flume_bridge::{Trial, Unread, record_components, set_java_options, try_recorded};
use flume_conf::Document;
use flume_core::{Code, Diagnostic, Span};
use flume_host::directory::PrivateDirectory;

use crate::{
    agent::java_options,
    args::Args,
    outcome::Failure,
    validate::{Judged, judge},
};

/// Judges the agents, and adds what their Java classes say.
pub(crate) fn judge_with_java(
    document: &Document,
    agents: &[String],
    args: &Args,
) -> Result<Judged, Failure> {
    record_components();
    let mut judged = judge(document, agents, args);
    // For the program that runs in the JVM. Nobody else may put something there.
    let directory =
        PrivateDirectory::make("flume-validate-").map_err(|why| Failure::Usage(why.to_string()))?;
    set_java_options(java_options(args, directory.path()));
    let trials = try_recorded();
    for trial in &trials {
        add(&mut judged, document, trial);
    }
    Ok(judged)
}

fn add(judged: &mut Judged, document: &Document, trial: &Trial) {
    let title = format!("{}.type", trial.component);
    match &trial.outcome {
        Ok(unread) => {
            let told = unread
                .iter()
                .map(|unread| never_read(document, trial, unread));
            judged.diagnostics.extend(told);
        }
        Err(reason) => {
            let text = format!("{} fails: {reason}", trial.class);
            for (_, verdicts) in &mut judged.agents {
                let of_it = |name: &str| {
                    let rest = trial.component.strip_prefix(name);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                let concerned = verdicts.iter_mut().filter(|verdict| of_it(&verdict.name));
                concerned.for_each(|verdict| verdict.reason = Some(text.clone()));
            }
            judged.diagnostics.push(Diagnostic {
                code: Code::ClassFails,
                place: place(document, &title),
                key: title,
                text,
                hint: None,
            });
        }
    }
}

/// Some classes read properties only when they start, so only a name that is spelt like another one is suspicious.
fn never_read(document: &Document, trial: &Trial, unread: &Unread) -> Diagnostic {
    let key = format!("{}.{}", trial.component, unread.key);
    Diagnostic {
        code: if unread.near.is_some() {
            Code::SuspiciousProperty
        } else {
            Code::UnreadProperty
        },
        place: place(document, &key),
        key,
        text: format!("{} does not ask for it when it is configured", trial.class),
        hint: unread.near.clone(),
    }
}

fn place(document: &Document, key: &str) -> Span {
    let setting = document.settings().get(key);
    setting
        .map(|setting| setting.key_place.clone())
        .unwrap_or_default()
}
