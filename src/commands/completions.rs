//! `completions`: scripts with which shells complete the command line.

use std::io::Write as _;

use clap_complete::Shell;

/// What `completions` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script of a shell.
pub(super) fn run(args: &CompletionsArgs, mut definition: clap::Command) {
    let name = definition.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition, name, &mut script);
    // Nobody to tell, if standard output is closed.
    let _ = std::io::stdout().write_all(&script);
}
