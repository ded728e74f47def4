//! The known name nearest to an unknown one, for error messages.

/// The name in `known` most like `name` (Jaro-Winkler), where it is near enough to be a likely slip.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LIKELY: f64 = 0.75;
    let folded = name.to_lowercase().replace('_', "-");
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&folded, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LIKELY)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `; did you mean X?` or nothing: the tail of an error message about an unknown name.
pub(crate) fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let known = ["digits", "mnist", "fashion-mnist", "cifar10"];
        assert_eq!(nearest("minst", known), Some("mnist"));
        assert_eq!(nearest("fashion_mnist", known), Some("fashion-mnist"));
        assert_eq!(nearest("CIFAR-10", known), Some("cifar10"));
        assert_eq!(nearest("zzzz", known), None);
    }
}
