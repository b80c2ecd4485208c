//! LSTM and GRU: each direction by itself.

use crate::grad::Real;
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::concat::Concat;
use crate::grad::op::gru::Gru;
use crate::grad::op::lstm::Lstm;
use crate::ir::{AttrValue, Node};

impl<T: Real> Lower<'_, T> {
    /// The outputs Y, Y_h and, of LSTM, Y_c.
    pub fn recurrent(&mut self, node: &Node) -> Known<Vec<Option<Value>>> {
        let lstm = node.op() == "LSTM";
        let gates = if lstm { 4 } else { 3 };
        usual(node, lstm)?;
        if node.input(4).is_some() || lstm && node.input(7).is_some() {
            return Err("lengths of sequences and peepholes have no kernel".to_owned());
        }
        let x = self.input(node, 0)?;
        let x = self.plain(&x);
        let (w, r) = (self.input(node, 1)?, self.input(node, 2)?);
        let (&[steps, rows, inputs], &[directions, width, hidden]) = (&x.dims[..], &r.dims[..])
        else {
            return Err("its inputs do not fit".to_owned());
        };
        if width != gates * hidden || w.dims != [directions, width, inputs] || steps == 0 {
            return Err("its weights do not fit".to_owned());
        }
        let bias = self.given_or_zeros(node, 3, &[directions, 2 * width])?;
        let first = self.given_or_zeros(node, 5, &[directions, rows, hidden])?;
        let cell = match lstm {
            true => Some(self.given_or_zeros(node, 6, &[directions, rows, hidden])?),
            false => None,
        };
        let backwards = match node.attr_str("direction").unwrap_or("forward") {
            "forward" => vec![false],
            "reverse" => vec![true],
            _ => vec![false, true],
        };
        if backwards.len() != directions {
            return Err("its weights are not those of its direction".to_owned());
        }
        let (mut all, mut last, mut last_cell) = (Vec::new(), Vec::new(), Vec::new());
        for (at, reversed) in backwards.into_iter().enumerate() {
            let mut one = |value: &Value| self.places(value, 0, vec![at]);
            let (w, r, bias) = (one(&w), one(&r), one(&bias));
            let (first, cell) = (one(&first), cell.as_ref().map(&mut one));
            let turned: Vec<usize> = (0..steps).rev().collect();
            let fed = if reversed { self.places(&x, 0, turned.clone()) } else { x.clone() };
            let mut buffers = vec![fed.buffer, w.buffer, r.buffer, bias.buffer, first.buffer];
            let kept = if lstm { 2 * steps } else { steps };
            let len = kept * rows * hidden;
            let buffer = match cell {
                Some(cell) => {
                    buffers.push(cell.buffer);
                    self.tape.step(Lstm { steps, rows, inputs, hidden }, &buffers, len)
                }
                None => {
                    let late_reset = node.attr_int("linear_before_reset").unwrap_or(0) != 0;
                    self.tape.step(Gru { steps, rows, inputs, hidden, late_reset }, &buffers, len)
                }
            };
            let states = Value::plain(buffer, &[kept, rows, hidden], x.dtype);
            let order = if reversed { turned } else { (0..steps).collect() };
            all.push(self.places(&states, 0, order));
            last.push(self.places(&states, 0, vec![steps - 1]));
            if lstm {
                last_cell.push(self.places(&states, 0, vec![2 * steps - 1]));
            }
        }
        let y = self.joined(&all, rows * hidden, &[steps, directions, rows, hidden]);
        let dims = [directions, rows, hidden];
        let y_h = self.joined(&last, rows * hidden, &dims);
        let y_c = lstm.then(|| self.joined(&last_cell, rows * hidden, &dims));
        Ok(vec![Some(y), Some(y_h), y_c])
    }

    /// Rows of several values, one after the other.
    fn joined(&mut self, parts: &[Value], len: usize, dims: &[usize]) -> Value {
        let buffers: Vec<usize> = parts.iter().map(|part| part.buffer).collect();
        let buffer = match buffers[..] {
            [one] => one,
            _ => {
                let kernel = Concat { rows: vec![len; parts.len()] };
                self.tape.step(kernel, &buffers, dims.iter().product())
            }
        };
        Value::plain(buffer, dims, parts[0].dtype)
    }

    /// An input, or zeros where it is left out.
    fn given_or_zeros(&mut self, node: &Node, slot: usize, dims: &[usize]) -> Known<Value> {
        let len = dims.iter().product();
        match self.optional(node, slot)? {
            Some(value) if value.len() == len => Ok(self.reshaped(&value, dims)),
            Some(_) => Err(format!("input {slot} does not fit")),
            None => {
                let buffer = self.tape.constant(vec![T::ZERO; len]);
                Ok(Value::plain(buffer, dims, crate::tensor::DType::Float))
            }
        }
    }
}

/// Refuses what is not the usual cell.
fn usual(node: &Node, lstm: bool) -> Known<()> {
    let expected: &[&str] = if lstm { &["Sigmoid", "Tanh", "Tanh"] } else { &["Sigmoid", "Tanh"] };
    if let Some(AttrValue::Strings(names)) = node.attr("activations") {
        let names = names.iter().map(|name| String::from_utf8_lossy(name).into_owned());
        if !names.zip(expected.iter().cycle()).all(|(name, expected)| name == *expected) {
            return Err("its activations have no kernel".to_owned());
        }
    }
    let set = |name: &str| node.attr_int(name).unwrap_or(0) != 0;
    if set("layout") || set("input_forget") || node.attr("clip").is_some() {
        return Err("this form of it has no kernel".to_owned());
    }
    Ok(())
}
