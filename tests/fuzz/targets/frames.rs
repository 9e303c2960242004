//! Frames of the link, which each end takes from the other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tillwatch_fuzz::is_read_again;
use tillwatch_protocol::link::frame::{CloudFrame, ConnectorFrame};

fuzz_target!(|bytes: &[u8]| {
    is_read_again::<ConnectorFrame>(bytes);
    is_read_again::<CloudFrame>(bytes);
});
