//! Firms whose names are used to deceive, and names that look like theirs.

use unicode_normalization::UnicodeNormalization;

/// A firm: its name as it stands in display names (lower case, words with one blank between), and what its domains'
/// labels hold. A name that is also a word or a family's name does not stand here.
pub(super) struct Brand {
    pub(super) name: &'static str,
    pub(super) labels: &'static [&'static str],
}

const fn brand(name: &'static str, labels: &'static [&'static str]) -> Brand {
    Brand { name, labels }
}

pub(super) const BRANDS: &[Brand] = &[
    brand("paypal", &["paypal"]),
    brand("amazon", &["amazon", "amzn"]),
    brand("prime video", &["amazon", "primevideo"]),
    brand("netflix", &["netflix"]),
    brand("spotify", &["spotify"]),
    brand("disney plus", &["disney"]),
    brand("disney+", &["disney"]),
    brand("icloud", &["icloud", "apple"]),
    brand("apple id", &["icloud", "apple"]),
    brand("apple pay", &["icloud", "apple"]),
    brand("apple support", &["icloud", "apple"]),
    brand(
        "microsoft",
        &["microsoft", "office", "outlook", "azure", "msft", "windows", "live", "skype", "xbox"],
    ),
    brand("office 365", &["microsoft", "office", "outlook"]),
    brand("sharepoint", &["microsoft", "sharepoint", "office"]),
    brand("onedrive", &["microsoft", "onedrive", "office"]),
    brand("google drive", &["google"]),
    brand("google docs", &["google"]),
    brand("whatsapp", &["whatsapp", "facebook", "meta"]),
    brand("facebook", &["facebook", "meta"]),
    brand("instagram", &["instagram", "facebook", "meta"]),
    brand("tiktok", &["tiktok"]),
    brand("linkedin", &["linkedin"]),
    brand("dropbox", &["dropbox", "hellosign"]),
    brand("docusign", &["docusign"]),
    brand("adobe sign", &["adobe", "echosign"]),
    brand("wetransfer", &["wetransfer"]),
    brand("mcafee", &["mcafee"]),
    brand("norton 360", &["norton", "gen", "symantec"]),
    brand("norton antivirus", &["norton", "gen", "symantec"]),
    brand("norton security", &["norton", "gen", "symantec"]),
    brand("norton lifelock", &["norton", "gen", "symantec"]),
    brand("geek squad", &["geeksquad", "bestbuy"]),
    brand("coinbase", &["coinbase"]),
    brand("binance", &["binance"]),
    brand("metamask", &["metamask", "consensys"]),
    brand("trust wallet", &["trustwallet"]),
    brand("trezor", &["trezor", "satoshilabs"]),
    brand("opensea", &["opensea"]),
    brand("uniswap", &["uniswap"]),
    brand("blockchain com", &["blockchain"]),
    brand("booking com", &["booking"]),
    brand("airbnb", &["airbnb"]),
    brand("ebay", &["ebay"]),
    brand("aliexpress", &["aliexpress", "alibaba"]),
    brand("temu", &["temu"]),
    brand("shein", &["shein"]),
    brand("ikea", &["ikea", "ingka"]),
    brand("zalando", &["zalando"]),
    brand("costco", &["costco"]),
    brand("walmart", &["walmart"]),
    brand("home depot", &["homedepot"]),
    brand("best buy", &["bestbuy"]),
    brand("dhl", &["dhl", "dpdhl", "deutschepost", "dp"]),
    brand("fedex", &["fedex"]),
    brand("ups", &["ups"]),
    brand("usps", &["usps"]),
    brand("royal mail", &["royalmail"]),
    brand("postnl", &["postnl"]),
    brand("bol com", &["bol"]),
    brand("la poste", &["laposte", "poste"]),
    brand("laposte", &["laposte"]),
    brand("colissimo", &["colissimo", "laposte"]),
    brand("chronopost", &["chronopost"]),
    brand("mondial relay", &["mondialrelay", "inpost"]),
    brand("gls", &["gls"]),
    brand("inpost", &["inpost"]),
    brand("correios", &["correios"]),
    brand("swiss post", &["post", "swisspost"]),
    brand("poczta polska", &["poczta"]),
    brand("ptt kargo", &["ptt"]),
    brand("deutsche bahn", &["bahn", "db"]),
    brand("deutsche post", &["deutschepost", "dhl", "dp"]),
    brand("telekom", &["telekom", "t-online", "t-systems", "magenta", "t-mobile"]),
    brand("adac", &["adac"]),
    brand("lidl", &["lidl", "schwarz"]),
    brand("aldi", &["aldi", "hofer"]),
    brand("kaufland", &["kaufland", "schwarz"]),
    brand("edeka", &["edeka"]),
    brand("rewe", &["rewe"]),
    brand("rossmann", &["rossmann"]),
    brand("leroy merlin", &["leroymerlin", "adeo"]),
    brand("boulanger", &["boulanger"]),
    brand("sparkasse", &["sparkasse", "spk", "ksk", "haspa", "naspa", "sskm", "dsgv", "sk-"]),
    brand("volksbank", &["volksbank", "vb", "vr", "bank", "genossenschaft"]),
    brand("postbank", &["postbank", "db"]),
    brand("commerzbank", &["commerzbank", "comdirect"]),
    brand("rabobank", &["rabobank"]),
    brand("santander", &["santander"]),
    brand("caixabank", &["caixabank", "lacaixa"]),
    brand("bbva", &["bbva"]),
    brand("bradesco", &["bradesco"]),
    brand("nubank", &["nubank", "nu"]),
    brand("mercado pago", &["mercadopago", "mercadolivre", "mercadolibre"]),
    brand("mercado livre", &["mercadolivre", "mercadolibre"]),
    brand("credit agricole", &["credit-agricole", "ca-"]),
    brand("american express", &["americanexpress", "aexp"]),
    brand("wells fargo", &["wellsfargo"]),
    brand("bank of america", &["bankofamerica", "bofa"]),
    brand("western union", &["westernunion", "wu"]),
    brand("geico", &["geico"]),
];

/// Labels that stand for one firm and nothing else, so that what looks like them is made to.
const LOOKED_LIKE: &[&str] = &[
    "paypal",
    "amazon",
    "netflix",
    "spotify",
    "icloud",
    "microsoft",
    "outlook",
    "office365",
    "sharepoint",
    "onedrive",
    "google",
    "whatsapp",
    "facebook",
    "instagram",
    "linkedin",
    "dropbox",
    "docusign",
    "wetransfer",
    "mcafee",
    "coinbase",
    "binance",
    "metamask",
    "trustwallet",
    "opensea",
    "uniswap",
    "booking",
    "airbnb",
    "aliexpress",
    "walmart",
    "costco",
    "fedex",
    "correios",
    "postnl",
    "sparkasse",
    "volksbank",
    "commerzbank",
    "rabobank",
    "santander",
    "caixabank",
    "bradesco",
    "americanexpress",
    "wellsfargo",
    "bankofamerica",
    "ledger",
    "disney",
];

/// Labels among these that are also words, so that a bait word beside them says nothing.
const ALSO_WORDS: &[&str] = &["outlook", "booking", "ledger"];

/// Words that deceivers put beside a firm's name.
const BAIT: &[&str] = &[
    "secure",
    "security",
    "verify",
    "verification",
    "login",
    "signin",
    "account",
    "accounts",
    "support",
    "service",
    "services",
    "update",
    "billing",
    "alert",
    "alerts",
    "notification",
    "notifications",
    "delivery",
    "tracking",
    "help",
    "helpdesk",
    "claim",
    "reward",
    "rewards",
    "airdrop",
    "wallet",
    "unlock",
    "confirm",
    "auth",
    "online",
    "customer",
    "customers",
    "refund",
    "renewal",
    "payment",
    "payments",
    "encomendas",
    "rastreio",
    "premio",
    "bonus",
];

/// The firm that a sender's name speaks of. `name` is in lower case with one blank between words.
pub(super) fn named(name: &str) -> Option<&'static Brand> {
    let name = format!(" {name} ");
    BRANDS.iter().find(|brand| {
        name.match_indices(brand.name).any(|(at, found)| {
            let before = name.get(..at).is_some_and(|head| head.ends_with(' '));
            before && name.get(at + found.len()..).is_some_and(|tail| tail.starts_with(' '))
        })
    })
}

