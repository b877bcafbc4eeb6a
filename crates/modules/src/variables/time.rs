//! Variables of time, process and machine.

use super::{define_variable, put};
use base::clock;
use base::text::push_number;
use session::variable::NO_CACHE;
use session::{Session, Variables};
use std::rc::Rc;

pub(super) fn define<S: Session>(variables: &mut Variables<S>) {
    define_variable(variables, "msec", NO_CACHE, |_, out| super::put_seconds(out, clock::now().epoch_ms()));
    define_variable(variables, "time_local", NO_CACHE, |_, out| clock::with_access_log_time(|text| put(out, text.as_bytes())));
    define_variable(variables, "time_iso8601", NO_CACHE, |_, out| clock::with_iso8601(|text| put(out, text.as_bytes())));
    define_variable(variables, "pid", 0, |_, out| {
        push_number(out, u64::from(std::process::id()));
        true
    });
    define_variable(variables, "nginx_version", 0, |_, out| put(out, base::version::NGINX.as_bytes()));
    let name = host_name();
    variables.define("hostname", 0, Rc::new(move |_, out| put(out, &name)));
}

/// The machine's name as the configuration was read, in lower case as nginx keeps it.
pub(crate) fn host_name() -> Rc<[u8]> {
    use std::os::unix::ffi::OsStrExt;
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.as_bytes().to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_machine_has_a_name_in_lower_case() {
        let name = super::host_name();
        assert!(!name.is_empty());
        assert!(!name.iter().any(u8::is_ascii_uppercase));
    }
}
