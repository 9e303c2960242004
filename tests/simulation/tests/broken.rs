//! Whether the simulation finds what it is for: rules of the programs are broken one by one, and each time some seed must
//! fail. `npm run soak -- rules` does so; `npm test` only sees to it that the rules are where they are said to be.

#![expect(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]
#![expect(clippy::print_stdout, reason = "by what each rule was found is worth reading")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A rule, and how to break it.
struct Rule {
    /// In words.
    what: &'static str,
    /// Where it stands.
    file: &'static str,
    /// As it stands there, once.
    kept: &'static str,
    /// What to put in its place.
    broken: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        what: "a job that has ended stays as it ended",
        file: "crates/cloud/src/domain/job.rs",
        kept: "            Self::Accept | Self::Progress(_) | Self::Finish { .. } | Self::TimeOut | Self::Abandon => {\n",
        broken: "            Self::Finish { .. } => &[Queued, InProgress, CancelRequested, JobState::Canceled, JobState::Succeeded],\n            Self::Accept | Self::Progress(_) | Self::TimeOut | Self::Abandon => {\n",
    },
    Rule {
        what: "a job that may have reached its store is not canceled before the store says so",
        file: "crates/cloud/src/http/jobs.rs",
        kept: "if job.was_sent() { Change::AskCancel }",
        broken: "if job.was_sent() && job.state == JobState::InProgress { Change::AskCancel }",
    },
    Rule {
        what: "a job that did not reach its store goes out again when the store is back",
        file: "crates/cloud/src/gateway/dispatch.rs",
        kept: "                    let sent = self.change(id, job::Change::Send { deadline }).await?;\n                    frames.extend(sent.and_then(|job| job.order()).map(CloudFrame::Job));\n",
        broken: "                    let _ = deadline;\n",
    },
    Rule {
        what: "an order that comes again is not carried out again",
        file: "crates/connector/src/agent/frames.rs",
        kept: "        if let Some(known) = self.tools.journal.get(id) {\n            self.tell_of_job(&known);\n            return;\n        }\n",
        broken: "        if let Some(known) = self.tools.journal.get(id).filter(|known| known.outcome().is_none()) {\n            self.tell_of_job(&known);\n            return;\n        }\n",
    },
    Rule {
        what: "a job is in the journal, on disk, before it is accepted",
        file: "crates/connector/src/journal.rs",
        kept: "        files::write_atomic(&self.path(entry.order.id), &text, Access::Private)?;\n",
        broken: "        if entry.outcome().is_some() {\n            files::write_atomic(&self.path(entry.order.id), &text, Access::Private)?;\n        }\n",
    },
    Rule {
        what: "how a job ended is told until the cloud acknowledges it",
        file: "crates/connector/src/agent/frames.rs",
        kept: "        for entry in self.tools.journal.unacknowledged() {\n            self.tell_of_job(&entry);\n        }\n",
        broken: "",
    },
];

/// What cargo wants of the workspace.
const WORKSPACE: [&str; 7] =
    ["Cargo.toml", "Cargo.lock", "clippy.toml", "crates", "src-tauri", "tests/fuzz", "tests/simulation"];

/// How many seeds are tried until one fails.
const SEEDS: &str = "300";

#[test]
fn each_rule_that_is_broken_is_found() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for rule in RULES {
        let text = fs::read_to_string(root.join(rule.file)).unwrap();
        assert_eq!(text.matches(rule.kept).count(), 1, "{} does not say once that {}", rule.file, rule.what);
    }
    let copy = TempDir::new().unwrap();
    for what in WORKSPACE {
        copy_all(&root.join(what), &copy.path().join(what));
    }
    let whole = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--locked", "--offline", "--format-version", "1"])
        .current_dir(copy.path())
        .output()
        .unwrap();
    assert!(whole.status.success(), "the copy lacks something: {}", String::from_utf8_lossy(&whole.stderr));
    if std::env::var_os("TILLWATCH_SOAK").is_none() {
        return;
    }
    let missed: Vec<_> =
        RULES.iter().filter(|rule| !is_found(rule, copy.path())).map(|rule| rule.what).collect();
    println!("counted: {} of {} found", RULES.len() - missed.len(), RULES.len());
    assert_eq!(missed, [""; 0], "nobody noticed that these do not hold");
}

/// Whether some seed fails in a copy of the workspace in which a rule is broken.
fn is_found(rule: &Rule, workspace: &Path) -> bool {
    let file = workspace.join(rule.file);
    let kept = fs::read_to_string(&file).unwrap();
    fs::write(&file, kept.replace(rule.kept, rule.broken)).unwrap();
    let test = || {
        let mut cargo = Command::new(env!("CARGO"));
        // With the features of `npm test`, so that what others wrote need not be built again.
        cargo.args(["test", "--workspace", "--locked", "--features", "tillwatch/custom-protocol", "--quiet"]);
        cargo.args(["--test", "seeds"]).current_dir(workspace).env("CARGO_TARGET_DIR", target());
        // What is built with a wrapper of its own is kept apart: nobody else may take broken programs for theirs.
        cargo.env("RUSTC_WORKSPACE_WRAPPER", "env");
        cargo.env_remove("TILLWATCH_SOAK").env("TILLWATCH_SEEDS", SEEDS);
        cargo
    };
    let built = test().arg("--no-run").output().unwrap();
    assert!(built.status.success(), "{}: {}", rule.what, String::from_utf8_lossy(&built.stderr));
    let ran = test().output().unwrap();
    fs::write(&file, kept).unwrap();
    let told = String::from_utf8_lossy(&ran.stderr);
    let first = told.lines().find(|line| line.starts_with("seed ")).unwrap_or("no seed failed");
    println!("{}\n    {first}", rule.what);
    !ran.status.success()
}

/// Where this was built.
fn target() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(3).unwrap().to_owned()
}

fn copy_all(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy_all(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}
