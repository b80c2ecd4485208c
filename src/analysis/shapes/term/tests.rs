//! Laws of terms: equal polynomials are equal terms, and every operation agrees with numbers.

use proptest::prelude::*;

use super::*;

fn n() -> Term {
    Term::named("N")
}

fn h() -> Term {
    Term::named("H")
}

#[test]
fn factors_cancel() {
    let (n, l) = (n(), Term::named("L"));
    assert_eq!((&n * 12 * &l).floor_div(&n * &l), 12);
    assert_eq!((&n * &l * 768).floor_div(&l * 64), &n * 12);
    assert_eq!((&n * &l + &n).floor_div(&l + 1), n);
    assert_eq!((&n * 6).floor_div(&l * 4).to_string(), "floor((3*N)/(2*L))");
    assert_eq!((&n * &l + 1).floor_div(&n).to_string(), "L + floor(1/N)");
    assert_eq!(n.floor_div(0), Term::Unknown);
    assert_eq!(n.exact_div(2), None);
    assert_eq!((&n * 4).exact_div(2), Some(&n * 2));
}

#[test]
fn quotients_have_one_form() {
    let h = h();
    let halved = (&h - 1).floor_div(2) + 1;
    assert_eq!(halved.to_string(), "floor((H + 1)/2)");
    assert_eq!(halved, h.ceil_div(2));
    let twice = (&halved - 1).floor_div(2) + 1;
    assert_eq!(twice, (&h + 3).floor_div(4));
    assert_eq!((&h * 5 + 7).floor_div(2).to_string(), "2*H + floor((H + 1)/2) + 3");
    assert_eq!((&h * 2 + 3).floor_div(4), (&h + 1).floor_div(2));
}

#[test]
fn what_is_proved_needs_no_minimum() {
    let (n, h) = (n(), h());
    assert_eq!((&n + 3).smaller(&n), n);
    assert_eq!(n.larger(&Term::Known(0)), n);
    assert_eq!(n.larger(&Term::Known(-4)), n);
    assert_eq!(n.smaller(&Term::Known(5)).to_string(), "min(5, N)");
    assert!(n.smaller(&Term::Known(5)).at_most(&Term::Known(5)));
    assert!((&n * &h + 1).at_least(1));
    assert!(!(&n - 1).at_least(0));
    assert!(!(&n - &h).at_least(0));
}

#[test]
fn large_expressions_and_large_numbers_are_unknown() {
    let sum = (0..MAX_SIZE as i64).fold(n(), |sum, i| sum + Term::named(&format!("s{i}")));
    assert_eq!(sum, Term::Unknown);
    let power = (0..MAX_SIZE).fold(n(), |power, _| power * n());
    assert_eq!(power, Term::Unknown);
    assert_eq!(n() * i64::MAX * 2, Term::Unknown);
    assert_eq!(Term::Known(i64::MIN).floor_div(-1), Term::Unknown);
    let _ = (n() * i64::MIN + i64::MIN).floor_div(n() * i64::MIN).floor_div(-1);
}

#[test]
fn names_that_are_no_words_stay_apart() {
    assert_eq!((Term::named("a + b") * 2).to_string(), "2*(a + b)");
    assert_eq!(Term::named("a + b").to_string(), "a + b");
    assert_eq!((Term::axis(&"x".into(), 1) + 1).to_string(), "x[1] + 1");
    assert_eq!((Term::Known(3) - n() * n()).to_string(), "-N*N + 3");
}

/// An expression as a tree, to be computed with terms and with numbers.
#[derive(Debug, Clone)]
enum Tree {
    Number(i64),
    Symbol(usize),
    Node(&'static str, Box<Tree>, Box<Tree>),
}

const SYMBOLS: [&str; 3] = ["N", "H", "L"];

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![(-5i64..9).prop_map(Tree::Number), (0..3usize).prop_map(Tree::Symbol)];
    leaf.prop_recursive(4, 24, 2, |inner| {
        let op = proptest::sample::select(vec!["+", "-", "*", "/", "/", "^", "min", "max"]);
        (op, inner.clone(), inner).prop_map(|(op, a, b)| Tree::Node(op, Box::new(a), Box::new(b)))
    })
}

