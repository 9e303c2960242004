//! The text that tells launchd of a service.

use serde::Serialize;

use crate::definition::Definition;

/// How long a service may take to stop.
pub(crate) const STOP_SECONDS: u32 = 60;
/// A service that ended is started again, but no two starts are closer than this.
const SECONDS_BETWEEN_STARTS: u32 = 10;
/// Nobody but the user and its group reads what the service writes: 0o027.
const UMASK: u32 = 0o027;

/// The keys of launchd.plist(5).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Job<'a> {
    label: &'a str,
    program_arguments: Vec<String>,
    user_name: &'a str,
    group_name: &'a str,
    run_at_load: bool,
    keep_alive: bool,
    throttle_interval: u32,
    exit_time_out: u32,
    umask: u32,
    standard_error_path: String,
}

/// A property list in XML.
pub(crate) fn text(definition: &Definition, user: &str) -> Vec<u8> {
    let arguments = definition.arguments.iter().map(|word| word.to_string_lossy().into_owned());
    let log = definition.data_dir.join(format!("{}.log", definition.name));
    let job = Job {
        label: &definition.name,
        program_arguments: std::iter::once(definition.program.to_string_lossy().into_owned())
            .chain(arguments)
            .collect(),
        user_name: user,
        group_name: "daemon",
        run_at_load: true,
        keep_alive: true,
        throttle_interval: SECONDS_BETWEEN_STARTS,
        exit_time_out: STOP_SECONDS,
        umask: UMASK,
        standard_error_path: log.to_string_lossy().into_owned(),
    };
    let mut text = Vec::new();
    plist::to_writer_xml(&mut text, &job).expect("plain values are written to memory");
    text
}

/// Whether a list is one of ours: no other program of macOS is told of its data dir like this.
pub(crate) fn is_ours(text: &str) -> bool {
    text.contains("<string>run</string>") && text.contains("<string>--data-dir</string>")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[cfg(unix)]
    #[test]
    fn another_reader_of_property_lists_finds_what_was_meant() {
        let definition = Definition {
            name: "tillwatch-connector".into(),
            description: "The connector".into(),
            program: "/Applications/Till & Watch/tillwatch-connector".into(),
            arguments: vec!["run".into(), "--data-dir".into(), "/Library/<store> 1".into()],
            data_dir: "/Library/<store> 1".into(),
            writes: Vec::new(),
            controls: None,
            watchdog: None,
            runs_foreign_program: false,
        };
        let script = "import plistlib, json, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read()), sort_keys=True))";
        let mut python = Command::new("python3")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there");
        let list = text(&definition, "daemon");
        assert!(is_ours(std::str::from_utf8(&list).unwrap()) && !is_ours("<plist></plist>"));
        python.stdin.take().unwrap().write_all(&list).unwrap();
        let read = python.wait_with_output().unwrap();
        assert!(read.status.success());
        assert_eq!(
            String::from_utf8(read.stdout).unwrap().trim(),
            r#"{"ExitTimeOut": 60, "GroupName": "daemon", "KeepAlive": true, "Label": "tillwatch-connector", "ProgramArguments": ["/Applications/Till & Watch/tillwatch-connector", "run", "--data-dir", "/Library/<store> 1"], "RunAtLoad": true, "StandardErrorPath": "/Library/<store> 1/tillwatch-connector.log", "ThrottleInterval": 10, "Umask": 23, "UserName": "daemon"}"#
        );
    }
}
