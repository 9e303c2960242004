//! Passwords, and what stops guessing them.

use argon2::password_hash::SaltString;
use argon2::password_hash::rand_core::OsRng;
use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use chrono::{DateTime, TimeDelta, Utc};
use zxcvbn::zxcvbn;

/// Wrong passwords in a row until one has to wait.
pub const MAX_ATTEMPTS: i32 = 10;
/// How long.
pub const LOCK_OUT: TimeDelta = TimeDelta::minutes(30);
/// How long an access token is good for.
pub const ACCESS_LIFE: TimeDelta = TimeDelta::minutes(15);
/// How long a user who has proved who they are may do what that is asked for: a session that is found open is good for
/// everything else (ASVS 5.0, 7.5.1 and 7.5.2).
pub const PROOF_LIFE: TimeDelta = TimeDelta::minutes(10);
/// How long a session lives on without being refreshed.
pub const REFRESH_LIFE: TimeDelta = TimeDelta::days(30);
/// How long a try to refresh may come again, by its idempotency key: the answer may be lost.
pub const REFRESH_GRACE: TimeDelta = TimeDelta::seconds(60);
/// How long a session lives at most, however often it is refreshed: then one signs in again (ASVS 5.0, 7.3.2).
pub const SESSION_LIFE: TimeDelta = TimeDelta::days(90);
/// The shortest password, in characters.
pub const MIN_PASSWORD_CHARS: usize = 8;
/// How long a password lets a user in that was made up for them: until they have chosen one, and no longer than this.
pub const MADE_UP_LIFE: TimeDelta = TimeDelta::days(7);
/// The longest password, in bytes; a limit on the work that a request can cause.
pub const MAX_PASSWORD_BYTES: usize = 1024;
/// As many guesses as `zxcvbn` knows passwords that others use.
const TOO_FEW_GUESSES: u64 = 30_000;
/// What people like to put into a password for us.
const OUR_NAME: &str = "tillwatch";

/// Why a user can't be made like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUser {
    /// Not of the form `name@host`.
    #[error("the e-mail must be of the form name@host")]
    Email,
    /// Nothing but spaces, too long, or with control characters.
    #[error("the name must have at least one character and at most 200, and no control characters")]
    Name,
    /// Too short or too long.
    #[error(
        "the password must have at least {MIN_PASSWORD_CHARS} characters and at most {MAX_PASSWORD_BYTES} bytes"
    )]
    Password,
    /// Among the first that somebody would try.
    #[error(
        "the password is easy to guess: others use it, or it is made of the user's own names, a date or a pattern"
    )]
    GuessablePassword,
}

/// How an e-mail is kept and compared.
pub fn normal_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Checks an e-mail.
pub fn check_email(email: &str) -> Result<(), BadUser> {
    let email = email.trim();
    let well_formed = email.split_once('@').is_some_and(|(user, host)| {
        let plain =
            |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        plain(user) && plain(host) && !host.contains('@')
    });
    if well_formed && email.len() <= 254 { Ok(()) } else { Err(BadUser::Email) }
}

/// Checks what a user is called.
pub fn check_name(name: &str) -> Result<(), BadUser> {
    let good = !name.trim().is_empty() && name.chars().count() <= 200 && !name.contains(char::is_control);
    if good { Ok(()) } else { Err(BadUser::Name) }
}

/// Checks a password that somebody chose for a user. Of which characters it is made does not matter; it must not be found
/// by [`TOO_FEW_GUESSES`] (ASVS 5.0, 6.2).
pub fn check_password(password: &str, email: &str, name: &str) -> Result<(), BadUser> {
    if password.chars().count() < MIN_PASSWORD_CHARS || password.len() > MAX_PASSWORD_BYTES {
        return Err(BadUser::Password);
    }
    let mut own = vec![OUR_NAME, email, name];
    own.extend(email.split(['@', '.', '-', '_', '+']).chain(name.split_whitespace()));
    if zxcvbn(password, &own).guesses() <= TOO_FEW_GUESSES { Err(BadUser::GuessablePassword) } else { Ok(()) }
}

