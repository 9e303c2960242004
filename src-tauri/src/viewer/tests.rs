//! Archives as stores make them, and as nobody should.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::error::AppError;
use crate::ipc::{Jump, Level, LogFilter};

/// A zip of these files.
fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn manifest(files: &[&str]) -> Vec<u8> {
    let files: Vec<_> =
        files.iter().map(|path| json!({"path": path, "modified_at": "2026-11-21T12:00:00Z"})).collect();
    json!({"format": 1, "outlet": "Riga Centrs", "time_zone": "Europe/Riga", "truncated": true,
        "period": {"from": "2026-11-21T00:00:00Z", "to": "2026-11-22T00:00:00Z"}, "files": files})
    .to_string()
    .into_bytes()
}

fn read_all(folder: &Path, archives: &[Vec<u8>]) -> Result<Option<Log>, AppError> {
    let sources: Vec<Source> = archives
        .iter()
        .enumerate()
        .map(|(number, bytes)| {
            let path = folder.join(format!("{number}.zip"));
            std::fs::write(&path, bytes).unwrap();
            let to: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().unwrap();
            Source { path, name: format!("part-{number}.zip"), to }
        })
        .collect();
    read(&sources, folder, LIMITS, &mut |_, _| true)
}

fn view(archives: &[Vec<u8>]) -> View {
    let folder = tempfile::tempdir().unwrap();
    View::new(Arc::new(read_all(folder.path(), archives).unwrap().unwrap()))
}

fn code(archives: &[Vec<u8>]) -> String {
    let folder = tempfile::tempdir().unwrap();
    match read_all(folder.path(), archives) {
        Ok(_) => "it was read".into(),
        Err(error) => error.code,
    }
}

/// The shown lines: time, level, text.
fn shown(view: &View) -> Vec<String> {
    let window = view.window(0, 500).unwrap();
    let line = |line: crate::ipc::LogLine| {
        let time = line.at.map_or("-".to_owned(), |at| at.format("%H:%M:%S").to_string());
        format!("{time} {:?} {}", line.level, line.text)
    };
    window.lines.into_iter().map(line).collect()
}

fn only(levels: &[Level]) -> LogFilter {
    LogFilter { levels: levels.to_vec(), file: None }
}

#[test]
fn entries_of_all_files_of_all_parts_come_by_time() {
    let pos = b"2026-11-21 12:00:01 INFO first\n2026-11-21 12:00:05 ERROR no paper\n  at printer\n";
    let rest = b"  at till\n2026-11-21 12:00:09 INFO last\n";
    let plugin = "2026-11-21 12:00:03 WARN медленно\r\n2026-11-21 12:00:05 INFO other\n".as_bytes();
    let names = ["logs/pos.log", "logs/plugins/x.log"];
    let parts = [
        zip(&[("manifest.json", &manifest(&names)), (names[0], pos), (names[1], plugin)]),
        zip(&[("manifest.json", &manifest(&names)), (names[0], rest)]),
    ];
    let view = view(&parts);
    // Riga is two hours ahead of UTC in November. The entry that is cut between the parts is one still.
    assert_eq!(
        shown(&view),
        [
            "10:00:01 Info 2026-11-21 12:00:01 INFO first",
            "10:00:03 Warn 2026-11-21 12:00:03 WARN медленно",
            "10:00:05 Error 2026-11-21 12:00:05 ERROR no paper",
            "10:00:05 Error   at printer",
            "10:00:05 Info 2026-11-21 12:00:05 INFO other",
            "10:00:05 Error   at till",
            "10:00:09 Info 2026-11-21 12:00:09 INFO last",
        ]
    );
    let log = view.log();
    assert_eq!((log.len(), log.entries()), (7, 5));
    assert_eq!((log.counts().error, log.counts().warn, log.counts().info), (1, 1, 3));
    assert_eq!(log.about().outlet, "Riga Centrs");
    assert!(log.about().truncated);
    let names: Vec<_> = log.files().iter().map(|file| (file.name.as_str(), file.lines)).collect();
    assert_eq!(names, [("pos.log", 5), ("plugins/x.log", 2)]);
    let (from, to) = log.period().unwrap();
    assert_eq!(
        (from.to_rfc3339(), to.to_rfc3339()),
        ("2026-11-21T10:00:01+00:00".into(), "2026-11-21T10:00:09+00:00".into())
    );
    assert_eq!(view.entry(3).unwrap().unwrap().text, "2026-11-21 12:00:05 ERROR no paper\n  at printer");
    assert!(view.entry(99).unwrap().is_none());
}

