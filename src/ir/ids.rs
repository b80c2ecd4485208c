//! Typed indices into the arenas of a [`Model`](crate::ir::Model).

use std::num::NonZeroU32;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        // One more than the position, so that `Option` of an id takes no more room than the id.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(NonZeroU32);

        impl $name {
            pub(crate) fn new(index: usize) -> Self {
                let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
                Self(number.expect("an arena holds fewer than 2^32 entries"))
            }

            /// Position in the arena; stable for the life of the model.
            pub fn index(self) -> usize {
                self.0.get() as usize - 1
            }
        }
    )*};
}

ids! {
    /// A graph: the main one, or the body of a control-flow node.
    GraphId;
    /// A node; a removed id stays dead.
    NodeId;
    /// A value (a tensor with a name); a removed id stays dead.
    ValueId;
}
