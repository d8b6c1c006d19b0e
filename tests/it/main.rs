//! One test binary, a file a hazard.

mod bounds;
mod command_line;
mod properties;
mod samples;
mod streaming;
mod support;
