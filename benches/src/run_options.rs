//! The options of every mode that is one run under load.

/// One run under load.
#[derive(Debug, clap::Args)]
pub(crate) struct RunOptions {
    /// Payments under way at the same time
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) in_flight: u16,
    /// How long to pay
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub(crate) seconds: u16,
    /// One JSON document instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}
