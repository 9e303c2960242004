//! `connector.toml`.

use std::io;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde::Deserialize;
use url::Url;

use crate::files;
use crate::glob::Glob;
use crate::proxy::ProxyAddress;
use crate::relay::Rule;

/// The file's name within the data dir.
pub const FILE_NAME: &str = "connector.toml";
/// The POS server that is supervised when nothing else is said.
const DEFAULT_POS: &[&str] = &["tillwatch-pos-server", "run"];
const DEFAULT_DATABASE: &str = "pos/pos.sqlite3*";
const DEFAULT_LOGS: &str = "pos/logs/**/*.log*";

/// The settings of one connector. Keys that the file lacks are as if there were no file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Base address of the cloud, when it is no longer the one of the enrollment.
    pub cloud: Option<Url>,
    /// PEM file of certificates to trust besides the system's, instead of the enrollment's.
    pub ca: Option<PathBuf>,
    /// The HTTP proxy on the way to the cloud, when it is not the system's.
    pub proxy: Option<ProxyAddress>,
    /// The store's POS server.
    pub pos: PosConfig,
    /// What the connector refuses to do too often.
    pub limits: Limits,
    /// What third parties may ask the POS server.
    pub relay: Relay,
}

impl Config {
    /// The folders outside of the data dir that a reset moves files out of, and a restore into.
    pub fn database_folders_elsewhere(&self, data_dir: &Path) -> Vec<PathBuf> {
        let mut folders: Vec<_> =
            self.pos.database.iter().map(|glob| files::literal_root(data_dir, glob).0).collect();
        folders.retain(|folder| !folder.starts_with(data_dir));
        folders.sort();
        folders.dedup();
        folders
    }
}

/// `[pos]`: where the POS server is and how to handle it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PosConfig {
    /// Where it reports.
    pub report: Option<Url>,
    /// A file that it writes instead.
    pub status_file: Option<PathBuf>,
    /// The OS service to stop and start.
    pub service: Option<String>,
    /// A child process to supervise instead.
    pub command: Option<Vec<String>>,
    /// What a reset moves away.
    pub database: Vec<String>,
    /// What `retrieve_logs` reads.
    pub logs: Vec<String>,
    /// Of log lines that state none; the outlet's if absent.
    #[serde(deserialize_with = "zone")]
    pub time_zone: Option<TimeZone>,
}

impl Default for PosConfig {
    fn default() -> Self {
        Self {
            report: None,
            status_file: None,
            service: None,
            command: None,
            database: vec![DEFAULT_DATABASE.to_owned()],
            logs: vec![DEFAULT_LOGS.to_owned()],
            time_zone: None,
        }
    }
}

fn zone<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<TimeZone>, D::Error> {
    TimeZone::get(&String::deserialize(deserializer)?).map(Some).map_err(serde::de::Error::custom)
}

impl PosConfig {
    /// The command of the child to supervise, when no service is named.
    pub fn command(&self) -> Vec<String> {
        self.command.clone().unwrap_or_else(|| DEFAULT_POS.iter().map(|&word| word.to_owned()).collect())
    }
}

/// `[limits]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How many resets may succeed within an hour.
    pub resets_per_hour: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { resets_per_hour: 1 }
    }
}

/// `[relay]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relay {
    /// Nothing is allowed unless listed.
    pub allow: Vec<Rule>,
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no TOML, or has keys or values that mean nothing.
    #[error("{} is not valid: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// Its parts contradict each other.
    #[error("{} is not valid: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Reads `file`, or the data dir's `connector.toml` if there is one.
pub fn load(data_dir: &Path, file: Option<&Path>) -> Result<Config, ConfigError> {
    let path = file.map_or_else(|| data_dir.join(FILE_NAME), Path::to_owned);
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path),
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => Ok(Config::default()),
        Err(source) => Err(ConfigError::Read { path, source }),
    }
}

fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let config: Config = toml::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(|error| {
        ConfigError::Parse { path: path.to_owned(), reason: error.to_string().trim().to_owned() }
    })?;
    match contradiction(&config) {
        Some(reason) => Err(ConfigError::Invalid { path: path.to_owned(), reason }),
        None => Ok(config),
    }
}

