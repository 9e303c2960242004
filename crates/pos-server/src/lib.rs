//! pos-server
