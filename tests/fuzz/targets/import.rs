//! A file of outlets that somebody made in a spreadsheet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tillwatch_protocol::fleet;

fuzz_target!(|bytes: &[u8]| match fleet::parse(bytes) {
    Ok(lines) => {
        for fleet::Numbered { line, .. } in lines {
            let texts = [&line.chain, &line.outlet, &line.pos_server];
            for text in texts {
                assert_eq!(fleet::text_fault(text, true), None, "{text:?}");
            }
        }
    }
    Err(bad) => {
        assert!(!bad.is_empty(), "it is refused, and nothing is wrong with it");
        for line in bad {
            assert!(!line.to_string().is_empty());
        }
    }
});
