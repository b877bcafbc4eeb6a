//! The counters and their names.

use crate::phase::Phase;
use session::handshake_end::TlsCounter;

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident: $kind:ident $text:literal $($key:literal = $value:literal)?,)+) => {
        /// A counter that every worker keeps in its account of shared memory.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Counter {
            $($(#[doc = $doc])* $name,)+
        }

        impl Counter {
            /// All of them; those of one name stand together.
            pub const ALL: &'static [Counter] = &[$(Counter::$name),+];

            /// Its name in metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Counter::$name => $text,)+
                }
            }

            /// What tells it from others of its name: a label and its value.
            pub fn label(self) -> Option<(&'static str, &'static str)> {
                match self {
                    $(Counter::$name => counters!(@label $($key = $value)?),)+
                }
            }

            /// What it counts.
            pub fn help(self) -> &'static str {
                match self {
                    $(Counter::$name => concat!($($doc),*).trim_ascii(),)+
                }
            }

            /// Whether it says what is the case now, instead of growing.
            pub fn is_gauge(self) -> bool {
                match self {
                    $(Counter::$name => counters!(@$kind),)+
                }
            }

            /// Whether it counts milliseconds, which metrics show as seconds.
            pub fn is_time(self) -> bool {
                self.name().contains("seconds")
            }
        }
    };
    (@label) => { None };
    (@label $key:literal = $value:literal) => { Some(($key, $value)) };
    (@gauge) => { true };
    (@count) => { false };
}

counters! {
    /// Connections accepted.
    Accepted: count "connections_accepted_total",
    /// Accepted connections that were served.
    Handled: count "connections_handled_total",
    /// Connections open now.
    Active: gauge "connections_active",
    /// Open connections that read a request.
    Reading: gauge "connections_reading",
    /// Open connections that write a response.
    Writing: gauge "connections_writing",
    /// Requests that have begun.
    Requests: count "requests_total",
    /// Requests that have ended, by protocol.
    Http1: count "requests_ended_total" "protocol" = "HTTP/1",
    /// Requests that have ended, by protocol.
    Http2: count "requests_ended_total" "protocol" = "HTTP/2",
    /// Requests that have ended, by protocol.
    Http3: count "requests_ended_total" "protocol" = "HTTP/3",
    /// Requests that have ended with a status below 200.
    Informational: count "responses_1xx_total",
    /// Requests that have ended with a status of 2xx.
    Success: count "responses_2xx_total",
    /// Requests that have ended with a status of 3xx.
    Redirection: count "responses_3xx_total",
    /// Requests that have ended with a status of 4xx.
    ClientError: count "responses_4xx_total",
    /// Requests that have ended with a status of 5xx.
    ServerError: count "responses_5xx_total",
    /// Bytes of requests, heads with them.
    Received: count "received_bytes_total",
    /// Bytes of responses, heads with them.
    Sent: count "sent_bytes_total",
    /// Tries of upstream servers.
    Attempts: count "upstream_attempts_total",
    /// Tries of upstream servers that failed.
    AttemptsFailed: count "upstream_failures_total",
    /// Tries of upstream servers for sessions of stream.
    StreamAttempts: count "stream_upstream_attempts_total",
    /// Tries of upstream servers for sessions of stream that failed.
    StreamAttemptsFailed: count "stream_upstream_failures_total",
    /// Handshakes of TLS that were completed.
    Handshakes: count "tls_handshakes_total",
    /// Handshakes of TLS that failed.
    HandshakesFailed: count "tls_handshake_failures_total",
    /// Handshakes of TLS that resumed a session.
    Resumed: count "tls_sessions_resumed_total",
    /// Handshakes of TLS that failed for lack of something in common, in time, or by the client's refusal of the certificate.
    NoCommonProtocol: count "tls_handshake_failures_by_reason_total" "reason" = "no_common_protocol",
    /// Handshakes of TLS that failed for lack of something in common, in time, or by the client's refusal of the certificate.
    NoCommonCipher: count "tls_handshake_failures_by_reason_total" "reason" = "no_common_cipher",
    /// Handshakes of TLS that failed for lack of something in common, in time, or by the client's refusal of the certificate.
    HandshakeTimeout: count "tls_handshake_failures_by_reason_total" "reason" = "handshake_timeout",
    /// Handshakes of TLS that failed for lack of something in common, in time, or by the client's refusal of the certificate.
    PeerRejectedCertificate: count "tls_handshake_failures_by_reason_total" "reason" = "peer_rejected_cert",
    /// Handshakes of TLS after which something was wrong with the client's certificate.
    NoCertificate: count "tls_verify_failures_total" "fault" = "no_cert",
    /// Handshakes of TLS after which something was wrong with the client's certificate.
    ExpiredCertificate: count "tls_verify_failures_total" "fault" = "expired_cert",
    /// Handshakes of TLS after which something was wrong with the client's certificate.
    RevokedCertificate: count "tls_verify_failures_total" "fault" = "revoked_cert",
    /// Handshakes of TLS after which something was wrong with the client's certificate.
    HostnameMismatch: count "tls_verify_failures_total" "fault" = "hostname_mismatch",
    /// Handshakes of TLS after which something was wrong with the client's certificate.
    OtherFault: count "tls_verify_failures_total" "fault" = "other",
    /// Connections of QUIC whose handshake was completed.
    QuicConnections: count "quic_connections_total",
    /// Connections of QUIC that are there now, also those that are closed and wait for late packets.
    QuicActive: gauge "quic_connections_active",
    /// New clients over QUIC that were asked to prove their addresses.
    QuicRetries: count "quic_retries_total",
    /// Datagrams of QUIC that came.
    QuicReceived: count "quic_datagrams_received_total",
    /// Datagrams of QUIC that were passed on to another process.
    QuicPassed: count "quic_datagrams_passed_total",
    /// Datagrams of QUIC that were of no use.
    QuicDropped: count "quic_datagrams_dropped_total",
    /// Packets of QUIC that were sent, counted when their connection ends.
    QuicSent: count "quic_packets_sent_total",
    /// Packets of QUIC that were lost, counted when their connection ends.
    QuicLost: count "quic_packets_lost_total",
    /// Cache lookups by result.
    CacheMiss: count "cache_requests_total" "status" = "MISS",
    /// Cache lookups by result.
    CacheBypass: count "cache_requests_total" "status" = "BYPASS",
    /// Cache lookups by result.
    CacheExpired: count "cache_requests_total" "status" = "EXPIRED",
    /// Cache lookups by result.
    CacheStale: count "cache_requests_total" "status" = "STALE",
    /// Cache lookups by result.
    CacheUpdating: count "cache_requests_total" "status" = "UPDATING",
    /// Cache lookups by result.
    CacheRevalidated: count "cache_requests_total" "status" = "REVALIDATED",
    /// Cache lookups by result.
    CacheHit: count "cache_requests_total" "status" = "HIT",
    /// Handlers that had to wait, by phase.
    RewriteWaits: count "phase_waits_total" "phase" = "rewrite",
    /// Handlers that had to wait, by phase.
    AccessWaits: count "phase_waits_total" "phase" = "access",
    /// Handlers that had to wait, by phase.
    ContentWaits: count "phase_waits_total" "phase" = "content",
    /// Handlers that had to wait, by phase.
    OtherWaits: count "phase_waits_total" "phase" = "other",
    /// Time that handlers waited, by phase.
    RewriteTime: count "phase_wait_seconds_total" "phase" = "rewrite",
    /// Time that handlers waited, by phase.
    AccessTime: count "phase_wait_seconds_total" "phase" = "access",
    /// Time that handlers waited, by phase.
    ContentTime: count "phase_wait_seconds_total" "phase" = "content",
    /// Time that handlers waited, by phase.
    OtherTime: count "phase_wait_seconds_total" "phase" = "other",
    /// Handlers in Lua that have ended.
    LuaHandlers: count "lua_handlers_total",
    /// Handlers in Lua that ended with an error.
    LuaFailures: count "lua_failures_total",
}

