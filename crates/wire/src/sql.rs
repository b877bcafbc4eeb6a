//! Literals of SQL.

/// Appends `text` as a string literal of MySQL, quotes included (MySQL manual, 11.1.1); a backslash goes before the bytes of `also` too.
pub fn push_literal(text: &[u8], also: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for &byte in text {
        let letter = match byte {
            0 => b'0',
            8 => b'b',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            26 => b'Z',
            b'\\' | b'\'' | b'"' => byte,
            _ if also.contains(&byte) => byte,
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_would_end_a_literal_is_escaped() {
        let mut out = Vec::new();
        super::push_literal(b"a'b\"c\\d\0\n\x1a", b"", &mut out);
        assert_eq!(out, br#"'a\'b\"c\\d\0\n\Z'"#);
    }
}
