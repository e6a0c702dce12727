//! A door for fuzzing into SPF records.

use super::macros::{Text, Values};
use super::record::{Mechanism, Record, is_spf};
use super::{is_domain, within};

/// A record: written with more blanks it is the same, and what its macros become has a limit.
pub fn spf(octets: &[u8]) {
    let values = Values {
        sender: "strong-bad@email.example.com",
        helo: "mx.example.org",
        client: if octets.len().is_multiple_of(2) {
            std::net::Ipv4Addr::new(192, 0, 2, 3).into()
        } else {
            std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()
        },
        receiver: "us.test",
        now: 7,
    };
    let expand = |text: &Text| {
        let long = text.expand(&values, "email.example.com", "a.b.test");
        // The piece that goes over the limit is the last.
        assert!(long.len() <= 4_096 + octets.len() + 1_024, "{} octets", long.len());
        let name = text.name(&values, "email.example.com", "a.b.test");
        assert!(name.len() <= 253 || !name.contains('.'), "{} octets", name.len());
        let _ = is_domain(&name);
    };
    if let Ok(text) = std::str::from_utf8(octets) {
        let (strict, free) = (Text::parse(text, false), Text::parse(text, true));
        assert!(strict.is_none() || strict == free, "an explanation reads less");
        free.iter().for_each(expand);
    }
    let with_version = [b"v=spf1 ".as_slice(), octets].concat();
    for octets in [octets, &with_version] {
        if !is_spf(octets) {
            continue;
        }
        let Ok(record) = Record::parse(octets) else { continue };
        let wide: Vec<u8> = octets
            .iter()
            .flat_map(|octet| if *octet == b' ' { b"  ".to_vec() } else { vec![*octet] })
            .collect();
        let again = Record::parse(&wide);
        assert!(wide.len() > 8_192 || again.as_ref() == Ok(&record), "{record:?} {again:?}");
        for directive in &record.directives {
            assert!(directive.written.len() <= 80);
            match &directive.mechanism {
                Mechanism::Include(text) | Mechanism::Exists(text) => expand(text),
                Mechanism::A(text, four, six) | Mechanism::Mx(text, four, six) => {
                    assert!(*four <= 32 && *six <= 128);
                    text.iter().for_each(expand);
                }
                Mechanism::Ptr(text) => text.iter().for_each(expand),
                Mechanism::Ip4(address, bits) => {
                    assert!(within((*address).into(), (*address).into(), *bits));
                    within(values.client, (*address).into(), *bits);
                }
                Mechanism::Ip6(address, bits) => {
                    assert!(within((*address).into(), (*address).into(), *bits));
                    within(values.client, (*address).into(), *bits);
                }
                Mechanism::All => {}
            }
        }
        record.redirect.iter().chain(&record.explanation).for_each(expand);
    }
}
