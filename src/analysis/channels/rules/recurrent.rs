//! Recurrent layers: hidden units.

use crate::analysis::channels::rules::X;
use crate::analysis::channels::site::{Port, Site};

const W: Port = Port::In(1);
const R: Port = Port::In(2);
const B: Port = Port::In(3);
const P: Port = Port::In(7);

/// A hidden unit is a row of each gate (in both directions), a column of the recurrence, an index of
/// all states and of the output. What the input counts is summed over.
pub(super) fn recurrent(site: &mut Site<'_>) -> Option<()> {
    let gates = match site.node.op() {
        "LSTM" => 4,
        "GRU" => 3,
        _ => 1,
    };
    let hidden = site.extent((R, 2))?;
    let unit = (R, 2);
    let rows = move |blocks: usize| move |h: usize| (0..blocks).map(move |b| b * hidden + h);
    site.contract((X, 2), (W, 2));
    site.contracted(&[unit]);
    site.relate(unit, (W, 1), rows(gates));
    site.relate(unit, (R, 1), rows(gates));
    if site.value(B).is_some() {
        site.relate(unit, (B, 1), rows(2 * gates));
    }
    if site.value(P).is_some() {
        // Input, output and forget gate look at the cell.
        site.relate(unit, (P, 1), rows(3));
    }
    let states = [Port::In(5), Port::In(6), Port::Out(0), Port::Out(1), Port::Out(2)];
    for state in states {
        if site.value(state).is_some() {
            site.pass(unit, (state, site.rank(state)?.checked_sub(1)?));
        }
    }
    site.attribute("hidden_size", unit);
    Some(())
}
