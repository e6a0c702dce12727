//! Expressions of `meta` and `if` lines: Perl's operators over names and numbers.
//!
//! They become a short program with jumps, so that `&&` and `||` ask for as few operands as they can, and so that
//! running it needs no recursion. As in Perl, both give one of their operands back, not 0 or 1.

/// Deeper nesting is refused.
const DEPTH_MAX: usize = 100;

/// An expression, ready to run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::filters::spam) struct Program {
    steps: Vec<Step>,
    /// The names it asks for, each once.
    pub(in crate::filters::spam) names: Vec<String>,
    /// Places of the names without which the value is 0: those that `&&` joins at the top.
    pub(in crate::filters::spam) needs: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Number(f64),
    Load(usize),
    Not,
    Negate,
    Binary(Operator),
    /// `&&`: if the top is false, keep it and jump; else drop it.
    KeepFalse(usize),
    /// `||`: if the top is true, keep it and jump; else drop it.
    KeepTrue(usize),
    /// `?`: drop the top; jump if it was false.
    Unless(usize),
    Jump(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Xor,
}

impl Operator {
    fn apply(self, left: f64, right: f64) -> f64 {
        let truth = |is: bool| if is { 1.0 } else { 0.0 };
        match self {
            Self::Equal => truth((left - right).abs() < f64::EPSILON),
            Self::NotEqual => truth((left - right).abs() >= f64::EPSILON),
            Self::Less => truth(left < right),
            Self::LessOrEqual => truth(left <= right),
            Self::Greater => truth(left > right),
            Self::GreaterOrEqual => truth(left >= right),
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            // Perl stops at a division by zero; here it is 0, so that one odd rule cannot end the others.
            Self::Divide | Self::Remainder if right == 0.0 => 0.0,
            Self::Divide => left / right,
            Self::Remainder => left % right,
            Self::Xor => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "`as` keeps to the limits of the type"
                )]
                let bits = (left as i32) ^ (right as i32);
                f64::from(bits)
            }
        }
    }
}

impl Program {
    /// Reads an expression. Operands are numbers, names, and names with one word in parentheses, which become the name
    /// `word(argument)`.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(in crate::filters::spam) fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, at: 0, program: Self::default() };
        if tokens == ["(", ")"] {
            // A rule whose value comes from elsewhere; it is 0 until then.
            parser.push(Step::Number(0.0));
            return Ok(parser.program);
        }
        parser.ternary(0)?;
        match parser.tokens.get(parser.at) {
            None => {
                let needs = needs(&tokens);
                let place = |need: &&str| parser.program.names.iter().position(|name| name == need);
                parser.program.needs = needs.iter().filter_map(place).collect();
                Ok(parser.program)
            }
            Some(token) => Err(format!("`{token}` is not expected here")),
        }
    }

    /// Runs it; `load` gives the value of a name by its place in [`Program::names`], and may stop it.
    ///
    /// # Errors
    /// Only what `load` gives.
    pub(in crate::filters::spam) fn run<E>(
        &self,
        load: impl FnMut(usize) -> Result<f64, E>,
    ) -> Result<f64, E> {
        self.run_on(&mut Vec::new(), load)
    }

    /// The same with a stack to be used again.
    ///
    /// # Errors
    /// Only what `load` gives.
    pub(in crate::filters::spam) fn run_on<E>(
        &self,
        stack: &mut Vec<f64>,
        mut load: impl FnMut(usize) -> Result<f64, E>,
    ) -> Result<f64, E> {
        stack.clear();
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            at += 1;
            match *step {
                Step::Number(number) => stack.push(number),
                Step::Load(name) => stack.push(load(name)?),
                Step::Not => {
                    let value = stack.pop().unwrap_or(0.0);
                    stack.push(if value == 0.0 { 1.0 } else { 0.0 });
                }
                Step::Negate => {
                    let value = stack.pop().unwrap_or(0.0);
                    stack.push(-value);
                }
                Step::Binary(operator) => {
                    let right = stack.pop().unwrap_or(0.0);
                    let left = stack.pop().unwrap_or(0.0);
                    stack.push(operator.apply(left, right));
                }
                Step::KeepFalse(target) | Step::KeepTrue(target) => {
                    let wanted = matches!(step, Step::KeepTrue(_));
                    if stack.last().is_some_and(|value| (*value != 0.0) == wanted) {
                        at = target;
                    } else {
                        stack.pop();
                    }
                }
                Step::Unless(target) => {
                    if stack.pop().unwrap_or(0.0) == 0.0 {
                        at = target;
                    }
                }
                Step::Jump(target) => at = target,
            }
        }
        Ok(stack.pop().unwrap_or(0.0))
    }
}

struct Parser<'t> {
    tokens: &'t [String],
    at: usize,
    program: Program,
}

