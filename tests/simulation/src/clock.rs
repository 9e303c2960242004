//! The time of day and the randomness of a simulated world, for code that asks the system for them.
//!
//! Timers are tokio's, whose time turmoil moves. What is written down, such as deadlines, is asked of the system's clock,
//! and keys, ids and jitter of its randomness. Both come from the C library, so this program brings functions of the
//! same names: on a thread that simulates they answer from the simulation, everywhere else they ask the system.

#![expect(
    unsafe_code,
    reason = "the C library's functions are stood in for, so that no code under test has a seam for it"
)]

use std::cell::{Cell, RefCell};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

thread_local! {
    static NOW: Cell<Option<Duration>> = const { Cell::new(None) };
    static RANDOMNESS: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
}

/// From now on this thread's clock shows this time since 1970, until it is set again.
pub(crate) fn set(since_1970: Duration) {
    NOW.set(Some(since_1970));
}

/// From now on what is random on this thread follows from a seed.
pub(crate) fn seed(seed: u64) {
    RANDOMNESS.set(Some(SmallRng::seed_from_u64(seed)));
}

/// The system's clock, or the simulation's.
///
/// # Safety
///
/// As `clock_gettime(2)`: `to` can be written to.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, to: *mut libc::timespec) -> libc::c_int {
    let now = NOW.get().filter(|_| matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE));
    let Some(now) = now else {
        // SAFETY: this is what the C library would have done with the same arguments.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, to) } as libc::c_int;
    };
    let seconds = now.as_secs().cast_signed();
    // SAFETY: the caller promised that it can be written to.
    unsafe { to.write(libc::timespec { tv_sec: seconds, tv_nsec: now.subsec_nanos().into() }) };
    0
}

/// The system's randomness, or the simulation's.
///
/// # Safety
///
/// As `getrandom(2)`: `to` can be written to for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(to: *mut libc::c_void, length: usize, flags: libc::c_uint) -> isize {
    let made = RANDOMNESS.with(|randomness| {
        // Asked for while it answers it would be asked by itself, which it never is.
        let mut randomness = randomness.try_borrow_mut().ok()?;
        let mut bytes = vec![0; length];
        randomness.as_mut()?.fill_bytes(&mut bytes);
        Some(bytes)
    });
    match made {
        Some(bytes) => {
            // SAFETY: the caller promised that so many bytes can be written; `bytes` is ours, so they do not overlap.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), length) };
            length.cast_signed()
        }
        // SAFETY: this is what the C library would have done with the same arguments.
        None => unsafe { libc::syscall(libc::SYS_getrandom, to, length, flags) as isize },
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_thread_that_simulates_has_its_own_clock_and_randomness() {
        let simulate = || {
            std::thread::spawn(|| {
                set(Duration::from_hours(24));
                seed(1);
                (Utc::now(), rand::random::<u64>(), Uuid::new_v4())
            })
        };
        let (first, second) = (simulate().join().unwrap(), simulate().join().unwrap());
        assert_eq!(first.0, DateTime::from_timestamp(86_400, 0).unwrap());
        assert_eq!(first, second);
        assert!(Utc::now() > first.0);
        assert_ne!(rand::random::<u64>(), first.1);
    }
}
