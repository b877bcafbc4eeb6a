//! The set of response headers that are not forwarded (`*_hide_header`, `*_pass_header`).

use wire::known::Known;

/// A set of header names, asked once per header: known names by bit, others by comparison.
#[derive(Debug, Default)]
pub struct HeaderNameSet {
    known_names: u128,
    others: Vec<Box<[u8]>>,
}

fn bit(known: Known) -> u128 {
    1 << (known as u8)
}

impl HeaderNameSet {
    /// `unasked` without `pass`, and `hide`.
    #[must_use]
    pub fn new(unasked: &[&str], hide: Option<&Vec<Box<[u8]>>>, pass: Option<&Vec<Box<[u8]>>>) -> HeaderNameSet {
        let mut set = HeaderNameSet::default();
        for name in unasked {
            let wanted = pass.is_some_and(|list| list.iter().any(|p| p.eq_ignore_ascii_case(name.as_bytes())));
            if !wanted {
                set.add(name.as_bytes());
            }
        }
        for name in hide.into_iter().flatten() {
            set.add(name);
        }
        set
    }

    /// Adds a name.
    pub fn add(&mut self, name: &[u8]) {
        match Known::of(name) {
            Known::Other => self.others.push(name.into()),
            known => self.known_names |= bit(known),
        }
    }

    /// Whether a header of this name stays behind.
    #[must_use]
    pub fn contains(&self, known: Known, name: &[u8]) -> bool {
        match known {
            Known::Other => self.others.iter().any(|other| other.eq_ignore_ascii_case(name)),
            known => self.known_names & bit(known) != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pass_lifts_what_is_hidden_unasked_and_hide_adds() {
        let hide: Vec<Box<[u8]>> = vec![Box::from(&b"X-Secret"[..]), Box::from(&b"Etag"[..])];
        let pass: Vec<Box<[u8]>> = vec![Box::from(&b"date"[..])];
        let set = HeaderNameSet::new(&["Date", "Server", "X-Pad"], Some(&hide), Some(&pass));
        let has = |name: &str| set.contains(Known::of(name.as_bytes()), name.as_bytes());
        assert!(has("server") && has("x-pad") && has("x-secret") && has("ETag"));
        assert!(!has("Date") && !has("Vary") && !has("X-Other"));
    }
}
