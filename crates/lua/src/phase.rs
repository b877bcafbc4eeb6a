//! Phases in which Lua runs, as bits, with the names OpenResty's error texts give them.

/// A set of phases: one bit a phase, as an API row declares where it may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseSet(pub u32);

impl PhaseSet {
    /// Everywhere, even where no phase is current (the master's start, a module's top level).
    pub const EVERYWHERE: Self = Self(u32::MAX);

    /// The set of one phase.
    pub const fn of(phase: LuaPhase) -> Self {
        Self(phase.bit)
    }

    /// This set and one phase more.
    #[must_use]
    pub const fn with(self, phase: LuaPhase) -> Self {
        Self(self.0 | phase.bit)
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the phases that wait only by leave (see [`LuaPhase::waiting`]).
    #[must_use]
    pub const fn without_leave(self) -> Self {
        Self(self.0 & !LEAVE)
    }

    /// The raw bits, for the const parameter of a fast row.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// The bit of phases that may wait although OpenResty's cannot.
pub(crate) const LEAVE: u32 = 1 << 31;

/// One phase: its bit and its name in messages (`API disabled in the context of NAME`).
#[derive(Clone, Copy, Debug)]
pub struct LuaPhase {
    /// One bit, and that of leave where a phase that cannot wait has leave to.
    pub bit: u32,
    /// The name, for example `content_by_lua*`.
    pub name: &'static str,
    /// Whether the handler may suspend here.
    pub yields: bool,
}

impl PartialEq for LuaPhase {
    fn eq(&self, other: &Self) -> bool {
        (self.bit ^ other.bit) & !LEAVE == 0
    }
}

impl Eq for LuaPhase {}

impl LuaPhase {
    /// The phase with leave to wait: what is allowed where handlers may suspend is allowed in it too.
    #[must_use]
    pub const fn waiting(self) -> Self {
        Self { bit: self.bit | LEAVE, yields: true, ..self }
    }
}

macro_rules! phases {
    ($($ident:ident $bit:literal $name:literal $yields:literal;)*) => {
        impl LuaPhase {
            $(
                #[doc = concat!("The phase `", $name, "`.")]
                pub const $ident: LuaPhase = LuaPhase { bit: 1 << $bit, name: $name, yields: $yields };
            )*
        }
    };
}

phases! {
    SET 0 "set_by_lua*" false;
    REWRITE 1 "rewrite_by_lua*" true;
    ACCESS 2 "access_by_lua*" true;
    CONTENT 3 "content_by_lua*" true;
    LOG 4 "log_by_lua*" false;
    HEADER_FILTER 5 "header_filter_by_lua*" false;
    BODY_FILTER 6 "body_filter_by_lua*" false;
    TIMER 7 "ngx.timer" true;
    INIT_WORKER 8 "init_worker_by_lua*" false;
    BALANCER 9 "balancer_by_lua*" false;
    SSL_CERT 10 "ssl_certificate_by_lua*" true;
    SSL_SESS_STORE 11 "ssl_session_store_by_lua*" false;
    SSL_SESS_FETCH 12 "ssl_session_fetch_by_lua*" true;
    EXIT_WORKER 13 "exit_worker_by_lua*" false;
    SSL_CLIENT_HELLO 14 "ssl_client_hello_by_lua*" true;
    SERVER_REWRITE 15 "server_rewrite_by_lua*" true;
    PRECONTENT 16 "precontent_by_lua*" true;
    PROXY_SSL_CERT 17 "proxy_ssl_certificate_by_lua*" true;
    PROXY_SSL_VERIFY 18 "proxy_ssl_verify_by_lua*" true;
    INIT 19 "init_by_lua*" false;
    PREREAD 20 "preread_by_lua*" true;
}