/// Lower case, signs become blanks, one blank between words.
pub(super) fn words(name: &str) -> String {
    let plain: String = name
        .chars()
        .flat_map(char::to_lowercase)
        .map(|sign| if sign.is_alphanumeric() || sign == '+' { sign } else { ' ' })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The firm that a domain's own label looks like without being it.
pub(super) fn looks_like(label: &str) -> Option<&'static str> {
    let label = label.to_lowercase();
    if LOOKED_LIKE.contains(&label.as_str()) || label.len() > 63 {
        return None;
    }
    let readable =
        if label.starts_with("xn--") { idna::domain_to_unicode(&label).0 } else { label };
    let plain = skeleton(&readable);
    LOOKED_LIKE.iter().copied().find(|brand| {
        let target = skeleton(brand);
        plain == target
            || (brand.len() >= 6 && slip(&plain, &target))
            || (!ALSO_WORDS.contains(brand) && baited(&plain, &target))
    })
}

/// The name with a bait word beside it: `secure-paypal`, `paypal-login-update`, `netflixbilling`.
fn baited(label: &str, brand: &str) -> bool {
    if label.contains('-') {
        let mut parts = label.split('-');
        return parts.clone().any(|part| part == brand)
            && parts.any(|part| BAIT.iter().any(|bait| skeleton(bait) == part));
    }
    let rest = label.strip_prefix(brand).or_else(|| label.strip_suffix(brand));
    rest.is_some_and(|rest| BAIT.iter().any(|bait| skeleton(bait) == rest))
}

