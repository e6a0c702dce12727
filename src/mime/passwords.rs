//! Passwords that a mail tells its reader: near the word "password" in any of many languages, on a line of its own, in
//! the Subject, in the name of a file; and words that are often used.
//!
//! The likeliest come first, for only so many are tried.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::container::Password;
use crate::mail::PasswordSource;

/// Passwords gathered of one mail.
pub(super) const PASSWORDS_MAX: usize = 500;

/// Of them, those that stand near a word for "password".
const NEAR_MAX: usize = 200;

/// Of them, those that the configuration names.
const CONFIGURED_MAX: usize = 100;

/// Octets of one text that are looked through.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// Octets behind a word for "password", and before it, in which the password stands.
const BEHIND_BYTES: usize = 200;
const BEFORE_BYTES: usize = 60;

/// Words for "password" that are looked at in one text.
const WORDS_MAX: usize = 50;

/// Characters of a password.
const CHARS_MAX: usize = 64;

/// Words for "password". Short ones stand alone; in the others anything may follow (`Passworts`, `hasłem`).
const WORDS: &str = r"(?i)\b(?:pass?|pw|pwd|psw|pswd|pin|mdp|wachtw|code|codice|key|clave|chave|cod|pasw)\b|\
    passw[o0]r[dt]|passwd|pass[ -]?(?:code|word|phrase|kode|wort)|passord|kennw[oö]rt|schl[üu]ssel|zugangscode|\
    mot de passe|code d.acc[èe]s|contrase[ñn]a|senha|palavra[- ]passe|parola|chiave|wachtwoord|toegangscode|\
    l[öo]senord|adgangskode|kodeord|salasana|has[łl]|пароль|парол|код|ключ|heslo|jelsz[óo]|geslo|lozink|zapork|\
    лозинк|slapta[žz]od|parole|salas[õo]na|parool|[şs]ifre|κωδικ|συνθηματικ|סיסמ|كلمة|رمز|گذرواژه|رمز عبور|\
    密码|密碼|口令|解压|解壓|パスワード|暗証|비밀번호|암호|รหัส|m[ậa]t kh[ẩa]u|kata sandi|sandi|पासवर्ड|fjalëkalim|lykilor[ðd]|pasahitz";

static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    // The pattern is written over several lines; the blanks at their begins are none of it.
    let pattern: String = WORDS.split("\\\n").map(str::trim_start).collect();
    Regex::new(&pattern).ok()
});

/// Texts of a mail.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) bodies: Vec<String>,
    pub(super) subject: String,
    /// Names of files.
    pub(super) names: Vec<String>,
}

/// The passwords that may be meant, the likeliest first.
pub(super) fn gather(texts: &Texts, configured: &[String]) -> Vec<Password> {
    let mut found = Found::default();
    for body in &texts.bodies {
        near(head(body), PasswordSource::Body, &mut found);
    }
    near(head(&texts.subject), PasswordSource::Subject, &mut found);
    for name in &texts.names {
        near(head(name), PasswordSource::Name, &mut found);
    }
    found.list.truncate(NEAR_MAX);
    for word in configured.iter().take(CONFIGURED_MAX) {
        found.add(word, PasswordSource::Configured);
    }
    let mut others: Vec<(u8, &str, PasswordSource)> = Vec::new();
    for name in &texts.names {
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        others.push((3, stem, PasswordSource::Name));
        others.extend(split_name(stem).map(|word| (rank(word), word, PasswordSource::Name)));
    }
    others.extend(words(&texts.subject).map(|(rank, word)| (rank, word, PasswordSource::Subject)));
    for body in &texts.bodies {
        others.extend(words(head(body)).map(|(rank, word)| (rank, word, PasswordSource::Body)));
    }
    others.sort_by_key(|(rank, _, _)| std::cmp::Reverse(*rank));
    for (_, word, source) in others {
        if found.list.len() >= PASSWORDS_MAX {
            break;
        }
        found.add(word, source);
    }
    found.list.truncate(PASSWORDS_MAX);
    found.list
}

#[derive(Default)]
struct Found {
    list: Vec<Password>,
    seen: HashSet<Vec<u8>>,
}

impl Found {
    fn add(&mut self, word: &str, source: PasswordSource) {
        if word.is_empty() || word.chars().count() > CHARS_MAX {
            return;
        }
        self.push(word.as_bytes().to_vec(), source);
        if !word.is_ascii() {
            // Old packers take the octets of the sender's code page.
            for encoding in
                [encoding_rs::WINDOWS_1252, encoding_rs::WINDOWS_1251, encoding_rs::IBM866]
            {
                let (octets, _, lossy) = encoding.encode(word);
                if !lossy {
                    self.push(octets.into_owned(), source);
                }
            }
        }
    }

    fn push(&mut self, octets: Vec<u8>, source: PasswordSource) {
        if self.seen.insert(octets.clone()) {
            self.list.push(Password { octets, source });
        }
    }
}

