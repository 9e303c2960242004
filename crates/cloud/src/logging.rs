//! What the log looks like: lines for people, or JSON for programs. Either way an entry is one line, whatever
//! text it tells of.
//!
//! A thread of its own writes it: when nobody reads it, or the disk behind it stands still, the cloud goes on and the log
//! loses lines.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use serde::Deserialize;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// What is logged when `RUST_LOG` does not say.
const DEFAULT: &str = "info,sea_orm_migration=warn,async_nats=off";

/// The form of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// How many lines wait to be written before more are left out: some megabytes.
const MAX_WAITING: usize = 20_000;

/// Begins to log to standard error, until the guard is dropped, which writes what waits.
pub(crate) fn begin(format: LogFormat) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(MAX_WAITING)
        .thread_name("log")
        .finish(std::io::stderr());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let log = tracing_subscriber::fmt().with_env_filter(filter);
    match format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            log.with_ansi(colours).with_writer(move || OneLine { inner: writer.clone(), colours }).init();
        }
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(writer)
            .init(),
    }
    guard
}

/// Writes entries, each handed over whole, without what would begin another line or move the cursor. Errors of
/// libraries may tell texts that come from stores.
struct OneLine<W> {
    inner: W,
    /// Whether the log has colours of its own.
    colours: bool,
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, entry: &[u8]) -> std::io::Result<usize> {
        let (text, end) = match entry.strip_suffix(b"\n") {
            Some(text) => (text, "\n"),
            None => (entry, ""),
        };
        let text = String::from_utf8_lossy(text);
        let mut line = String::with_capacity(text.len() + 1);
        for (at, c) in text.char_indices() {
            // Besides control characters: what Unicode takes for the end of a line, and what turns text around.
            let moves = c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if moves && !(self.colours && is_colour(&text[at..])) {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
        line.push_str(end);
        self.inner.write_all(line.as_bytes())?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Whether a text begins with an escape that does no more than colour: `ESC [ numbers m`. One that came with a
/// store's words is no worse than the log's own.
fn is_colour(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("\x1b[") else { return false };
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str = "a\n2026-11-22T00:00:00Z  INFO fake: line\r\x1b[2Jb\u{85}c\u{2028}d\u{202e}e\0f\"g";

    fn logged(colours: bool, json: bool) -> String {
        let kept = Kept::default();
        let inner = kept.clone();
        let log = tracing_subscriber::fmt().with_ansi(colours);
        let tell = || {
            let span = tracing::error_span!("request", id = "r-1");
            let _in = span.enter();
            let error = std::io::Error::other(HOSTILE);
            tracing::warn!(%error, debug = ?error, text = HOSTILE, "told: {HOSTILE}");
        };
        if json {
            let log = log.json().flatten_event(true).with_current_span(true).with_span_list(false);
            tracing::subscriber::with_default(log.with_writer(move || inner.clone()).finish(), tell);
        } else {
            let writer = move || OneLine { inner: inner.clone(), colours };
            let _ = writer.make_writer();
            tracing::subscriber::with_default(log.with_writer(writer).finish(), tell);
        }
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_text_makes_no_line_of_its_own() {
        for colours in [false, true] {
            let text = logged(colours, false);
            assert_eq!(text.lines().count(), 1, "{text:?}");
            assert!(
                text.ends_with('\n') && text.contains("r-1") && text.contains("\\n2026-11-22"),
                "{text:?}"
            );
            let own: String = if colours {
                // The colours are of the form ESC [ numbers m; nothing of the text is.
                assert!(!text.contains("\x1b[2J"), "{text:?}");
                text.split('\x1b').map(|part| part.trim_start_matches(|c: char| c != 'm')).collect()
            } else {
                text.clone()
            };
            let hostile = |c: char| (c.is_control() && c != '\n') || "\u{2028}\u{202e}".contains(c);
            assert!(!own.contains(hostile), "{own:?}");
        }
    }

    #[test]
    fn json_is_one_object_a_line_with_the_requests_id() {
        let text = logged(false, true);
        assert_eq!(text.lines().count(), 1, "{text:?}");
        let entry: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(entry["text"], HOSTILE);
        assert_eq!((&entry["span"]["id"], &entry["level"]), (&"r-1".into(), &"WARN".into()));
    }
}
