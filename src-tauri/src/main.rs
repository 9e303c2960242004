//! The program `tillwatch`.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(code) = without_dmabuf() {
        return code;
    }
    tillwatch::run()
}

/// Starts the program anew with the webview's DMA-BUF renderer off, unless somebody decided on that: with it windows
/// may stay blank and rows ghost. In place of this process, as its own environment can't be changed safely.
#[cfg(target_os = "linux")]
fn without_dmabuf() -> Option<std::process::ExitCode> {
    use std::os::unix::process::CommandExt;

    const VARIABLE: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";
    if std::env::var_os(VARIABLE).is_some() {
        return None;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next()?;
    let mut command = std::process::Command::new("/proc/self/exe");
    // Comes back only when it failed; then the window is tried as it is.
    let _ = command.arg0(name).args(arguments).env(VARIABLE, "1").exec();
    None
}
