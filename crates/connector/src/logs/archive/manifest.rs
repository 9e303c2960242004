//! `manifest.json`: what a part holds, and what is not in it and why.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// The whole of it.
#[derive(Serialize)]
pub(super) struct Manifest<'a> {
    pub(super) format: u32,
    pub(super) tool: &'static str,
    pub(super) job_id: String,
    pub(super) pos_server_id: String,
    pub(super) outlet: &'a str,
    pub(super) period: Period,
    /// Of lines that state no zone.
    pub(super) time_zone: &'a str,
    pub(super) part: u32,
    pub(super) parts: u32,
    pub(super) max_bytes: u64,
    /// Whether older entries were left out to keep to `max_bytes`.
    pub(super) truncated: bool,
    /// The oldest entry of all parts.
    pub(super) oldest_entry_at: Option<String>,
    /// Card numbers masked in all parts.
    pub(super) redactions: u64,
    /// What is in this part.
    pub(super) files: Vec<Contained<'a>>,
    /// What the globs named and is in no part.
    pub(super) left_out: Vec<LeftOut<'a>>,
    /// How many of either were not listed for want of room.
    pub(super) not_listed: u64,
}

/// The period asked for.
#[derive(Serialize)]
pub(super) struct Period {
    pub(super) from: String,
    pub(super) to: String,
}

/// A file, or the piece of it that is in this part.
#[derive(Serialize)]
pub(super) struct Contained<'a> {
    /// Its name in the zip.
    pub(super) path: String,
    /// Where it was in the store.
    pub(super) source: &'a str,
    /// Its size there.
    pub(super) size_bytes: u64,
    pub(super) modified_at: Option<String>,
    /// Size of what is here.
    pub(super) bytes: u64,
    pub(super) entries: u64,
    pub(super) first_entry_at: Option<String>,
    pub(super) last_entry_at: Option<String>,
    pub(super) encoding: Option<&'static str>,
    /// `year_first`, `epoch` …; null if its lines have no times that can be read.
    pub(super) time_format: Option<&'static str>,
    /// `searched`, `read_through` or `whole`.
    pub(super) how: Option<&'static str>,
    /// Whether it is here as a whole because its lines have no times.
    pub(super) whole: bool,
    pub(super) read_bytes: u64,
    pub(super) redactions: u64,
    /// What went wrong while it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<&'a str>,
}

/// A file that is not here.
#[derive(Serialize)]
pub(super) struct LeftOut<'a> {
    pub(super) source: &'a str,
    pub(super) reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time_format: Option<&'static str>,
    pub(super) read_bytes: u64,
}

impl Manifest<'_> {
    /// The JSON, compressed by `deflate` and shortened until that has at most `max_bytes`. Gives both.
    pub(super) fn pack(
        &mut self,
        max_bytes: u64,
        mut deflate: impl FnMut(&[u8]) -> Vec<u8>,
    ) -> Result<(Vec<u8>, Vec<u8>), serde_json::Error> {
        loop {
            let json = serde_json::to_vec_pretty(self)?;
            let deflated = deflate(&json);
            if deflated.len() as u64 <= max_bytes || (self.left_out.is_empty() && self.files.is_empty()) {
                return Ok((json, deflated));
            }
            let list = if self.left_out.is_empty() { self.files.len() } else { self.left_out.len() };
            let dropped = list.div_ceil(3);
            if self.left_out.is_empty() {
                self.files.truncate(list - dropped);
            } else {
                self.left_out.truncate(list - dropped);
            }
            self.not_listed += dropped as u64;
        }
    }
}

/// An instant as the manifest writes it.
pub(super) fn shown(micros: i64) -> Option<String> {
    DateTime::<Utc>::from_timestamp_micros(micros)
        .map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}
