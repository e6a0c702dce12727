//! What conditions in rule files ask for: `if plugin(…)`, `if can(…)`, `if has(…)`, `if version >= …`.
//!
//! The answers are those of SpamAssassin 4.0.1 as it comes, so that rule files written for it mean the same here.

/// The version of the rule language we speak, as SpamAssassin writes its own: 4.0.1.
pub(super) const VERSION: f64 = 4.000_001;
/// The same as `require_version` writes it.
pub(super) const VERSION_TEXT: &str = "4.000001";

/// Plug-ins that are loaded.
const PLUGINS: [&str; 29] = [
    "AskDNS",
    "AutoLearnThreshold",
    "Bayes",
    "BodyEval",
    "Check",
    "DKIM",
    "DMARC",
    "DNSEval",
    "FreeMail",
    "HTMLEval",
    "HTTPSMismatch",
    "HashBL",
    "HeaderEval",
    "ImageInfo",
    "MIMEEval",
    "MIMEHeader",
    "Pyzor",
    "Razor2",
    "RelayEval",
    "ReplaceTags",
    "Rule2XSBody",
    "SPF",
    "SpamCop",
    "URIDNSBL",
    "URIDetail",
    "URIEval",
    "VBounce",
    "WLBLEval",
    "WelcomeListSubject",
];

/// What the program and its plug-ins can do, behind `Mail::SpamAssassin::`.
const ABILITIES: [&str; 65] = [
    // Debian asks for it: lists have their new names alone.
    "Conf::compat_welcomelist_blocklist",
    "Conf::feature_bayes_auto_learn_on_error",
    "Conf::feature_bayes_stopwords",
    "Conf::feature_blocklist_welcomelist",
    "Conf::feature_bug6558_free",
    "Conf::feature_capture_rules",
    "Conf::feature_compile_regexp",
    "Conf::feature_dns_block_rule",
    "Conf::feature_dns_local_ports_permit_avoid",
    "Conf::feature_dns_query_restriction",
    "Conf::feature_edns",
    "Conf::feature_geodb",
    "Conf::feature_get_host",
    "Conf::feature_header_address_parser",
    "Conf::feature_header_first_last",
    "Conf::feature_header_match_many",
    "Conf::feature_local_tests_only",
    "Conf::feature_meta_rules_matching",
    "Conf::feature_originating_ip_headers",
    "Conf::feature_registryboundaries",
    "Conf::feature_subjprefix",
    "Conf::feature_uri_host_listed",
    "Conf::feature_welcomelist_blocklist",
    "Conf::feature_yesno_takes_args",
    "Conf::has_tflags_nosubject",
    "Conf::perl_min_version_5010000",
    "Plugin::AskDNS::has_tag_header",
    "Plugin::BodyEval::has_check_body_length",
    "Plugin::BodyEval::has_plaintext_body_sig_ratio",
    "Plugin::DKIM::has_arc",
    "Plugin::DNSEval::has_tflags_domains_only",
    "Plugin::DNSEval::has_tflags_ips_only",
    "Plugin::HashBL::has_hashbl_attachments",
    "Plugin::HashBL::has_hashbl_bodyre",
    "Plugin::HashBL::has_hashbl_bodyre_num",
    "Plugin::HashBL::has_hashbl_email_domain",
    "Plugin::HashBL::has_hashbl_email_domain_alias",
    "Plugin::HashBL::has_hashbl_email_regex",
    "Plugin::HashBL::has_hashbl_email_welcomelist",
    "Plugin::HashBL::has_hashbl_email_whitelist",
    "Plugin::HashBL::has_hashbl_emails",
    "Plugin::HashBL::has_hashbl_ignore",
    "Plugin::HashBL::has_hashbl_sha256",
    "Plugin::HashBL::has_hashbl_tag",
    "Plugin::HashBL::has_hashbl_uris",
    "Plugin::MIMEEval::has_check_abundant_unicode_ratio",
    "Plugin::MIMEEval::has_check_for_ascii_text_illegal",
    "Plugin::MIMEEval::has_check_qp_ratio",
    "Plugin::MIMEHeader::has_all_header",
    "Plugin::MIMEHeader::has_capture_rules",
    "Plugin::MIMEHeader::has_tflags_concat",
    "Plugin::MIMEHeader::has_tflags_multiple",
    "Plugin::MIMEHeader::has_tflags_range",
    "Plugin::Pyzor::has_fork",
    "Plugin::Pyzor::has_perl",
    "Plugin::Razor2::has_fork",
    "Plugin::SPF::has_check_for_spf_errors",
    "Plugin::SPF::has_check_spf_skipped_noenvfrom",
    "Plugin::URIDNSBL::has_subtest_for_ranges",
    "Plugin::URIDNSBL::has_tflags_domains_only",
    "Plugin::URIDNSBL::has_tflags_notrim",
    "Plugin::URIDNSBL::has_uridnsbl_a_ns",
    "Plugin::URIDNSBL::has_uridnsbl_for_a",
    "Plugin::URIDNSBL::has_uridnsbl_skip_mailto",
    "Plugin::URIDetail::has_host_key",
];

/// True if that plug-in is loaded; names may be short or whole.
pub(super) fn plugin(name: &str) -> bool {
    let short = name.rsplit("::").next().unwrap_or(name);
    let renamed = match short {
        "Dmarc" => "DMARC",
        "WhiteListSubject" => "WelcomeListSubject",
        // It never did anything but say that the new names of lists are there.
        "RaciallyCharged" => return true,
        other => other,
    };
    PLUGINS.contains(&renamed)
}

/// The answer to `can(name)` and `has(name)`.
pub(super) fn able(name: &str) -> bool {
    let name = name.strip_prefix("Mail::SpamAssassin::").unwrap_or(name);
    ABILITIES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_answered() {
        assert!(plugin("Mail::SpamAssassin::Plugin::Dmarc"));
        assert!(!plugin("Mail::SpamAssassin::Plugin::Shortcircuit"));
        assert!(able("Mail::SpamAssassin::Conf::feature_bug6558_free"));
        assert!(!able("Mail::SpamAssassin::Conf::feature_unheard_of"));
    }
}
