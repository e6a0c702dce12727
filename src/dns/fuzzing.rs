//! A door for fuzzing into answers of the DNS.

use hickory_resolver::proto::op::Message;

use super::{RECORDS_MAX, TEXT_BYTES_MAX, name, records};
use crate::filters::dns::{Answer, Mask, Record, RecordKind, entries, is_refusal};

/// A packet, a name and a mask: records are few, names are plain, and a mask holds its own value.
pub fn dns(octets: &[u8]) {
    let kinds = [
        RecordKind::A,
        RecordKind::Aaaa,
        RecordKind::Txt,
        RecordKind::Mx,
        RecordKind::Ns,
        RecordKind::Ptr,
    ];
    if let Ok(message) = Message::from_vec(octets) {
        for kind in kinds {
            let answer = records(&message.answers, kind);
            assert!(answer.records().len() <= RECORDS_MAX);
            let text: usize = answer.texts().map(<[u8]>::len).sum();
            assert!(text <= TEXT_BYTES_MAX, "{text} octets");
            for found in answer.names() {
                assert!(found.len() <= 255 * 3 && !found.ends_with('.'), "{found:?}");
            }
            assert!(entries(&answer).all(|one| one.is_loopback() && !is_refusal(one)));
            let empty = matches!(&answer, Answer::Records(found) if found.is_empty());
            assert!(!empty, "no records are no answer");
            let other = |record: &Record| match record {
                Record::A(_) => kind != RecordKind::A,
                Record::Aaaa(_) => kind != RecordKind::Aaaa,
                Record::Txt(_) => kind != RecordKind::Txt,
                Record::Name(_) => {
                    !matches!(kind, RecordKind::Mx | RecordKind::Ns | RecordKind::Ptr)
                }
            };
            assert!(!answer.records().iter().any(other), "records of another kind");
        }
    }
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Some(name) = name(text) {
        assert!(name.len() <= 255, "{} octets", name.len());
        assert!(name.iter().all(|label| (1..=63).contains(&label.len())));
    }
    if let Some(mask) = Mask::parse(text) {
        let own = match mask {
            Mask::Range(first, last) => (first <= last).then_some(first),
            Mask::Bits(value, _) => Some(value),
            Mask::Any(_) => None,
        };
        assert!(
            own.is_none_or(|own| mask.fits(own.into())),
            "{mask:?} does not hold its own value"
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_octets_make_an_answer_that_does_not_hold(
            octets in proptest::collection::vec(any::<u8>(), 0..100),
            kind in prop::sample::select(vec![1_u8, 2, 5, 12, 15, 16, 28]),
            text in "([0-9]{1,3}|\\.|-|/|0x|a|é){0,20}",
        ) {
            dns(&octets);
            dns(text.as_bytes());
            let length = u8::try_from(octets.len()).unwrap();
            let head = b"\0\x01\x81\x80\0\0\0\x01\0\0\0\0\x01a\x04test\0\0";
            let rest = [kind, 0, 1, 0, 0, 0, 60, 0, length];
            dns(&[head.as_slice(), &rest, &octets].concat());
        }
    }
}
