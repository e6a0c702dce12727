//! The ways to wire the filter into Postfix: the recipes of the field, word for word.

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
    fn shipped(name: &'static str) -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/postfix");
        let main =
            std::fs::read_to_string(folder.join(format!("{name}.main.cf"))).unwrap_or_default();
        let master = std::fs::read_to_string(folder.join(format!("{name}.master.cf"))).ok()?;
        Some(Self::new(name, &main, &master))
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

/// The same with the filter on 10024.
pub fn after_queue_on_10024() -> Recipe {
    let mut recipe = after_queue();
    recipe.name = "scan on 10024";
    recipe.main = recipe.main.replace("10025", "10024");
    recipe.filter = 10024;
    recipe
}

/// What amavisd-new's users have: filter on 10024, back on 10025, HELO instead of EHLO.
pub fn amavis() -> Recipe {
    Recipe::new(
        "smtp-amavis on 10024",
        "content_filter = smtp-amavis:[127.0.0.1]:10024\n",
        "\
smtp-amavis unix - - n - 10 smtp
  -o smtp_data_done_timeout=1200s
  -o smtp_never_send_ehlo=yes
  -o notify_classes=protocol,resource,software
127.0.0.1:10025 inet n - n - - smtpd
  -o content_filter=
  -o mynetworks=127.0.0.0/8
  -o local_recipient_maps=
  -o notify_classes=protocol,resource,software
  -o myhostname=localhost
  -o smtpd_client_restrictions=
  -o smtpd_sender_restrictions=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o smtpd_tls_security_level=
",
    )
}

/// `smtpd_proxy_filter`, filter on 10025, back on 10026.
pub fn pre_queue() -> Recipe {
    Recipe::new(
        "proxy on 10025",
        "",
        "\
smtp inet n - n - 20 smtpd
  -o smtpd_proxy_filter=127.0.0.1:10025
  -o smtpd_client_connection_count_limit=10
127.0.0.1:10026 inet n - n - - smtpd
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
  -o smtpd_client_restrictions=
  -o smtpd_helo_restrictions=
  -o smtpd_sender_restrictions=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o smtpd_data_restrictions=
  -o mynetworks=127.0.0.0/8
  -o receive_override_options=no_unknown_recipient_checks
",
    )
}

/// The same, but Postfix takes the whole mail before it bothers the filter.
pub fn pre_queue_with_speed_adjust() -> Recipe {
    let mut recipe = pre_queue();
    recipe.name = "proxy with speed_adjust";
    let option = "  -o smtpd_proxy_options=speed_adjust\n";
    recipe.master =
        recipe.master.replacen("127.0.0.1:10026", &format!("{option}127.0.0.1:10026"), 1);
    recipe
}

/// The recipe the project ships for behind the queue.
pub fn shipped_after_queue() -> Recipe {
    Recipe::shipped("after-queue").unwrap_or_else(after_queue)
}

/// The recipe the project ships for before the queue.
pub fn shipped_pre_queue() -> Recipe {
    Recipe::shipped("pre-queue").unwrap_or_else(pre_queue)
}
