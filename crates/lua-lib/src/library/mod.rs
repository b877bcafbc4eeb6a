//! The libraries in Lua alone that OpenResty brings along: clients of other servers, limits, balancing. None of them
//! knows more than the `ngx` API, so that each is a file and one line here.

/// Name and source of each.
pub(crate) const LIBRARIES: &[(&str, &str)] = &[
    ("cjson.util", include_str!("cjson_util.lua")),
    ("rds.parser", include_str!("rds_parser.lua")),
    ("redis.parser", include_str!("redis_parser.lua")),
    ("resty.balancer.utils", include_str!("balancer_utils.lua")),
    ("resty.chash", include_str!("chash.lua")),
    ("resty.dns.address", include_str!("dns_address.lua")),
    ("resty.dns.answer", include_str!("dns_answer.lua")),
    ("resty.dns.resolver", include_str!("dns_resolver.lua")),
    ("resty.limit.conn", include_str!("limit_conn.lua")),
    ("resty.limit.count", include_str!("limit_count.lua")),
    ("resty.limit.req", include_str!("limit_req.lua")),
    ("resty.limit.traffic", include_str!("limit_traffic.lua")),
    ("resty.memcached", include_str!("memcached.lua")),
    ("resty.mysql", include_str!("mysql.lua")),
    ("resty.mysql.auth", include_str!("mysql_auth.lua")),
    ("resty.mysql.packet", include_str!("mysql_packet.lua")),
    ("resty.redis", include_str!("redis.lua")),
    ("resty.roundrobin", include_str!("roundrobin.lua")),
    ("resty.swrr", include_str!("swrr.lua")),
    ("resty.upstream.healthcheck", include_str!("healthcheck.lua")),
    ("resty.websocket.client", include_str!("websocket_client.lua")),
    ("resty.websocket.endpoint", include_str!("websocket_endpoint.lua")),
    ("resty.websocket.protocol", include_str!("websocket_protocol.lua")),
    ("resty.websocket.server", include_str!("websocket_server.lua")),
];
