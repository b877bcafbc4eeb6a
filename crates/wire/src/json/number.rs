//! Numbers, as C's `strtoll` and `strtod` read them.

/// A number that was read.
pub(super) struct ParsedNumber {
    pub(super) value: f64,
    pub(super) length: usize,
    /// It has no fraction and no exponent.
    pub(super) integer: bool,
}

/// Integers with fewer digits are exact.
const EXACT_DIGITS: usize = 16;

/// Whether a number begins in a way that JSON does not know.
pub(super) fn is_odd(text: &[u8]) -> bool {
    let unsigned = match text {
        [b'+', ..] => return true,
        [b'-', rest @ ..] => rest,
        other => other,
    };
    match unsigned {
        [b'0', next, ..] => *next | 0x20 == b'x' || next.is_ascii_digit(),
        [a, b, c, ..] => [b"inf", b"nan"].iter().any(|word| word.eq_ignore_ascii_case(&[*a, *b, *c])),
        _ => false,
    }
}

fn digits(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())
}

/// Powers of ten by which the fraction's digits divide.
const POWERS: [f64; EXACT_DIGITS] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Digits from `at` on, put behind those of `value`; where they end.
#[inline]
fn take_digits(text: &[u8], mut at: usize, value: &mut u64) -> usize {
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        *value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// The number at the beginning of `text`, if it is one of few digits that JSON knows and has no exponent, as most are.
#[inline]
pub(super) fn read_usual(text: &[u8]) -> Option<ParsedNumber> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut value = 0;
    let mut end = take_digits(text, start, &mut value);
    let whole = end - start;
    let mut next = text.get(end).copied().unwrap_or(0);
    let mut places = 0;
    if next == b'.' {
        let from = end + 1;
        end = take_digits(text, from, &mut value);
        places = end - from;
        next = text.get(end).copied().unwrap_or(0);
        if places == 0 {
            return None;
        }
    }
    let odd = whole == 0 || (whole > 1 && text.get(start) == Some(&b'0')) || matches!(next | 0x20, b'e' | b'x');
    if odd || whole + places >= EXACT_DIGITS {
        return None;
    }
    let value = value as i64 as f64;
    let integer = places == 0;
    // Both are exact, so that the quotient is the number that is nearest to the decimal.
    let value = if integer { value } else { value / POWERS.get(places)? };
    // An integer has no negative zero.
    let value = if negative && !(integer && value == 0.0) { -value } else { value };
    Some(ParsedNumber { value, length: end, integer })
}

/// The number at the beginning of `text`.
pub(super) fn read(text: &[u8]) -> Option<ParsedNumber> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let whole = digits(text, sign);
    if whole == 0 && text.get(sign) != Some(&b'.') {
        return read_word(text, sign, negative);
    }
    if whole == 1 && text.get(sign) == Some(&b'0') && text.get(sign + 1).is_some_and(|byte| byte | 0x20 == b'x') {
        return Some(read_hex(text, sign, negative));
    }
    let mut end = sign + whole;
    let mut integer = true;
    if text.get(end) == Some(&b'.') {
        let fraction = digits(text, end + 1);
        if whole == 0 && fraction == 0 {
            return None;
        }
        end += 1 + fraction;
        integer = false;
    }
    if text.get(end).is_some_and(|byte| byte | 0x20 == b'e') {
        let signed = usize::from(matches!(text.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(text, end + 1 + signed);
        if exponent > 0 {
            end += 1 + signed + exponent;
            integer = false;
        }
    }
    let number = text.get(sign..end)?;
    let value = if integer && whole < EXACT_DIGITS {
        number.iter().fold(0_u64, |value, byte| value * 10 + u64::from(byte - b'0')) as f64
    } else {
        std::str::from_utf8(number).ok()?.parse().ok()?
    };
    // An integer has no negative zero.
    let value = if negative && !(integer && value == 0.0) { -value } else { value };
    Some(ParsedNumber { value, length: end, integer })
}

fn read_word(text: &[u8], sign: usize, negative: bool) -> Option<ParsedNumber> {
    let rest = text.get(sign..)?;
    for (word, value) in [("infinity", f64::INFINITY), ("inf", f64::INFINITY), ("nan", f64::NAN)] {
        if rest.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes())) {
            let value = if negative { -value } else { value };
            return Some(ParsedNumber { value, length: sign + word.len(), integer: false });
        }
    }
    None
}

/// `0x1F`, `0x1.8p-3`. Without a digit behind the `x` it is a zero.
fn read_hex(text: &[u8], sign: usize, negative: bool) -> ParsedNumber {
    let start = sign + 2;
    let (mut at, mut value, mut scale, mut seen, mut point) = (start, 0.0_f64, 0_i32, false, false);
    while let Some(byte) = text.get(at) {
        match char::from(*byte).to_digit(16) {
            Some(digit) => {
                value = value * 16.0 + f64::from(digit);
                scale -= if point { 4 } else { 0 };
                seen = true;
            }
            None if *byte == b'.' && !point => point = true,
            None => break,
        }
        at += 1;
    }
    if !seen {
        return ParsedNumber { value: if negative { -0.0 } else { 0.0 }, length: sign + 1, integer: false };
    }
    if text.get(at).is_some_and(|byte| byte | 0x20 == b'p') {
        let signed = usize::from(matches!(text.get(at + 1), Some(b'-' | b'+')));
        let length = digits(text, at + 1 + signed);
        let exponent = text.get(at + 1 + signed..at + 1 + signed + length).unwrap_or_default();
        if !exponent.is_empty() {
            let size = exponent.iter().fold(0_i32, |value, byte| value.saturating_mul(10).saturating_add(i32::from(byte - b'0')));
            let size = size.min(1 << 20);
            scale = scale.saturating_add(if text.get(at + 1) == Some(&b'-') { -size } else { size });
            at += 1 + signed + length;
        }
    }
    let value = value * 2.0_f64.powi(scale);
    ParsedNumber { value: if negative { -value } else { value }, length: at, integer: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::xorshift::Xorshift;

    /// What is read where it stands is what the standard library reads.
    #[test]
    fn usual_numbers_are_exact() {
        let mut random = Xorshift::new(0x9e37_79b9_7f4a_7c15);
        for round in 0..200_000_u32 {
            let seed = random.draw();
            let places = round as usize % 16;
            let digits = format!("{:016}", seed % 10_u64.pow(round / 16 % 16 + 1));
            let (whole, fraction) = digits.split_at(16 - places);
            let sign = if seed & 1 << 60 == 0 { "" } else { "-" };
            let whole = Some(whole.trim_start_matches('0')).filter(|whole| !whole.is_empty()).unwrap_or("0");
            let text = if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
            let expected: f64 = text.parse().unwrap();
            let read = [read_usual(text.as_bytes()), read(text.as_bytes())];
            for read in read.into_iter().flatten() {
                assert_eq!((read.value, read.length, read.integer), (expected, text.len(), places == 0), "{text}");
            }
        }
        for text in ["", "-", "01", "-01", "0x1", "1e5", "1.", ".5", "+1", "1.5e", "1234567890123456", "inf"] {
            assert!(read_usual(text.as_bytes()).is_none(), "{text}");
        }
    }
}
