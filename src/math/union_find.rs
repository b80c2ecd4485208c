//! Disjoint sets of small integers.

/// Sets over `0..len`, joined in almost constant time.
#[derive(Debug, Clone)]
pub struct UnionFind {
    parent: Vec<usize>,
}

impl UnionFind {
    /// `len` sets of one element each.
    pub fn new(len: usize) -> Self {
        Self { parent: (0..len).collect() }
    }

    /// The representative of the set of `x`: its smallest element.
    pub fn find(&mut self, mut x: usize) -> usize {
        while self.parent[x] != x {
            self.parent[x] = self.parent[self.parent[x]];
            x = self.parent[x];
        }
        x
    }

    /// Joins the sets of `a` and `b`.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::UnionFind;

    #[test]
    fn the_smallest_element_represents() {
        let mut sets = UnionFind::new(5);
        sets.join(4, 2);
        sets.join(2, 3);
        assert_eq!([0, 1, 2, 3, 4].map(|x| sets.find(x)), [0, 1, 2, 2, 2]);
    }
}
