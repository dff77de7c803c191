//! Broken specifications and what is said about each: `fixtures/broken/slo/NAME.yml` and `NAME.expected`.
//! `UPDATE_FIXTURES=1` rewrites the expectations; read the difference as a change of behaviour.

use std::fs;
use std::path::{Path, PathBuf};

use almenara::slo::parse_file;
use almenara::source::SourceFile;

fn read(path: &Path) -> SourceFile {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap().to_owned();
    SourceFile::new(name, fs::read_to_string(path).unwrap())
}

#[test]
fn broken_specifications_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/broken/slo");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    assert!(files.len() >= 12, "only {} files in {}", files.len(), folder.display());
    let mut wrong = Vec::new();
    for path in files {
        let (file, diagnostics) = parse_file(&read(&path));
        assert!(!diagnostics.is_empty(), "{}: nothing to say", path.display());
        assert_eq!(file.is_none(), diagnostics.has_errors(), "{}", path.display());
        let (said, expected) = (format!("{diagnostics}\n"), path.with_extension("expected"));
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::write(expected, said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{} should hold\n{said}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn shipped_specifications_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("slo");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let (file, diagnostics) = parse_file(&read(&entry.unwrap().path()));
        assert!(diagnostics.is_empty(), "{diagnostics}");
        count += file.unwrap().slos.len();
    }
    assert!(count > 0);
}
