//! `docker-compose.yml`: every container's command line, run as a plain process.
//!
//! The addresses and paths of the containers are mapped to ports of this machine and to a folder. Everything else is as the file
//! says: command lines, environments, configuration files, the order of starts and the health checks.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use async_nats::ConnectOptions;
use futures_util::StreamExt as _;
use yaml_rust2::Yaml;

use crate::process::Process;
use crate::support::command::run;
use crate::support::{Http, free_port, until, within};
use crate::yaml::{items, members, parse, text, texts};
use crate::{image, shipped, text_of, tool_or_skip};

/// A service of the file.
#[derive(Debug)]
struct Service {
    name: String,
    image: String,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    /// Where from, and the path in the container.
    volumes: Vec<(String, String)>,
    /// Services, and what they must have reached.
    after: Vec<(String, String)>,
    health: Vec<String>,
    runs_once: bool,
}

impl Service {
    fn of(name: &str, yaml: &Yaml) -> Self {
        let with_defaults = |value: &Yaml| interpolated(&text(value));
        let image = text(&yaml["image"]);
        let is_ours = image == "nats-account-server";
        let (mut command, mut environment) = (texts(&yaml["command"]), Vec::new());
        if image.starts_with("prom/prometheus:") {
            // The image's entrypoint.
            command.insert(0, "/bin/prometheus".to_owned());
        }
        let mut health: Vec<String> = texts(&yaml["healthcheck"]["test"]).into_iter().skip(1).collect();
        if is_ours {
            command.splice(0..0, image::entrypoint());
            environment = image::environment();
            if health.is_empty() && !yaml["healthcheck"]["disable"].as_bool().unwrap_or(false) {
                health = image::healthcheck();
            }
        } else {
            assert!(image::is_pinned(&image), "{name}: {image}");
        }
        environment.extend(members(&yaml["environment"]).into_iter().map(|(name, value)| (name, with_defaults(value))));
        let volume = |volume: &Yaml| {
            let volume = with_defaults(volume);
            let mut parts = volume.split(':').map(str::to_owned);
            (parts.next().unwrap(), parts.next().unwrap())
        };
        let after = members(&yaml["depends_on"]);
        Self {
            name: name.to_owned(),
            command: command.iter().map(|word| interpolated(word)).collect(),
            environment,
            volumes: items(&yaml["volumes"]).iter().map(volume).collect(),
            after: after.into_iter().map(|(name, service)| (name, text(&service["condition"]))).collect(),
            health,
            runs_once: yaml["restart"].as_str() == Some("no"),
            image,
        }
    }
}

/// A text with the defaults of its variables.
fn interpolated(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let (variable, after) = rest.split_once('}').unwrap();
    let (_, default) =
        variable.split_once(":-").unwrap_or_else(|| panic!("{variable} has no default: there is nothing to prepare"));
    format!("{before}{default}{}", interpolated(after))
}

/// The services of the file that have a command line. Grafana's image has its own.
fn services(compose: &Yaml) -> Vec<Service> {
    let services = members(&compose["services"]).into_iter().map(|(name, yaml)| Service::of(&name, yaml));
    services.filter(|service| !service.image.starts_with("grafana/")).collect()
}

/// Where the containers' addresses and paths are on this machine.
struct Map {
    root: tempfile::TempDir,
    hosts: Vec<String>,
    ports: RefCell<HashMap<(String, String), u16>>,
}

impl Map {
    fn of(services: &[Service]) -> Self {
        let names = services.iter().map(|service| service.name.clone());
        let hosts = names.chain(["0.0.0.0", "127.0.0.1"].map(str::to_owned)).collect();
        Self { root: tempfile::tempdir().unwrap(), hosts, ports: RefCell::default() }
    }

    /// Host and port here of a port of a service.
    fn address(&self, service: &str, port: &str) -> String {
        let mut ports = self.ports.borrow_mut();
        format!("127.0.0.1:{}", ports.entry((service.to_owned(), port.to_owned())).or_insert_with(free_port))
    }

    fn http(&self, service: &str, port: &str) -> Http {
        Http::new(&format!("http://{}", self.address(service, port)))
    }

    /// A named volume.
    fn volume(&self, name: &str) -> PathBuf {
        self.root.path().join("volumes").join(name)
    }

