//! The values of rules for one mail.

/// For each rule its hits; or that it is open, because it can hit and was not asked yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(Vec<f64>);

/// No rule has that value.
const OPEN: f64 = f64::NAN;

impl Values {
    /// None of so many rules hits.
    pub(super) fn none(rules: usize) -> Self {
        Self(vec![0.0; rules])
    }

    /// The rule can hit.
    #[inline]
    pub(super) fn open(&mut self, rule: usize) {
        if let Some(slot) = self.0.get_mut(rule) {
            *slot = OPEN;
        }
    }

    #[inline]
    pub(super) fn is_open(&self, rule: usize) -> bool {
        self.0.get(rule).is_some_and(|value| value.is_nan())
    }

    /// Hits of a rule, as far as that is known; a rule that is not there has none.
    #[inline]
    pub(super) fn get(&self, rule: usize) -> Option<f64> {
        let value = self.0.get(rule).copied().unwrap_or(0.0);
        (!value.is_nan()).then_some(value)
    }

    /// Settles a rule. What is no number is a hit, as for Perl.
    pub(super) fn set(&mut self, rule: usize, value: f64) {
        if let Some(slot) = self.0.get_mut(rule) {
            *slot = if value.is_nan() { 1.0 } else { value };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_open_until_it_is_settled() {
        let mut values = Values::none(3);
        assert_eq!(values.get(1), Some(0.0));
        values.open(1);
        assert!(values.is_open(1) && !values.is_open(0) && !values.is_open(9));
        assert_eq!(values.get(1), None);
        values.set(1, f64::INFINITY - f64::INFINITY);
        assert_eq!(values.get(1), Some(1.0));
        values.open(9);
        assert_eq!(values.get(9), Some(0.0));
    }
}
