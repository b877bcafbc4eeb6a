//! DNS messages (RFC 1035): a question out, an answer in. Nothing here trusts the other side: names are bounded,
//! compression can only lead backwards, and an answer says which question it is to.

pub mod name;
#[cfg(test)]
mod tests;

pub use name::Name;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many aliases of one answer are followed.
pub const MOST_ALIASES: usize = 16;
/// No record is believed for longer, in seconds: a week (RFC 8767).
pub const LONGEST_TTL: u32 = 604_800;

const HEAD: usize = 12;
const INTERNET: u16 = 1;

/// A record's type (RFC 1035, 3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u16);

impl Kind {
    /// An IPv4 address (RFC 1035, 3.4.1).
    pub const A: Kind = Kind(1);
    /// An alias.
    pub(crate) const CNAME: Kind = Kind(5);
    /// A name for an address.
    pub(crate) const PTR: Kind = Kind(12);
    /// An IPv6 address (RFC 3596).
    pub const AAAA: Kind = Kind(28);
    /// The location of a service (RFC 2782).
    pub const SRV: Kind = Kind(33);
}

/// The data of a record, by its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// `A` or `AAAA`.
    Address(IpAddr),
    /// `CNAME`
    Alias(Name),
    /// `PTR`
    Pointer(Name),
    /// `SRV`
    Service(Service),
}

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The lowest is tried first.
    pub priority: u16,
    /// The share among equals.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host.
    pub target: Name,
}

/// A record of the answer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose record it is.
    pub owner: Name,
    /// How many seconds it holds, at most [`LONGEST_TTL`].
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// A response to a query for one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The question's number.
    pub id: u16,
    /// The response code: 0 is good, 3 says that there is no such name.
    pub code: u8,
    /// It did not fit: ask again over TCP.
    pub truncated: bool,
    /// The name asked for.
    pub name: Name,
    /// The type asked for.
    pub kind: Kind,
    /// Records of types known here; others are left out.
    pub records: Vec<Record>,
}

/// What an answer says about addresses or services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// The places of a service.
    pub services: Vec<Service>,
    /// For how many seconds all that was used holds.
    pub ttl: u32,
    /// Without addresses: the name that must be asked for next.
    pub alias: Option<Name>,
}

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// They end too early.
    Short,
    /// A question, or not exactly one question in it.
    Unexpected,
    /// A name is too long, or its compression does not lead back.
    Name,
    /// A record's data do not have its type's form.
    Data,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MessageError::Short => "truncated DNS message",
            MessageError::Unexpected => "DNS message is no response to one question",
            MessageError::Name => "invalid domain name",
            MessageError::Data => "invalid record data",
        })
    }
}

impl std::error::Error for MessageError {}

/// The question for a name's records, recursion desired.
#[must_use]
pub fn question(id: u16, name: &Name, kind: Kind) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + name.wire().len() + 4);
    for word in [id, 0x0100, 1, 0, 0, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(name.wire());
    out.extend_from_slice(&kind.0.to_be_bytes());
    out.extend_from_slice(&INTERNET.to_be_bytes());
    out
}

fn word(message: &[u8], at: usize) -> Result<u16, MessageError> {
    let bytes = message.get(at..).and_then(|rest| rest.first_chunk()).ok_or(MessageError::Short)?;
    Ok(u16::from_be_bytes(*bytes))
}

/// Reads an answer.
///
/// # Errors
/// It is none. A truncated answer may end anywhere behind its question.
pub fn parse(message: &[u8]) -> Result<Answer, MessageError> {
    let (id, flags) = (word(message, 0)?, word(message, 2)?);
    let (questions, answers) = (word(message, 4)?, word(message, 6)?);
    if message.len() < HEAD {
        return Err(MessageError::Short);
    }
    // The response bit, and operation 0.
    if flags & 0x8000 == 0 || flags & 0x7800 != 0 || questions != 1 {
        return Err(MessageError::Unexpected);
    }
    let truncated = flags & 0x0200 != 0;
    let (name, mut at) = Name::read(message, HEAD)?;
    let kind = Kind(word(message, at)?);
    if word(message, at + 2)? != INTERNET {
        return Err(MessageError::Unexpected);
    }
    at += 4;
    let mut records = Vec::new();
    for _ in 0..answers {
        match record(message, at) {
            Ok((found, next)) => {
                records.extend(found);
                at = next;
            }
            Err(_) if truncated => break,
            Err(flaw) => return Err(flaw),
        }
    }
    Ok(Answer { id, code: (flags & 15) as u8, truncated, name, kind, records })
}

fn record(message: &[u8], at: usize) -> Result<(Option<Record>, usize), MessageError> {
    let (owner, at) = Name::read(message, at)?;
    let (kind, class) = (Kind(word(message, at)?), word(message, at + 2)?);
    let ttl = u32::from(word(message, at + 4)?) << 16 | u32::from(word(message, at + 6)?);
    let length = usize::from(word(message, at + 8)?);
    let start = at + 10;
    let bytes = message.get(start..start + length).ok_or(MessageError::Short)?;
    let next = start + length;
    if class != INTERNET {
        return Ok((None, next));
    }
    // A name in the data may point back, but it must end where the data end.
    let whole = |from: usize| match Name::read(message, from)? {
        (name, end) if end == next => Ok(name),
        _ => Err(MessageError::Data),
    };
    let data = match kind {
        Kind::A => Data::Address(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).map_err(|_| MessageError::Data)?).into()),
        Kind::AAAA => Data::Address(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).map_err(|_| MessageError::Data)?).into()),
        Kind::CNAME => Data::Alias(whole(start)?),
        Kind::PTR => Data::Pointer(whole(start)?),
        Kind::SRV => {
            let (priority, weight, port) = (word(bytes, 0)?, word(bytes, 2)?, word(bytes, 4)?);
            Data::Service(Service { priority, weight, port, target: whole(start + 6)? })
        }
        _ => return Ok((None, next)),
    };
    // A lifetime with the highest bit counts as none (RFC 2181).
    let ttl = if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl.min(LONGEST_TTL) };
    Ok((Some(Record { owner, ttl, data }), next))
}

impl Answer {
    /// The addresses or services of the name asked for, directly or by aliases. Records of other names do not count.
    #[must_use]
    pub fn found(&self) -> Resolved {
        let mut names = vec![&self.name];
        let mut ttl = LONGEST_TTL;
        // Aliases may stand in any order; each round finds at least one more or is the last.
        for _ in 0..MOST_ALIASES {
            let next = self.records.iter().find_map(|record| match &record.data {
                Data::Alias(target) if names.contains(&&record.owner) && !names.contains(&target) => Some((target, record.ttl)),
                _ => None,
            });
            let Some((target, alive)) = next else { break };
            names.push(target);
            ttl = ttl.min(alive);
        }
        let (mut addresses, mut services) = (Vec::new(), Vec::new());
        for record in self.records.iter().filter(|record| names.contains(&&record.owner)) {
            match &record.data {
                Data::Address(address) if address.is_ipv6() == (self.kind == Kind::AAAA) => addresses.push(*address),
                Data::Service(service) if self.kind == Kind::SRV => services.push(service.clone()),
                _ => continue,
            }
            ttl = ttl.min(record.ttl);
        }
        let is_empty = addresses.is_empty() && services.is_empty();
        let alias = if is_empty && names.len() > 1 { names.last().map(|name| (*name).clone()) } else { None };
        Resolved { addresses, services, ttl, alias }
    }
}
