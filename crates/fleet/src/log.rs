//! The log of a simulated POS server: its past days, and what it does now.
//!
//! Lines have the outlet's local time and name no zone, as the logs of most POS servers do. Older days are
//! compressed. Among the lines are stack traces and the card networks' public test numbers, so that an
//! archive shows how both are treated.

use std::fmt::{Display, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Days, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tillwatch_protocol::report::SyncError;
use uuid::Uuid;

use crate::scenario::Past;

/// The log's folder within the store's data dir.
pub const LOG_DIR: &str = "pos/logs";
/// How large the present file may become.
const MAX_BYTES: u64 = 4 << 20;
/// How many older files are kept.
const KEEP: u32 = 9;
/// Numbers that card networks publish for tests.
const TEST_CARDS: [&str; 5] = [
    "4111111111111111",
    "5555 5555 5555 4444",
    "3782-822463-10005",
    "2200 0000 0000 0053",
    "6011111111111117",
];

/// Appends to a store's log.
pub struct Log {
    dir: PathBuf,
    zone: Tz,
}

impl Log {
    /// The log of the store in this data dir.
    pub fn new(data_dir: &Path, zone: Tz) -> Self {
        Self { dir: data_dir.join(LOG_DIR), zone }
    }

    /// Writes a line with the present time. A line that can't be written is lost: logs are not the trade.
    pub fn line(&self, now: DateTime<Utc>, text: &str) {
        if let Err(error) = self.append(now, text) {
            tracing::debug!(%error, "a line of a simulated log is lost");
        }
    }

    fn append(&self, now: DateTime<Utc>, text: &str) -> io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let path = self.dir.join("pos.log");
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        if file.metadata()?.len() > MAX_BYTES {
            let older = |number: u32| self.dir.join(format!("pos.log.{number}"));
            for number in (1..KEEP).rev().filter(|&number| older(number).exists()) {
                std::fs::rename(older(number), older(number + 1))?;
            }
            std::fs::rename(&path, older(1))?;
            file = OpenOptions::new().create(true).append(true).open(&path)?;
        }
        writeln!(file, "{} {text}", stamp(now, self.zone))
    }

    /// Writes the log of the past `days`: today's so far, and each day before as `pos.log.N.gz`.
    pub fn write_history(&self, past: &Past, days: u32, now: DateTime<Utc>) -> io::Result<()> {
        if days == 0 {
            return Ok(());
        }
        std::fs::create_dir_all(&self.dir)?;
        for back in 0..days {
            let midnight = |back: u32| {
                let date = now.with_timezone(&self.zone).date_naive() - Days::new(u64::from(back));
                // A day whose midnight is skipped by the clocks begins later.
                let start = self.zone.from_local_datetime(&date.and_time(NaiveTime::MIN)).earliest();
                start.map_or(date.and_time(NaiveTime::MIN).and_utc(), |start| start.to_utc())
            };
            let from = midnight(back);
            let to = if back == 0 { now } else { midnight(back - 1) };
            let text = self.day(past, from, to);
            if back == 0 {
                std::fs::write(self.dir.join("pos.log"), text)?;
                continue;
            }
            let file = File::create(self.dir.join(format!("pos.log.{back}.gz")))?;
            let mut encoder = GzEncoder::new(file, Compression::default());
            encoder.write_all(text.as_bytes())?;
            encoder.finish()?.set_modified(to.into())?;
        }
        Ok(())
    }

    /// What happened between two times: an exchange each minute, guests during the day.
    fn day(&self, past: &Past, from: DateTime<Utc>, to: DateTime<Utc>) -> String {
        let mut rng = StdRng::seed_from_u64(past.seed ^ from.timestamp().unsigned_abs());
        let mut text = String::new();
        let mut at = from + TimeDelta::milliseconds(rng.random_range(0..60_000));
        // About as many changes a day as are made up below, so that it grows from day to day.
        let mut cursor = past.seed % 1000 + from.timestamp().unsigned_abs() / 86_400 % 1000 * 500;
        while at < to {
            let mut line = |at: DateTime<Utc>, entry: &str| {
                if at < to {
                    let _ = writeln!(text, "{} {entry}", stamp(at, self.zone));
                }
            };
            match past.failing_since {
                Some((since, error)) if at >= since => {
                    line(at, &failed(error, (at - since).num_minutes() + 1));
                }
                _ if rng.random_ratio(1, 700) => {
                    line(at, BROKEN_CONNECTION);
                    line(at + TimeDelta::milliseconds(5_210), "INFO  [Exchange] Trying again in 5 s");
                }
                _ => {
                    let changes = if rng.random_ratio(1, 20) { rng.random_range(1..9) } else { 0 };
                    cursor += changes;
                    line(
                        at,
                        &format!(
                            "INFO  [Exchange] Exchange done: changes={changes} cursor={cursor} millis={}",
                            rng.random_range(38..240)
                        ),
                    );
                }
            }
            let hour = at.with_timezone(&self.zone).time();
            let is_open = hour >= NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default();
            if is_open && rng.random_ratio(1, 3) {
                serve_guest(&mut rng, at, &mut line);
            }
            if rng.random_ratio(1, 900) {
                line(at + TimeDelta::milliseconds(12_345), FISCAL_PRINTER);
            }
            at += TimeDelta::milliseconds(60_000 + rng.random_range(-400..400));
        }
        text
    }
}

