//! Keys and values in the API.

use super::value::Value;
use super::{ApiResult, Call, Reply, argument, no_path};
use crate::keyval::ZoneRef;
use crate::keyval::pairs::{AddError, Pairs};
use base::errno;
use base::log::Level;
use base::saturated::Saturated;
use http::{Method, log_request};
use shm::dict::StoreMode;
use std::rc::Rc;
use upstream::live::ApiError;

fn bad_request(text: &str) -> ApiError {
    ApiError::bad("KeyvalFormatError", text)
}

fn not_found(code: &'static str, text: &str) -> ApiError {
    ApiError { status: 404, code, text: text.to_owned() }
}

pub(super) fn answer(call: &Call<'_>, places: &[Rc<ZoneRef>]) -> ApiResult {
    let (name, call) = call.next();
    let declared = || places.iter().filter_map(|place| Some((&place.name, place.pairs.get()?)));
    let Some(name) = name else {
        call.only_read()?;
        return Ok(Reply::Value(Value::Object(declared().map(|(name, pairs)| (name.clone(), all(pairs))).collect()), 1));
    };
    if !call.path.is_empty() {
        return Err(no_path());
    }
    let pairs = declared().find(|(known, _)| *known == name).map(|(_, pairs)| pairs);
    let pairs = pairs.ok_or_else(|| not_found("KeyvalNotFound", "keyval not found"))?;
    match call.method {
        Method::POST => change(&call, pairs, |members| add(pairs, members)).map(|()| Reply::Empty(201)),
        Method::PATCH => change(&call, pairs, |members| modify(pairs, members)).map(|()| Reply::Empty(204)),
        Method::DELETE => change(&call, pairs, |_| {
            pairs.clear();
            Ok(())
        })
        .map(|()| Reply::Empty(204)),
        _ => {
            call.only_read()?;
            let arguments = String::from_utf8_lossy(&call.request.line.borrow().args).into_owned();
            match argument(&arguments, "key") {
                None => Ok(Reply::Plain(200, all(pairs), None)),
                Some(key) => {
                    let key = decoded(key);
                    let value = pairs.get(&key).ok_or_else(|| not_found("KeyvalKeyNotFound", "keyval key not found"))?;
                    Ok(Reply::Plain(200, Value::Object(vec![(key, value.into())]), None))
                }
            }
        }
    }
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    wire::uri::escape::unescape(text.as_bytes(), wire::uri::escape::Unescape::Form, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn all(pairs: &Pairs) -> Value {
    Value::Object(pairs.all().into_iter().map(|pair| (pair.key, pair.value.into())).collect())
}

/// Makes a change, and keeps what has become of it.
fn change(call: &Call<'_>, pairs: &Pairs, make: impl FnOnce(&[(String, Value)]) -> Result<(), ApiError>) -> Result<(), ApiError> {
    let members = if call.method == Method::DELETE { Value::Object(Vec::new()) } else { call.json()? };
    let Value::Object(members) = members else { return Err(bad_request("invalid JSON")) };
    let changing = pairs.change();
    make(&members)?;
    if let Err((path, error)) = pairs.save(&changing) {
        let (path, error) = (path.display(), errno::describe(&error));
        log_request!(call.request, Level::Crit, "state file \"{path}\" could not be written {error}");
    }
    Ok(())
}

/// What is said of a key: its value, if it has one, and how long it lives.
fn read_entry(pairs: &Pairs, value: &Value) -> Result<(Option<String>, Option<u64>), ApiError> {
    match value {
        Value::Text(text) => Ok((Some(text.clone()), None)),
        Value::Object(fields) => {
            let (mut text, mut expire) = (None, None);
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("value", Value::Text(value)) => text = Some(value.clone()),
                    ("expire", Value::Number(ms)) if *ms > 0.0 && *ms < 1e15 => expire = Some(u64::saturated(*ms)),
                    _ => return Err(bad_request("invalid JSON")),
                }
            }
            if expire.is_some() && pairs.timeout.is_none() {
                return Err(bad_request("keyval timeout is not enabled"));
            }
            Ok((text, expire))
        }
        _ => Err(bad_request("invalid JSON")),
    }
}

fn refused(refused: AddError, otherwise: ApiError) -> ApiError {
    match refused {
        AddError::Key => bad_request("invalid key format"),
        AddError::Full => ApiError { status: 507, code: "KeyvalOutOfMemory", text: "keyval zone memory exhausted".to_owned() },
        AddError::When => otherwise,
    }
}

fn add(pairs: &Pairs, members: &[(String, Value)]) -> Result<(), ApiError> {
    if members.is_empty() {
        return Err(bad_request("key required"));
    }
    if members.len() > 1 && !pairs.all().is_empty() {
        return Err(bad_request("only one key can be added"));
    }
    let read = |(key, value): &(String, Value)| {
        let (value, expire) = read_entry(pairs, value)?;
        Ok((key.clone(), value.ok_or_else(|| bad_request("invalid JSON"))?, expire))
    };
    let all: Vec<_> = members.iter().map(read).collect::<Result<_, ApiError>>()?;
    for (key, value, expire) in all {
        let exists = ApiError { status: 409, code: "KeyvalKeyExists", text: "key already exists".to_owned() };
        pairs.store(&key, &value, expire, StoreMode::Absent).map_err(|error| refused(error, exists))?;
    }
    Ok(())
}

fn modify(pairs: &Pairs, members: &[(String, Value)]) -> Result<(), ApiError> {
    let [(key, value)] = members else {
        return Err(bad_request(if members.is_empty() { "key required" } else { "only one key can be updated" }));
    };
    let none = || not_found("KeyvalKeyNotFound", "keyval key not found");
    if *value == Value::Null {
        return if pairs.remove(key) { Ok(()) } else { Err(none()) };
    }
    let (value, expire) = read_entry(pairs, value)?;
    let value = value.or_else(|| pairs.get(key)).ok_or_else(none)?;
    pairs.store(key, &value, expire, StoreMode::Present).map_err(|error| refused(error, none()))
}
