//! Arguments of functions as rule files write them: `('<= 1', "b", 3)`.

/// The arguments of a call, quotes removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::filters::spam) struct Arguments {
    all: Vec<String>,
    /// The rule is of the kind `rawbody`.
    pub(in crate::filters::spam) raw: bool,
}

impl Arguments {
    /// Reads `name(arguments)`; the parentheses may be missing.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(super) fn read(text: &str) -> Result<(&str, Self), String> {
        let text = text.trim();
        let Some((name, rest)) = text.split_once('(') else { return Ok((text, Self::default())) };
        let inside = rest
            .trim_end()
            .strip_suffix(')')
            .ok_or_else(|| "the `)` behind the arguments is missing".to_owned())?;
        let mut all = Vec::new();
        let mut rest = inside.trim();
        while !rest.is_empty() {
            let (argument, behind) = match rest.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    let body = rest.get(1..).unwrap_or_default();
                    body.split_once(quote).ok_or_else(|| format!("the {quote} is not closed"))?
                }
                _ => rest
                    .split_at_checked(rest.find(',').unwrap_or(rest.len()))
                    .unwrap_or((rest, "")),
            };
            all.push(argument.trim().to_owned());
            let behind = behind.trim_start();
            rest = match behind.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if behind.is_empty() => "",
                None => return Err(format!("a comma is missing before `{behind}`")),
            };
        }
        Ok((name.trim(), Self { all, raw: false }))
    }

    /// The argument at that place, from 0; empty if there is none.
    pub(in crate::filters::spam) fn text(&self, place: usize) -> &str {
        self.all.get(place).map_or("", String::as_str)
    }

    /// The argument as a number; `None` if there is none, or it is none.
    pub(in crate::filters::spam) fn number(&self, place: usize) -> Option<f64> {
        self.all.get(place)?.parse().ok()
    }

    /// The argument as a number; `None`: there is none.
    ///
    /// # Errors
    /// It is no number.
    pub(in crate::filters::spam) fn wanted_number(
        &self,
        place: usize,
    ) -> Result<Option<f64>, String> {
        let Some(text) = self.all.get(place).filter(|text| !matches!(text.as_str(), "" | "undef"))
        else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| format!("`{text}` is no number"))
    }

    pub(in crate::filters::spam) fn all(&self) -> &[String] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_lose_their_quotes() {
        let cases: [(&str, &str, &[&str]); 6] = [
            ("a()", "a", &[]),
            ("a", "a", &[]),
            ("a ( 'x, y' , \"z)\",3 )", "a", &["x, y", "z)", "3"]),
            ("a('')", "a", &[""]),
            ("a(1,undef)", "a", &["1", "undef"]),
            ("a('(?i)b')", "a", &["(?i)b"]),
        ];
        for (text, name, want) in cases {
            let (got, arguments) = Arguments::read(text).unwrap();
            assert_eq!((got, arguments.all()), (name, &want.map_owned()[..]), "{text}");
        }
        for text in ["a(", "a('b)", "a('b' 'c')"] {
            assert!(Arguments::read(text).is_err(), "{text}");
        }
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|text| (*text).to_owned()).collect()
        }
    }
}
