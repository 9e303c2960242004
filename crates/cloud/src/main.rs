//! `tillwatch-cloud`: the command line of the cloud.

mod cli;
mod logging;

use std::process::ExitCode;

use clap::Parser;

/// Ten thousand links are as many tasks, buffers and TLS sessions that come and go: what glibc keeps of them between
/// those that stay is twice what they take.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // One of several providers may be linked in; ours is named once. An error says that it is set.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli::run(cli::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::debug!(?error, "the command failed");
            #[expect(clippy::print_stderr, reason = "this is what the person at the terminal reads")]
            {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
