//! Services of Windows: made, started, stopped and removed. How a program is one: [`run`].
//!
//! A service runs as the account `NT SERVICE\its-name`, which Windows makes for it alone, which nobody can
//! sign in as, and which may nothing that it was not given here.

mod event_log;
mod run;
mod security;

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;
use windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceFailureActions,
    ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_LEVEL, ERROR_SERVICE_ALREADY_RUNNING,
    ERROR_SERVICE_CANNOT_ACCEPT_CTRL, ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_EXISTS,
    ERROR_SERVICE_NOT_ACTIVE,
};

use crate::access;
use crate::command::Status as Found;
use crate::definition::{Definition, ServiceError, prepare_folders};
pub(crate) use run::{Status, run};
use security::Object;

/// How a service's command line tells a program that it is one; also how one of ours is known.
const AS_SERVICE: &str = "--as-service";
/// When a service that ended by itself is started again: after the first end, the second, and any more.
const RESTART_AFTER: [Duration; 3] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_mins(1)];
/// After so long a run earlier ends no longer count.
const FORGIVEN_AFTER: Duration = Duration::from_hours(24);
/// How long a service may take to stop: a connector says goodbye and ends its POS server.
const STOP_PATIENCE: Duration = Duration::from_mins(1);
/// How long a service may take to start.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// How often Windows is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn install(definition: &Definition) -> Result<(), ServiceError> {
    let name = definition.name.as_str();
    let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    prepare_folders(definition)?;
    let mut arguments = definition.arguments.clone();
    arguments.extend([OsString::from(AS_SERVICE), OsString::from(name)]);
    let info = ServiceInfo {
        name: name.into(),
        display_name: name.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: definition.program.clone(),
        launch_arguments: arguments,
        dependencies: Vec::new(),
        account_name: Some(format!(r"NT SERVICE\{name}").into()),
        account_password: None,
    };
    let access = ServiceAccess::CHANGE_CONFIG | ServiceAccess::START | ServiceAccess::DELETE;
    let service = manager.create_service(&info, access).map_err(|error| refused(name, "make", error))?;
    let set_up = configure(&service, definition)
        .map_err(|error| refused(name, "set up", error))
        .and_then(|()| give_rights(definition))
        .and_then(|()| {
            event_log::register(name).map_err(|error| system("register for the event log", error))
        });
    if set_up.is_err() {
        // Half a service is none.
        let _ = service.delete();
    }
    set_up
}

fn configure(service: &Service, definition: &Definition) -> windows_service::Result<()> {
    service.set_description(&definition.description)?;
    let restart = |delay| ServiceAction { action_type: ServiceActionType::Restart, delay };
    service.update_failure_actions(ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FORGIVEN_AFTER),
        reboot_msg: None,
        command: None,
        actions: Some(RESTART_AFTER.map(restart).into()),
    })?;
    if_known("a restart after an error", || {
        // A program that says what is wrong and ends is started again like one that crashed.
        service.set_failure_actions_on_non_crash_failures(true)
    })?;
    if_known("a delayed start", || service.set_delayed_auto_start(true))?;
    if_known("time to stop at shutdown", || service.set_preshutdown_timeout(STOP_PATIENCE))
}

/// A service is worth having without what this system does not offer. Wine is one that lacks some of it.
fn if_known(what: &str, set: impl FnOnce() -> windows_service::Result<()>) -> windows_service::Result<()> {
    match set() {
        Err(error) if code(&error) == Some(ERROR_INVALID_LEVEL) => {
            tracing::warn!("this system does not offer services {what}");
            Ok(())
        }
        other => other,
    }
}

fn give_rights(definition: &Definition) -> Result<(), ServiceError> {
    let sid = access::service_sid(&definition.name);
    Object::Folder(&definition.data_dir).change(|current| access::only_for(current, &sid))?;
    for folder in &definition.writes {
        Object::Folder(folder).change(|current| access::with_modify(current, &sid))?;
    }
    if let Some(pos) = &definition.controls {
        Object::Service(pos).change(|current| access::with_control(current, &sid))?;
    }
    Ok(())
}

