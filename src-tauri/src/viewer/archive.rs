//! Reads zips of logs from front to back. Whatever is in them becomes lines of text or an error: names are shown and
//! never used, sizes are counted and never believed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use chrono::{DateTime, Utc};
use jiff::tz::TimeZone;
use serde::Deserialize;
use tillwatch_log_times::{Survey, Times};
use zip::ZipArchive;
use zip::result::ZipError;

use super::level::level;
use super::lines::{About, Log, LogWriter, UNTIMED};
use super::text::TextWriter;
use super::{LIMITS, LONGEST, Limits};
use crate::error::{AppError, LocalCode};
use crate::ipc::Level;

const MANIFEST: &str = "manifest.json";
/// The most that is read of a manifest.
const MOST_MANIFEST: u64 = 16 << 20;
/// How much of a file is looked at to learn how it writes times.
const SURVEYED: usize = 256 << 10;
/// How many bytes that are not UTF-8 are looked at to learn in which encoding a file is.
const DETECTED: usize = 64 << 10;
/// How much is read between two looks at whether to go on.
const STEP: u64 = 4 << 20;

/// An archive that lies on the disk.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is called, for errors.
    pub name: String,
    /// The end of its period: the time of files that state none.
    pub to: DateTime<Utc>,
}

/// Reads all parts of an archive, in their order. What is kept of the text lies in `folder`. `go_on` hears how much
/// text was read and about how much there is, and says false to stop, which gives none.
pub fn read(
    sources: &[Source],
    folder: &Path,
    limits: Limits,
    go_on: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Option<Log>, AppError> {
    let kept = |error: &io::Error| AppError::from_io(error, folder);
    let mut reading = Reading {
        log: LogWriter::new(TextWriter::new(folder).map_err(|error| kept(&error))?),
        about: About::default(),
        last_times: HashMap::new(),
        read: 0,
        told: 0,
        announced: announced(sources)?,
        limits,
        go_on,
    };
    for source in sources {
        match reading.archive(source) {
            Ok(()) => {}
            Err(Broken::Stopped) => return Ok(None),
            Err(Broken::Kept(error)) => return Err(kept(&error)),
            Err(Broken::Failed(error)) => {
                return Err(error.param("name", &source.name));
            }
        }
    }
    let Reading { log, about, .. } = reading;
    log.finish(about).map(Some).map_err(|error| kept(&error))
}

/// Why reading ended.
enum Broken {
    Stopped,
    /// The text could not be kept.
    Kept(io::Error),
    Failed(AppError),
}

impl From<LocalCode> for Broken {
    fn from(code: LocalCode) -> Self {
        Self::Failed(code.into())
    }
}

struct Reading<'a> {
    log: LogWriter,
    about: About,
    /// The time of the last entry of each file: it may go on in the next part.
    last_times: HashMap<String, (i64, Level)>,
    read: u64,
    told: u64,
    announced: u64,
    limits: Limits,
    go_on: &'a mut dyn FnMut(u64, u64) -> bool,
}

/// What is read of a manifest. What is missing is as good as unknown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Manifest {
    outlet: String,
    time_zone: String,
    truncated: bool,
    period: Option<Period>,
    files: Vec<Contained>,
}

