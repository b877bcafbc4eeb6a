//! Numbers as C's `%.14g` prints them, and Lua with it.

use base::saturated::Saturated;
use std::io::Write;

/// Digits of Lua's `tostring`.
const DIGITS: usize = 14;
/// Integers below this have no more digits than that.
const EXACT: u64 = 100_000_000_000_000;
/// Decimal places that are tried before a number is taken apart: most numbers of people have few.
const PLACES: [(u64, usize); 2] = [(100, 2), (1_000_000, 6)];

/// Appends a number as LuaJIT's `tostring` shows it.
pub fn push(out: &mut Vec<u8>, value: f64) {
    push_digits(out, value, DIGITS);
}

/// Appends a number as `ngx.print`, `ngx.log` and `sock:send` show it: as C does, which knows a sign of what is no number,
/// and whole numbers as such, which have no negative zero.
pub fn push_printed(out: &mut Vec<u8>, value: f64) {
    if value == 0.0 {
        out.push(b'0');
    } else if value.is_nan() && value.is_sign_negative() {
        out.extend_from_slice(b"-nan");
    } else {
        push(out, value);
    }
}

/// Appends a number as C's `%.*g` prints it with `digits` digits, from 1 to 17.
#[inline]
pub(crate) fn push_digits(out: &mut Vec<u8>, value: f64, digits: usize) {
    let whole = i64::saturated(value);
    if digits >= DIGITS && whole as f64 == value && whole.unsigned_abs() < EXACT {
        return push_integer(out, value.is_sign_negative(), whole.unsigned_abs());
    }
    push_other(out, value, digits);
}

fn push_other(out: &mut Vec<u8>, value: f64, digits: usize) {
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    }
    if (DIGITS..=DIGITS + 1).contains(&digits) && push_decimal(out, value) {
        return;
    }
    let mut text = Text::default();
    // Writing to a Text does not fail.
    let _ = write!(text, "{value:.*e}", digits.saturating_sub(1));
    text.lay_out(out, digits);
}