/// The begin of a text, so much as is looked through.
fn head(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or(text)
}

/// What stands near words for "password".
fn near(text: &str, source: PasswordSource, found: &mut Found) {
    let Some(pattern) = WORD.as_ref() else { return };
    let mut weaker: Vec<&str> = Vec::new();
    for word in pattern.find_iter(text).take(WORDS_MAX) {
        let end = text.floor_char_boundary(word.end().saturating_add(BEHIND_BYTES));
        let behind = text.get(word.end()..end).unwrap_or_default();
        // The rest of the word itself.
        let behind = behind.trim_start_matches(|sign: char| sign.is_ascii_lowercase());
        for quoted in quoted(behind) {
            found.add(quoted, source);
        }
        let (line, rest) = behind.split_once(['\n', '\r']).unwrap_or((behind, ""));
        let separated = line.split_once([':', '=', '：', '-', '–', '—', '→']);
        for part in separated.map(|(_, part)| part).into_iter().chain([line]) {
            whole(part, source, found);
        }
        let next = rest.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        whole(next, source, found);
        let start = text.ceil_char_boundary(word.start().saturating_sub(BEFORE_BYTES));
        let before = text.get(start..word.start()).unwrap_or_default();
        let before = before.rsplit('\n').next().unwrap_or(before);
        for part in [line, next, before] {
            weaker.extend(part.split_whitespace());
            weaker.extend(part.split(|sign: char| !sign.is_ascii_graphic()));
        }
    }
    let mut weaker: Vec<(u8, &str)> = weaker.into_iter().map(|word| (rank(word), word)).collect();
    weaker.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    for (_, word) in weaker {
        if found.list.len() >= NEAR_MAX {
            return;
        }
        trimmed(word, source, found);
    }
}

/// A piece of a line as the password: its first word, and all of it.
fn whole(part: &str, source: PasswordSource, found: &mut Found) {
    let part = part.trim_matches(|sign: char| sign.is_whitespace() || ":=：*_".contains(sign));
    // "Password is X", in some languages.
    let (first, rest) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
    let is = ["is", "ist", "lautet", "est", "es", "è", "é", "to", "jest", "je", "er", "är", "on"];
    if is.contains(&first.to_lowercase().as_str()) {
        let next = rest.split_whitespace().next().unwrap_or_default();
        trimmed(next, source, found);
        return;
    }
    trimmed(first, source, found);
    trimmed(part, source, found);
}

/// A word as it stands, and without the signs around it.
fn trimmed(word: &str, source: PasswordSource, found: &mut Found) {
    const AROUND: &str = "\"'`´‘’‚“”„«»<>()[]{}「」『』《》【】*_";
    let bare = word.trim_matches(|sign: char| AROUND.contains(sign));
    let plain = bare.trim_end_matches([',', ';', ':', '.', '!', '?', '。', '，', '！']);
    let plain = plain.trim_matches(|sign: char| AROUND.contains(sign));
    for form in [plain, bare, word] {
        found.add(form, source);
    }
}

/// What stands between quotes or brackets.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    const PAIRS: [(char, &[char]); 12] = [
        ('"', &['"']),
        ('\'', &['\'']),
        ('`', &['`', '\'']),
        ('“', &['”', '"', '“']),
        ('„', &['“', '”', '"']),
        ('‘', &['’']),
        ('‚', &['‘', '’']),
        ('«', &['»']),
        ('「', &['」']),
        ('《', &['》']),
        ('【', &['】']),
        ('(', &[')']),
    ];
    PAIRS.iter().filter_map(move |(open, close)| {
        let (_, inner) = text.split_once(*open)?;
        let (inner, _) = inner.split_once(*close)?;
        (!inner.is_empty() && !inner.contains('\n')).then_some(inner)
    })
}

/// The words of a text, each with how much it looks like a password.
fn words(text: &str) -> impl Iterator<Item = (u8, &str)> {
    text.lines().flat_map(|line| {
        let alone = line.split_whitespace().take(2).count() == 1;
        let around = |sign: char| !sign.is_alphanumeric() && !"!@#$%&+=?_-".contains(sign);
        line.split_whitespace().filter_map(move |word| {
            let word = word.trim_matches(around);
            let count = word.chars().count();
            (3..=30).contains(&count).then(|| (rank(word) + if alone { 3 } else { 0 }, word))
        })
    })
}

/// The words of a file's name.
fn split_name(stem: &str) -> impl Iterator<Item = &str> {
    stem.split(|sign: char| !sign.is_alphanumeric()).filter(|word| word.chars().count() >= 3)
}

