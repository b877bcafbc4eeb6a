//! Sizes, times and numbers as `nginx.conf` spells them.

/// Parses a decimal number; digits only, as `ngx_atoi`.
pub fn parse_number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for &byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    Some(value)
}

/// A port: decimal digits and nothing else, 1 to 65535.
#[must_use]
pub fn parse_port(text: &[u8]) -> Option<u16> {
    parse_number(text).and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0)
}

/// Parses a size in bytes: `4096`, `8k`, `1m`; with `gigabytes` also `1g`.
///
/// Rule: nginx manual, "Configuration file measurement units". `None` on bad syntax or overflow.
pub fn parse_size(text: &[u8], gigabytes: bool) -> Option<u64> {
    let (&last, digits) = text.split_last()?;
    let shift = match last {
        b'k' | b'K' => 10,
        b'm' | b'M' => 20,
        b'g' | b'G' if gigabytes => 30,
        _ => return parse_number(text),
    };
    let value = parse_number(digits)?;
    let scaled = value.checked_shl(shift)?;
    (scaled >> shift == value && scaled <= i64::MAX as u64).then_some(scaled)
}

/// Parses a time into milliseconds: `30s`, `1h 30m`, `500ms`; a bare number is seconds.
///
/// Units must fall (`1d 2h` is right, `2h 1d` is not). Rule: nginx manual, "Configuration file measurement units".
pub fn parse_time_ms(text: &[u8]) -> Option<u64> {
    parse_time(text, true)
}

/// Parses a time into whole seconds; `ms` is not a unit here.
pub fn parse_time_sec(text: &[u8]) -> Option<u64> {
    parse_time(text, false)
}

/// Units from the greatest to the smallest, with their length in seconds.
const UNITS: [(u8, u64); 6] = [(b'y', 31_536_000), (b'M', 2_592_000), (b'w', 604_800), (b'd', 86_400), (b'h', 3_600), (b'm', 60)];

fn parse_time(text: &[u8], milliseconds: bool) -> Option<u64> {
    let factor: u64 = if milliseconds { 1000 } else { 1 };
    let mut total: u64 = 0;
    let mut rest = text;
    let mut step = 0;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let value = parse_number(rest.get(..digits)?)?;
        rest = rest.get(digits..)?;
        any = true;
        let (scale, rank, used) = unit(rest, milliseconds)?;
        if rank < step || (rank == step && step != 0 && used == 0) {
            return None;
        }
        step = rank + 1;
        rest = rest.get(used..)?;
        let part = if scale == 0 { value } else { value.checked_mul(scale)?.checked_mul(factor)? };
        total = total.checked_add(part)?;
        while let Some((b' ', tail)) = rest.split_first() {
            rest = tail;
        }
    }
    (any && total <= i64::MAX as u64).then_some(total)
}

/// The unit at the head of `rest`: (seconds, or 0 for milliseconds; rank; bytes used).
fn unit(rest: &[u8], milliseconds: bool) -> Option<(u64, usize, usize)> {
    let Some(&letter) = rest.first() else { return Some((1, 6, 0)) };
    if letter == b'm' && rest.get(1) == Some(&b's') {
        return milliseconds.then_some((0, 7, 2));
    }
    if letter == b's' {
        return Some((1, 6, 1));
    }
    if letter == b' ' {
        return Some((1, 6, 1));
    }
    let rank = UNITS.iter().position(|(name, _)| *name == letter)?;
    Some((UNITS.get(rank)?.1, rank, 1))
}

