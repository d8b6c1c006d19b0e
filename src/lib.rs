//! storagewatch counts how Convex applications read their stored blobs, in whatever log the messages reach.
//!
//! bytes → [`scan`] → candidate lines → [`decode`] → records and events → [`attribute`] → whose, and where it runs →
//! [`policy`] → what it means.
//!
//! * [`event`]: the words of the program as types
//! * [`scan`]: finds the lines that can matter, and keeps the bounds
//! * [`decode`]: unwraps them, layer by layer, to the log message

pub mod attribute;
pub mod cli;
pub mod decode;
pub mod dedupe;
pub mod event;
pub mod filter;
pub mod policy;
pub mod read;
pub mod report;
pub mod row;
pub mod scan;
pub mod source;
