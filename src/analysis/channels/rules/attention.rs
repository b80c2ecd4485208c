//! Attention in one operator: whole heads.

use crate::analysis::channels::rules::{X, Y};
use crate::analysis::channels::site::{At, Port, Site};

const K: Port = Port::In(1);
const V: Port = Port::In(2);

/// Blocks of queries, keys, values and results that belong to one head of keys: `each(port)` indices.
fn blocks(site: &mut Site<'_>, heads: usize, axes: &[At]) -> Option<()> {
    let mut first: Option<(At, usize)> = None;
    for &at in axes {
        let extent = site.extent(at)?;
        let each = extent / heads;
        if each * heads != extent {
            return None;
        }
        if extent == 1 {
            continue;
        }
        site.tie(at, |i| i / each);
        match first {
            None => {
                site.free(at);
                site.batch(at);
                first = Some((at, each));
            }
            Some((reference, size)) => {
                // The rest of a block is tied to its first index.
                site.relate(reference, at, |i| i.is_multiple_of(size).then_some(i / size * each));
            }
        }
    }
    Some(())
}

fn count(site: &Site<'_>, name: &str) -> Option<usize> {
    usize::try_from(site.node.attr_int(name)?).ok().filter(|&count| count > 0)
}

/// Ports that are given.
fn given(site: &Site<'_>, axes: &[At]) -> Vec<At> {
    axes.iter().copied().filter(|&(port, _)| site.value(port).is_some()).collect()
}

/// Attention of the standard: heads are an axis of their own, or `q_num_heads` and `kv_num_heads`
/// parts of the last one. Dimensions of heads are positions, for the default scale depends on them.
pub(super) fn standard(site: &mut Site<'_>) -> Option<()> {
    let ranks = [X, K, V].map(|port| site.rank(port));
    let states = [(Port::In(4), 1), (Port::In(5), 1), (Port::Out(1), 1), (Port::Out(2), 1)];
    if site.node.output(3).is_some() {
        return None;
    }
    let (heads, mut axes) = match ranks {
        [Some(4), Some(4), Some(4)] => (site.extent((K, 1))?, vec![(K, 1), (V, 1), (X, 1), (Y, 1)]),
        [Some(3), Some(3), Some(3)] => {
            (count(site, "kv_num_heads")?, vec![(K, 2), (V, 2), (X, 2), (Y, 2)])
        }
        _ => return None,
    };
    axes.extend(given(site, &states));
    mask(site, Port::In(3), heads, &mut axes);
    samples(site, &[K, V, Y]);
    let reference = axes[0];
    blocks(site, heads, &axes)?;
    site.attribute("kv_num_heads", reference);
    site.attribute("q_num_heads", reference);
    Some(())
}

/// A mask that has an axis of heads.
fn mask(site: &Site<'_>, port: Port, heads: usize, axes: &mut Vec<At>) {
    if site.rank(port) == Some(4) && site.extent((port, 1)).is_some_and(|h| h % heads == 0) {
        axes.push((port, 1));
    }
}

/// The first axis of all counts samples.
fn samples(site: &mut Site<'_>, ports: &[Port]) {
    ports.iter().for_each(|&port| site.pass((X, 0), (port, 0)));
}

/// MultiHeadAttention of com.microsoft: queries, keys and values `[B, S, heads · d]`.
pub(super) fn multi_head(site: &mut Site<'_>) -> Option<()> {
    let heads = count(site, "num_heads")?;
    if [X, K, V].iter().any(|&port| site.rank(port) != Some(3)) || site.value(Port::In(3)).is_some()
    {
        return None;
    }
    let mut axes = vec![(X, 2), (K, 2), (V, 2), (Y, 2)];
    let states = [(Port::In(6), 1), (Port::In(7), 1), (Port::Out(1), 1), (Port::Out(2), 1)];
    axes.extend(given(site, &states));
    mask(site, Port::In(5), heads, &mut axes);
    samples(site, &[K, V, Y]);
    blocks(site, heads, &axes)?;
    site.attribute("num_heads", (X, 2));
    Some(())
}

/// GroupQueryAttention of com.microsoft: a head of keys and values goes with all its queries.
pub(super) fn grouped(site: &mut Site<'_>) -> Option<()> {
    let heads = count(site, "kv_num_heads")?;
    if [X, K, V].iter().any(|&port| site.rank(port) != Some(3)) {
        return None;
    }
    let mut axes = vec![(X, 2), (K, 2), (V, 2), (Y, 2)];
    let states = [(Port::In(3), 1), (Port::In(4), 1), (Port::Out(1), 1), (Port::Out(2), 1)];
    axes.extend(given(site, &states));
    samples(site, &[K, V, Y]);
    blocks(site, heads, &axes)?;
    site.attribute("num_heads", (X, 2));
    site.attribute("kv_num_heads", (X, 2));
    Some(())
}

/// Attention of com.microsoft, which makes queries, keys and values itself, with a weight of three
/// parts of equal size.
pub(super) fn packed(site: &mut Site<'_>) -> Option<()> {
    let (w, b) = (K, V);
    let heads = count(site, "num_heads")?;
    let hidden = site.extent((Y, 2))?;
    if site.extent((w, 1))? != 3 * hidden
        || site.node.attr_ints("qkv_hidden_sizes").is_some()
        || site.value(Port::In(4)).is_some()
    {
        return None;
    }
    site.pass((X, 0), (Y, 0));
    site.contract((X, 2), (w, 0));
    let three = |i: usize| (0..3).map(move |part| part * hidden + i);
    site.relate((Y, 2), (w, 1), three);
    if site.value(b).is_some() {
        site.relate((Y, 2), (b, 0), three);
    }
    let each = hidden / heads;
    if each * heads != hidden {
        return None;
    }
    site.tie((Y, 2), |i| i / each);
    site.batch((Y, 2));
    site.attribute("num_heads", (Y, 2));
    Some(())
}