/// How much a word looks like a password: digits and letters mixed most, words of the language least.
fn rank(word: &str) -> u8 {
    let has = |what: fn(&char) -> bool| word.chars().any(|sign| what(&sign));
    let digits = has(char::is_ascii_digit);
    let letters = has(|sign| sign.is_alphabetic());
    let signs = has(|sign| "!@#$%&+=?*".contains(*sign));
    let address = word.contains("://") || (word.contains('@') && word.contains('.'));
    let inner_capital = word.chars().skip(1).any(char::is_uppercase);
    match (digits, letters, signs, address) {
        (_, _, _, true) => 0,
        (true, true, ..) => 4,
        (true, false, ..) => 3,
        (false, _, true, _) => 2,
        _ if inner_capital => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(body: &str, want: &str) -> Option<usize> {
        let texts = Texts { bodies: vec![body.to_owned()], ..Texts::default() };
        let found = gather(&texts, &[]);
        found.iter().position(|password| password.octets == want.as_bytes())
    }

    #[test]
    fn a_password_is_found_as_people_write_it() {
        let table = [
            ("password: 1234", "1234"),
            ("The password is 1234.", "1234"),
            ("Password for the archive is 'abc def'", "abc def"),
            ("Passwort: Gehe!im7", "Gehe!im7"),
            ("Das Passwort lautet 4711, Gruß", "4711"),
            ("Das Kennwort ist \"Ab 12\"", "Ab 12"),
            ("mot de passe : x9", "x9"),
            ("Le mot de passe est « secret »", "secret"),
            ("пароль: 1234", "1234"),
            ("Пароль от архива - qwe123", "qwe123"),
            ("Contraseña: hola1", "hola1"),
            ("La contraseña es hola1.", "hola1"),
            ("hasło: tajne", "tajne"),
            ("Hasło do pliku to 8812", "8812"),
            ("密码：1234", "1234"),
            ("解压密码1234请查收", "1234"),
            ("パスワードは「abcd」です", "abcd"),
            ("비밀번호: 9876", "9876"),
            ("Şifre: 5555", "5555"),
            ("senha: 7777", "7777"),
            ("Heslo: abc", "abc"),
            ("PW: xyz", "xyz"),
            ("Use code *KX-99* to open it", "KX-99"),
            ("Please open it.\r\n\r\nPassword:\r\n\r\n  R2d2  \r\n", "R2d2"),
            ("1234 is the password", "1234"),
            ("pass=hunter2;", "hunter2"),
            ("password: ends.", "ends."),
            ("Archive password-> (tiger)", "tiger"),
        ];
        for (text, want) in table {
            let place = place(text, want);
            assert!(place.is_some_and(|place| place < 12), "{text}: {place:?}");
        }
    }

    #[test]
    fn a_likely_word_is_found_without_any_hint() {
        let prose =
            "The quick brown fox jumps over the lazy dog and does what foxes do. ".repeat(40);
        for (text, want) in
            [(format!("{prose}\nX7q9\n{prose}"), "X7q9"), (format!("{prose} 48151623"), "48151623")]
        {
            assert!(place(&text, want).is_some_and(|place| place < 20), "{want}");
        }
    }

    #[test]
    fn each_source_is_named_and_the_first_wins() {
        let texts = Texts {
            bodies: vec!["password: one".into()],
            subject: "Invoice (pass two3)".into(),
            names: vec!["invoice_4444.zip".into(), "one.zip".into()],
        };
        let found = gather(&texts, &["five".into(), "one".into()]);
        for (octets, source) in [
            ("one", PasswordSource::Body),
            ("two3", PasswordSource::Subject),
            ("4444", PasswordSource::Name),
            ("invoice_4444", PasswordSource::Name),
            ("five", PasswordSource::Configured),
        ] {
            let of = found.iter().find(|password| password.octets == octets.as_bytes());
            assert_eq!(of.map(|password| password.source), Some(source), "{octets}");
        }
    }

    #[test]
    fn a_password_outside_of_ascii_is_tried_in_old_code_pages_too() {
        let texts = Texts { bodies: vec!["Passwort: Schlüssel7".into()], ..Texts::default() };
        let found = gather(&texts, &[]);
        assert!(found.iter().any(|password| password.octets == b"Schl\xfcssel7"));
    }

    #[test]
    fn there_are_never_more_than_may_be_tried() {
        let many: String = (0..50_000).map(|n| format!("password: a{n} b{n}\nc{n}\n")).collect();
        let texts = Texts { bodies: vec![many.clone(), many], ..Texts::default() };
        let configured: Vec<String> = (0..1_000).map(|n| format!("k{n}")).collect();
        let found = gather(&texts, &configured);
        assert_eq!(found.len(), PASSWORDS_MAX);
        let configured = found.iter().filter(|p| p.source == PasswordSource::Configured).count();
        assert_eq!(configured, CONFIGURED_MAX);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text: String, tail: String) {
            let body = format!("{text}password{tail}");
            gather(&Texts { bodies: vec![body], ..Texts::default() }, &[]);
        }
    }
}
