//! An archive of logs in the viewer. The input is the archive itself, or, where it begins otherwise than zips do, what is put
//! into one: names and texts in turn, with a zero between them, and at last what is searched for.
#![no_main]

use std::io::Write;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tillwatch::ipc::{Jump, LogFilter};
use tillwatch::viewer::{LIMITS, Source, View, read};
use zip::write::SimpleFileOptions;

fuzz_target!(|input: &[u8]| {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("archive.zip");
    let mut parts: Vec<&[u8]> = input.split(|byte| *byte == 0).collect();
    let search = String::from_utf8_lossy(parts.pop().unwrap_or_default());
    let bytes = if input.starts_with(b"PK") { input.to_vec() } else { archive(&parts) };
    std::fs::write(&path, bytes).expect("a file");
    let to = "2026-11-20T12:00:00Z".parse().expect("a time");
    let source = Source { path, name: "archive.zip".into(), to };
    let Ok(Some(log)) = read(&[source], folder.path(), LIMITS, &mut |_, _| true) else { return };

    let view = View::new(Arc::new(log));
    let all = LogFilter { levels: Vec::new(), file: None };
    let shown = view.filter(&all, 0);
    let middle = shown.total / 2;
    let mut seen = 0;
    while seen < shown.total {
        let window = view.window(seen, 500).expect("a window");
        assert!(!window.lines.is_empty(), "{seen} of {} lines", shown.total);
        seen += window.lines.len() as u32;
    }
    if let Ok(Some(found)) = view.find(&search, middle) {
        assert!(found.count <= shown.total);
        for to in [Jump::NextMatch, Jump::PreviousMatch, Jump::NextError, Jump::PreviousError] {
            view.jump(middle, to);
        }
    }
    if shown.total > 0 {
        assert!(view.entry(middle).expect("text that can be read").is_some());
    }
});

fn archive(parts: &[&[u8]]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for [name, text] in parts.as_chunks().0 {
        // A name that comes twice is refused by this writer.
        if zip.start_file(String::from_utf8_lossy(name), SimpleFileOptions::default()).is_ok() {
            zip.write_all(text).expect("room");
        }
    }
    zip.finish().expect("an archive").into_inner()
}