/// The result of a cache lookup: `$upstream_cache_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// It had nothing.
    Miss,
    /// It was passed by.
    Bypass,
    /// What it had was too old, and the upstream was asked.
    Expired,
    /// It gave what was too old.
    Stale,
    /// It gave what was too old while another request fetches anew.
    Updating,
    /// The upstream confirmed what it had.
    Revalidated,
    /// It answered.
    Hit,
}

impl CacheStatus {
    /// All of them in their order.
    pub const ALL: [CacheStatus; 7] = [
        CacheStatus::Miss,
        CacheStatus::Bypass,
        CacheStatus::Expired,
        CacheStatus::Stale,
        CacheStatus::Updating,
        CacheStatus::Revalidated,
        CacheStatus::Hit,
    ];

    /// Whether the client got what the cache had.
    #[must_use]
    pub fn is_from_cache(self) -> bool {
        !matches!(self, CacheStatus::Miss | CacheStatus::Bypass | CacheStatus::Expired)
    }

    /// The variable's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        of_cache(self).label().map_or("", |(_, value)| value)
    }
}

pub(super) fn of_cache(status: CacheStatus) -> Counter {
    match status {
        CacheStatus::Miss => Counter::CacheMiss,
        CacheStatus::Bypass => Counter::CacheBypass,
        CacheStatus::Expired => Counter::CacheExpired,
        CacheStatus::Stale => Counter::CacheStale,
        CacheStatus::Updating => Counter::CacheUpdating,
        CacheStatus::Revalidated => Counter::CacheRevalidated,
        CacheStatus::Hit => Counter::CacheHit,
    }
}

impl From<TlsCounter> for Counter {
    fn from(counter: TlsCounter) -> Counter {
        match counter {
            TlsCounter::Handshakes => Counter::Handshakes,
            TlsCounter::Failed => Counter::HandshakesFailed,
            TlsCounter::Reuses => Counter::Resumed,
            TlsCounter::NoCommonProtocol => Counter::NoCommonProtocol,
            TlsCounter::NoCommonCipher => Counter::NoCommonCipher,
            TlsCounter::Timeout => Counter::HandshakeTimeout,
            TlsCounter::PeerRejectedCertificate => Counter::PeerRejectedCertificate,
            TlsCounter::NoCertificate => Counter::NoCertificate,
            TlsCounter::ExpiredCertificate => Counter::ExpiredCertificate,
            TlsCounter::RevokedCertificate => Counter::RevokedCertificate,
            TlsCounter::HostnameMismatch => Counter::HostnameMismatch,
            TlsCounter::OtherFault => Counter::OtherFault,
        }
    }
}

/// How often a phase had to wait, and how long.
pub(super) fn of_phase(phase: Phase) -> Option<(Counter, Counter)> {
    Some(match phase {
        Phase::ServerRewrite | Phase::Rewrite => (Counter::RewriteWaits, Counter::RewriteTime),
        Phase::Access => (Counter::AccessWaits, Counter::AccessTime),
        Phase::Content => (Counter::ContentWaits, Counter::ContentTime),
        Phase::PostRead | Phase::Preaccess | Phase::Precontent => (Counter::OtherWaits, Counter::OtherTime),
        // Nobody waits for it.
        Phase::Log => return None,
    })
}
