//! DNS names.

use super::MessageError;
use std::fmt;

/// The longest name in a message, RFC 1035.
const LONGEST: usize = 255;
const LONGEST_LABEL: usize = 63;
/// How many pointers one name may follow: real messages have one or two.
const MOST_POINTERS: usize = 10;

/// A name as it stands in messages: labels with their lengths and an empty one at the end, letters in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Reads text such as `www.example.com`; a dot at its end does not matter. No host's name has spaces or control bytes, so nobody is
    /// asked for one.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Option<Name> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        let mut out = Vec::with_capacity(text.len() + 2);
        for label in text.split(|byte| *byte == b'.') {
            if label.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
                return None;
            }
            push(&mut out, label)?;
        }
        end(out)
    }

    /// The form in messages.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Reads the name at `at`; also where what follows it begins.
    ///
    /// # Errors
    /// The message ends in it, it is too long, or a pointer in it does not lead back to a name.
    pub fn read(message: &[u8], at: usize) -> Result<(Name, usize), MessageError> {
        let mut out = Vec::with_capacity(32);
        let (mut place, mut start, mut next, mut pointers) = (at, at, None, 0);
        loop {
            let length = *message.get(place).ok_or(MessageError::Short)?;
            match length {
                0 => break,
                1..=63 => {
                    let behind = place + 1 + usize::from(length);
                    let label = message.get(place + 1..behind).ok_or(MessageError::Short)?;
                    push(&mut out, label).filter(|()| out.len() < LONGEST).ok_or(MessageError::Name)?;
                    place = behind;
                }
                0xc0.. => {
                    let low = *message.get(place + 1).ok_or(MessageError::Short)?;
                    let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                    pointers += 1;
                    if !(super::HEAD..start).contains(&target) || pointers > MOST_POINTERS {
                        return Err(MessageError::Name);
                    }
                    next = next.or(Some(place + 2));
                    (place, start) = (target, target);
                }
                _ => return Err(MessageError::Name),
            }
        }
        Ok((end(out).ok_or(MessageError::Name)?, next.unwrap_or(place + 1)))
    }
}

fn push(out: &mut Vec<u8>, label: &[u8]) -> Option<()> {
    if label.is_empty() || label.len() > LONGEST_LABEL {
        return None;
    }
    out.push(u8::try_from(label.len()).ok()?);
    out.extend(label.iter().map(u8::to_ascii_lowercase));
    Some(())
}

fn end(mut out: Vec<u8>) -> Option<Name> {
    out.push(0);
    (out.len() <= LONGEST).then(|| Name(out.into()))
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest: &[u8] = &self.0;
        let mut first = true;
        while let Some((&length, behind)) = rest.split_first() {
            let Some((label, more)) = behind.split_at_checked(usize::from(length)) else { break };
            if length > 0 {
                if !first {
                    f.write_str(".")?;
                }
                first = false;
                f.write_str(&String::from_utf8_lossy(label))?;
            }
            rest = more;
        }
        Ok(())
    }
}
