//! The text of a unit, and of the rule that lets it stop and start the POS server.

use std::fmt::Write;
use std::path::Path;

use crate::definition::Definition;

/// By this a unit is known as ours.
pub(super) const FIRST_LINE: &str =
    "# Made by `service install` of Tillwatch; `service uninstall` removes it.";

/// A unit that may nothing but what a store's program does: its data dir, the network, a POS server.
///
/// What an older systemd does not know it ignores, with a line in its log.
pub(super) fn text(definition: &Definition, user: &str) -> String {
    let mut unit = String::new();
    let mut line = |text: &str| {
        unit.push_str(text);
        unit.push('\n');
    };
    line(FIRST_LINE);
    line("[Unit]");
    line(&format!("Description={}", definition.description.replace('%', "%%")));
    line("Wants=network-online.target");
    line("After=network-online.target");
    line("# A store is not given up: it may need longer than any limit to be put right.");
    line("StartLimitIntervalSec=0");
    line("");
    line("[Service]");
    line("Type=notify");
    line(&format!("ExecStart={}", command_line(definition)));
    line(&format!("User={user}"));
    line(&format!("Group={user}"));
    line("Restart=always");
    line("RestartSec=5");
    line("TimeoutStopSec=60");
    line("# The program ends its own children, and closes their databases.");
    line("KillMode=mixed");
    if let Some(patience) = definition.watchdog {
        line(&format!("WatchdogSec={}", patience.as_secs()));
    }
    line("UMask=0027");
    line("");
    line("# Files: all are read-only but these; home folders, devices and other processes are out of sight.");
    line("ProtectSystem=strict");
    line(&format!("ReadWritePaths={}", path(&definition.data_dir.to_string_lossy())));
    for folder in &definition.writes {
        // One that is gone one day does not keep the service from starting.
        line(&format!("ReadWritePaths={}", path(&format!("-{}", folder.display()))));
    }
    line(&format!("ProtectHome={}", protect_home(definition)));
    line("PrivateTmp=yes");
    line("PrivateDevices=yes");
    line("ProtectProc=invisible");
    line("RemoveIPC=yes");
    line("");
    line("# Rights: none of root's, and no way to more.");
    line("NoNewPrivileges=yes");
    line("CapabilityBoundingSet=");
    line("AmbientCapabilities=");
    line("PrivateUsers=yes");
    line("RestrictSUIDSGID=yes");
    line("RestrictNamespaces=yes");
    line("RestrictRealtime=yes");
    line("LockPersonality=yes");
    if !definition.runs_foreign_program {
        line("MemoryDenyWriteExecute=yes");
    }
    line("");
    line("# The kernel: what any service needs. Netlink is how addresses are looked up.");
    line("SystemCallFilter=@system-service");
    line("SystemCallFilter=~@privileged @resources");
    line("SystemCallErrorNumber=EPERM");
    line("SystemCallArchitectures=native");
    line("RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK");
    line("ProtectKernelTunables=yes");
    line("ProtectKernelModules=yes");
    line("ProtectKernelLogs=yes");
    line("ProtectControlGroups=yes");
    line("ProtectClock=yes");
    line("ProtectHostname=yes");
    line("");
    line("[Install]");
    line("WantedBy=multi-user.target");
    unit
}

/// A rule for polkit: this user may stop and start this one service, and nothing else.
pub(super) fn polkit_rule(service: &str, user: &str) -> String {
    let unit = if service.ends_with(".service") { service.to_owned() } else { format!("{service}.service") };
    format!(
        "polkit.addRule(function (action, subject) {{\n    \
             if (action.id == \"org.freedesktop.systemd1.manage-units\" &&\n        \
                 subject.user == {user} &&\n        \
                 action.lookup(\"unit\") == {unit} &&\n        \
                 [\"start\", \"stop\"].indexOf(action.lookup(\"verb\")) >= 0) {{\n        \
                 return polkit.Result.YES;\n    \
             }}\n\
         }});\n",
        user = quoted(user),
        unit = quoted(&unit),
    )
}

