//! The block of header lines on top of a stored message, as amavis writes it, and how it is told from the message.
//!
//! ```text
//! Return-Path: <sender>
//! Delivered-To: spam-quarantine
//! X-Envelope-From: <sender>
//! X-Envelope-To: <a@example.org>,
//!  <b@example.org>
//! X-Envelope-To-Blocked: <b@example.org>
//! X-Quarantine-ID: <VO57UrVC_Rxf>
//! X-Spam-Status: …                                  lines handed in
//! X-Tamis-Mail: <sender>%20BODY=8BITMIME            only if there were parameters
//! X-Tamis-Rcpt: b@example.org <b@example.org>%20…   only if there were parameters
//! X-Tamis-Stored: VO57UrVC_Rxf octets=2048 time=1700000000000 class=spam verdict=spam score=8.5
//! …the original…
//! ```
//! `X-Tamis-Stored` ends the block. It names the id, which no sender can know, so that no message can end the block
//! of its own file early or late.
//!
//! Files of amavis have no such line. There the block is the fields known by name; what follows, amavis' own `Received`
//! lines first, counts as the message.
//!
//! **Line ends.** amavis keeps messages with LF alone, and reads no others. So a message whose every line ends in CRLF
//! is stored with LF alone (the block as well), and gets its CRLF back when it is read; a message in which a bare CR or
//! LF occurs is stored octet for octet below a block with CRLF. The end of the first line tells which it is.

mod read;
mod write;

pub(super) use read::{Fields, read};
pub(super) use write::{LineEnds, write};

pub(super) const STORED: &str = "X-Tamis-Stored";
pub(super) const MAIL: &str = "X-Tamis-Mail";
pub(super) const RCPT: &str = "X-Tamis-Rcpt";

/// What stands in no header line of the block as it is: `%` and all that is not visible ASCII.
fn encode(octets: &[u8]) -> String {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut text = String::with_capacity(octets.len());
    for &octet in octets {
        if octet.is_ascii_graphic() && octet != b'%' {
            text.push(char::from(octet));
        } else {
            text.push('%');
            for nibble in [octet >> 4, octet & 15] {
                text.push(HEX.get(usize::from(nibble)).copied().unwrap_or('0'));
            }
        }
    }
    text
}

/// Undoes [`encode`]; a `%` without two hexadecimal digits stays.
fn decode(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let (b'%', [high, low, after @ ..]) = (first, tail)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            octets.push(high << 4 | low);
            rest = after;
        } else {
            octets.push(*first);
            rest = tail;
        }
    }
    octets
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests;
