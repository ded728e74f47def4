//! A column in memory: one flat block of numbers, or of codes with a name for each.

use std::collections::HashMap;

/// The code of a missing category.
pub(crate) const NO_CODE: u32 = u32::MAX;

/// The cells of a column.
#[derive(Clone, Debug)]
pub(crate) enum Cells {
    /// Numbers; NaN where one is missing.
    Numbers(Vec<f64>),
    /// Categories.
    Categories(Categories),
}

/// Categories as codes into a list of names; [`NO_CODE`] where one is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Categories {
    pub(crate) codes: Vec<u32>,
    pub(crate) names: Vec<String>,
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) cells: Cells,
    pub(crate) missing: usize,
    /// The line of the first missing cell.
    pub(crate) first_missing: u64,
}

/// The codes of names, as a file is read.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    codes: HashMap<String, u32>,
}

impl Dictionary {
    /// The code of a name; a new one for a new name.
    pub(crate) fn code(&mut self, name: &str) -> u32 {
        if let Some(&code) = self.codes.get(name) {
            return code;
        }
        let code = self.codes.len() as u32;
        self.codes.insert(name.to_owned(), code);
        code
    }

    /// The names in the order of their codes.
    pub(crate) fn into_names(self) -> Vec<String> {
        let mut names = vec![String::new(); self.codes.len()];
        for (name, code) in self.codes {
            names[code as usize] = name;
        }
        names
    }
}

impl Categories {
    /// Puts the names in order, so that codes do not depend on the order of the rows.
    pub(crate) fn sort(&mut self) {
        let order = sorted(&self.names);
        let mut new_code = vec![0_u32; order.len()];
        for (new, &old) in order.iter().enumerate() {
            new_code[old] = new as u32;
        }
        for code in self.codes.iter_mut().filter(|code| **code != NO_CODE) {
            *code = new_code[*code as usize];
        }
        self.names = order.into_iter().map(|old| std::mem::take(&mut self.names[old])).collect();
    }
}

/// Puts names in order.
pub(crate) fn sort(names: &mut Vec<String>) {
    *names = sorted(names).into_iter().map(|at| std::mem::take(&mut names[at])).collect();
}

/// Names in order, by their positions: by value where all are numbers, else by the alphabet. The one rule for classes and
/// categories.
fn sorted(names: &[String]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    let numbers: Option<Vec<f64>> = names.iter().map(|name| name.parse().ok()).collect();
    match numbers {
        Some(numbers) => {
            order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]).then_with(|| names[a].cmp(&names[b])));
        }
        None => order.sort_by(|&a, &b| names[a].cmp(&names[b])),
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_in_order_by_value_or_by_the_alphabet() {
        let cases: [(&[&str], &[&str]); 2] =
            [(&["10", "9", "-1"], &["-1", "9", "10"]), (&["b", "10", "a"], &["10", "a", "b"])];
        for (names, expected) in cases {
            let mut dictionary = Dictionary::default();
            let codes = names.iter().chain(names).map(|name| dictionary.code(name)).chain([NO_CODE]).collect();
            let mut categories = Categories { codes, names: dictionary.into_names() };
            categories.sort();
            assert_eq!(categories.names, expected);
            let back: Vec<&str> = categories.codes[..6].iter().map(|&code| &*categories.names[code as usize]).collect();
            assert_eq!(back, [names, names].concat());
            assert_eq!(categories.codes[6], NO_CODE);
        }
    }
}
