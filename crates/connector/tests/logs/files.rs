//! Which files are taken, what they are called in the zip, and what happens to them meanwhile.

use std::fs;
use std::sync::atomic::AtomicBool;

use tillwatch_connector::logs::{CollectError, Phase, collect};

use super::support::{Store, lines, system_time};

const MODIFIED: &str = "2026-11-21T12:00:00Z";
const FROM: &str = "2026-11-21T08:00:00Z";
const TO: &str = "2026-11-21T09:00:00Z";
const LINE: &str = "2026-11-21 10:30:00 up\n";

#[test]
fn globs_take_what_they_say_and_nothing_else() {
    let mut store = Store::new();
    for path in
        ["logs/a.log", "logs/deep/er/b.log.2", "logs/c.txt", "other/d.log", "e.log", "logs/.hidden.log"]
    {
        store.write(path, LINE, MODIFIED);
    }
    let names = |store: &Store| {
        store.collect(FROM, TO).names().iter().map(|name| name[5..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&store), ["logs/.hidden.log", "logs/a.log", "logs/deep/er/b.log.2"]);
    store.globs = vec!["logs/*.log".into(), "logs/**/*.log*".into(), "./logs/a.log".into(), "e.log".into()];
    assert_eq!(names(&store), ["e.log", "logs/.hidden.log", "logs/a.log", "logs/deep/er/b.log.2"]);
    store.globs =
        vec![format!("{}/other/*.log", store.base().display()), "missing/*.log".into(), "none.log".into()];
    assert_eq!(names(&store), ["other/d.log"]);
    store.globs = vec![r"logs\deep\**\*.log*".into()];
    assert_eq!(names(&store), ["logs/deep/er/b.log.2"]);
    for invalid in ["logs/[", "logs/*/../../*.log", "other/*.{log,txt}"] {
        store.globs = vec![invalid.into()];
        assert!(matches!(store.try_collect(FROM, TO), Err(CollectError::GlobInvalid { .. })), "{invalid}");
    }
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    use std::os::unix::fs::symlink;
    let mut store = Store::new();
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("secret.log"), LINE).unwrap();
    store.write("logs/a.log", LINE, MODIFIED);
    symlink(secret.path().join("secret.log"), store.base().join("logs/link.log")).unwrap();
    symlink(secret.path(), store.base().join("logs/folder")).unwrap();
    symlink(secret.path(), store.base().join("linked")).unwrap();
    symlink(store.base().join("logs"), store.base().join("logs/loop")).unwrap();
    store.globs.push("linked/*.log".into());
    let archive = store.collect(FROM, TO);
    assert_eq!(archive.names(), ["logs/logs/a.log"]);
    assert_eq!(archive.why_not("logs/link.log"), "symbolic_link");
    assert_eq!(archive.why_not("linked"), "symbolic_link");
}

#[cfg(unix)]
#[test]
fn hostile_names_are_harmless_in_the_zip() {
    let store = Store::new();
    for name in [
        "..\\..\\evil.log",
        "C:\\x.log",
        "con.log",
        "a\nb.log",
        "é ü.log",
        "App.log",
        "app.log",
        "dots.log.",
        "4111 1111 1111 1111.log",
    ] {
        store.write(&format!("logs/{name}"), LINE, MODIFIED);
    }
    let archive = store.collect(FROM, TO);
    assert_eq!(
        archive.names(),
        [
            "logs/logs/**** **** **** 1111.log",
            "logs/logs/.._.._evil.log",
            "logs/logs/2~app.log",
            "logs/logs/App.log",
            "logs/logs/C__x.log",
            "logs/logs/_con.log",
            "logs/logs/a_b.log",
            "logs/logs/dots.log_",
            "logs/logs/é ü.log",
        ]
    );
    let manifest = archive.manifests[0].to_string();
    assert!(!manifest.contains("4111 1111"), "{manifest}");
}

#[test]
fn files_outside_of_the_base_get_a_relative_name() {
    let mut store = Store::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("system.log");
    fs::write(&path, LINE).unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_modified(system_time(MODIFIED)).unwrap();
    store.globs = vec![format!("{}/*.log", elsewhere.path().display())];
    let archive = store.collect(FROM, TO);
    let [name] = archive.names()[..] else { panic!("{:?}", archive.names()) };
    assert!(name.starts_with("logs/") && !name.contains("//") && name.ends_with("/system.log"), "{name}");
}

