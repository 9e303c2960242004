//! Looking into archives of logs without saving them: entries of all files of all parts by time and level.
//!
//! [`archive`] reads the zips from front to back, once, and trusts nothing in them; [`text`] keeps what they hold,
//! compressed, in a file without a name; [`lines`] knows where each line lies, when it was written and how grave it
//! is; [`view`] is what the window sees of that: some lines, in order, and those that match a search.
//! What is in memory is 20 bytes for a line, and what is in the webview a window of lines.

mod archive;
mod level;
mod lines;
mod text;
mod view;

#[cfg(test)]
mod tests;

pub use archive::{Source, read};
pub use lines::Log;
pub use view::View;

/// How much archives may hold together, so that no archive fills memory or disk.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of text.
    pub text: u64,
    /// Lines; places are 32 bits wide.
    pub lines: usize,
}

/// As the window's words for `archive_too_large` have it.
pub const LIMITS: Limits = Limits { text: 4 << 30, lines: 20_000_000 };

/// Lines longer than this, in bytes, are shown in pieces.
const LONGEST: usize = 4 << 10;