/// Parses a number with `decimals` digits after the point into that fixed-point integer, as `ngx_atofp` (`10.5`, 2 -> 1050).
pub fn parse_fixed(text: &[u8], decimals: u32) -> Option<u64> {
    let (whole, fraction) = match text.iter().position(|&b| b == b'.') {
        Some(dot) => (text.get(..dot)?, text.get(dot + 1..)?),
        None => (text, &[][..]),
    };
    if whole.is_empty() || fraction.len() > decimals as usize || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut value = parse_number(whole)?;
    for place in 0..decimals as usize {
        let digit = fraction.get(place).map_or(0, |b| u64::from(b - b'0'));
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    Some(value)
}

/// Appends a decimal number without allocating.
pub fn push_number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        if let Some(slot) = digits.get_mut(at) {
            *slot = b'0' + (value % 10) as u8;
        }
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Appends a status with at least three digits, as status lines and logs show it.
pub fn push_status(out: &mut Vec<u8>, status: u16) {
    for limit in [100, 10] {
        if status < limit {
            out.push(b'0');
        }
    }
    push_number(out, u64::from(status));
}

/// Appends `value` in lower-case hexadecimal, without leading zeros.
pub fn push_hex(out: &mut Vec<u8>, value: u64) {
    let mut shift = (63 - (value | 1).leading_zeros()) / 4;
    loop {
        let nibble = (value >> (shift * 4)) & 15;
        out.push(b"0123456789abcdef".get(nibble as usize).copied().unwrap_or(b'0'));
        if shift == 0 {
            break;
        }
        shift -= 1;
    }
}

/// Appends seconds with three decimals from a duration in milliseconds: `0.015`.
pub fn push_seconds(out: &mut Vec<u8>, milliseconds: u64) {
    push_number(out, milliseconds / 1000);
    let rest = milliseconds % 1000;
    out.extend_from_slice(&[b'.', b'0' + (rest / 100) as u8, b'0' + (rest / 10 % 10) as u8, b'0' + (rest % 10) as u8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_digits_alone() {
        let table: [(&str, Option<u16>); 9] = [
            ("1", Some(1)),
            ("65535", Some(65535)),
            ("0080", Some(80)),
            ("0", None),
            ("65536", None),
            ("", None),
            ("+80", None),
            ("-1", None),
            ("8 ", None),
        ];
        for (text, port) in table {
            assert_eq!(parse_port(text.as_bytes()), port, "{text}");
        }
    }

    #[test]
    fn a_status_has_three_digits() {
        for (status, text) in [(0, "000"), (9, "009"), (42, "042"), (404, "404")] {
            let mut out = Vec::new();
            push_status(&mut out, status);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn sizes() {
        for (text, want) in [
            ("10", Some(10)),
            ("8k", Some(8192)),
            ("1M", Some(1 << 20)),
            ("1g", None),
            ("k", None),
            ("1kk", None),
            ("", None),
            ("-1", None),
        ] {
            assert_eq!(parse_size(text.as_bytes(), false), want, "{text}");
        }
        assert_eq!(parse_size(b"2g", true), Some(2 << 30));
        assert_eq!(parse_size(b"99999999999999g", true), None);
    }

    #[test]
    fn times() {
        for (text, want) in [
            ("30", Some(30_000)),
            ("30s", Some(30_000)),
            ("500ms", Some(500)),
            ("1m", Some(60_000)),
            ("1h 30m", Some(5_400_000)),
            ("1h30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("1m 1h", None),
            ("1s 1s", None),
            ("", None),
            ("s", None),
            ("1x", None),
            ("68000ms", Some(68_000)),
        ] {
            assert_eq!(parse_time_ms(text.as_bytes()), want, "{text}");
        }
        assert_eq!(parse_time_sec(b"1h"), Some(3600));
        assert_eq!(parse_time_sec(b"10ms"), None);
    }

    #[test]
    fn numbers_out() {
        let mut out = Vec::new();
        push_number(&mut out, 0);
        out.push(b' ');
        push_number(&mut out, u64::MAX);
        out.push(b' ');
        push_hex(&mut out, 0);
        out.push(b' ');
        push_hex(&mut out, 0xdead_beef);
        out.push(b' ');
        push_seconds(&mut out, 12_034);
        assert_eq!(out, b"0 18446744073709551615 0 deadbeef 12.034");
    }

    #[test]
    fn fixed_point() {
        assert_eq!(parse_fixed(b"10.5", 2), Some(1050));
        assert_eq!(parse_fixed(b"10", 2), Some(1000));
        assert_eq!(parse_fixed(b"10.555", 2), None);
        assert_eq!(parse_fixed(b".5", 2), None);
    }
}