    /// What a service sees at a path.
    fn place(&self, service: &Service, source: &str, target: &str) -> PathBuf {
        if source.starts_with('.') {
            self.root.path().join("files").join(&service.name).join(target.trim_start_matches('/'))
        } else {
            self.volume(source)
        }
    }

    /// Makes it. What is shipped is copied, with its addresses and paths mapped.
    fn mount(&self, service: &Service, source: &str, target: &str) {
        let place = self.place(service, source, target);
        if source.starts_with('.') {
            self.copy(service, &shipped(source), &place);
        } else {
            fs::create_dir_all(place).unwrap();
        }
    }

    fn copy(&self, service: &Service, from: &Path, to: &Path) {
        if from.is_dir() {
            for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
                self.copy(service, &entry.path(), &to.join(entry.file_name()));
            }
        } else {
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            // A first scrape may come a whole interval after the start.
            let text = fs::read_to_string(from).unwrap().replace("_interval: 15s", "_interval: 1s");
            fs::write(to, self.text(service, &text)).unwrap();
        }
    }

    /// A text of this service with mapped addresses and paths.
    fn text(&self, service: &Service, text: &str) -> String {
        let (mut made, mut rest, mut before) = (String::new(), text, ' ');
        while let Some(first) = rest.chars().next() {
            // In a URL, a host follows a slash.
            let begins = !is_word(before) || (before == '/' && first != '/');
            let (length, mapped) = if begins
                && before != '/'
                && let Some(found) = self.path_at(service, rest)
            {
                found
            } else if begins && let Some(found) = self.address_at(service, rest) {
                found
            } else {
                (first.len_utf8(), first.to_string())
            };
            before = rest[..length].chars().last().unwrap();
            rest = &rest[length..];
            made.push_str(&mapped);
        }
        made
    }

    /// The path of a volume at the beginning of a text: its length, and where it is here.
    fn path_at(&self, service: &Service, text: &str) -> Option<(usize, String)> {
        let (source, target) = service.volumes.iter().find(|(_, target)| {
            text.strip_prefix(&**target).is_some_and(|after| !after.starts_with(|next| is_word(next) && next != '/'))
        })?;
        Some((target.len(), self.place(service, source, target).to_str().unwrap().to_owned()))
    }

    /// The address of a service at the beginning of a text.
    fn address_at(&self, service: &Service, text: &str) -> Option<(usize, String)> {
        self.hosts.iter().find_map(|host| {
            let after = text.strip_prefix(&**host)?.strip_prefix(':')?;
            let digits = after.len() - after.trim_start_matches(|next: char| next.is_ascii_digit()).len();
            let of = if host.contains('.') { &service.name } else { host };
            (digits > 0).then(|| (host.len() + 1 + digits, self.address(of, &after[..digits])))
        })
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_./".contains(character)
}

/// What stands for a program in a container of an image. `None`: it is missing here.
fn program(image: &str, word: &str) -> Option<PathBuf> {
    match word.rsplit('/').next().unwrap() {
        "nats-account-server" => Some(env!("CARGO_BIN_EXE_nats-account-server").into()),
        "haproxy" => tool_or_skip("haproxy/haproxy", "tests/get-haproxy.sh"),
        "nats-server" => {
            let version = image.split([':', '-']).nth(1).unwrap();
            tool_or_skip(&format!("nats-server-{version}/nats-server"), &format!("tests/get-nats-server.sh {version}"))
        }
        "prometheus" => tool_or_skip("prometheus/prometheus", "tests/get-prometheus.sh"),
        other => panic!("nothing stands for {other} of {image}"),
    }
}

/// Starts a service, and waits until it is healthy or has done its work. `None`: its program is missing here.
async fn start(service: &Service, map: &Map) -> Option<Process> {
    for (source, target) in &service.volumes {
        map.mount(service, source, target);
    }
    let program = program(&service.image, &service.command[0])?;
    let words: Vec<String> = service.command[1..].iter().map(|word| map.text(service, word)).collect();
    let variables = service.environment.iter().map(|(name, value)| (name.clone(), map.text(service, value)));
    let process = Process::start(&service.name, &program, &words, &variables.collect::<Vec<_>>(), map.root.path());
    if service.runs_once {
        until(&format!("{} has done its work", service.name), || async { process.status().is_some() }).await;
        assert!(process.status().unwrap().success(), "{}: {}", service.name, process.log());
        return Some(process);
    }
    let health: Vec<String> = service.health.iter().map(|word| map.text(service, word)).collect();
    until(&format!("{} is healthy", service.name), || async {
        assert!(process.status().is_none(), "{} has ended: {}", service.name, process.log());
        match &*health[0] {
            "wget" => Http::new(health.last().unwrap()).try_get("").await.is_ok_and(|reply| reply.status == 200),
            "nats-account-server" => run(&health[1..]).await.status == 0,
            other => panic!("nothing stands for {other}"),
        }
    })
    .await;
    Some(process)
}