/// Binary operators from the loosest to the tightest.
const LEVELS: [&[(&str, Option<Operator>)]; 7] = [
    &[("||", None)],
    &[("&&", None)],
    &[("^", Some(Operator::Xor))],
    &[("==", Some(Operator::Equal)), ("!=", Some(Operator::NotEqual))],
    &[
        ("<", Some(Operator::Less)),
        (">", Some(Operator::Greater)),
        ("<=", Some(Operator::LessOrEqual)),
        (">=", Some(Operator::GreaterOrEqual)),
    ],
    &[("+", Some(Operator::Add)), ("-", Some(Operator::Subtract))],
    &[
        ("*", Some(Operator::Multiply)),
        ("/", Some(Operator::Divide)),
        ("%", Some(Operator::Remainder)),
    ],
];

impl Parser<'_> {
    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", String::as_str)
    }

    fn accept(&mut self, token: &str) -> bool {
        let fits = self.peek() == token;
        self.at += usize::from(fits);
        fits
    }

    fn push(&mut self, step: Step) -> usize {
        self.program.steps.push(step);
        self.program.steps.len()
    }

    /// Puts the step in the place kept for it; jumps lead to what comes next.
    fn patch(&mut self, place: usize, make: fn(usize) -> Step) {
        let target = self.program.steps.len();
        if let Some(step) = self.program.steps.get_mut(place.wrapping_sub(1)) {
            *step = make(target);
        }
    }

    fn ternary(&mut self, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err("it is nested too deep".to_owned());
        }
        self.binary(0, depth)?;
        if self.accept("?") {
            let condition = self.push(Step::Jump(0));
            self.ternary(depth + 1)?;
            if !self.accept(":") {
                return Err("a `?` lacks its `:`".to_owned());
            }
            let end = self.push(Step::Jump(0));
            self.patch(condition, Step::Unless);
            self.ternary(depth + 1)?;
            self.patch(end, Step::Jump);
        }
        Ok(())
    }

    fn binary(&mut self, level: usize, depth: usize) -> Result<(), String> {
        let Some(operators) = LEVELS.get(level) else { return self.unary(depth) };
        self.binary(level + 1, depth)?;
        while let Some((token, operator)) =
            operators.iter().find(|(token, _)| *token == self.peek())
        {
            self.at += 1;
            let keep = operator.is_none().then(|| self.push(Step::Jump(0)));
            self.binary(level + 1, depth)?;
            match (operator, keep) {
                (Some(operator), _) => {
                    self.push(Step::Binary(*operator));
                }
                (None, Some(place)) => {
                    self.patch(
                        place,
                        if *token == "&&" { Step::KeepFalse } else { Step::KeepTrue },
                    );
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn unary(&mut self, depth: usize) -> Result<(), String> {
        let mut signs = Vec::new();
        while let sign @ ("!" | "-" | "+") = self.peek() {
            match sign {
                "!" => signs.push(Step::Not),
                "-" => signs.push(Step::Negate),
                _ => {}
            }
            self.at += 1;
        }
        if self.accept("(") {
            self.ternary(depth + 1)?;
            if !self.accept(")") {
                return Err("a `(` is not closed".to_owned());
            }
        } else {
            self.operand()?;
        }
        for sign in signs.into_iter().rev() {
            self.push(sign);
        }
        Ok(())
    }

    fn operand(&mut self) -> Result<(), String> {
        let token = self.peek().to_owned();
        self.at += 1;
        match token.bytes().next() {
            None => Err("it ends too soon".to_owned()),
            Some(b'0'..=b'9' | b'.') => {
                let number = token.parse().map_err(|_| format!("`{token}` is no number"))?;
                self.push(Step::Number(number));
                Ok(())
            }
            Some(b'A'..=b'Z' | b'a'..=b'z' | b'_') => {
                let name = if self.accept("(") {
                    let argument = self.peek().to_owned();
                    self.at += 1;
                    if !self.accept(")") {
                        return Err(format!("`{token}(` is not closed"));
                    }
                    format!("{token}({argument})")
                } else {
                    token
                };
                let known = self.program.names.iter().position(|other| *other == name);
                let place = known.unwrap_or(self.program.names.len());
                if known.is_none() {
                    self.program.names.push(name);
                }
                self.push(Step::Load(place));
                Ok(())
            }
            Some(_) => Err(format!("`{token}` is not expected here")),
        }
    }
}

/// The names that are joined by `&&` at the top, in parentheses or not.
fn needs(tokens: &[String]) -> Vec<&str> {
    let mut out = Vec::new();
    let mut open = vec![tokens];
    while let Some(tokens) = open.pop() {
        match tokens {
            [name]
                if name
                    .starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_') =>
            {
                out.push(name.as_str());
                continue;
            }
            [first, inner @ .., last] if first == "(" && last == ")" && closed(inner) => {
                open.push(inner);
                continue;
            }
            _ => {}
        }
        let mut depth = 0_usize;
        let mut parts = Vec::new();
        let mut start = 0;
        for (place, token) in tokens.iter().enumerate() {
            match token.as_str() {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                "||" | "?" if depth == 0 => {
                    parts.clear();
                    start = 0;
                    break;
                }
                "&&" if depth == 0 => {
                    parts.extend(tokens.get(start..place));
                    start = place + 1;
                }
                _ => {}
            }
        }
        if start > 0 {
            parts.extend(tokens.get(start..));
            open.extend(parts);
        }
    }
    out
}

/// True if no parenthesis closes what was opened before.
fn closed(tokens: &[String]) -> bool {
    let mut depth = 0_usize;
    for token in tokens {
        match token.as_str() {
            "(" => depth += 1,
            ")" => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            _ => {}
        }
    }
    depth == 0
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let globbed = rest.strip_prefix("rules_matching").map(str::trim_start);
        if let Some(glob) = globbed.and_then(|rest| rest.strip_prefix('(')) {
            let Some((glob, behind)) = glob.split_once(')') else {
                return Err("`rules_matching(` is not closed".to_owned());
            };
            tokens.push(format!("rules_matching({})", glob.trim()));
            rest = behind.trim_start();
            continue;
        }
        let length = if first.is_ascii_alphabetic() || first == '_' {
            let word =
                |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':' | '*');
            let end = rest.find(|letter| !word(letter)).unwrap_or(rest.len());
            // A `:` belongs to a name only inside of it (`Plugin::Name`); alone it belongs to `? :`.
            rest.get(..end).map_or(end, |name| name.trim_end_matches([':', '*']).len())
        } else if first.is_ascii_digit() || first == '.' {
            rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')
                .unwrap_or(rest.len())
        } else if ["&&", "||", ">=", "<=", "==", "!="].iter().any(|two| rest.starts_with(two)) {
            2
        } else if "()!<>+-*/?:%^".contains(first) {
            1
        } else {
            return Err(format!("`{first}` is not expected here"));
        };
        let (token, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        tokens.push(token.to_owned());
        rest = behind.trim_start();
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(text: &str) -> f64 {
        let program = Program::parse(text).unwrap();
        let names = program.names.clone();
        let load = |place: usize| {
            Ok::<f64, ()>(match names[place].as_str() {
                "A" => 1.0,
                "B" => 0.0,
                "C" => 3.0,
                "can(Mail::X)" => 1.0,
                other => panic!("{other}"),
            })
        };
        program.run(load).unwrap()
    }

    #[test]
    fn expressions_mean_what_they_mean_in_perl() {
        for (text, want) in [
            ("A && B", 0.0),
            ("A || B", 1.0),
            ("B || C", 3.0),
            ("A && C", 3.0),
            ("!A", 0.0),
            ("!(A && B)", 1.0),
            ("A + C > 3", 1.0),
            ("(A + B + C) >= 5", 0.0),
            ("2 + 3 * 4", 14.0),
            ("10 - 2 - 3", 5.0),
            ("-C + 1", -2.0),
            ("A ? 5 : 6", 5.0),
            ("B ? 5 : C ? 7 : 8", 7.0),
            ("1 / 0", 0.0),
            ("A && !B && (C > 2)", 1.0),
            ("can(Mail::X) && A", 1.0),
            ("4.000001 >= 3.004000", 1.0),
        ] {
            assert!((value(text) - want).abs() < 1e-9, "{text}: {}", value(text));
        }
    }

    #[test]
    fn what_the_value_cannot_do_without_is_known() {
        for (text, want) in [
            ("A && B", "A B"),
            ("(A && (B)) && !C", "A B"),
            ("A || B", ""),
            ("A && (B || C)", "A"),
            ("A && B || C", ""),
            ("A + B", ""),
            ("(A) && (B)", "A B"),
            ("A ? B && C : 1", ""),
        ] {
            let program = Program::parse(text).unwrap();
            let mut needs: Vec<&str> =
                program.needs.iter().map(|place| program.names[*place].as_str()).collect();
            needs.sort_unstable();
            assert_eq!(needs.join(" "), want, "{text}");
        }
        assert_eq!(
            Program::parse("rules_matching( A_?* ) > 1").unwrap().names,
            ["rules_matching(A_?*)"]
        );
        assert_eq!(Program::parse("( )").unwrap().run(|_| Ok::<f64, ()>(1.0)), Ok(0.0));
    }

    #[test]
    fn what_is_not_needed_is_not_asked_for() {
        let program = Program::parse("B && X || A || Y").unwrap();
        let mut asked = Vec::new();
        let result = program.run(|place| {
            asked.push(program.names[place].clone());
            Ok::<f64, ()>(if program.names[place] == "A" { 1.0 } else { 0.0 })
        });
        assert_eq!(result, Ok(1.0));
        assert_eq!(asked, ["B", "A"]);
    }

    #[test]
    fn broken_expressions_are_refused() {
        let deep = "(".repeat(5_000);
        for text in ["", "A &&", "(A", "A B", "A & B", "? 1", "A ? 1", &deep] {
            assert!(Program::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[AB01()!&|<>=+*/?: .-]{0,60}") {
            if let Ok(program) = Program::parse(&text) {
                let _ = program.run(|_| Ok::<f64, ()>(1.0));
            }
        }
    }
}