/// Home folders stay out of sight unless the program or its data lie in one.
fn protect_home(definition: &Definition) -> &'static str {
    let at_home = |path: &Path| ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home));
    if at_home(&definition.program) || at_home(&definition.data_dir) { "read-only" } else { "yes" }
}

fn command_line(definition: &Definition) -> String {
    let mut line = String::new();
    let words =
        std::iter::once(definition.program.as_os_str()).chain(definition.arguments.iter().map(AsRef::as_ref));
    for word in words {
        let separator = if line.is_empty() { "" } else { " " };
        // In a command a dollar begins a variable.
        let _ = write!(
            line,
            "{separator}{}",
            quoted(word.to_string_lossy().as_ref()).replace('%', "%%").replace('$', "$$")
        );
    }
    line
}

fn path(text: &str) -> String {
    quoted(text).replace('%', "%%")
}

/// In quotes, as systemd and JavaScript both read them.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    fn definition(dir: &Path) -> Definition {
        Definition {
            name: "tillwatch-connector".into(),
            description: "Tillwatch's connector: 100% of the store".into(),
            // Verification looks whether the program is there.
            program: "/bin/true".into(),
            arguments: vec!["run".into(), "--data-dir".into(), dir.into()],
            data_dir: dir.to_owned(),
            writes: vec!["/srv/the pos/data".into()],
            controls: Some("iikoCard5POS".into()),
            watchdog: Some(Duration::from_secs(90)),
            runs_foreign_program: false,
        }
    }

    /// Runs systemd's own checker on a unit, if this machine has it.
    fn analyze(arguments: &[&str], unit: &Path) -> Option<(bool, String)> {
        let mut command = Command::new("systemd-analyze");
        match command.args(arguments).arg(unit).env("LC_ALL", "C").output() {
            Ok(output) => {
                let text = [output.stdout, output.stderr].concat();
                Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
            }
            Err(error) => {
                eprintln!("SKIPPED: units are not checked, there is no systemd-analyze here: {error}");
                None
            }
        }
    }

    #[test]
    fn systemd_accepts_the_unit_and_finds_it_safe() {
        let dir = tempfile::tempdir().unwrap();
        let unit = dir.path().join("tillwatch-connector.service");
        for data_dir in ["/var/lib/tillwatch", "/srv/shop 5/50% \"off\" $HOME"] {
            std::fs::write(&unit, text(&definition(Path::new(data_dir)), "daemon")).unwrap();
            let Some((fine, said)) = analyze(&["verify", "--man=no", "--recursive-errors=no"], &unit) else {
                return;
            };
            assert!(fine && said.trim().is_empty(), "{said}");
        }
        // The scale is systemd's: 0 is safest, 10 is a service without any protection.
        let (safe, said) =
            analyze(&["security", "--offline=yes", "--threshold=20", "--no-pager"], &unit).unwrap();
        assert!(safe, "{said}");
    }

    #[test]
    fn every_word_reaches_the_program_as_it_was() {
        let mut definition = definition(Path::new("/srv/a \"b\" \\ 50% $HOME"));
        definition.program = "/opt/till watch/tillwatch-connector".into();
        assert_eq!(
            command_line(&definition),
            r#""/opt/till watch/tillwatch-connector" "run" "--data-dir" "/srv/a \"b\" \\ 50%% $$HOME""#
        );
    }

    #[test]
    fn a_home_is_seen_only_where_the_program_lives_in_one() {
        let mut definition = definition(Path::new("/var/lib/tillwatch"));
        assert!(text(&definition, "tillwatch").contains("ProtectHome=yes"));
        definition.program = "/home/me/tillwatch-connector".into();
        assert!(text(&definition, "tillwatch").contains("ProtectHome=read-only"));
    }

    #[test]
    fn a_program_of_somebody_else_may_make_code() {
        let mut definition = definition(Path::new("/var/lib/tillwatch"));
        assert!(text(&definition, "tillwatch").contains("MemoryDenyWriteExecute=yes"));
        definition.runs_foreign_program = true;
        assert!(!text(&definition, "tillwatch").contains("MemoryDenyWriteExecute"));
    }
}
