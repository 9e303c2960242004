//! How a program lives: in the foreground, as a service of systemd or launchd, which is the same to it, or as
//! a service of Windows.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::Lifecycle;

/// How Windows says to a program that it runs as a service.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AsService {
    /// The name of the Windows service that this process is.
    #[cfg(windows)]
    #[arg(long, hide = true)]
    pub(crate) as_service: Option<String>,
}

/// Runs `work` until it ends; it is told to by a signal or by the service manager. What goes wrong is
/// reported. `logged` is the filter of what is logged, to standard error or to Windows' event log, unless
/// `RUST_LOG` says otherwise.
pub fn run<W>(
    as_service: &AsService,
    logged: &str,
    runtime: Runtime,
    work: impl FnOnce(Lifecycle, CancellationToken) -> W + Send + 'static,
) -> ExitCode
where
    W: Future<Output = anyhow::Result<()>>,
{
    #[cfg(windows)]
    if let Some(name) = &as_service.as_service {
        return crate::windows::run(name, logged, runtime, work);
    }
    #[cfg(not(windows))]
    let AsService {} = as_service;
    log_to_stderr(logged);
    let lifecycle = Lifecycle::of_process();
    let shutdown = CancellationToken::new();
    let result = runtime.block_on(async {
        let stop = stop_signal();
        tokio::spawn({
            let (lifecycle, shutdown) = (lifecycle.clone(), shutdown.clone());
            async move {
                stop.await;
                tracing::info!("stopping");
                lifecycle.stopping();
                shutdown.cancel();
            }
        });
        work(lifecycle, shutdown).await.map(|()| ExitCode::SUCCESS)
    });
    finish(runtime, result)
}

/// Does something that ends by itself, in the foreground. Logs like [`run`].
pub fn run_once(
    logged: &str,
    runtime: Runtime,
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> ExitCode {
    log_to_stderr(logged);
    let result = runtime.block_on(work);
    finish(runtime, result)
}

/// The exit code of a program, whose error is told on standard error.
fn finish(runtime: Runtime, result: anyhow::Result<ExitCode>) -> ExitCode {
    // Its threads finish what they are at before the last word is said.
    drop(runtime);
    result.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

fn log_to_stderr(logged: &str) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Whoever read our standard error may be gone; that must not matter.
        .log_internal_errors(false);
    tracing_subscriber::registry().with(filter(logged)).with(lines).init();
}

/// What is logged: what `RUST_LOG` says, if it can be read, else `logged`.
pub(crate) fn filter(logged: &str) -> Targets {
    let asked = std::env::var("RUST_LOG").ok().and_then(|asked| asked.parse().ok());
    asked.unwrap_or_else(|| logged.parse().expect("what a program logs is written down rightly"))
}

/// Ctrl-C, or what the system sends to stop a program. What comes after this call is not missed, even when
/// nobody waits yet. To be called within a runtime.
pub fn stop_signal() -> impl Future<Output = ()> + Send + 'static {
    #[cfg(unix)]
    let signals = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate())
            .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)))
    };
    #[cfg(windows)]
    let signals = tokio::signal::windows::ctrl_c();
    async move {
        match signals {
            #[cfg(unix)]
            Ok((mut terminate, mut interrupt)) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            #[cfg(windows)]
            Ok(mut interrupt) => {
                interrupt.recv().await;
            }
            Err(error) => {
                tracing::error!(%error, "this program can't hear that it should stop");
                std::future::pending::<()>().await;
            }
        }
    }
}
