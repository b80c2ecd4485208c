//! Tables as integers, and what reads the rows that Gather takes out of them.
//!
//! Rows that kernels read lie on the grid of what kernels read, and so does the table: nothing is converted while the
//! model runs. All other tables have a grid for each column, and a DequantizeLinear stands behind the Gather.

use std::collections::HashMap;

use crate::ir::{At, NewNode, NodeId, ValueId, ValueType};
use crate::passes::quantize::quantize_static::format::WIDE_OPSET;
use crate::passes::quantize::quantize_static::forms::cast;
use crate::passes::quantize::quantize_static::grids::On;
use crate::passes::quantize::quantize_static::insert::{Insert, Key, Read, Reader, key, unnamed};
use crate::passes::quantize::quantize_static::plan::Lookup;
use crate::passes::quantize::quantize_static::weights::{self, Integers};
use crate::passes::stored::Share;
use crate::tensor::DType;

/// What was made of the rows that a Gather gives.
pub(super) enum Rows {
    /// Integers of this type, of the grid that all of their readers want.
    Integers(DType),
    /// This value holds the floats that they stand for.
    Floats(ValueId),
}

impl Insert<'_> {
    /// Tables as integers; returns what became of the rows of each Gather.
    pub fn tables(&mut self, lookups: &[Lookup], read: &Read<'_>) -> HashMap<ValueId, Rows> {
        let mut tables: Vec<(Key, Vec<&Lookup>)> = Vec::new();
        for lookup in lookups {
            let key = key(&lookup.weight);
            match tables.iter_mut().find(|(known, _)| *known == key) {
                Some((_, readers)) => readers.push(lookup),
                None => tables.push((key, vec![lookup])),
            }
        }
        let mut rows = HashMap::new();
        for (_, lookups) in tables {
            let grid = self.grid_of_rows(&lookups, read);
            let first = lookups[0];
            let (dims, elements) = (&first.weight.dims, first.weight.elements());
            let (share, format) = match grid {
                Some(on) => (Share::Tensor, on.format),
                None => (first.weight.share, first.format),
            };
            let found = match grid {
                Some(On { format, grid }) => weights::on_grid(&elements, dims, format, grid),
                None => weights::integers(&elements, (dims, share), format, DType::Float, &[]),
            };
            let Integers { tensor, grids, .. } = found;
            // ONNX Runtime puts a QuantizeLinear behind operators that move the rows. In older operator sets it takes
            // that for one to uint8 where there is no zero point; in newer ones it says the type, which contradicts
            // that of one.
            let states_type = self.model.opset_in_force() >= WIDE_OPSET;
            let one = grid.is_none() && share == Share::Tensor && format.dtype == DType::Int8;
            let spare = one && states_type;
            let parameters = self.parameters(share, dims, (&grids, DType::Float), format, spare);
            let readers: Vec<Reader> = lookups.iter().map(|l| (l.node, l.weight.slot)).collect();
            let (table, _) = self.replaced(first.weight.value, &readers, tensor);
            for lookup in lookups {
                self.model.set_input(lookup.node, lookup.weight.slot, Some(table));
                let Some(value) = self.model.node(lookup.node).output(0) else { continue };
                let columns = lookup.columns.filter(|_| grid.is_none());
                let mut floats = self.floats_behind(lookup.node, value, columns, &parameters);
                if lookup.weight.dtype != DType::Float {
                    floats = self.cast_behind(floats, lookup.weight.dtype);
                }
                self.retyped(value, format.dtype);
                rows.insert(
                    value,
                    match grid {
                        Some(on) => Rows::Integers(on.format.dtype),
                        None => Rows::Floats(floats),
                    },
                );
            }
        }
        rows
    }

    /// The grid on which kernels read the rows of all Gathers of a table; nothing when they read several, or a wider
    /// one than tables have.
    fn grid_of_rows(&self, lookups: &[&Lookup], read: &Read<'_>) -> Option<On> {
        let of = |lookup: &&Lookup| {
            let activation = read.get(&self.model.node(lookup.node).output(0)?)?;
            let usual = activation.on.format.is_small() && activation.converted.is_none();
            usual.then_some(activation.on)
        };
        let first = of(lookups.first()?)?;
        lookups.iter().all(|lookup| of(lookup) == Some(first)).then_some(first)
    }

    /// Rows are integers now; who reads them reads floats, kernels in bodies behind a DequantizeLinear of their own.
    fn floats_behind(
        &mut self,
        gather: NodeId,
        rows: ValueId,
        columns: Option<usize>,
        parameters: &[ValueId],
    ) -> ValueId {
        let name = self.model.value(rows).name().to_owned();
        let inputs: Vec<ValueId> =
            std::iter::once(rows).chain(parameters.iter().copied()).collect();
        let mut node = unnamed("DequantizeLinear", &inputs, &format!("{name}_dq"));
        if let Some(axis) = columns {
            node = node.attr("axis", axis as i64);
        }
        let readers: Vec<Reader> = self.model.value(rows).consumers().collect();
        let is_output = self.model.value(rows).is_output();
        let own = self.behind(gather, &readers, true, &node);
        let floats = own.map_or(rows, |own| self.output(own));
        if is_output {
            self.model.hand_over_outputs(rows, floats);
        }
        floats
    }

    /// Who read floats reads halves of them.
    fn cast_behind(&mut self, floats: ValueId, dtype: DType) -> ValueId {
        let entry = self.model.value(floats);
        let Some(maker) = entry.producer() else { return floats };
        let (graph, is_output, name) = (entry.graph(), entry.is_output(), entry.name().to_owned());
        let node = cast(floats, dtype, &format!("{name}_cast"));
        let node = self.model.add_node(graph, At::After(maker), node);
        let made = self.output(node);
        self.model.replace_uses_where(floats, made, |reader, _| reader != node);
        if is_output {
            self.model.hand_over_outputs(floats, made);
        }
        made
    }

    fn retyped(&mut self, rows: ValueId, dtype: DType) {
        let mut info = self.model.value(rows).info().clone();
        if let Some(ValueType::Tensor(ty)) = &mut info.ty {
            ty.dtype = dtype;
            self.model.set_info(rows, info);
        }
    }

    /// A node behind `maker` for its `readers`: one in the graph of the maker, which is returned, and one in each body
    /// with kernels that read it. The first is made for others, too, when `needed`.
    pub fn behind(
        &mut self,
        maker: NodeId,
        readers: &[Reader],
        needed: bool,
        node: &NewNode,
    ) -> Option<NodeId> {
        let graph = self.model.node(maker).graph();
        let mut places = self.by_graph(readers, graph);
        if places.is_empty() || needed && !places.iter().any(|(place, _)| *place == graph) {
            places.push((graph, Vec::new()));
        }
        places.sort_by_key(|(place, _)| *place != graph);
        let mut own = None;
        for (place, readers) in places {
            let at = if place == graph { At::After(maker) } else { At::Start };
            let added = self.add_for(&readers, place, at, node.clone());
            own = own.or((place == graph).then_some(added));
        }
        own
    }
}
