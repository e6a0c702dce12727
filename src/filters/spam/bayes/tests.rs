mod accuracy;

use std::collections::HashMap;
use std::sync::Mutex;

use super::*;

/// Totals, words, and mails.
type Kept = (Totals, HashMap<Token, Counts>, HashMap<String, Class>);

/// A store in memory.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Kept>);

impl Memory {
    fn count(&self, class: Class, tokens: &[Token], step: i32) {
        let mut inner = self.0.lock().unwrap();
        let change = |counts: &mut u32| *counts = counts.saturating_add_signed(step);
        match class {
            Class::Spam => change(&mut inner.0.spam),
            Class::Ham => change(&mut inner.0.ham),
        }
        for token in tokens {
            let counts = inner.1.entry(*token).or_default();
            match class {
                Class::Spam => change(&mut counts.spam),
                Class::Ham => change(&mut counts.ham),
            }
        }
    }
}

impl Tokens for Memory {
    fn totals(&self, _: Owner<'_>) -> Result<Totals, String> {
        Ok(self.0.lock().unwrap().0)
    }

    fn look_up(&self, _: Owner<'_>, tokens: &[Token]) -> Result<Vec<Counts>, String> {
        let inner = self.0.lock().unwrap();
        Ok(tokens.iter().map(|token| inner.1.get(token).copied().unwrap_or_default()).collect())
    }

    fn touch(&self, _: Owner<'_>, _: &[Token]) {}

    fn learn(
        &self,
        _: Owner<'_>,
        message: &str,
        class: Class,
        tokens: &[Token],
    ) -> Result<Learnt, String> {
        let before = self.0.lock().unwrap().2.insert(message.to_owned(), class);
        match before {
            Some(before) if before == class => return Ok(Learnt::Known),
            Some(before) => self.count(before, tokens, -1),
            None => {}
        }
        self.count(class, tokens, 1);
        Ok(if before.is_some() { Learnt::Changed } else { Learnt::New })
    }

    fn forget(&self, _: Owner<'_>, message: &str, tokens: &[Token]) -> Result<bool, String> {
        let before = self.0.lock().unwrap().2.remove(message);
        if let Some(class) = before {
            self.count(class, tokens, -1);
        }
        Ok(before.is_some())
    }
}

fn mail(subject: &str, text: &str) -> Words {
    words(
        &Inputs {
            headers: vec![("From".to_owned(), "Jo <jo@example.org>".to_owned())],
            visible: vec![subject.to_owned(), text.to_owned()],
            ..Inputs::default()
        },
        &[],
    )
}

#[test]
fn what_was_learned_as_spam_is_called_spam() {
    let store = Memory::default();
    for number in 0..20 {
        let spam = mail("Cheap watches", &format!("Buy replica watches now, offer {number}"));
        let ham = mail("Minutes", &format!("Minutes of the meeting of Monday, item {number}"));
        store.learn(Owner::Site, &format!("s{number}"), Class::Spam, &spam.tokens()).unwrap();
        store.learn(Owner::Site, &format!("h{number}"), Class::Ham, &ham.tokens()).unwrap();
    }
    let ask = |words: &Words| ask(&store, Owner::Site, words).unwrap();
    let opinion = ask(&mail("Watches", "Buy cheap replica watches")).unwrap();
    assert!(opinion.chance > 0.95, "{opinion:?}");
    assert!(opinion.telling.iter().any(|word| word == "replica"), "{opinion:?}");
    assert!(ask(&mail("Monday", "The minutes of that meeting")).unwrap().chance < 0.05);
    assert_eq!(ask(&words(&Inputs::default(), &[])), None);
}

#[test]
fn a_header_of_thousands_of_fields_and_a_text_of_megabytes_give_a_bounded_number_of_words() {
    let headers = (0..50_000).map(|n| (format!("X-{n}"), format!("value{n}"))).collect();
    let text = (0..400_000).map(|n| format!("w{n} ")).collect::<String>();
    let links = (0..50_000).map(|n| format!("http://h{n}.example/")).collect();
    let visible = vec![String::new(), text.clone()];
    let inputs = Inputs { headers, visible, links, invisible: vec![text], ..Inputs::default() };
    let all = HEADER_WORDS_MAX + BODY_WORDS_MAX + LINK_WORDS_MAX + INVISIBLE_WORDS_MAX;
    assert!(words(&inputs, &[]).len() <= all);
}

proptest::proptest! {
    #[test]
    fn no_header_makes_it_fail(
        fields in proptest::collection::vec(("[A-Za-z-]{1,20}|From|Received|Message-ID|Content-Type|X-Mailer", "\\PC{0,200}"), 0..20),
        part in "\\PC{0,50}",
    ) {
        let part = PartFacts { kind: part.clone(), charset: part.clone(), extension: part.clone(), digest: part };
        let _ = words(&Inputs { headers: fields, parts: vec![part], ..Inputs::default() }, &[]);
    }
}
