use proptest::prelude::*;

use super::*;

fn masked(text: &str) -> (String, usize) {
    let mut bytes = text.as_bytes().to_vec();
    let mut found = Vec::new();
    redact(&mut bytes, &mut found);
    (String::from_utf8(bytes).unwrap(), found.len())
}

/// `SplitMix64`: the same numbers for the same seed everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + self.below(10) as u8)).collect()
    }
}

/// Every issuer with the lengths that its numbers may have.
fn issuers(random: &mut Random) -> (String, usize) {
    let pick = |random: &mut Random, from: usize, to: usize| (from + random.below(to - from + 1)).to_string();
    match random.below(12) {
        0 => ("4".into(), [13, 16, 19][random.below(3)]),
        1 => (pick(random, 51, 55), 16),
        2 => (pick(random, 2221, 2720), 16),
        3 => (["34", "37"][random.below(2)].into(), 15),
        4 => (["36", "38"][random.below(2)].into(), 14),
        5 => (pick(random, 300, 305), 14),
        6 => (["6011", "65"][random.below(2)].into(), 16 + random.below(4)),
        7 => (pick(random, 644, 649), 16 + random.below(4)),
        8 => (pick(random, 3528, 3589), 16 + random.below(4)),
        9 => ("62".into(), 16 + random.below(4)),
        10 => (pick(random, 2200, 2204), 16 + random.below(4)),
        _ => {
            let start = ["5018", "5020", "5038", "6304", "6759", "6761", "6762", "6763"][random.below(8)];
            (start.into(), 13 + random.below(7))
        }
    }
}

