//! A POS server that runs as our child: started again when it dies, gone when we go.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::HostedCommand;
use crate::files::{self, Access};
use crate::proxy::ProxyAddress;

/// How long a child has to close its database and go.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// A child that lived this long did not die of how it was started.
const SETTLED: Duration = Duration::from_mins(1);
/// The waits between two starts of a child that keeps dying.
const RESTART_FIRST: Duration = Duration::from_secs(1);
const RESTART_LONGEST: Duration = Duration::from_mins(1);
/// How often it is looked whether a left-over child is gone.
const ORPHAN_CHECK_EVERY: Duration = Duration::from_millis(50);
/// What a child prints before its address.
const ADDRESS_PREFIX: &str = "reporting on ";
/// Longer lines are not looked at.
const MAX_LINE_BYTES: u64 = 4096;
/// Remembers, in the data dir, the child of a connector that may have been killed.
const RECORD_FILE: &str = "pos-server.json";

/// Whether the child lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildState {
    Stopped,
    Running,
}

/// Who the child is.
#[derive(Serialize, Deserialize)]
struct Record {
    pid: u32,
    birth: Option<String>,
    address: Option<Url>,
}

/// Supervises one child.
pub(super) struct Supervisor {
    pub(super) command: Vec<String>,
    pub(super) proxy: Option<ProxyAddress>,
    pub(super) data_dir: PathBuf,
    pub(super) state: watch::Sender<ChildState>,
    pub(super) address: watch::Sender<Option<Url>>,
    pub(super) shutdown: CancellationToken,
}

/// A child that was started.
struct Running {
    child: Child,
    since: Instant,
    /// Reads what it prints; ends with it, so that an address it printed last is not taken for its successor's.
    reader: Option<AbortOnDropHandle<()>>,
}

/// What ended a wait.
enum Wake {
    Order(HostedCommand),
    Died(String),
    Due,
    Shutdown,
}

impl Supervisor {
    /// Runs until shutdown; the child is gone when it returns.
    pub(super) async fn run(self, mut orders: mpsc::Receiver<HostedCommand>, mut wanted: bool) {
        end_orphan(&self.data_dir).await;
        let mut child: Option<Running> = None;
        let mut wait = RESTART_FIRST;
        let mut start_at = Instant::now();
        loop {
            if wanted && child.is_none() && Instant::now() >= start_at {
                match self.start() {
                    Ok(started) => child = Some(started),
                    Err(error) => {
                        tracing::error!(program = self.command[0], %error, "could not start the POS server");
                        self.state.send_replace(ChildState::Stopped);
                        start_at = Instant::now() + wait;
                        wait = (wait * 2).min(RESTART_LONGEST);
                    }
                }
            }
            match self
                .next(&mut orders, child.as_mut().map(|running| &mut running.child), wanted, start_at)
                .await
            {
                Wake::Order(HostedCommand::Start(done)) => {
                    wanted = true;
                    if child.is_none() {
                        (wait, start_at) = (RESTART_FIRST, Instant::now());
                    }
                    // Whoever asked waits for the report; a start that fails is tried again anyway.
                    let _ = done.send(());
                }
                Wake::Order(HostedCommand::Stop(done)) => {
                    wanted = false;
                    if let Some(running) = child.take() {
                        self.end(running).await;
                    }
                    let _ = done.send(());
                }
                Wake::Died(status) => {
                    let lived = child.take().map_or(Duration::ZERO, |running| running.since.elapsed());
                    self.forget();
                    if lived > SETTLED {
                        wait = RESTART_FIRST;
                    }
                    tracing::warn!(
                        status,
                        wait_seconds = wait.as_secs(),
                        "the POS server died; it is started again"
                    );
                    start_at = Instant::now() + wait;
                    wait = (wait * 2).min(RESTART_LONGEST);
                }
                Wake::Due => {}
                Wake::Shutdown => {
                    if let Some(running) = child.take() {
                        self.end(running).await;
                    }
                    return;
                }
            }
        }
    }

