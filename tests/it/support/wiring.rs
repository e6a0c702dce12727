//! The ways to wire the filter into Postfix: the project's own files, and the recipe of the field, word for word.

use std::path::Path;

/// One recipe with the ports it names.
pub struct Recipe {
    /// For people.
    pub name: &'static str,
    /// Lines for `main.cf`.
    pub main: String,
    /// Entries for `master.cf`.
    pub master: String,
    /// The port on which the filter is expected.
    pub filter: u16,
    /// The port on which the filter gives mail back.
    pub back: u16,
    /// False where Postfix itself rewrites 8-bit mail before we see it, since HELO cannot offer 8BITMIME.
    pub carries_8_bit: bool,
}

impl Recipe {
    /// Finds the ports in the text.
    fn new(name: &'static str, main: &str, master: &str) -> Self {
        let lines = || main.lines().chain(master.lines()).filter(|line| !line.starts_with('#'));
        let port = |text: &str| text.rsplit(':').next()?.trim().parse().ok();
        let filter = lines()
            .filter(|line| line.contains("content_filter") || line.contains("smtpd_proxy_filter"))
            .find_map(|line| port(line.split_once('=')?.1));
        let back = lines()
            .filter(|line| line.split_whitespace().nth(1) == Some("inet"))
            .find_map(|line| port(line.split_whitespace().next()?));
        Self {
            name,
            main: main.to_owned(),
            master: master.to_owned(),
            filter: filter.unwrap_or_else(|| panic!("{name} names no filter")),
            back: back.unwrap_or_else(|| panic!("{name} has no way back")),
            carries_8_bit: !master.contains("smtp_never_send_ehlo=yes"),
        }
    }

    /// A recipe of the project, from the files in `conf/postfix`.
    fn shipped(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/postfix");
        let read = |end: &str| std::fs::read_to_string(folder.join(format!("{name}.{end}.cf")));
        Self::new(name, &read("main").unwrap(), &read("master").unwrap())
    }
}

/// `content_filter` with an SMTP transport, filter on 10025, back on 10026.
pub fn after_queue() -> Recipe {
    Recipe::new(
        "scan on 10025",
        "content_filter = scan:localhost:10025\nreceive_override_options = no_address_mappings\n",
        "\
scan unix - - n - 10 smtp
  -o smtp_send_xforward_command=yes
  -o disable_mime_output_conversion=yes
  -o smtp_generic_maps=
localhost:10026 inet n - n - 10 smtpd
  -o content_filter=
  -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters
  -o smtpd_helo_restrictions=
  -o smtpd_client_restrictions=
  -o smtpd_sender_restrictions=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o mynetworks=127.0.0.0/8
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
",
    )
}

/// What the project ships for behind the queue: filter on 10024, back on 10026.
pub fn shipped_after_queue() -> Recipe {
    Recipe::shipped("after-queue")
}

/// What the project ships in place of amavisd-new: filter on 10024, back on 10025, HELO instead of EHLO.
pub fn shipped_amavis() -> Recipe {
    Recipe::shipped("amavis")
}

/// What the project ships for before the queue: filter on 10025, back on 10026.
pub fn shipped_pre_queue() -> Recipe {
    Recipe::shipped("pre-queue")
}

/// The same with the choice the file offers: Postfix takes the whole mail before it bothers the filter.
pub fn shipped_pre_queue_with_speed_adjust() -> Recipe {
    let mut recipe = shipped_pre_queue();
    let (off, on) =
        ("#    -o smtpd_proxy_options=speed_adjust", "    -o smtpd_proxy_options=speed_adjust");
    assert!(recipe.master.contains(off), "the file offers speed_adjust");
    recipe.master = recipe.master.replace(off, on);
    recipe
}
