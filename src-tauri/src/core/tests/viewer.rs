//! Looking into archives: fetched, read, asked, and gone without a trace.

use std::io::{Cursor, Write};
use std::path::Path;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::cloud::FakeCloud;
use super::*;
use crate::ipc::{Archive, Jump, Level, LogFilter};

fn zip(name: &str, lines: usize) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(name, SimpleFileOptions::default()).unwrap();
    for n in 0..lines {
        let level = if n % 10 == 3 { "ERROR" } else { "INFO" };
        writeln!(writer, "2026-11-21 12:{:02}:{:02} {level} {name} {n}", n / 60 % 60, n % 60).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Everything that lies in the place for archives that are looked into.
fn left_behind(home: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(home.join("viewing")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn parts_are_fetched_read_and_asked_and_leave_nothing() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![]).await;
    let mut desk = Desk::signed_in(&home, &cloud).await;
    let parts = vec![
        cloud.serve_part("one.zip", zip("logs/a.log", 100)),
        cloud.serve_part("two.zip", zip("logs/b.log", 50)),
    ];
    let viewer = desk.core.view_archives(parts.clone()).unwrap();
    let ready = desk.hears(|event| event["viewer"]["phase"] == "ready").await;
    let log = &ready["viewer"]["log"];
    assert_eq!((&log["lines"], &log["levels"]["error"]), (&json!(150), &json!(15)));
    assert_eq!(left_behind(home.path()), [""; 0]);

    let window = desk.core.viewer_window(viewer.id, 0, 4).await.unwrap();
    let texts: Vec<&str> = window.lines.iter().map(|line| line.text.as_str()).collect();
    assert!(texts[0].ends_with("a.log 0") && texts[1].ends_with("b.log 0"), "{texts:?}");
    let filter = LogFilter { levels: vec![Level::Error], file: Some(1) };
    assert_eq!(desk.core.viewer_filter(viewer.id, filter, 0).await.unwrap().total, 5);
    assert_eq!(desk.core.viewer_find(viewer.id, "B.LOG 13".into(), 0).await.unwrap().unwrap().count, 1);
    assert_eq!(desk.core.viewer_jump(viewer.id, 0, Jump::NextError).await.unwrap().unwrap().place, 1);
    assert!(desk.core.viewer_entry(viewer.id, 0).await.unwrap().unwrap().text.contains("b.log 3"));

    // Another takes its place; what is closed answers no more.
    let next = desk.core.view_archives(parts).unwrap();
    assert_eq!(desk.core.viewer_window(viewer.id, 0, 4).await.unwrap_err().code, "not_found");
    desk.core.close_viewer(next.id);
    assert_eq!(desk.core.viewer_entry(next.id, 0).await.unwrap_err().code, "not_found");
}

#[tokio::test]
async fn what_does_not_arrive_right_is_told_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![]).await;
    let mut desk = Desk::signed_in(&home, &cloud).await;
    let good = cloud.serve_part("good.zip", zip("logs/a.log", 10));
    let wrong = Archive { sha256: "00".repeat(32), ..good.clone() };
    let no_zip = cloud.serve_part("no.zip", b"hello".to_vec());
    for (archive, code) in [(wrong, "checksum_mismatch"), (no_zip, "archive_unreadable")] {
        desk.core.view_archives(vec![good.clone(), archive]).unwrap();
        let failed = desk.hears(|event| event["viewer"]["phase"] == "failed").await;
        assert_eq!(failed["viewer"]["error"]["code"], code);
        assert_eq!(left_behind(home.path()), [""; 0]);
    }
    assert!(desk.core.view_archives(vec![]).is_err());
    let huge = Archive { size_bytes: 3 << 30, ..good };
    assert_eq!(desk.core.view_archives(vec![huge]).unwrap_err().code, "invalid_request");
}

#[tokio::test]
async fn closing_stops_the_fetching_and_a_start_sweeps_what_a_kill_left() {
    let home = tempfile::tempdir().unwrap();
    let cloud = FakeCloud::start(vec![]).await;
    let archive = cloud.serve(zip("logs/a.log", 1000), &[]);
    cloud.state.archive.lock().unwrap().hangs = true;
    let desk = Desk::signed_in(&home, &cloud).await;
    let viewer = desk.core.view_archives(vec![archive]).unwrap();
    let comes_to_hold = async |count| {
        let waited = tokio::time::timeout(PATIENCE, async {
            while left_behind(home.path()).len() != count {
                tokio::task::yield_now().await;
            }
        });
        waited.await.expect("what is fetched comes and goes");
    };
    comes_to_hold(1).await;
    desk.core.close_viewer(viewer.id);
    comes_to_hold(0).await;

    std::fs::create_dir_all(home.path().join("viewing/killed")).unwrap();
    std::fs::write(home.path().join("viewing/killed/0.zip"), "x").unwrap();
    let _desk = Desk::start(&home, Stored::default(), Secrets::memory());
    assert_eq!(left_behind(home.path()), [""; 0]);
}
