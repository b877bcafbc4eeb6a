//! Metrics at one moment, parsed from the Prometheus text format.

use std::collections::HashMap;

/// A line: its labels and its value.
pub(super) struct Line {
    labels: String,
    pub(super) value: f64,
}

impl Line {
    /// All of its labels, as they are written.
    pub(super) fn labels(&self) -> &str {
        &self.labels
    }

    /// The value of a label.
    pub(super) fn label(&self, name: &str) -> String {
        let mut rest = &*self.labels;
        while let Some((key, behind)) = rest.split_once("=\"") {
            let (value, next) = quoted(behind);
            if key.trim_start_matches(',') == name {
                return value;
            }
            rest = next;
        }
        String::new()
    }
}

/// The text up to the closing quote, and what is behind that.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, letter)) => value.push(letter),
                None => break,
            },
            letter => value.push(letter),
        }
    }
    (value, "")
}

/// All lines by name.
pub(super) struct Sample(HashMap<String, Vec<Line>>);

impl Sample {
    /// `None`: this is something else.
    pub(super) fn parse(text: &str) -> Option<Sample> {
        let mut all: HashMap<String, Vec<Line>> = HashMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ')?;
            let (name, labels) = name.strip_suffix('}').and_then(|name| name.split_once('{')).unwrap_or((name, ""));
            let name = name.strip_prefix("lunette_")?;
            let value = value.parse().ok()?;
            all.entry(name.to_owned()).or_default().push(Line { labels: labels.to_owned(), value });
        }
        all.contains_key("requests_total").then_some(Sample(all))
    }

    /// All lines of a name.
    pub(super) fn lines(&self, name: &str) -> &[Line] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The sum of the lines of a name.
    pub(super) fn sum(&self, name: &str) -> f64 {
        self.lines(name).iter().map(|line| line.value).sum()
    }

    /// The value of the line of a name that has this label.
    pub(super) fn of(&self, name: &str, key: &str, label: &str) -> Option<f64> {
        self.lines(name).iter().find(|line| line.label(key) == label).map(|line| line.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_labels() {
        let text = "# TYPE lunette_requests_total counter\nlunette_requests_total 7\nlunette_x{a=\"1\",b=\"p\\\"q, \\\\\"} 2.5\nlunette_x{a=\"2\"} 1\n";
        let sample = Sample::parse(text).unwrap();
        assert_eq!((sample.sum("requests_total"), sample.sum("x"), sample.of("x", "a", "2")), (7.0, 3.5, Some(1.0)));
        assert_eq!(sample.lines("x")[0].label("b"), "p\"q, \\");
        assert_eq!(sample.lines("x")[0].label("c"), "");
        for text in ["", "lunette_x 1", "<html>", "lunette_requests_total many", "nginx_requests_total 1"] {
            assert!(Sample::parse(text).is_none(), "{text}");
        }
    }
}
