//! What corten promises, as numbers.

use serde_json::{Value, json};

/// The most that a promise allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// At most this.
    AtMost(f64),
    /// Less than this, which was measured of another runtime; `None` if it could not be.
    Below(Option<f64>),
}

/// A promise and what was measured.
pub struct Target {
    /// What is promised.
    pub what: &'static str,
    /// How much.
    pub limit: Limit,
    /// What was measured; `None` if it could not be.
    pub measured: Option<f64>,
}

/// The verdict on one promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Kept.
    Pass,
    /// Broken.
    Miss,
    /// Not measured.
    Unknown,
}

impl Target {
    /// Whether the promise is kept.
    pub fn verdict(&self) -> Verdict {
        let kept = match (self.limit, self.measured) {
            (Limit::AtMost(limit), Some(measured)) => measured <= limit,
            (Limit::Below(Some(limit)), Some(measured)) => measured < limit,
            _ => return Verdict::Unknown,
        };
        if kept { Verdict::Pass } else { Verdict::Miss }
    }

    /// One line: verdict, promise, measurement.
    pub fn line(&self) -> String {
        let verdict = self.verdict().word();
        let number = |number: Option<f64>| number.map_or("not measured".to_owned(), |number| format!("{number:.2}"));
        let limit = match self.limit {
            Limit::AtMost(limit) => format!("at most {limit}"),
            Limit::Below(limit) => format!("below {}", number(limit)),
        };
        format!("  {verdict:<8}{:<34}{limit:<20}{}", self.what, number(self.measured))
    }

    /// As an object.
    pub fn json(&self) -> Value {
        let (kind, limit) = match self.limit {
            Limit::AtMost(limit) => ("at_most", Some(limit)),
            Limit::Below(limit) => ("below", limit),
        };
        json!({ "what": self.what, kind: limit, "measured": self.measured, "verdict": self.verdict().word() })
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Miss => "miss",
            Verdict::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_without_a_measurement_is_not_kept() {
        let verdict = |limit, measured| Target { what: "", limit, measured }.verdict();
        assert_eq!(verdict(Limit::AtMost(1.5), Some(1.5)), Verdict::Pass);
        assert_eq!(verdict(Limit::AtMost(1.5), Some(1.51)), Verdict::Miss);
        assert_eq!(verdict(Limit::AtMost(1.5), None), Verdict::Unknown);
        assert_eq!(verdict(Limit::Below(Some(2.0)), Some(2.0)), Verdict::Miss);
        assert_eq!(verdict(Limit::Below(Some(2.0)), Some(1.9)), Verdict::Pass);
        assert_eq!(verdict(Limit::Below(None), Some(1.9)), Verdict::Unknown);
    }
}
