//! Worlds in which everything breaks that can, each made from a seed.

#![cfg(target_os = "linux")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};
use std::time::Duration;

use tillwatch_simulation::Seeds;
use tracing_subscriber::EnvFilter;

/// How many worlds there are in `npm test`.
const TESTED: u64 = 500;
/// How many in `npm run soak`.
const SOAKED: u64 = 10_000;
/// How many are alive at a time for each core: each waits for its database most of the time.
const WORLDS_PER_CORE: usize = 4;
/// How many failures are told before the rest is given up.
const ENOUGH: usize = 3;

/// `TILLWATCH_SEEDS` says how many worlds there are. `TILLWATCH_SEED` picks one, which tells what happens in it as `RUST_LOG` wants.
#[test]
fn no_job_is_lost_or_done_twice_whatever_breaks() {
    let picked = number("TILLWATCH_SEED");
    if picked.is_some() {
        tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).without_time().init();
    }
    let all = match number("TILLWATCH_SEEDS") {
        Some(all) => all,
        None if std::env::var_os("TILLWATCH_SOAK").is_some() => SOAKED,
        None => TESTED,
    };
    let wanted = picked.map_or(0..all, |seed| seed..seed + 1);
    let (seeds, next) = (Seeds::new().unwrap(), AtomicU64::new(wanted.start));
    let (failed, lived) = (Mutex::new(Vec::new()), Mutex::new(Duration::ZERO));
    scope(|scope| {
        for _ in 0..WORLDS_PER_CORE * available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while failed.lock().unwrap().len() < ENOUGH {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !wanted.contains(&seed) {
                        break;
                    }
                    match seeds.run(seed) {
                        Ok(age) => *lived.lock().unwrap() += age,
                        Err(error) => {
                            eprintln!("seed {seed}: {error:#}\nonce more: TILLWATCH_SEED={seed} cargo test -p tillwatch-simulation");
                            failed.lock().unwrap().push(seed);
                        }
                    }
                }
            });
        }
    });
    println!(
        "counted: {} worlds, {:.0} hours of theirs",
        wanted.count(),
        lived.into_inner().unwrap().as_secs_f64() / 3600.0
    );
    assert_eq!(failed.into_inner().unwrap(), [] as [u64; 0], "these seeds failed");
}

/// A number that the caller set.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}
