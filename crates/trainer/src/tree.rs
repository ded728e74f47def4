//! The order in which the parts of a window are summed: a balanced binary tree over their number.
//!
//! Node `(level, index)` is the sum of the leaves from `index 2^level` to before `(index + 1) 2^level`. Two neighbours
//! whose numbers differ in the lowest bit alone become their parent; at the end, what is left is summed from the right, so
//! that a leaf that is not there counts for nothing:
//!
//! ```text
//! 0   1   2   3   4   5   6        ((0 + 1) + (2 + 3)) + ((4 + 5) + 6)
//! ```
//!
//! So the sum does not depend on who has summed which block of neighbours: whoever holds some leaves makes the nodes that
//! lie in them whole, at most two of each level, and those of all, in order, make the same tree.

/// A sum of neighbouring leaves.
#[derive(Debug)]
pub(crate) struct Node<T> {
    level: u32,
    index: usize,
    pub(crate) sum: T,
}

impl<T> Node<T> {
    /// The leaf of this number.
    pub(crate) fn leaf(index: usize, value: T) -> Self {
        Self { level: 0, index, sum: value }
    }

    /// Its first leaf.
    pub(crate) fn first(&self) -> usize {
        self.index << self.level
    }

    /// The same place in the tree with another value.
    pub(crate) fn with<U>(&self, value: U) -> Node<U> {
        Node { level: self.level, index: self.index, sum: value }
    }
}

/// The nodes of the leaves so far, in order: like the digits of a binary counter, few at any time.
#[derive(Debug)]
pub(crate) struct Tree<T> {
    nodes: Vec<Node<T>>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { nodes: Vec::new() }
    }
}

impl<T> Tree<T> {
    /// Adds the node that comes next, and sums what has become whole.
    pub(crate) fn push(&mut self, mut node: Node<T>, mut add: impl FnMut(T, T) -> T) {
        while !node.index.is_multiple_of(2)
            && let Some(left) = self.nodes.pop_if(|left| left.level == node.level && left.index + 1 == node.index)
        {
            node = Node { level: node.level + 1, index: node.index / 2, sum: add(left.sum, node.sum) };
        }
        self.nodes.push(node);
    }

    /// The sums so far.
    pub(crate) fn sums(&self) -> impl Iterator<Item = &T> {
        self.nodes.iter().map(|node| &node.sum)
    }

    /// The nodes, each as large as its leaves allow.
    pub(crate) fn into_nodes(self) -> Vec<Node<T>> {
        self.nodes
    }

    /// The sum of all leaves.
    pub(crate) fn into_sum(self, mut add: impl FnMut(T, T) -> T) -> Option<T> {
        self.nodes.into_iter().rev().map(|node| node.sum).reduce(|right, left| add(left, right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a tree adds what it holds")]
    fn add(left: String, right: String) -> String {
        format!("({left}{right})")
    }

    fn tree(leaves: std::ops::Range<usize>) -> Tree<String> {
        let mut tree = Tree::default();
        for leaf in leaves {
            tree.push(Node::leaf(leaf, leaf.to_string()), add);
        }
        tree
    }

    #[test]
    fn the_tree_is_balanced() {
        let cases = [
            (1, "0"),
            (2, "(01)"),
            (3, "((01)2)"),
            (4, "((01)(23))"),
            (5, "(((01)(23))4)"),
            (6, "(((01)(23))(45))"),
            (7, "(((01)(23))((45)6))"),
            (8, "(((01)(23))((45)(67)))"),
        ];
        for (leaves, expected) in cases {
            assert_eq!(tree(0..leaves).into_sum(add).as_deref(), Some(expected));
        }
        assert_eq!(tree(0..0).into_sum(add), None);
    }

    #[test]
    fn whoever_holds_which_block_the_sum_is_the_same() {
        for leaves in 1..20 {
            let whole = tree(0..leaves).into_sum(add);
            for ranks in 1..=5 {
                for share in leaves.div_ceil(ranks)..=leaves {
                    let mut all = Tree::default();
                    for rank in 0..ranks {
                        let held = tree((rank * share).min(leaves)..((rank + 1) * share).min(leaves)).into_nodes();
                        assert!(held.len() <= 2 * (share.ilog2() as usize + 1));
                        for node in held {
                            all.push(node, add);
                        }
                    }
                    assert_eq!(all.into_sum(add), whole, "{leaves} leaves, {share} for each of {ranks}");
                }
            }
        }
    }
}
