//! Numbers as Lua prints them: `%.14g`.

use std::io::Write;

/// Appends a number as LuaJIT's `tostring` shows it.
pub fn push(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"inf" } else { b"-inf" });
    }
    // Writing to a Vec cannot fail.
    if value == value.trunc() && value.abs() < 1e14 {
        if value == 0.0 && value.is_sign_negative() {
            out.push(b'-');
        }
        let _ = write!(out, "{}", value as i64);
        return;
    }
    let text = format!("{value:.13e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..14).contains(&exponent) {
        let start = out.len();
        let _ = write!(out, "{value:.*}", usize::try_from(13 - exponent).unwrap_or(0));
        trim(out, start);
        return;
    }
    let start = out.len();
    out.extend_from_slice(mantissa.as_bytes());
    trim(out, start);
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "e{sign}{:02}", exponent.abs());
}

/// Cuts zeros behind the point, and the point.
fn trim(out: &mut Vec<u8>, start: usize) {
    if out.get(start..).is_some_and(|digits| digits.contains(&b'.')) {
        while out.last() == Some(&b'0') {
            out.pop();
        }
        if out.last() == Some(&b'.') {
            out.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn as_c_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-17.0, "-17"),
            (3.25, "3.25"),
            (0.1 + 0.2, "0.3"),
            (1e14, "1e+14"),
            (123456789012345.0, "1.2345678901234e+14"),
            (99999999999999.0, "99999999999999"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1.5e300, "1.5e+300"),
            (1e100, "1e+100"),
            (f64::INFINITY, "inf"),
            (2.0_f64.powi(53), "9.007199254741e+15"),
        ] {
            let mut out = Vec::new();
            super::push(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