#[test]
fn a_file_that_cannot_be_read_or_goes_away_is_no_error() {
    let store = Store::new();
    store.write("logs/a.log", LINE, MODIFIED);
    store.write("logs/gone.log", LINE, MODIFIED);
    store.write("logs/rotated.log", LINE, MODIFIED);
    let big =
        lines("2026-11-20T00:00:00Z", "2026-11-21T12:00:00Z", 1, "copied and truncated while being read");
    store.write("logs/z-truncated.log", &big, "2026-11-21T12:00:01Z");
    fs::create_dir(store.base().join("logs/folder.log")).unwrap();
    let base = store.base();
    let mut meddled = false;
    let mut progress = |phase: Phase, _, _| {
        if phase == Phase::Compressing && !meddled {
            meddled = true;
            fs::remove_file(base.join("logs/gone.log")).unwrap();
            fs::rename(base.join("logs/rotated.log"), base.join("logs/rotated.log.1")).unwrap();
            fs::write(base.join("logs/rotated.log"), "2026-11-21 12:00:00 new\n").unwrap();
            fs::File::options()
                .write(true)
                .open(base.join("logs/z-truncated.log"))
                .unwrap()
                .set_len(100_000)
                .unwrap();
        }
    };
    let collected = collect(&store.request(FROM, TO), &mut progress, &AtomicBool::new(false)).unwrap();
    // On Unix the files stay what they were while they are open.
    if cfg!(unix) {
        assert_eq!(collected.files, 3);
    }
}

#[cfg(unix)]
#[test]
fn unreadable_files_are_told_in_the_manifest() {
    use std::os::unix::fs::PermissionsExt;
    let store = Store::new();
    store.write("logs/a.log", LINE, MODIFIED);
    let path = store.write("logs/secret.log", LINE, MODIFIED);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&path).is_ok() {
        eprintln!("SKIPPED: root may read anything, so that no file is unreadable here.");
        return;
    }
    assert_eq!(store.collect(FROM, TO).why_not("secret.log"), "permission_denied");
}

/// What another program holds open for itself, or has locked a range of.
#[cfg(windows)]
#[test]
fn locked_files_are_told_in_the_manifest() {
    use std::os::windows::fs::OpenOptionsExt;
    let store = Store::new();
    store.write("logs/a.log", LINE, MODIFIED);
    let path = store.write("logs/held.log", LINE, MODIFIED);
    let _held = fs::File::options().read(true).write(true).share_mode(0).open(&path).unwrap();
    let path = store.write("logs/ranged.log", LINE, MODIFIED);
    let ranged = fs::File::options().read(true).write(true).open(&path).unwrap();
    ranged.lock().unwrap();
    let archive = store.collect(FROM, TO);
    assert_eq!(archive.why_not("held.log"), "locked");
    if fs::read(&path).is_ok() {
        eprintln!("SKIPPED: this system, wine most likely, lets one read what is locked.");
        return;
    }
    assert_eq!(archive.names(), ["logs/logs/a.log"]);
    assert_eq!(archive.why_not("ranged.log"), "locked");
}

/// This machine's own logs, as far as it has any.
#[test]
fn real_logs_come_out_as_they_are() {
    let store = Store::new();
    let mut copied = Vec::new();
    for path in [
        "dpkg.log",
        "alternatives.log",
        "apt/history.log",
        "apt/term.log",
        "fontconfig.log",
        "syslog",
        "auth.log",
    ] {
        let Ok(content) = fs::read(std::path::Path::new("/var/log").join(path)) else { continue };
        if content.is_empty() {
            continue;
        }
        let name = format!("logs/{}.log", path.replace('/', "-"));
        store.write(&name, &content, &chrono::Utc::now().to_rfc3339());
        copied.push((name, content));
    }
    let archive = store.collect("2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
    for (name, content) in &copied {
        let found = &archive.files[&format!("logs/{name}")];
        // Equal but for what looks like a card number.
        assert_eq!(found.len(), content.len(), "{name}");
        assert!(found.iter().zip(content).all(|(now, then)| now == then || *now == b'*'), "{name}");
    }
    // Any hour of dpkg's is what a plain filter by text gives.
    let Some((_, dpkg)) = copied.iter().find(|(name, _)| name.contains("dpkg")) else { return };
    let dpkg = String::from_utf8_lossy(dpkg);
    let line = dpkg.lines().nth(dpkg.lines().count() / 2).unwrap();
    let hour = &line[..13];
    let expected: String = dpkg.split_inclusive('\n').filter(|line| line.starts_with(hour)).collect();
    let from = chrono::NaiveDateTime::parse_from_str(&format!("{hour}:00:00"), "%Y-%m-%d %H:%M:%S").unwrap();
    let from = from.and_local_timezone(chrono_tz::Europe::Riga).earliest().unwrap();
    let archive = store.collect(&from.to_rfc3339(), &(from + chrono::TimeDelta::hours(1)).to_rfc3339());
    assert_eq!(archive.text("logs/logs/dpkg.log.log"), expected);
}