/// Appends a number that is the nearest to a decimal of few places; false if it is none, or not of a middling size.
///
/// A decimal of at most 14 digits that reads as the number is also the number rounded to 14 digits, since numbers lie more
/// than ten times as close to each other as such decimals. That it reads as the number is seen by a division of two exact
/// numbers, which is rounded correctly.
fn push_decimal(out: &mut Vec<u8>, value: f64) -> bool {
    let size = value.abs();
    for (scale, places) in PLACES {
        let whole = u64::saturated(size * scale as f64 + 0.5);
        if size < 1e-3 || whole >= EXACT || whole as f64 / scale as f64 != size {
            continue;
        }
        let (mut fraction, mut places) = (whole % scale, places);
        push_integer(out, value < 0.0, whole / scale);
        while fraction.is_multiple_of(10) && places > 1 {
            fraction /= 10;
            places -= 1;
        }
        out.push(b'.');
        let start = out.len();
        out.resize(start + places, b'0');
        for place in out.iter_mut().skip(start).rev() {
            *place = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        return true;
    }
    false
}

#[inline]
fn push_integer(out: &mut Vec<u8>, negative: bool, size: u64) {
    if negative {
        out.push(b'-');
    }
    if size < 10 {
        return out.push(b'0' + u8::saturated(size));
    }
    let mut rest = size;
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        if let Some(digit) = digits.get_mut(start) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// A number in Rust's exponential form, without allocation.
#[derive(Default)]
struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.bytes.get_mut(self.length..self.length + bytes.len()).ok_or(std::io::ErrorKind::WriteZero)?;
        room.copy_from_slice(bytes);
        self.length += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Text {
    /// Sign, digits with their point, exponent.
    fn parts(&self) -> (bool, &[u8], i32) {
        let text = self.bytes.get(..self.length).unwrap_or_default();
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let at = memchr::memchr(b'e', text).unwrap_or(text.len());
        let (mantissa, exponent) = text.split_at(at);
        let (sign, exponent) = match exponent {
            [b'e', b'-', rest @ ..] => (-1, rest),
            [b'e', rest @ ..] => (1, rest),
            rest => (1, rest),
        };
        let size = exponent.iter().fold(0, |value, byte| value * 10 + i32::from(byte & 15));
        (negative, mantissa, sign * size)
    }

    /// Appends it in the form that `%g` chooses.
    fn lay_out(&self, out: &mut Vec<u8>, digits: usize) {
        let (negative, mantissa, exponent) = self.parts();
        let (first, rest) = match mantissa {
            [first, b'.', rest @ ..] => (*first, rest),
            [first, ..] => (*first, [].as_slice()),
            [] => return,
        };
        let kept = rest.iter().rposition(|byte| *byte != b'0').map_or(0, |last| last + 1);
        let rest = rest.get(..kept).unwrap_or_default();
        if negative {
            out.push(b'-');
        }
        let fixed = exponent >= -4 && usize::try_from(exponent).is_ok_and(|exponent| exponent < digits) || (-4..0).contains(&exponent);
        if !fixed {
            out.push(first);
            if !rest.is_empty() {
                out.push(b'.');
                out.extend_from_slice(rest);
            }
            let sign = if exponent < 0 { '-' } else { '+' };
            // Writing to a Vec does not fail.
            let _ = write!(out, "e{sign}{:02}", exponent.abs());
            return;
        }
        if exponent < 0 {
            out.extend_from_slice(b"0.");
            out.extend((1..-exponent).map(|_| b'0'));
            out.push(first);
            out.extend_from_slice(rest);
            return;
        }
        let whole = usize::try_from(exponent).unwrap_or(0);
        out.push(first);
        match rest.split_at_checked(whole) {
            Some((whole, [])) => out.extend_from_slice(whole),
            Some((whole, fraction)) => {
                out.extend_from_slice(whole);
                out.push(b'.');
                out.extend_from_slice(fraction);
            }
            None => {
                out.extend_from_slice(rest);
                out.extend((rest.len()..whole).map(|_| b'0'));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;
    use base::xorshift::Xorshift;

    fn text(value: f64, digits: usize) -> String {
        let mut out = Vec::new();
        super::push_digits(&mut out, value, digits);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_the_api_prints_them() {
        for (value, expected) in [(-0.0, "0"), (0.0, "0"), (-f64::NAN, "-nan"), (f64::NAN, "nan"), (-1.5, "-1.5"), (1e15, "1e+15")] {
            let mut out = Vec::new();
            super::push_printed(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn as_c_prints_them() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-17.0, "-17"),
            (3.25, "3.25"),
            (9.99, "9.99"),
            (0.1 + 0.2, "0.3"),
            (1e14, "1e+14"),
            (123456789012345.0, "1.2345678901234e+14"),
            (99999999999999.0, "99999999999999"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.5e300, "1.5e+300"),
            (1e100, "1e+100"),
            (5e-324, "4.9406564584125e-324"),
            (f64::INFINITY, "inf"),
            (2.0_f64.powi(53), "9.007199254741e+15"),
            // Ties go to the even digit.
            (1234567890122.5_f64 * 10.0, "12345678901225"),
            (1234567890123.25, "1234567890123.2"),
            (1234567890123.75, "1234567890123.8"),
        ] {
            assert_eq!(text(value, 14), expected);
        }
        assert_eq!(text(1234.5, 2), "1.2e+03");
        assert_eq!(text(0.000123456, 3), "0.000123");
        assert_eq!(text(120.0, 3), "120");
        assert_eq!(text(0.1, 17), "0.10000000000000001");
        assert_eq!(text(2.0_f64.powi(53) + 2.0, 16), "9007199254740994");
    }

    /// LuaJIT's own formatter is the judge of numbers of all sizes.
    #[test]
    fn as_luajit_prints_them() {
        let mut random = Xorshift::new(0x9e37_79b9_7f4a_7c15);
        let mut values = Vec::new();
        for round in 0..3000 {
            let seed = random.draw();
            let any = f64::from_bits(seed);
            let decimal = (seed >> 34) as f64 / 10.0_f64.powi(round % 12);
            values.extend([any, decimal].into_iter().filter(|value| value.is_finite()));
        }
        for digits in [1, 5, 14, 15, 16, 17] {
            for chunk in values.chunks(200) {
                let list: Vec<String> = chunk.iter().map(|value| format!("string.format('%.{digits}g', {value:e})")).collect();
                let expected = evaluate(&list.join(", "));
                let ours: Vec<String> = chunk.iter().map(|value| text(*value, digits)).collect();
                assert_eq!(ours.join(" "), expected);
            }
        }
    }
}
