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
    let last = check_digit(&body);
    body + &last
}

/// The last digit that makes a number pass Luhn.
fn check_digit(body: &str) -> String {
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte - b'0') * if place % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    ((10 - sum % 10) % 10).to_string()
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

/// What the promise says in plain words, tried at every digit: whether a text holds a card number.
fn holds_a_card(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut starts = (0..bytes.len()).filter(|at| is_digit(*at) && (*at == 0 || !is_digit(at - 1)));
    starts.any(|start| {
        let (mut digits, mut at) = (String::new(), start);
        while digits.len() < 19 {
            if is_digit(at) {
                digits.push(char::from(bytes[at]));
            } else if !matches!(bytes.get(at), Some(b' ' | b'-')) {
                return false;
            }
            at += 1;
            let ends = digits.len() >= 13 && is_digit(at - 1) && !is_digit(at);
            if ends && is_issued(&digits) && passes_luhn(&digits) && !in_hexadecimal_word(bytes, start, at) {
                return true;
            }
        }
        false
    })
}

fn is_issued(digits: &str) -> bool {
    let start = |length: usize| digits[..length].parse::<u32>().unwrap();
    let ranges: [(usize, u32, u32, &[usize]); 19] = [
        (1, 4, 4, &[13, 16, 19]),
        (2, 51, 55, &[16]),
        (4, 2221, 2720, &[16]),
        (2, 34, 34, &[15]),
        (2, 37, 37, &[15]),
        (2, 36, 36, &[14]),
        (2, 38, 38, &[14]),
        (3, 300, 305, &[14]),
        (4, 6011, 6011, &[16, 17, 18, 19]),
        (3, 644, 649, &[16, 17, 18, 19]),
        (2, 65, 65, &[16, 17, 18, 19]),
        (4, 3528, 3589, &[16, 17, 18, 19]),
        (2, 62, 62, &[16, 17, 18, 19]),
        (4, 2200, 2204, &[16, 17, 18, 19]),
        (4, 5018, 5018, &[13, 14, 15, 16, 17, 18, 19]),
        (4, 5020, 5020, &[13, 14, 15, 16, 17, 18, 19]),
        (4, 5038, 5038, &[13, 14, 15, 16, 17, 18, 19]),
        (4, 6304, 6304, &[13, 14, 15, 16, 17, 18, 19]),
        (4, 6759, 6763, &[13, 14, 15, 16, 17, 18, 19]),
    ];
    let is_in = |(length, first, last, lengths): &(usize, u32, u32, &[usize])| {
        (*first..=*last).contains(&start(*length)) && start(4) != 6760 && lengths.contains(&digits.len())
    };
    ranges.iter().any(is_in)
}

fn passes_luhn(digits: &str) -> bool {
    let (body, last) = digits.split_at(digits.len() - 1);
    check_digit(body) == last
}

fn in_hexadecimal_word(text: &[u8], start: usize, end: usize) -> bool {
    let before = text[..start].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let after = text[end..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let word = &text[start - before..end + after];
    word.len() >= 24 && word.iter().all(u8::is_ascii_hexdigit)
}

/// What tills write that is no card number, a kind by its number.
fn no_card(kind: usize, random: &mut Random) -> String {
    let hex = |random: &mut Random, count: usize| -> String {
        (0..count).map(|_| char::from(b"0123456789abcdef"[random.below(16)])).collect()
    };
    let number = |random: &mut Random, from: usize, to: usize| {
        let length = from + random.below(to - from + 1);
        random.digits(length)
    };
    match kind {
        0 => format!("order {} paid", number(random, 6, 12)),
        1 => format!("order {} paid", number(random, 13, 19)),
        2 => format!("receipt {} printed", number(random, 20, 30)),
        3 => {
            let uuid = [8, 4, 4, 4, 12].map(|count| hex(random, count)).join("-");
            format!("request {uuid} done")
        }
        4 => {
            let length = 24 + random.below(41);
            format!("token {}", hex(random, length))
        }
        5 => format!("order 2026{} paid", random.digits(12)),
        6 => format!("2026-11-21 10:03:11.{} drawer 1 open", random.digits(3)),
        7 => format!("phone +371 2{} {} called", random.digits(3), random.digits(4)),
        8 => format!("barcode 475{} scanned, 2 at 3.50", random.digits(10)),
        9 => format!("IBAN LV{}BANK{}", random.digits(2), random.digits(13)),
        10 => format!("took 179524{} ns, {} bytes", random.digits(13), random.digits(5)),
        _ => format!("{} {} {} {}", random.digits(4), random.digits(3), random.digits(2), random.digits(3)),
    }
}

/// Numbers that only happen to look like a card's are masked: nobody can tell them apart. Nothing else is.
#[test]
fn of_a_hundred_thousand_lines_nothing_else_is_masked() {
    const KINDS: usize = 12;
    let mut random = Random(7);
    let (mut alarms, mut alike) = (0, [0; KINDS]);
    for line in 0..100_000 {
        let kind = line % KINDS;
        let text = no_card(kind, &mut random);
        let looks_like_one = holds_a_card(&text);
        let is_masked = masked(&text).1 > 0;
        assert!(is_masked || !looks_like_one, "line {line}: {text} was missed");
        alarms += usize::from(is_masked && !looks_like_one);
        alike[kind] += usize::from(looks_like_one);
    }
    println!("false alarms in 100,000 lines: {alarms}; numbers like a card's, by kind: {alike:?}");
    assert_eq!(alarms, 0);
    // Short and long order numbers, hashes, dates, phones never look like one.
    assert!([0, 2, 4, 6, 7].iter().all(|kind| alike[*kind] == 0), "{alike:?}");
    // Of the others a tenth passes Luhn by chance, if they start like an issuer's, as these barcodes do.
    assert!(alike.iter().all(|count| *count < 100_000 / KINDS / 8), "{alike:?}");
}

#[test]
fn each_issuer_has_its_range_and_its_lengths() {
    let mut random = Random(3);
    let mut known = 0;
    for start in [
        "3", "40", "49", "50", "51", "55", "56", "33", "34", "35", "36", "37", "38", "39", "299", "300",
        "305", "306", "2199", "2200", "2204", "2205", "2220", "2221", "2720", "2721", "3527", "3528", "3589",
        "3590", "5017", "5018", "5020", "5038", "6010", "6011", "6012", "61", "62", "63", "6304", "643",
        "644", "649", "65", "66", "6758", "6759", "6760", "6761", "6763", "6764",
    ] {
        for length in 12..=20 {
            let body = format!("{start}{}", random.digits(length - 1 - start.len()));
            let text = format!("{body}{}", check_digit(&body));
            let is_card = (13..=19).contains(&length) && is_issued(&text);
            known += usize::from(is_card);
            let expected = if is_card {
                format!("{}{}", "*".repeat(length - 4), &text[length - 4..])
            } else {
                text.clone()
            };
            assert_eq!(masked(&text), (expected, usize::from(is_card)), "{text}");
        }
    }
    assert!(known > 100, "{known}");
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

/// A program that writes UTF-16 may append to a file of another encoding.
#[test]
fn zeros_between_the_digits_hide_no_number() {
    for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let wide = |text: &str| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        for (text, result) in [
            ("paid by 4111 1111 1111 1111.", "paid by **** **** **** 1111."),
            ("4111111111111111", "************1111"),
            ("5500-0000-0000-0004", "****-****-****-0004"),
        ] {
            let mut text = wide(text);
            redact(&mut text, &mut Vec::new());
            assert_eq!(text, wide(result));
        }
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
