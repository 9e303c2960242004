//! Writing a zip whose sizes are known beforehand, so that its headers are plain and every program opens it.
//!
//! After the format's note APPNOTE 6.3.10: deflate, names in UTF-8 (flag bit 11), no zip64, no descriptors.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

/// Bytes that an entry takes besides its content and its name, which stands there twice.
pub(super) const ENTRY_OVERHEAD: u64 = 30 + 46;
/// Bytes of the end of a zip.
pub(super) const END_OVERHEAD: u64 = 22;
/// Names in UTF-8.
const FLAGS: u16 = 1 << 11;
const VERSION: u16 = 20;
const DEFLATED: u16 = 8;
/// Made on Unix, so that the permissions below count.
const MADE_BY: u16 = (3 << 8) | VERSION;
/// A regular file, `rw-r--r--`.
const PERMISSIONS: u32 = 0o100_644 << 16;

/// What is known of an entry before its content is written.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    /// Microseconds since 1970.
    pub(super) modified_at: i64,
    pub(super) crc: u32,
    pub(super) deflated: u64,
    pub(super) raw: u64,
}

/// Writes one zip.
pub(super) struct ZipWriter {
    file: BufWriter<File>,
    hash: Sha256,
    written: u64,
    directory: Vec<u8>,
    entries: u16,
    zone: TimeZone,
}

impl ZipWriter {
    /// Starts a zip. Times in it are local ones, of `zone`, as the format has it.
    pub(super) fn new(file: File, zone: TimeZone) -> Self {
        Self {
            file: BufWriter::with_capacity(64 << 10, file),
            hash: Sha256::new(),
            written: 0,
            directory: Vec::new(),
            entries: 0,
            zone,
        }
    }

    /// Starts an entry; its content has to follow by [`Self::content`], as long as was said.
    pub(super) fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let too_large = |_| io::Error::other("an entry of the archive is too large");
        let mut common = Vec::with_capacity(26);
        for value in [VERSION, FLAGS, DEFLATED] {
            common.extend_from_slice(&value.to_le_bytes());
        }
        common.extend_from_slice(&dos_time(entry.modified_at, &self.zone).to_le_bytes());
        common.extend_from_slice(&entry.crc.to_le_bytes());
        for size in [entry.deflated, entry.raw, self.written] {
            common.extend_from_slice(&u32::try_from(size).map_err(too_large)?.to_le_bytes());
        }
        let offset = common.split_off(common.len() - 4);
        let name_length = u16::try_from(entry.name.len()).map_err(too_large)?.to_le_bytes();
        common.extend_from_slice(&name_length);
        // No extra fields.
        common.extend_from_slice(&[0; 2]);

        self.put(b"PK\x03\x04")?;
        self.put(&common)?;
        self.put(entry.name.as_bytes())?;

        self.directory.extend_from_slice(b"PK\x01\x02");
        self.directory.extend_from_slice(&MADE_BY.to_le_bytes());
        self.directory.extend_from_slice(&common);
        // No comment, first disk, no internal attributes.
        self.directory.extend_from_slice(&[0; 6]);
        self.directory.extend_from_slice(&PERMISSIONS.to_le_bytes());
        self.directory.extend_from_slice(&offset);
        self.directory.extend_from_slice(entry.name.as_bytes());
        self.entries += 1;
        Ok(())
    }

    /// Writes compressed content of the entry that was started last.
    pub(super) fn content(&mut self, deflated: &[u8]) -> io::Result<()> {
        self.put(deflated)
    }

    /// Ends the zip and sees it onto the disk. Gives its size and its SHA-256 in hexadecimal.
    pub(super) fn finish(mut self) -> io::Result<(u64, String)> {
        let start = self.written as u32;
        let directory = std::mem::take(&mut self.directory);
        self.put(&directory)?;
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend_from_slice(&self.entries.to_le_bytes());
        end.extend_from_slice(&self.entries.to_le_bytes());
        end.extend_from_slice(&(directory.len() as u32).to_le_bytes());
        end.extend_from_slice(&start.to_le_bytes());
        end.extend_from_slice(&[0; 2]);
        self.put(&end)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        let mut sha256 = String::with_capacity(64);
        for byte in self.hash.finalize() {
            for digit in [byte >> 4, byte & 15] {
                sha256.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        Ok((self.written, sha256))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

/// Date and time as DOS had them, in steps of two seconds from 1980 on.
fn dos_time(micros: i64, zone: &TimeZone) -> u32 {
    const START: u32 = (1 << 21) | (1 << 16);
    let Ok(instant) = Timestamp::from_microsecond(micros) else { return START };
    let time = zone.to_datetime(instant);
    let Some(year) = u32::try_from(time.year() - 1980).ok().filter(|year| *year < 128) else { return START };
    let part = |number: i8| u32::from(number.unsigned_abs());
    let date = (year << 9) | (part(time.month()) << 5) | part(time.day());
    let clock = (part(time.hour()) << 11) | (part(time.minute()) << 5) | (part(time.second()) / 2);
    (date << 16) | clock
}
