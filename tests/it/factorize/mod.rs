//! Layers become products of smaller ones.

mod accuracy;
mod command;
mod equal;
