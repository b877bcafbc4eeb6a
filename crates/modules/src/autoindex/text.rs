//! The listings' texts, byte for byte as nginx writes them.

use super::Entry;
use base::clock::{self, Civil, civil, month_name};
use base::text::push_number;
use std::io::Write;
use wire::uri::escape::{Class, escape, escape_html};

/// Longest name shown, in characters.
const NAME_WIDTH: usize = 50;

/// How sizes and times are shown.
pub(super) struct Style {
    pub(super) exact_size: bool,
    pub(super) localtime: bool,
}

/// The page. With `utf8` names are measured in characters, otherwise in bytes.
pub(super) fn html(uri: &[u8], entries: &[Entry], style: &Style, utf8: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(200 + entries.len() * 160);
    out.extend_from_slice(b"<html>\r\n<head><title>Index of ");
    escape_html(uri, &mut out);
    out.extend_from_slice(b"</title></head>\r\n<body>\r\n<h1>Index of ");
    escape_html(uri, &mut out);
    out.extend_from_slice(b"</h1><hr><pre><a href=\"../\">../</a>\r\n");
    for entry in entries {
        line(entry, style, utf8, &mut out);
    }
    out.extend_from_slice(b"</pre><hr></body>\r\n</html>\r\n");
    out
}

fn line(entry: &Entry, style: &Style, utf8: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<a href=\"");
    escape(&entry.name, Class::UriComponent, out);
    out.extend_from_slice(if entry.directory { b"/\">" } else { b"\">" });
    let mut width = if utf8 { String::from_utf8_lossy(&entry.name).chars().count() } else { entry.name.len() };
    if width > NAME_WIDTH {
        escape_html(head(&entry.name, NAME_WIDTH - 3, utf8), out);
        out.extend_from_slice(b"..&gt;</a>");
        width = NAME_WIDTH;
    } else {
        escape_html(&entry.name, out);
        if entry.directory && width < NAME_WIDTH {
            out.push(b'/');
            width += 1;
        }
        out.extend_from_slice(b"</a>");
    }
    out.resize(out.len() + NAME_WIDTH - width, b' ');
    let east = if style.localtime { i64::from(clock::offset(entry.modified)) } else { 0 };
    push_time(civil(entry.modified + east), out);
    let column = out.len() + if style.exact_size { 19 } else { 7 };
    let start = out.len();
    match (entry.directory, style.exact_size) {
        (true, _) => out.push(b'-'),
        (false, true) => push_number(out, entry.size),
        (false, false) => push_rounded(entry.size, out),
    }
    let missing = column.saturating_sub(out.len());
    out.resize(out.len() + missing, b' ');
    if let Some(field) = out.get_mut(start..) {
        field.rotate_right(missing);
    }
    out.extend_from_slice(b"\r\n");
}

/// ` 06-Nov-1994 08:49 `.
fn push_time(t: Civil, out: &mut Vec<u8>) {
    out.push(b' ');
    push_two_digits(t.day, out);
    out.push(b'-');
    out.extend_from_slice(month_name(t.month).as_bytes());
    out.push(b'-');
    // Years before the first have a sign.
    match u64::try_from(t.year) {
        Ok(year) => push_number(out, year),
        Err(_) => out.extend_from_slice(t.year.to_string().as_bytes()),
    }
    out.push(b' ');
    push_two_digits(t.hour, out);
    out.push(b':');
    push_two_digits(t.minute, out);
    out.push(b' ');
}

fn push_two_digits(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

/// The first `count` characters or bytes.
fn head(name: &[u8], count: usize, utf8: bool) -> &[u8] {
    let end = match std::str::from_utf8(name) {
        Ok(text) if utf8 => text.char_indices().nth(count).map_or(name.len(), |(at, _)| at),
        _ => count,
    };
    name.get(..end).unwrap_or(name)
}

fn push_rounded(size: u64, out: &mut Vec<u8>) {
    for (limit, shift, unit) in [((1 << 30) - 1, 30, b'G'), ((1 << 20) - 1, 20, b'M'), (9999, 10, b'K')] {
        if size > limit {
            let up = u64::from(size & ((1 << shift) - 1) > (1 << (shift - 1)) - 1);
            push_number(out, (size >> shift) + up);
            return out.push(unit);
        }
    }
    push_number(out, size);
}

fn kind(entry: &Entry) -> &'static str {
    match (entry.directory, entry.file) {
        (true, _) => "directory",
        (_, true) => "file",
        _ => "other",
    }
}

