//! Reading a log file: as it is, unpacked or transcoded, as a stream or at an offset.

use std::borrow::Cow;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;

/// How much is read at a time.
const BUFFER: usize = 128 * 1024;
/// So many ASCII characters at the start tell UTF-16 without a mark: a date is longer.
const TOLD_BY: usize = 8;
/// Longer lines are handled in pieces.
const LONGEST_LINE: usize = 256 * 1024;

/// An open log file. Counts what it reads.
pub(super) struct Source {
    file: File,
    len: u64,
    gzip: bool,
    utf16: Option<Utf16>,
    read_bytes: Cell<u64>,
}

impl Source {
    /// Looks at the start of the file to learn what it is.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let mut source = Self { file, len, gzip: false, utf16: None, read_bytes: Cell::new(0) };
        let mut head = [0; 2 * TOLD_BY];
        let read = source.read_at(0, &mut head)?;
        source.gzip = head[..read].starts_with(&[0x1f, 0x8b, 8]);
        if source.gzip {
            let mut start = Vec::new();
            // An archive that is cut short says so when it is read.
            let _ = source.stream().take(head.len() as u64).read_to_end(&mut start);
            source.utf16 = utf16(&start);
        } else {
            source.utf16 = utf16(&head[..read]);
        }
        Ok(source)
    }

    /// Its size when it was opened; what is appended meanwhile is not read.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes read of the file so far.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.get()
    }

    /// Whether a place in the file can be read without what comes before it.
    pub(super) fn is_seekable(&self) -> bool {
        !self.gzip
    }

    /// Bytes that every line's offset is a multiple of.
    pub(super) fn unit(&self) -> usize {
        if self.utf16.is_some() { 2 } else { 1 }
    }

    /// Where the line ends that goes on at `from` of a piece of the file.
    pub(super) fn line_end(&self, piece: &[u8], from: usize) -> Option<usize> {
        let rest = piece.get(from..)?;
        let Some(order) = self.utf16 else { return memchr::memchr(b'\n', rest).map(|at| from + at + 1) };
        let is_end = |unit: &[u8; 2]| order.unit(*unit) == u16::from(b'\n');
        rest.as_chunks().0.iter().position(is_end).map(|at| from + 2 * at + 2)
    }

    /// A piece of the file as ASCII and what else there is.
    pub(super) fn text<'a>(&self, piece: &'a [u8]) -> Cow<'a, [u8]> {
        match self.utf16 {
            Some(order) => {
                let mut text = String::with_capacity(piece.len());
                order.decode(piece, &mut text);
                text.into_bytes().into()
            }
            None => piece.into(),
        }
    }

    /// What the manifest says of it.
    pub(super) fn encoding(&self, start: &[u8]) -> &'static str {
        match self.utf16 {
            Some(Utf16::BigEndian) => "utf-16be",
            Some(Utf16::LittleEndian) => "utf-16le",
            None => match std::str::from_utf8(start) {
                Ok(_) => "utf-8",
                // The start was cut within a character.
                Err(error) if error.error_len().is_none() => "utf-8",
                Err(_) => "bytes",
            },
        }
    }

    /// The whole text from its start.
    pub(super) fn stream(&self) -> Box<dyn Read + '_> {
        let packed = self.bytes(0, self.len);
        if self.gzip {
            self.transcoded(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, packed)))
        } else {
            self.transcoded(packed)
        }
    }

    /// The text of a range of a file that is not packed.
    pub(super) fn range(&self, start: u64, end: u64) -> Box<dyn Read + '_> {
        self.transcoded(self.bytes(start, end))
    }

    fn transcoded<'a>(&self, bytes: impl Read + 'a) -> Box<dyn Read + 'a> {
        match self.utf16 {
            Some(order) => Box::new(Transcoded::new(bytes, order)),
            None => Box::new(bytes),
        }
    }

    fn bytes(&self, start: u64, end: u64) -> RangeReader<'_> {
        RangeReader { source: self, at: start, end: end.min(self.len) }
    }

    /// Reads at an offset until `buffer` is full or the file ends.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX));
        let mut read = 0;
        while read < wanted {
            match read_once(&self.file, offset + read as u64, &mut buffer[read..wanted]) {
                // Cut short meanwhile, as by copying and truncating.
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.read_bytes.set(self.read_bytes.get() + read as u64);
        Ok(read)
    }
}

