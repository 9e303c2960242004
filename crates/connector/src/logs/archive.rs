//! From entries to zips: blocks of about a megabyte are masked, compressed and set aside in a temporary file;
//! the newest that fit are then written as parts.
//!
//! A block is a segment of a deflate stream (see `deflate`), so that blocks can come in any order and be left
//! out without compressing anything again. While entries come in, blocks that can't stay are forgotten, oldest
//! first; at the end `newest` finds the exact moment before which entries are left out.

mod deflate;
mod manifest;
mod newest;
mod parts;
mod spill;
mod zip;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::discover::{self, Discovered};
use super::redact::{self, Cut};
use super::seek::Outcome;
use super::{CollectError, Collected, LogRequest, Watch};
use deflate::Deflater;
use spill::{Block, Span, Spill};

/// How much text goes into a block.
const BLOCK: usize = 1 << 20;

/// Takes entries and makes the archive.
pub(super) struct Collector<'a> {
    request: &'a LogRequest,
    files: Vec<FileRecord>,
    left_out: Vec<(String, String)>,
    spill: Spill<'a>,
    deflater: Deflater,
    pending: Pending,
    file: u32,
    found: Vec<usize>,
    segment: Vec<u8>,
    truncated: bool,
}

/// What the manifest says about a file.
struct FileRecord {
    /// Its name in the zip, without `logs/`.
    name: String,
    /// Where it was.
    source: String,
    size_bytes: u64,
    /// Microseconds since 1970.
    modified_at: i64,
    outcome: Outcome,
}

/// Text that is not a block yet.
#[derive(Default)]
struct Pending {
    text: Vec<u8>,
    spans: Vec<Span>,
    /// Offset in the file of the first byte.
    offset: u64,
    /// How the line was cut, if it started in the block before.
    start: Option<Cut>,
    /// Whether the first entry, if not its line, started in the block before.
    goes_on: bool,
}

impl<'a> Collector<'a> {
    /// A collector for the files that were found.
    pub(super) fn new(
        request: &'a LogRequest,
        found: &Discovered,
        cancel: &'a AtomicBool,
    ) -> Result<Self, CollectError> {
        let names = discover::archive_names(&found.files);
        let files = found.files.iter().zip(names).map(|(file, name)| FileRecord {
            name,
            source: shown(&file.path),
            size_bytes: file.size(),
            modified_at: file.modified(),
            outcome: Outcome::default(),
        });
        Ok(Self {
            request,
            files: files.collect(),
            left_out: found.left_out.iter().map(|(path, reason)| (shown(path), reason.clone())).collect(),
            spill: Spill::new(&request.out_dir, request.max_bytes, cancel)?,
            deflater: Deflater::new(),
            pending: Pending::default(),
            file: 0,
            found: Vec::new(),
            segment: Vec::new(),
            truncated: false,
        })
    }

    /// What comes is of this file, until [`Self::end`].
    pub(super) fn begin(&mut self, file: u32) {
        self.file = file;
        self.pending = Pending { text: std::mem::take(&mut self.pending.text), ..Pending::default() };
        self.pending.text.clear();
    }

    /// Adds text of the entry that was written at `time`. Offsets only have to rise until the next
    /// [`Self::flush`], and entries flushed apart must not overlap.
    pub(super) fn entry(
        &mut self,
        offset: u64,
        time: i64,
        text: &[u8],
        is_new: bool,
    ) -> Result<(), CollectError> {
        if self.is_unwanted(time) {
            return Ok(());
        }
        let held = self.pending.text.len();
        if held > 0 && held + text.len() > BLOCK {
            if self.pending.text.ends_with(b"\n") {
                self.flush()?;
            } else if held >= BLOCK {
                self.flush_part()?;
            }
        }
        let pending = &mut self.pending;
        if pending.text.is_empty() {
            pending.offset = offset;
            pending.goes_on = !is_new;
        }
        pending.text.extend_from_slice(text);
        match pending.spans.last_mut() {
            Some(span) if !is_new && span.time == time => span.len += text.len() as u32,
            _ => pending.spans.push(Span { len: text.len() as u32, time }),
        }
        Ok(())
    }

    /// Makes a block of what is pending.
    pub(super) fn flush(&mut self) -> Result<(), CollectError> {
        self.flush_cut(Cut::Clean)
    }

    /// The same, where what comes next goes on in the middle of a line.
    fn flush_cut(&mut self, end: Cut) -> Result<(), CollectError> {
        if self.pending.text.is_empty() {
            return Ok(());
        }
        redact::redact(&mut self.pending.text, &mut self.found);
        if self.pending.start == Some(Cut::Dirty) {
            redact::mask_start(&mut self.pending.text);
        }
        if end == Cut::Dirty {
            redact::mask_end(&mut self.pending.text);
        }
        self.deflater.segment(&self.pending.text, &mut self.segment);
        let mut block = Block::new(
            self.file,
            self.pending.offset,
            &self.pending.text,
            &self.pending.spans,
            self.found.len(),
        );
        block.goes_on = self.pending.goes_on;
        self.spill.add(block, &self.segment, &self.pending.spans, &self.found)?;
        self.pending.text.clear();
        self.pending.spans.clear();
        self.pending.start = None;
        Ok(())
    }

    /// Makes a block of a line that does not end, up to where no number can be cut.
    fn flush_part(&mut self) -> Result<(), CollectError> {
        let (length, cut) = redact::safe_cut(&self.pending.text);
        let rest = self.pending.text.split_off(length);
        let mut later: Vec<Span> = Vec::new();
        let mut left = rest.len() as u32;
        while left > 0 {
            let Some(mut span) = self.pending.spans.pop() else { break };
            let moved = span.len.min(left);
            left -= moved;
            later.insert(0, Span { len: moved, time: span.time });
            span.len -= moved;
            if span.len > 0 {
                self.pending.spans.push(span);
            }
        }
        let offset = self.pending.offset + length as u64;
        self.flush_cut(cut)?;
        self.pending = Pending { text: rest, spans: later, offset, start: Some(cut), goes_on: true };
        Ok(())
    }

    /// Whether entries of this time are older than what had to be left out already.
    pub(super) fn is_unwanted(&self, time: i64) -> bool {
        self.spill.watermark().is_some_and(|watermark| time < watermark.time)
    }

    /// Forgets what came of the file so far; it comes again, with more.
    pub(super) fn forget(&mut self) {
        self.begin(self.file);
        self.spill.forget(self.file);
    }

    /// Nothing more comes of the file.
    pub(super) fn end(&mut self, outcome: Outcome) -> Result<(), CollectError> {
        self.flush()?;
        self.files[self.file as usize].outcome = outcome;
        Ok(())
    }

    /// Writes the parts.
    pub(super) fn finish(mut self, watch: &mut Watch<'_>) -> Result<Collected, CollectError> {
        let layout = parts::Layout::new(self.request.max_bytes, &self.files);
        self.truncated = newest::keep(&mut self.spill, &mut self.deflater, &layout, watch)?;
        let mut written: Vec<PathBuf> = Vec::new();
        let result = parts::write(&mut self, &layout, &mut written, watch);
        if result.is_err() {
            // Half an archive is none.
            for path in &written {
                let _ = std::fs::remove_file(path);
            }
        }
        result
    }
}

/// A path for people, with anything like a card number masked.
fn shown(path: &std::path::Path) -> String {
    redact::redacted(&path.to_string_lossy())
}
