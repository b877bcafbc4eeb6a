//! A variable: `$sample_path_length`. Its definition and its test stand in one file; in the tree, that of the module that it belongs to.

use base::text::push_number;
use http::variables::define;
use http::{Module, Variables};

pub(super) const MODULE: Module = Module { variables, ..Module::named("sample") };

fn variables(variables: &mut Variables) {
    define(variables, "sample_path_length", 0, |request, out| {
        push_number(out, request.line.borrow().uri.len() as u64);
        true
    });
}

#[cfg(test)]
mod tests {
    use crate::tests::running::Running;

    #[test]
    fn a_variable_has_its_value_everywhere() {
        let server = Running::start(
            "map $sample_path_length $long { 5 exactly; default no; }
             server { listen 127.0.0.1:$PORT; location / { return 200 \"$sample_path_length $long\"; } }",
        );
        assert!(server.get("/four").ends_with("\r\n\r\n5 exactly"));
        assert!(server.get("/seven").ends_with("\r\n\r\n6 no"));
    }
}
