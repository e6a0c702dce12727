//! Signs a mail as its sender would and verifies it as its reader would, without DNS: the key is at hand.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::{Canonicalization, DkimSigner};
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{
    ArcOutput, AuthenticatedMessage, AuthenticationResults, DkimResult, MessageAuthenticator,
    Parameters, ResolverCache, Txt,
};

/// A sender's key pair, fresh for each value.
pub struct Sender {
    key: [u8; 32],
}

const SELECTOR: &str = "it";
const DOMAIN: &str = "sender.example";

impl Sender {
    /// With a new key.
    pub fn new() -> Self {
        let mut key = [0; 32];
        for chunk in key.chunks_mut(8) {
            chunk.copy_from_slice(&super::random().to_ne_bytes());
        }
        Self { key }
    }

    /// The key in the only form that is read: PKCS#8 of RFC 8410, a fixed head before the 32 octets.
    fn key(&self) -> Ed25519Key {
        const HEAD: [u8; 16] =
            [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        Ed25519Key::from_pkcs8_der(&[HEAD.as_slice(), &self.key].concat()).unwrap()
    }

    /// The mail with a signature on top. Body and header are signed as they stand (`simple`), which any change of one
    /// octet breaks.
    pub fn sign(&self, mail: &[u8]) -> Vec<u8> {
        let signature = DkimSigner::from_key(self.key())
            .domain(DOMAIN)
            .selector(SELECTOR)
            .headers([
                "From",
                "To",
                "Subject",
                "Date",
                "Message-ID",
                "MIME-Version",
                "Content-Type",
            ])
            .header_canonicalization(Canonicalization::Simple)
            .body_canonicalization(Canonicalization::Simple)
            .sign(mail)
            .unwrap();
        [signature.to_header().as_bytes(), mail].concat()
    }

    /// The mail with a first ARC seal on top, which says what was seen: `dmarc=pass header.from=…`.
    pub fn seal(&self, mail: &[u8], saw: &str) -> Vec<u8> {
        let message = AuthenticatedMessage::parse(mail).unwrap();
        let results = format!("mx.{DOMAIN}; {saw}");
        let results = AuthenticationResults::new(&results);
        let sealer = ArcSealer::from_key(self.key())
            .domain(DOMAIN)
            .selector(SELECTOR)
            .headers(["From", "To", "Subject"]);
        let set = sealer.seal(&message, &results, &ArcOutput::default()).unwrap();
        [set.to_header().as_bytes(), mail].concat()
    }

    /// The name under which the key is published, and its record.
    pub fn record(&self) -> (String, String) {
        let public = base64::engine::general_purpose::STANDARD.encode(self.key().public_key());
        (format!("{SELECTOR}._domainkey.{DOMAIN}"), format!("v=DKIM1; k=ed25519; p={public}"))
    }

    /// Fails unless the mail carries this sender's signature and it holds.
    pub fn verify(&self, mail: &[u8]) {
        let (_, record) = self.record();
        let keys = Keys(Arc::new(DomainKey::parse(record.as_bytes()).unwrap()));
        let message = AuthenticatedMessage::parse(mail).unwrap();
        let nowhere = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        let reader = MessageAuthenticator::new(nowhere, ResolverOpts::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let parameters = Parameters::new(&message).with_txt_cache(&keys);
        let results = runtime.block_on(reader.verify_dkim(parameters));
        assert!(!results.is_empty(), "no signature is left in {}", super::show(mail));
        for result in results {
            assert_eq!(result.result(), &DkimResult::Pass, "in {}", super::show(mail));
        }
    }
}

/// Stands in for DNS.
struct Keys(Arc<DomainKey>);

impl ResolverCache<Box<str>, Txt> for Keys {
    fn get<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Some(Txt::DomainKey(Arc::clone(&self.0)))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

#[test]
fn a_signature_holds_until_one_octet_changes() {
    let sender = Sender::new();
    let signed = sender.sign(&super::mails::clean("dkim"));
    sender.verify(&[b"X-Above: yes\r\n".as_slice(), &signed].concat());
    let changed = [signed.as_slice(), b"x\r\n"].concat();
    let verdict = std::panic::catch_unwind(|| sender.verify(&changed));
    assert!(verdict.is_err(), "a changed mail still verifies");
}
