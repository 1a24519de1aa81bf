//! Numbers that stand for many.

use serde_json::{Value, json};

/// Minimum, median and 90th percentile of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The smallest.
    pub min: f64,
    /// Half of the sample is at or below it.
    pub median: f64,
    /// Nine tenths of the sample are at or below it.
    pub p90: f64,
}

impl Summary {
    /// Of `sample` in any order; `None` if it is empty.
    pub fn of(mut sample: Vec<f64>) -> Option<Summary> {
        sample.sort_by(f64::total_cmp);
        // The nearest-rank percentile: the smallest element with that share of the sample at or below it.
        let rank = |percent: usize| sample.get((sample.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Summary { min: rank(0)?, median: rank(50)?, p90: rank(90)? })
    }

    /// As an object with the three numbers.
    pub fn json(&self) -> Value {
        json!({ "min": self.min, "median": self.median, "p90": self.p90 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_elements_of_the_sample() {
        let of = |sample: &[f64]| Summary::of(sample.to_vec());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7.0]), Some(Summary { min: 7.0, median: 7.0, p90: 7.0 }));
        let ten = [10.0, 1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0];
        assert_eq!(of(&ten), Some(Summary { min: 1.0, median: 5.0, p90: 9.0 }));
    }
}
