//! A client's settings as directives say them in words (`proxy_ssl_*`, `lua_ssl_*`).

use std::path::PathBuf;
use std::sync::Arc;

use crate::certificate::{LoadError, Pair, load_trusted};
use crate::ciphers::{CipherConf, Offer, OfferError};
use crate::client::{Options, Settings};
use crate::commands::Commands;
use crate::files::Files;
use crate::key_log::KeyLogFile;
use crate::verify::crl::Crl;
use crate::verify::{ServerVerifier, Trust};

/// The words of one place in a configuration. Equal ones make equal settings, so that places which say the same may share
/// them. Names of files are absolute, or `data:` and what follows.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Profile {
    /// `*_ssl_protocols`, words of [`crate::ciphers::PROTOCOLS`].
    pub protocols: Option<Vec<&'static str>>,
    /// `*_ssl_ciphers`
    pub ciphers: Option<String>,
    /// `*_ssl_certificate` and `*_ssl_certificate_key`
    pub certificate: Option<(String, String)>,
    /// The lines of `*_ssl_password_file`.
    pub passwords: Vec<Vec<u8>>,
    /// Whom to trust; without it there is no verdict.
    pub trusted: Option<Trusted>,
    /// `*_ssl_conf_command`
    pub commands: Vec<(String, String)>,
    /// `*_ssl_key_log`
    pub key_log: Option<PathBuf>,
    /// What is offered to speak, by ALPN.
    pub alpn: Vec<Vec<u8>>,
}

/// Trusted certificates.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Trusted {
    /// `*_ssl_trusted_certificate`; without it, nothing is trusted.
    pub certificates: Option<String>,
    /// `*_ssl_verify_depth`
    pub depth: usize,
    /// `*_ssl_crl`
    pub crl: Option<String>,
}

impl Profile {
    /// Reads the files and makes settings of it all. Also answers what was asked for and is left out, a sentence each;
    /// worth a warning.
    ///
    /// # Errors
    /// nginx's message.
    pub fn settings(&self, files: &Files) -> Result<(Settings, Vec<String>), LoadError> {
        let commands = Commands::new(&self.commands)?;
        let protocols = commands.protocols(self.protocols.as_deref());
        let ciphers = commands.ciphers.as_deref().or(self.ciphers.as_deref());
        let wishes = CipherConf {
            ciphers,
            ciphersuites: commands.ciphersuites.as_deref(),
            curves: commands.curves.as_deref(),
            protocols: protocols.as_deref(),
        };
        let offer = Offer::new(&wishes).map_err(|error| refusal(error, &wishes))?;
        let notes = offer.notes.iter().chain(&commands.notes).cloned().collect();
        let mut options = Options::new(offer);
        options.pair = self.pair(files, &commands)?;
        options.alpn = self.alpn.clone();
        if let Some(trusted) = &self.trusted {
            options.servers = Some(Arc::new(ServerVerifier::new(Arc::new(trusted.trust(files)?))));
        }
        if let Some(path) = &self.key_log {
            options.key_log = Some(KeyLogFile::open(path).map_err(|error| open_failed(path, &error))?);
        }
        let settings = Settings::new(options).map_err(|error| LoadError(format!("SSL_CTX_new() failed (SSL: {error})")))?;
        Ok((settings, notes))
    }

    fn pair(&self, files: &Files, commands: &Commands) -> Result<Option<Pair>, LoadError> {
        let (own, own_key) = self.certificate.as_ref().map(|(certificate, key)| (certificate.as_str(), key.as_str())).unzip();
        let certificate = commands.certificate.as_deref().or(own);
        // As with OpenSSL, the file of a certificate may hold its key too.
        let Some(certificate) = certificate else { return Ok(None) };
        let key = commands.key.as_deref().or(own_key.filter(|_| commands.certificate.is_none())).unwrap_or(certificate);
        Pair::load(files, certificate, key, &self.passwords).map(Some)
    }
}

impl Trusted {
    fn trust(&self, files: &Files) -> Result<Trust, LoadError> {
        let certificates = self.certificates.as_deref().map_or(Ok(Vec::new()), |name| load_trusted(files, name))?;
        let crls = self.crl.as_deref().map_or(Ok(Vec::new()), |name| Crl::load(files, name))?;
        Ok(Trust::new(certificates, self.depth).with_crls(crls))
    }
}

fn refusal(error: OfferError, wishes: &CipherConf<'_>) -> LoadError {
    let said = |value: Option<&str>| value.unwrap_or_default().to_owned();
    LoadError(match error {
        OfferError::NoCipher => format!("SSL_CTX_set_cipher_list(\"{}\") failed (SSL: {error})", said(wishes.ciphers)),
        OfferError::NoCiphersuite => format!("SSL_CONF_cmd(\"Ciphersuites\", \"{}\") failed (SSL: {error})", said(wishes.ciphersuites)),
        OfferError::NoCurve => format!("SSL_CONF_cmd(\"Groups\", \"{}\") failed (SSL: {error})", said(wishes.curves)),
        OfferError::NoProtocol => {
            let words = wishes.protocols.unwrap_or_default().join(" ");
            format!("no protocol of \"{words}\" is supported (SSL: {error})")
        }
    })
}

fn open_failed(path: &std::path::Path, error: &std::io::Error) -> LoadError {
    let words = error.to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    LoadError(format!("open() \"{}\" failed ({}: {words})", path.display(), error.raw_os_error().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_settings_or_nginxs_message() {
        let (_, notes) = Profile { protocols: Some(vec!["TLSv1", "TLSv1.2"]), ..Profile::default() }.settings(&Files::new()).unwrap();
        assert_eq!(notes, ["protocol \"TLSv1\" is not supported and not offered"]);
        for (profile, text) in [
            (
                Profile { ciphers: Some("RC4-SHA".to_owned()), ..Profile::default() },
                "SSL_CTX_set_cipher_list(\"RC4-SHA\") failed (SSL: error:0A0000B9:SSL routines::no cipher match)",
            ),
            (
                Profile { protocols: Some(vec!["TLSv1"]), ..Profile::default() },
                "no protocol of \"TLSv1\" is supported (SSL: error:0A0000BF:SSL routines::no protocols available)",
            ),
            (
                Profile { key_log: Some("/nonexistent/log".into()), ..Profile::default() },
                "open() \"/nonexistent/log\" failed (2: No such file or directory)",
            ),
            (
                Profile { commands: vec![("Groups".to_owned(), "nothing".to_owned())], ..Profile::default() },
                "SSL_CONF_cmd(\"Groups\", \"nothing\") failed (SSL: error:0A080106:SSL routines::passed invalid argument)",
            ),
        ] {
            assert_eq!(profile.settings(&Files::new()).unwrap_err().to_string(), text);
        }
        let trusted = Trusted { certificates: Some("/nonexistent.pem".to_owned()), ..Trusted::default() };
        let error = Profile { trusted: Some(trusted), ..Profile::default() }.settings(&Files::new()).unwrap_err().to_string();
        assert!(error.starts_with("cannot load certificate \"/nonexistent.pem\": BIO_new_file() failed"), "{error}");
    }
}
