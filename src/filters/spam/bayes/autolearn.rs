//! Learning from verdicts: what may be learned without anybody having said so, and what may not.
//!
//! A filter that learns from itself runs away with its own mistakes. So it learns only from mail that is far from the
//! border by other rules than those of learned mail, lists and reputation; and spam only if header and body both say
//! so.

use super::Class;
use crate::filters::Score;

/// Points of a spam that must come from the header, and as many from the body.
const EACH_MIN: Score = Score(3_000);
/// Points of rules of learned mail over which a mail is not learned as ham, and below whose negative not as spam.
const OPPOSED: Score = Score(1_000);

/// Where a rule looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Area {
    /// At the header.
    Header,
    /// At body, text or links.
    Body,
    /// At other rules: its points are shared out as those rules look at header and body.
    Rules,
    /// At anything else.
    #[default]
    Other,
}

impl Area {
    /// The area of a rule of that kind: `header`, `body`, …
    #[must_use]
    pub fn of(kind: &str) -> Self {
        match kind {
            "header" => Self::Header,
            "body" | "rawbody" | "uri" => Self::Body,
            "meta" => Self::Rules,
            _ => Self::Other,
        }
    }
}

/// What the flags of a rule (`tflags`) mean for learning from verdicts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Where it looks.
    pub area: Area,
    /// Its points do not count (`noautolearn`, `userconf`).
    pub left_out: bool,
    /// It asks what was learned (`learn`).
    pub learned: bool,
    /// What it finds is so sure that header and body need not both agree (`autolearn_force`).
    pub forces: bool,
}

impl Share {
    /// Reads the flags of a rule of that kind.
    #[must_use]
    pub fn new(kind: Area, flags: &[String]) -> Self {
        let has = |wanted: &str| flags.iter().any(|flag| flag == wanted);
        let area = match (has("autolearn_header"), has("autolearn_body")) {
            (true, _) => Area::Header,
            (false, true) => Area::Body,
            (false, false) => kind,
        };
        Self {
            area,
            left_out: has("noautolearn") || has("userconf"),
            learned: has("learn"),
            forces: has("autolearn_force"),
        }
    }
}

/// The points of a mail as far as they may teach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Points {
    /// Without rules that are left out, and without those of learned mail.
    pub all: Score,
    /// Those of the header.
    pub header: Score,
    /// Those of the body.
    pub body: Score,
    /// Those of learned mail.
    pub learned: Score,
    /// A rule that is sure by itself hit.
    pub forced: bool,
}

impl Points {
    /// Adds a rule that hit. `parts`: where the rules look that it is made of.
    pub fn add(&mut self, share: Share, points: Score, parts: impl Iterator<Item = Area>) {
        if share.left_out {
            return;
        }
        if share.learned {
            self.learned += points;
            return;
        }
        self.forced |= share.forces;
        self.all += points;
        match share.area {
            Area::Header => self.header += points,
            Area::Body => self.body += points,
            Area::Other => {}
            Area::Rules => {
                let (mut header, mut body) = (0_i32, 0_i32);
                for part in parts {
                    header = header.saturating_add(i32::from(part == Area::Header));
                    body = body.saturating_add(i32::from(part == Area::Body));
                }
                let sum = i64::from(header) + i64::from(body);
                let part = |count: i32| {
                    let points = i64::from(points.0) * i64::from(count);
                    Score(
                        points
                            .checked_div(sum)
                            .and_then(|part| i32::try_from(part).ok())
                            .unwrap_or(0),
                    )
                };
                self.header += part(header);
                self.body += part(body);
            }
        }
    }
}

/// When to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Ham is what has less.
    pub ham_below: Score,
    /// Spam is what has this or more.
    pub spam_from: Score,
}

impl Thresholds {
    /// What a mail is to be learned as, if anything. `spam`: the verdict is spam.
    #[must_use]
    pub fn decide(self, points: &Points, spam: bool) -> Option<Class> {
        if points.all < self.ham_below {
            return (!spam && points.learned <= OPPOSED).then_some(Class::Ham);
        }
        let both = points.forced || (points.header >= EACH_MIN && points.body >= EACH_MIN);
        let agrees = points.learned >= Score(-OPPOSED.0);
        (points.all >= self.spam_from && both && agrees && spam).then_some(Class::Spam)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Thresholds = Thresholds { ham_below: Score(100), spam_from: Score(12_000) };

    fn points(header: i32, body: i32, learned: i32) -> Points {
        let (all, header, body) = (Score(header + body), Score(header), Score(body));
        Points { all, header, body, learned: Score(learned), forced: false }
    }

    #[test]
    fn spam_is_learned_only_if_header_and_body_say_so() {
        for (mail, spam, want) in [
            (points(6_000, 6_000, 0), true, Some(Class::Spam)),
            (points(5_999, 6_000, 0), true, None),
            (points(10_000, 2_999, 0), true, None),
            (points(2_999, 10_000, 0), true, None),
            (points(6_000, 6_000, -1_001), true, None),
            (points(6_000, 6_000, 0), false, None),
            (Points { forced: true, ..points(12_000, 0, 0) }, true, Some(Class::Spam)),
        ] {
            assert_eq!(USUAL.decide(&mail, spam), want, "{mail:?}");
        }
    }

    #[test]
    fn ham_is_learned_unless_learned_mail_says_otherwise() {
        for (mail, spam, want) in [
            (points(0, 99, 0), false, Some(Class::Ham)),
            (points(0, 100, 0), false, None),
            (points(-3_000, 0, 1_000), false, Some(Class::Ham)),
            (points(-3_000, 0, 1_001), false, None),
            (points(0, 0, 0), true, None),
        ] {
            assert_eq!(USUAL.decide(&mail, spam), want, "{mail:?}");
        }
    }

    #[test]
    fn lists_and_learned_mail_do_not_teach_and_expressions_share_their_points_out() {
        let flags = |flags: &str| flags.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let mut points = Points::default();
        let none = || std::iter::empty();
        points.add(Share::new(Area::Header, &flags("userconf")), Score(-100_000), none());
        points.add(Share::new(Area::Header, &flags("nice noautolearn")), Score(-1_000), none());
        points.add(Share::new(Area::Body, &flags("learn")), Score(3_500), none());
        points.add(Share::new(Area::Header, &[]), Score(2_000), none());
        points.add(Share::new(Area::Other, &flags("autolearn_body")), Score(500), none());
        points.add(
            Share::new(Area::Rules, &[]),
            Score(3_000),
            [Area::Header, Area::Body, Area::Body, Area::Other].into_iter(),
        );
        let want = Points {
            all: Score(5_500),
            header: Score(3_000),
            body: Score(2_500),
            learned: Score(3_500),
            forced: false,
        };
        assert_eq!(points, want);
    }
}
