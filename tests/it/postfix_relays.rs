//! Who is believed of the way of a mail: Postfix' own Received field behind its queue, the connection before it.

use crate::support::client::Client;
use crate::support::postfix::{self, Postfix};
use crate::support::sink::Sink;
use crate::support::tamis::Setup;
use crate::support::wiring::{self, Recipe};
use crate::support::{free_port, mails};

/// The field a stranger writes of himself: that he is welcome here.
const FORGED: &str = "Received: from nice.example (nice.example [203.0.113.9]) by mx.lab.example (Postfix)\r\n\
                      \twith ESMTPSA id 4XYZ; Mon, 2 Mar 2026 10:00:00 +0100\r\n";

const RULES: &str = "\
header OWN_FIELD X-Spam-Relays-External =~ /^\\[ ip=203\\.0\\.113\\.9 rdns=\\S* helo=stranger\\.example by=mx\\.lab\\.example [^\\]]*id=\\w/
score OWN_FIELD 0.2
header CLIENT_FIRST X-Spam-Relays-External =~ /^\\[ ip=203\\.0\\.113\\.9 rdns=\\S* helo=stranger\\.example by= /
score CLIENT_FIRST 0.2
header FORGED X-Spam-Relays-Trusted =~ /203\\.0\\.113\\.9/
score FORGED 0.2
";

/// Sends the mail as a stranger, and gives the line that is logged of it.
fn logged(recipe: &mut Recipe, pre_queue: bool) -> Option<String> {
    if !postfix::can_run() {
        return None;
    }
    recipe.main.push_str(
        "smtpd_authorized_xclient_hosts = 127.0.0.0/8\n\
         smtpd_relay_restrictions = permit_mynetworks, permit_auth_destination, reject\n",
    );
    let (folder, sink, back) = (crate::support::folder(), Sink::start(), free_port());
    let rules = folder.path().join("relays.cf");
    std::fs::write(&rules, RULES).unwrap();
    let spam = format!("[spam]\nshipped = false\nrules = [\"{}\"]\n", rules.display());
    let tamis = Setup::to(back).more(&spam).start();
    let filter = if pre_queue { tamis.pre_queue() } else { tamis.after_queue() };
    let postfix = Postfix::start(sink.port, recipe, filter, back);
    let mark = mails::mark("relays");
    let mut client = Client::greeted(postfix.port);
    client.says("XCLIENT ADDR=203.0.113.9 NAME=[UNAVAILABLE] PORT=1025", "220");
    client.says("EHLO stranger.example", "250");
    let mail = [FORGED.as_bytes(), &mails::clean(&mark)].concat();
    let heard = client.mail("a@stranger.example", &["bob@lab.example"], &mail);
    assert_eq!(heard.code(), 250, "{heard:?}");
    sink.wait_marked(&mark);
    tamis.wait_log("client=203.0.113.9");
    tamis.log().lines().find(|line| line.contains("client=203.0.113.9")).map(str::to_owned)
}

#[test]
fn behind_the_queue_the_field_of_postfix_is_known_by_its_queue_id() {
    if let Some(line) = logged(&mut wiring::after_queue(), false) {
        assert!(line.contains("top=OWN_FIELD:0.2 "), "{line}");
    }
}

#[test]
fn before_the_queue_a_field_of_the_client_says_nothing_for_him() {
    for mut recipe in [wiring::shipped_pre_queue(), wiring::shipped_pre_queue_with_speed_adjust()] {
        if let Some(line) = logged(&mut recipe, true) {
            assert!(line.contains("top=CLIENT_FIRST:0.2 "), "{line}");
        }
    }
}
