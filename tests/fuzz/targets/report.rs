//! What a POS server, ours or another's, reports of itself to the connector.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tillwatch_fuzz::is_read_again;
use tillwatch_protocol::report::Report;

fuzz_target!(|bytes: &[u8]| is_read_again::<Report>(bytes));
