//! Certificates that OpenSSL's command makes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory of certificates that goes away with the value.
pub(crate) struct Shop(pub(crate) PathBuf);

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Shop {
    pub(crate) fn open(name: &str) -> Self {
        let shop = Self(std::env::temp_dir().join(format!("lunette-tls-{name}-{}", std::process::id())));
        std::fs::create_dir_all(&shop.0).unwrap();
        std::fs::write(shop.0.join("empty.conf"), "[req]\ndistinguished_name=dn\n[dn]\n").unwrap();
        assert!(shop.run("version", &[]), "no openssl; ./test.sh installs it");
        shop
    }

    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> bool {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(&self.0).env("OPENSSL_CONF", self.0.join("empty.conf")).arg(command).args(arguments);
        openssl.output().is_ok_and(|output| output.status.success())
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }

    pub(crate) fn at(&self, name: &str) -> String {
        Path::new(&self.0).join(name).to_string_lossy().into_owned()
    }

    /// Makes `NAME.key` and `NAME.crt`: signed by `issuer` or itself, with these extensions, good for so many days.
    pub(crate) fn make(&self, name: &str, issuer: Option<&str>, extensions: &str, days: &str) {
        let (key, request, out) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        let subject = format!("/CN={name}");
        let new = ["-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", &key, "-subj", &subject];
        assert!(self.run("req", &[&new[..], &["-out", &request]].concat()));
        let file = format!("{name}.ext");
        std::fs::write(self.0.join(&file), extensions).unwrap();
        let mut sign = vec!["-req", "-in", &request, "-out", &out, "-days", days];
        if !extensions.is_empty() {
            sign.extend(["-extfile", &file]);
        }
        let (certificate, signer) = issuer.map(|i| (format!("{i}.crt"), format!("{i}.key"))).unwrap_or_default();
        match issuer {
            Some(_) => sign.extend(["-CA", &certificate, "-CAkey", &signer, "-CAcreateserial"]),
            None => sign.extend(["-signkey", &key]),
        }
        assert!(self.run("x509", &sign), "{name}");
    }

    /// The first error of `openssl verify`; 0 for a good chain.
    pub(crate) fn verify(&self, leaf: &str, others: &str, trusted: &str, depth: usize, purpose: &str) -> u16 {
        let depth = depth.to_string();
        let mut openssl = Command::new("openssl");
        openssl.current_dir(&self.0).env("OPENSSL_CONF", self.0.join("empty.conf"));
        openssl.args(["verify", "-no-CApath", "-CAfile", trusted, "-purpose", purpose, "-verify_depth", &depth]);
        if !others.is_empty() {
            openssl.args(["-untrusted", others]);
        }
        let output = openssl.arg(leaf).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let number = text.split("error ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|number| number.parse().ok());
        number.unwrap_or(u16::from(!output.status.success()))
    }

    pub(crate) fn join(&self, name: &str, parts: &[&str]) {
        std::fs::write(self.0.join(name), parts.iter().flat_map(|part| self.read(part)).collect::<Vec<_>>()).unwrap();
    }
}
