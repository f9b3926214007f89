//! Values that the default replaces when they are wrong, as in Flume.

use crate::{
    Code,
    config::{Property, PropertyValue, Scalar},
    props::Props,
};

/// A value that falls back to its default, with a warning, when it is wrong, as Flume does for some properties.
#[derive(Clone, Copy, Debug)]
pub struct OrDefault<S>(pub S);

impl<S: Scalar> PropertyValue for OrDefault<S> {
    const TYPE: &'static str = S::TYPE;

    fn read(props: &mut Props<'_>, row: &Property) -> Option<Self> {
        let text = props.text(row)?;
        let text = text.trim();
        let is_too_large = text
            .parse::<i128>()
            .is_ok_and(|number| number > S::JAVA_MAX);
        let expected = match S::parse(text) {
            Ok(value) if !is_too_large => return Some(OrDefault(value)),
            Ok(_) => format!("a whole number up to {}", S::JAVA_MAX),
            Err(expected) => expected,
        };
        fall_back(props, row, &expected, text).map(OrDefault)
    }
}

/// A number that falls back to its default, with a warning, when it is 0 or less; anything else that is wrong is an error,
/// as in Flume.
#[derive(Clone, Copy, Debug)]
pub struct PositiveOrDefault<S>(pub S);

impl<S: Scalar> PropertyValue for PositiveOrDefault<S> {
    const TYPE: &'static str = S::TYPE;

    fn read(props: &mut Props<'_>, row: &Property) -> Option<Self> {
        let text = props.text(row)?;
        if text.trim().parse::<i128>().is_ok_and(|number| number <= 0) {
            let expected = "a whole number from 1";
            return fall_back(props, row, expected, text.trim()).map(PositiveOrDefault);
        }
        S::read(props, row).map(PositiveOrDefault)
    }
}

/// The default instead of a value that is wrong.
fn fall_back<S: Scalar>(
    props: &mut Props<'_>,
    row: &Property,
    expected: &str,
    found: &str,
) -> Option<S> {
    let default = row.default.as_deref().unwrap_or_default();
    let text = format!("expected {expected}, found `{found}`; the default {default} is used");
    props.report(Code::FallsBack, row.key, &text, None);
    S::parse(default).ok()
}
