//! Broken rule files and what is said about each: `fixtures/broken/rules/NAME.yml` and `NAME.expected`.
//! `UPDATE_FIXTURES=1` rewrites the expectations; read the difference as a change of behaviour.

use std::fs;
use std::path::{Path, PathBuf};

use almenara::rules::RuleFile;
use almenara::source::SourceFile;

fn read(path: &Path) -> SourceFile {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap().to_owned();
    SourceFile::new(name, fs::read_to_string(path).unwrap())
}

#[test]
fn broken_rule_files_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/broken/rules");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    assert!(files.len() >= 30, "only {} files in {}", files.len(), folder.display());
    let mut wrong = Vec::new();
    for path in files {
        let (file, diagnostics) = RuleFile::parse(&read(&path));
        assert!(!diagnostics.is_empty(), "{}: nothing to say", path.display());
        assert_eq!(file.is_none(), diagnostics.has_errors(), "{}", path.display());
        let unplaced: Vec<_> = diagnostics.iter().filter(|diagnostic| diagnostic.position().is_none()).collect();
        assert!(unplaced.is_empty(), "{}: {unplaced:?}", path.display());
        let (said, expected) = (format!("{diagnostics}\n"), path.with_extension("expected"));
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            fs::write(expected, said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{} should hold\n{said}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every rule of a collection beside the repository is accepted; says nothing where there is none.
#[test]
fn rules_in_the_field_are_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/mixins");
    let Ok(mixins) = fs::read_dir(&folder) else { return };
    let mut count = 0;
    for mixin in mixins.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in fs::read_dir(mixin).unwrap().map(|entry| entry.unwrap().path()) {
            let (read, diagnostics) = RuleFile::parse(&read(&file));
            assert!(diagnostics.is_empty(), "{}: {diagnostics}", file.display());
            count += read.unwrap().groups.iter().map(|group| group.rules.len()).sum::<usize>();
        }
    }
    assert!(count > 100, "only {count} rules");
}
