use super::*;

/// A registry for a test: one that ends with it, or, with `TANDEM_TEST_REGISTRY=postgres`, a schema
/// on a server.
pub(crate) fn registry(tables: &[&str]) -> Registry {
    #[cfg(feature = "postgres")]
    if std::env::var("TANDEM_TEST_REGISTRY").is_ok_and(|place| place == "postgres")
        && let Some(server) = tandem_pgtest::Server::shared()
    {
        let address = tandem_pgtest::address(&[server], &server.schema());
        return Registry::on(&address.parse().unwrap(), "test", tables).unwrap();
    }
    Registry::in_memory(tables).unwrap()
}

const TABLE: &str = "
create table if not exists thing (
    id integer primary key,
    -- What it is called; nobody reads this.
    name text not null,
    bytes blob,
    good integer not null default 1
) strict;
create unique index if not exists thing_name on thing (lower(name));
";

fn add(tables: &Tables<'_>, name: &str) -> Result<Option<i64>> {
    let add = "insert into thing (name, bytes) values (?1, ?2) on conflict do nothing returning id";
    tables.row(add, values![name, vec![0_u8, 255]], |row| row.get(0))
}

fn names(registry: &Registry) -> Vec<String> {
    let select = "select name from thing order by id";
    let names = registry.read(|tables| tables.rows(select, values![], |row| row.get(0)));
    names.unwrap()
}

fn keeps_what_it_is_told(registry: &Registry) {
    assert_eq!(
        registry.change(|tables| add(tables, "Ann")).unwrap(),
        Some(1)
    );
    assert_eq!(registry.change(|tables| add(tables, "ann")).unwrap(), None);
    let id = registry.change(|tables| add(tables, "Bo")).unwrap();
    let select =
        "select name, bytes, good, bytes is null, count(*) over () from thing where id = ?1";
    let found = registry.read(|tables| {
        tables.row(select, values![id], |row| {
            let (name, bytes): (String, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
            Ok((name, bytes, row.get(2)?, row.get(3)?, row.get(4)?))
        })
    });
    let expected = ("Bo".to_owned(), Some(vec![0, 255]), true, false, 1_i64);
    assert_eq!(found.unwrap(), Some(expected));
    let none = values![Option::<Vec<u8>>::None, id];
    let change = "update thing set bytes = ?1 where id = ?2";
    let changed = registry.change(|tables| tables.execute(change, none));
    assert_eq!(changed.unwrap(), 1);
    let said = registry.read(|tables| tables.value::<String>("select good from thing", values![]));
    assert_eq!(
        said.unwrap_err().to_string(),
        "column 0 has a value that it cannot have; the table was changed by something else"
    );
}

fn changes_all_or_nothing(registry: &Registry) {
    let undone = registry.change(|tables| {
        add(tables, "Cy")?;
        Err::<(), _>(Error::Kept("no".to_owned()))
    });
    assert_eq!(undone.unwrap_err().to_string(), "no");
    let broken = registry.change(|tables| {
        add(tables, "Di")?;
        tables.execute("insert into thing (name) values (?1)", values!["Ann"])
    });
    assert!(broken.is_err());
    assert_eq!(names(registry), ["Ann", "Bo"]);
}

#[test]
fn a_file_keeps_tables() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(&folder.path().join("registry.db"), &[TABLE]).unwrap();
    keeps_what_it_is_told(&registry);
    changes_all_or_nothing(&registry);
    assert_eq!(names(&registry.another().unwrap()), ["Ann", "Bo"]);
}

#[cfg(feature = "postgres")]
mod on_a_server {
    use std::thread;

    use super::*;

    fn open(address: &str) -> Registry {
        Registry::on(&address.parse().unwrap(), "things", &[TABLE]).unwrap()
    }

