//! Virtual time stands still while the database is at work.
//!
//! turmoil lets time pass whenever a program waits, and it does wait for SQLite's threads. With nothing done about it
//! a commit would take as long as this machine happens to need, measured in virtual time that runs a thousand times as
//! fast. tokio holds its clock while something runs on its threads for blocking work: so something does.

use std::cell::RefCell;
use std::sync::mpsc;
use std::time::Duration;

use sea_orm::sqlx::sqlite::SqlitePoolOptions;
use tokio::runtime::{Handle, Id};

/// How long real time may pass before virtual time goes on all the same. Only what waits in vain takes so long.
const LONGEST: Duration = Duration::from_secs(5);

thread_local! {
    /// One for each connection in use, with the runtime that uses it.
    static IN_USE: RefCell<Vec<(Id, Still)>> = const { RefCell::new(Vec::new()) };
}

/// While this lives, time stands still in the runtime in which it was made.
pub(crate) struct Still(#[expect(dead_code, reason = "what counts is when it is dropped")] mpsc::Sender<()>);

impl Still {
    pub(crate) fn new() -> Self {
        let (alive, ended) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || {
            let _ = ended.recv_timeout(LONGEST);
        });
        Self(alive)
    }
}

/// Has time stand still while a connection of the pool is in use.
pub(crate) fn while_in_use(pool: SqlitePoolOptions) -> SqlitePoolOptions {
    pool.after_connect(|_, _| {
        begin();
        Box::pin(async { Ok(()) })
    })
    .before_acquire(|_, _| {
        begin();
        Box::pin(async { Ok(true) })
    })
    .after_release(|_, _| {
        let here = Handle::current().id();
        IN_USE.with_borrow_mut(|in_use| {
            if let Some(at) = in_use.iter().position(|(runtime, _)| *runtime == here) {
                in_use.swap_remove(at);
            }
        });
        Box::pin(async { Ok(true) })
    })
}

/// Opening a pool uses a connection that is never released: time goes on once all are open.
pub(crate) fn opened() {
    let here = Handle::current().id();
    IN_USE.with_borrow_mut(|in_use| in_use.retain(|(runtime, _)| *runtime != here));
}

/// Lets time go on everywhere: a program that is about to crash would wait for what it has in use.
pub(crate) fn forget() {
    IN_USE.take();
}

fn begin() {
    let still = Still::new();
    IN_USE.with_borrow_mut(|in_use| in_use.push((Handle::current().id(), still)));
}
