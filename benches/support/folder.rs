//! A folder of many account JWTs, made once and kept.

use std::fs;
use std::path::{Path, PathBuf};

use nkeys::KeyPair;

/// A folder, and what is in it.
pub(crate) struct Folder {
    /// Where the folder is, and what else is to be kept.
    pub(crate) root: PathBuf,
    /// The operator.
    pub(crate) operator: KeyPair,
    /// The accounts.
    pub(crate) keys: Vec<String>,
}

impl Folder {
    /// The one of this name, in the folder of what is built. It is made unless it is there.
    pub(crate) fn open(name: &str, accounts: usize) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/{name}-{accounts}"));
        if !root.join("seed").exists() {
            make(&root, accounts);
        }
        let read = |name| fs::read_to_string(root.join(name)).unwrap();
        let (operator, keys) = (KeyPair::from_seed(&read("seed")).unwrap(), read("keys"));
        Self { operator, keys: keys.lines().map(str::to_owned).collect(), root }
    }

    /// Where the JWTs are.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.root.join("tokens")
    }
}

fn make(root: &Path, accounts: usize) {
    println!("making {} with {accounts} JWTs", root.display());
    let operator = KeyPair::new_operator();
    // What is left of an attempt that was ended is another operator's.
    let _ = fs::remove_dir_all(root);
    let dir = root.join("tokens");
    fs::create_dir_all(&dir).unwrap();
    let threads = std::thread::available_parallelism().unwrap().get();
    let keys = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (operator, dir) = (&operator, &dir);
                scope.spawn(move || {
                    let write = |number: usize| {
                        let key = KeyPair::new_account().public_key();
                        let token = super::account(operator, &key, i64::try_from(number).unwrap());
                        fs::write(dir.join(format!("{key}.jwt")), token).unwrap();
                        key
                    };
                    (thread..accounts).step_by(threads).map(write).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    fs::write(root.join("keys"), keys.join("\n")).unwrap();
    fs::write(root.join("seed"), operator.seed().unwrap()).unwrap();
}
