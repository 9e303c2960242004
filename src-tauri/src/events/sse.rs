//! Server-sent events out of a stream of bytes, as the HTML standard reads them.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: String,
    pub(super) id: Option<String>,
}

/// Reads a stream piece by piece, wherever it was cut.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed right after it ends the same line.
    after_return: bool,
    started: bool,
    event: Event,
}

/// A line longer than this is dropped: no event of ours comes near.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

impl Parser {
    /// The events that end in this piece.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in piece {
            let is_second_of_two = byte == b'\n' && std::mem::take(&mut self.after_return);
            match byte {
                _ if is_second_of_two => {}
                b'\r' | b'\n' => {
                    self.after_return = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    self.end_line(&line, &mut events);
                }
                _ => {
                    self.after_return = false;
                    if self.line.len() < LONGEST_LINE {
                        self.line.push(byte);
                    }
                }
            }
        }
        events
    }

    fn end_line(&mut self, line: &[u8], events: &mut Vec<Event>) {
        let mut line = line;
        if !std::mem::replace(&mut self.started, true) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            if event.data.is_empty() && event.name.is_empty() {
                return;
            }
            // Each line of data ended with a line feed, the last of which is no part of it.
            event.data.pop();
            events.push(event);
            return;
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            "id" => self.event.id = Some(value.to_owned()),
            // A comment, or a field that says nothing to us.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}: hello\r\n\r\nevent: status\r\ndata: {\"a\":\r\ndata:1}\r\nid: 41\r\n\r\n\
                          retry: 10\nevent:resync\ndata\n\n: still here\n\nid: 42\rdata: ā\r\r";

    #[test]
    fn events_are_read_wherever_the_stream_was_cut() {
        let expected = [
            Event { name: "status".into(), data: "{\"a\":\n1}".into(), id: Some("41".into()) },
            Event { name: "resync".into(), data: String::new(), id: None },
            Event { name: String::new(), data: "ā".into(), id: Some("42".into()) },
        ];
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let events: Vec<Event> =
                STREAM.as_bytes().chunks(size).flat_map(|piece| parser.feed(piece)).collect();
            assert_eq!(events, expected, "cut every {size} bytes");
        }
    }
}
