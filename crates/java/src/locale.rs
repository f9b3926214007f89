//! Names of days and months in the languages that Java knows, for `-Duser.language` and `-Duser.country`.
//!
//! The names are what OpenJDK 17 prints (`tests/golden/locale`). English is what every other language falls back to.

use std::{collections::HashMap, sync::LazyLock};

static ROWS: &str = include_str!("locale_names.txt");
static LOCALES: LazyLock<HashMap<&'static str, LocaleNames>> = LazyLock::new(|| {
    let rows = ROWS.lines().filter_map(|row| row.split_once('|'));
    rows.filter_map(|(tag, lists)| Some((tag, LocaleNames::of(lists)?)))
        .collect()
});

/// What a language calls the parts of a date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocaleNames {
    /// `Sun`, from Sunday on.
    pub days_short: Vec<&'static str>,
    /// `Sunday`.
    pub days: Vec<&'static str>,
    /// `Jan`, alone.
    pub months_short: Vec<&'static str>,
    /// `January`, alone.
    pub months: Vec<&'static str>,
    /// `Jan` beside a day: some languages decline it.
    pub months_in_date: Vec<&'static str>,
    /// `AM` and `PM`.
    pub half_days: Vec<&'static str>,
}

impl LocaleNames {
    fn of(lists: &'static str) -> Option<LocaleNames> {
        let mut lists = lists.split('|');
        let mut list = |length: usize| {
            let names: Vec<_> = lists.next()?.split(';').collect();
            (names.len() == length).then_some(names)
        };
        Some(LocaleNames {
            days_short: list(7)?,
            days: list(7)?,
            months_short: list(12)?,
            months: list(12)?,
            months_in_date: list(12)?,
            half_days: list(2)?,
        })
    }
}

/// The names of a language (`de`) in a country (`AT`, or nothing). `None`: English, or a language without names here.
pub fn names(language: &str, country: &str) -> Option<&'static LocaleNames> {
    let language = match language.to_ascii_lowercase().as_str() {
        // Codes that have been replaced.
        "in" => "id".to_string(),
        other => other.to_string(),
    };
    let country = country.to_ascii_uppercase();
    LOCALES
        .get(format!("{language}-{country}").as_str())
        .or_else(|| LOCALES.get(language.as_str()))
}

/// Whether the language has names here; English needs none.
pub fn is_known(language: &str) -> bool {
    language.is_empty() || language.eq_ignore_ascii_case("en") || names(language, "").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rows_can_be_read() {
        assert_eq!(LOCALES.len(), ROWS.lines().count());
    }

    #[test]
    fn a_country_wins_over_its_language_and_english_has_no_names() {
        let german = names("de", "").unwrap();
        assert_eq!(german.days_short[0], "So.");
        assert_eq!(german.months_short[10], "Nov");
        assert_eq!(names("de", "DE"), Some(german));
        assert_eq!(names("de", "AT").unwrap().months[0], "Jänner");
        assert_eq!(names("fr", "").unwrap().months_short[0], "janv.");
        assert_eq!(names("en", "US"), None);
        assert_eq!(names("xx", ""), None);
        assert!(is_known("en") && is_known("ja") && !is_known("tlh"));
    }
}
