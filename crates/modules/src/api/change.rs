//! Server parameters sent by API clients: JSON, validated.

use super::value::Value;
use balance::sessions::LONGEST_ID;
use base::saturated::Saturated;
use upstream::constraints::GroupConstraints;
use upstream::live::{ApiError, ServerChange};

fn format_error(text: String) -> ApiError {
    ApiError::bad("UpstreamConfFormatError", text)
}

/// Reads an object. `new`: it is about a server that is to be added, of which more can be said.
// tidy: table
pub(super) fn read(value: &Value, terms: &GroupConstraints, new: bool) -> Result<ServerChange, ApiError> {
    let Value::Object(fields) = value else { return Err(format_error("nested object or list".to_owned())) };
    let mut change = ServerChange::default();
    for (name, value) in fields {
        if matches!(value, Value::Object(_) | Value::List(_)) {
            return Err(format_error("nested object or list".to_owned()));
        }
        let unknown = || format_error(format!("unknown parameter \"{name}\""));
        let invalid = || format_error(format!("invalid \"{name}\" value"));
        let bad = |code| move || ApiError::bad(code, format!("invalid \"{name}\""));
        match name.as_str() {
            "server" => change.server = Some(text(value).ok_or_else(invalid)?),
            "weight" => {
                let weight = number(value).filter(|weight| (1..=1_000_000).contains(weight)).and_then(|weight| i64::try_from(weight).ok());
                change.weight = Some(weight.ok_or_else(bad("UpstreamBadWeight"))?);
            }
            "max_conns" => change.max_conns = Some(number(value).ok_or_else(bad("UpstreamBadMaxConns"))?),
            "max_fails" => change.max_fails = Some(number(value).ok_or_else(bad("UpstreamBadMaxFails"))?),
            "fail_timeout" => {
                let time = time(value, base::text::parse_time_sec).and_then(|time| i64::try_from(time).ok());
                change.fail_timeout = Some(time.ok_or_else(bad("UpstreamBadFailTimeout"))?);
            }
            "slow_start" => {
                let time = time_ms(value).ok_or_else(bad("UpstreamBadSlowStart"))?;
                if !terms.bound && time > 0 {
                    return Err(unknown());
                }
                change.slow_start = Some(time);
            }
            "route" if terms.bound => {
                let route = text(value).ok_or_else(invalid)?;
                if route.len() > LONGEST_ID {
                    return Err(ApiError::bad("UpstreamBadRoute", "route is too long"));
                }
                change.route = Some(route);
            }
            "down" => change.down = Some(boolean(value).ok_or_else(invalid)?),
            "drain" if terms.bound => change.drain = Some(boolean(value).ok_or_else(invalid)?),
            "backup" if new => change.backup = Some(boolean(value).ok_or_else(invalid)?),
            "service" if new => change.service = Some(text(value).ok_or_else(invalid)?),
            _ => return Err(unknown()),
        }
    }
    Ok(change)
}

fn text(value: &Value) -> Option<String> {
    match value {
        // A line's end would end the line of the state file, and nothing that is meant has one.
        Value::Text(text) if !text.chars().any(char::is_control) => Some(text.clone()),
        _ => None,
    }
}

/// A number, as such or as text.
fn number(value: &Value) -> Option<u64> {
    match value {
        // Whole numbers up to 2^53 are exact.
        Value::Number(number) if *number >= 0.0 && *number <= 9_007_199_254_740_992.0 && number.fract() == 0.0 => {
            Some(u64::saturated(*number))
        }
        Value::Text(text) => base::text::parse_number(text.as_bytes()),
        _ => None,
    }
}

/// A time, as text or as a number of seconds.
fn time(value: &Value, parse: fn(&[u8]) -> Option<u64>) -> Option<u64> {
    match value {
        Value::Text(text) => parse(text.as_bytes()),
        _ => number(value),
    }
}

fn time_ms(value: &Value) -> Option<u64> {
    match value {
        Value::Text(text) => base::text::parse_time_ms(text.as_bytes()),
        _ => number(value)?.checked_mul(1000),
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(is) => Some(*is),
        Value::Text(text) => match text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_servers() {
        let terms = GroupConstraints { bound: true, ..GroupConstraints::default() };
        let code = |text: &str, new| read(&Value::parse(text.as_bytes()).unwrap(), &terms, new).err().map(|wrong| wrong.code);
        let all = r#"{"server":"a:1","weight":2,"max_conns":"3","max_fails":0,"fail_timeout":"5s","slow_start":"2s","route":"r","backup":"true","down":true,"drain":false}"#;
        let change = read(&Value::parse(all.as_bytes()).unwrap(), &terms, true).unwrap();
        assert_eq!((change.weight, change.max_conns, change.fail_timeout, change.slow_start), (Some(2), Some(3), Some(5), Some(2000)));
        assert_eq!((change.backup, change.down, change.drain), (Some(true), Some(true), Some(false)));
        for (text, new, expected) in [
            (r#"{"weight":0}"#, true, "UpstreamBadWeight"),
            (r#"{"weight":1.5}"#, true, "UpstreamBadWeight"),
            (r#"{"weight":null}"#, true, "UpstreamBadWeight"),
            (r#"{"max_conns":-1}"#, true, "UpstreamBadMaxConns"),
            (r#"{"fail_timeout":"x"}"#, true, "UpstreamBadFailTimeout"),
            (r#"{"slow_start":"x"}"#, true, "UpstreamBadSlowStart"),
            (r#"{"down":1}"#, true, "UpstreamConfFormatError"),
            (r#"{"backup":true}"#, false, "UpstreamConfFormatError"),
            (r#"{"id":1}"#, true, "UpstreamConfFormatError"),
            (r#"{"server":"a;\nb"}"#, true, "UpstreamConfFormatError"),
            (r#"{"server":{}}"#, true, "UpstreamConfFormatError"),
            (r#"[]"#, true, "UpstreamConfFormatError"),
        ] {
            assert_eq!(code(text, new), Some(expected), "{text}");
        }
    }
}
