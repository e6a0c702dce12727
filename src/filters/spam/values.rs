//! The values of rules for one mail.

/// For each rule its hits; or that it is open, because it can hit and was not asked yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(Vec<f64>);

/// No rule has that value: expressions whose value is no number have other octets.
const OPEN: u64 = 0x7ff8_0000_0000_07a1;

impl Values {
    /// None of so many rules hits.
    pub(super) fn none(rules: usize) -> Self {
        Self(vec![0.0; rules])
    }

    /// The rule can hit.
    #[inline]
    pub(super) fn open(&mut self, rule: usize) {
        if let Some(slot) = self.0.get_mut(rule) {
            *slot = f64::from_bits(OPEN);
        }
    }

    #[inline]
    pub(super) fn is_open(&self, rule: usize) -> bool {
        self.0.get(rule).is_some_and(|value| value.to_bits() == OPEN)
    }

    /// Hits of a rule, as far as that is known; a rule that is not there has none.
    #[inline]
    pub(super) fn get(&self, rule: usize) -> Option<f64> {
        let value = self.0.get(rule).copied().unwrap_or(0.0);
        (value.to_bits() != OPEN).then_some(value)
    }

    /// Settles a rule.
    pub(super) fn set(&mut self, rule: usize, value: f64) {
        if let Some(slot) = self.0.get_mut(rule) {
            *slot = if value.to_bits() == OPEN { f64::NAN } else { value };
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
        for value in [f64::INFINITY - f64::INFINITY, f64::from_bits(OPEN)] {
            values.set(1, value);
            assert!(values.get(1).is_some_and(f64::is_nan), "it is a hit, but equal to nothing");
        }
        values.open(9);
        assert_eq!(values.get(9), Some(0.0));
    }
}
