//! A sign-in on standard input, for the demo and for tests. Not in release builds.

use std::io::BufRead;
use std::sync::Arc;

use serde::Deserialize;

use crate::core::Core;

/// The argument that asks for it.
pub(crate) const FLAG: &str = "--sign-in-from-stdin";

#[derive(Deserialize)]
struct SignIn {
    url: String,
    email: String,
    password: String,
    trust_sha256: Option<String>,
}

/// Reads one line of JSON and signs in once.
pub(crate) fn sign_in(core: Arc<Core>) {
    std::thread::spawn(move || {
        let mut line = String::new();
        if let Err(error) = std::io::stdin().lock().read_line(&mut line) {
            tracing::error!(%error, "no sign-in on standard input");
            return;
        }
        // What the line holds is a secret: only that it can't be read is told.
        let Ok(SignIn { url, email, password, trust_sha256 }) = serde_json::from_str(&line) else {
            tracing::error!("the sign-in on standard input is not {{url, email, password, trust_sha256?}}");
            return;
        };
        tauri::async_runtime::spawn(async move {
            let trusted = trust_sha256.map_or(Ok(()), |sha256| core.trust_certificate(&url, &sha256));
            let signed_in = match trusted {
                Ok(()) => core.sign_in(&url, &email, password).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = signed_in {
                tracing::error!(%error, detail = error.detail, "the sign-in on standard input failed");
            }
        });
    });
}