/// Everything that is readable for others than the owner, except the text that says what the folder is.
fn readable_for_others(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let is_open = entry.metadata().unwrap().permissions().mode() & 0o077 != 0;
        if is_open && entry.file_name() != "THROWAWAY-DEMO-FOLDER.txt" {
            found.push(entry.path());
        }
        if entry.path().is_dir() {
            readable_for_others(&entry.path(), found);
        }
    }
}

#[tokio::test]
async fn every_container_runs_and_there_is_nothing_to_prepare() {
    let compose = parse("docker-compose.yml", &text_of("docker-compose.yml"));
    let mut waiting = services(&compose);
    for name in members(&compose["services"]).iter().flat_map(|(_, service)| items(&service["ports"])).map(text) {
        assert!(name.starts_with("127.0.0.1:"), "{name} is open to the network");
    }
    let map = Map::of(&waiting);
    let (mut running, mut done) = (Vec::new(), Vec::<Service>::new());
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|service| {
            service.after.iter().all(|(name, condition)| {
                let reached = done.iter().find(|other| other.name == *name);
                let once = condition == "service_completed_successfully";
                reached.is_some_and(|other| other.runs_once == once && (once || condition == "service_healthy"))
            })
        });
        let service = waiting.remove(ready.unwrap_or_else(|| panic!("these wait for each other: {waiting:?}")));
        let Some(process) = start(&service, &map).await else { return };
        // The last one is dropped first.
        running.insert(0, process);
        done.push(service);
    }
    let named = |name: &str| done.iter().find(|service| service.name == name).unwrap();

    let keys = map.volume("keys");
    let mut readable = Vec::new();
    readable_for_others(&keys, &mut readable);
    assert_eq!(readable, Vec::<PathBuf>::new());

    // An account through HAProxy, as the nats-server gets it, and a user of it.
    let app = fs::read_to_string(keys.join("nsc/demo/accounts/app/app.jwt")).unwrap();
    let key = jwt_subject(&app);
    let served = map.http("haproxy", "9090").get(&format!("/jwt/v1/accounts/{key}")).await.expect(200).body;
    assert_eq!(served, app.trim());
    let options = ConnectOptions::with_credentials_file(keys.join("alice.creds")).await.unwrap();
    let client =
        within("a connection", options.connect(format!("nats://{}", map.address("nats", "4222")))).await.unwrap();
    let mut heard = client.subscribe("hello").await.unwrap();
    client.publish("hello", "it works".into()).await.unwrap();
    assert_eq!(within("the message", heard.next()).await.unwrap().payload, "it works");

    // Prometheus sees all three servers, with a region, and has the alerts.
    let prometheus = map.http("prometheus", "9090");
    until("Prometheus sees all servers", || async {
        let up = prometheus.get("/api/v1/query?query=sum(up%7Bregion%3D%22local%22%7D)").await.expect(200).json();
        up["data"]["result"][0]["value"][1] == "3"
    })
    .await;
    let rules = prometheus.get("/api/v1/rules?type=alert").await.expect(200).json();
    assert!(!rules["data"]["groups"].as_array().unwrap().is_empty(), "{rules}");

    // Another `docker compose up` makes no other keys, and pushes nothing older.
    let operator = fs::read_to_string(keys.join("operator.jwt")).unwrap();
    for name in ["setup", "accounts"] {
        start(named(name), &map).await.unwrap();
    }
    assert_eq!(fs::read_to_string(keys.join("operator.jwt")).unwrap(), operator);
}

/// Whom a JWT is about.
fn jwt_subject(jwt: &str) -> String {
    let claims = data_encoding::BASE64URL_NOPAD.decode(jwt.split('.').nth(1).unwrap().as_bytes()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&claims).unwrap()["sub"].as_str().unwrap().to_owned()
}
