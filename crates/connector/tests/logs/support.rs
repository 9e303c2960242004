//! A store's folder with logs, and archives taken apart.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;
use tillwatch_connector::logs::{ArchiveAbout, CollectError, Collected, LogRequest, collect};
use tillwatch_protocol::ids::{JobId, PosServerId};

/// A store in Riga.
pub(crate) struct Store {
    dir: TempDir,
    pub(crate) globs: Vec<String>,
    pub(crate) max_bytes: u64,
}

impl Store {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        Self { dir, globs: vec!["logs/**/*.log*".into()], max_bytes: 50 << 20 }
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// A file of the store, last written at `modified`.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>, modified: &str) -> PathBuf {
        let path = self.base().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(&path).unwrap();
        file.write_all(content.as_ref()).unwrap();
        file.set_modified(system_time(modified)).unwrap();
        path
    }

    pub(crate) fn request(&self, from: &str, to: &str) -> LogRequest {
        LogRequest {
            base_dir: self.base(),
            globs: self.globs.clone(),
            from: time(from),
            to: time(to),
            max_bytes: self.max_bytes,
            time_zone: jiff::tz::TimeZone::get("Europe/Riga").unwrap(),
            out_dir: self.out(),
            about: ArchiveAbout {
                outlet: "Riga Centrs".into(),
                pos_server_id: PosServerId::new(),
                job_id: JobId::new(),
            },
        }
    }

    pub(crate) fn try_collect(&self, from: &str, to: &str) -> Result<Collected, CollectError> {
        collect(&self.request(from, to), &mut |_, _, _| {}, &AtomicBool::new(false))
    }

    /// Collects and takes the archive apart; it has to be within the limit.
    pub(crate) fn collect(&self, from: &str, to: &str) -> Archive {
        let collected = self.try_collect(from, to).unwrap();
        let size: u64 = collected.parts.iter().map(|part| part.size_bytes).sum();
        assert!(size <= self.max_bytes, "{size} bytes of at most {}", self.max_bytes);
        Archive::open(collected)
    }
}

/// What came of it.
pub(crate) struct Archive {
    pub(crate) collected: Collected,
    /// Content by name, joined over the parts.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Of each part.
    pub(crate) manifests: Vec<Value>,
}

impl Archive {
    fn open(collected: Collected) -> Self {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut manifests = Vec::new();
        for part in &collected.parts {
            assert_eq!(fs::metadata(&part.path).unwrap().len(), part.size_bytes);
            let mut zip = zip::ZipArchive::new(File::open(&part.path).unwrap()).unwrap();
            for index in 0..zip.len() {
                let mut entry = zip.by_index(index).unwrap();
                let name = entry.name().unwrap().into_owned();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                if name == "manifest.json" {
                    manifests.push(serde_json::from_slice(&content).unwrap());
                } else {
                    files.entry(name).or_default().extend(content);
                }
            }
        }
        assert_eq!(manifests.len(), collected.parts.len(), "each part has its manifest");
        Self { collected, files, manifests }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        let content = self.files.get(name).unwrap_or_else(|| panic!("{name} among {:?}", self.names()));
        String::from_utf8(content.clone()).unwrap()
    }

    /// What the first manifest says of a file that is in it.
    pub(crate) fn about(&self, name: &str) -> &Value {
        let files = self.manifests[0]["files"].as_array().unwrap();
        files.iter().find(|file| file["path"] == name).unwrap_or_else(|| panic!("{name} in {files:?}"))
    }

    /// Why a file is not in it.
    pub(crate) fn why_not(&self, end_of_path: &str) -> String {
        let left_out = self.manifests[0]["left_out"].as_array().unwrap();
        let found = left_out.iter().find(|file| file["source"].as_str().unwrap().ends_with(end_of_path));
        found.unwrap_or_else(|| panic!("{end_of_path} in {left_out:?}"))["reason"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn system_time(text: &str) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(time(text).timestamp_millis() as u64)
}

pub(crate) fn gzipped(content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// One line for each step of seconds in `from ≤ t < to`, in UTC.
pub(crate) fn lines(from: &str, to: &str, step: usize, text: &str) -> String {
    let (from, to) = (time(from).timestamp(), time(to).timestamp());
    let line = |second: i64| {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        format!("{} {text} {}\n", at.format("%Y-%m-%dT%H:%M:%SZ"), second * 7919 % 100_003)
    };
    (from..to).step_by(step).map(line).collect()
}

/// Bytes without a pattern, as text of 64 different letters.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_:.,;!?#=<>/"[(state >> 20) as usize % 64]
    };
    (0..length).map(|_| step()).collect()
}

/// Whether this is `npm run soak`, which takes its time.
pub(crate) fn soaks() -> bool {
    std::env::var_os("TILLWATCH_SOAK").is_some()
}

/// Whether a program is here to test zips with.
pub(crate) fn has(program: &Path) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
}
