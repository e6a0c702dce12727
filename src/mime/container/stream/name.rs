//! What unpackers call the content of a compressed file.

/// Endings, and what stands in their place in the name of the content.
const ENDINGS: &[(&str, &str)] = &[
    (".tgz", ".tar"),
    (".taz", ".tar"),
    (".tpz", ".tar"),
    (".tbz", ".tar"),
    (".tbz2", ".tar"),
    (".tb2", ".tar"),
    (".tz2", ".tar"),
    (".txz", ".tar"),
    (".tlz", ".tar"),
    (".tzst", ".tar"),
    (".tlz4", ".tar"),
    (".tz", ".tar"),
    (".cpgz", ".cpio"),
    (".svgz", ".svg"),
    (".emz", ".emf"),
    (".wmz", ".wmf"),
    (".gz", ""),
    (".gzip", ""),
    (".bz2", ""),
    (".bzip2", ""),
    (".bz", ""),
    (".xz", ""),
    (".lzma", ""),
    (".lzma86", ""),
    (".lz", ""),
    (".zst", ""),
    (".zstd", ""),
    (".lz4", ""),
    (".z", ""),
    ("-gz", ""),
    ("-z", ""),
    ("_z", ""),
];

/// What tools call the content of a file of that name; the same name if they would not know the ending.
pub(super) fn inside(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    for (ending, instead) in ENDINGS {
        if lower.ends_with(ending)
            && let Some(stem) = name.get(..name.len().saturating_sub(ending.len()))
            && !stem.is_empty()
        {
            return format!("{stem}{instead}");
        }
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_called_as_unpackers_call_it() {
        for (name, want) in [
            ("a.tgz", "a.tar"),
            ("a.TBZ2", "a.tar"),
            ("a.tar.bz2", "a.tar"),
            ("a.exe.xz", "a.exe"),
            ("a.txz", "a.tar"),
            ("a.tzst", "a.tar"),
            ("a.exe.Z", "a.exe"),
            ("a.exe-gz", "a.exe"),
            ("a.svgz", "a.svg"),
            ("ä.gz", "ä"),
            ("a.exe", "a.exe"),
            (".gz", ".gz"),
        ] {
            assert_eq!(inside(name), want);
        }
    }
}
