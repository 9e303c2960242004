//! The program as a service of systemd: what it says on the socket that systemd gives it.
#![cfg(target_os = "linux")]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::program::{enrolled, output, program, signal, text};
use crate::{PATIENCE, eventually, soon};

/// What systemd listens on. It waits in a thread of its own, as the connector's messages come when they like.
struct Systemd {
    socket: UnixDatagram,
}

impl Systemd {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    fn hears(&self) -> Option<String> {
        let mut message = [0; 256];
        let length = self.socket.recv(&mut message).ok()?;
        Some(text(&message[..length]).trim().to_owned())
    }

    /// What was said and not yet heard.
    fn forget(&self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.hears().is_some() {}
        self.socket.set_nonblocking(false).unwrap();
    }
}

#[tokio::test]
async fn systemd_hears_of_start_work_hang_and_stop() {
    let (mut cloud, dir, _pos) = enrolled().await;
    let socket = dir.path().join("notify");
    let systemd = Systemd::listen(&socket);
    let mut running = program(&["run"], dir.path())
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "300000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let systemd = tokio::task::spawn_blocking(move || {
        assert_eq!(systemd.hears().as_deref(), Some("READY=1"));
        for _ in 0..3 {
            assert_eq!(systemd.hears().as_deref(), Some("WATCHDOG=1"));
        }
        systemd
    });
    let systemd = soon("the signs of life", systemd).await.unwrap();
    let (mut session, _) = cloud.welcome().await;

    // The child is nobody whom systemd listens to.
    let child = crate::program::pos_pid;
    eventually("the child", || child(dir.path()).is_some()).await;
    let pid = child(dir.path()).unwrap().as_raw_nonzero();
    let environment = text(&std::fs::read(format!("/proc/{pid}/environ")).unwrap());
    assert!(!environment.contains("NOTIFY_SOCKET") && !environment.contains("WATCHDOG"), "{environment}");

    // A connector that hangs falls silent, which is what systemd acts upon.
    signal(&running, Signal::STOP);
    let stopped = format!("/proc/{}/stat", running.id().unwrap());
    eventually("the stop", || std::fs::read_to_string(&stopped).unwrap().contains(") T ")).await;
    systemd.forget();
    systemd.socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let systemd = tokio::task::spawn_blocking(move || {
        assert_eq!(systemd.hears(), None);
        systemd
    })
    .await
    .unwrap();
    signal(&running, Signal::CONT);
    systemd.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let systemd = tokio::task::spawn_blocking(move || {
        assert_eq!(systemd.hears().as_deref(), Some("WATCHDOG=1"));
        systemd
    });
    let systemd = soon("another sign of life", systemd).await.unwrap();

    signal(&running, Signal::TERM);
    let heard = tokio::task::spawn_blocking(move || while systemd.hears().unwrap() != "STOPPING=1" {});
    soon("the farewell", heard).await.unwrap();
    assert!(soon("the end", running.wait()).await.unwrap().success());
    session.rest().await;
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("never made");
    for action in ["install", "start", "stop", "status", "uninstall"] {
        let refused = output(&["service", action, "--name", "../etc"], &data_dir).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            text(&refused.stderr).contains("can't be the name of a service"),
            "{}",
            text(&refused.stderr)
        );
    }
    assert!(!data_dir.exists());
}
