//! The text of archives, UTF-8, in compressed blocks in a file that has no name and goes with the app.
//!
//! Deflate can't be read from the middle, so what is read once from the archives is kept in blocks that can. Nothing
//! is extracted: no name of an archive becomes a name of a file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use crate::core::lock;

/// How much text a block holds at least, unless it is the last.
const BLOCK: usize = 256 << 10;
/// How many blocks are kept unpacked: entries of that many files can be read by turns.
const UNPACKED: usize = 48;

/// Takes text from front to back.
pub(super) struct TextWriter {
    file: File,
    blocks: Vec<Block>,
    pending: Vec<u8>,
    start: u64,
    written: u64,
}

/// Text that was written, to be read anywhere.
pub(super) struct Text {
    file: Mutex<File>,
    blocks: Vec<Block>,
    length: u64,
    unpacked: Mutex<VecDeque<(usize, Arc<Vec<u8>>)>>,
}

#[derive(Clone, Copy)]
struct Block {
    /// Where its text starts.
    start: u64,
    /// Where it lies in the file.
    at: u64,
    packed: u32,
    length: u32,
}

impl TextWriter {
    /// Starts with a file in `folder`.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(Self { file, blocks: Vec::new(), pending: Vec::with_capacity(BLOCK * 2), start: 0, written: 0 })
    }

    /// Adds a line, and gives where it starts. Lines are never divided between blocks.
    pub(super) fn push(&mut self, line: &str) -> io::Result<u64> {
        let offset = self.start + self.pending.len() as u64;
        self.pending.extend_from_slice(line.as_bytes());
        self.pending.push(b'\n');
        if self.pending.len() >= BLOCK {
            self.flush()?;
        }
        Ok(offset)
    }

    /// No more comes.
    pub(super) fn finish(mut self) -> io::Result<Text> {
        self.flush()?;
        Ok(Text {
            file: Mutex::new(self.file),
            blocks: self.blocks,
            length: self.start,
            unpacked: Mutex::default(),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut encoder = DeflateEncoder::new(Vec::with_capacity(BLOCK / 4), Compression::fast());
        encoder.write_all(&self.pending)?;
        let packed = encoder.finish()?;
        self.file.write_all(&packed)?;
        self.blocks.push(Block {
            start: self.start,
            at: self.written,
            packed: packed.len() as u32,
            length: self.pending.len() as u32,
        });
        self.written += packed.len() as u64;
        self.start += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

impl Text {
    /// How many blocks there are.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// How long all of it is, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Where a block's text starts, and that text.
    pub(super) fn block(&self, number: usize) -> io::Result<(u64, Vec<u8>)> {
        let block = self.blocks[number];
        let mut packed = vec![0; block.packed as usize];
        {
            let mut file = lock(&self.file);
            file.seek(SeekFrom::Start(block.at))?;
            file.read_exact(&mut packed)?;
        }
        let mut text = Vec::with_capacity(block.length as usize);
        DeflateDecoder::new(packed.as_slice()).read_to_end(&mut text)?;
        Ok((block.start, text))
    }

    /// The text from `from` to `to`, which lie in one block, as those of a line do.
    pub(super) fn read(&self, from: u64, to: u64) -> io::Result<String> {
        let number = self.blocks.partition_point(|block| block.start <= from).saturating_sub(1);
        let text = self.unpacked(number)?;
        let start = (from - self.blocks[number].start) as usize;
        let end = (to - self.blocks[number].start) as usize;
        Ok(String::from_utf8_lossy(text.get(start..end).unwrap_or_default()).into_owned())
    }

    fn unpacked(&self, number: usize) -> io::Result<Arc<Vec<u8>>> {
        let mut unpacked = lock(&self.unpacked);
        if let Some(known) = unpacked.iter().position(|(known, _)| *known == number)
            && let Some(entry) = unpacked.remove(known)
        {
            unpacked.push_back(entry.clone());
            return Ok(entry.1);
        }
        drop(unpacked);
        let text = Arc::new(self.block(number)?.1);
        let mut unpacked = lock(&self.unpacked);
        if unpacked.len() >= UNPACKED {
            unpacked.pop_front();
        }
        unpacked.push_back((number, Arc::clone(&text)));
        Ok(text)
    }
}
