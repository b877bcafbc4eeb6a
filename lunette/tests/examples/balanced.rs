//! Load balancing: a server that is sick takes no requests.

use crate::copy::Copy;
use crate::rig::{exchange, get, parse, until};

#[test]
fn a_sick_server_takes_no_requests() {
    let copy = Copy::of("load-balancing");
    copy.replace("interval = 1000", "interval = 50");
    let _server = copy.start();
    copy.ask();
    let status = || get(copy.port(), "/status").unwrap().text();
    let answers = || -> Vec<String> { (0..6).map(|_| get(copy.port(), "/").unwrap().text()).collect() };
    until("both servers", || answers().iter().any(|text| text == "server a\n") && answers().iter().any(|text| text == "server b\n"));
    let switch = |to: &str| {
        let port: u16 = copy.filled("8081").parse().unwrap();
        let request = format!("POST /switch/{to} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(parse(&exchange(port, request.as_bytes()).unwrap()).unwrap().status, 200);
    };
    switch("sick");
    until("a server that is down", || status().contains("DOWN"));
    assert!(answers().iter().all(|text| text == "server b\n"));
    let metrics = get(copy.port(), "/metrics").unwrap().text();
    let line = format!("lunette_upstream_server_up{{upstream=\"app\",server=\"127.0.0.1:{}\"}} 0", copy.filled("8081"));
    assert!(metrics.contains(&line), "{metrics}");
    switch("well");
    until("both servers again", || !status().contains("DOWN") && answers().iter().any(|text| text == "server a\n"));
}
