//! Masking of card numbers to their last four digits.
//!
//! A card number is a run of digits of a known issuer's range and length that passes Luhn, with spaces and
//! dashes allowed between digits. It is none if a digit stands right before or after it, nor within a
//! hexadecimal word of 24 letters and digits or more. Wherever two readings are possible both are masked.
//!
//! Digits become `*` where they stand, so that lengths and offsets stay.

use std::ops::Range;

/// Shortest and longest number of any issuer.
const SHORTEST: usize = 13;
const LONGEST: usize = 19;
/// How far apart the bytes are that are looked at first.
const STRIDE: usize = 4;
/// A hexadecimal word of this length is a hash or a key.
const HASH: usize = 24;
/// More spaces and dashes than this stand between columns of a table rather than within a number.
const WIDEST_GAP: usize = 3;

/// Masks the card numbers in `text`. `found` gets the offset of each, in order; its earlier content is lost.
///
/// A number must lie in `text` as a whole: cut texts with [`safe_cut`].
pub fn redact(text: &mut [u8], found: &mut Vec<usize>) {
    found.clear();
    // Of the bytes at every fourth place, a number has three in a row at least.
    let (mut at, mut in_a_row, mut done) = (0, 0_u8, 0);
    while let Some(byte) = text.get(at) {
        in_a_row = (in_a_row << 1 | u8::from(CLASS[usize::from(*byte)])) & 0b111;
        if in_a_row != 0b111 {
            at += STRIDE;
            continue;
        }
        let is_class = |byte: &&u8| CLASS[usize::from(**byte)];
        let start = at - text[done..at].iter().rev().take_while(is_class).count();
        let end = at + text[at..].iter().take_while(is_class).count();
        if text[start..end].iter().filter(|byte| byte.is_ascii_digit()).count() >= SHORTEST {
            mask_run(text, start..end, found);
        }
        (at, in_a_row, done) = (end + 1, 0, end);
    }
}

/// Masks the card numbers in a name or another short text.
pub fn redacted(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    redact(&mut bytes, &mut Vec::new());
    // Digits only were replaced, so that this is UTF-8 still.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where a text that goes on may be cut so that no number is cut: the end of the longest such start of it.
///
/// If there is none (a megabyte of nothing but letters, digits, spaces and dashes), the cut is at the end, and
/// after [`redact`] the digits that a number across it could have must be masked on both sides, with
/// [`mask_end`] and [`mask_start`].
pub fn safe_cut(text: &[u8]) -> (usize, Cut) {
    let plain = |byte: &u8| !CLASS[usize::from(*byte)] && !byte.is_ascii_alphanumeric();
    if let Some(at) = text.iter().rposition(plain) {
        return (at + 1, Cut::Clean);
    }
    // A space after a letter is never within a number, and ends a word.
    let ends_word = |pair: &[u8]| pair[0].is_ascii_alphabetic() && matches!(pair[1], b' ' | b'-');
    match text.windows(2).rposition(ends_word) {
        Some(at) => (at + 2, Cut::Clean),
        None => (text.len(), Cut::Dirty),
    }
}

/// How a text was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// No number lies across the cut.
    Clean,
    /// One might.
    Dirty,
}

/// Masks what could be the end of a number that started before a [`Cut::Dirty`].
pub fn mask_start(text: &mut [u8]) {
    mask_digits(text.iter_mut());
}

/// Masks what could be the start of a number that goes on after a [`Cut::Dirty`].
pub fn mask_end(text: &mut [u8]) {
    mask_digits(text.iter_mut().rev());
}

fn mask_digits<'a>(text: impl Iterator<Item = &'a mut u8>) {
    text.take_while(|byte| CLASS[usize::from(**byte)] || **byte == b'*')
        .filter(|byte| byte.is_ascii_digit() || **byte == b'*')
        .take(LONGEST - 1)
        .for_each(|byte| *byte = b'*');
}

/// Which bytes may occur in a number: digits, separators, and parts of separators of more than one byte.
static CLASS: [bool; 256] = {
    let mut class = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = matches!(byte as u8, 0 | b'0'..=b'9' | b' ' | b'-' | 0xC2 | 0xA0 | 0xE2 | 0x80 | 0x87..=0x93 | 0xAF);
        byte += 1;
    }
    class
};

/// The length of the space or dash at the start of `text`: ASCII, or no-break and typographic ones in UTF-8. The
/// zeros between the characters of UTF-16, which some programs append to files of another encoding, count too.
fn separator(text: &[u8]) -> Option<usize> {
    match text {
        [0 | b' ' | b'-', ..] => Some(1),
        [0xC2, 0xA0, ..] => Some(2),
        [0xE2, 0x80, 0x87..=0x8A | 0x90..=0x93 | 0xAF, ..] => Some(3),
        _ => None,
    }
}

