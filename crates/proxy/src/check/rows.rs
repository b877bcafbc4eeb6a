//! The directives `health_check` and `match`.

use super::test;
use super::{Checked, HealthCheck, Tests, grpc};
use ::upstream::checks::Schedule;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("health_check", Context::LOCATION, Arity::AtLeast(0), "The location's servers are asked regularly.", health_check),
        Row::new("match", Context::HTTP, Arity::exactly(1), "What a healthy server responds to a health check with.", |cx| {
            Tests::read(cx, test::read)
        })
        .with_block(),
    ]
}

fn health_check(cx: &mut Cx<'_>) -> Result<(), Error> {
    let mut check = HealthCheck { schedule: Schedule::default(), uri: None, grpc: None, keepalive: 0, span: cx.directive.name.span };
    for i in 0..cx.args().len() {
        let word = cx.arg(i);
        let value = |name: &str| word.strip_prefix(name.as_bytes());
        if check.schedule.read(cx, i)? {
            continue;
        }
        if let Some(uri) = value("uri=").filter(|uri| uri.first() == Some(&b'/')) {
            check.uri = Some(uri.into());
        } else if let Some(time) = value("keepalive_time=") {
            check.keepalive = base::text::parse_time_ms(time).ok_or_else(|| cx.invalid_parameter(i))?;
        } else if value("type=") == Some(b"http") {
            check.grpc = None;
        } else if value("type=") == Some(b"grpc") {
            check.grpc = Some(grpc::HealthCheckRequest::default());
        } else if let (Some(service), Some(question)) = (value("grpc_service="), &mut check.grpc) {
            question.service = service.into();
        } else if let (Some(status), Some(question)) = (value("grpc_status="), &mut check.grpc) {
            let status = base::text::parse_number(status).filter(|status| *status > 0 && *status <= u64::from(u16::MAX));
            question.status = Some(status.ok_or_else(|| cx.invalid_parameter(i))?);
        } else {
            return Err(cx.invalid_parameter(i));
        }
    }
    if check.grpc.is_some() && (check.uri.is_some() || check.schedule.test.is_some()) {
        return Err(cx.error("\"type=grpc\" can have neither \"uri\" nor \"match\""));
    }
    cx.location::<Checked>().checks.push(check);
    Ok(())
}
