//! What is kept across starts: the directory of an issuer (`state_path`).

use crate::order::{Issued, Order};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tls::certificate::{Chain, Key, Pair};

const ACCOUNT_KEY: &str = "account.key";
const ACCOUNT_URL: &str = "account.url";

/// A directory that only the workers' user may enter.
#[derive(Clone, Debug)]
pub(crate) struct StateDirectory(PathBuf);

impl StateDirectory {
    pub(crate) fn new(path: PathBuf) -> StateDirectory {
        StateDirectory(path)
    }

    /// The account's key in PEM.
    pub(crate) fn account_key(&self) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(ACCOUNT_KEY)).ok()
    }

    pub(crate) fn set_account_key(&self, pem: &[u8]) -> io::Result<()> {
        write(&self.0.join(ACCOUNT_KEY), pem)
    }

    pub(crate) fn set_account_url(&self, url: &str) -> io::Result<()> {
        write(&self.0.join(ACCOUNT_URL), url.as_bytes())
    }

    /// The certificate of an order, if it is whole.
    pub(crate) fn certificate(&self, order: &Order) -> Option<Issued> {
        let chain = std::fs::read(self.file(order, "crt")).ok()?;
        let key = std::fs::read(self.file(order, "key")).ok()?;
        Pair::new(&Chain::from_pem(&chain).ok()?, &Key::from_pem(&key, &[]).ok()?).ok()?;
        Some(Issued { chain, key })
    }

    /// The key goes first: a certificate without its key would be of no use.
    pub(crate) fn set_certificate(&self, order: &Order, issued: &Issued) -> io::Result<()> {
        write(&self.file(order, "key"), &issued.key)?;
        write(&self.file(order, "crt"), &issued.chain)
    }

    fn file(&self, order: &Order, suffix: &str) -> PathBuf {
        self.0.join(format!("{}.{suffix}", order.id))
    }
}

/// Takes the place of a file in one step.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::proof;
    use crate::identifier::read;
    use crate::key::KeyKind;
    use crate::order::Request;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_kept_is_for_nobody_else() {
        let path = std::env::temp_dir().join(format!("lunette-acme-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let state = StateDirectory::new(path.clone());
        let order = Order::new(Request { identifiers: read(b"a.test").unwrap(), key: KeyKind::P256 });
        let key = KeyKind::P256.generate().unwrap();
        let issued = Issued { chain: proof("a.test", &[0; 32], &key).unwrap().into_bytes(), key: key.serialize_pem().into_bytes() };
        assert!(state.certificate(&order).is_none() && state.account_key().is_none());
        state.set_certificate(&order, &issued).unwrap();
        state.set_account_key(&issued.key).unwrap();
        state.set_account_url("https://ca/1").unwrap();
        assert_eq!((state.certificate(&order).as_ref(), state.account_key().as_ref()), (Some(&issued), Some(&issued.key)));
        for entry in std::fs::read_dir(&path).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        // A key that does not fit is none.
        let other = KeyKind::P256.generate().unwrap().serialize_pem();
        std::fs::write(state.file(&order, "key"), other).unwrap();
        assert!(state.certificate(&order).is_none());
        std::fs::remove_dir_all(path).unwrap();
    }
}