/// Reads what one call gives.
fn read_once(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_at(file, buffer, offset);
    #[cfg(windows)]
    return std::os::windows::fs::FileExt::seek_read(file, buffer, offset);
}

/// Which UTF-16 a text is in, by its mark or, as a rotated file goes on without one, by its first characters.
fn utf16(start: &[u8]) -> Option<Utf16> {
    match start {
        [0xff, 0xfe, ..] => return Some(Utf16::LittleEndian),
        [0xfe, 0xff, ..] => return Some(Utf16::BigEndian),
        _ if start.len() < 2 * TOLD_BY => return None,
        _ => {}
    }
    let ascii = |place: usize| start.chunks_exact(2).all(|unit| unit[place] != 0 && unit[1 - place] == 0);
    match (ascii(0), ascii(1)) {
        (true, _) => Some(Utf16::LittleEndian),
        (_, true) => Some(Utf16::BigEndian),
        _ => None,
    }
}

/// Reads a range of a file.
struct RangeReader<'a> {
    source: &'a Source,
    at: u64,
    end: u64,
}

impl Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX));
        let read = self.source.read_at(self.at, &mut buffer[..most])?;
        self.at += read as u64;
        Ok(read)
    }
}

/// UTF-16, by which of a unit's two bytes comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Utf16 {
    LittleEndian,
    BigEndian,
}