    async fn next(
        &self,
        orders: &mut mpsc::Receiver<HostedCommand>,
        child: Option<&mut Child>,
        wanted: bool,
        start_at: Instant,
    ) -> Wake {
        let waiting = wanted && child.is_none();
        let died = async {
            match child {
                Some(child) => {
                    child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string())
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.shutdown.cancelled() => Wake::Shutdown,
            Some(order) = orders.recv() => Wake::Order(order),
            status = died => Wake::Died(status),
            () = tokio::time::sleep_until(start_at), if waiting => Wake::Due,
        }
    }

    fn start(&self) -> std::io::Result<Running> {
        let mut command = Command::new(program(&self.command[0]));
        if let Some(proxy) = &self.proxy {
            // As the system's would be told; an argument would show its password to every user.
            command.env("HTTPS_PROXY", proxy.with_password()).env("http_proxy", proxy.with_password());
        }
        let mut child = command
            .args(&self.command[1..])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // These are between systemd and us.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .kill_on_drop(true)
            .spawn()?;
        let mut reader = None;
        if let (Some(pid), Some(stdout)) = (child.id(), child.stdout.take()) {
            let record = Record { pid, birth: birth(pid), address: None };
            write_record(&self.data_dir, &record);
            let reading = read_output(stdout, record, self.data_dir.clone(), self.address.clone());
            reader = Some(AbortOnDropHandle::new(tokio::spawn(reading)));
        }
        self.state.send_replace(ChildState::Running);
        Ok(Running { child, since: Instant::now(), reader })
    }

    async fn end(&self, running: Running) {
        let Running { mut child, reader, .. } = running;
        terminate(&mut child);
        if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
            tracing::warn!("the POS server does not stop; it is killed");
            if let Err(error) = child.kill().await {
                tracing::error!(%error, "could not kill the POS server");
            }
        }
        drop(reader);
        self.forget();
    }

    fn forget(&self) {
        self.address.send_replace(None);
        self.state.send_replace(ChildState::Stopped);
        if let Err(error) = files::remove(&self.data_dir.join(RECORD_FILE)) {
            tracing::warn!(%error, "could not remove {RECORD_FILE}");
        }
    }
}

/// Where a running connector's child reports, for a program beside it.
pub(super) fn recorded_address(data_dir: &Path) -> Option<Url> {
    read_record(data_dir)?.address
}

/// The program beside our own if there is one, else whatever the system finds.
fn program(name: &str) -> PathBuf {
    let bare = Path::new(name).components().count() == 1;
    let beside = std::env::current_exe().ok().filter(|_| bare).and_then(|own| {
        let file = format!(
            "{}{}",
            name.trim_end_matches(std::env::consts::EXE_SUFFIX),
            std::env::consts::EXE_SUFFIX
        );
        Some(own.parent()?.join(file)).filter(|path| path.is_file())
    });
    beside.unwrap_or_else(|| name.into())
}

/// Finds the address and throws the rest away, so that the child never waits for a reader. It is not logged
/// either: who knows what a vendor's program prints.
async fn read_output(
    stdout: ChildStdout,
    mut record: Record,
    data_dir: PathBuf,
    address: watch::Sender<Option<Url>>,
) {
    let mut reader = BufReader::with_capacity(1024, stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if let Some(url) = printed_address(&String::from_utf8_lossy(&line)) {
            tracing::info!(%url, "the POS server reports");
            record.address = Some(url.clone());
            write_record(&data_dir, &record);
            address.send_replace(Some(url));
        }
    }
}

fn printed_address(line: &str) -> Option<Url> {
    let url: Url = line.trim().strip_prefix(ADDRESS_PREFIX)?.parse().ok()?;
    (url.scheme() == "http").then_some(url)
}

