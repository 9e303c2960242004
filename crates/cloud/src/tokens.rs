//! Secrets that the cloud hands out: opaque, random, and kept only as hashes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use tillwatch_protocol::ids::SessionId;

use crate::config::Secret;

/// Letters and digits that nobody mistakes for one another when reading a code aloud.
const CODE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A new token of 256 random bits, in base64url.
pub(crate) fn new_token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What is kept of a token: SHA-256 in lower-case hexadecimal. A token has too many bits to be guessed
/// from its hash, so that the hash may be fast.
pub(crate) fn hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// What refresh tokens of this cloud are marked with, so that an earlier one of a session is told from one that
/// somebody made up, without keeping each. Who knows it alone can use no session.
pub(crate) struct RefreshKey(Secret);

impl RefreshKey {
    pub(crate) fn new(key: String) -> Self {
        Self(Secret(key))
    }

    /// A new refresh token of a session: `session.random.mark`.
    pub(crate) fn new_token(&self, session: SessionId) -> String {
        let token = format!("{session}.{}", new_token());
        let mark = URL_SAFE_NO_PAD.encode(self.mark(&token).finalize().into_bytes());
        format!("{token}.{mark}")
    }

    /// Whether a token, used up or not, was made here.
    pub(crate) fn made(&self, token: &str) -> bool {
        let parts = token
            .rsplit_once('.')
            .and_then(|(token, mark)| Some((token, URL_SAFE_NO_PAD.decode(mark).ok()?)));
        parts.is_some_and(|(token, mark)| self.mark(token).verify_slice(&mark).is_ok())
    }

    fn mark(&self, token: &str) -> Hmac<Sha256> {
        let key = Hmac::<Sha256>::new_from_slice(self.0.0.as_bytes());
        key.unwrap_or_else(|_| unreachable!("HMAC takes keys of any length")).chain_update(token)
    }
}

/// The session that a refresh token says it is of.
pub(crate) fn session_of(refresh_token: &str) -> Option<SessionId> {
    refresh_token.split('.').next()?.parse().ok()
}

/// A new enrollment code of 100 random bits, for people to type: `ABCDE-FGHJK-LMNPQ-RSTUV`.
pub(crate) fn new_enrollment_code() -> String {
    let mut code = String::with_capacity(23);
    for (index, byte) in rand::random::<[u8; 20]>().into_iter().enumerate() {
        if index > 0 && index % 5 == 0 {
            code.push('-');
        }
        code.push(char::from(CODE_ALPHABET[usize::from(byte % 32)]));
    }
    code
}

/// What is kept of an enrollment code; case, dashes and spaces don't count.
pub(crate) fn hash_enrollment_code(code: &str) -> String {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    hash(&plain.to_ascii_uppercase())
}

/// A password that nobody has to remember, of 128 random bits.
pub(crate) fn new_password() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_may_be_typed_in_any_case_and_without_dashes() {
        let code = new_enrollment_code();
        assert_eq!(code.len(), 23);
        let typed = format!(" {} ", code.replace('-', " ").to_lowercase());
        assert_eq!(hash_enrollment_code(&typed), hash_enrollment_code(&code));
        assert_ne!(hash_enrollment_code(&new_enrollment_code()), hash_enrollment_code(&code));
    }

    #[test]
    fn a_refresh_token_is_known_by_its_mark() {
        let (key, other) = (RefreshKey::new("one".into()), RefreshKey::new("other".into()));
        let session = SessionId::new();
        let token = key.new_token(session);
        assert_eq!(session_of(&token), Some(session));
        assert!(key.made(&token) && !other.made(&token));
        let (unmarked, mark) = token.rsplit_once('.').unwrap();
        assert!(!key.made(unmarked));
        assert!(!key.made(&format!("{session}.{}.{mark}", new_token())), "another's mark");
        for nonsense in ["", ".", "a.b.c", &format!("{unmarked}.")] {
            assert!(!key.made(nonsense), "{nonsense}");
        }
    }

    #[test]
    fn a_hash_is_sha_256() {
        assert_eq!(hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
