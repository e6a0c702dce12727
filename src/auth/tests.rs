//! Authentication through our wiring, against an authority of our own: the vectors of RFC 6376 and RFC 8463, ARC chains
//! and DMARC policies made here, and a DNS that is dead.

use std::time::Duration;

use base64::Engine as _;
use mail_auth::AuthenticationResults;
use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;

use super::*;
use crate::dns::stub::{Reply, Stub};

const RFC8463: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
";

const RFC6376: &str = "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
";

const ED25519: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

fn stub() -> Stub {
    let stub = Stub::start();
    stub.add("brisbane._domainkey.football.example.com", "TXT", &[ED25519]);
    stub.add(
        "test._domainkey.football.example.com",
        "TXT",
        &["v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"],
    );
    stub.add(
        "brisbane._domainkey.example.com",
        "TXT",
        &["v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"],
    );
    stub.add("s._domainkey.signer.test", "TXT", &[ED25519]);
    stub
}

fn sender(address: &str) -> Sender {
    Sender {
        client: Some("192.0.2.1".parse().unwrap()),
        internal: false,
        helo: "mx.client.test".into(),
        address: address.into(),
    }
}

async fn check(stub: &Stub, raw: &str, sender: &Sender) -> (Auth, Vec<NotRun>) {
    check_trusting(stub, raw, sender, &[]).await
}

async fn check_trusting(
    stub: &Stub,
    raw: &str,
    sender: &Sender,
    trusted: &[&str],
) -> (Auth, Vec<NotRun>) {
    let dns = Arc::new(Dns::new(&[stub.address], Duration::from_millis(300)).unwrap());
    let raw = raw.replace("\r\n", "\n").replace('\n', "\r\n");
    let body = raw.find("\r\n\r\n").map_or(raw.len(), |at| at + 4);
    let trusted: Vec<String> = trusted.iter().map(|one| (*one).to_owned()).collect();
    let authenticator = Authenticator::new(dns, "us.test").trusting(&trusted);
    let until = Instant::now() + Duration::from_secs(5);
    authenticator.check(&Bytes::from(raw), body, sender, until).await
}

fn results(auth: &Auth) -> Vec<&'static str> {
    auth.dkim.iter().map(|one| one.result.as_str()).collect()
}

#[tokio::test]
async fn the_vectors_of_the_standards_pass() {
    let stub = stub();
    let sender = sender("joe@football.example.com");
    for (name, raw, want) in
        [("RFC 8463", RFC8463, &["pass", "pass"][..]), ("RFC 6376", RFC6376, &["pass"])]
    {
        let (auth, _) = check(&stub, raw, &sender).await;
        assert_eq!(results(&auth), want, "{name}: {:?}", auth.dkim);
        let other = raw.replace("hungry", "thirsty");
        let (auth, _) = check(&stub, &other, &sender).await;
        assert!(results(&auth).iter().all(|one| *one == "fail"), "{name}: {:?}", auth.dkim);
        let other = raw.replace("Is dinner", "Was dinner");
        let (auth, _) = check(&stub, &other, &sender).await;
        assert!(results(&auth).iter().all(|one| *one == "fail"), "{name}: {:?}", auth.dkim);
    }
    let (auth, _) = check(&stub, RFC8463, &sender).await;
    assert!(auth.is_signed_by_author() && auth.is_signed_by(".example.com"));
    assert_eq!(auth.dkim[0].identity, "@football.example.com");
}

#[tokio::test]
async fn a_missing_or_short_key_is_no_proof() {
    let stub = Stub::start();
    let short = base64::engine::general_purpose::STANDARD.encode([7; 94]);
    stub.add("test._domainkey.football.example.com", "TXT", &[&format!("p={short}")]);
    let (auth, not_run) = check(&stub, RFC8463, &sender("a@b.test")).await;
    assert_eq!(results(&auth), ["permerror", "permerror"], "{:?}", auth.dkim);
    assert!(auth.dkim[1].why.contains("1024 bits"), "{:?}", auth.dkim);
    assert!(not_run.is_empty(), "{not_run:?}");
}

