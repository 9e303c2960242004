//! Where compressed blocks wait, and which of them can stay.
//!
//! A temporary file without a name holds, for each block, its segment and the times of its entries. Memory
//! holds about a hundred bytes a block. Blocks beyond what can ever fit are forgotten, oldest first, and the
//! file is written anew when most of it is forgotten, so that its size keeps to a few times the limit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::logs::CollectError;

/// The order of entries in time; the offset tells apart those of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Microseconds since 1970.
    pub(super) time: i64,
    /// Where in its file the entry starts.
    pub(super) offset: u64,
}

/// An entry within a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// Its length in bytes.
    pub(super) len: u32,
    /// Its time.
    pub(super) time: i64,
}

/// Where a block belongs: files by their number, and blocks of a file by offset.
pub(super) type Place = (u32, u64);

/// A compressed block.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Number of the file.
    pub(super) file: u32,
    /// Offset in the file of its first byte.
    pub(super) offset: u64,
    /// Size of its text.
    pub(super) raw_len: u32,
    /// CRC-32 of its text.
    pub(super) crc: u32,
    /// The oldest entry.
    pub(super) oldest: Key,
    /// The newest entry.
    pub(super) newest: Key,
    /// How many entries.
    pub(super) entries: u32,
    /// Whether the first of them began in the block before.
    pub(super) goes_on: bool,
    /// How many numbers were masked in it.
    pub(super) redactions: u32,
    /// Size of its segment.
    pub(super) segment_len: u32,
    index_len: u32,
    at: u64,
}

impl Block {
    /// Describes a text and its entries.
    pub(super) fn new(file: u32, offset: u64, text: &[u8], spans: &[Span], redactions: usize) -> Self {
        let keys = || keys(offset, spans);
        let none = Key { time: 0, offset };
        Self {
            file,
            offset,
            raw_len: text.len() as u32,
            crc: libdeflater::crc32(text),
            oldest: keys().min().unwrap_or(none),
            newest: keys().max().unwrap_or(none),
            entries: spans.len() as u32,
            goes_on: false,
            redactions: redactions as u32,
            segment_len: 0,
            index_len: 0,
            at: 0,
        }
    }

    /// Its place.
    pub(super) fn place(&self) -> Place {
        (self.file, self.offset)
    }
}

/// The keys of a block's entries.
pub(super) fn keys(offset: u64, spans: &[Span]) -> impl Iterator<Item = Key> {
    let mut next = offset;
    spans.iter().map(move |span| {
        let key = Key { time: span.time, offset: next };
        next += u64::from(span.len);
        key
    })
}

/// How many bytes may come before it is looked again at what can't stay.
const LOOK_EVERY: u64 = 2 << 20;

/// Holds the blocks.
pub(super) struct Spill<'a> {
    cancel: &'a AtomicBool,
    dir: PathBuf,
    file: File,
    end: u64,
    blocks: BTreeMap<Place, Block>,
    /// Bytes of segments and of all that is held for blocks.
    segments: u64,
    held: u64,
    max_bytes: u64,
    /// How many bytes of segments there may be until it is looked again at what can't stay.
    look_at: u64,
    watermark: Option<Key>,
}

impl<'a> Spill<'a> {
    /// A spill in a folder, for an archive of at most `max_bytes`.
    pub(super) fn new(dir: &Path, max_bytes: u64, cancel: &'a AtomicBool) -> io::Result<Self> {
        Ok(Self {
            cancel,
            dir: dir.to_path_buf(),
            file: tempfile::tempfile_in(dir)?,
            end: 0,
            blocks: BTreeMap::new(),
            segments: 0,
            held: 0,
            max_bytes,
            look_at: max_bytes + LOOK_EVERY,
            watermark: None,
        })
    }

    /// The newest entry that was forgotten: nothing older can stay.
    pub(super) fn watermark(&self) -> Option<Key> {
        self.watermark
    }

