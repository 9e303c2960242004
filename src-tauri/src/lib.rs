//! The desktop app's shell.