/// A number that passes Luhn.
fn card(random: &mut Random) -> String {
    let (start, length) = issuers(random);
    let body = start.clone() + &random.digits(length - 1 - start.len());
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0') * if place % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// The number as people and programs write it.
fn written(card: &str, random: &mut Random) -> String {
    let separator = ["", "", " ", "-", "  ", " - ", "\u{a0}", "\u{2011}"][random.below(8)];
    let every = [4, 4, 4, 1, 6][random.below(5)];
    let mut text = String::new();
    for (place, digit) in card.chars().enumerate() {
        if place > 0 && place % every == 0 {
            text.push_str(separator);
        }
        text.push(digit);
    }
    text
}

#[test]
fn of_a_hundred_thousand_lines_no_number_is_missed() {
    let mut random = Random(20_261_121);
    let before = [
        "card ",
        "PAN=",
        "\"pan\":\"",
        "",
        "№",
        "карта:",
        "x",
        "(",
        "2026-11-21 10:03:11,123 paid with ",
        "id_",
        "7.",
        "12345 ",
    ];
    let after = [" ok", "\"", "", ".", ",50", "\r", "x", ";exp=12/27", " 1", "/77", "\t88"];
    for line in 0..100_000 {
        let card = card(&mut random);
        let start = before[random.below(before.len())];
        let text = format!("{start}{}{}\n", written(&card, &mut random), after[random.below(after.len())]);
        let (result, count) = masked(&text);
        assert!(count >= 1, "line {line}: {text}");
        assert_eq!(result.chars().count(), text.chars().count());
        // At most the last four digits of the number can be read, and all that stood around it.
        let stars = result.bytes().filter(|byte| *byte == b'*').count();
        assert!(stars >= card.len() - 4, "line {line}: {text} -> {result}");
        let number = &result[start.len()..];
        let first_digit = number.bytes().position(|byte| byte.is_ascii_digit()).unwrap_or(number.len());
        let hidden = number[..first_digit].bytes().filter(|byte| *byte == b'*').count();
        assert!(hidden >= card.len() - 4, "line {line}: {text} -> {result}");
    }
}

#[test]
fn what_is_no_card_number_is_seldom_masked() {
    let mut random = Random(7);
    let hex = |random: &mut Random, count: usize| -> String {
        (0..count).map(|_| char::from(b"0123456789abcdef"[random.below(16)])).collect()
    };
    let mut alarms = [0; 4];
    for _ in 0..50_000 {
        let uuid = [8, 4, 4, 4, 12].map(|count| hex(&mut random, count)).join("-");
        let texts = [
            format!("order {} paid", random.digits(12)),
            format!("request {uuid} done"),
            format!("sha256 {}", hex(&mut random, 64)),
            format!("order 2026{} paid", random.digits(12)),
        ];
        for (alarm, text) in alarms.iter_mut().zip(&texts) {
            *alarm += usize::from(masked(text).1 > 0);
        }
    }
    println!(
        "false alarms of 50,000: order numbers {}, UUIDs {}, hashes {}, long orders {}",
        alarms[0], alarms[1], alarms[2], alarms[3]
    );
    assert_eq!((alarms[0], alarms[2]), (0, 0));
    assert!(alarms[1] < 50 && alarms[3] < 50, "{alarms:?}");
}

#[test]
fn the_rules_hold() {
    for (text, result, count) in [
        ("4111111111111111", "************1111", 1),
        ("4111 1111 1111 1111", "**** **** **** 1111", 1),
        ("4111-1111-1111-1111 and 5500 0000 0000 0004", "****-****-****-1111 and **** **** **** 0004", 2),
        ("4111 1111 1111 1111 5500 0000 0000 0004", "**** **** **** 1111 **** **** **** 0004", 2),
        ("378282246310005 30569309025904", "***********0005 **********5904", 2),
        // A wrong check digit, an unknown issuer, a longer number.
        ("4111111111111112", "4111111111111112", 0),
        ("1111111111111117", "1111111111111117", 0),
        ("14111111111111111", "14111111111111111", 0),
        ("41111111111111110", "41111111111111110", 0),
        ("00004111111111111111", "00004111111111111111", 0),
        // Within words: a short one, a hash, one that is no hexadecimal.
        ("abc4111111111111111def", "abc************1111def", 1),
        ("deadbeef4111111111111111", "deadbeef4111111111111111", 0),
        ("deadbee4111111111111111", "deadbee************1111", 1),
        ("xeadbeef4111111111111111", "xeadbeef************1111", 1),
        ("deadbeefdeadbeefdeadbeef 4111111111111111", "deadbeefdeadbeefdeadbeef ************1111", 1),
        // Columns of a table and lines do not join.
        ("4111    1111    1111    1111", "4111    1111    1111    1111", 0),
        ("4111 1111\n1111 1111", "4111 1111\n1111 1111", 0),
        ("4111:1111:1111:1111", "4111:1111:1111:1111", 0),
        ("", "", 0),
    ] {
        assert_eq!(masked(text), (result.to_owned(), count), "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_keep_their_length_and_change_digits_only(mut bytes in prop::collection::vec(prop::sample::select(b"0123456789 -4111x\n\xc2\xa0\xe2\x80\x93".to_vec()), 0..400)) {
        let before = bytes.clone();
        redact(&mut bytes, &mut Vec::new());
        prop_assert_eq!(before.len(), bytes.len());
        for (old, new) in before.iter().zip(&bytes) {
            prop_assert!(old == new || (old.is_ascii_digit() && *new == b'*'));
        }
        let once = bytes.clone();
        let mut found = Vec::new();
        redact(&mut bytes, &mut found);
        prop_assert!(found.is_empty() && bytes == once, "masking again finds nothing");
    }

    /// A text in two blocks shows no more of a number than in one.
    #[test]
    fn a_number_across_a_cut_is_masked(seed in any::<u64>(), filler in prop::sample::select(vec!["x", "a b", "7 ", "lorem, ipsum", "0f"]), lead in 0_usize..60, cut in 1_usize..200) {
        let mut random = Random(seed);
        let card = card(&mut random);
        let text = format!("{}!{card}!{}", filler.repeat(lead), filler.repeat(40));
        let mut first = text.as_bytes()[..cut.min(text.len())].to_vec();
        let (length, kind) = safe_cut(&first);
        let mut second = first.split_off(length);
        second.extend_from_slice(&text.as_bytes()[cut.min(text.len())..]);
        redact(&mut first, &mut Vec::new());
        redact(&mut second, &mut Vec::new());
        if kind == Cut::Dirty {
            mask_end(&mut first);
            mask_start(&mut second);
        }
        let result = String::from_utf8([first, second].concat()).unwrap();
        prop_assert!(!result.contains(&card[..card.len() - 4]), "{}", result);
    }
}
