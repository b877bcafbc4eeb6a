//! A directive more in a module that is there: `empty_gif_color red | green | blue;` says the colour of the pixel in a field of its own.
//!
//! Its row, its field, what is inherited, what it does and its test stand in one file: in the tree that file would be the module's.

use conf::context::{Arity, Context};
use conf::row::Row;
use conf::scope::Config;
use conf::tree::Error;
use http::{Attach, Levels, Module, Outcome};
use modules::empty_gif::MODULE as BASE;

pub(super) const MODULE: Module = Module { rows, levels, attach, ..BASE };

#[derive(Default)]
struct Color {
    name: Option<&'static str>,
}

impl Config for Color {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; name);
    }
}

fn rows() -> Vec<Row> {
    let mut rows = (BASE.rows)();
    rows.push(Row::new("empty_gif_color", Context::HTTP_ALL, Arity::exactly(1), "The colour that nobody sees.", |cx| {
        let name = cx.choice(0, &[("red", "red"), ("green", "green"), ("blue", "blue")])?;
        cx.once(&mut cx.location::<Color>().name, name)
    }));
    rows
}

fn levels(levels: &mut Levels) {
    (BASE.levels)(levels);
    levels.location::<Color>();
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    (BASE.attach)(place)?;
    if let Some(name) = place.conf::<Color>().name {
        place.header_filter(move |request| {
            request.response.borrow_mut().headers.push(b"X-Color", name.as_bytes());
            Outcome::Ok.into()
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::tests::running::Running;

    #[test]
    fn a_directive_is_read_inherited_and_acts() {
        let server = Running::start(
            "empty_gif_color red; server { listen 127.0.0.1:$PORT; location /a { empty_gif; } location /b { empty_gif_color blue; empty_gif; } }",
        );
        for (path, color) in [("/a", "red"), ("/b", "blue")] {
            let answer = server.get(path);
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(&format!("X-Color: {color}\r\n")), "{answer}");
        }
    }
}
