//! Extensible priorities (RFC 9218): the `Priority` field and the payload of PRIORITY_UPDATE.

/// The urgency of a stream and whether it is incremental (RFC 9218, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0 is the most urgent, 7 the least; 3 unless said.
    pub urgency: u8,
    /// The stream's content is of use in parts, so streams of the same urgency take turns.
    pub incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Self { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads a structured dictionary (RFC 8941, 3.2). Members that are unknown or have a value of another type or range count as
    /// absent, and what is not a dictionary as empty (RFC 9218, 4).
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let mut priority = Self::default();
        for member in value.split(|&byte| byte == b',') {
            // Parameters of a member mean nothing here.
            let member = member.trim_ascii();
            let member = member.split(|&byte| byte == b';').next().unwrap_or(&[]);
            match member {
                [b'u', b'=', digit @ b'0'..=b'7'] => priority.urgency = digit - b'0',
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::Priority;

    #[test]
    fn members_are_found_and_the_rest_is_not_minded() {
        for (text, urgency, incremental) in [
            ("", 3, false),
            ("u=0", 0, false),
            ("u=7, i", 7, true),
            ("i=?1,u=1", 1, true),
            ("i, i=?0", 3, false),
            ("u=8", 3, false),
            ("u=-1, i", 3, true),
            ("u=1;a=b, x=\"y\"", 1, false),
            ("u=2, u=5", 5, false),
            ("U=1", 3, false),
        ] {
            assert_eq!(Priority::parse(text.as_bytes()), Priority { urgency, incremental }, "{text}");
        }
    }
}