fn key() -> Ed25519Key {
    let decode = |text| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let seed = decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=");
    let public = decode("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    Ed25519Key::from_seed_and_public_key(&seed, &public).unwrap()
}

fn mail(from: &str) -> String {
    format!("From: {from}\r\nTo: b@us.test\r\nSubject: x\r\n\r\ntext\r\n")
}

fn signed(raw: &str, domain: &str) -> String {
    let signer =
        DkimSigner::from_key(key()).domain(domain).selector("s").headers(["From", "To", "Subject"]);
    format!("{}{raw}", signer.sign(raw.as_bytes()).unwrap().to_header())
}

#[tokio::test]
async fn dmarc_follows_aligned_domains() {
    let stub = stub();
    stub.add("_dmarc.signer.test", "TXT", &["v=DMARC1; p=reject; sp=quarantine"]);
    stub.add("_dmarc.strict.test", "TXT", &["v=DMARC1; p=quarantine; aspf=s; adkim=s"]);
    stub.add("_dmarc.two.test", "TXT", &["v=DMARC1; p=reject", "v=DMARC1; p=none"]);
    stub.set("_dmarc.broken.test", "*", Reply::Failure);
    for name in ["mail.signer.test", "signer.test", "strict.test", "sub.strict.test"] {
        stub.add(name, "TXT", &["v=spf1 ip4:192.0.2.1 -all"]);
    }
    let plain = |from: &str| mail(from);
    let authors = |count| {
        let all: Vec<String> = (0..count).map(|number| format!("a@n{number}.test")).collect();
        all.join(", ")
    };
    for (raw, envelope, want, policy) in [
        (
            signed(&mail("a@signer.test"), "signer.test"),
            "x@other.test",
            "pass",
            DmarcPolicy::Reject,
        ),
        (
            signed(&mail("a@sub.signer.test"), "signer.test"),
            "x@other.test",
            "pass",
            DmarcPolicy::Quarantine,
        ),
        (plain("a@signer.test"), "x@mail.signer.test", "pass", DmarcPolicy::Reject),
        (plain("a@signer.test"), "x@other.test", "fail", DmarcPolicy::Reject),
        (plain("a@sub.signer.test"), "x@other.test", "fail", DmarcPolicy::Quarantine),
        (plain("a@strict.test"), "x@sub.strict.test", "fail", DmarcPolicy::Quarantine),
        (plain("a@strict.test"), "x@strict.test", "pass", DmarcPolicy::Quarantine),
        (
            signed(&mail("a@strict.test"), "signer.test"),
            "x@other.test",
            "fail",
            DmarcPolicy::Quarantine,
        ),
        // Somebody else beside him does not hide an author, and a long header does not either.
        (plain("a@signer.test\r\nFrom: c@other.test"), "x@other.test", "fail", DmarcPolicy::Reject),
        (plain("c@other.test, a@signer.test"), "x@other.test", "fail", DmarcPolicy::Reject),
        (
            format!("{}{}", "X-A: b\r\n".repeat(2_100), plain("a@signer.test")),
            "x@other.test",
            "fail",
            DmarcPolicy::Reject,
        ),
        // More authors than are asked for: any of them could be one who does not want it.
        (plain(&authors(8)), "x@other.test", "none", DmarcPolicy::None),
        (plain(&authors(9)), "x@other.test", "fail", DmarcPolicy::Reject),
        (
            plain(&format!("{}, a@signer.test", authors(9))),
            "x@other.test",
            "fail",
            DmarcPolicy::Reject,
        ),
        (plain("a@two.test"), "x@two.test", "none", DmarcPolicy::None),
        (plain("a@nothing.test"), "x@nothing.test", "none", DmarcPolicy::None),
        (plain("a@broken.test"), "x@broken.test", "temperror", DmarcPolicy::None),
    ] {
        let (auth, not_run) = check(&stub, &raw, &sender(envelope)).await;
        let dmarc = auth.dmarc.unwrap();
        assert_eq!(
            (dmarc.result.as_str(), dmarc.policy),
            (want, policy),
            "{raw}\n{envelope}: {dmarc:?}"
        );
        let told = not_run.iter().any(|one| one.check == "dmarc");
        let many = dmarc.why.contains("more than 8 domains");
        assert_eq!(told, want == "temperror" || many, "{not_run:?}");
    }
}

#[tokio::test]
async fn a_chain_holds_until_somebody_breaks_it() {
    let stub = stub();
    let raw = signed(&mail("a@signer.test"), "signer.test");
    let dns = Arc::new(Dns::new(&[stub.address], Duration::from_millis(300)).unwrap());
    let library = MessageAuthenticator(dns.resolver());
    let seal = async |raw: String| {
        let message = AuthenticatedMessage::parse(raw.as_bytes()).unwrap();
        let arc = library.verify_arc(&message).await;
        let results = AuthenticationResults::new("list.test")
            .with_arc_result(&arc, "192.0.2.1".parse().unwrap());
        let sealer = ArcSealer::from_key(key()).domain("signer.test").selector("s").headers([
            "From",
            "To",
            "Subject",
            "DKIM-Signature",
        ]);
        let set = sealer.seal(&message, &results, &arc).unwrap().to_header();
        format!("{set}{raw}")
    };
    let once = seal(raw.clone()).await;
    let twice = seal(once.clone()).await;
    for (raw, result, length) in [
        (raw.clone(), None, 0),
        (once.clone(), Some("pass"), 1),
        (twice.clone(), Some("pass"), 2),
        (twice.replace("text", "other"), Some("fail"), 2),
        (twice.replacen("cv=pass", "cv=none", 1), Some("fail"), 2),
        (once.replacen("i=1", "i=2", 1), Some("fail"), 1),
    ] {
        let (auth, _) = check(&stub, &raw, &sender("a@signer.test")).await;
        let got = auth.arc.as_ref().map(|arc| (arc.result.as_str(), arc.length));
        assert_eq!(got.map(|(result, _)| result), result, "{raw}\n{:?}", auth.arc);
        if let Some((_, got)) = got {
            assert!(got <= length, "{:?}", auth.arc);
        }
    }
}

/// Puts a seal on a mail: of that domain, with what it says it saw, and over these fields.
async fn sealed(stub: &Stub, raw: &str, domain: &str, saw: &str, fields: &[&str]) -> String {
    let dns = Arc::new(Dns::new(&[stub.address], Duration::from_millis(300)).unwrap());
    let library = MessageAuthenticator(dns.resolver());
    let message = AuthenticatedMessage::parse(raw.as_bytes()).unwrap();
    let chain = library.verify_arc(&message).await;
    let results = format!("mx.{domain}; {saw}");
    let results = AuthenticationResults::new(&results);
    let sealer =
        ArcSealer::from_key(key()).domain(domain).selector("s").headers(fields.iter().copied());
    let set = sealer.seal(&message, &results, &chain).unwrap().to_header();
    format!("{set}{raw}")
}

#[tokio::test]
async fn a_failure_does_not_count_if_all_sealers_since_are_trusted_and_saw_it_pass() {
    let stub = stub();
    stub.add("_dmarc.signer.test", "TXT", &["v=DMARC1; p=reject"]);
    for domain in ["list.test", "relay.test", "evil.test"] {
        stub.add(&format!("s._domainkey.{domain}"), "TXT", &[ED25519]);
    }
    let fields = ["From", "To", "Subject"];
    let saw_pass = "dmarc=pass (p=reject) header.from=signer.test; dkim=pass header.d=signer.test";
    let saw_fail = "dmarc=fail header.from=signer.test; arc=pass";
    // A list changes the subject, so that the author's signature breaks.
    let broken =
        signed(&mail("a@signer.test"), "signer.test").replace("\nSubject: x", "\nSubject: [l] x");
    let listed = sealed(&stub, &broken, "list.test", saw_pass, &fields).await;
    let failed = sealed(&stub, &broken, "list.test", saw_fail, &fields).await;
    let relayed = sealed(&stub, &listed, "relay.test", saw_fail, &fields).await;
    let lied = sealed(&stub, &broken, "evil.test", saw_pass, &fields).await;
    let laundered = sealed(&stub, &lied, "list.test", saw_fail, &fields).await;
    let loose = sealed(&stub, &broken, "list.test", saw_pass, &["To", "Subject"]).await;
    let other =
        sealed(&stub, &broken, "list.test", "dmarc=pass header.from=list.test", &fields).await;
    let several = broken.replacen("From: a@signer.test", "From: a@signer.test, b@other.test", 1);
    let several = sealed(&stub, &several, "list.test", saw_pass, &fields).await;
    let both = ["list.test", "relay.test"];
    for (raw, trusted, want) in [
        (&listed, &["list.test"][..], "arc=pass as[1].d=list.test"),
        (&listed, &[".Test"], "arc=pass as[1].d=list.test"),
        (&listed, &[], ""),
        (&listed, &["relay.test"], ""),
        (&failed, &["list.test"], ""),
        (&other, &["list.test"], ""),
        (&relayed, &both, "arc=pass as[2].d=relay.test as[1].d=list.test"),
        // The last sealer is a stranger; or he is trusted, and a stranger said it to him.
        (&relayed, &["list.test"], ""),
        (&lied, &both, ""),
        (&laundered, &both, ""),
        // What a seal does not hold together.
        (&loose, &["list.test"], ""),
        (&several, &["list.test"], ""),
        (&listed.replace("\r\n\r\ntext", "\r\n\r\nother"), &["list.test"], ""),
        (&listed.replace("dmarc=pass", "dmarc=none"), &["list.test"], ""),
    ] {
        let (auth, _) = check_trusting(&stub, raw, &sender("x@list.test"), trusted).await;
        let dmarc = auth.dmarc.clone().unwrap();
        assert_eq!(
            (dmarc.result, dmarc.overridden.as_str()),
            (AuthResult::Fail, want),
            "{raw}\n{auth:?}"
        );
        assert_eq!(dmarc.fails(), want.is_empty());
    }
    // What passes needs nobody's word.
    let raw = signed(&mail("a@signer.test"), "signer.test");
    let raw = sealed(&stub, &raw, "list.test", saw_pass, &fields).await;
    let (auth, _) = check_trusting(&stub, &raw, &sender("x@list.test"), &["list.test"]).await;
    let dmarc = auth.dmarc.unwrap();
    assert_eq!((dmarc.result, dmarc.overridden.as_str()), (AuthResult::Pass, ""));
}

#[tokio::test]
async fn with_a_dead_dns_nothing_is_decided_and_all_is_told() {
    let stub = Stub::start();
    stub.die();
    let began = Instant::now();
    let (auth, not_run) = check(&stub, RFC8463, &sender("joe@football.example.com")).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(results(&auth), ["temperror", "temperror"]);
    assert_eq!(auth.spf.unwrap().result, AuthResult::TempError);
    assert_eq!(auth.dmarc.unwrap().result, AuthResult::TempError);
    let checks: Vec<&str> = not_run.iter().map(|one| one.check.as_str()).collect();
    assert_eq!(checks, ["spf", "dkim", "dmarc"]);
    assert!(not_run.iter().all(|one| one.weight == Weight::Wanted));
}

#[tokio::test]
async fn our_own_clients_need_no_permission() {
    let stub = stub();
    let sender = Sender { internal: true, ..sender("a@signer.test") };
    let (auth, not_run) =
        check(&stub, &signed(&mail("a@signer.test"), "signer.test"), &sender).await;
    assert_eq!(
        (auth.spf, auth.dmarc, results(&Auth { dkim: auth.dkim.clone(), ..Auth::default() })),
        (None, None, vec!["pass"])
    );
    assert!(not_run.iter().all(|one| one.weight == Weight::Off));
    assert!(!stub.asked().iter().any(|(name, _)| name.starts_with("_dmarc.x")));
}

#[tokio::test]
async fn hostile_headers_cost_little() {
    let stub = stub();
    let signature = RFC6376.lines().take(8).collect::<Vec<_>>().join("\n");
    let many =
        format!("{}\n{}", [signature.as_str()].repeat(300).join("\n"), mail("a@signer.test"));
    let names = ["x"; 30_000].join(":");
    let long = format!(
        "DKIM-Signature: v=1; a=rsa-sha256; s=s; d=signer.test; h={names}; bh=AAAA; b=AAAA\n{}",
        mail("a@b.test")
    );
    let fields = format!("{}{RFC8463}", "X: y\n".repeat(5_000));
    for raw in [many, long, fields, String::new(), "\n\n".into(), "DKIM-Signature:\n\n".into()] {
        let began = Instant::now();
        let (auth, _) = check(&stub, &raw, &sender("a@b.test")).await;
        assert!(auth.dkim.len() <= 2 * SIGNATURES_MAX);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}
