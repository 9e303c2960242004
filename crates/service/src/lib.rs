//! A store's programs as services of the operating system: systemd, launchd, Windows.
//!
//! [`carry_out`] installs, starts and stops; [`run`](run()) is how a program then lives, in the foreground or
//! as a service, and [`Lifecycle`] what it tells whoever started it. The connector and the POS server both
//! use this, and know nothing of each other.

mod command;
mod definition;
mod lifecycle;
mod run;

#[cfg(target_os = "linux")]
mod systemd;

#[cfg(target_os = "macos")]
mod launchd;
// What has no need of its system is tested on every one.
#[cfg(any(target_os = "macos", all(test, unix)))]
mod property_list;

#[cfg(any(windows, test))]
mod access;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
mod tool;

pub use command::{Action, carry_out};
pub use definition::{Definition, ServiceError};
pub use lifecycle::Lifecycle;
pub use run::{AsService, run, run_once, stop_signal};
#[cfg(unix)]
pub use tool::leave_to_owner;