    /// The blocks that are held, by file and offset.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.values()
    }

    /// Adds a block; may forget older ones.
    pub(super) fn add(
        &mut self,
        mut block: Block,
        segment: &[u8],
        spans: &[Span],
        redacted: &[usize],
    ) -> Result<(), CollectError> {
        let index = write_index(spans, redacted);
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(segment)?;
        self.file.write_all(&index)?;
        block.segment_len = segment.len() as u32;
        block.index_len = index.len() as u32;
        block.at = self.end;
        self.end += segment.len() as u64 + index.len() as u64;
        self.segments += segment.len() as u64;
        self.held += segment.len() as u64 + index.len() as u64;
        if let Some(replaced) = self.blocks.insert(block.place(), block) {
            self.forget_sizes(&replaced);
        }
        if self.segments > self.look_at {
            self.forget_hopeless();
            self.look_at = self.segments.max(self.max_bytes) + LOOK_EVERY.max(self.segments / 8);
        }
        if self.end - self.held > self.held + (16 << 20) {
            self.compact()?;
        }
        Ok(())
    }

    /// Takes a block out.
    pub(super) fn remove(&mut self, place: Place) {
        if let Some(block) = self.blocks.remove(&place) {
            self.forget_sizes(&block);
        }
    }

    fn forget_sizes(&mut self, block: &Block) {
        self.segments -= u64::from(block.segment_len);
        self.held -= u64::from(block.segment_len) + u64::from(block.index_len);
    }

    /// Forgets the blocks that can't stay: those for which blocks that are newer as a whole fill the archive.
    fn forget_hopeless(&mut self) {
        let mut by_oldest: Vec<(Key, u64)> =
            self.blocks.values().map(|block| (block.oldest, u64::from(block.segment_len))).collect();
        by_oldest.sort_unstable();
        let mut by_newest: Vec<(Key, Place)> =
            self.blocks.values().map(|block| (block.newest, block.place())).collect();
        by_newest.sort_unstable();
        let mut newer: u64 = by_oldest.iter().map(|(_, size)| size).sum();
        let mut passed = by_oldest.iter().peekable();
        for (newest, place) in by_newest {
            while let Some((_, size)) = passed.next_if(|(oldest, _)| *oldest <= newest) {
                newer -= size;
            }
            if newer <= self.max_bytes {
                break;
            }
            self.watermark = self.watermark.max(Some(newest));
            self.remove(place);
        }
    }

    /// Takes all blocks of a file out.
    pub(super) fn forget(&mut self, file: u32) {
        let places: Vec<Place> =
            self.blocks.range((file, 0)..=(file, u64::MAX)).map(|(place, _)| *place).collect();
        for place in places {
            self.remove(place);
        }
    }

    /// Reads the segment of a block into `segment`.
    pub(super) fn segment(&mut self, block: &Block, segment: &mut Vec<u8>) -> io::Result<()> {
        self.read(block.at, block.segment_len, segment)
    }

    /// The entries of a block, and the offsets in its text of what was masked.
    pub(super) fn index(&mut self, block: &Block) -> io::Result<(Vec<Span>, Vec<usize>)> {
        let mut index = Vec::new();
        self.read(block.at + u64::from(block.segment_len), block.index_len, &mut index)?;
        read_index(&index)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the temporary file was changed"))
    }

    fn read(&mut self, at: u64, length: u32, into: &mut Vec<u8>) -> io::Result<()> {
        into.resize(length as usize, 0);
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(into)
    }

    fn compact(&mut self) -> Result<(), CollectError> {
        let mut fresh = tempfile::tempfile_in(&self.dir)?;
        let mut end = 0;
        let mut buffer = Vec::new();
        for block in self.blocks.values_mut() {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(CollectError::Canceled);
            }
            buffer.resize((block.segment_len + block.index_len) as usize, 0);
            self.file.seek(SeekFrom::Start(block.at))?;
            self.file.read_exact(&mut buffer)?;
            fresh.write_all(&buffer)?;
            block.at = end;
            end += buffer.len() as u64;
        }
        (self.file, self.end) = (fresh, end);
        Ok(())
    }
}

