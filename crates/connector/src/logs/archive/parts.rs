//! Which blocks go into which part, and writing the parts.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::deflate::END;
use super::manifest::{Contained, LeftOut, Manifest, Period, shown};
use super::spill::Block;
use super::zip::{END_OVERHEAD, ENTRY_OVERHEAD, Entry, ZipWriter};
use super::{Collector, FileRecord};
use crate::logs::{CollectError, Collected, Part, Watch};

/// The most that a part may have.
const PART: u64 = 50 << 20;
/// The format's limits without zip64, with room to spare.
const MOST_RAW: u64 = 4_000_000_000;
const MOST_ENTRIES: usize = 60_000;
const MANIFEST: &str = "manifest.json";

/// Knows what archives cost, byte for byte, before they are written.
pub(super) struct Layout {
    max_bytes: u64,
    part_bytes: u64,
    /// The most that a manifest may take.
    manifest_bytes: u64,
    /// What the headers of each file take.
    overheads: Vec<u64>,
}

/// Adds blocks up to parts.
struct Filling {
    file: Option<u32>,
    bytes: u64,
    raw: u64,
    entries: usize,
}

impl Layout {
    /// The costs for an archive of at most `max_bytes` of these files.
    pub(super) fn new(max_bytes: u64, files: &[FileRecord]) -> Self {
        let overhead = |file: &FileRecord| ENTRY_OVERHEAD + 2 * name(file).len() as u64 + END.len() as u64;
        Self {
            max_bytes,
            part_bytes: PART.min(max_bytes),
            manifest_bytes: (max_bytes / 8).clamp(2 << 10, 256 << 10),
            overheads: files.iter().map(overhead).collect(),
        }
    }

    /// Whether blocks, given in order as file, size and size of the text, make an archive within the limit.
    pub(super) fn fits(&self, blocks: impl Iterator<Item = (u32, u32, u32)>) -> bool {
        let mut total = 0;
        let mut filling = self.empty();
        for (file, segment, raw) in blocks {
            if !self.add(&mut filling, file, segment, raw) {
                total += filling.bytes;
                filling = self.empty();
                self.add(&mut filling, file, segment, raw);
            }
        }
        total + filling.bytes <= self.max_bytes
    }

    fn empty(&self) -> Filling {
        let manifest = ENTRY_OVERHEAD + 2 * MANIFEST.len() as u64 + self.manifest_bytes + END.len() as u64;
        Filling { file: None, bytes: END_OVERHEAD + manifest, raw: 0, entries: 1 }
    }

    /// Adds a block, unless the part has no room for it. An empty part takes any block.
    fn add(&self, filling: &mut Filling, file: u32, segment: u32, raw: u32) -> bool {
        let continues = filling.file == Some(file);
        let overhead = if continues { 0 } else { self.overheads.get(file as usize).copied().unwrap_or(0) };
        let bytes = filling.bytes + overhead + u64::from(segment);
        let total_raw = if continues { filling.raw } else { 0 } + u64::from(raw);
        let entries = filling.entries + usize::from(!continues);
        let has_room = bytes <= self.part_bytes && total_raw <= MOST_RAW && entries <= MOST_ENTRIES;
        if !has_room && filling.file.is_some() {
            return false;
        }
        *filling = Filling { file: Some(file), bytes, raw: total_raw, entries };
        true
    }

    /// Deals blocks, given in order, out to parts.
    fn deal(&self, blocks: Vec<Block>) -> Vec<Vec<Block>> {
        let mut parts = Vec::new();
        let mut part = Vec::new();
        let mut filling = self.empty();
        for block in blocks {
            if !self.add(&mut filling, block.file, block.segment_len, block.raw_len) {
                parts.push(std::mem::take(&mut part));
                filling = self.empty();
                self.add(&mut filling, block.file, block.segment_len, block.raw_len);
            }
            part.push(block);
        }
        parts.push(part);
        parts
    }
}

