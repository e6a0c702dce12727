//! LMTP: a reply for each recipient (RFC 2033).

use crate::support::client::Client;
use crate::support::mails;
use crate::support::sink::Sink;
use crate::support::tamis::Setup;

const POLICIES: &str = r#"
[policy.strict]
extends = "inbound"
recipients = ["strict@lab.example"]
banned = "reject"
[policy.lenient]
extends = "inbound"
recipients = ["lenient@lab.example"]
attachments = []
[policy.small]
extends = "inbound"
recipients = ["small@lab.example"]
message_size = "1KB"
attachments = []
"#;

#[test]
fn each_recipient_hears_what_became_of_his_copy() {
    let sink = Sink::start();
    let mut setup = Setup::to(sink.port).more(POLICIES);
    setup.listener = "protocol = \"lmtp\"".to_owned();
    let mut tamis = setup.prepare();
    // Before the queue there is no LMTP: the sender speaks SMTP with Postfix.
    let text = tamis.configuration();
    let (head, tail) = text.rsplit_once("protocol = \"lmtp\"").expect("two listeners");
    tamis.write(&format!("{head}{tail}"));
    tamis.launch();
    let mut client = Client::connect(tamis.after_queue());
    client.wants("220");
    for (line, want) in [
        ("EHLO x", "502"),
        ("LHLO client.example.org", "250"),
        ("DATA", "503"),
        ("MAIL FROM:<alice@sender.example>", "250"),
        ("RCPT TO:<strict@lab.example>", "250"),
        ("RCPT TO:<lenient@lab.example>", "250"),
        ("RCPT TO:<bob@lab.example>", "250"),
        ("RCPT TO:<small@lab.example>", "250"),
        ("DATA", "354"),
    ] {
        client.says(line, want);
    }
    // Over the size that the policy `small` takes, packed or not.
    let data: Vec<u8> =
        (0_u32..3000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let mail = mails::with_file(&mails::mark("lmtp"), "a.zip", &mails::zip("x.exe", &data));
    client.send(&crate::support::client::stuffed(&mail)).unwrap();
    for want in ["554 5.7.0", "250 2.0.0", "250 2.7.0", "552 5.3.4"] {
        client.wants(want);
    }
    assert_eq!(sink.count(), 1, "one recipient got it");
}
