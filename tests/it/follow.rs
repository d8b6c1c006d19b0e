//! The follower by itself, without a process around it.

mod alike;
mod hazards;
mod odds;
mod random;
mod strays;
