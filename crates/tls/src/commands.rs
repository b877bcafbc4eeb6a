//! OpenSSL's configuration commands, SSL_CONF_cmd(3), as `ssl_conf_command` and its companions take them.

use crate::certificate::LoadError;

/// What commands ask for; they override what other directives say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commands {
    /// `CipherString`
    pub ciphers: Option<String>,
    /// `Ciphersuites`
    pub ciphersuites: Option<String>,
    /// `Groups`, `Curves`, `ECDHParameters`
    pub curves: Option<String>,
    /// `Certificate`
    pub certificate: Option<String>,
    /// `PrivateKey`
    pub key: Option<String>,
    /// `Options ServerPreference`
    pub server_order: Option<bool>,
    /// `Options SessionTicket`
    pub tickets: Option<bool>,
    /// Changes of the list of protocols, in order.
    protocols: Vec<Change>,
    /// What has no effect here, a sentence each; worth a warning.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    All,
    /// A place in [`KNOWN`] and whether it is on.
    Set(usize, bool),
    AtLeast(usize),
    AtMost(usize),
}

/// Protocols in their order of age.
const KNOWN: [&str; 5] = ["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// Commands that change nothing here and whose loss makes nothing less safe.
const WITHOUT_EFFECT: [&str; 11] = [
    "RecordPadding",
    "NumTickets",
    "DHParameters",
    "ServerInfoFile",
    "RequestCAFile",
    "RequestCAPath",
    "ClientCAFile",
    "ClientCAPath",
    "TxCertificateCompression",
    "RxCertificateCompression",
    "ChainCAPath",
];

/// Commands that OpenSSL has and that must not be lost in silence.
const MISSING: [&str; 6] =
    ["SignatureAlgorithms", "ClientSignatureAlgorithms", "VerifyMode", "VerifyCAFile", "VerifyCAPath", "ChainCAFile"];

/// Values of `Options`; what is off or has no meaning in rustls.
const OPTIONS: [&str; 18] = [
    "SessionTicket",
    "ServerPreference",
    "EmptyFragments",
    "Bugs",
    "Compression",
    "NoResumptionOnRenegotiation",
    "DHSingle",
    "ECDHSingle",
    "UnsafeLegacyRenegotiation",
    "UnsafeLegacyServerConnect",
    "ClientRenegotiation",
    "EncryptThenMac",
    "NoRenegotiation",
    "AllowNoDHEKEX",
    "PrioritizeChaCha",
    "MiddleboxCompat",
    "AntiReplay",
    "KTLS",
];

/// Whether the value of this command is the name of a file.
#[must_use]
pub fn is_file(command: &str) -> bool {
    ["Certificate", "PrivateKey"].iter().any(|name| name.eq_ignore_ascii_case(command))
}

impl Commands {
    /// Takes commands with their values, in order.
    ///
    /// # Errors
    /// nginx's message for a command that is unknown, has a bad value, or that this server lacks.
    pub fn new(list: &[(String, String)]) -> Result<Self, LoadError> {
        let mut commands = Self::default();
        for (name, value) in list {
            commands
                .take(name, value)
                .map_err(|LoadError(text)| LoadError(format!("SSL_CONF_cmd(\"{name}\", \"{value}\") failed (SSL: {text})")))?;
        }
        Ok(commands)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), LoadError> {
        let is = |known: &str| known.eq_ignore_ascii_case(name);
        let bad = || LoadError(format!("error:0A000180:SSL routines::bad value:cmd={name}, value={value}"));
        match name.to_ascii_lowercase().as_str() {
            "cipherstring" => self.ciphers = Some(value.to_owned()),
            "ciphersuites" => self.ciphersuites = Some(value.to_owned()),
            "groups" | "curves" | "ecdhparameters" => self.curves = Some(value.to_owned()),
            "certificate" => self.certificate = Some(value.to_owned()),
            "privatekey" => self.key = Some(value.to_owned()),
            "minprotocol" => self.protocols.push(limit(value, Change::AtLeast).ok_or_else(bad)?),
            "maxprotocol" => self.protocols.push(limit(value, Change::AtMost).ok_or_else(bad)?),
            "protocol" => {
                for word in value.split(',').map(str::trim) {
                    let (on, word) = signed(word);
                    let change = match (word.eq_ignore_ascii_case("ALL"), on) {
                        (true, true) => Change::All,
                        (true, false) => Change::None,
                        (false, _) if word.eq_ignore_ascii_case("SSLv2") => continue,
                        (false, on) => Change::Set(place(word).ok_or_else(bad)?, on),
                    };
                    self.protocols.push(change);
                }
            }
            "options" => self.options(value).ok_or_else(bad)?,
            _ if WITHOUT_EFFECT.iter().any(|known| is(known)) => self.notes.push(format!("command \"{name}\" has no effect")),
            _ if MISSING.iter().any(|known| is(known)) => return Err(LoadError("the command is not supported".to_owned())),
            _ => return Err(LoadError(format!("error:0A000182:SSL routines::unknown cmd name:cmd={name}"))),
        }
        Ok(())
    }

    fn options(&mut self, value: &str) -> Option<()> {
        for word in value.split(',').map(str::trim) {
            let (on, word) = signed(word);
            match OPTIONS.iter().find(|known| known.eq_ignore_ascii_case(word))? {
                &"SessionTicket" => self.tickets = Some(on),
                &"ServerPreference" => self.server_order = Some(on),
                known => self.notes.push(format!("option \"{known}\" has no effect")),
            }
        }
        Some(())
    }

    /// The protocols that are left of `configured`, the words of another directive; `None` is the default.
    #[must_use]
    pub fn protocols<'a>(&self, configured: Option<&[&'a str]>) -> Option<Vec<&'a str>> {
        if self.protocols.is_empty() {
            return configured.map(<[&str]>::to_vec);
        }
        let mut on = KNOWN.map(|known| configured.is_none_or(|words| words.contains(&known)));
        for change in &self.protocols {
            for (at, on) in on.iter_mut().enumerate() {
                match *change {
                    Change::None => *on = false,
                    Change::All => *on = true,
                    Change::Set(place, value) if place == at => *on = value,
                    Change::Set(..) => {}
                    Change::AtLeast(least) => *on &= at >= least,
                    Change::AtMost(most) => *on &= at <= most,
                }
            }
        }
        // What nobody asked for by name needs no remark.
        let asked = |at: usize, name: &str| at >= 3 || configured.is_some_and(|words| words.contains(&name));
        Some(KNOWN.iter().enumerate().filter(|(at, name)| on.get(*at) == Some(&true) && asked(*at, name)).map(|(_, name)| *name).collect())
    }
}

