//! Typed indices into the arenas of a [`Model`](crate::ir::Model).

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u32);

        impl $name {
            pub(crate) fn new(index: usize) -> Self {
                Self(u32::try_from(index).expect("an arena holds fewer than 2^32 entries"))
            }

            /// Position in the arena; stable for the life of the model.
            pub fn index(self) -> usize {
                self.0 as usize
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
