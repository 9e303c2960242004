//! SHA-256 of uploads on their way, kept by the node that takes them, so that each piece is hashed as it comes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How many uploads are remembered, at about 200 bytes each. One that was forgotten is read again once.
const MAX: usize = 10_000;

/// The sums of uploads, each as far as this node knows it.
#[derive(Debug, Default)]
pub(crate) struct Digests(Mutex<HashMap<Uuid, Running>>);

/// A sum over the first bytes of an upload.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    sum: Sha256,
    /// The first bytes, zeros where there are none yet.
    first: [u8; 4],
    /// Over how many bytes.
    pub(super) bytes: u64,
    used_at: Instant,
}

impl Running {
    fn new() -> Self {
        Self { sum: Sha256::new(), first: [0; 4], bytes: 0, used_at: Instant::now() }
    }

    /// Goes on by the next bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.sum.update(bytes);
        let known = self.first.len().min(self.bytes as usize);
        for (place, byte) in self.first[known..].iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.bytes += bytes.len() as u64;
    }

    /// Whether it begins as a zip does: with a file, or with the list of none (APPNOTE 4.3.7, 4.3.16).
    pub(super) fn is_zip(&self) -> bool {
        matches!(&self.first, b"PK\x03\x04" | b"PK\x05\x06")
    }

    /// The sum, in lower-case hexadecimal.
    pub(super) fn finish(&self) -> String {
        crate::tokens::hex(&self.sum.clone().finalize())
    }
}

impl Digests {
    /// What is known of the first `bytes` of an upload, or of fewer of them.
    pub(super) fn get(&self, upload: Uuid, bytes: u64) -> Running {
        let known = self.lock().get(&upload).filter(|known| known.bytes <= bytes).cloned();
        known.unwrap_or_else(Running::new)
    }

    /// Remembers a sum over bytes that are kept.
    pub(super) fn put(&self, upload: Uuid, running: Running) {
        let mut known = self.lock();
        if known.len() >= MAX
            && !known.contains_key(&upload)
            && let Some(oldest) = known.iter().min_by_key(|(_, running)| running.used_at).map(|(id, _)| *id)
        {
            known.remove(&oldest);
        }
        known.insert(upload, Running { used_at: Instant::now(), ..running });
    }

    /// Forgets an upload that has ended.
    pub(super) fn forget(&self, upload: Uuid) {
        self.lock().remove(&upload);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Running>> {
        // Each step on the map is complete in itself, so a panic elsewhere leaves it sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zip_is_known_by_its_first_bytes_however_they_come() {
        for (pieces, is_zip) in [
            (&[&b"PK\x03\x04 and so on"[..]][..], true),
            (&[b"P", b"K\x03", b"", b"\x04x", b"PK\x01\x02"], true),
            (&[b"PK\x05\x06"], true),
            (&[b"PK\x03"], false),
            (&[b"MZ\x90\x00", b"PK\x03\x04"], false),
            (&[], false),
        ] {
            let mut running = Running::new();
            for piece in pieces {
                running.add(piece);
            }
            assert_eq!(running.is_zip(), is_zip, "{pieces:?}");
        }
    }

    #[test]
    fn a_sum_goes_on_where_it_was_and_memory_is_bounded() {
        let digests = Digests::default();
        let upload = Uuid::now_v7();
        let mut running = digests.get(upload, 0);
        running.add(b"one ");
        digests.put(upload, running);
        let mut running = digests.get(upload, 4);
        assert_eq!(running.bytes, 4);
        running.add(b"two");
        assert_eq!(running.finish(), crate::tokens::hex(&Sha256::digest(b"one two")));
        // What is known of more than is kept is of no use.
        assert_eq!(digests.get(upload, 3).bytes, 0);
        for _ in 0..MAX {
            digests.put(Uuid::now_v7(), Running::new());
        }
        assert_eq!(digests.lock().len(), MAX);
        assert_eq!(digests.get(upload, 4).bytes, 0);
    }
}
