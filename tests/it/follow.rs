//! The follower by itself, without a process around it.

mod hazards;
mod odds;
mod random;
