//! A command as it stands in a page: what it is, what it is given, and what is wrong with that whatever the request.

/// Which command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Include,
    Echo,
    Config,
    Set,
    If,
    Elif,
    Else,
    Endif,
    Block,
    Endblock,
    /// None of these.
    Unknown,
}

/// Names, the parameters that may be there, and those that must.
const KNOWN: [(&str, Kind, &[&str], &[&str]); 10] = [
    ("include", Kind::Include, &["virtual", "file", "wait", "set", "stub"], &[]),
    ("echo", Kind::Echo, &["var", "default", "encoding"], &["var"]),
    ("config", Kind::Config, &["errmsg", "timefmt"], &[]),
    ("set", Kind::Set, &["var", "value"], &["var", "value"]),
    ("if", Kind::If, &["expr"], &["expr"]),
    ("elif", Kind::Elif, &["expr"], &["expr"]),
    ("else", Kind::Else, &[], &[]),
    ("endif", Kind::Endif, &[], &[]),
    ("block", Kind::Block, &["name"], &["name"]),
    ("endblock", Kind::Endblock, &[], &[]),
];

impl Kind {
    /// Its name in a page.
    pub(super) fn name(self) -> &'static str {
        KNOWN.iter().find(|known| known.1 == self).map_or("", |known| known.0)
    }

    /// Whether it is carried out in branches that are not taken too.
    pub(super) fn is_branch(self) -> bool {
        matches!(self, Kind::If | Kind::Elif | Kind::Else | Kind::Endif)
    }
}

/// A command with its parameters in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) kind: Kind,
    params: Vec<(Vec<u8>, Vec<u8>)>,
    /// Why it cannot be carried out, for the log.
    pub(super) fault: Option<String>,
}

impl Command {
    /// The command of this name; names are in lower case.
    pub(super) fn new(name: &[u8], params: Vec<(Vec<u8>, Vec<u8>)>) -> Command {
        let Some((name, kind, allowed, wanted)) = KNOWN.iter().find(|known| known.0.as_bytes() == name) else {
            let fault = format!("invalid SSI command: \"{}\"", String::from_utf8_lossy(name));
            return Command { kind: Kind::Unknown, params, fault: Some(fault) };
        };
        let has = |name: &str| params.iter().any(|(param, _)| param == name.as_bytes());
        let stranger = params.iter().find(|(param, _)| !allowed.iter().any(|name| param == name.as_bytes()));
        let fault = match (stranger, wanted.iter().find(|name| !has(name))) {
            (Some((param, _)), _) => {
                Some(format!("invalid parameter name: \"{}\" in \"{name}\" SSI command", String::from_utf8_lossy(param)))
            }
            (None, Some(wanted)) => Some(format!("mandatory \"{wanted}\" parameter is absent in \"{name}\" SSI command")),
            (None, None) => None,
        };
        Command { kind: *kind, params, fault }
    }

    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.params.iter().find(|(n, _)| n == name.as_bytes()).map(|(_, value)| &**value)
    }

    /// Bytes of memory that it holds, about.
    pub(super) fn size(&self) -> usize {
        size_of::<Command>() + self.params.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_command_shows_in_its_words() {
        let param = |name: &str| (name.as_bytes().to_vec(), b"x".to_vec());
        for (name, params, fault) in [
            ("set", vec![param("var"), param("value")], None),
            ("set", vec![param("var")], Some("mandatory \"value\" parameter is absent in \"set\" SSI command")),
            ("set", vec![param("val")], Some("invalid parameter name: \"val\" in \"set\" SSI command")),
            ("endif", vec![], None),
            ("frob", vec![], Some("invalid SSI command: \"frob\"")),
        ] {
            let command = Command::new(name.as_bytes(), params);
            assert_eq!(command.fault.as_deref(), fault);
            assert_eq!(command.kind.name(), if name == "frob" { "" } else { name });
        }
    }
}
