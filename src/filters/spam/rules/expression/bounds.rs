//! What the value of an expression can be as long as not all of its names are known: most expressions are settled
//! before the dear rules among their operands are asked.

use super::{Operator, Program, Step};

/// The least and the greatest value.
pub(in crate::filters::spam) type Bounds = (f64, f64);

/// Nothing is known.
const ANYTHING: Bounds = (f64::NEG_INFINITY, f64::INFINITY);
const FALSE: Bounds = (0.0, 0.0);
const TRUE: Bounds = (1.0, 1.0);
const EITHER: Bounds = (0.0, 1.0);
/// True if the value is sure to be 0.
pub(in crate::filters::spam) fn is_false(bounds: Bounds) -> bool {
    bounds == FALSE
}

/// True if the value is sure not to be 0.
pub(in crate::filters::spam) fn is_true((least, most): Bounds) -> bool {
    least > 0.0 || most < 0.0
}

/// Room for working, to be used again: expressions in expressions work above those they are in.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Desk {
    values: Vec<Bounds>,
    open: Vec<Open>,
}

/// `&&` or `||` whose left side may be true or false.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// The step behind its right side.
    end: usize,
    left: Bounds,
    or: bool,
}

impl Program {
    /// What the value can be; `load` gives what is known of a name, by its place in [`Program::names`].
    pub(in crate::filters::spam) fn bounds(
        &self,
        desk: &mut Desk,
        load: impl FnMut(&mut Desk, usize) -> Bounds,
    ) -> Bounds {
        let (values, open) = (desk.values.len(), desk.open.len());
        let bounds = self.try_bounds(desk, open, load).unwrap_or(ANYTHING);
        desk.values.truncate(values);
        desk.open.truncate(open);
        if bounds.0.is_nan() || bounds.1.is_nan() { ANYTHING } else { bounds }
    }

    fn try_bounds(
        &self,
        desk: &mut Desk,
        own: usize,
        mut load: impl FnMut(&mut Desk, usize) -> Bounds,
    ) -> Option<Bounds> {
        let mut at = 0;
        loop {
            while desk.open.len() > own
                && let Some(ended) = desk.open.pop_if(|open| open.end == at)
            {
                let right = desk.values.pop()?;
                let left = if ended.or { if_true(ended.left) } else { FALSE };
                desk.values.push(hull(left, right));
            }
            let Some(step) = self.steps.get(at) else { break };
            at += 1;
            match *step {
                Step::Number(number) => desk.values.push((number, number)),
                Step::Load(name) => {
                    let value = load(desk, name);
                    desk.values.push(value);
                }
                Step::Not => {
                    let value = desk.values.pop()?;
                    desk.values.push(not(value));
                }
                Step::Negate => {
                    let (least, most) = desk.values.pop()?;
                    desk.values.push((-most, -least));
                }
                Step::Binary(operator) => {
                    let right = desk.values.pop()?;
                    let left = desk.values.pop()?;
                    desk.values.push(operator.bounds(left, right));
                }
                Step::KeepFalse(end) | Step::KeepTrue(end) => {
                    let or = matches!(step, Step::KeepTrue(_));
                    let left = desk.values.last().copied()?;
                    let (is_true, is_false) = (is_true(left), is_false(left));
                    let (kept, dropped) =
                        if or { (is_true, is_false) } else { (is_false, is_true) };
                    if kept {
                        at = end;
                        continue;
                    }
                    desk.values.pop();
                    if !dropped {
                        desk.open.push(Open { end, left, or });
                    }
                }
                Step::Unless(_) | Step::Jump(_) => return None,
            }
        }
        desk.values.pop()
    }
}