#[test]
fn levels_and_files_are_filtered_and_the_place_stays() {
    let mut text = String::new();
    for n in 0..1000 {
        let level = if n % 100 == 50 { "ERROR" } else { "INFO" };
        writeln!(text, "2026-11-21 12:{:02}:{:02} {level} entry {n}", n / 60, n % 60).unwrap();
    }
    let other = b"2026-11-21 12:00:00 DEBUG other\n";
    let view = view(&[zip(&[("logs/a.log", text.as_bytes()), ("logs/b.log", other)])]);
    let errors = view.filter(&only(&[Level::Error]), 500);
    assert_eq!(errors.total, 10);
    // The line at 500 was of entry 499; the next error is the sixth.
    assert_eq!(errors.place, 5);
    assert!(shown(&view)[5].ends_with("entry 550"), "{:?}", shown(&view)[5]);
    let back = view.filter(&only(&Level::ALL), 5);
    assert_eq!((back.total, back.place), (1001, 551));
    let second = view.filter(&LogFilter { levels: Level::ALL.to_vec(), file: Some(1) }, 0);
    assert_eq!((second.total, shown(&view).len()), (1, 1));
    assert_eq!(view.filter(&only(&[]), 0).total, 0);
    assert_eq!(view.window(0, 10).unwrap().lines, []);
}

#[test]
fn a_text_is_found_in_any_case_and_jumped_to() {
    let mut text = String::new();
    for n in 0..5000 {
        let word = if n % 1000 == 7 { "Ошибка (оплата)" } else { "ok" };
        writeln!(text, "2026-11-21 12:{:02}:{:02} INFO {n} {word}", n / 60 % 60, n % 60).unwrap();
    }
    let view = view(&[zip(&[("logs/a.log", text.as_bytes())])]);
    let found = view.find("ОШИБКА (ОПЛАТА)", 0).unwrap().unwrap();
    assert_eq!(found.count, 5);
    let first = found.first.unwrap();
    let mut places = vec![first.place];
    let mut at = first.place;
    for _ in 0..5 {
        at = view.jump(at, Jump::NextMatch).unwrap().place;
        places.push(at);
    }
    assert_eq!(places[5], places[0], "it goes round: {places:?}");
    assert!(places[..5].is_sorted());
    let back = view.jump(places[0], Jump::PreviousMatch).unwrap();
    assert_eq!((back.place, back.number), (places[4], 5));
    let window = view.window(first.place, 2).unwrap();
    assert_eq!(window.lines.iter().map(|line| line.matches).collect::<Vec<_>>(), [true, false]);
    // It is a text, not a pattern.
    assert_eq!(view.find(".*", 0).unwrap().unwrap().count, 0);
    assert!(view.jump(0, Jump::NextMatch).is_none());
    assert_eq!(view.find("", 0).unwrap().unwrap().count, 0);
    assert!(view.find(&"x".repeat(501), 0).is_err());
}

#[test]
fn errors_are_jumped_to_both_ways_round() {
    let text =
        "2026-11-21 12:00:01 ERROR a\n  more\n2026-11-21 12:00:02 INFO b\n2026-11-21 12:00:03 ERROR c\n";
    let view = view(&[zip(&[("logs/a.log", text.as_bytes())])]);
    let next = |from| view.jump(from, Jump::NextError).unwrap().place;
    let previous = |from| view.jump(from, Jump::PreviousError).unwrap().place;
    assert_eq!([next(0), next(1), next(3), previous(3), previous(0), previous(2)], [3, 3, 0, 0, 3, 0]);
    view.filter(&only(&[Level::Info]), 0);
    assert!(view.jump(0, Jump::NextError).is_none());
}

