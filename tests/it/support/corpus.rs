//! The corpus: mails and byte scripts that live outside of the repository.

use std::path::PathBuf;
use std::process::Command;

/// The folder of the corpus: `$TAMIS_CORPUS`, or `../shared/corpus` beside the repository.
///
/// `None`, with a line that says so, if it is not there; with `CI=true` the test fails instead.
pub fn corpus() -> Option<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("TAMIS_CORPUS").map(PathBuf::from);
    let beside = here.ancestors().skip(1).map(|folder| folder.join("shared/corpus"));
    let found = named.into_iter().chain(beside).find(|folder| folder.join("smtp").is_dir());
    super::has("the corpus ($TAMIS_CORPUS)", found.is_some()).then_some(found).flatten()
}

/// A JSON file of the corpus' byte scripts.
pub fn scripts(file: &str) -> Option<serde_json::Value> {
    let path = corpus()?.join("smtp").join(file);
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

/// All mails of the corpus, unpacked into a folder that ends with the value: paths in order.
pub struct Mails {
    _folder: tempfile::TempDir,
    /// The files.
    pub files: Vec<PathBuf>,
}

impl Mails {
    /// Unpacks them.
    pub fn unpack() -> Option<Self> {
        let folder = super::folder();
        let mut files = Vec::new();
        for theme in std::fs::read_dir(corpus()?.join("mail")).unwrap() {
            let theme = theme.unwrap();
            let name = theme.file_name();
            let mut archive = theme.path().join(&name).into_os_string();
            archive.push(".tar.gz");
            if !PathBuf::from(&archive).is_file() {
                continue;
            }
            let target = folder.path().join(&name);
            std::fs::create_dir(&target).unwrap();
            let tar = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&target).status();
            assert!(tar.unwrap().success(), "tar unpacks {}", archive.display());
            files.extend(std::fs::read_dir(&target).unwrap().map(|file| file.unwrap().path()));
        }
        files.retain(|file| file.is_file());
        files.sort();
        assert!(!files.is_empty(), "the corpus holds no mail");
        Some(Self { _folder: folder, files })
    }
}
