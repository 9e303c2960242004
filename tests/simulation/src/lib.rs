//! The cloud and its stores in a simulated world: the real gateway, jobs and database of the cloud, the real agents of
//! its connectors, under virtual time, on lines and machines that fail.
//!
//! | module | what it is |
//! |---|---|
//! | `plan` | what a seed decides beforehand: how bad the lines are, what breaks when, what the manager wants |
//! | `world` | one world: its programs, and the steps in which its time goes |
//! | `watch` | what must hold after every step, and again once all is mended |
//! | `facts` | what really happened, noted by those to whom it did |
//! | `store`, `pos`, `line` | a store: its connector, its POS server, its line to the cloud |
//! | `manager` | who asks for jobs and cancels them, over HTTP |
//! | `template` | what every world begins with |
//! | `clock`, `still` | what turns the system's time and randomness into the world's |
//!
//! What is real: `tillwatch-cloud` from its listener to SQLite in a file, with its chores and one or two nodes over one
//! database; the connector's agent with its journal, generation and backups in files; the HTTP and the links between them.
//! What is not: TLS, and HTTPS from a store (heartbeats, uploads) lead nowhere, as their library brings its own sockets;
//! so jobs that upload logs are not asked for. The POS server is `pos`, which takes orders as a program does that embeds
//! a connector.
//!
//! What a seed fixes: every fault and wish, every loss, delay and replay on the lines, every key, id and jitter, and the
//! order of all that the programs do. What it does not: which of two database connections, or of two writes to files, that
//! are asked at the same virtual moment answers first, as they work on threads of their own. A seed that failed fails again nearly always.
//! Programs are killed while they wait for the network, their POS server or time, not within a write to a file or a
//! transaction: those take no virtual time. It is for Linux, whose C library `clock` knows.

#![cfg(target_os = "linux")]

mod world;

mod plan;
mod watch;

mod facts;

mod line;
mod manager;
mod pos;
mod store;

mod template;

mod clock;
mod still;

use std::time::Duration;

use template::Template;
use tillwatch_connector::cloud_client::Transport;

/// What worlds are made from.
#[derive(Debug)]
pub struct Seeds {
    template: Template,
    transport: Transport,
}

impl Seeds {
    /// Makes what all worlds have in common.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { template: Template::make()?, transport: store::transport()? })
    }

    /// Runs the world of a seed to its end, on a thread of its own, as randomness is remembered by threads. Gives the
    /// world's age then, in virtual time; an error says what went wrong in it.
    pub fn run(&self, seed: u64) -> anyhow::Result<Duration> {
        std::thread::scope(|scope| {
            let running = scope.spawn(|| world::run(&self.template, &self.transport, seed));
            running.join().unwrap_or_else(|_| anyhow::bail!("a program panicked"))
        })
    }
}