fn signed(word: &str) -> (bool, &str) {
    match word.strip_prefix('-') {
        Some(rest) => (false, rest),
        None => (true, word.strip_prefix('+').unwrap_or(word)),
    }
}

fn place(word: &str) -> Option<usize> {
    KNOWN.iter().position(|known| known.eq_ignore_ascii_case(word))
}

fn limit(value: &str, make: fn(usize) -> Change) -> Option<Change> {
    if value.eq_ignore_ascii_case("None") { Some(Change::Set(KNOWN.len(), true)) } else { place(value).map(make) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(list: &[(&str, &str)]) -> Result<Commands, String> {
        let list: Vec<_> = list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Commands::new(&list).map_err(|error| error.to_string())
    }

    #[test]
    fn protocols_are_switched() {
        for (list, configured, expected) in [
            (&[][..], None, None),
            (&[], Some(&["TLSv1", "TLSv1.2"][..]), Some(vec!["TLSv1", "TLSv1.2"])),
            (&[("Protocol", "-TLSv1.3")], None, Some(vec!["TLSv1.2"])),
            (&[("Protocol", "ALL,-TLSv1.2")], None, Some(vec!["TLSv1.3"])),
            (&[("Protocol", "-ALL,TLSv1.2")], Some(&["TLSv1.3"]), Some(vec!["TLSv1.2"])),
            (&[("MinProtocol", "TLSv1.3")], Some(&["TLSv1", "TLSv1.3"]), Some(vec!["TLSv1.3"])),
            (&[("MaxProtocol", "tlsv1.2")], None, Some(vec!["TLSv1.2"])),
            (&[("MinProtocol", "None")], None, Some(vec!["TLSv1.2", "TLSv1.3"])),
        ] {
            assert_eq!(commands(list).unwrap().protocols(configured), expected, "{list:?}");
        }
    }

    #[test]
    fn what_is_unknown_is_an_error_and_what_is_harmless_a_note() {
        let found = commands(&[("ciphersuites", "X"), ("Options", "-SessionTicket,KTLS"), ("NumTickets", "3")]).unwrap();
        assert_eq!((found.ciphersuites.as_deref(), found.tickets, found.notes.len()), (Some("X"), Some(false), 2));
        for (name, value, text) in [
            ("Nope", "1", "SSL_CONF_cmd(\"Nope\", \"1\") failed (SSL: error:0A000182:SSL routines::unknown cmd name:cmd=Nope)"),
            ("Options", "x", "SSL_CONF_cmd(\"Options\", \"x\") failed (SSL: error:0A000180:SSL routines::bad value:cmd=Options, value=x)"),
            ("VerifyMode", "Peer", "SSL_CONF_cmd(\"VerifyMode\", \"Peer\") failed (SSL: the command is not supported)"),
        ] {
            assert_eq!(commands(&[(name, value)]).unwrap_err(), text);
        }
        assert!(is_file("certificate") && !is_file("Groups"));
    }
}
