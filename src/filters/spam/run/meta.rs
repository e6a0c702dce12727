//! Expressions over rules: what they cannot be settled without is asked first, the cheapest rule before dearer ones.

use crate::filters::spam::pattern::Places;
use crate::filters::spam::rules::{Bounds, Brief, Check, Desk, Meta, is_false, is_true};

use super::Run;

/// Expressions in expressions that are looked through for what their values can be.
const DEPTH_MAX: usize = 8;
/// Operands of an expression that are asked by price. Those with more are sums in which hardly any rule is dear.
const BY_PRICE_MAX: usize = 16;
/// What an expression can be if it was not looked into: never less than 0.
const UNKNOWN: Bounds = (0.0, f64::INFINITY);

impl Run<'_> {
    /// The value of an expression, or another one that must be settled before.
    pub(super) fn meta(&mut self, place: usize, meta: &Meta) -> Result<f64, usize> {
        let by_price = meta.by_price.len() <= BY_PRICE_MAX;
        let before = self.metas.get(place).copied().flatten();
        let mut bounds = before.unwrap_or_else(|| self.first_bounds(place));
        let mut more_is_known = before.is_some();
        loop {
            if more_is_known && by_price && !is_false(bounds) {
                bounds = self.bounds_now(meta);
            }
            if is_false(bounds) {
                return Ok(0.0);
            }
            if is_true(bounds) || !by_price {
                break;
            }
            let next = meta.by_price.iter().copied().find(|place| self.known(*place).is_none());
            let Some(next) = next else { break };
            self.operand(next)?;
            more_is_known = true;
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

    fn first_bounds(&mut self, place: usize) -> Bounds {
        let mut desk = std::mem::take(&mut self.desk);
        let bounds = self.bounds_of(&mut desk, place, 0);
        self.desk = desk;
        bounds
    }

    fn bounds_now(&mut self, meta: &Meta) -> Bounds {
        let mut desk = std::mem::take(&mut self.desk);
        let bounds = self.bounds(&mut desk, meta, 0);
        self.desk = desk;
        bounds
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
        let Some(brief) = engine.briefs.get(place) else { return NO };
        match brief.of(self.learned) {
            Brief::Never => NO,
            Brief::Sifted { text, slot, .. }
                if self.text(text as usize).1.get(slot as usize).is_some_and(Places::is_empty) =>
            {
                NO
            }
            Brief::Sifted { most, .. } | Brief::AtMost(most) => (0.0, f64::from(most)),
            Brief::Unknown => UNKNOWN,
            Brief::Meta => {
                // What was told before stays true: more knowledge only makes it narrower.
                if let Some(bounds) = self.metas.get(place).copied().flatten() {
                    return bounds;
                }
                let Some(Check::Meta(meta)) = engine.rules.get(place).map(|rule| &rule.check)
                else {
                    return UNKNOWN;
                };
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
