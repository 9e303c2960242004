//! The zips: that other programs read them, that they keep to the limit, that the newest stay.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};
use tillwatch_connector::logs::{CollectError, Phase, collect};

use super::support::{Store, has, lines, noise, time};

const MODIFIED: &str = "2026-11-21T12:00:00Z";
const FROM: &str = "2026-11-21T00:00:00Z";
const TO: &str = "2026-11-21T12:00:00Z";

#[test]
fn other_programs_find_the_zip_in_order() {
    let store = Store::new();
    store.write("logs/till.log", lines(FROM, TO, 1, "guest served"), MODIFIED);
    store.write("logs/касса.log", "2026-11-21 10:00:00 оплата\n", MODIFIED);
    let archive = store.collect(FROM, TO);
    let part = &archive.collected.parts[0];
    let content = fs::read(&part.path).unwrap();
    let digest = Sha256::digest(&content);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(part.sha256, hex);
    let checks: [(&str, &[&str]); 3] =
        [("unzip", &["-t"]), ("7z", &["t"]), ("python3", &["-m", "zipfile", "-t"])];
    for (program, arguments) in checks {
        if !has(Path::new(program)) {
            eprintln!("SKIPPED: the zip is not tested by {program}, which is not here.");
            continue;
        }
        let output = Command::new(program).args(arguments).arg(&part.path).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stdout));
        assert!(!String::from_utf8_lossy(&output.stdout).contains("arning"), "{program} warns");
    }
}

#[test]
fn the_manifest_tells_what_is_there() {
    let store = Store::new();
    let line = "2026-11-21 10:00:00 paid with 4111 1111 1111 1111\n";
    store.write("logs/till.log", format!("{line}2026-11-21 10:30:00 up\n"), MODIFIED);
    let archive = store.collect(FROM, TO);
    assert_eq!(archive.collected.redactions, 1);
    assert!(
        archive.text("logs/logs/till.log").starts_with("2026-11-21 10:00:00 paid with **** **** **** 1111\n")
    );
    let manifest = &archive.manifests[0];
    for (key, value) in [
        ("outlet", "Riga Centrs"),
        ("time_zone", "Europe/Riga"),
        ("tool", concat!("tillwatch-connector ", env!("CARGO_PKG_VERSION"))),
        ("oldest_entry_at", "2026-11-21T08:00:00Z"),
    ] {
        assert_eq!(manifest[key], value);
    }
    assert_eq!(manifest["period"]["from"], FROM);
    assert_eq!((&manifest["truncated"], &manifest["redactions"]), (&false.into(), &1.into()));
    let file = archive.about("logs/logs/till.log");
    for (key, value) in [
        ("bytes", 73.into()),
        ("entries", 2.into()),
        ("first_entry_at", "2026-11-21T08:00:00Z".into()),
        ("last_entry_at", "2026-11-21T08:30:00Z".into()),
        ("encoding", "utf-8".into()),
        ("time_format", "year_first".into()),
        ("how", "read_through".into()),
        ("whole", false.into()),
        ("redactions", serde_json::Value::from(1)),
    ] {
        assert_eq!(file[key], value, "{key}");
    }
}

/// A long stack trace lies in several blocks of the archive and is still one entry.
#[test]
fn an_entry_of_many_lines_counts_once() {
    let store = Store::new();
    let trace = "    at com.example.till.Printer.print(Printer.java:42)\n".repeat(60_000);
    let log = format!("2026-11-21 10:00:00 it broke\n{trace}2026-11-21 10:30:00 up\n");
    store.write("logs/till.log", &log, MODIFIED);
    let archive = store.collect(FROM, TO);
    assert_eq!(archive.text("logs/logs/till.log"), log);
    assert_eq!(archive.about("logs/logs/till.log")["entries"], 2);
}

