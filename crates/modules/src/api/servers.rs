//! The servers of a group in the API, as they are configured, and changes of them.

use super::value::{Value, object};
use super::{ApiResult, Call, Reply, change, no_path};
use balance::{Member, ServerState};
use base::log::Level;
use http::{Method, Request, log_request};
use upstream::directory::Named;
use upstream::live::{self, ApiError, Changed};

pub(super) fn answer(call: &Call<'_>, named: &Named, protocol: &str) -> ApiResult {
    let (number, call) = call.next();
    let Some(number) = number else {
        return match call.method {
            Method::POST => {
                let change = change::read(&call.json()?, &named.terms, true)?;
                let member = saved(call.request, live::add(named, &change)?);
                let id = member.as_ref().map_or(0, |member| member.id);
                let location = format!("/9/{protocol}/upstreams/{}/servers/{id}", named.full_name());
                Ok(Reply::Plain(201, value(named, member.as_ref()), Some(location)))
            }
            _ => {
                call.only_read()?;
                Ok(Reply::Plain(200, all(named)?, None))
            }
        };
    };
    if !call.path.is_empty() {
        return Err(no_path());
    }
    let number = base::text::parse_number(number.as_bytes()).ok_or_else(|| ApiError::bad("UpstreamBadServerId", "invalid server ID"))?;
    match call.method {
        Method::PATCH => {
            let change = change::read(&call.json()?, &named.terms, false)?;
            let member = saved(call.request, live::change(named, number, &change)?);
            Ok(Reply::Plain(200, value(named, member.as_ref()), None))
        }
        Method::DELETE => {
            saved(call.request, live::remove(named, number)?);
            Ok(Reply::Plain(200, all(named)?, None))
        }
        _ => {
            call.only_read()?;
            let members = live::members(named)?;
            let member = members.iter().find(|member| member.id == number).ok_or_else(|| ApiError {
                status: 404,
                code: "UpstreamServerNotFound",
                text: format!("server with ID \"{number}\" does not exist"),
            })?;
            Ok(Reply::Value(server(member, &members, named), 0))
        }
    }
}

/// The change holds; that it could not be written down is for the log.
fn saved(request: &Request, changed: Changed) -> Option<Member> {
    let (member, saved) = changed;
    if let Err(unsaved) = saved {
        log_request!(request, Level::Crit, "{unsaved}");
    }
    member
}

fn all(named: &Named) -> Result<Value, ApiError> {
    let members = live::members(named)?;
    Ok(Value::List(members.iter().map(|member| server(member, &members, named)).collect()))
}

fn value(named: &Named, member: Option<&Member>) -> Value {
    let members = named.group.members();
    member.map_or(Value::Null, |member| server(member, &members, named))
}

fn server(member: &Member, members: &[Member], named: &Named) -> Value {
    let server = &member.server;
    let address = if member.name.is_some() { &server.source } else { &server.name };
    let standing = named.group.state(member);
    let mut value = object([
        ("id", member.id.into()),
        ("server", (**address).into()),
        ("weight", server.weight.unsigned_abs().into()),
        ("max_conns", server.max_conns.into()),
        ("max_fails", server.max_fails.into()),
        ("fail_timeout", format!("{}s", server.fail_timeout).into()),
    ]);
    // A time is told in the largest unit that it is a whole number of.
    let slow =
        if server.slow_start.is_multiple_of(1000) { format!("{}s", server.slow_start / 1000) } else { format!("{}ms", server.slow_start) };
    value.put("slow_start", slow);
    if named.terms.bound {
        value.put("route", server.route.as_deref().unwrap_or_default());
    }
    value.put("backup", server.backup);
    value.put("down", standing == ServerState::Down);
    if standing == ServerState::Draining {
        value.put("drain", true);
    }
    if let Some(service) = member.name.as_ref().and_then(|name| name.service.as_deref()) {
        value.put("service", service);
    }
    if let Some(parent) = member.parent {
        value.put("parent", parent);
        let name = members.iter().find(|other| other.id == parent).and_then(|other| other.name.as_ref());
        if let Some(name) = name {
            value.put("host", &*name.host);
        }
    }
    value
}
