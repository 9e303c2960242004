//! Any files, any period, any limit: what is in the archive is what a plain filter gives, and of that the newest.

use std::cell::Cell;
use std::fmt::Write;

use chrono::DateTime;
use proptest::prelude::*;

use super::support::{Store, gzipped, noise, soaks, time};

const START: &str = "2026-11-20T00:00:00Z";
const MODIFIED: &str = "2026-11-21T12:00:00Z";

#[derive(Clone, Debug)]
struct Log {
    /// Seconds after the entry before, how many lines follow it, and how much noise is in it.
    entries: Vec<(u32, u8, u16)>,
    shuffled: bool,
    packed: bool,
}

fn log() -> impl Strategy<Value = Log> {
    let entry = (0_u32..120, prop_oneof![4 => Just(0_u8), 1 => 1_u8..5], 0_u16..300);
    (prop::collection::vec(entry, 1..700), prop::bool::weighted(0.3), any::<bool>())
        .prop_map(|(entries, shuffled, packed)| Log { entries, shuffled, packed })
}

/// The entries of a log in the order of the file, each with its second.
fn entries(log: &Log, number: usize) -> Vec<(i64, String)> {
    let mut second = time(START).timestamp();
    let mut all: Vec<(i64, String)> = Vec::new();
    for (index, (step, lines, size)) in log.entries.iter().enumerate() {
        second += i64::from(*step);
        let at = DateTime::from_timestamp(second, 0).unwrap();
        let noise = noise(usize::from(*size), (index * 7919 + number) as u64 + 3);
        let mut text = format!("{} {}\n", at.format("%Y-%m-%dT%H:%M:%SZ"), String::from_utf8(noise).unwrap());
        for line in 0..*lines {
            writeln!(text, "\tat frame {line} of {index}").unwrap();
        }
        all.push((second, text));
    }
    if log.shuffled {
        all.sort_by_key(|(second, text)| (second * 7919 + text.len() as i64) % 1009);
    }
    all
}

#[test]
fn the_archive_holds_the_newest_of_the_period() {
    let cases = if soaks() { 5000 } else { 48 };
    let (whole, cut) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(
        logs in prop::collection::vec(log(), 1..5),
        from in 0_i64..40_000,
        length in 1_i64..60_000,
        max_bytes in 64_u64 << 10..256 << 10,
    )| {
        let mut store = Store::new();
        store.max_bytes = max_bytes;
        let mut written = Vec::new();
        for (number, log) in logs.iter().enumerate() {
            let entries = entries(log, number);
            let text: String = entries.iter().map(|(_, text)| text.as_str()).collect();
            if log.packed {
                store.write(&format!("logs/{number}.log.gz"), gzipped(text), MODIFIED);
            } else {
                store.write(&format!("logs/{number}.log"), text, MODIFIED);
            }
            written.push((format!("logs/logs/{number}.log"), entries));
        }
        let from = time(START).timestamp() + from;
        let to = from + length;
        let shown = |second: i64| DateTime::from_timestamp(second, 0).unwrap().to_rfc3339();
        let archive = store.collect(&shown(from), &shown(to));

        let wanted = |oldest: i64| -> Vec<(&str, String)> {
            let texts = written.iter().map(|(name, entries)| {
                let within = entries.iter().filter(|(second, _)| (from.max(oldest)..to).contains(second));
                (name.as_str(), within.map(|(_, text)| text.as_str()).collect::<String>())
            });
            texts.filter(|(_, text)| !text.is_empty()).collect()
        };
        let found: Vec<(&str, String)> = archive.names().iter().map(|name| (*name, archive.text(name))).collect();
        if !archive.collected.truncated {
            prop_assert_eq!(found, wanted(i64::MIN));
            whole.set(whole.get() + 1);
            return Ok(());
        }
        // All entries after the oldest one's second are there, and of that second some.
        let oldest = archive.manifests[0]["oldest_entry_at"].as_str().map(|oldest| time(oldest).timestamp());
        let oldest = oldest.expect("something fits");
        let total = |texts: &[(&str, String)]| texts.iter().map(|(_, text)| text.len()).sum::<usize>();
        let (most, least) = (wanted(oldest), wanted(oldest + 1));
        prop_assert!((total(&least)..=total(&most)).contains(&total(&found)));
        for (name, text) in &least {
            prop_assert!(found.iter().any(|(other, found)| other == name && found.len() >= text.len()), "{}", name);
        }
        // It was too much indeed, and the room is used.
        let size: u64 = archive.collected.parts.iter().map(|part| part.size_bytes).sum();
        prop_assert!(size * 10 > max_bytes * 7, "{} of {}", size, max_bytes);
        cut.set(cut.get() + 1);
    });
    println!(
        "counted: {} archives as the filter gives them, {} of too much with the newest",
        whole.get(),
        cut.get()
    );
}
