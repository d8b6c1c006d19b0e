//! Where bytes come from.

pub mod saved;