/// Hashes a password with argon2id, OWASP's first choice of costs. Takes tens of milliseconds.
pub fn hash_password(password: &str) -> String {
    Argon2::default()
        .hash_password(password.as_bytes(), &SaltString::generate(&mut OsRng))
        .expect("the default costs are valid, and the salt is of the right length")
        .to_string()
}

/// Whether the password is the hashed one. An unreadable hash fits no password.
pub fn verify_password(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Wrong passwords so far, in a row. Half an hour without another one and they are as if they had never been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many.
    pub failed: i32,
    /// When the last was given.
    pub last_at: DateTime<Utc>,
}

impl Attempts {
    /// Until when nobody may try, once there were too many.
    pub fn locked_until(self) -> Option<DateTime<Utc>> {
        (self.failed >= MAX_ATTEMPTS).then(|| self.last_at + LOCK_OUT)
    }

    /// How long one still has to wait, if at all.
    pub fn wait(self, now: DateTime<Utc>) -> Option<TimeDelta> {
        self.locked_until().map(|until| until - now).filter(|wait| *wait > TimeDelta::zero())
    }

    /// After one more wrong password.
    #[must_use]
    pub fn failed_at(self, now: DateTime<Utc>) -> Self {
        let failed = if self.last_at + LOCK_OUT <= now { 1 } else { self.failed + 1 };
        Self { failed, last_at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_tries_then_half_an_hour_then_ten_more() {
        let start = Utc::now();
        let mut attempts = Attempts::default();
        for _ in 0..10 {
            assert_eq!(attempts.wait(start), None);
            attempts = attempts.failed_at(start);
        }
        assert_eq!(attempts.wait(start), Some(LOCK_OUT));
        let later = start + LOCK_OUT;
        assert_eq!(attempts.wait(later), None);
        assert_eq!(attempts.failed_at(later), Attempts { failed: 1, last_at: later });
    }

    #[test]
    fn wrong_passwords_are_forgotten_half_an_hour_after_the_last() {
        let start = Utc::now();
        let nine = Attempts { failed: 9, last_at: start };
        let just_before = start + LOCK_OUT - TimeDelta::milliseconds(1);
        assert!(nine.failed_at(just_before).locked_until().is_some());
        assert_eq!(nine.failed_at(start + LOCK_OUT).failed, 1);
    }

    #[test]
    fn only_the_password_fits_its_hash() {
        let hash = hash_password("correct horse");
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify_password("correct horse", &hash));
        assert!(!verify_password("correct hors", &hash));
        assert!(!verify_password("correct horse", "not a hash"));
    }

    #[test]
    fn a_user_needs_an_email_a_name_and_a_password() {
        assert_eq!(check_email("a@b.lv"), Ok(()));
        for email in ["", "a", "@b", "a@", "a b@c", "a@b@c"] {
            assert_eq!(check_email(email), Err(BadUser::Email), "{email}");
        }
        assert_eq!(check_name("Anna"), Ok(()));
        for name in ["  ", "An\nna", &"a".repeat(201)] {
            assert_eq!(check_name(name), Err(BadUser::Name), "{name}");
        }
    }

    #[test]
    fn a_password_is_long_enough_and_not_the_first_to_be_tried() {
        let check =
            |password: &str| check_password(password, "anna.smith@bistro-amber.example", "Anna Maria Smith");
        for short in ["", "k3t9qmz"] {
            assert_eq!(check(short), Err(BadUser::Password), "{short}");
        }
        assert_eq!(check(&"k".repeat(1025)), Err(BadUser::Password));
        for common in ["password", "12345678", "qwertyuiop", "P@ssw0rd", "sunshine1", "aaaaaaaa", "20011987"]
        {
            assert_eq!(check(common), Err(BadUser::GuessablePassword), "{common}");
        }
        for own in ["Tillwatch2026", "annasmith", "AnnaMaria"] {
            assert_eq!(check(own), Err(BadUser::GuessablePassword), "{own}");
        }
        // Any characters will do, few kinds and many of them.
        for good in ["vk3t9qmz", "correct horse battery", "лошадь и батарея", &"vk3t9qmz ".repeat(100)]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }
}
