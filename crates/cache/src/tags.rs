//! Tags: words by which an upstream groups its responses, so that a group can be purged at once.

/// Calls `each` with every tag of a field: of `Cache-Tag` they are parted by commas, of `Surrogate-Key` by spaces. Other fields have none.
pub(crate) fn each_of_field(name: &[u8], value: &[u8], each: &mut dyn FnMut(&[u8])) {
    let words = |separator: fn(&u8) -> bool, each: &mut dyn FnMut(&[u8])| {
        value.split(separator).map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty()).for_each(each);
    };
    if name.eq_ignore_ascii_case(b"Cache-Tag") {
        words(|byte| *byte == b',', each);
    } else if name.eq_ignore_ascii_case(b"Surrogate-Key") {
        words(u8::is_ascii_whitespace, each);
    }
}

/// Calls `each` with every tag of a response's head: its status line and fields, as a cache file has them.
pub fn each_of_head(text: &[u8], each: &mut dyn FnMut(&[u8])) {
    for line in text.split(|byte| *byte == b'\n').skip(1) {
        if let Some((name, value)) = memchr::memchr(b':', line).and_then(|at| line.split_at_checked(at)) {
            each_of_field(name, value.get(1..).unwrap_or_default(), each);
        }
    }
}

/// Calls `each` with every tag of a list separated by commas and spaces.
pub fn each_of_list(list: &[u8], each: &mut dyn FnMut(&[u8])) {
    list.split(|byte| *byte == b',' || byte.is_ascii_whitespace()).filter(|tag| !tag.is_empty()).for_each(each);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_its_separator() {
        let text = b"200 OK\r\nCache-Tag: a b, c ,,d\r\nX: y\r\nsurrogate-key:  e  f,g \r\n";
        let mut found = Vec::new();
        each_of_head(text, &mut |tag| found.push(String::from_utf8_lossy(tag).into_owned()));
        assert_eq!(found, ["a b", "c", "d", "e", "f,g"]);
        found.clear();
        each_of_list(b" a,b  c ", &mut |tag| found.push(String::from_utf8_lossy(tag).into_owned()));
        assert_eq!(found, ["a", "b", "c"]);
    }
}
