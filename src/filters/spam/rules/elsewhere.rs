//! Settings of SpamAssassin that rule files hold and we do not use: where their place is here.

/// Keys, by how they begin, and what to set here instead. The first that fits counts.
const HINTS: [(&str, &str); 36] = [
    ("required_score", "set `spam` in `[policy.NAME]`"),
    ("required_hits", "set `spam` in `[policy.NAME]`"),
    ("rewrite_header", "set `subject_prefix` in `[policy.NAME]`"),
    ("rewrite_subject", "set `subject_prefix` in `[policy.NAME]`"),
    ("subject_tag", "set `subject_prefix` in `[policy.NAME]`"),
    ("subjprefix", "set `subject_prefix` in `[policy.NAME]`"),
    ("report_safe", "what passes is never repacked"),
    ("add_header", "our own header fields are always added; see `tamis config`"),
    ("remove_header", "our own header fields are always added; see `tamis config`"),
    ("clear_headers", "our own header fields are always added; see `tamis config`"),
    ("always_add_headers", "our own header fields are always added; see `tamis config`"),
    ("fold_headers", "our own header fields are always folded"),
    ("report", "`tamis explain` shows why a mail was judged as it was"),
    ("unsafe_report", "what passes is never repacked"),
    ("always_trust_envelope_sender", "SPF always takes the sender that Postfix tells"),
    ("skip_rbl_checks", "set `rule_lists` in `[dns]`"),
    ("skip_uribl_checks", "set `rule_lists` in `[dns]`"),
    ("num_check_received", "the lists are asked about nine relays at most"),
    ("uridnsbl_skip_mailto", "links to mail addresses are never looked up"),
    ("dns_server", "set `resolvers` in `[dns]`"),
    ("clear_dns_servers", "set `resolvers` in `[dns]`"),
    ("time_limit", "each mail has a deadline; see `tamis config`"),
    ("loadplugin", "what a plug-in does is built in, or not there"),
    ("tryplugin", "what a plug-in does is built in, or not there"),
    ("shortcircuit", "rules that cannot change the verdict cost next to nothing"),
    ("user_scores_", "points are set in rule files and in `[spam] points`"),
    ("allow_user_rules", "rule files are the site's"),
    ("razor_", "there is no client for Razor"),
    ("pyzor_", "there is no client for Pyzor"),
    ("dcc_", "there is no client for DCC"),
    ("spamcop_", "mails are not reported to SpamCop"),
    ("asn_", "networks are not looked up"),
    ("bayes_auto_learn", "set `autolearn` in `[spam]`"),
    ("bayes_auto_learn_", "set `autolearn_ham_below` and `autolearn_spam_from` in `[spam]`"),
    ("bayes_stopword_", "frequent words say little by themselves"),
    ("lock_method", "there are no files to lock"),
];

/// Lines that ask for nothing: they only serve those who make rule files, or choose what we always do.
const SILENT: [&str; 6] = [
    "version_tag",
    "normalize_charset",
    "ignore_always_matching_regexps",
    "enable_compat",
    "body_part_scan_size",
    "rawbody_part_scan_size",
];

/// What to write instead; empty if there is nothing.
pub(super) fn hint(key: &str) -> &'static str {
    let fits = |(start, _): &&(&str, &str)| {
        key == *start || (key.starts_with(start) && (start.ends_with('_') || *start == "report"))
    };
    if key.starts_with("clear_") && key.ends_with("_template") {
        return "`tamis explain` shows why a mail was judged as it was";
    }
    HINTS.iter().find(fits).map_or("", |(_, hint)| *hint)
}

/// The key as it is told: of those that come once for each language, one stands for all.
pub(super) fn told(key: &str) -> &str {
    if key.starts_with("bayes_stopword_") { "bayes_stopword_…" } else { key }
}

/// True for lines that may be passed over without a word.
pub(super) fn silent(key: &str) -> bool {
    SILENT.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_found_by_the_key_or_its_start() {
        for (key, want) in [
            ("required_score", "set `spam`"),
            ("report", "`tamis explain`"),
            ("report_contact", "`tamis explain`"),
            ("report_safe", "what passes"),
            ("clear_report_template", "`tamis explain`"),
            ("always_trust_envelope_sender", "SPF always takes"),
            ("razor_timeout", "there is no client for Razor"),
        ] {
            assert!(hint(key).starts_with(want), "{key}: {}", hint(key));
        }
        assert_eq!(hint("unheard_of"), "");
        assert!(silent("version_tag") && !silent("score"));
    }
}
