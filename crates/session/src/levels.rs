//! The configuration types of modules, by the level of their blocks.

use conf::configs::Configs;
use conf::scope::Config;

/// The configuration types by level.
#[derive(Default)]
pub struct Levels {
    /// `http`, `stream`
    pub main: Configs,
    /// `server`
    pub server: Configs,
    /// `location`; in `stream`, which has none, these belong to `server` too
    pub location: Configs,
}

impl Levels {
    /// Registers a main-level type.
    pub fn main<T: Config>(&mut self) -> &mut Self {
        self.main.register::<T>();
        self
    }

    /// Registers a server-level type.
    pub fn server<T: Config>(&mut self) -> &mut Self {
        self.server.register::<T>();
        self
    }

    /// Registers a location-level type, the only one of its module.
    pub fn location_only<T: Config>(&mut self) {
        self.location::<T>();
    }

    /// Registers a location-level type.
    pub fn location<T: Config>(&mut self) -> &mut Self {
        self.location.register::<T>();
        self
    }
}