/// A guest is found, pays, and gets a bonus.
fn serve_guest(rng: &mut StdRng, at: DateTime<Utc>, line: &mut impl FnMut(DateTime<Utc>, &str)) {
    let account = Uuid::from_u128(rng.random());
    let order = rng.random_range(1000..9999);
    let at = at + TimeDelta::milliseconds(rng.random_range(1_000..20_000));
    let millis = rng.random_range(4..60);
    line(at, &format!("DEBUG [Loyalty] Order {order}: guest account {account} found in {millis} ms"));
    let at = at + TimeDelta::milliseconds(rng.random_range(2_000..15_000));
    let (whole, cents) = (rng.random_range(4..90), rng.random_range(0..100));
    if rng.random_ratio(1, 25) {
        let card = TEST_CARDS[rng.random_range(0..TEST_CARDS.len())];
        line(
            at,
            &format!(
                "WARN  [Payment] Order {order}: terminal declined PAN {card} code=05 amount={whole}.{cents:02}"
            ),
        );
    } else {
        line(at, &format!("INFO  [Payment] Order {order}: paid amount={whole}.{cents:02}"));
        line(
            at + TimeDelta::milliseconds(180),
            &format!("INFO  [Loyalty] Order {order}: bonus kept for account {account}, to be sent"),
        );
    }
}

/// How a failed exchange looks in the log.
pub fn failed(error: SyncError, failures: i64) -> String {
    let trace = match error {
        SyncError::DatabaseInconsistent => {
            "Pos.Exchange.ChecksumMismatchException: the rows' checksum differs from the cloud's\n   \
             at Pos.Exchange.ChangeSet.Verify(Checksum expected) in ChangeSet.cs:line 214\n   \
             at Pos.Exchange.ExchangeLoop.RunAsync(CancellationToken stop) in ExchangeLoop.cs:line 88"
        }
        SyncError::DiskFull => {
            "System.IO.IOException: There is not enough space on the disk. : 'D:\\POS\\Data\\pos.db-journal'\n   \
             at Pos.Data.PageWriter.Flush() in PageWriter.cs:line 131\n   \
             at Pos.Exchange.ChangeSet.Apply(Page page) in ChangeSet.cs:line 162"
        }
        _ => return format!("ERROR [Exchange] Exchange failed: code={} failures={failures}", error.as_str()),
    };
    format!("ERROR [Exchange] Exchange failed: code={} failures={failures}\n{trace}", error.as_str())
}

const BROKEN_CONNECTION: &str = "\
ERROR [Exchange] Exchange failed: code=cloud_unreachable failures=1
System.Net.Http.HttpRequestException: An error occurred while sending the request.
 ---> System.IO.IOException: Unable to read data from the transport connection: Connection reset by peer.
   at System.Net.Http.HttpConnection.SendAsync(HttpRequestMessage request, CancellationToken stop)
   at Pos.Exchange.CloudClient.PostAsync(Uri address) in CloudClient.cs:line 57
   at Pos.Exchange.ExchangeLoop.RunAsync(CancellationToken stop) in ExchangeLoop.cs:line 71";

const FISCAL_PRINTER: &str = "\
WARN  [Devices] Fiscal printer FP-1 did not answer in 3000 ms; tried again
System.TimeoutException: The operation has timed out.
   at Pos.Devices.SerialLink.Read(Byte[] buffer) in SerialLink.cs:line 40";

fn stamp(at: DateTime<Utc>, zone: Tz) -> impl Display {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S,%3f")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use tillwatch_protocol::ids::PosServerId;

    use super::*;
    use crate::scenario::Trouble;

    #[test]
    fn the_past_days_are_there_in_the_outlets_time() {
        let dir = tempfile::tempdir().unwrap();
        // Noon in Riga is 10:00 UTC.
        let now = Utc.with_ymd_and_hms(2026, 11, 21, 10, 0, 0).unwrap();
        let past = Past::of(PosServerId::new(), Trouble::Inconsistent, now);
        let log = Log::new(dir.path(), Tz::Europe__Riga);
        log.write_history(&past, 3, now).unwrap();
        log.line(now, "INFO  [Pos] still here");
        let logs = dir.path().join(LOG_DIR);
        let today = std::fs::read_to_string(logs.join("pos.log")).unwrap();
        assert!(today.starts_with("2026-11-21 00:0"), "{}", &today[..100]);
        assert!(today.ends_with("2026-11-21 12:00:00,000 INFO  [Pos] still here\n"));
        assert!(today.contains("code=database_inconsistent") && today.contains("   at Pos.Exchange"));
        let mut yesterday = String::new();
        GzDecoder::new(File::open(logs.join("pos.log.1.gz")).unwrap())
            .read_to_string(&mut yesterday)
            .unwrap();
        assert!(yesterday.starts_with("2026-11-20 00:0"));
        assert!(yesterday.trim_end().lines().last().unwrap().contains("23:5"));
        assert!(TEST_CARDS.iter().any(|card| yesterday.contains(card)));
        assert!(logs.join("pos.log.2.gz").exists() && !logs.join("pos.log.3.gz").exists());
    }
}
