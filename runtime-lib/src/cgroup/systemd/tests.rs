//! Against a bus of the test's own, which answers badly.

use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

/// What the bus says to a call of `member`.
enum Say {
    /// A return with this object path.
    Path(&'static str),
    /// A return of a variant with this string.
    Property(String),
    /// A return of nothing.
    Nothing,
    /// An error of this name.
    Error(&'static str),
    /// A signal that a job has ended, and then a return with its path.
    Job(&'static str, &'static str),
    /// Nothing at all.
    Silence,
    /// What is no message.
    Noise,
    /// The end of the connection.
    HangUp,
    /// Signals without end, each of which is fine.
    Flood,
    /// A return with this object path, a byte at a time.
    Drops(&'static str),
}

/// Serves one connection: for each call that is not the bus's own, `answer` says what comes. Gives the members called.
fn serve(listener: &UnixListener, mut answer: impl FnMut(&str) -> Say) -> Vec<String> {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while !line.ends_with("BEGIN\r\n") {
        assert_ne!(reader.read_line(&mut line).unwrap(), 0);
    }
    (&stream).write_all(b"DATA\r\nOK 0123456789abcdef\r\n").unwrap();
    let mut called = Vec::new();
    while let Some((serial, member)) = next_call(&mut reader) {
        let say = if matches!(member.as_str(), "Hello" | "AddMatch") { Say::Nothing } else { answer(&member) };
        called.push(member);
        match say {
            Say::Silence => {
                // Until the other side gives up.
                let _ = reader.read(&mut [0; 1]);
                break;
            }
            Say::HangUp => break,
            _ => {}
        }
        reply(&stream, serial, say);
    }
    called.retain(|member| !matches!(member.as_str(), "Hello" | "AddMatch"));
    called
}

fn next_call(reader: &mut BufReader<UnixStream>) -> Option<(u32, String)> {
    let mut bytes = vec![0; message::FIXED];
    reader.read_exact(&mut bytes).ok()?;
    let length = message::length(&bytes).unwrap();
    bytes.resize(length, 0);
    reader.read_exact(&mut bytes[message::FIXED..]).ok()?;
    let serial = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
    Some((serial, message::read(&bytes).unwrap().member))
}

fn reply(mut stream: &UnixStream, serial: u32, say: Say) {
    let mut body = Writer::default();
    let bytes = match say {
        Say::Path(path) => {
            body.text(path);
            incoming(message::RETURN, Some(serial), "", &body.bytes)
        }
        Say::Property(text) => {
            body.bytes.extend([1, b's', 0]);
            body.text(&text);
            incoming(message::RETURN, Some(serial), "", &body.bytes)
        }
        Say::Nothing => incoming(message::RETURN, Some(serial), "", &[]),
        Say::Error(name) => {
            body.text("no");
            incoming(message::ERROR, Some(serial), name, &body.bytes)
        }
        Say::Job(path, result) => {
            // Somebody else's first, then ours, even before the return.
            let mut all = Vec::new();
            for (job, result) in [("/job/other", "failed"), (path, result)] {
                let mut signal = Writer::default();
                signal.u32(1);
                [job, "unit", result].iter().for_each(|text| signal.text(text));
                all.extend(incoming(message::SIGNAL, None, "JobRemoved", &signal.bytes));
            }
            body.text(path);
            all.extend(incoming(message::RETURN, Some(serial), "", &body.bytes));
            all
        }
        Say::Silence | Say::HangUp => return,
        Say::Noise => vec![b'x'; 64],
        Say::Flood => {
            let signal = incoming(message::SIGNAL, None, "JobNew", &[]);
            while stream.write_all(&signal).is_ok() {}
            return;
        }
        Say::Drops(path) => {
            body.text(path);
            for byte in incoming(message::RETURN, Some(serial), "", &body.bytes) {
                let _ = stream.write_all(&[byte]);
                std::thread::sleep(Duration::from_millis(1));
            }
            return;
        }
    };
    let _ = stream.write_all(&bytes);
}

/// A message of the given kind: `text` is an error's name or a signal's member.
fn incoming(kind: u8, reply_to: Option<u32>, text: &str, body: &[u8]) -> Vec<u8> {
    let mut w = Writer { bytes: vec![b'l', kind, 0, 1] };
    w.u32(body.len() as u32);
    w.u32(1);
    w.array(8, |w| {
        if let Some(serial) = reply_to {
            w.bytes.extend([5, 1, b'u', 0]);
            w.u32(serial);
        }
        if !text.is_empty() {
            w.bytes.resize(w.bytes.len().next_multiple_of(8), 0);
            w.bytes.extend([if kind == message::ERROR { 4 } else { 3 }, 1, b's', 0]);
            w.text(text);
        }
    });
    w.bytes.resize(w.bytes.len().next_multiple_of(8), 0);
    w.bytes.extend(body);
    w.bytes
}

struct Fake {
    _directory: tempfile::TempDir,
    scope: Scope,
    server: JoinHandle<Vec<String>>,
}

/// A scope whose bus answers as told.
fn fake(mut answer: impl FnMut(&Scope, &str) -> Say + Send + 'static) -> Fake {
    let directory = tempfile::tempdir().unwrap();
    let bus = directory.path().join("bus");
    let listener = UnixListener::bind(&bus).unwrap();
    let scope =
        Scope { unit: "corten-x.scope".to_owned(), bus: bus.to_str().unwrap().to_owned(), mark: "our-mark".to_owned() };
    let seen = scope.clone();
    let server = std::thread::spawn(move || serve(&listener, |member| answer(&seen, member)));
    Fake { _directory: directory, scope, server }
}

fn plan(scope: &Scope) -> SystemdScope {
    let (unit, bus) = (scope.unit.clone(), scope.bus.clone());
    SystemdScope { unit, slice: "system.slice".to_owned(), bus, user: false, properties: vec![] }
}

fn start(scope: &Scope) -> Result<()> {
    scope.start(&plan(scope), false, vec![("TasksMax".to_owned(), Value::U64(5))], 1)
}

#[test]
fn a_scope_is_started_when_its_job_is_done() {
    let fake = fake(|_, _| Say::Job("/job/1", "done"));
    start(&fake.scope).unwrap();
    assert_eq!(fake.server.join().unwrap(), ["StartTransientUnit"]);
}

#[test]
fn an_idle_group_is_told_to_a_systemd_that_knows_what_it_is() {
    for (version, known) in
        [("257.9-1~deb13u1", true), ("252.38-1~deb12u1", true), ("v251", false), ("247.3-7", false), ("", false)]
    {
        let fake = fake(move |_, _| Say::Property(version.to_owned()));
        let mut manager = Manager::connect(&fake.scope.bus).unwrap();
        let limits = vec![("CPUWeight".to_owned(), Value::U64(0)), ("TasksMax".to_owned(), Value::U64(0))];
        let of_weight = vec![("CPUWeight".to_owned(), Value::U64(1))];
        assert_eq!(manager.known(limits.clone()).unwrap(), if known { &limits[..] } else { &limits[1..] }, "{version}");
        assert_eq!(manager.known(of_weight.clone()).unwrap(), of_weight);
        drop(manager);
        assert_eq!(fake.server.join().unwrap(), ["Get"]);
    }
}

#[test]
fn refusals_failed_jobs_and_nonsense_are_errors() {
    type Answer = fn() -> Say;
    let cases: [(Answer, &str); 5] = [
        (
            || Say::Error("org.freedesktop.DBus.Error.AccessDenied"),
            "systemd refuses: no (org.freedesktop.DBus.Error.AccessDenied)",
        ),
        (|| Say::Job("/job/1", "failed"), "job ended with \"failed\""),
        (|| Say::Job("/job/1", "timeout"), "job ended with \"timeout\""),
        (|| Say::Noise, "sent what is no message"),
        (|| Say::Nothing, "something else than a path"),
    ];
    for (answer, text) in cases {
        let fake = fake(move |_, _| answer());
        let error = format!("{:#}", start(&fake.scope).unwrap_err());
        assert!(error.contains(text) && error.contains("corten-x.scope"), "{error}");
        fake.server.join().unwrap();
    }
}

#[test]
fn a_failed_unit_of_the_name_makes_way() {
    let mut tries = 0;
    let fake = fake(move |_, member| match member {
        "StartTransientUnit" => {
            tries += 1;
            if tries == 1 { Say::Error("org.freedesktop.systemd1.UnitExists") } else { Say::Job("/job/1", "done") }
        }
        "GetUnit" => Say::Path("/unit"),
        "Get" => Say::Property("failed".to_owned()),
        _ => Say::Nothing,
    });
    start(&fake.scope).unwrap();
    let expected = ["StartTransientUnit", "GetUnit", "Get", "ResetFailedUnit", "StartTransientUnit"];
    assert_eq!(fake.server.join().unwrap(), expected);
}

#[test]
fn a_living_unit_of_the_name_is_left_alone() {
    let fake = fake(|_, member| match member {
        "StartTransientUnit" => Say::Error("org.freedesktop.systemd1.UnitExists"),
        "GetUnit" => Say::Path("/unit"),
        _ => Say::Property("active".to_owned()),
    });
    let error = start(&fake.scope).unwrap_err();
    assert_eq!(error.location(), Some("linux.cgroupsPath"));
    assert!(error.to_string().contains("corten-x.scope exists already"), "{error}");
    assert_eq!(fake.server.join().unwrap(), ["StartTransientUnit", "GetUnit", "Get"]);
}

#[test]
fn only_the_unit_with_our_mark_is_stopped() {
    let ours = fake(|scope, member| match member {
        "GetUnit" => Say::Path("/unit"),
        "Get" => Say::Property(scope.description()),
        "StopUnit" => Say::Job("/job/2", "done"),
        _ => Say::Error("org.freedesktop.systemd1.NoSuchUnit"),
    });
    assert!(ours.scope.stop().unwrap());
    assert_eq!(ours.server.join().unwrap(), ["GetUnit", "Get", "StopUnit", "ResetFailedUnit"]);

    // A unit that goes just then is a new one, without anything, when it is asked about.
    for (mark, state, is_gone) in
        [("corten container another-mark", "loaded", false), ("corten-x.scope", "not-found", true)]
    {
        let mut properties = [state, mark].map(str::to_owned).to_vec();
        let theirs = fake(move |_, member| match member {
            "GetUnit" => Say::Path("/unit"),
            _ => Say::Property(properties.pop().unwrap_or_default()),
        });
        assert_eq!(theirs.scope.stop().unwrap(), is_gone);
        assert_eq!(theirs.server.join().unwrap(), ["GetUnit", "Get", "Get"]);
    }

    let gone = fake(|_, _| Say::Error("org.freedesktop.systemd1.NoSuchUnit"));
    assert!(gone.scope.stop().unwrap());
    assert_eq!(gone.server.join().unwrap(), ["GetUnit"]);
}

#[test]
fn a_bus_that_is_not_there_or_says_nothing_is_an_error_in_bounded_time() {
    let short = Duration::from_millis(100);
    let directory = tempfile::tempdir().unwrap();
    let address = directory.path().join("none");
    let error = Manager::connect_within(address.to_str().unwrap(), short).err().unwrap();
    assert_eq!(error.errno(), Some(libc::ENOENT));
    assert!(error.to_string().contains("none"), "{error}");

    // Nobody accepts.
    let listener = UnixListener::bind(&address).unwrap();
    let error = Manager::connect_within(address.to_str().unwrap(), short).err().unwrap();
    assert_eq!(error.errno(), Some(libc::ETIMEDOUT));
    drop(listener);

    // Systemd does not answer.
    let fake = fake(|_, _| Say::Silence);
    let mut manager = Manager::connect_within(&fake.scope.bus, Duration::from_millis(500)).unwrap();
    let error = manager.unit("x").unwrap_err();
    assert_eq!(error.errno(), Some(libc::ETIMEDOUT), "{error:#}");
    drop(manager);
    fake.server.join().unwrap();

    // Whoever it is refuses us.
    let path = directory.path().join("refusing");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        client.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
        // Open until the client has gone: it may not have written yet.
        let _ = client.read_to_end(&mut Vec::new());
    });
    let error = Manager::connect_within(path.to_str().unwrap(), Duration::from_secs(10)).err().unwrap();
    assert!(error.to_string().contains("refuses us"), "{error}");
    server.join().unwrap();
}

#[test]
fn a_bus_that_hangs_up_or_talks_without_end_is_an_error_and_one_that_is_slow_is_none() {
    for (say, errno) in [((|| Say::HangUp) as fn() -> Say, libc::ECONNRESET), (|| Say::Flood, libc::ETIMEDOUT)] {
        let fake = fake(move |_, _| say());
        let mut manager = Manager::connect_within(&fake.scope.bus, Duration::from_secs(2)).unwrap();
        let error = manager.unit("x").unwrap_err();
        assert_eq!(error.errno(), Some(errno), "{error:#}");
        drop(manager);
        fake.server.join().unwrap();
    }
    let fake = fake(|_, _| Say::Drops("/unit"));
    assert_eq!(Manager::connect(&fake.scope.bus).unwrap().unit("x").unwrap().as_deref(), Some("/unit"));
    fake.server.join().unwrap();
}

#[test]
fn where_no_mark_can_be_systemd_is_asked_whose_the_unit_is() {
    // procfs has no extended attributes.
    let bare = Path::new("/proc/self");
    for (ours, description) in [(true, "corten container our-mark"), (false, "corten container another-mark")] {
        let fake = fake(move |_, member| match member {
            "GetUnit" => Say::Path("/unit"),
            _ => Say::Property(description.to_owned()),
        });
        assert_eq!(fake.scope.has_marked(bare).unwrap(), ours);
        assert_eq!(fake.server.join().unwrap(), ["GetUnit", "Get"]);
    }
    let gone = fake(|_, _| Say::Error("org.freedesktop.systemd1.NoSuchUnit"));
    assert!(!gone.scope.has_marked(bare).unwrap());
    gone.server.join().unwrap();
}

#[test]
fn each_scope_has_a_mark_of_its_own() {
    let plan = SystemdScope {
        unit: "corten-x.scope".to_owned(),
        slice: "system.slice".to_owned(),
        bus: "/nonexistent".to_owned(),
        user: false,
        properties: vec![],
    };
    let (one, other) = (Scope::of(&plan).mark, Scope::of(&plan).mark);
    assert!(one != other && one.len() == 32 && one.len() <= 64, "{one} {other}");
}