fn write_index(spans: &[Span], redacted: &[usize]) -> Vec<u8> {
    let mut index = Vec::with_capacity(spans.len() * 4 + 16);
    let mut put = |mut value: u64| {
        while value >= 0x80 {
            index.push(value as u8 | 0x80);
            value >>= 7;
        }
        index.push(value as u8);
    };
    put(spans.len() as u64);
    let mut time = 0_i64;
    for span in spans {
        put(u64::from(span.len));
        let step = span.time.wrapping_sub(time);
        put(((step << 1) ^ (step >> 63)).cast_unsigned());
        time = span.time;
    }
    put(redacted.len() as u64);
    let mut at = 0;
    for place in redacted {
        put((place - at) as u64);
        at = *place;
    }
    index
}

fn read_index(index: &[u8]) -> Option<(Vec<Span>, Vec<usize>)> {
    let mut bytes = index.iter();
    let mut take = || {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    };
    let mut time = 0_i64;
    let count = take()?;
    let spans: Option<Vec<Span>> = (0..count)
        .map(|_| {
            let len = u32::try_from(take()?).ok()?;
            let step = take()?;
            time = time.wrapping_add((step >> 1).cast_signed() ^ -((step & 1).cast_signed()));
            Some(Span { len, time })
        })
        .collect();
    let spans = spans?;
    let count = take()?;
    let mut at = 0;
    let redacted: Option<Vec<usize>> = (0..count)
        .map(|_| {
            at += usize::try_from(take()?).ok()?;
            Some(at)
        })
        .collect();
    Some((spans, redacted?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(spill: &mut Spill<'_>, file: u32, offset: u64, time: i64, size: usize) {
        let spans = [Span { len: size as u32, time }];
        let text = vec![b'x'; size];
        spill.add(Block::new(file, offset, &text, &spans, 1), &text, &spans, &[3]).unwrap();
    }

    #[test]
    fn the_oldest_blocks_make_room_and_the_file_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = AtomicBool::new(false);
        let mut spill = Spill::new(dir.path(), 1 << 20, &cancel).unwrap();
        for number in 0..200 {
            add(&mut spill, 1, number * 300_000, (number as i64 * 37) % 200, 300_000);
        }
        let times: Vec<i64> = spill.blocks().map(|block| block.newest.time).collect();
        assert!(times.iter().all(|time| *time > spill.watermark().unwrap().time));
        assert!((4..=16).contains(&times.len()) && (196..200).all(|time| times.contains(&time)), "{times:?}");
        assert!(spill.end < 24 << 20, "{}", spill.end);
        let block = spill.blocks().next().unwrap().clone();
        assert_eq!(
            spill.index(&block).unwrap(),
            (vec![Span { len: 300_000, time: block.newest.time }], vec![3])
        );
        spill.forget(1);
        assert_eq!((spill.blocks().count(), spill.segments, spill.held), (0, 0, 0));
    }

    /// At the largest limit, writing the file anew takes longer than a cancel may.
    #[test]
    fn a_cancel_ends_the_writing_anew() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = AtomicBool::new(false);
        let mut spill = Spill::new(dir.path(), 1 << 20, &cancel).unwrap();
        (0..4).for_each(|number| add(&mut spill, 1, number * 300_000, 0, 300_000));
        cancel.store(true, Ordering::Relaxed);
        assert!(matches!(spill.compact(), Err(CollectError::Canceled)));
    }

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let spans = [(10, 1_763_719_391_000_000), (0, -5), (u32::MAX, i64::MAX), (7, i64::MIN)]
            .map(|(len, time)| Span { len, time });
        let redacted = [0, 5, 1 << 20];
        assert_eq!(read_index(&write_index(&spans, &redacted)), Some((spans.to_vec(), redacted.to_vec())));
    }
}
