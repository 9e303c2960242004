//! Where in a line its time stands.

use memchr::memmem;

/// What separates the words of a line.
const SEPARATORS: &[u8] = b" \t|,;[](){}<>\"'\0";
/// The same by byte, as every line is looked at.
static IS_SEPARATOR: [bool; 256] = {
    let mut is_separator = [false; 256];
    let mut index = 0;
    while index < SEPARATORS.len() {
        is_separator[SEPARATORS[index] as usize] = true;
        index += 1;
    }
    is_separator
};

/// How many words of a line are looked at, and how many bytes.
const WORDS: usize = 12;
const REACH: usize = 512;
/// How far a key is looked for: structured lines may have it after the message.
const KEY_REACH: usize = 8 * 1024;

/// Whether a byte separates words.
pub(super) fn is_separator(byte: u8) -> bool {
    IS_SEPARATOR[usize::from(byte)]
}

/// A place that times were found at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The word of this number, or what follows a colon or an equals sign in it.
    Word(usize),
    /// After this text, such as `"time":"` or `ts=`.
    After(Vec<u8>),
}

impl Place {
    /// Gives what `parse` makes of the text at this place, and where that ends within the line.
    pub(super) fn find<T>(
        &self,
        line: &[u8],
        parse: impl Fn(&[u8]) -> Option<(T, usize)>,
    ) -> Option<(T, usize)> {
        let at = |start: usize| parse(line.get(start..)?).map(|(read, length)| (read, start + length));
        match self {
            Self::Word(0) => {
                // By far the most times are at the very start of the word.
                let first = line.iter().position(|byte| !is_separator(*byte))?;
                at(first).or_else(|| {
                    starts(line).take_while(|start| start.0 == 0).skip(1).find_map(|(_, start)| at(start))
                })
            }
            // Words before the time may come and go: the one it was seen at is tried first, then its neighbours.
            Self::Word(number) => {
                let exact = starts(line).filter(|start| start.0 == *number).find_map(|(_, start)| at(start));
                exact.or_else(|| {
                    starts(line)
                        .take_while(|start| start.0 <= number + 3)
                        .filter(|start| start.0 != *number)
                        .find_map(|(_, start)| at(start))
                })
            }
            Self::After(key) => memmem::find_iter(&line[..line.len().min(KEY_REACH)], key)
                .filter(|found| *found == 0 || !line[found - 1].is_ascii_alphanumeric())
                .find_map(|found| at(found + key.len())),
        }
    }
}

/// Where times may start: the number of the word, and the offset.
pub(super) fn starts(line: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let line = &line[..line.len().min(REACH)];
    let mut next = 0;
    let words = std::iter::from_fn(move || {
        let start = next + line[next..].iter().position(|byte| !is_separator(*byte))?;
        let length = line[start..].iter().position(|byte| is_separator(*byte));
        let end = length.map_or(line.len(), |length| start + length);
        next = end;
        Some((start, end))
    });
    words.take(WORDS).enumerate().flat_map(move |(number, (start, end))| {
        let inner = line[start..end.min(start + 64)]
            .iter()
            .enumerate()
            .filter(|(_, byte)| matches!(byte, b'=' | b':'))
            .map(move |(index, _)| (number, start + index + 1));
        std::iter::once((number, start)).chain(inner)
    })
}

/// The key that a time at `start` belongs to, with all that stands between: `"time":"`, `ts=`, `Start-Date: `, `audit(`.
pub(super) fn key_before(line: &[u8], start: usize) -> Option<&[u8]> {
    let skip = |mut at: usize, marks: &[u8]| {
        while at > 0 && start - at < 4 && marks.contains(&line[at - 1]) {
            at -= 1;
        }
        at
    };
    let mark = skip(start, b"\"' ");
    if mark == 0 || !matches!(line[mark - 1], b'=' | b':' | b'(') {
        return None;
    }
    let end = skip(mark - 1, b"\"'");
    let is_key = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@' | b'$' | b'-');
    let length = line[..end].iter().rev().take(24).take_while(|byte| is_key(byte)).count();
    let key = &line[end - length..end];
    if !key.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'@' | b'$')) {
        return None;
    }
    let quoted = end - length > 0 && matches!(line[end - length - 1], b'"' | b'\'');
    Some(&line[end - length - usize::from(quoted)..start])
}

/// Whether a key, as [`key_before`] gives it, is one that names the time of the entry itself.
pub(super) fn names_the_time(key: &[u8]) -> bool {
    const NAMES: [&str; 17] = [
        "time",
        "ts",
        "t",
        "timestamp",
        "@timestamp",
        "date",
        "datetime",
        "$date",
        "asctime",
        "eventtime",
        "@t",
        "audit",
        "epoch",
        "logtime",
        "log_time",
        "time_local",
        "created_at",
    ];
    let name: Vec<u8> = key
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@' | b'$'))
        .map(u8::to_ascii_lowercase)
        .collect();
    NAMES.iter().any(|known| known.as_bytes() == name)
}
