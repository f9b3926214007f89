//! What a demonstration prints: `ITEM value want PASS|FAIL`, a row a claim.

/// Rows, and whether all passed.
#[derive(Default)]
pub struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// A claim with what was seen and what is wanted.
    pub fn row(&mut self, item: &str, value: impl std::fmt::Display, want: &str, pass: bool) {
        let verdict = if pass { "PASS" } else { "FAIL" };
        println!("{item:44} {value:>16}   {want:22} {verdict}");
        if pass {
            self.passed += 1
        } else {
            self.failed += 1
        }
    }

    /// A figure that must not be smaller.
    pub fn at_least(&mut self, item: &str, value: f64, want: f64) {
        self.row(
            item,
            format!("{value:.2}"),
            &format!(">= {want}"),
            value >= want,
        );
    }

    /// A figure that must not be greater.
    pub fn at_most(&mut self, item: &str, value: f64, want: f64) {
        self.row(
            item,
            format!("{value:.2}"),
            &format!("<= {want}"),
            value <= want,
        );
    }

    /// Prints the count; whether all passed.
    pub fn done(self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0
    }
}