#[derive(Deserialize)]
struct Period {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Contained {
    path: String,
    modified_at: Option<DateTime<Utc>>,
}

impl Reading<'_> {
    fn archive(&mut self, source: &Source) -> Result<(), Broken> {
        let mut zip = open(source).map_err(Broken::Failed)?;
        let manifest = manifest(&mut zip)?;
        let zone = TimeZone::get(&manifest.time_zone).unwrap_or(TimeZone::UTC);
        if self.about.outlet.is_empty() {
            self.about.outlet = safe(&manifest.outlet);
            zone.iana_name().unwrap_or("UTC").clone_into(&mut self.about.time_zone);
        }
        self.about.truncated |= manifest.truncated;
        let period =
            manifest.period.map(|period| (period.from.timestamp_micros(), period.to.timestamp_micros()));
        let modified: HashMap<&str, DateTime<Utc>> =
            manifest.files.iter().filter_map(|file| Some((file.path.as_str(), file.modified_at?))).collect();
        for index in 0..zip.len() {
            let file = zip.by_index(index).map_err(|error| broken(&error))?;
            let name = file.name().map_err(|error| broken(&error))?.into_owned();
            if file.is_dir() || name == MANIFEST {
                continue;
            }
            let modified = modified.get(name.as_str()).copied().unwrap_or(source.to);
            self.file(&name, file, &zone, modified, period)?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        name: &str,
        content: impl Read,
        zone: &TimeZone,
        modified: DateTime<Utc>,
        period: Option<(i64, i64)>,
    ) -> Result<(), Broken> {
        let shown = safe(name.strip_prefix("logs/").unwrap_or(name));
        let mut content = BufReader::with_capacity(SURVEYED, content);
        let mut times = survey(content.fill_buf().map_err(|error| unreadable(&error))?, zone, modified);
        self.log.begin(shown.clone());
        let first = self.log.len();
        let known = self.last_times.get(&shown).copied();
        let (mut time, mut of) = known.unwrap_or((UNTIMED, Level::None));
        let mut decoder = Decoder::default();
        let mut line = Vec::with_capacity(LONGEST);
        let mut middle = false;
        loop {
            line.clear();
            let read = content
                .by_ref()
                .take(LONGEST as u64)
                .read_until(b'\n', &mut line)
                .map_err(|error| unreadable(&error))?;
            if read == 0 {
                break;
            }
            let ends = line.last() == Some(&b'\n');
            if !ends {
                // A character is not divided between pieces.
                while line.len() < LONGEST + 3
                    && let Some(next) = content.fill_buf().map_err(|error| unreadable(&error))?.first()
                    && next & 0xc0 == 0x80
                {
                    line.push(*next);
                    content.consume(1);
                }
            }
            self.count(line.len() as u64)?;
            let bare = line.strip_suffix(b"\n").unwrap_or(&line);
            let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
            let stamp = if middle { None } else { times.as_mut().and_then(|times| times.read(bare)) };
            // Lines of files without times are entries of their own.
            let starts = !middle && (stamp.is_some() || times.is_none());
            if let Some(stamp) = stamp {
                let within = period.and_then(|(from, to)| stamp.within(from, to)).unwrap_or(stamp.latest);
                if time == UNTIMED && self.log.len() > first {
                    self.log.date(first, within);
                }
                time = within;
            }
            if starts {
                of = level(bare);
            }
            middle = !ends;
            self.log.push(&decoder.decode(bare), time, of, starts).map_err(Broken::Kept)?;
        }
        self.last_times.insert(shown, (time, of));
        Ok(())
    }

    fn count(&mut self, bytes: u64) -> Result<(), Broken> {
        self.read += bytes;
        if self.read > self.limits.text || self.log.len() >= self.limits.lines {
            return Err(LocalCode::ArchiveTooLarge.into());
        }
        if self.read - self.told >= STEP {
            self.told = self.read;
            if !(self.go_on)(self.read, self.announced.max(self.read)) {
                return Err(Broken::Stopped);
            }
        }
        Ok(())
    }
}

fn open(source: &Source) -> Result<ZipArchive<BufReader<File>>, AppError> {
    let file = File::open(&source.path).map_err(|error| AppError::from_io(&error, &source.path))?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| match broken(&error) {
        Broken::Failed(error) => error.param("name", &source.name),
        Broken::Stopped | Broken::Kept(_) => LocalCode::ArchiveUnreadable.into(),
    })
}

/// How much text the archives say that they hold: good enough for a progress bar.
fn announced(sources: &[Source]) -> Result<u64, AppError> {
    let mut sum: u64 = 0;
    for source in sources {
        sum = sum.saturating_add(
            open(source)?.decompressed_size().unwrap_or(0).min(u128::from(LIMITS.text)) as u64
        );
    }
    Ok(sum)
}

fn manifest<R: Read + io::Seek>(zip: &mut ZipArchive<R>) -> Result<Manifest, Broken> {
    let file = match zip.by_name(MANIFEST) {
        Ok(file) => file,
        // Other zips of logs can be looked at just as well.
        Err(ZipError::FileNotFound) => return Ok(Manifest::default()),
        Err(error) => return Err(broken(&error)),
    };
    let mut json = Vec::new();
    file.take(MOST_MANIFEST).read_to_end(&mut json).map_err(|error| unreadable(&error))?;
    Ok(serde_json::from_slice(&json).unwrap_or_default())
}

fn survey(start: &[u8], zone: &TimeZone, modified: DateTime<Utc>) -> Option<Times> {
    let mut survey = Survey::default();
    for line in start.split(|byte| *byte == b'\n') {
        survey.observe(&line[..line.len().min(LONGEST)]);
    }
    survey.conclude(zone, modified.timestamp_micros())
}

fn broken(error: &ZipError) -> Broken {
    let code = match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) | ZipError::InvalidPassword => {
            LocalCode::ArchiveEncrypted
        }
        _ => LocalCode::ArchiveUnreadable,
    };
    Broken::Failed(AppError::from(code).detail(error))
}

/// A checksum that is wrong, a stream that ends early or makes no sense.
fn unreadable(error: &io::Error) -> Broken {
    Broken::Failed(AppError::from(LocalCode::ArchiveUnreadable).detail(error))
}

/// A name or text from a store, in one line and without what turns text around.
fn safe(text: &str) -> String {
    text.chars()
        .take(400)
        .map(|c| if c.is_control() || crate::download::is_invisible(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Makes UTF-8 of lines in the encoding of their file, which shows itself with the lines that are not UTF-8.
#[derive(Default)]
struct Decoder {
    seen: usize,
    detector: Option<EncodingDetector>,
}

impl Decoder {
    fn decode(&mut self, line: &[u8]) -> String {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        let text = if let Ok(text) = std::str::from_utf8(line) {
            text.to_owned()
        } else {
            let detector =
                self.detector.get_or_insert_with(|| EncodingDetector::new(Iso2022JpDetection::Deny));
            if self.seen < DETECTED {
                self.seen += line.len();
                detector.feed(line, false);
            }
            let encoding = detector.guess(None, Utf8Detection::Allow);
            encoding.decode_without_bom_handling(line).0.into_owned()
        };
        if text.contains(|c: char| c.is_control() && c != '\t') { visible(&text) } else { text }
    }
}

/// Control characters as pictures, so that they neither vanish nor do anything.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => c,
            '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
            '\u{7f}'..='\u{9f}' => '\u{fffd}',
            _ => c,
        })
        .collect()
}
