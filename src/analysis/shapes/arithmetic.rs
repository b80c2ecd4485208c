//! Arithmetic on single elements; `None` where the result is not representable or an engine would
//! be free to differ.

use crate::analysis::shapes::content::rounded;
use crate::tensor::DType;

pub(super) fn unary_int(op: &str, x: i64, dtype: DType) -> Option<i64> {
    let result = match op {
        "Neg" => x.checked_neg()?,
        "Abs" => x.checked_abs()?,
        "Sign" => x.signum(),
        "Not" => i64::from(x == 0),
        _ => return None,
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

pub(super) fn binary_int(op: &str, a: i64, b: i64, dtype: DType, floor_mod: bool) -> Option<i64> {
    let result = match op {
        "Add" | "Sum" => a.checked_add(b)?,
        "Sub" => a.checked_sub(b)?,
        "Mul" => a.checked_mul(b)?,
        "Div" => a.checked_div(b)?,
        "Mod" if floor_mod => {
            let remainder = a.checked_rem(b)?;
            let other_side = remainder != 0 && (remainder < 0) != (b < 0);
            if other_side { remainder.checked_add(b)? } else { remainder }
        }
        "Mod" => a.checked_rem(b)?,
        "Max" => a.max(b),
        "Min" => a.min(b),
        "And" => i64::from(a != 0 && b != 0),
        "Or" => i64::from(a != 0 || b != 0),
        "Xor" => i64::from((a != 0) != (b != 0)),
        _ => return None,
    };
    fitting(result, dtype)
}

pub(super) fn binary_float(op: &str, a: f64, b: f64, dtype: DType) -> Option<f64> {
    let result = match op {
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

pub(super) fn compare<T: PartialOrd>(op: &str, a: T, b: T) -> Option<bool> {
    Some(match op {
        "Equal" => a == b,
        "Less" => a < b,
        "LessOrEqual" => a <= b,
        "Greater" => a > b,
        "GreaterOrEqual" => a >= b,
        _ => return None,
    })
}

fn fitting(x: i64, dtype: DType) -> Option<i64> {
    match dtype.integer_range() {
        Some((low, high)) => (low..=high).contains(&i128::from(x)).then_some(x),
        None => Some(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_arithmetic_is_unknown() {
        let int = |op, a, b| binary_int(op, a, b, DType::Int64, true);
        assert_eq!(int("Div", 1, 0), None);
        assert_eq!(int("Div", i64::MIN, -1), None);
        assert_eq!(int("Mod", i64::MIN, -1), None);
        assert_eq!(int("Add", i64::MAX, 1), None);
        assert_eq!(binary_int("Mul", 1 << 20, 1 << 20, DType::Int32, true), None);
        assert_eq!(unary_int("Neg", i64::MIN, DType::Int64), None);
        assert_eq!(binary_float("Div", 1.0, 0.0, DType::Float), None);
    }

    #[test]
    fn mod_takes_the_sign_the_attribute_asks_for() {
        assert_eq!(binary_int("Mod", -7, 3, DType::Int64, true), Some(2));
        assert_eq!(binary_int("Mod", -7, 3, DType::Int64, false), Some(-1));
        assert_eq!(binary_int("Mod", 7, -3, DType::Int64, true), Some(-2));
    }
}
