//! Private keys on the command line. No flag and no command takes one, and other users can read it there.

use std::ffi::OsString;

use crate::key::seed;
use crate::key::seed::DISCLOSED;

/// The error text if an argument has a private key in it. The first of `args` is the name of the program.
pub(super) fn found(args: &[OsString]) -> Option<String> {
    let is_private = |arg: &OsString| seed::is_in(&arg.to_string_lossy());
    let at = 1 + args.iter().skip(1).position(is_private)?;
    let flag = |arg: &OsString| {
        let text = arg.to_string_lossy();
        let name = text.split('=').next().unwrap_or_default();
        (name.starts_with('-') && !seed::is_in(name)).then(|| name.to_owned())
    };
    let place = match flag(&args[at]).or_else(|| flag(&args[at - 1]).filter(|_| at > 1)) {
        Some(name) => format!("the value of {name}"),
        None => format!("argument {at}"),
    };
    Some(format!(
        "{place} has a private key in it: {DISCLOSED}. The shell's history and the list of processes may show it. No flag \
         takes a private key; name a file"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_with_the_key_is_named_and_not_shown() {
        let seed = nkeys::KeyPair::new_operator().seed().expect("has a seed");
        let creds = format!("-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n");
        let table: [(&[&str], &str); 8] = [
            (&["-operator", &seed], "the value of -operator"),
            (&["--operator", &seed, "check", "x"], "the value of --operator"),
            (&[&format!("-operator={seed}")], "the value of -operator"),
            (&["-creds", &creds], "the value of -creds"),
            (&["check", &seed], "argument 2"),
            (&["check", "a.jwt", &format!("/keys/{seed}.nk")], "argument 3"),
            (&[&seed], "argument 1"),
            (&[&format!("-{seed}")], "argument 1"),
        ];
        for (args, place) in table {
            let args: Vec<OsString> = [&["nas"], args].concat().into_iter().map(Into::into).collect();
            let said = found(&args).expect(place);
            assert!(said.starts_with(place) && said.contains("treat that key as disclosed"), "{said}");
            assert!(!said.contains(&seed[..12]), "{said}");
        }
        let key = nkeys::KeyPair::new_operator().public_key();
        assert_eq!(found(&["nas", "-operator", &key, "check", "x"].map(Into::into)), None);
    }
}