fn write_record(data_dir: &Path, record: &Record) {
    let text = serde_json::to_vec(record).expect("a record is plain JSON");
    if let Err(error) = files::write_fast(&data_dir.join(RECORD_FILE), &text, Access::Public) {
        tracing::warn!(%error, "could not write {RECORD_FILE}");
    }
}

fn read_record(data_dir: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(data_dir.join(RECORD_FILE)).ok()?).ok()
}

/// Asks a child to go; on Windows, where a service has no such signal for its children, it is ended.
fn terminate(child: &mut Child) {
    #[cfg(unix)]
    if let Some(pid) = child.id() {
        signal(pid, rustix::process::Signal::TERM);
        return;
    }
    if let Err(error) = child.start_kill() {
        tracing::debug!(%error, "the POS server is gone already");
    }
}

#[cfg(unix)]
fn signal(pid: u32, signal: rustix::process::Signal) {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return };
    if let Err(error) = rustix::process::kill_process(pid, signal) {
        tracing::debug!(%error, "the POS server is gone already");
    }
}

/// Ends a child that outlived a connector which was killed: two POS servers on one database would spoil it.
/// Only the process that began when the child did is ended, so that never somebody else's is hit.
async fn end_orphan(data_dir: &Path) {
    let Some(record) = read_record(data_dir) else { return };
    if let Some(birth) = &record.birth {
        let lives = || self::birth(record.pid).as_ref() == Some(birth);
        let killed_at = Instant::now() + STOP_TIMEOUT;
        if lives() {
            tracing::warn!(
                pid = record.pid,
                "a POS server is left from a connector that was killed; it is stopped"
            );
            #[cfg(unix)]
            signal(record.pid, rustix::process::Signal::TERM);
        }
        while lives() {
            #[cfg(unix)]
            if Instant::now() >= killed_at {
                signal(record.pid, rustix::process::Signal::KILL);
            }
            #[cfg(windows)]
            if !end(record.pid) && Instant::now() >= killed_at {
                tracing::error!(pid = record.pid, "the POS server that is left can't be ended");
                break;
            }
            tokio::time::sleep(ORPHAN_CHECK_EVERY).await;
        }
    }
    if let Err(error) = files::remove(&data_dir.join(RECORD_FILE)) {
        tracing::warn!(%error, "could not remove {RECORD_FILE}");
    }
}

/// Ends a process at once; false when that is not allowed.
#[cfg(windows)]
fn end(pid: u32) -> bool {
    look_at(pid, |process| process.kill()).unwrap_or(true)
}

/// What no two processes have in common: the moment at which they began. `None` when it has ended.
#[cfg(not(target_os = "linux"))]
fn birth(pid: u32) -> Option<String> {
    look_at(pid, |process| process.start_time().to_string())
}

#[cfg(not(target_os = "linux"))]
fn look_at<T>(pid: u32, look: impl FnOnce(&sysinfo::Process) -> T) -> Option<T> {
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = sysinfo::System::new();
    let only = sysinfo::ProcessesToUpdate::Some(&[pid]);
    system.refresh_processes_specifics(only, true, sysinfo::ProcessRefreshKind::nothing());
    system.process(pid).map(look)
}

/// What no two processes have in common: the boot of the machine and the moment in it at which the process
/// began. `None` when it has ended.
#[cfg(target_os = "linux")]
fn birth(pid: u32) -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; after it come the state and, as the 22nd field of
    // proc(5), the start.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?;
    (!matches!(state, "Z" | "X")).then(|| format!("{}/{start}", boot.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_what_a_child_prints() {
        assert_eq!(
            printed_address("reporting on http://127.0.0.1:9434\r\n").map(String::from),
            Some("http://127.0.0.1:9434/".to_owned())
        );
        for line in
            ["", "reporting on", "reporting on file:///etc/passwd", "not reporting on http://127.0.0.1:1"]
        {
            assert_eq!(printed_address(line), None, "{line}");
        }
    }
}
