//! The system's clipboard. Written here rather than in the webview, which may do so only within a moment of a key or
//! a click: too short a moment for 100,000 rows.

use std::sync::Mutex;

use crate::core::lock;
use crate::error::{AppError, LocalCode};

/// The clipboard, kept open: on Linux what was copied is gone with the program's handle on it.
#[derive(Default)]
pub(crate) struct Clipboard(Mutex<Option<arboard::Clipboard>>);

impl Clipboard {
    /// Puts text in place of what is there. Blocks. Fails with `clipboard_unavailable`.
    pub(crate) fn write(&self, text: String) -> Result<(), AppError> {
        let unavailable =
            |error: arboard::Error| AppError::from(LocalCode::ClipboardUnavailable).detail(error);
        let mut open = lock(&self.0);
        let clipboard = match open.as_mut() {
            Some(clipboard) => clipboard,
            None => open.insert(arboard::Clipboard::new().map_err(unavailable)?),
        };
        clipboard.set_text(text).map_err(unavailable)
    }
}
