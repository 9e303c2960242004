//! What POS servers and the cloud exchange, and the checksums and amounts in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tillwatch_fuzz::is_read_again;
use tillwatch_protocol::exchange::{Amount, ExchangeAnswer, ExchangeRequest, Row, checksum};

fuzz_target!(|bytes: &[u8]| {
    is_read_again::<ExchangeRequest>(bytes);
    is_read_again::<ExchangeAnswer>(bytes);
    if let Ok(row) = serde_json::from_slice::<Row>(bytes) {
        assert_eq!(checksum([&row]), checksum([&row.clone()]));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(amount) = text.parse::<Amount>() {
        assert_eq!(amount.to_string().parse(), Ok(amount), "{text}");
    }
});
