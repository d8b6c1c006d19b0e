//! The follower by itself, without a process around it.

mod alike;
mod bench;
mod cuts;
mod hazards;
mod odds;
mod random;
mod strays;
