//! Expressions over rules: what they cannot be settled without is asked first, the cheapest rule before dearer ones.

use crate::filters::Score;
use crate::filters::spam::pattern::Places;
use crate::filters::spam::rules::{Bounds, Check, Desk, Meta, is_false, is_true};

use super::Run;

/// Expressions in expressions that are looked through for what their values can be.
const DEPTH_MAX: usize = 8;
/// Operands of an expression that are asked by price. Those with more are sums in which hardly any rule is dear.
const BY_PRICE_MAX: usize = 16;
/// What an expression can be if it was not looked into: never less than 0.
const UNKNOWN: Bounds = (0.0, f64::INFINITY);

impl Run<'_> {
    /// The value of an expression, or another one that must be settled before.
    pub(super) fn meta(&mut self, meta: &Meta) -> Result<f64, usize> {
        loop {
            let mut desk = std::mem::take(&mut self.desk);
            let bounds = self.bounds(&mut desk, meta, 0);
            self.desk = desk;
            if is_false(bounds) {
                return Ok(0.0);
            }
            if is_true(bounds) || meta.by_price.len() > BY_PRICE_MAX {
                break;
            }
            let next = meta.by_price.iter().copied().find(|place| self.known(*place).is_none());
            let Some(next) = next else { break };
            self.operand(next)?;
        }
        let mut stack = std::mem::take(&mut self.stack);
        let value = meta.program.run_on(&mut stack, |name| {
            let links = meta.links.get(name).map_or(&[][..], Vec::as_slice);
            links.iter().try_fold(0.0, |sum, link| self.operand(*link).map(|value| sum + value))
        });
        self.stack = stack;
        let value = value?;
        // A hit always counts for something, even if the sum is under zero.
        Ok(if value < 0.0 { 1.0 } else { value })
    }

    /// What the value of an expression can be, as far as that can be told without asking a rule.
    fn bounds(&mut self, desk: &mut Desk, meta: &Meta, depth: usize) -> Bounds {
        meta.program.bounds(desk, |desk, name| {
            let links = meta.links.get(name).map_or(&[][..], Vec::as_slice);
            links.iter().fold((0.0, 0.0), |sum, link| {
                let one = self.bounds_of(desk, *link, depth);
                (sum.0 + one.0, sum.1 + one.1)
            })
        })
    }

    fn bounds_of(&mut self, desk: &mut Desk, place: usize, depth: usize) -> Bounds {
        const NO: Bounds = (0.0, 0.0);
        if let Some(value) = self.known(place) {
            return (value, value);
        }
        let engine = self.engine;
        let Some(rule) = engine.rules.get(place) else { return NO };
        match &rule.check {
            _ if rule.score(self.learned) == Score(0) => NO,
            Check::Pattern(check) => match check.slot.filter(|_| !check.negated) {
                Some(slot)
                    if self.text(check.text).1.get(slot as usize).is_some_and(Places::is_empty) =>
                {
                    NO
                }
                Some(_) | None => {
                    let most = u32::try_from(rule.hits_max).unwrap_or(u32::MAX);
                    (0.0, f64::from(most))
                }
            },
            Check::Unavailable(_) | Check::Off(_) => NO,
            Check::Template(_) => UNKNOWN,
            Check::Exists(_) | Check::Function(_) => (0.0, 1.0),
            Check::Meta(meta) => {
                // What was told before stays true: more knowledge only makes it narrower.
                if let Some(bounds) = self.metas.get(place).copied().flatten() {
                    return bounds;
                }
                if depth >= DEPTH_MAX {
                    return UNKNOWN;
                }
                let (least, most) = self.bounds(desk, meta, depth + 1);
                let most = if least < 0.0 { most.max(1.0) } else { most };
                let bounds = (least.max(0.0), most);
                if let Some(slot) = self.metas.get_mut(place) {
                    *slot = Some(bounds);
                }
                bounds
            }
        }
    }
}
