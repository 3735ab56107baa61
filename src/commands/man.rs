//! `man`: the manual pages, in the form that `man` reads.

use std::io::Write;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// What `man` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct ManArgs {
    /// The command to describe; the program if there is none
    command: Option<String>,
}

/// Prints a page.
pub(super) fn run(args: &ManArgs, definition: clap::Command) -> Result<(), String> {
    let page = page(args.command.as_deref(), definition)?;
    // Nobody to tell, if standard output is closed.
    let _ = std::io::stdout().write_all(&page);
    Ok(())
}

fn page(command: Option<&str>, mut definition: clap::Command) -> Result<Vec<u8>, String> {
    definition.build();
    let Some(name) = command else {
        return render(definition, true).map_err(|error| error.to_string());
    };
    let found = definition.get_subcommands().find(|found| found.get_name() == name);
    let Some(found) = found.cloned() else {
        let known: Vec<&str> = definition.get_subcommands().map(clap::Command::get_name).collect();
        return Err(format!("there is no command {name}; there are {}", known.join(", ")));
    };
    // As `git-commit` is the page of `git commit`.
    let title = format!("{}-{name}", definition.get_name());
    render(found.display_name(&title), false).map_err(|error| error.to_string())
}

/// A page; that of the program says more.
fn render(definition: clap::Command, whole: bool) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    Man::new(definition).render(&mut out)?;
    if whole {
        more(&mut out)?;
    }
    Ok(out)
}

/// What the definition of the flags does not say.
fn more(out: &mut dyn Write) -> std::io::Result<()> {
    let sections: &[(&str, &[(&str, &str)])] = &[
        (
            "ENVIRONMENT",
            &[
                ("NAS_SECTION__KEY", "A setting: NAS_HTTP__PORT is http.port. An empty one counts as not set."),
                ("RUST_LOG", "What is logged; it overrides log.level."),
                ("NO_COLOR", "If not empty, log lines and the output of commands have no colour."),
            ],
        ),
        (
            "SIGNALS",
            &[
                ("SIGTERM, SIGINT", "Stop. Requests in flight have http.shutdown_grace to end."),
                (
                    "SIGHUP",
                    "Reload the settings. A broken setting changes nothing; the log names what needs a \
                     restart.",
                ),
            ],
        ),
        (
            "EXIT STATUS",
            &[
                ("0", "It was asked to stop, or to print help or the version."),
                ("1", "It could not start. Standard error says why, and where the fault is."),
                ("2", "The command line is wrong."),
            ],
        ),
    ];
    let mut page = Roff::new();
    for (title, entries) in sections {
        page.control("SH", [*title]);
        for (term, text) in *entries {
            page.control("TP", []);
            page.text([bold(*term)]);
            page.text([roman(*text)]);
        }
    }
    page.to_writer(out)
}

#[cfg(test)]
mod tests {
    use super::super::args::definition;
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        let whole = String::from_utf8(page(None, definition()).unwrap()).unwrap();
        for part in [".TH nats-account-server 1", "http.port", "EXIT STATUS", "SIGHUP", "delete\\-request"] {
            assert!(whole.contains(part), "{part}: {whole}");
        }
        for command in definition().get_subcommands() {
            let page = String::from_utf8(page(Some(command.get_name()), definition()).unwrap()).unwrap();
            assert!(page.contains(&format!("nats-account-server-{}", command.get_name())), "{page}");
        }
        assert!(page(Some("nope"), definition()).unwrap_err().contains("check"));
    }
}
