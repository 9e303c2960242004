//! What fuzzing begins with, and what it found once, is read in every test run.

use std::path::Path;
use std::process::Command;

/// Each target, and the folder of what it is fed with first.
const TARGETS: [(&str, &str); 6] = [
    (env!("CARGO_BIN_EXE_fuzz-frames"), "frames"),
    (env!("CARGO_BIN_EXE_fuzz-report"), "report"),
    (env!("CARGO_BIN_EXE_fuzz-exchange"), "exchange"),
    (env!("CARGO_BIN_EXE_fuzz-timestamps"), "timestamps"),
    (env!("CARGO_BIN_EXE_fuzz-import"), "import"),
    (env!("CARGO_BIN_EXE_fuzz-viewer"), "viewer"),
];

#[test]
fn each_file_of_a_corpus_is_read_as_its_target_does() {
    for (target, corpus) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(corpus);
        let files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{corpus}");
        let ended = Command::new(target).args(&files).output().unwrap();
        let told = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{corpus}: {told}");
        assert_eq!(told.matches("Executed ").count(), files.len(), "{corpus}: {told}");
    }
}
