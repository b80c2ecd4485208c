//! Arithmetic on single elements; unknown where the result is not representable or an engine would
//! be free to differ.

use crate::analysis::shapes::content::{fitting, rounded};
use crate::analysis::shapes::term::Term;
use crate::tensor::DType;

pub(super) fn unary_int(op: &str, x: &Term, dtype: DType) -> Term {
    let result = match (op, x) {
        ("Neg", x) => Term::Known(0) - x,
        ("Abs", Term::Known(x)) => x.checked_abs().into(),
        ("Abs", x) if x.at_least(0) => x.clone(),
        ("Sign", Term::Known(x)) => Term::Known(x.signum()),
        ("Sign", x) if x.at_least(1) => Term::ONE,
        ("Not", Term::Known(x)) => Term::Known(i64::from(*x == 0)),
        _ => Term::Unknown,
    };
    fitting(result, dtype)
}

pub(super) fn unary_float(op: &str, x: f64, dtype: DType) -> Option<f64> {
    let result = match op {
        "Neg" => -x,
        "Abs" => x.abs(),
        "Floor" => x.floor(),
        "Ceil" => x.ceil(),
        "Round" => x.round_ties_even(),
        "Sqrt" => x.sqrt(),
        "Reciprocal" => 1.0 / x,
        _ => return None,
    };
    result.is_finite().then(|| rounded(result, dtype))
}

pub(super) fn binary_int(op: &str, a: &Term, b: &Term, dtype: DType, floor_mod: bool) -> Term {
    let result = match (op, a, b) {
        ("Add" | "Sum", a, b) => a + b,
        ("Sub", a, b) => a - b,
        ("Mul", a, b) => a * b,
        ("Max", a, b) => a.larger(b),
        ("Min", a, b) => a.smaller(b),
        (_, Term::Known(a), Term::Known(b)) => numbers(op, *a, *b, floor_mod).into(),
        ("Div", a, b) => match a.exact_div(b) {
            Some(quotient) => quotient,
            // Engines round towards 0.
            None if a.at_least(0) && b.at_least(0) => a.floor_div(b),
            None => Term::Unknown,
        },
        ("Mod", a, b) if a.at_least(0) && b.at_least(0) => a - a.floor_div(b) * b,
        _ => Term::Unknown,
    };
    fitting(result, dtype)
}

fn numbers(op: &str, a: i64, b: i64, floor_mod: bool) -> Option<i64> {
    Some(match op {
        "Div" => a.checked_div(b)?,
        "Mod" if floor_mod => {
            let remainder = a.checked_rem(b)?;
            let other_side = remainder != 0 && (remainder < 0) != (b < 0);
            if other_side { remainder.checked_add(b)? } else { remainder }
        }
        "Mod" => a.checked_rem(b)?,
        "And" => i64::from(a != 0 && b != 0),
        "Or" => i64::from(a != 0 || b != 0),
        "Xor" => i64::from((a != 0) != (b != 0)),
        _ => return None,
    })
}

pub(super) fn binary_float(op: &str, a: f64, b: f64, dtype: DType) -> Option<f64> {
    let result = match op {
        // Engines differ in which of two zeros, or a number and none, is the larger.
        "Max" | "Min" if a.is_nan() || b.is_nan() || (a == b && a.to_bits() != b.to_bits()) => {
            return None;
        }
        "Add" | "Sum" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        "Div" => a / b,
        "Max" => a.max(b),
        "Min" => a.min(b),
        _ => return None,
    };
    result.is_finite().then(|| rounded(result, dtype))
}

/// A comparison, when it comes out the same in every run.
pub(super) fn compare_ints(op: &str, a: &Term, b: &Term) -> Option<bool> {
    let less = |a: &Term, b: &Term| match (a.at_most(&(b - 1)), b.at_most(a)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    match op {
        "Equal" if a.is_determined() && a == b => Some(true),
        "Equal" => match (less(a, b), less(b, a)) {
            (Some(true), _) | (_, Some(true)) => Some(false),
            _ => None,
        },
        "Less" => less(a, b),
        "Greater" => less(b, a),
        "LessOrEqual" => less(b, a).map(|less| !less),
        "GreaterOrEqual" => less(a, b).map(|less| !less),
        _ => None,
    }
}

pub(super) fn compare_floats(op: &str, a: f64, b: f64) -> Option<bool> {
    Some(match op {
        "Equal" => a == b,
        "Less" => a < b,
        "LessOrEqual" => a <= b,
        "Greater" => a > b,
        "GreaterOrEqual" => a >= b,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_arithmetic_is_unknown() {
        let int = |op, a: i64, b: i64| binary_int(op, &a.into(), &b.into(), DType::Int64, true);
        assert_eq!(int("Div", 1, 0), Term::Unknown);
        assert_eq!(int("Div", i64::MIN, -1), Term::Unknown);
        assert_eq!(int("Mod", i64::MIN, -1), Term::Unknown);
        assert_eq!(int("Add", i64::MAX, 1), Term::Unknown);
        let (large, int32) = (Term::Known(1 << 20), DType::Int32);
        assert_eq!(binary_int("Mul", &large, &large, int32, true), Term::Unknown);
        assert_eq!(unary_int("Neg", &Term::Known(i64::MIN), DType::Int64), Term::Unknown);
        assert_eq!(binary_float("Div", 1.0, 0.0, DType::Float), None);
    }

    #[test]
    fn mod_takes_the_sign_the_attribute_asks_for() {
        let modulo =
            |a: i64, b: i64, floor| binary_int("Mod", &a.into(), &b.into(), DType::Int64, floor);
        assert_eq!(modulo(-7, 3, true), 2);
        assert_eq!(modulo(-7, 3, false), -1);
        assert_eq!(modulo(7, -3, true), -2);
    }

    #[test]
    fn expressions_are_computed_and_compared() {
        let n = Term::named("N");
        let int = |op, a: &Term, b: &Term| binary_int(op, a, b, DType::Int64, true);
        assert_eq!(int("Div", &(&n * 12), &Term::Known(12)), n);
        assert_eq!(int("Mod", &(&n * 12), &Term::Known(12)), 0);
        assert_eq!(int("Div", &(&n - 5), &Term::Known(2)), Term::Unknown);
        assert_eq!(binary_int("Add", &n, &n, DType::Uint8, true), Term::Unknown);
        assert_eq!(compare_ints("Equal", &n, &Term::Known(-1)), Some(false));
        assert_eq!(compare_ints("Equal", &n, &Term::Known(1)), None);
        assert_eq!(compare_ints("GreaterOrEqual", &(&n + 1), &n), Some(true));
    }
}