fn contradiction(config: &Config) -> Option<String> {
    let pos = &config.pos;
    if let Some(cloud) = &config.cloud
        && let Err(error) = crate::identity::parse_cloud(cloud.as_str())
    {
        return Some(format!("`cloud`: {error}"));
    }
    if pos.report.is_some() && pos.status_file.is_some() {
        return Some("`report` and `status_file` exclude each other".into());
    }
    if pos.service.is_some() && pos.command.is_some() {
        return Some("`service` and `command` exclude each other".into());
    }
    if pos.service.is_some() && pos.report.is_none() && pos.status_file.is_none() {
        return Some(
            "with `service`, `report` or `status_file` must say where the POS server reports".into(),
        );
    }
    if pos.service.as_ref().is_some_and(|name| name.is_empty() || name.starts_with('-')) {
        return Some("`service` is not the name of a service".into());
    }
    if pos.command.as_ref().is_some_and(|words| words.first().is_none_or(String::is_empty)) {
        return Some("`command` names no program".into());
    }
    if let Some(report) = &pos.report
        && (report.scheme() != "http" || report.host_str().is_none())
    {
        return Some("`report` must begin with http://".into());
    }
    if pos.status_file.is_some() && !config.relay.allow.is_empty() {
        return Some("`[relay] allow` needs `report`: nobody answers behind a `status_file`".into());
    }
    for (key, globs) in [("database", &pos.database), ("logs", &pos.logs)] {
        if globs.is_empty() {
            return Some(format!("`{key}` is empty"));
        }
        for glob in globs {
            if let Err(reason) = Glob::new(glob) {
                return Some(format!("`{key}`: {glob}: {reason}"));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        parse(text, Path::new("connector.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_as_good_as_none() {
        let config = read("").unwrap();
        assert_eq!(config.pos.command(), ["tillwatch-pos-server", "run"]);
        assert_eq!(config.pos.database, ["pos/pos.sqlite3*"]);
        assert_eq!(config.limits.resets_per_hour, 1);
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path(), None).is_ok());
        assert!(load(dir.path(), Some(&dir.path().join("named.toml"))).is_err());
    }

    #[test]
    fn every_key_is_read() {
        let config = read(
            r#"
            cloud = "https://cloud.example:8443"
            ca = "ca.pem"
            proxy = "http://till:s3cret@proxy.example:3128"
            [limits]
            resets_per_hour = 3
            [relay]
            allow = ["GET /guest-accounts/*"]
            [pos]
            report = "http://127.0.0.1:9434"
            service = "iikoCard5POS"
            database = ["data/pos.sqlite3*"]
            logs = ["logs/**/*.log*"]
            time_zone = "Europe/Riga"
            "#,
        )
        .unwrap();
        assert_eq!(config.pos.time_zone, TimeZone::get("Europe/Riga").ok());
        assert_eq!(config.pos.service.as_deref(), Some("iikoCard5POS"));
        assert_eq!(config.relay.allow.len(), 1);
        assert_eq!(config.proxy.as_ref().unwrap().to_string(), "http://proxy.example:3128");
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn folders_of_a_database_elsewhere_are_named_once() {
        let config =
            read("[pos]\ndatabase = ['data/pos.db*', '/srv/pos/db/*.mdf', '/srv/pos/db/*.ldf']").unwrap();
        let elsewhere = config.database_folders_elsewhere(Path::new("/var/lib/tillwatch"));
        assert_eq!(elsewhere, [Path::new("/srv/pos/db")]);
        assert!(Config::default().database_folders_elsewhere(Path::new("/var/lib/tillwatch")).is_empty());
    }

    #[test]
    fn what_means_nothing_is_refused_and_named() {
        for (text, named) in [
            ("colour = 'red'", "colour"),
            ("[pos]\nservce = 'x'", "servce"),
            ("[limits]\nresets_per_hour = -1", "resets_per_hour"),
            ("[pos]\ntime_zone = 'Europe/Atlantis'", "time_zone"),
            ("[pos]\nreport = 'http://127.0.0.1:1'\nstatus_file = 's.json'", "status_file"),
            ("[pos]\nservice = 'x'\ncommand = ['y']\nreport = 'http://127.0.0.1:1'", "exclude"),
            ("[pos]\nservice = 'x'", "report"),
            ("[pos]\ncommand = []", "command"),
            ("[pos]\ndatabase = []", "database"),
            ("[pos]\nlogs = ['a[']", "logs"),
            ("cloud = 'ftp://x'", "cloud"),
            ("proxy = 'socks5://x'", "http://"),
            ("[relay]\nallow = ['get /guests']", "`get /guests` allows nothing"),
            ("[pos]\nstatus_file = 's.json'\n[relay]\nallow = ['GET /guests']", "status_file"),
            ("[pos", "connector.toml"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
