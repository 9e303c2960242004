//! What fuzzing begins with, and what it found once, is read in every test run.

use std::path::Path;
use std::process::Command;

/// Reads each file of a corpus as its target does.
fn is_read(target: &str, corpus: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(corpus);
    let files: Vec<_> =
        folder.read_dir().expect("a corpus").map(|entry| entry.expect("a file").path()).collect();
    assert!(!files.is_empty());
    let ended = Command::new(target).args(&files).output().expect("a target");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}");
    assert_eq!(told.matches("Executed ").count(), files.len(), "{told}");
}

#[test]
fn frames() {
    is_read(env!("CARGO_BIN_EXE_fuzz-frames"), "frames");
}

#[test]
fn reports() {
    is_read(env!("CARGO_BIN_EXE_fuzz-report"), "report");
}

#[test]
fn exchanges() {
    is_read(env!("CARGO_BIN_EXE_fuzz-exchange"), "exchange");
}

#[test]
fn timestamps() {
    is_read(env!("CARGO_BIN_EXE_fuzz-timestamps"), "timestamps");
}

#[test]
fn imports() {
    is_read(env!("CARGO_BIN_EXE_fuzz-import"), "import");
}

#[test]
fn archives() {
    is_read(env!("CARGO_BIN_EXE_fuzz-viewer"), "viewer");
}
