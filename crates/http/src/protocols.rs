//! Which protocols a listener and its servers may speak, as the configuration sees them: by name and by bit.

use conf::scope::Config;

/// Most protocols that one table may hold.
const MOST: usize = u32::BITS as usize;

/// A protocol that a listener may speak.
#[derive(Clone, Copy, Debug)]
pub struct ListenProtocol {
    /// Its name.
    pub name: &'static str,
    /// The parameter of `listen` that asks for it; `None`: it is spoken wherever nothing else was asked for.
    pub parameter: Option<&'static str>,
    /// With its parameter, nothing else is spoken on the listener.
    pub alone: bool,
    /// The directive that should be used in the parameter's place.
    pub instead: Option<&'static str>,
}

/// What listeners may speak, best first; put into the global scope before reading. A set of protocols has bit `i` for
/// the one at index `i`.
#[derive(Clone, Debug, Default)]
pub struct Protocols(pub Vec<ListenProtocol>);

impl Protocols {
    fn set(&self, f: impl Fn(&ListenProtocol) -> bool) -> u32 {
        self.0.iter().take(MOST).enumerate().filter(|(_, protocol)| f(protocol)).fold(0, |set, (i, _)| set | 1 << i)
    }

    /// The bit of the protocol of that name; 0 if there is none.
    pub fn bit(&self, name: &str) -> u32 {
        self.set(|protocol| protocol.name == name)
    }

    /// The protocol whose parameter is `word`, with its bit.
    pub fn named(&self, word: &str) -> Option<(u32, ListenProtocol)> {
        let found = self.0.iter().find(|protocol| protocol.parameter == Some(word))?;
        Some((self.bit(found.name), *found))
    }

    /// Those that are spoken without being asked for.
    pub fn defaults(&self) -> u32 {
        self.set(|protocol| protocol.parameter.is_none())
    }
}

/// A server's own choice of protocols (`http2 on`).
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerProtocols {
    /// Those that it says anything of.
    pub named: u32,
    /// Of these, those that it speaks.
    pub on: u32,
}

impl Config for ServerProtocols {
    fn inherit(&mut self, parent: &Self) {
        self.on |= parent.on & !self.named;
        self.named |= parent.named;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_name_bits() {
        let of = |name, parameter, alone| ListenProtocol { name, parameter, alone, instead: None };
        let table = Protocols(vec![of("h2", Some("http2"), false), of("echo", Some("echo"), true), of("http/1.1", None, false)]);
        assert_eq!((table.defaults(), table.bit("h2"), table.bit("h3")), (4, 1, 0));
        let named = |word| table.named(word).map(|(bit, protocol)| (bit, protocol.alone));
        assert_eq!((named("http2"), named("echo"), named("h2")), (Some((1, false)), Some((2, true)), None));
    }

    #[test]
    fn a_server_inherits_what_it_does_not_say() {
        let mut own = ServerProtocols { named: 1, on: 0 };
        own.inherit(&ServerProtocols { named: 3, on: 3 });
        assert_eq!((own.named, own.on), (3, 2));
    }
}
