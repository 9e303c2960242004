//! Large files: found by few reads if they are in order, read through if they are not.

use std::fs::File;
use std::io::{BufWriter, Write};

use chrono::DateTime;

use super::support::{Store, soaks, system_time, time};

const MODIFIED: &str = "2026-11-21T12:00:00Z";
/// A line a second, of 1 KiB: 200 MiB, and 8 GiB under `npm run soak`.
fn seconds() -> i64 {
    if soaks() { 8 << 20 } else { 200 << 10 }
}

/// Enough to be searched rather than scanned.
const FEWER_SECONDS: i64 = 100 << 10;

fn line(second: i64, padding: &str) -> String {
    let at = DateTime::from_timestamp(second, 0).unwrap();
    format!("{} INFO guest served {padding}\n", at.format("%Y-%m-%dT%H:%M:%SZ"))
}

/// Lines up to the modification, with `stray` put in after the line of a second.
fn write(store: &Store, name: &str, seconds: i64, stray: Option<(i64, &str)>) -> u64 {
    let path = store.base().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = BufWriter::new(File::create(path).unwrap());
    let padding = "x".repeat(1024 - line(0, "").len());
    let end = time(MODIFIED).timestamp();
    for second in end - seconds..end {
        file.write_all(line(second, &padding).as_bytes()).unwrap();
        if let Some((_, text)) = stray.filter(|(after, _)| *after == second) {
            file.write_all(text.as_bytes()).unwrap();
        }
    }
    let file = file.into_inner().unwrap();
    file.set_modified(system_time(MODIFIED)).unwrap();
    file.metadata().unwrap().len()
}

#[test]
fn a_period_in_a_large_file_is_found_by_few_reads() {
    let store = Store::new();
    let size = write(&store, "logs/till.log", seconds(), None);
    assert!(size >= 200 << 20);
    let first = DateTime::from_timestamp(time(MODIFIED).timestamp() - seconds(), 0).unwrap();
    let second = (first + chrono::TimeDelta::seconds(1)).to_rfc3339();
    let mut most = 0;
    let periods = [
        ("2026-11-20T08:00:00Z", "2026-11-20T08:10:00Z", 600),
        ("2026-11-21T11:59:50Z", "2026-11-21T13:00:00Z", 10),
        ("2026-01-01T00:00:00Z", second.as_str(), 1),
        ("2026-11-20T08:00:00.500Z", "2026-11-20T08:00:01Z", 0),
        ("2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z", 0),
    ];
    for (from, to, lines) in periods {
        let archive = store.collect(from, to);
        let found = archive.files.get("logs/logs/till.log").cloned().unwrap_or_default();
        let expected = found.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
        assert_eq!(expected, lines, "{from}");
        let about = if lines == 0 {
            &archive.manifests[0]["left_out"][0]
        } else {
            archive.about("logs/logs/till.log")
        };
        let read = about["read_bytes"].as_u64().unwrap();
        assert!(read <= found.len() as u64 + (1 << 20), "{read} bytes read for {}", found.len());
        most = most.max(read.saturating_sub(found.len() as u64));
        if let Some(first) = found.get(..20) {
            let first = time(std::str::from_utf8(first).unwrap());
            assert!(first >= time(from) && first < time(to));
        }
    }
    println!(
        "counted: {} periods in {} MiB, {} KiB read at most besides what was found",
        periods.len(),
        size >> 20,
        most >> 10
    );
}

#[test]
fn a_large_file_out_of_order_is_read_through() {
    let store = Store::new();
    // An hour of another day, half a percent of the file, far away from where it belongs.
    let stray_from = time("2026-11-20T08:00:00Z").timestamp();
    let padding = "y".repeat(980);
    let stray: String = (0..1200).map(|n| line(stray_from + n, &padding)).collect();
    write(
        &store,
        "logs/till.log",
        FEWER_SECONDS,
        Some((time("2026-11-21T05:00:00Z").timestamp(), stray.as_str())),
    );
    let archive = store.collect("2026-11-20T08:00:00Z", "2026-11-20T08:10:00Z");
    let found = archive.text("logs/logs/till.log");
    assert_eq!(found.lines().count(), 1200, "600 in place and 600 astray");
    assert_eq!(archive.about("logs/logs/till.log")["how"], "read_through");
}

#[test]
fn lines_out_of_order_within_the_period_are_noticed() {
    let store = Store::new();
    let late = line(time("2026-11-20T08:04:00Z").timestamp(), "late");
    write(&store, "logs/till.log", FEWER_SECONDS, Some((time("2026-11-20T08:05:00Z").timestamp(), &late)));
    let archive = store.collect("2026-11-20T08:00:00Z", "2026-11-20T08:10:00Z");
    assert_eq!(archive.text("logs/logs/till.log").lines().count(), 601);
    assert_eq!(archive.about("logs/logs/till.log")["how"], "read_through");
}

/// Ten hours of local time with an hour that comes twice, a line a second, enough to be searched.
#[test]
fn the_hours_of_the_night_are_told_apart_in_a_large_file() {
    let store = Store::new();
    let first = time("2026-10-24T20:00:00Z").timestamp();
    let padding = "x".repeat(1000);
    let text: String = (first..first + 36_000)
        .map(|second| {
            let at = DateTime::from_timestamp(second, 0).unwrap().with_timezone(&chrono_tz::Europe::Riga);
            format!("{} {second} {padding}\n", at.format("%Y-%m-%d %H:%M:%S"))
        })
        .collect();
    store.write("logs/till.log", text, "2026-10-25T06:00:00Z");
    for (from, to) in
        [("2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"), ("2026-10-25T01:00:00Z", "2026-10-25T01:10:00Z")]
    {
        let archive = store.collect(from, to);
        let found = archive.text("logs/logs/till.log");
        let seconds: Vec<i64> =
            found.lines().map(|line| line.split(' ').nth(2).unwrap().parse().unwrap()).collect();
        assert!(seconds.into_iter().eq(time(from).timestamp()..time(to).timestamp()), "{from}");
        assert_eq!(archive.about("logs/logs/till.log")["how"], "searched");
    }
}

#[test]
fn a_period_is_found_by_few_reads_in_utf16_too() {
    let mut store = Store::new();
    let first = time("2026-11-21T00:00:00Z").timestamp();
    let padding = "касса ".repeat(60);
    let line = |second: i64| {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        format!("{} {padding}\r\n", at.format("%Y-%m-%dT%H:%M:%SZ"))
    };
    let text: String = (first..first + 45_000).map(line).collect();
    let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    store.write("logs/little.log", [vec![0xff, 0xfe], wide(u16::to_le_bytes)].concat(), MODIFIED);
    store.write("logs/big.log", wide(u16::to_be_bytes), MODIFIED);
    let (from, to) = ("2026-11-21T06:00:00Z", "2026-11-21T06:10:00Z");
    let archive = store.collect(from, to);
    let expected: String = (time(from).timestamp()..time(to).timestamp()).map(line).collect();
    for name in ["logs/logs/little.log", "logs/logs/big.log"] {
        assert!(archive.text(name) == expected, "{name}");
        let about = archive.about(name);
        assert_eq!(about["how"], "searched");
        let read = about["read_bytes"].as_u64().unwrap();
        assert!(read <= 2 * expected.len() as u64 + (1 << 20), "{read} bytes read for {}", expected.len());
    }
    // From the first line to the last one, in steps.
    store.globs = vec!["logs/big.log".into()];
    let archive = store.collect("2026-11-20T00:00:00Z", "2026-11-22T00:00:00Z");
    assert!(archive.text("logs/logs/big.log") == text);
}
