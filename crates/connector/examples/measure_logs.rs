//! What `npm run bench -- logs` measures: writes a log like a till's, and collects a period of one.
//!
//! Prints its figures as one line of JSON. CPU time is measured from outside, by the same means as the peer's.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use jiff::tz::TimeZone;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tillwatch_connector::logs::{ArchiveAbout, Collected, LogRequest, collect};
use tillwatch_protocol::ids::{JobId, PosServerId};
use uuid::Uuid;

/// The same log each time.
const SEED: u64 = 4;
/// How many guests a store knows.
const GUESTS: usize = 2000;
/// What a process reads of the system's own files.
const ELSEWHERE: u64 = 16 << 10;

#[derive(Parser)]
enum Command {
    /// Writes a log of about so many bytes, whose entries are spread evenly over a period.
    Write { file: PathBuf, bytes: u64, from: DateTime<Utc>, to: DateTime<Utc> },
    /// Collects a period of a log, as the job of a manager would, into a folder that is emptied again.
    Collect { file: PathBuf, out_dir: PathBuf, from: DateTime<Utc>, to: DateTime<Utc> },
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn main() -> anyhow::Result<()> {
    let figures = match Command::parse() {
        Command::Write { file, bytes, from, to } => write(&file, bytes, from, to)?,
        Command::Collect { file, out_dir, from, to } => measure(&file, &out_dir, from, to)?,
    };
    println!("{figures}");
    Ok(())
}

fn measure(file: &Path, out_dir: &Path, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<Value> {
    let out_dir = tempfile::tempdir_in(out_dir)?;
    let request = LogRequest {
        base_dir: file.parent().context("the log has no folder")?.to_path_buf(),
        globs: vec![file.file_name().context("the log has no name")?.to_string_lossy().into_owned()],
        from,
        to,
        max_bytes: u64::from(u32::MAX),
        time_zone: TimeZone::UTC,
        out_dir: out_dir.path().to_path_buf(),
        about: ArchiveAbout {
            outlet: "Measured".into(),
            pos_server_id: PosServerId::new(),
            job_id: JobId::new(),
        },
    };
    let idle = number_in("/proc/self/status", "VmRSS:");
    let read_before = number_in("/proc/self/io", "rchar:");
    let started = Instant::now();
    let collected = collect(&request, &mut |_, _, _| {}, &AtomicBool::new(false))?;
    let seconds = started.elapsed().as_secs_f64();
    let read_after = number_in("/proc/self/io", "rchar:");
    let peak = number_in("/proc/self/status", "VmHWM:");
    anyhow::ensure!(!collected.truncated, "the limit is for the whole log");
    let contents = Contents::of(&collected)?;
    let archive_bytes: u64 = collected.parts.iter().map(|part| part.size_bytes).sum();
    if let Some((after, before)) = read_after.zip(read_before) {
        // Besides the log only what was compressed is read, from its temporary file.
        let explained = contents.read_bytes + archive_bytes + ELSEWHERE;
        anyhow::ensure!(
            after - before <= explained,
            "{} bytes were read, {explained} explained",
            after - before
        );
    }
    Ok(json!({
        "seconds": seconds,
        "read_bytes": contents.read_bytes,
        "idle_bytes": idle.map(|kibibytes| kibibytes << 10),
        "peak_bytes": peak.map(|kibibytes| kibibytes << 10),
        "period_bytes": contents.bytes,
        "entries": contents.entries,
        "masked": collected.redactions,
        "archive_bytes": archive_bytes,
    }))
}

/// What the parts hold, by their manifests.
#[derive(Default)]
struct Contents {
    /// Size of the text.
    bytes: u64,
    entries: u64,
    /// How much was read of the log to get it.
    read_bytes: u64,
}

impl Contents {
    fn of(collected: &Collected) -> anyhow::Result<Self> {
        let mut sum = Self::default();
        for part in &collected.parts {
            let mut manifest = String::new();
            let mut zip = zip::ZipArchive::new(File::open(&part.path)?)?;
            zip.by_name("manifest.json")?.read_to_string(&mut manifest)?;
            let manifest: Value = serde_json::from_str(&manifest)?;
            for file in manifest["files"].as_array().context("the manifest lists no files")? {
                let number = |name: &str| file[name].as_u64().with_context(|| format!("no {name}"));
                sum.bytes += number("bytes")?;
                sum.entries += number("entries")?;
                // Each part tells it of the whole file.
                sum.read_bytes = number("read_bytes")?;
            }
        }
        Ok(sum)
    }
}

/// What the kernel says of this process, on systems where it does so in files.
fn number_in(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn write(path: &Path, bytes: u64, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<Value> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut till = Till::new();
    let period = u128::from((to - from).num_milliseconds().unsigned_abs());
    let mut written = 0;
    let mut entries = 0_u64;
    let mut second = (i64::MIN, String::new());
    while written < bytes {
        let passed = u128::from(written) * period / u128::from(bytes);
        let at = from + TimeDelta::milliseconds(passed as i64);
        if second.0 != at.timestamp() {
            second = (at.timestamp(), at.format("%Y-%m-%d %H:%M:%S").to_string());
        }
        till.text.clear();
        write!(till.text, "{}.{:03} ", second.1, at.timestamp_subsec_millis())?;
        till.entry()?;
        file.write_all(&till.text)?;
        written += till.text.len() as u64;
        entries += 1;
    }
    let file = file.into_inner()?;
    file.set_modified(to.into())?;
    file.sync_all()?;
    Ok(json!({ "bytes": written, "entries": entries, "cards": till.cards }))
}

/// Writes what a till's server would: orders, payments, SQL, HTTP, and now and then an error with its trace.
struct Till {
    random: StdRng,
    text: Vec<u8>,
    guests: Vec<Uuid>,
    /// Orders are numbered as they are opened.
    last_order: u32,
    cards: u64,
}

impl Till {
    fn new() -> Self {
        let mut random = StdRng::seed_from_u64(SEED);
        let guests = (0..GUESTS).map(|_| Uuid::from_u128(random.random())).collect();
        Self { random, text: Vec::new(), guests, last_order: 48_000_000, cards: 0 }
    }

    fn entry(&mut self) -> std::io::Result<()> {
        let till = self.random.random_range(1..8);
        // One of those that are open.
        let order = self.last_order - self.random.random_range(0..20);
        let price = self.random.random_range(90..4000);
        let (euros, cents) = (price / 100, price % 100);
        let took = self.random.random_range(1..400);
        let request = Uuid::from_u128(self.random.random());
        let guest = self.guests[self.random.random_range(0..GUESTS)];
        let product = self.one_of(&[
            "Latte 300 ml",
            "Espresso",
            "Flat white",
            "Cinnamon bun",
            "Caesar salad",
            "Soup of the day",
            "Orange juice",
            "Club sandwich",
        ]);
        let kind = self.random.random_range(0..1000);
        let text = &mut self.text;
        match kind {
            0..150 => {
                self.last_order += 1;
                writeln!(text, "INFO  [till-{till}] order {} opened, table {}", self.last_order, took % 40)
            }
            150..400 => writeln!(
                text,
                "INFO  [till-{till}] order {order}: added {product}, 1 at {euros}.{cents:02} EUR"
            ),
            400..500 => writeln!(text, "DEBUG [till-{till}] order {order} sent to the kitchen in {took} ms"),
            500..650 => writeln!(
                text,
                "DEBUG [sql] UPDATE account SET balance = balance - {price} WHERE guest = '{guest}' ({took} ms)"
            ),
            650..800 => writeln!(
                text,
                "DEBUG [http] POST /v1/exchange 200 in {took} ms, {} bytes, request {request}",
                price * 7
            ),
            800..900 => writeln!(
                text,
                "DEBUG [loyalty] {{\"guest\":\"{guest}\",\"program\":\"Coffee club\",\"earned\":{}}}",
                price / 20
            ),
            900..970 => {
                writeln!(text, "INFO  [till-{till}] order {order} closed, {euros}.{cents:02} EUR in cash")
            }
            970..980 => self.card_payment(till, order),
            980..995 => writeln!(text, "WARN  [fiscal-{till}] the printer answered after {} ms", took * 20),
            _ => self.failure(&request),
        }
    }

    /// A payment whose card number should not have been logged.
    fn card_payment(&mut self, till: u32, order: u32) -> std::io::Result<()> {
        self.cards += 1;
        let mut digits = [4_u32; 16];
        digits[1..15].fill_with(|| self.random.random_range(0..10));
        let doubled = |digit: u32| if digit < 5 { digit * 2 } else { digit * 2 - 9 };
        let sum: u32 = digits[..15]
            .iter()
            .enumerate()
            .map(|(at, digit)| if at % 2 == 0 { doubled(*digit) } else { *digit })
            .sum();
        digits[15] = (10 - sum % 10) % 10;
        let number: String = digits.iter().filter_map(|digit| char::from_digit(*digit, 10)).collect();
        let approval = self.random.random_range(100_000..1_000_000);
        writeln!(self.text, "INFO  [till-{till}] order {order} paid by card {number}, approval {approval}")
    }

    fn failure(&mut self, id: &Uuid) -> std::io::Result<()> {
        writeln!(self.text, "ERROR [loyalty] transaction {id} was not settled: connection reset by peer")?;
        for (class, method) in
            [("Settlement", "settle"), ("Exchange", "post"), ("HttpClient", "send"), ("Socket", "read")]
        {
            let line = self.random.random_range(20..900);
            writeln!(self.text, "    at till.loyalty.{class}.{method}({class}.java:{line})")?;
        }
        Ok(())
    }

    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        words[self.random.random_range(0..words.len())]
    }
}