/// JSON; with a callback's name, JSONP.
pub(super) fn json(entries: &[Entry], callback: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if !callback.is_empty() {
        out.extend_from_slice(b"/* callback */\r\n");
        out.extend_from_slice(callback);
        out.push(b'(');
    }
    out.push(b'[');
    for (i, entry) in entries.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"\r\n{ \"name\":\"" } else { b",\r\n{ \"name\":\"" });
        escape_json(&entry.name, &mut out);
        // Writing to a Vec cannot fail.
        let _ = write!(out, "\", \"type\":\"{}\", \"mtime\":\"", kind(entry));
        out.extend_from_slice(&wire::date::http(entry.modified));
        out.push(b'"');
        if entry.file {
            let _ = write!(out, ", \"size\":{}", entry.size);
        }
        out.extend_from_slice(b" }");
    }
    out.extend_from_slice(b"\r\n]");
    if !callback.is_empty() {
        out.extend_from_slice(b");");
    }
    out
}

/// The inside of a JSON string (RFC 8259 section 7).
fn escape_json(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            // Writing to a Vec cannot fail.
            0..0x20 => drop(write!(out, "\\u{byte:04X}")),
            _ => out.push(byte),
        }
    }
}

/// XML.
pub(super) fn xml(entries: &[Entry]) -> Vec<u8> {
    let mut out = b"<?xml version=\"1.0\"?>\r\n<list>\r\n".to_vec();
    for entry in entries {
        let t = civil(entry.modified);
        let kind = kind(entry);
        let (year, month, day, hour, minute, second) = (t.year, t.month, t.day, t.hour, t.minute, t.second);
        // Writing to a Vec cannot fail.
        let _ = write!(out, "<{kind} mtime=\"{year:4}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        if entry.file {
            let _ = write!(out, "\" size=\"{}", entry.size);
        }
        out.extend_from_slice(b"\">");
        escape_html(&entry.name, &mut out);
        let _ = write!(out, "</{kind}>\r\n");
    }
    out.extend_from_slice(b"</list>\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, directory: bool, size: u64) -> Entry {
        Entry { name: name.into(), directory, file: !directory, modified: 784_111_777, size }
    }

    #[test]
    fn a_line_of_html() {
        let style = Style { exact_size: true, localtime: false };
        let text = String::from_utf8(html(b"/<a>/", &[entry("a&b", false, 5), entry("d", true, 0)], &style, false)).unwrap();
        assert!(text.contains("Index of /&lt;a&gt;/<"));
        let name = format!("<a href=\"a%26b\">a&amp;b</a>{} 06-Nov-1994 08:49 {:>19}\r\n", " ".repeat(47), 5);
        assert!(text.contains(&name), "{text}");
        assert!(text.contains(&format!("<a href=\"d/\">d/</a>{} 06-Nov", " ".repeat(48))), "{text}");
    }

    #[test]
    fn long_names_are_cut_by_characters() {
        let name = "ж".repeat(51);
        let style = Style { exact_size: false, localtime: false };
        let text = String::from_utf8(html(b"/", &[entry(&name, false, 10_240)], &style, true)).unwrap();
        assert!(text.contains(&format!(">{}..&gt;</a> 06-Nov-1994 08:49     10K\r\n", "ж".repeat(47))), "{text}");
    }

    #[test]
    fn sizes_are_rounded() {
        for (size, want) in [(9999, "9999"), (10_000, "10K"), (1 << 20, "1M"), ((1 << 20) + (1 << 19), "2M"), (1 << 31, "2G")] {
            let mut out = Vec::new();
            push_rounded(size, &mut out);
            assert_eq!(out, want.as_bytes());
        }
    }

    #[test]
    fn json_and_xml() {
        let list = [entry("d", true, 0), entry("a\"\u{1}", false, 7)];
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let want = format!(
            "/* callback */\r\nf([\r\n{{ \"name\":\"d\", \"type\":\"directory\", \"mtime\":\"{date}\" }},\r\n\
             {{ \"name\":\"a\\\"\\u0001\", \"type\":\"file\", \"mtime\":\"{date}\", \"size\":7 }}\r\n]);"
        );
        assert_eq!(String::from_utf8(json(&list, b"f")).unwrap(), want);
        let text = String::from_utf8(xml(&list[..1])).unwrap();
        assert!(text.ends_with("<directory mtime=\"1994-11-06T08:49:37Z\">d</directory>\r\n</list>\r\n"));
    }
}
