//! How grave an entry is, by the word that says so.

use crate::ipc::Level;

/// How far into an entry its level may stand, in bytes.
const WITHIN: usize = 200;

/// The level that the first line of an entry states; none if it states none. Words in capitals count wherever
/// they stand near the start; others where a level is written: in brackets, after `level=`, or as the first word
/// after the time.
pub(super) fn level(line: &[u8]) -> Level {
    let line = &line[..line.len().min(WITHIN)];
    let mut first_word = true;
    let mut at = 0;
    while at < line.len() {
        if !line[at].is_ascii_alphabetic() {
            at += 1;
            continue;
        }
        let length =
            line[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let word = &line[at..at + length];
        let before = at.checked_sub(1).map(|before| line[before]);
        let after = line.get(at + length).copied();
        // Part of a time: `T` between date and clock, `Z`, a month, a zone.
        let is_time = before.is_some_and(|byte| byte.is_ascii_digit()) || word == b"T" || word == b"Z";
        if !is_time {
            let bracketed = matches!(before, Some(b'[' | b'<' | b'(' | b'|' | b'{'))
                || matches!(after, Some(b']' | b'>' | b'|' | b':'));
            let keyed = matches!(before, Some(b'=' | b'"' | b'\'')) && says_level(&line[..at]);
            let capital = word.iter().all(u8::is_ascii_uppercase);
            if (capital && word.len() > 1 || bracketed || keyed || first_word)
                && let Some(level) = of_word(word, bracketed || keyed || first_word)
            {
                return level;
            }
            first_word = first_word && is_month_or_day(word);
        }
        at += length;
    }
    Level::None
}

/// Whether what stands before is a key of a level, as in `level=` and `"severity": "`.
fn says_level(before: &[u8]) -> bool {
    let key: Vec<u8> = before
        .iter()
        .rev()
        .skip_while(|byte| !byte.is_ascii_alphanumeric())
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .map(u8::to_ascii_lowercase)
        .collect();
    [&b"level"[..], b"lvl", b"severity", b"loglevel", b"l"]
        .iter()
        .any(|known| key.iter().rev().eq(known.iter()))
}

fn of_word(word: &[u8], letters: bool) -> Option<Level> {
    let word = word.to_ascii_lowercase();
    Some(match word.as_slice() {
        b"fatal" | b"critical" | b"crit" | b"emerg" | b"emergency" | b"alert" | b"panic" | b"error"
        | b"err" | b"severe" => Level::Error,
        b"warn" | b"warning" | b"wrn" => Level::Warn,
        b"info" | b"information" | b"notice" | b"inf" => Level::Info,
        b"debug" | b"dbg" | b"fine" => Level::Debug,
        b"trace" | b"verbose" | b"trc" | b"vrb" => Level::Trace,
        b"f" | b"e" if letters => Level::Error,
        b"w" if letters => Level::Warn,
        b"i" if letters => Level::Info,
        b"d" if letters => Level::Debug,
        b"v" if letters => Level::Trace,
        _ => return None,
    })
}

fn is_month_or_day(word: &[u8]) -> bool {
    const KNOWN: [&[u8]; 19] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
        b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun",
    ];
    word.len() == 3 && KNOWN.contains(&word.to_ascii_lowercase().as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_where_logs_write_them() {
        for (line, expected) in [
            ("2026-11-21 10:03:11,123 ERROR Exchange failed", Level::Error),
            ("2026-11-21 10:03:11,123 INFO Exchange done, 0 errors", Level::Info),
            ("2026-11-21T10:03:11.123Z warn: disk is filling", Level::Warn),
            ("2026-11-21 10:03:11 [Error] no paper", Level::Error),
            ("2026-11-21 10:03:11 [worker-7] DEBUG asked", Level::Debug),
            ("21.11.2026 10:03:11|W|printer", Level::Warn),
            (r#"{"time":"2026-11-21T10:03:11Z","level":"error","msg":"x"}"#, Level::Error),
            ("time=2026-11-21T10:03:11Z level=info msg=\"an error was mended\"", Level::Info),
            ("E 10:03:11 it broke", Level::Error),
            ("Nov 21 10:03:11 pos kernel: an error in words is none", Level::None),
            ("2026-11-21 10:03:11 TRACE deep", Level::Trace),
            ("2026-11-21 10:03:11 FATAL out of memory", Level::Error),
            ("2026-11-21 10:03:11 Оплата прошла", Level::None),
            ("2026-11-21 10:03:11 the error of a guest", Level::None),
            ("", Level::None),
        ] {
            assert_eq!(level(line.as_bytes()), expected, "{line}");
        }
    }
}