#[test]
fn files_without_times_come_last_and_other_encodings_are_read() {
    let timed = b"2026-11-21 12:00:01 INFO first\n";
    let (cyrillic, _, _) = encoding_rs::WINDOWS_1251.encode(
        "Ошибка при оплате заказа, повторите попытку позже\nПечать чека не удалась: нет бумаги в принтере\n",
    );
    let view = view(&[zip(&[("logs/whole.txt", &cyrillic), ("logs/a.log", timed)])]);
    let lines = shown(&view);
    assert_eq!(lines[0], "12:00:01 Info 2026-11-21 12:00:01 INFO first", "without a manifest times are UTC");
    assert_eq!(lines[1], "- None Ошибка при оплате заказа, повторите попытку позже");
    assert_eq!(lines[2], "- None Печать чека не удалась: нет бумаги в принтере");
    // Each line of such a file is an entry.
    assert_eq!(view.log().entries(), 3);
}

#[test]
fn lines_before_the_first_time_belong_to_it() {
    let text =
        b"=== started ===\nversion 34\n2026-11-21 12:00:01 INFO first\n2026-11-21 12:00:02 INFO next\n";
    let view = view(&[zip(&[("logs/a.log", text)])]);
    assert_eq!(shown(&view)[0], "12:00:01 None === started ===");
    assert_eq!(view.log().entries(), 2);
}

#[test]
fn a_gigantic_line_is_shown_in_pieces_and_not_cut_within_a_letter() {
    let mut text = String::from("2026-11-21 12:00:01 INFO a");
    text += &"ж".repeat(1 << 19);
    text += "needle\n2026-11-21 12:00:02 INFO b\n";
    let view = view(&[zip(&[("logs/a.log", text.as_bytes())])]);
    let window = view.window(0, 500).unwrap();
    assert!(window.lines.iter().all(|line| line.text.len() <= LONGEST + 3));
    assert!(window.lines.iter().all(|line| !line.text.contains('\u{fffd}')), "no letter is lost");
    assert_eq!(window.lines.iter().filter(|line| line.starts).count(), 2);
    assert_eq!(window.lines.iter().map(|line| line.text.matches('ж').count()).sum::<usize>(), 1 << 19);
    let found = view.find("NEEDLE", 0).unwrap().unwrap();
    assert_eq!((found.count, found.first.unwrap().place), (1, view.log().len() as u32 - 2));
    let entry = view.entry(1).unwrap().unwrap();
    assert!(entry.truncated && entry.text.len() < 300 << 10);
}

#[test]
fn names_are_shown_and_never_used() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["../../evil.log", "/etc/cron.d/evil", "logs/a\u{202e}gol.exe", "logs/a\nb.log"];
    let files: Vec<(&str, &[u8])> =
        names.iter().map(|name| (*name, &b"2026-11-21 12:00:01 INFO x\n"[..])).collect();
    let log = read_all(folder.path(), &[zip(&files)]).unwrap().unwrap();
    let shown: Vec<&str> = log.files().iter().map(|file| file.name.as_str()).collect();
    assert_eq!(shown, ["../../evil.log", "/etc/cron.d/evil", "a\u{fffd}gol.exe", "a\u{fffd}b.log"]);
    // Nothing but the zip itself lies in the folder, and nothing beside it.
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["0.zip"]);
}

#[test]
fn control_characters_do_nothing() {
    let view = view(&[zip(&[("logs/a.log", b"2026-11-21 12:00:01 INFO \x1b[31mred\x07\x00 end\n")])]);
    assert_eq!(view.window(0, 1).unwrap().lines[0].text, "2026-11-21 12:00:01 INFO ␛[31mred␇␀ end");
}

