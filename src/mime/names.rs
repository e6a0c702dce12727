//! File names: every way a mail reader may read one.

/// The candidates for a name.
#[must_use]
pub fn normalised(name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    let trimmed = name.trim_end_matches(['.', ' ', '\0']);
    if trimmed != name {
        names.push(trimmed.to_owned());
    }
    names
}
