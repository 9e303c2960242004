//! A program that Windows has started as a service.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::service_dispatcher;

use super::STOP_PATIENCE;
use super::event_log::{self, EventLog, Kind};
use crate::Lifecycle;
use crate::run::filter;

/// How long Windows waits for a service that says it is still starting.
const START_HINT: Duration = Duration::from_secs(30);
/// The exit code, of our own, of a service that ended with an error. The event log has the error.
const FAILED: u32 = 1;

type Main = Box<dyn FnOnce() + Send>;

/// What the service's thread does. Windows starts that thread with a plain function, so that nothing can be
/// handed to it in another way.
static MAIN: Mutex<Option<Main>> = Mutex::new(None);

windows_service::define_windows_service!(service_main, enter);

fn enter(_arguments: Vec<OsString>) {
    let main = MAIN.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(main) = main {
        main();
    }
}

/// What the service control manager knows of this process.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    handle: ServiceStatusHandle,
    shutdown: CancellationToken,
}

impl Status {
    pub(crate) fn running(&self) {
        // One that was told to stop while it started does not take that back.
        if !self.shutdown.is_cancelled() {
            self.set(ServiceState::Running, Duration::ZERO, ServiceExitCode::NO_ERROR);
        }
    }

    pub(crate) fn stopping(&self) {
        self.set(ServiceState::StopPending, STOP_PATIENCE, ServiceExitCode::NO_ERROR);
    }

    fn set(&self, state: ServiceState, wait_hint: Duration, exit_code: ServiceExitCode) {
        let running = state == ServiceState::Running;
        let told = self.handle.set_service_status(ServiceStatus {
            service_type: ServiceType::OWN_PROCESS,
            current_state: state,
            controls_accepted: if running {
                ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN
            } else {
                ServiceControlAccept::empty()
            },
            exit_code,
            checkpoint: 0,
            wait_hint,
            process_id: None,
        });
        if let Err(error) = told {
            tracing::error!(%error, ?state, "Windows could not be told of the service's state");
        }
    }
}

/// Runs `work` as the service of this name. Returns when it has ended.
pub(crate) fn run<W>(
    name: &str,
    logged: &str,
    runtime: Runtime,
    work: impl FnOnce(Lifecycle, CancellationToken) -> W + Send + 'static,
) -> ExitCode
where
    W: Future<Output = anyhow::Result<()>>,
{
    let entries = tracing_subscriber::fmt::layer()
        .with_writer(EventLog::of(name))
        .with_ansi(false)
        // The event log has columns for these.
        .without_time()
        .with_level(false)
        .log_internal_errors(false);
    tracing_subscriber::registry().with(filter(logged)).with(entries).init();
    let main: Main = Box::new({
        let name = name.to_owned();
        move || serve(&name, &runtime, work)
    });
    *MAIN.lock().unwrap_or_else(PoisonError::into_inner) = Some(main);
    match service_dispatcher::start(name, service_main) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            event_log::report(name, Kind::Error, &format!("{name} was not started by Windows: {error:?}"));
            ExitCode::FAILURE
        }
    }
}

fn serve<W>(name: &str, runtime: &Runtime, work: impl FnOnce(Lifecycle, CancellationToken) -> W)
where
    W: Future<Output = anyhow::Result<()>>,
{
    let shutdown = CancellationToken::new();
    let told = shutdown.clone();
    let registered = service_control_handler::register(name, move |control| match control {
        ServiceControl::Stop | ServiceControl::Preshutdown => {
            told.cancel();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    });
    let handle = match registered {
        Ok(handle) => handle,
        Err(error) => {
            event_log::report(name, Kind::Error, &format!("{name} can't be told to stop: {error:?}"));
            return;
        }
    };
    let status = Status { handle, shutdown: shutdown.clone() };
    status.set(ServiceState::StartPending, START_HINT, ServiceExitCode::NO_ERROR);
    event_log::report(name, Kind::Started, &format!("{name} starts"));
    let lifecycle = Lifecycle { status: Some(status.clone()) };
    let result = runtime.block_on(async {
        tokio::spawn({
            let (lifecycle, shutdown) = (lifecycle.clone(), shutdown.clone());
            async move {
                shutdown.cancelled().await;
                lifecycle.stopping();
            }
        });
        work(lifecycle, shutdown).await
    });
    let exit_code = match result {
        Ok(()) => {
            event_log::report(name, Kind::Stopped, &format!("{name} has stopped"));
            ServiceExitCode::NO_ERROR
        }
        Err(error) => {
            event_log::report(name, Kind::Error, &format!("{name} has stopped: {error:#}"));
            ServiceExitCode::ServiceSpecific(FAILED)
        }
    };
    status.set(ServiceState::Stopped, Duration::ZERO, exit_code);
}