/// A stretch of digits without anything between.
#[derive(Clone, Copy)]
struct Group {
    start: usize,
    end: usize,
    /// Whether a number may go on from the group before.
    joined: bool,
}

/// Looks at one run of digits and separators.
fn mask_run(text: &mut [u8], run: Range<usize>, found: &mut Vec<usize>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut at = run.start;
    let mut joined = false;
    let mut gap = 0;
    while at < run.end {
        if text[at].is_ascii_digit() {
            let length = text[at..run.end].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let group = Group { start: at, end: at + length, joined: joined && gap <= WIDEST_GAP };
            // A longer stretch is a longer number, and neither it nor a hash is part of a card's.
            joined = length <= LONGEST && !in_hash(text, group);
            if joined {
                groups.push(group);
            }
            gap = 0;
            at += length;
        } else if let Some(length) = separator(&text[at..]) {
            gap += 1;
            at += length;
        } else {
            joined = false;
            at += 1;
        }
    }
    let mut windows: Vec<Range<usize>> = Vec::new();
    for first in 0..groups.len() {
        let mut digits = Digits::default();
        for (index, group) in groups[first..].iter().enumerate() {
            if (index > 0 && !group.joined) || !digits.add(&text[group.start..group.end]) {
                break;
            }
            if digits.is_card() {
                windows.push(groups[first].start..group.end);
            }
        }
    }
    if windows.is_empty() {
        return;
    }
    // Numbers that overlap are readings of one; those that do not are several.
    let mut by_end: Vec<&Range<usize>> = windows.iter().collect();
    by_end.sort_by_key(|window| window.end);
    let mut counted_to = 0;
    for window in by_end {
        if window.start >= counted_to {
            found.push(window.start);
            counted_to = window.end;
        }
    }
    for window in windows {
        let mut kept = 4;
        // The last four are kept by counting from the end; digits masked by another reading count too.
        for byte in text[window].iter_mut().rev().filter(|byte| byte.is_ascii_digit() || **byte == b'*') {
            if kept > 0 {
                kept -= 1;
            } else {
                *byte = b'*';
            }
        }
    }
}

/// Whether a group lies in a hexadecimal word of [`HASH`] letters and digits or more.
fn in_hash(text: &[u8], group: Group) -> bool {
    /// Farther letters do not count, so that a megabyte of one word takes no longer than others.
    const REACH: usize = 512;
    let is_word = |byte: &&u8| byte.is_ascii_alphanumeric();
    let before = text[..group.start].iter().rev().take(REACH).take_while(is_word).count();
    let after = text[group.end..].iter().take(REACH).take_while(is_word).count();
    let word = &text[group.start - before..group.end + after];
    word.len() >= HASH && word.iter().all(u8::is_ascii_hexdigit)
}

/// The digits of what may be a number, in order.
#[derive(Default)]
struct Digits {
    digits: [u8; LONGEST],
    count: usize,
}

impl Digits {
    /// Adds a group; refuses if there are more than a number has.
    fn add(&mut self, group: &[u8]) -> bool {
        let Some(place) = self.digits.get_mut(self.count..self.count + group.len()) else { return false };
        for (digit, byte) in place.iter_mut().zip(group) {
            *digit = byte - b'0';
        }
        self.count += group.len();
        true
    }

    fn is_card(&self) -> bool {
        self.count >= SHORTEST && self.is_issued() && self.passes_luhn()
    }

    fn is_issued(&self) -> bool {
        let start = |length: usize| {
            self.digits[..length].iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(*digit))
        };
        let (two, three, four) = (start(2), start(3), start(4));
        match self.count {
            // Maestro may have any length.
            13..=19 if matches!(four, 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763) => true,
            // Visa.
            13 | 16 | 19 if self.digits[0] == 4 => true,
            // Diners.
            14 => matches!(two, 36 | 38) || matches!(three, 300..=305),
            // American Express.
            15 => matches!(two, 34 | 37),
            // Mastercard.
            16 if matches!(two, 51..=55) || matches!(four, 2221..=2720) => true,
            // Discover, JCB, UnionPay, Mir.
            16..=19 => {
                four == 6011
                    || matches!(three, 644..=649)
                    || matches!(two, 62 | 65)
                    || matches!(four, 3528..=3589 | 2200..=2204)
            }
            _ => false,
        }
    }

    fn passes_luhn(&self) -> bool {
        let sum: u32 = self.digits[..self.count]
            .iter()
            .rev()
            .enumerate()
            .map(|(place, digit)| {
                let digit = u32::from(*digit);
                match (place % 2, digit) {
                    (0, _) => digit,
                    (_, 0..=4) => digit * 2,
                    _ => digit * 2 - 9,
                }
            })
            .sum();
        sum.is_multiple_of(10)
    }
}

#[cfg(test)]
mod tests;
