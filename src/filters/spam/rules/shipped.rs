//! The rules that come with the program.

use crate::filters::RuleFile;

macro_rules! files {
    ($($name:literal,)*) => {
        [$((
            concat!("filters/spam/", $name),
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/filters/spam/", $name)).as_slice(),
        ),)*]
    };
}

/// The files, in the order of their names.
const FILES: [(&str, &[u8]); 13] = files![
    "10_test.cf",
    "20_headers.cf",
    "25_sender.cf",
    "30_body.cf",
    "35_lures.cf",
    "37_classic.cf",
    "40_uri.cf",
    "45_links.cf",
    "50_structure.cf",
    "55_build.cf",
    "60_lists.cf",
    "65_learned.cf",
    "70_together.cf",
];

/// The shipped rules, built into the program.
#[must_use]
pub fn shipped() -> Vec<RuleFile> {
    FILES.iter().map(|(name, text)| RuleFile::built_in(name, text)).collect()
}