impl Operator {
    fn bounds(self, left: Bounds, right: Bounds) -> Bounds {
        let exact = left.0 == left.1 && right.0 == right.1;
        match self {
            _ if exact => {
                let value = self.apply(left.0, right.0);
                (value, value)
            }
            Self::Less => less(left, right),
            Self::Greater => less(right, left),
            Self::GreaterOrEqual => not(less(left, right)),
            Self::LessOrEqual => not(less(right, left)),
            Self::Equal | Self::NotEqual => EITHER,
            Self::Add => (left.0 + right.0, left.1 + right.1),
            Self::Subtract => (left.0 - right.1, left.1 - right.0),
            Self::Multiply if left.0 >= 0.0 && right.0 >= 0.0 => {
                (left.0 * right.0, left.1 * right.1)
            }
            Self::Multiply | Self::Divide | Self::Remainder | Self::Xor => ANYTHING,
        }
    }
}

fn less(left: Bounds, right: Bounds) -> Bounds {
    match () {
        () if left.1 < right.0 => TRUE,
        () if left.0 >= right.1 => FALSE,
        () => EITHER,
    }
}

fn not(value: Bounds) -> Bounds {
    match () {
        () if is_false(value) => TRUE,
        () if is_true(value) => FALSE,
        () => EITHER,
    }
}

/// What is left of the values if the false one is not among them.
fn if_true(value: Bounds) -> Bounds {
    if value.0 == 0.0 { (f64::MIN_POSITIVE, value.1) } else { value }
}

fn hull(one: Bounds, other: Bounds) -> Bounds {
    (one.0.min(other.0), one.1.max(other.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds(text: &str) -> Bounds {
        let program = Program::parse(text).unwrap();
        program.bounds(&mut Desk::default(), |_, place| match program.names[place].as_str() {
            "YES" => TRUE,
            "NO" => FALSE,
            "MANY" => (0.0, 9.0),
            _ => EITHER,
        })
    }

    #[test]
    fn what_is_known_settles_what_it_can() {
        for (text, want) in [
            ("NO && MAYBE", FALSE),
            ("MAYBE && NO", FALSE),
            ("MAYBE && YES", EITHER),
            ("MAYBE && !YES", FALSE),
            ("(MAYBE || NO) && NO", FALSE),
            ("NO || NO", FALSE),
            ("MAYBE || YES", (f64::MIN_POSITIVE, 1.0)),
            ("MANY || YES", (f64::MIN_POSITIVE, 9.0)),
            ("A + B + NO > 2", FALSE),
            ("A + B + C > 2", EITHER),
            ("A + B + YES >= 1", TRUE),
            ("A - B", (-1.0, 1.0)),
            ("MANY * 2", (0.0, 18.0)),
            ("!MANY", EITHER),
            ("(A + B > 1) && !(C || YES) || NO", FALSE),
            ("A ? B : C", ANYTHING),
            ("MANY / 2", ANYTHING),
            ("A == 5", EITHER),
            ("2 * 3 - 6", FALSE),
        ] {
            assert_eq!(bounds(text), want, "{text}");
        }
        let nested = format!("{}A{}", "(1 + ".repeat(40), ")".repeat(40));
        assert_eq!(bounds(&nested), (40.0, 41.0));
    }

    proptest! {
        #[test]
        fn the_value_lies_within_its_bounds(
            text in "[ABCD01()!&|<>=+*/?: .-]{0,40}|([!(]{0,2}[ABCD]\\)?(&&|\\|\\||[+*><-]|>=|==)){1,6}[ABCD0-3]\\){0,3}",
            values in prop::array::uniform4(0_u8..4),
            known in prop::array::uniform4(any::<bool>()),
        ) {
            let Ok(program) = Program::parse(&text) else { return Ok(()) };
            let number = |place: usize| program.names.get(place).map_or(0, |name| {
                usize::from(name.bytes().next().unwrap_or(b'A') - b'A') % 4
            });
            let value = program.run(|place| Ok::<f64, ()>(f64::from(values[number(place)]))).unwrap();
            let (least, most) = program.bounds(&mut Desk::default(), |_, place| {
                let value = f64::from(values[number(place)]);
                if known[number(place)] { (value, value) } else { (0.0, 3.0) }
            });
            prop_assert!(least <= value && value <= most, "{text}: {value} {least} {most}");
        }
    }
}