/// Writes all parts into the request's folder; `written` tells which files were begun.
pub(super) fn write(
    collector: &mut Collector<'_>,
    layout: &Layout,
    written: &mut Vec<PathBuf>,
    watch: &mut Watch<'_>,
) -> Result<Collected, CollectError> {
    let blocks: Vec<Block> = collector.spill.blocks().cloned().collect();
    let truncated = collector.truncated;
    let redactions = blocks.iter().map(|block| u64::from(block.redactions)).sum();
    let mut has_content = vec![false; collector.files.len()];
    for block in &blocks {
        has_content[block.file as usize] = true;
    }
    let oldest = blocks
        .iter()
        .filter(|block| collector.files[block.file as usize].outcome.time_format.is_some())
        .map(|block| block.oldest.time)
        .min();
    let totals = Totals { truncated, redactions, oldest, has_content };
    let dealt = layout.deal(blocks);
    let parts = dealt.len() as u32;
    let mut collected = Collected {
        parts: Vec::new(),
        truncated,
        files: totals.has_content.iter().filter(|has| **has).count() as u64,
        redactions,
    };
    for (number, blocks) in (1..).zip(dealt) {
        let path =
            collector.request.out_dir.join(format!("logs-{}-{number}.zip", collector.request.about.job_id));
        written.push(path.clone());
        let (size_bytes, sha256) =
            write_part(collector, layout, &totals, (number, parts), &blocks, &path, watch)?;
        collected.parts.push(Part { path, size_bytes, sha256 });
    }
    Ok(collected)
}

/// What the manifests of all parts say.
struct Totals {
    truncated: bool,
    redactions: u64,
    oldest: Option<i64>,
    has_content: Vec<bool>,
}

fn write_part(
    collector: &mut Collector<'_>,
    layout: &Layout,
    totals: &Totals,
    (part, parts): (u32, u32),
    blocks: &[Block],
    path: &Path,
    watch: &mut Watch<'_>,
) -> Result<(u64, String), CollectError> {
    let request = collector.request;
    let mut zip = ZipWriter::new(File::create(path)?, request.time_zone.clone());
    let pieces: Vec<&[Block]> = blocks.chunk_by(|one, next| one.file == next.file).collect();
    let mut manifest = manifest(collector, totals, &pieces);
    (manifest.part, manifest.parts) = (part, parts);
    let deflater = &mut super::Deflater::new();
    let mut deflate = |json: &[u8]| {
        let mut segment = Vec::new();
        deflater.segment(json, &mut segment);
        segment
    };
    let (json, deflated) =
        manifest.pack(layout.manifest_bytes, &mut deflate).map_err(std::io::Error::other)?;
    zip.entry(&Entry {
        name: MANIFEST,
        modified_at: chrono::Utc::now().timestamp_micros(),
        crc: libdeflater::crc32(&json),
        deflated: (deflated.len() + END.len()) as u64,
        raw: json.len() as u64,
    })?;
    zip.content(&deflated)?;
    zip.content(&END)?;
    let mut segment = Vec::new();
    for piece in pieces {
        let file = &collector.files[piece[0].file as usize];
        zip.entry(&Entry {
            name: &name(file),
            modified_at: file.modified_at,
            crc: crc(piece),
            deflated: piece.iter().map(|block| u64::from(block.segment_len)).sum::<u64>() + END.len() as u64,
            raw: piece.iter().map(|block| u64::from(block.raw_len)).sum(),
        })?;
        for block in piece {
            watch.check()?;
            collector.spill.segment(block, &mut segment)?;
            zip.content(&segment)?;
        }
        zip.content(&END)?;
    }
    Ok(zip.finish()?)
}

/// The CRC-32 of the blocks' text one after the other.
fn crc(blocks: &[Block]) -> u32 {
    blocks.iter().fold(0, |sum, block| joined_crc(sum, block.crc, block.raw_len))
}

/// The CRC-32 of two texts one after the other, from their own and the length of the second: the first times
/// x to the power of 8 times the length, modulo the polynomial, plus the second. Bits are reflected, as in zlib.
fn joined_crc(first: u32, second: u32, second_len: u32) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    const ONE: u32 = 1 << 31;
    let multiply = |one: u32, mut other: u32| {
        let mut product = 0;
        for bit in (0..32).rev() {
            if one >> bit & 1 == 1 {
                product ^= other;
            }
            other = if other & 1 == 1 { other >> 1 ^ POLYNOMIAL } else { other >> 1 };
        }
        product
    };
    let mut power = ONE >> 8;
    let mut shift = ONE;
    let mut left = second_len;
    while left > 0 {
        if left & 1 == 1 {
            shift = multiply(shift, power);
        }
        power = multiply(power, power);
        left >>= 1;
    }
    multiply(shift, first) ^ second
}

fn name(file: &FileRecord) -> String {
    format!("logs/{}", file.name)
}