fn term(tree: &Tree) -> Term {
    match tree {
        Tree::Number(number) => Term::Known(*number),
        Tree::Symbol(i) => Term::named(SYMBOLS[*i]),
        Tree::Node(op, a, b) => {
            let (a, b) = (term(a), term(b));
            match *op {
                "+" => a + b,
                "-" => a - b,
                "*" => a * b,
                "/" => a.floor_div(b),
                "^" => a.ceil_div(b),
                "min" => a.smaller(&b),
                _ => a.larger(&b),
            }
        }
    }
}

/// The number; nothing when it divides by 0, as no run of a valid model does.
fn number(tree: &Tree, at: [i64; 3]) -> Option<i64> {
    Some(match tree {
        Tree::Number(number) => *number,
        Tree::Symbol(i) => at[*i],
        Tree::Node(op, a, b) => {
            let (a, b) = (number(a, at)?, number(b, at)?);
            match *op {
                "+" => a + b,
                "-" => a - b,
                "*" => a.checked_mul(b)?,
                "/" => polynomial::floor(a, b)?,
                "^" => -polynomial::floor(-a, b)?,
                "min" => a.min(b),
                _ => a.max(b),
            }
        }
    })
}

fn evaluate(term: &Term, at: [i64; 3]) -> Option<i64> {
    term.evaluate(&|symbol| {
        let index = SYMBOLS.iter().position(|name| *name == symbol.to_string())?;
        Some(at[index])
    })
}

fn extents() -> [std::ops::Range<i64>; 3] {
    [0..12, 0..12, 0..12]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn terms_agree_with_numbers(tree in tree(), at in extents()) {
        let term = term(&tree);
        if let (true, Some(expected)) = (term.is_determined(), number(&tree, at)) {
            prop_assert_eq!(evaluate(&term, at), Some(expected), "{}", term);
        }
    }

    #[test]
    fn what_is_proved_is_true(a in tree(), b in tree(), at in extents()) {
        let (x, y) = (term(&a), term(&b));
        if let (Some(p), Some(q)) = (number(&a, at), number(&b, at)) {
            prop_assert!(!x.at_most(&y) || p <= q, "{x} <= {y}");
            for least in -3..3 {
                prop_assert!(!x.at_least(least) || p >= least, "{x} >= {least}");
            }
        }
    }

    #[test]
    fn the_form_does_not_depend_on_the_way(a in tree(), b in tree(), c in tree()) {
        let (a, b, c) = (&term(&a), &term(&b), &term(&c));
        let pairs = [
            (a + b, b + a),
            (a * b, b * a),
            (a + b - b, a.clone()),
            ((a + b) + c, a + (b + c)),
            ((a * b) * c, a * (b * c)),
            (a * (b + c), a * b + a * c),
            ((a + b * 4).floor_div(4), a.floor_div(4) + b),
        ];
        let limits = [(a.smaller(b), b.smaller(a)), (a.larger(b), b.larger(a))];
        // Of two that are proved equal, either may be taken.
        let differ = !(a.at_most(b) && b.at_most(a));
        let pairs = pairs.into_iter().chain(limits.into_iter().filter(|_| differ));
        for (left, right) in pairs {
            if left.is_determined() && right.is_determined() {
                prop_assert_eq!(left, right);
            }
        }
        if let (Some(quotient), true) = ((a * b).exact_div(b), a.is_determined()) {
            prop_assert_eq!(&quotient, a);
        }
    }

    #[test]
    fn different_terms_are_different_numbers_somewhere(a in tree(), b in tree()) {
        // Polynomials alone have one form for each function; quotients may have more.
        let plain = |term: &Term| !["floor", "min", "max", "?"].iter().any(|w| term.to_string().contains(w));
        let (a, b) = (term(&a), term(&b));
        if plain(&a) && plain(&b) && a != b {
            let grid = (0..216i64).map(|i| [i % 6 * 7, i / 6 % 6 * 5, i / 36 * 3]);
            prop_assert!(grid.into_iter().any(|at| evaluate(&a, at) != evaluate(&b, at)));
        }
    }
}
