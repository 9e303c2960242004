//! The Application event log: starts, stops, and all that a service logs.

use std::io::{self, Write};
use std::iter::once;
use std::ptr::{null, null_mut};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use windows_registry::LOCAL_MACHINE;
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE,
    RegisterEventSourceW, ReportEventW,
};

/// Where sources of the Application log are listed.
const SOURCES: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application";
/// A program of every Windows whose messages 1 to 1000 are nothing but the text that they are given.
const MESSAGES: &str = r"%SystemRoot%\System32\EventCreate.exe";
/// Errors, warnings and information.
const TYPES: u32 = 7;
/// The longest text of an event that ReportEvent takes is 31,839 units of UTF-16.
const MAX_UNITS: usize = 31_000;

/// What an event is about; its number in the log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Started = 1,
    Stopped = 2,
    Information = 10,
    Warning = 11,
    Error = 12,
}

/// Makes this name known as a source, so that the log's viewer shows its texts.
pub(super) fn register(source: &str) -> windows_registry::Result<()> {
    let key = LOCAL_MACHINE.create(format!(r"{SOURCES}\{source}"))?;
    key.set_expand_string("EventMessageFile", MESSAGES)?;
    key.set_u32("TypesSupported", TYPES)
}

/// Forgets a source. What it wrote stays readable, less prettily.
pub(super) fn unregister(source: &str) {
    if let Err(error) = LOCAL_MACHINE.remove_tree(format!(r"{SOURCES}\{source}")) {
        tracing::warn!(%error, source, "could not take the source out of the event log's list");
    }
}

/// Writes one event. A log that can't be written stops nothing.
#[expect(unsafe_code, reason = "Windows offers the event log to C only")]
pub(super) fn report(source: &str, kind: Kind, text: &str) {
    let level = match kind {
        Kind::Started | Kind::Stopped | Kind::Information => EVENTLOG_INFORMATION_TYPE,
        Kind::Warning => EVENTLOG_WARNING_TYPE,
        Kind::Error => EVENTLOG_ERROR_TYPE,
    };
    let source: Vec<u16> = source.encode_utf16().chain(once(0)).collect();
    let text: Vec<u16> =
        text.trim_end().encode_utf16().filter(|&unit| unit != 0).take(MAX_UNITS).chain(once(0)).collect();
    let texts = [text.as_ptr()];
    // SAFETY: `source` and the one text of `texts` end with a zero and outlive the calls; the handle is used
    // between its making and its end, in this thread only.
    unsafe {
        let log = RegisterEventSourceW(null(), source.as_ptr());
        if !log.is_null() {
            ReportEventW(log, level, 0, kind as u32, null_mut(), 1, 0, texts.as_ptr(), null());
            DeregisterEventSource(log);
        }
    }
}

/// The event log as what `tracing` writes to: each event is one of it.
pub(super) struct EventLog {
    source: String,
}

impl EventLog {
    pub(super) fn of(source: &str) -> Self {
        Self { source: source.to_owned() }
    }
}

impl<'a> MakeWriter<'a> for EventLog {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Event<'a> {
        Event { source: &self.source, kind: Kind::Information }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Event<'a> {
        let kind = match *meta.level() {
            Level::ERROR => Kind::Error,
            Level::WARN => Kind::Warning,
            _ => Kind::Information,
        };
        Event { source: &self.source, kind }
    }
}

/// One event. `tracing` writes each in one piece.
pub(super) struct Event<'a> {
    source: &'a str,
    kind: Kind,
}

impl Write for Event<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        report(self.source, self.kind, &String::from_utf8_lossy(text));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
