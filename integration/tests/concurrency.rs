//! Commands at the same time, and very many of them.

use corten_integration::{on_every_view, once};

fn rounds() -> usize {
    std::env::var("LOOPS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

#[test]
fn of_two_creates_of_one_id_exactly_one_wins() {
    on_every_view(|t| {
        for _ in 0..5 {
            let container = t.container(t.bundle().args(&["sleep", "1000"]));
            let both = [container.command("create").spawn(), container.command("create").spawn()];
            let outputs = both.map(corten_integration::Running::wait);
            let winners = outputs.iter().filter(|output| output.code() == 0).count();
            assert_eq!(winners, 1, "{} {}", outputs[0], outputs[1]);
            assert_eq!(container.status(), "created");
            container.start();
            assert_eq!(container.status(), "running");
            container.command("delete").option("--force").ok();
        }
        t.assert_nothing_left();
    });
}

#[test]
fn many_containers_at_once() {
    on_every_view(|t| {
        let containers: Vec<_> =
            (0..10).map(|number| t.container(t.bundle().args(&["echo", &number.to_string()]))).collect();
        let running: Vec<_> = containers.iter().map(|container| container.command("run").spawn()).collect();
        for (number, running) in running.into_iter().enumerate() {
            let output = running.wait();
            assert_eq!((output.code(), output.stdout()), (0, format!("{number}\n")), "{output}");
        }
        t.assert_nothing_left();
    });
}

#[test]
fn a_very_short_program_never_hangs_a_run() {
    once(|t| {
        let container = t.container(t.bundle().args(&["/bin/true"]));
        for _ in 0..rounds() {
            container.command("run").ok();
        }
        t.assert_nothing_left();
    });
}

#[test]
fn two_deletes_at_once_do_no_harm() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        container.run_detached();
        let both = [0, 1].map(|_| container.command("delete").option("--force").spawn());
        let _ = both.map(corten_integration::Running::wait);
        t.assert_nothing_left();
    });
}

#[test]
fn list_and_state_while_containers_come_and_go() {
    once(|t| {
        let container = t.container(t.bundle().args(&["true"]));
        for _ in 0..10 {
            let running = container.command("run").spawn();
            for _ in 0..3 {
                let list = t.command("list", &[]).option("--format").option("json").run();
                assert!(list.code() == 0 || t.differs("list while a container goes"), "{list}");
                // It may exist or not, but the command ends.
                container.command("state").run();
            }
            assert_eq!(running.wait().code(), 0);
        }
    });
}

#[test]
fn delete_force_right_after_create_was_killed() {
    on_every_view(|t| {
        let container = t.container(t.bundle().args(&["sleep", "1000"]));
        for delay in [0, 1, 2, 4, 8, 16] {
            let running = container.command("create").spawn();
            std::thread::sleep(std::time::Duration::from_millis(delay));
            running.signal("KILL");
            running.wait();
            container.command("delete").option("--force").ok();
            t.assert_nothing_left();
        }
        container.create();
        container.delete();
    });
}
