//! Requests that go elsewhere: `rewrite`, internal redirects, named locations, a limited number of times.

use super::Run;
use super::location::enter;
use crate::stage::Stage;
use base::log::Level;
use http::{Jump, Outcome, Request, Step, log_request};
use std::rc::Rc;

impl Run {
    pub(super) fn post_rewrite(&mut self, request: &Rc<Request>) -> Option<Step> {
        if !request.progress.uri_changed.get() {
            self.enter_stage(Stage::Preaccess);
            return None;
        }
        let left = request.progress.uri_changes.get().saturating_sub(1);
        request.progress.uri_changes.set(left);
        if left == 0 {
            let uri = String::from_utf8_lossy(&request.line.borrow().uri).into_owned();
            log_request!(request, Level::Error, "rewrite or internal redirection cycle while processing \"{uri}\"");
            return Some(Step::Now(Outcome::Status(500)));
        }
        request.set_server(request.server());
        self.enter_stage(Stage::FindConfig);
        None
    }

    pub(super) fn jump(&mut self, request: &Rc<Request>, jump: Jump) {
        let left = request.progress.uri_changes.get().saturating_sub(1);
        request.progress.uri_changes.set(left);
        let cycle = |what: &str, name: &[u8]| {
            let name = String::from_utf8_lossy(name);
            log_request!(request, Level::Error, "rewrite or internal redirection cycle while {what} \"{name}\"");
        };
        request.clear_contexts();
        request.flags.internal.set(true);
        request.content.replace(None);
        match jump {
            Jump::Internal { uri, .. } if left == 0 => {
                cycle("internally redirecting to", &uri);
                self.enter_stage(Stage::Finalize(Outcome::Status(500)));
            }
            Jump::Named(name) if left == 0 => {
                cycle("redirect to named location", &[b"@", name.as_slice()].concat());
                self.enter_stage(Stage::Finalize(Outcome::Status(500)));
            }
            Jump::Internal { uri, args } => {
                {
                    let mut line = request.line.borrow_mut();
                    line.set_uri(&uri);
                    line.set_args(&args);
                    line.location_is_valid = true;
                }
                request.set_server(request.server());
                request.action.set("");
                self.enter_stage(Stage::first(request));
            }
            Jump::Named(name) => {
                let server = request.server();
                let found = server.locations.named.iter().find(|l| *l.name == *name).cloned();
                request.set_server(server);
                match found {
                    Some(location) => {
                        request.progress.uri_changed.set(false);
                        enter(request, location);
                        self.enter_stage(Stage::in_location(request));
                    }
                    None => {
                        let name = String::from_utf8_lossy(&name).into_owned();
                        log_request!(request, Level::Error, "could not find named location \"@{name}\"");
                        self.enter_stage(Stage::Finalize(Outcome::Status(500)));
                    }
                }
            }
        }
    }
}
