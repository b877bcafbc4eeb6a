//! "Did you mean": the most similar known name.

/// Names longer than this are not compared.
const LONGEST: usize = 64;

/// The name nearest to `word`, at most two slips away (one for words of up to four letters): a
/// letter added, left out, changed, or two neighbours swapped. The first of equals wins.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = if word.len() <= 4 { 1 } else { 2 };
    let mut best: Option<(usize, &str)> = None;
    for name in names {
        if word.len() > LONGEST || name.len() > LONGEST || word.len().abs_diff(name.len()) > limit {
            continue;
        }
        let found = distance(word.as_bytes(), name.as_bytes());
        if found > 0 && found <= limit && best.is_none_or(|(least, _)| found < least) {
            best = Some((found, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Damerau's and Levenshtein's distance in its restricted form: no part is edited twice.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let width = b.len() + 1;
    let mut rows = [vec![0; width], vec![0; width], (0..width).collect::<Vec<usize>>()];
    for (i, &x) in a.iter().enumerate() {
        rows.rotate_left(1);
        let [before, above, row] = &mut rows;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (j, &y) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut least = (cell(above, j) + usize::from(x != y)).min(cell(above, j + 1) + 1).min(left + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&y) && b.get(j - 1) == Some(&x);
            if swapped {
                least = least.min(cell(before, j - 1) + 1);
            }
            if let Some(slot) = row.get_mut(j + 1) {
                *slot = least;
            }
            left = least;
        }
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "abd", 1),
            ("kitten", "sitting", 3),
            ("listen", "lisetn", 1),
            ("ca", "abc", 3),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(distance(b.as_bytes(), a.as_bytes()), expected, "{b} {a}");
        }
    }

    #[test]
    fn names() {
        let known = ["listen", "location", "root", "proxy_pass", "proxy_bind"];
        assert_eq!(nearest("lisen", known), Some("listen"));
        assert_eq!(nearest("proxy_pas", known), Some("proxy_pass"));
        assert_eq!(nearest("rot", known), Some("root"));
        assert_eq!(nearest("rt", known), None);
        assert_eq!(nearest("listen", known), None);
        assert_eq!(nearest(&"x".repeat(100), known), None);
    }
}
