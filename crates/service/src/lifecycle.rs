//! What a program that runs as a service tells whoever started it.

use std::time::Duration;

/// Tells systemd, or Windows, how a program does. Clones speak for the same program; the default one speaks
/// to nobody, and neither does one in the foreground.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    #[cfg(target_os = "linux")]
    systemd: bool,
    #[cfg(target_os = "linux")]
    watchdog: Option<Duration>,
    #[cfg(windows)]
    pub(crate) status: Option<crate::windows::Status>,
}

impl Lifecycle {
    /// Of a program that was started in the ordinary way: systemd's variables say whether it listens.
    pub(crate) fn of_process() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            systemd: std::env::var_os("NOTIFY_SOCKET").is_some(),
            #[cfg(target_os = "linux")]
            watchdog: sd_notify::watchdog_enabled(),
            #[cfg(windows)]
            status: None,
        }
    }

    /// The program is up.
    pub fn ready(&self) {
        #[cfg(target_os = "linux")]
        self.notify(&sd_notify::NotifyState::Ready);
        #[cfg(windows)]
        if let Some(status) = &self.status {
            status.running();
        }
    }

    /// The program has been told to end, and is about to.
    pub fn stopping(&self) {
        #[cfg(target_os = "linux")]
        self.notify(&sd_notify::NotifyState::Stopping);
        #[cfg(windows)]
        if let Some(status) = &self.status {
            status.stopping();
        }
    }

    /// How often [`alive`](Self::alive) is expected: three times within what systemd waits for. `None` when
    /// nobody watches.
    pub fn alive_every(&self) -> Option<Duration> {
        #[cfg(target_os = "linux")]
        return self.watchdog.map(|patience| patience / 3);
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// The program does its work. Called from its innermost loop, so that a loop that hangs falls silent.
    pub fn alive(&self) {
        #[cfg(target_os = "linux")]
        self.notify(&sd_notify::NotifyState::Watchdog);
    }

    #[cfg(target_os = "linux")]
    fn notify(&self, state: &sd_notify::NotifyState<'_>) {
        if self.systemd
            && let Err(error) = sd_notify::notify(std::slice::from_ref(state))
        {
            tracing::warn!(%error, "systemd could not be told: {state}");
        }
    }
}