/// One slip of the finger: two letters in each other's place, one twice, or one left out of a long name.
fn slip(label: &str, brand: &str) -> bool {
    let (label, brand): (Vec<char>, Vec<char>) = (label.chars().collect(), brand.chars().collect());
    let same = label.iter().zip(&brand).take_while(|(one, other)| one == other).count();
    let (label_rest, brand_rest) =
        (label.get(same..).unwrap_or_default(), brand.get(same..).unwrap_or_default());
    match (label_rest, brand_rest) {
        ([a, b, rest @ ..], [c, d, other @ ..]) if label.len() == brand.len() => {
            a == d && b == c && rest == other
        }
        ([more, rest @ ..], other) if label.len() == brand.len() + 1 => {
            rest == other && same > 0 && brand.get(same - 1) == Some(more)
        }
        (rest, [_, other @ ..]) if label.len() + 1 == brand.len() && brand.len() >= 8 => {
            rest == other
        }
        _ => false,
    }
}

/// A word as the eye takes it: marks and look-alike letters of other scripts become the plain letter, and so do
/// digits in the place of letters.
pub(super) fn skeleton(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for sign in word.nfkd().flat_map(char::to_lowercase) {
        match sign {
            '\u{300}'..='\u{36f}' => {}
            '0' | 'о' | 'ο' | 'օ' => out.push('o'),
            '1' | 'i' | 'ı' | 'і' | 'ι' | 'ӏ' => out.push('l'),
            '3' | 'е' | 'ε' => out.push('e'),
            '5' | 'ѕ' => out.push('s'),
            'а' | 'α' | 'ɑ' => out.push('a'),
            'с' | 'ϲ' => out.push('c'),
            'р' | 'ρ' => out.push('p'),
            'х' | 'χ' => out.push('x'),
            'у' | 'γ' => out.push('y'),
            'к' | 'κ' => out.push('k'),
            'ԁ' => out.push('d'),
            'һ' => out.push('h'),
            'ј' => out.push('j'),
            'ո' => out.push('n'),
            'ց' | 'ɡ' => out.push('g'),
            'ѵ' | 'ν' => out.push('v'),
            'ԝ' | 'ω' => out.push('w'),
            'т' | 'τ' => out.push('t'),
            _ => out.push(sign),
        }
    }
    out.replace("rn", "m").replace("vv", "w")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firm_is_found_in_a_name_as_a_word() {
        for (name, want) in [
            ("PayPal Service", Some("paypal")),
            ("Ihr Paket | DHL®", Some("dhl")),
            ("Disney+ Team", Some("disney+")),
            ("Booking.com", Some("booking com")),
            ("Pineapple Juice", None),
            ("Cups and more", None),
            ("Ann Example", None),
        ] {
            assert_eq!(named(&words(name)).map(|brand| brand.name), want, "{name}");
        }
    }

    #[test]
    fn names_that_look_like_a_firm_are_known() {
        for (label, want) in [
            ("paypa1", Some("paypal")),
            ("rnicrosoft", Some("microsoft")),
            ("arnazon", Some("amazon")),
            ("amaozn", Some("amazon")),
            ("paypall", Some("paypal")),
            ("microsft", Some("microsoft")),
            ("secure-netflix", Some("netflix")),
            ("netflixbilling", Some("netflix")),
            ("correios-encomendas", Some("correios")),
            ("xn--pypal-4ve", Some("paypal")),
            ("paypal", None),
            ("amazone", None),
            ("amazonas", None),
            ("shopify", None),
            ("example", None),
            ("facebookmail", None),
            ("outlooksecure", None),
            ("", None),
        ] {
            assert_eq!(looks_like(label), want, "{label}");
        }
    }
}