impl Utf16 {
    fn unit(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::LittleEndian => u16::from_le_bytes(bytes),
            Self::BigEndian => u16::from_be_bytes(bytes),
        }
    }

    /// Appends a text, U+FFFD for what is no character. A byte that is left over is not looked at.
    fn decode(self, bytes: &[u8], text: &mut String) {
        let units = bytes.as_chunks().0.iter().map(|unit| self.unit(*unit));
        let characters = char::decode_utf16(units);
        text.extend(characters.map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
}

/// UTF-16 as UTF-8, without the mark at its start.
struct Transcoded<R> {
    inner: R,
    order: Utf16,
    /// What is not decoded yet: after a read, half a character at most.
    input: Vec<u8>,
    output: String,
    output_at: usize,
    is_start: bool,
    ended: bool,
}

impl<R: Read> Transcoded<R> {
    fn new(inner: R, order: Utf16) -> Self {
        let (input, output) = (Vec::new(), String::new());
        Self { inner, order, input, output, output_at: 0, is_start: true, ended: false }
    }

    fn refill(&mut self) -> io::Result<()> {
        let held = self.input.len();
        self.input.resize(held + 32 * 1024, 0);
        let read = self.inner.read(&mut self.input[held..]);
        self.input.truncate(held + *read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        let mut whole = self.input.len() & !1;
        if !self.ended
            && let Some(last) = self.input[..whole].last_chunk()
            // The first half of a character whose second is still to come.
            && matches!(self.order.unit(*last), 0xd800..=0xdbff)
        {
            whole -= 2;
        }
        self.output.clear();
        self.output_at = 0;
        self.order.decode(&self.input[..whole], &mut self.output);
        self.input.drain(..whole);
        if self.ended && !self.input.is_empty() {
            self.input.clear();
            self.output.push(char::REPLACEMENT_CHARACTER);
        }
        if self.is_start && !self.output.is_empty() {
            self.is_start = false;
            if self.output.starts_with('\u{feff}') {
                self.output_at = '\u{feff}'.len_utf8();
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Transcoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.output_at == self.output.len() && !self.ended {
            self.refill()?;
        }
        let rest = &self.output.as_bytes()[self.output_at..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.output_at += count;
        Ok(count)
    }
}

/// A line with its end, or a piece of one that is too long.
pub(super) struct Line<'a> {
    /// Where it starts, counted from where the reader started.
    pub(super) offset: u64,
    /// Its bytes.
    pub(super) text: &'a [u8],
    /// Whether this is the start of the line.
    pub(super) is_start: bool,
}

/// Splits a stream into lines.
pub(super) struct Lines<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    offset: u64,
    within: bool,
    ended: bool,
    failed: Option<io::Error>,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(inner: R) -> Self {
        let buffer = vec![0; LONGEST_LINE];
        Self { inner, buffer, start: 0, filled: 0, offset: 0, within: false, ended: false, failed: None }
    }

    /// The next line. What was read before an error is given first.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        let length = loop {
            let held = &self.buffer[self.start..self.filled];
            if let Some(end) = memchr::memchr(b'\n', &held[searched..]) {
                break searched + end + 1;
            }
            searched = held.len();
            if self.ended || self.failed.is_some() || searched == self.buffer.len() {
                break searched;
            }
            if self.filled == self.buffer.len() {
                self.buffer.copy_within(self.start..self.filled, 0);
                self.filled -= self.start;
                self.start = 0;
            }
            let most = (self.filled + BUFFER).min(self.buffer.len());
            match self.inner.read(&mut self.buffer[self.filled..most]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.failed = Some(error),
            }
        };
        if length == 0 {
            return self.failed.take().map_or(Ok(None), Err);
        }
        let text = &self.buffer[self.start..self.start + length];
        let line = Line { offset: self.offset, text, is_start: !self.within };
        self.within = text.last() != Some(&b'\n');
        self.start += length;
        self.offset += length as u64;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn source(bytes: &[u8]) -> Source {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Source::new(file).unwrap()
    }

    /// Gives a byte at a time, and an interruption before each.
    struct Drop<'a>(&'a [u8], bool);

    impl Read for Drop<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = self.0.len().min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn utf16_is_read_wherever_a_read_ends() {
        let text = "\u{feff}чек 😀\u{feff}\n";
        for (order, bytes) in [
            (Utf16::LittleEndian, u16::to_le_bytes as fn(u16) -> [u8; 2]),
            (Utf16::BigEndian, u16::to_be_bytes),
        ] {
            let mut wide: Vec<u8> = text.encode_utf16().flat_map(bytes).collect();
            let read = |wide: &[u8]| {
                let mut read = String::new();
                Transcoded::new(Drop(wide, false), order).read_to_string(&mut read).unwrap();
                read
            };
            assert_eq!(read(&wide), "чек 😀\u{feff}\n", "the mark is no text, and later it is");
            // Half a character, and half a unit, at the end.
            wide.extend(bytes(0xd83d));
            wide.push(7);
            assert_eq!(read(&wide), "чек 😀\u{feff}\n\u{fffd}\u{fffd}");
            wide.truncate(wide.len() - 1);
            wide.extend(bytes(u16::from(b'a')));
            assert_eq!(read(&wide), "чек 😀\u{feff}\n\u{fffd}a");
            assert_eq!(read(&[]), "");
        }
    }

    fn lines(source: &Source) -> Vec<(u64, usize, bool)> {
        let mut lines = Lines::new(source.stream());
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push((line.offset, line.text.len(), line.is_start));
        }
        all
    }

    #[test]
    fn lines_of_any_length_are_given() {
        let mut text = b"one\n\n".to_vec();
        text.extend(vec![b'x'; 600_000]);
        text.extend(b"\nlast");
        assert_eq!(
            lines(&source(&text)),
            [
                (0, 4, true),
                (4, 1, true),
                (5, 262_144, true),
                (262_149, 262_144, false),
                (524_293, 75_713, false),
                (600_006, 4, true)
            ]
        );
    }

    #[test]
    fn utf16_and_gzip_come_out_as_utf8() {
        let text = "2026-11-21 10:00:00 оплата €\r\nвторая 🙂\n";
        for (big, name, mark) in [
            (false, "utf-16le", Some(0xfeff)),
            (true, "utf-16be", Some(0xfeff)),
            (false, "utf-16le", None),
            (true, "utf-16be", None),
        ] {
            let units = mark.into_iter().chain(text.encode_utf16());
            let bytes: Vec<u8> =
                units.flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
            let mut gzipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzipped.write_all(&bytes).unwrap();
            for bytes in [bytes, gzipped.finish().unwrap()] {
                let source = source(&bytes);
                let mut read = String::new();
                source.stream().read_to_string(&mut read).unwrap();
                assert_eq!(read, text);
                assert_eq!((source.encoding(b""), source.unit()), (name, 2));
            }
        }
    }
}