/// Of all lines, in files of different pace, exactly those from one moment on.
#[test]
fn over_the_limit_the_newest_entries_stay() {
    for max_bytes in [64 << 10, 200 << 10] {
        let mut store = Store::new();
        store.max_bytes = max_bytes;
        let fast = lines(FROM, TO, 1, "fast till served guest number");
        let slow = lines(FROM, TO, 97, "slow till had a look at the weather");
        let random = lines(FROM, TO, 13, "disordered");
        let mut shuffled: Vec<&str> = random.split_inclusive('\n').collect();
        shuffled.sort_by_key(|line| line.len() + line.bytes().map(usize::from).sum::<usize>() * 7919 % 1009);
        store.write("logs/fast.log", &fast, MODIFIED);
        store.write("logs/slow.log", &slow, MODIFIED);
        store.write("logs/shuffled.log", shuffled.concat(), MODIFIED);
        let archive = store.collect(FROM, TO);
        assert!(archive.collected.truncated);
        assert_eq!(archive.manifests[0]["truncated"], true);
        let kept: Vec<String> = archive
            .names()
            .iter()
            .flat_map(|name| archive.text(name).lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let oldest = kept.iter().map(|line| &line[..20]).min().unwrap();
        assert_eq!(archive.manifests[0]["oldest_entry_at"], oldest);
        let all = [fast, slow, random].concat();
        let expected = all.lines().filter(|line| &line[..20] > oldest).count();
        let at_oldest = all.lines().filter(|line| &line[..20] == oldest).count();
        assert!((expected + 1..=expected + at_oldest).contains(&kept.len()), "{} of {expected}", kept.len());
        // The room is used.
        let size: u64 = archive.collected.parts.iter().map(|part| part.size_bytes).sum();
        assert!(size * 100 > max_bytes * 80, "{size} of {max_bytes}");
    }
}

#[test]
fn one_moment_with_more_than_fits_still_gives_its_end() {
    let mut store = Store::new();
    store.max_bytes = 64 << 10;
    let text: String =
        (0..20_000).map(|n| format!("2026-11-21 10:00:00 burst {n} {}\n", n * 7919 % 10_007)).collect();
    store.write("logs/burst.log", &text, MODIFIED);
    store.write(
        "logs/untimed.log",
        noise(400_000, 5).chunks(80).collect::<Vec<_>>().join(&b'\n'),
        "2026-11-21T09:00:00Z",
    );
    let archive = store.collect(FROM, TO);
    assert!(archive.collected.truncated);
    let size: u64 = archive.collected.parts.iter().map(|part| part.size_bytes).sum();
    assert!(size > 50_000, "{size}");
    store.globs = vec!["logs/burst.log".into()];
    let archive = store.collect(FROM, TO);
    let kept = archive.text("logs/logs/burst.log");
    assert!(text.ends_with(&kept) && kept.len() > 100_000, "{}", kept.len());
}

#[test]
fn many_small_files_keep_to_the_limit_with_all_their_names() {
    let mut store = Store::new();
    store.max_bytes = 64 << 10;
    for number in 0..1500 {
        let minute = number % 60;
        let name = noise(30, number * 77 + 5)
            .into_iter()
            .filter(u8::is_ascii_alphanumeric)
            .map(char::from)
            .collect::<String>();
        store.write(
            &format!("logs/a/long/way/down/to/{name}-{number}.log"),
            format!("2026-11-21 10:{minute:02}:00 up\n"),
            MODIFIED,
        );
    }
    let archive = store.collect(FROM, TO);
    assert!(archive.collected.truncated);
    assert!(archive.manifests[0]["not_listed"].as_u64().unwrap() > 0);
    assert!(archive.files.len() > 100, "{}", archive.files.len());
}

#[test]
fn large_archives_come_in_parts_that_stand_alone() {
    let mut store = Store::new();
    store.max_bytes = 200 << 20;
    // Noise of 64 letters has six bits a byte.
    let start = time(FROM).timestamp();
    let text: Vec<u8> = (0..1100)
        .flat_map(|n| {
            let at = chrono::DateTime::from_timestamp(start + n * 30, 0).unwrap();
            let mut line = format!("{} ", at.format("%Y-%m-%dT%H:%M:%SZ")).into_bytes();
            line.extend(noise(65_536, n as u64 * 77 + 1));
            line.push(b'\n');
            line
        })
        .collect();
    store.write("logs/a.log", &text, MODIFIED);
    store.write("logs/b.log", "2026-11-21 10:00:00 short\n", MODIFIED);
    let archive = store.collect(FROM, TO);
    assert_eq!(archive.collected.parts.len(), 2);
    assert!(archive.collected.parts.iter().all(|part| part.size_bytes <= 50 << 20));
    assert!(archive.collected.parts[0].size_bytes > 48 << 20);
    assert!(archive.files["logs/logs/a.log"] == text, "nothing is lost between the parts");
    assert_eq!(archive.manifests[1]["part"], 2);
    assert_eq!(archive.manifests[1]["parts"], 2);
    assert_eq!((archive.collected.files, archive.collected.truncated), (2, false));
    // With a limit the end is what stays.
    store.max_bytes = 20 << 20;
    let archive = store.collect(FROM, TO);
    assert!(text.ends_with(&archive.files["logs/logs/a.log"]) && archive.collected.truncated);
}

#[test]
fn a_line_without_end_goes_through_in_pieces_and_masked() {
    let store = Store::new();
    let mut text = b"2026-11-21 10:00:00 ".to_vec();
    for letter in [b'x', b'7', b' '] {
        for _ in 0..10 {
            text.extend(vec![letter; 250_003]);
            text.extend_from_slice(b"x4111111111111111x");
        }
    }
    store.write("logs/endless.log", &text, MODIFIED);
    let archive = store.collect(FROM, TO);
    let found = &archive.files["logs/logs/endless.log"];
    assert_eq!(found.len(), text.len());
    assert!(!found.windows(12).any(|window| window == b"411111111111"), "a number is left");
    assert!(archive.collected.redactions >= 29, "{}", archive.collected.redactions);
}

#[test]
fn cancel_stops_at_once_and_leaves_nothing() {
    let store = Store::new();
    store.write("logs/till.log", lines(FROM, TO, 1, "guest served").repeat(8), MODIFIED);
    let cancel = AtomicBool::new(false);
    let mut seen = Vec::new();
    let mut progress = |phase: Phase, done: u64, total: Option<u64>| {
        assert!(total.is_none_or(|total| done <= total));
        if phase == Phase::Compressing && done > 0 {
            cancel.store(true, Ordering::Relaxed);
        }
        seen.push(phase);
    };
    let result = collect(&store.request(FROM, TO), &mut progress, &cancel);
    assert!(matches!(result, Err(CollectError::Canceled)));
    assert_eq!(seen.first(), Some(&Phase::Finding));
    assert_eq!(
        seen.iter().filter(|phase| **phase == Phase::Compressing).count(),
        2,
        "the start and one step"
    );
    assert_eq!(fs::read_dir(store.out()).unwrap().count(), 0);
}