    #[test]
    fn a_server_keeps_tables_for_all_nodes() {
        let Some(server) = tandem_pgtest::Server::shared() else {
            return;
        };
        let address = tandem_pgtest::address(&[server], &server.schema());
        // Nodes that start at the same time make the tables once.
        let registries = thread::scope(|scope| {
            let nodes: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&address))).collect();
            nodes
                .into_iter()
                .map(|node| node.join().unwrap())
                .collect::<Vec<_>>()
        });
        keeps_what_it_is_told(&registries[0]);
        changes_all_or_nothing(&registries[1]);
        assert_eq!(names(&registries[2]), ["Ann", "Bo"]);
        let overlooked = registries[0].change(|tables| {
            add(tables, "Cy")?;
            let _ = tables.execute("insert into thing (name) values (?1)", values!["Ann"]);
            Result::Ok(())
        });
        assert!(overlooked.is_err());
        assert_eq!(names(&registries[2]), ["Ann", "Bo"]);

        // Who reads and then writes is overtaken by nobody.
        thread::scope(|scope| {
            for registry in &registries {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let next = "select cast(max(id) as bigint) + 1000 from thing";
                        let add = "insert into thing (id, name) values (?1, ?2)";
                        let added = registry.change(|tables| {
                            let id: i64 = tables.value(next, values![])?;
                            tables.execute(add, values![id, id.to_string()])
                        });
                        added.unwrap();
                    }
                });
            }
        });
        assert_eq!(names(&registries[3]).len(), 42);
    }

    #[test]
    fn what_is_not_as_it_must_be_is_said() {
        let Some(server) = tandem_pgtest::Server::shared() else {
            return;
        };
        let schema = server.schema();
        let registry = open(&tandem_pgtest::address(&[server], &schema));
        let find = "select name from thing where name = ?1";
        let found =
            registry.read(|tables| tables.row(find, values!["A\0"], |row| row.get::<String>(0)));
        assert_eq!(found.unwrap(), None);
        server.sql(
            &schema,
            &format!("delete from {schema}_things.registry_lock"),
        );
        let said = registry.change(|tables| add(tables, "Ann")).unwrap_err();
        assert_eq!(
            said.to_string(),
            "the row of table registry_lock is gone, which keeps nodes apart: start the service \
             again, which makes it"
        );
        let address = tandem_pgtest::address(&[server], "elsewhere");
        let said = Registry::on(&address.parse().unwrap(), "things", &[TABLE]);
        let said = said.err().unwrap().to_string();
        assert!(
            said.ends_with(
                ": schema elsewhere, which the address chooses, is not there; make it first"
            ),
            "{said}"
        );
    }

    #[test]
    fn while_no_server_answers_it_is_said_and_then_it_goes_on() {
        let Some(server) = tandem_pgtest::Server::start() else {
            return;
        };
        let registry = open(&tandem_pgtest::address(&[&server], "public"));
        registry.change(|tables| add(tables, "Ann")).unwrap();
        server.crash();
        for _ in 0..3 {
            let said = registry.change(|tables| add(tables, "Bo")).unwrap_err();
            let said = said.to_string();
            assert!(said.contains("error connecting to server"), "{said}");
        }
        server.restart();
        thread::sleep(std::time::Duration::from_millis(1_100));
        registry.change(|tables| add(tables, "Cy")).unwrap();
        assert_eq!(names(&registry), ["Ann", "Cy"]);
    }

    #[test]
    fn what_no_standby_has_is_not_acknowledged() {
        let Some(server) = tandem_pgtest::Server::start() else {
            return;
        };
        let schema = server.schema();
        let registry = open(&tandem_pgtest::address(&[&server], &schema));
        registry.change(|tables| add(tables, "Ann")).unwrap();
        // A standby is asked for that does not exist, and somebody gives up the wait for it.
        server.configure("synchronous_standby_names = 'nobody'");
        server.sql(&schema, "select pg_reload_conf()");
        let cancel = format!(
            "select count(pg_cancel_backend(pid)) from pg_stat_activity
             where wait_event = 'SyncRep' and application_name = '{schema}'"
        );
        let said = thread::scope(|scope| {
            let waiting = scope.spawn(|| registry.change(|tables| add(tables, "Bo")));
            while server.sql(&schema, &cancel).trim() == "0" {
                thread::sleep(std::time::Duration::from_millis(50));
            }
            waiting.join().unwrap().unwrap_err().to_string()
        });
        let expected = "the server confirmed with a warning, so it may not be durable: canceling \
                        wait for synchronous replication due to user request";
        assert!(said.ends_with(expected), "{said}");
    }

    #[test]
    fn a_lost_connection_is_made_anew_and_a_change_on_it_is_not_half_done() {
        let Some(server) = tandem_pgtest::Server::shared() else {
            return;
        };
        let schema = server.schema();
        let registry = open(&tandem_pgtest::address(&[server], &schema));
        registry.change(|tables| add(tables, "Ann")).unwrap();
        let end = format!(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where pid <> pg_backend_pid() and application_name = '{schema}'"
        );
        let end = || server.sql(&schema, &end);
        end();
        assert_eq!(names(&registry), ["Ann"]);
        end();
        registry.change(|tables| add(tables, "Bo")).unwrap();
        let lost = registry.change(|tables| {
            add(tables, "Cy")?;
            end();
            add(tables, "Di")
        });
        let said = lost.unwrap_err().to_string();
        assert!(said.contains("terminating connection"), "{said}");
        assert_eq!(names(&registry), ["Ann", "Bo"]);
    }
}
