//! Replacement templates: `$1`, `${1}`, `$0`, and `$$` for a dollar sign (`ngx_http_lua_script.c`).

use sys::regex::Subject;

/// A template taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Group(usize),
}

impl Template {
    /// # Errors
    /// The line for the error log.
    pub(crate) fn parse(source: &[u8]) -> Result<Template, Vec<u8>> {
        let invalid = || [b"lua script: invalid capturing variable name found in \"".as_slice(), source, b"\""].concat();
        let mut template = Template::default();
        let mut rest = source;
        while let Some(at) = memchr::memchr(b'$', rest) {
            let (text, dollar) = rest.split_at(at);
            template.push_text(text);
            rest = match dollar {
                [_, b'$', behind @ ..] => {
                    template.push_text(b"$");
                    behind
                }
                [_, b'{', behind @ ..] if !behind.is_empty() => template.group(behind, true, invalid)?,
                [_, behind @ ..] if !behind.is_empty() && !behind.starts_with(b"{") => template.group(behind, false, invalid)?,
                _ => return Err(invalid()),
            };
        }
        template.push_text(rest);
        Ok(template)
    }

    fn push_text(&mut self, text: &[u8]) {
        match self.parts.last_mut() {
            Some(Part::Text(last)) => last.extend_from_slice(text),
            _ if text.is_empty() => {}
            _ => self.parts.push(Part::Text(text.to_vec())),
        }
    }

    /// Reads a group's number, and the bracket that closes it; the rest behind it.
    fn group<'a>(&mut self, text: &'a [u8], bracket: bool, invalid: impl Fn() -> Vec<u8>) -> Result<&'a [u8], Vec<u8>> {
        let numeric = text.first().is_some_and(u8::is_ascii_digit);
        let belongs = |byte: &u8| if numeric { byte.is_ascii_digit() } else { byte.is_ascii_alphanumeric() || *byte == b'_' };
        let (name, behind) = text.split_at(text.iter().take_while(|byte| belongs(byte)).count());
        let behind = match (bracket, behind) {
            (true, [b'}', behind @ ..]) => behind,
            (true, _) => return Err([b"the closing bracket in \"".as_slice(), name, b"\" variable is missing"].concat()),
            (false, behind) => behind,
        };
        if name.is_empty() {
            return Err(invalid());
        }
        if !numeric {
            let line = [b"attempt to use named capturing variable \"".as_slice(), name, b"\" (named captures not supported yet)"];
            return Err(line.concat());
        }
        let digit = |number: usize, byte: &u8| number.saturating_mul(10).saturating_add(usize::from(byte - b'0'));
        self.parts.push(Part::Group(name.iter().fold(0, digit)));
        Ok(behind)
    }

    /// Appends the template with the groups of a match put in; unset ones are empty.
    pub(crate) fn render(&self, groups: &[usize], subject: Subject<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Group(number) => {
                    let pair = number.checked_mul(2).and_then(|at| groups.get(at..at.checked_add(2)?));
                    if let Some([from, to]) = pair {
                        out.extend_from_slice(subject.bytes().get(*from..*to).unwrap_or_default());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &[u8]) -> String {
        match Template::parse(template) {
            Ok(template) => {
                let mut out = Vec::new();
                template.render(&[1, 3, 1, 2, usize::MAX, usize::MAX], Subject::new(b"abcd"), &mut out);
                String::from_utf8(out).unwrap()
            }
            Err(line) => String::from_utf8(line).unwrap(),
        }
    }

    #[test]
    fn groups_and_text() {
        assert_eq!(render(b"[$0] [${1}]1 $1x $$1 $2$3$99999999999999999999"), "[bc] [b]1 bx $1 ");
        assert_eq!(render(b""), "");
        assert_eq!(render(b"plain"), "plain");
    }

    #[test]
    fn what_is_no_template() {
        for bad in ["$", "a ${", "$-", "${}"] {
            assert_eq!(render(bad.as_bytes()), format!("lua script: invalid capturing variable name found in \"{bad}\""));
        }
        assert_eq!(render(b"${12"), "the closing bracket in \"12\" variable is missing");
        assert_eq!(render(b"${1a}"), "the closing bracket in \"1\" variable is missing");
        assert_eq!(render(b"$name"), "attempt to use named capturing variable \"name\" (named captures not supported yet)");
    }
}
