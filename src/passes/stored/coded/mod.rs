//! Weights as indices into a table of few numbers, times scales, in operators that every runtime has.
//!
//! A byte holds as many indices as it has room for; a Gather picks for each byte its row of digits, and
//! another the numbers (where these are only -1, 0 and 1, the rows hold them). `layout` says where elements
//! stand, `write` makes the nodes, `read` finds them again.

mod layout;
mod packing;
mod read;
mod write;

pub(in crate::passes) use layout::Layout;
pub(in crate::passes) use packing::shared_bytes;
pub(super) use read::Coded;
pub(in crate::passes) use write::{Code, Writer};