fn manifest<'a>(collector: &'a Collector<'_>, totals: &Totals, pieces: &[&[Block]]) -> Manifest<'a> {
    let request = collector.request;
    let files =
        pieces.iter().map(|piece| contained(&collector.files[piece[0].file as usize], piece)).collect();
    let empty = collector.files.iter().zip(&totals.has_content).filter(|(_, has)| !**has);
    let mut left_out: Vec<LeftOut<'a>> = empty
        .map(|(file, _)| LeftOut {
            source: &file.source,
            reason: match &file.outcome.trouble {
                Some(trouble) => trouble,
                None if file.size_bytes == 0 => "empty",
                None if totals.truncated => "nothing_in_period_or_over_max_bytes",
                None => "nothing_in_period",
            },
            time_format: file.outcome.time_format,
            read_bytes: file.outcome.read_bytes,
        })
        .collect();
    left_out.extend(collector.left_out.iter().map(|(source, reason)| LeftOut {
        source,
        reason,
        time_format: None,
        read_bytes: 0,
    }));
    Manifest {
        format: 1,
        tool: concat!("tillwatch-connector ", env!("CARGO_PKG_VERSION")),
        job_id: request.about.job_id.to_string(),
        pos_server_id: request.about.pos_server_id.to_string(),
        outlet: &request.about.outlet,
        period: Period { from: rfc3339(request.from), to: rfc3339(request.to) },
        time_zone: request.time_zone.iana_name().unwrap_or("UTC"),
        part: 1,
        parts: 1,
        max_bytes: request.max_bytes,
        truncated: totals.truncated,
        oldest_entry_at: totals.oldest.and_then(shown),
        redactions: totals.redactions,
        files,
        left_out,
        not_listed: 0,
    }
}

fn rfc3339(time: chrono::DateTime<chrono::Utc>) -> String {
    shown(time.timestamp_micros()).unwrap_or_default()
}

fn contained<'a>(file: &'a FileRecord, piece: &[Block]) -> Contained<'a> {
    let timed = |micros: Option<i64>| file.outcome.time_format.and(micros).and_then(shown);
    Contained {
        path: name(file),
        source: &file.source,
        size_bytes: file.size_bytes,
        modified_at: shown(file.modified_at),
        bytes: piece.iter().map(|block| u64::from(block.raw_len)).sum(),
        entries: entries(piece),
        first_entry_at: timed(piece.iter().map(|block| block.oldest.time).min()),
        last_entry_at: timed(piece.iter().map(|block| block.newest.time).max()),
        encoding: file.outcome.encoding,
        time_format: file.outcome.time_format,
        how: file.outcome.how,
        whole: file.outcome.how == Some("whole"),
        read_bytes: file.outcome.read_bytes,
        redactions: piece.iter().map(|block| u64::from(block.redactions)).sum(),
        trouble: file.outcome.trouble.as_deref(),
    }
}

/// How many entries are in consecutive blocks. One that fills the end of a block and the start of the next is one.
fn entries(piece: &[Block]) -> u64 {
    let in_two = piece.iter().skip(1).filter(|block| block.goes_on).count() as u64;
    piece.iter().map(|block| u64::from(block.entries)).sum::<u64>() - in_two
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_joined() {
        let text = b"2026-11-21 10:03:11 paid";
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            let joined =
                joined_crc(libdeflater::crc32(first), libdeflater::crc32(second), second.len() as u32);
            assert_eq!(joined, libdeflater::crc32(text));
        }
    }

    fn block(file: u32, offset: u64, segment_len: u32, raw_len: u32) -> Block {
        let mut block = Block::new(file, offset, b"", &[], 0);
        (block.segment_len, block.raw_len) = (segment_len, raw_len);
        block
    }

    fn sizes(parts: &[Vec<Block>]) -> Vec<usize> {
        parts.iter().map(Vec::len).collect()
    }

    #[test]
    fn parts_keep_to_the_limits_of_the_format() {
        let layout = Layout {
            max_bytes: u64::MAX,
            part_bytes: PART,
            manifest_bytes: 1000,
            overheads: vec![200; 70_000],
        };
        // By size: 50 MiB hold 49 blocks of a megabyte with a little on top.
        let blocks = (0..100).map(|n| block(0, n, 1_060_000, 1 << 20)).collect();
        assert_eq!(sizes(&layout.deal(blocks)), [49, 49, 2]);
        // By the text of one entry, as zeros compress a thousandfold.
        let blocks = (0..5).map(|n| block(0, n, 1000, 1_500_000_000)).collect();
        assert_eq!(sizes(&layout.deal(blocks)), [2, 2, 1]);
        let blocks = (0..5).map(|n| block(n, 0, 1000, 1_500_000_000)).collect();
        assert_eq!(sizes(&layout.deal(blocks)), [5]);
        // By the number of entries, of which the manifest is one.
        let blocks = (0..70_000).map(|n| block(n, 0, 10, 10)).collect();
        assert_eq!(sizes(&layout.deal(blocks)), [59_999, 10_001]);
        assert_eq!(sizes(&layout.deal(Vec::new())), [0], "an archive of nothing has a manifest still");
    }
}