#[test]
fn what_is_no_zip_or_is_damaged_is_told() {
    let good = zip(&[("logs/a.log", "2026-11-21 12:00:01 INFO x\n".repeat(1000).as_bytes())]);
    assert_eq!(code(&[b"hello".to_vec()]), "archive_unreadable");
    assert_eq!(code(&[Vec::new()]), "archive_unreadable");
    assert_eq!(code(&[good[..good.len() / 2].to_vec()]), "archive_unreadable");

    // A wrong checksum, in the local header and in the directory.
    let mut wrong = good.clone();
    let directory = find(&wrong, b"PK\x01\x02");
    for at in [14, directory + 16] {
        wrong[at] ^= 0xff;
    }
    assert_eq!(code(&[wrong]), "archive_unreadable");

    // A stream of deflate that makes no sense.
    let mut torn = good.clone();
    let start = 30 + "logs/a.log".len();
    torn[start..start + 40].fill(0xff);
    assert_eq!(code(&[torn]), "archive_unreadable");

    // Encrypted, as the headers have it.
    let mut secret = good.clone();
    for at in [6, directory + 8] {
        secret[at] |= 1;
    }
    assert_eq!(code(&[secret]), "archive_encrypted");

    // A method that nobody knows.
    let mut strange = good.clone();
    for at in [8, directory + 10] {
        strange[at] = 77;
    }
    assert_eq!(code(&[strange]), "archive_unreadable");

    // The bad one is named.
    let folder = tempfile::tempdir().unwrap();
    let error = read_all(folder.path(), &[good, b"hello".to_vec()]).err().unwrap();
    assert_eq!(error.params["name"], "part-1.zip");
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).rposition(|window| window == wanted).unwrap()
}

#[test]
fn a_bomb_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let lines = zip(&[("logs/bomb.log", &vec![b'\n'; 1 << 20])]);
    let text = zip(&[("logs/bomb.log", &vec![0; 8 << 20])]);
    assert!(lines.len() < 4 << 10 && text.len() < 16 << 10);
    let limits = Limits { text: 4 << 20, lines: 100_000 };
    for (number, bomb) in [lines, text].into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.zip"));
        std::fs::write(&path, bomb).unwrap();
        let source = Source { path, name: "bomb.zip".into(), to: Utc::now() };
        let mut most = 0;
        let error = read(&[source], folder.path(), limits, &mut |done, _| {
            most = most.max(done);
            true
        });
        assert_eq!(error.err().unwrap().code, "archive_too_large");
        assert!(most <= limits.text, "it stops where the limit is");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left but the zips");
}

#[test]
fn reading_is_told_and_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let text = "2026-11-21 12:00:01 INFO some entry or other\n".repeat(500_000);
    std::fs::write(&path, zip(&[("logs/a.log", text.as_bytes())])).unwrap();
    let source = Source { path, name: "a.zip".into(), to: Utc::now() };
    let mut told = Vec::new();
    let stopped = read(&[source], folder.path(), LIMITS, &mut |done, total| {
        told.push((done, total));
        told.len() < 2
    });
    assert!(stopped.unwrap().is_none());
    assert_eq!(told.len(), 2);
    assert!(told[0].0 < told[1].0 && told[1].1 == text.len() as u64, "{told:?}");
}

#[test]
fn a_place_that_can_not_be_written_is_told() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    std::fs::write(&path, zip(&[])).unwrap();
    let source = Source { path, name: "a.zip".into(), to: Utc::now() };
    let error = read(&[source], &folder.path().join("gone"), LIMITS, &mut |_, _| true).err().unwrap();
    assert_eq!(error.code, "file_unwritable");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever bytes a zip has, it is read or told, and nothing panics.
    #[test]
    fn any_change_of_an_archive_is_read_or_told(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let text = "2026-11-21 12:00:01 INFO x\n21.11.2026 ERROR y\n".repeat(20);
        let mut bytes = zip(&[("manifest.json", &manifest(&["logs/a.log"])), ("logs/a.log", text.as_bytes())]);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        match read_all(folder.path(), &[bytes]) {
            Ok(log) => {
                let view = View::new(Arc::new(log.unwrap()));
                view.window(0, 500).unwrap();
                view.find("error", 0).unwrap();
            }
            Err(error) => prop_assert!(error.code.starts_with("archive_"), "{error:?}"),
        }
    }

    /// Whatever text a log has, all of it is shown.
    #[test]
    fn any_text_is_shown_line_by_line(text in "(\\PC|\n|2026-11-21 12:00:0[1-9] ){0,200}") {
        let view = view(&[zip(&[("logs/a.log", text.as_bytes())])]);
        let mut wanted: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        let mut found: Vec<String> = view.window(0, 500).unwrap().lines.into_iter().map(|line| line.text).collect();
        wanted.sort();
        found.sort();
        prop_assert_eq!(found, wanted);
    }
}
