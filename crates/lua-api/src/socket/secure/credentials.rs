//! Certificates and keys that Lua code has parsed, by the numbers that their Lua objects hold.

use crate::socket::table::Table;
use std::cell::RefCell;
use tls::certificate::{Chain, Key, Pair};

/// A certificate chain or a private key.
#[derive(Clone)]
pub enum Credential {
    /// A certificate and those that lead to its authority.
    Chain(Chain),
    /// A private key.
    Key(Key),
}

/// Those of a machine: code that runs before the workers are made has them too.
#[derive(Default)]
pub struct Credentials(RefCell<Table<Credential>>);

impl Credentials {
    /// Keeps one and answers its number.
    pub fn add(&self, credential: Credential) -> u64 {
        self.0.borrow_mut().add(credential)
    }

    /// The one of this number.
    pub fn get(&self, id: u64) -> Option<Credential> {
        self.0.borrow().get(id).cloned()
    }

    /// Lets one go.
    pub fn remove(&self, id: u64) {
        self.0.borrow_mut().remove(id);
    }

    /// What a socket shows as its own certificate.
    ///
    /// # Errors
    /// OpenResty's text.
    pub fn pair(&self, chain: u64, key: u64) -> Result<Pair, &'static str> {
        let Some(Credential::Chain(chain)) = self.get(chain) else { return Err("invalid client certificate chain") };
        let Some(Credential::Key(key)) = self.get(key) else { return Err("ssl set client private key failed") };
        Pair::new(&chain, &key).map_err(|_| "ssl set client private key failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_a_chain_and_its_own_key() {
        let made = |name: &str| {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            let chain = Chain::from_pem(made.cert.pem().as_bytes()).unwrap();
            (Credential::Chain(chain), Credential::Key(Key::from_pem(made.signing_key.serialize_pem().as_bytes(), &[]).unwrap()))
        };
        let all = Credentials::default();
        let [(chain, key), (_, other)] = ["a", "b"].map(made);
        let [chain, key, other] = [chain, key, other].map(|one| all.add(one));
        assert!(all.pair(chain, key).is_ok());
        assert_eq!(all.pair(chain, other).err(), Some("ssl set client private key failed"));
        assert_eq!(all.pair(key, key).err(), Some("invalid client certificate chain"));
        all.remove(key);
        assert_eq!(all.pair(chain, key).err(), Some("ssl set client private key failed"));
    }
}
