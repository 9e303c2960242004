//! Card numbers on their way through: every encoding, packed or not, across the edges of what is read and
//! compressed at a time.

use std::fmt::Write;

use super::support::{Store, gzipped};

const MODIFIED: &str = "2026-11-21T12:00:00Z";
const FROM: &str = "2026-11-21T00:00:00Z";
const TO: &str = "2026-11-21T12:00:00Z";
const LINES: u64 = 20_000;

/// The sixteen digits of a Visa number that passes Luhn, a different one for each `seed`.
fn card(seed: u64) -> String {
    let body = format!("4{:014}", seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 100_000_000_000_000);
    let doubled = |digit: u32| if digit < 5 { digit * 2 } else { digit * 2 - 9 };
    let digits = body.bytes().map(|byte| u32::from(byte - b'0')).enumerate();
    let sum: u32 = digits.map(|(at, digit)| if at % 2 == 0 { doubled(digit) } else { digit }).sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// A log whose every line has a card number and an order number, and what must come out.
fn log(file: u64) -> (String, String) {
    let (mut text, mut masked) = (String::new(), String::new());
    for line in 0..LINES {
        let number = card(file * LINES + line);
        let groups = [&number[..4], &number[4..8], &number[8..12], &number[12..]];
        let separator = ["", " ", "-"][(line % 3) as usize];
        // No issuer's, as long as a card's.
        let order = format!("9{:015}", line * 7919);
        let second = line * 2;
        let start = format!(
            "2026-11-21 {:02}:{:02}:{:02} заказ {order} оплачен {}",
            second / 3600 + 2,
            second / 60 % 60,
            second % 60,
            "x".repeat((line % 57) as usize)
        );
        writeln!(text, "{start} {}", groups.join(separator)).unwrap();
        writeln!(masked, "{start} {}", ["****", "****", "****", groups[3]].join(separator)).unwrap();
    }
    (text, masked)
}

#[test]
fn of_a_hundred_thousand_lines_in_every_encoding_no_number_leaves_the_store() {
    let mut store = Store::new();
    store.max_bytes = 200 << 20;
    let utf16 = |text: &str, mark: bool, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        mark.then_some(0xfeff).into_iter().chain(text.encode_utf16()).flat_map(bytes).collect()
    };
    let cp1251 = |text: &str| encoding_rs::WINDOWS_1251.encode(text).0.into_owned();
    let logs: Vec<(String, String)> = (0..5).map(log).collect();
    store.write("logs/utf8.log", &logs[0].0, MODIFIED);
    store.write("logs/packed.log.1.gz", gzipped(&logs[1].0), MODIFIED);
    store.write("logs/little.log", utf16(&logs[2].0, true, u16::to_le_bytes), MODIFIED);
    store.write("logs/big-without-mark.log", utf16(&logs[3].0, false, u16::to_be_bytes), MODIFIED);
    store.write("logs/cp1251.log", cp1251(&logs[4].0), MODIFIED);
    let archive = store.collect(FROM, TO);
    assert_eq!(archive.collected.redactions, 5 * LINES, "no number is missed, and nothing else is masked");
    for (name, (_, masked)) in
        ["utf8.log", "packed.log.1", "little.log", "big-without-mark.log"].iter().zip(&logs)
    {
        assert!(archive.text(&format!("logs/logs/{name}")) == *masked, "{name}");
    }
    assert!(archive.files["logs/logs/cp1251.log"] == cp1251(&logs[4].1));
    let told: u64 = archive.manifests[0]["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["redactions"].as_u64().unwrap())
        .sum();
    assert_eq!((told, &archive.manifests[0]["redactions"]), (5 * LINES, &(5 * LINES).into()));
}

/// A program that writes UTF-16 may append to a file that another began in UTF-8.
#[test]
fn numbers_in_mixed_encodings_are_masked() {
    let store = Store::new();
    let mut text = b"2026-11-21 10:00:00 up\n2026-11-21 10:00:01 ".to_vec();
    text.extend("paid by 4111 1111 1111 1111 and 5500000000000004".encode_utf16().flat_map(u16::to_le_bytes));
    text.push(b'\n');
    store.write("logs/till.log", &text, MODIFIED);
    let archive = store.collect(FROM, TO);
    assert_eq!(archive.collected.redactions, 2);
    let found: String = archive.files["logs/logs/till.log"]
        .iter()
        .filter(|byte| **byte != 0)
        .map(|byte| char::from(*byte))
        .collect();
    assert!(found.ends_with("paid by **** **** **** 1111 and ************0004\n"), "{found}");
}