pub(crate) async fn start(name: &str) -> Result<(), ServiceError> {
    let service = open(name, ServiceAccess::START | ServiceAccess::QUERY_STATUS)?;
    match service.start::<&OsStr>(&[]) {
        Err(error) if code(&error) != Some(ERROR_SERVICE_ALREADY_RUNNING) => {
            return Err(refused(name, "start", error));
        }
        _ => {}
    }
    let until = Instant::now() + START_PATIENCE;
    loop {
        let status = service.query_status().map_err(|error| refused(name, "start", error))?;
        match status.current_state {
            ServiceState::Running => return Ok(()),
            ServiceState::StartPending if Instant::now() < until => tokio::time::sleep(ASK_EVERY).await,
            ServiceState::StartPending => return Err(took_too_long(name, "start")),
            _ => {
                let reason =
                    format!("it has stopped again; the Application event log, source {name}, tells why");
                return Err(system(&format!("start {name}"), reason));
            }
        }
    }
}

pub(crate) async fn stop(name: &str) -> Result<(), ServiceError> {
    stop_opened(&open(name, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?, name).await
}

async fn stop_opened(service: &Service, name: &str) -> Result<(), ServiceError> {
    let until = Instant::now() + STOP_PATIENCE;
    let state = || service.query_status().map(|status| status.current_state);
    while state().map_err(|error| refused(name, "stop", error))? != ServiceState::Stopped {
        // One that is just starting or stopping can't be told, but may be soon.
        match service.stop() {
            Err(error)
                if !matches!(
                    code(&error),
                    Some(ERROR_SERVICE_NOT_ACTIVE | ERROR_SERVICE_CANNOT_ACCEPT_CTRL)
                ) =>
            {
                return Err(refused(name, "stop", error));
            }
            _ if Instant::now() >= until => return Err(took_too_long(name, "stop")),
            _ => tokio::time::sleep(ASK_EVERY).await,
        }
    }
    Ok(())
}

pub(crate) async fn status(name: &str) -> Result<Found, ServiceError> {
    let service = match open(name, ServiceAccess::QUERY_STATUS) {
        Err(ServiceError::NotInstalled(_)) => return Ok(Found::NotInstalled),
        opened => opened?,
    };
    let status = service.query_status().map_err(|error| refused(name, "query", error))?;
    Ok(if status.current_state == ServiceState::Stopped { Found::Stopped } else { Found::Running })
}

pub(crate) async fn uninstall(name: &str, definition: Option<&Definition>) -> Result<(), ServiceError> {
    let access = ServiceAccess::QUERY_CONFIG
        | ServiceAccess::STOP
        | ServiceAccess::QUERY_STATUS
        | ServiceAccess::DELETE;
    let service = open(name, access)?;
    let config = service.query_config().map_err(|error| refused(name, "query", error))?;
    // Windows keeps program and arguments as one line.
    if !config.executable_path.to_string_lossy().contains(AS_SERVICE) {
        return Err(ServiceError::NotOurs(name.to_owned()));
    }
    stop_opened(&service, name).await?;
    service.delete().map_err(|error| refused(name, "remove", error))?;
    event_log::unregister(name);
    if let Some(pos) = definition.and_then(|definition| definition.controls.as_deref()) {
        let sid = access::service_sid(name);
        Object::Service(pos).change(|current| access::without(current, &sid))?;
    }
    Ok(())
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager, ServiceError> {
    ServiceManager::local_computer(None::<&OsStr>, access).map_err(|error| match code(&error) {
        Some(ERROR_ACCESS_DENIED) => ServiceError::NoRights,
        _ => system("reach the service control manager", error),
    })
}

fn open(name: &str, access: ServiceAccess) -> Result<Service, ServiceError> {
    manager(ServiceManagerAccess::CONNECT)?
        .open_service(name, access)
        .map_err(|error| refused(name, "open", error))
}

fn took_too_long(name: &str, doing: &str) -> ServiceError {
    system(&format!("{doing} {name}"), "it took too long")
}

fn refused(name: &str, doing: &str, error: windows_service::Error) -> ServiceError {
    match code(&error) {
        Some(ERROR_ACCESS_DENIED) => ServiceError::NoRights,
        Some(ERROR_SERVICE_DOES_NOT_EXIST) => ServiceError::NotInstalled(name.to_owned()),
        Some(ERROR_SERVICE_EXISTS) => ServiceError::Taken(name.to_owned()),
        _ => match error {
            // The crate's own words only say that it was a call to Windows.
            windows_service::Error::Winapi(source) => system(&format!("{doing} {name}"), source),
            other => system(&format!("{doing} {name}"), other),
        },
    }
}

fn system(doing: &str, reason: impl Display) -> ServiceError {
    ServiceError::System { doing: doing.to_owned(), reason: reason.to_string() }
}

fn code(error: &windows_service::Error) -> Option<u32> {
    match error {
        windows_service::Error::Winapi(error) => error.raw_os_error().map(|code| code as u32),
        _ => None,
    }
}
