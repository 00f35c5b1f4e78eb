import GRDB

/// The queue's tables. What a call may become, and that a result belongs to the claim that made it, the database itself sees to: no mistake
/// above it can run a finished call again or give one two results.
enum QueueSchema {
    private static let ends = "('succeeded', 'failed', 'timedOut', 'cancelled', 'dead')"

    static let migrator: DatabaseMigrator = {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 calls and fires") { db in
            try db.execute(
                sql: """
                    CREATE TABLE calls (
                        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
                        function_id TEXT NOT NULL, namespace_id TEXT NOT NULL,
                        state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', \(ends.dropFirst().dropLast()))),
                        created INTEGER NOT NULL, available INTEGER NOT NULL, expires INTEGER NOT NULL,
                        attempts INTEGER NOT NULL DEFAULT 0, max_attempts INTEGER NOT NULL,
                        fence INTEGER NOT NULL DEFAULT 0, worker TEXT, lease_until INTEGER,
                        order_key BLOB, blocked INTEGER NOT NULL DEFAULT 0,
                        owner TEXT NOT NULL, subject TEXT NOT NULL, request_bytes INTEGER NOT NULL,
                        schedule_id TEXT, instant INTEGER, redrive_of TEXT, redriven_as TEXT, told INTEGER NOT NULL DEFAULT 0,
                        started INTEGER, finished INTEGER, status INTEGER, problem TEXT, detail TEXT, revision INTEGER
                    ) STRICT;
                    CREATE TABLE requests (seq INTEGER PRIMARY KEY REFERENCES calls(seq) ON DELETE CASCADE, sealed BLOB NOT NULL) STRICT;
                    CREATE TABLE results (seq INTEGER PRIMARY KEY REFERENCES calls(seq) ON DELETE CASCADE, sealed BLOB NOT NULL) STRICT;
                    CREATE TABLE idempotency (
                        scope BLOB PRIMARY KEY NOT NULL, request BLOB NOT NULL,
                        seq INTEGER NOT NULL REFERENCES calls(seq) ON DELETE CASCADE
                    ) STRICT, WITHOUT ROWID;
                    CREATE INDEX idempotency_of_call ON idempotency (seq);
                    CREATE TABLE fires (
                        number INTEGER PRIMARY KEY AUTOINCREMENT, schedule_id TEXT NOT NULL, instant INTEGER NOT NULL,
                        outcome TEXT NOT NULL CHECK (outcome IN ('fired', 'skipped', 'refused')), missed INTEGER NOT NULL DEFAULT 0,
                        call_id TEXT, at INTEGER NOT NULL, UNIQUE (schedule_id, instant)
                    ) STRICT;
                    CREATE TABLE schedule_cursors (schedule_id TEXT PRIMARY KEY NOT NULL, cursor INTEGER NOT NULL) STRICT, WITHOUT ROWID;

                    CREATE INDEX calls_ready ON calls (function_id, available, seq) WHERE state = 'queued' AND blocked = 0;
                    CREATE INDEX calls_open ON calls (function_id, state, expires) WHERE state IN ('queued', 'running');
                    CREATE INDEX calls_in_order ON calls (function_id, order_key, seq)
                        WHERE order_key IS NOT NULL AND state IN ('queued', 'running');
                    CREATE INDEX calls_of_namespace ON calls (namespace_id, created, seq);
                    CREATE INDEX calls_of_namespace_by_state ON calls (namespace_id, state, created, seq);
                    CREATE INDEX calls_of_function ON calls (function_id, created, seq);
                    CREATE INDEX calls_of_function_by_state ON calls (function_id, state, created, seq);
                    CREATE INDEX calls_of_schedule ON calls (schedule_id, created, seq) WHERE schedule_id IS NOT NULL;
                    CREATE INDEX calls_dead ON calls (function_id, created, seq) WHERE state = 'dead' AND redriven_as IS NULL;
                    CREATE INDEX calls_untold ON calls (seq) WHERE state = 'dead' AND told = 0;
                    CREATE INDEX calls_ended ON calls (namespace_id, finished) WHERE finished IS NOT NULL;

                    CREATE TRIGGER calls_begin BEFORE INSERT ON calls
                        WHEN NEW.state <> 'queued' OR NEW.fence <> 0 OR NEW.attempts <> 0 OR NEW.finished IS NOT NULL
                        BEGIN SELECT RAISE(ABORT, 'a call begins queued'); END;
                    CREATE TRIGGER calls_way BEFORE UPDATE OF state ON calls
                        WHEN NEW.state <> OLD.state AND NOT (
                            (OLD.state = 'queued' AND NEW.state IN ('running', 'cancelled', 'dead'))
                            OR (OLD.state = 'running' AND NEW.state IN ('queued', 'succeeded', 'failed', 'timedOut', 'cancelled', 'dead')))
                        BEGIN SELECT RAISE(ABORT, 'a call does not go that way'); END;
                    CREATE TRIGGER calls_ended_for_good BEFORE UPDATE ON calls
                        WHEN OLD.state IN \(ends) AND (NEW.state IS NOT OLD.state OR NEW.fence IS NOT OLD.fence
                            OR NEW.attempts IS NOT OLD.attempts OR NEW.status IS NOT OLD.status OR NEW.problem IS NOT OLD.problem
                            OR NEW.finished IS NOT OLD.finished OR (OLD.redriven_as IS NOT NULL AND NEW.redriven_as IS NOT OLD.redriven_as))
                        BEGIN SELECT RAISE(ABORT, 'a call has ended'); END;
                    CREATE TRIGGER calls_fence BEFORE UPDATE ON calls
                        WHEN NEW.attempts NOT BETWEEN OLD.attempts AND OLD.attempts + 1
                            OR NEW.fence <> OLD.fence + (OLD.state = 'queued' AND NEW.state = 'running')
                        BEGIN SELECT RAISE(ABORT, 'a claim is counted once'); END;
                    CREATE TRIGGER calls_end_is_dated BEFORE UPDATE OF state ON calls
                        WHEN (NEW.state IN \(ends)) <> (NEW.finished IS NOT NULL)
                        BEGIN SELECT RAISE(ABORT, 'an end has a time'); END;
                    CREATE TRIGGER results_at_the_end BEFORE INSERT ON results
                        WHEN (SELECT state FROM calls WHERE seq = NEW.seq) NOT IN ('succeeded', 'failed', 'timedOut', 'dead')
                        BEGIN SELECT RAISE(ABORT, 'a result comes with the end'); END;
                    CREATE TRIGGER results_once BEFORE UPDATE ON results BEGIN SELECT RAISE(ABORT, 'a result stays'); END;
                    CREATE TRIGGER fires_once BEFORE UPDATE OF schedule_id, instant ON fires
                        BEGIN SELECT RAISE(ABORT, 'a fire stays'); END;

                    CREATE TRIGGER calls_wait_in_order AFTER INSERT ON calls WHEN NEW.order_key IS NOT NULL AND EXISTS (
                            SELECT 1 FROM calls WHERE function_id = NEW.function_id AND order_key = NEW.order_key AND seq < NEW.seq
                                AND state IN ('queued', 'running'))
                        BEGIN UPDATE calls SET blocked = 1 WHERE seq = NEW.seq; END;
                    CREATE TRIGGER calls_next_in_order AFTER UPDATE OF state ON calls
                        WHEN NEW.order_key IS NOT NULL AND NEW.state IN \(ends)
                        BEGIN UPDATE calls SET blocked = 0 WHERE seq = (
                            SELECT min(seq) FROM calls WHERE function_id = NEW.function_id AND order_key = NEW.order_key
                                AND state IN ('queued', 'running')) AND blocked = 1; END;
                    """)
        }
        migrator.registerMigration("2 what is kept") { db in
            try db.execute(
                sql: """
                    CREATE TABLE kept (namespace_id TEXT PRIMARY KEY NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
                    -- Only what may be made once more needs its request.
                    DELETE FROM requests WHERE seq IN (SELECT seq FROM calls WHERE state IN ('succeeded', 'cancelled'));
                    INSERT INTO kept SELECT c.namespace_id, sum(k.bytes) FROM (
                            SELECT seq, length(sealed) AS bytes FROM requests UNION ALL SELECT seq, length(sealed) FROM results) k
                        JOIN calls c ON c.seq = k.seq GROUP BY c.namespace_id;
                    CREATE TRIGGER requests_begin AFTER INSERT ON requests BEGIN
                        INSERT INTO kept VALUES ((SELECT namespace_id FROM calls WHERE seq = NEW.seq), length(NEW.sealed))
                            ON CONFLICT (namespace_id) DO UPDATE SET bytes = bytes + excluded.bytes; END;
                    CREATE TRIGGER results_begin AFTER INSERT ON results BEGIN
                        INSERT INTO kept VALUES ((SELECT namespace_id FROM calls WHERE seq = NEW.seq), length(NEW.sealed))
                            ON CONFLICT (namespace_id) DO UPDATE SET bytes = bytes + excluded.bytes; END;
                    CREATE TRIGGER requests_end BEFORE DELETE ON requests BEGIN
                        UPDATE kept SET bytes = bytes - length(OLD.sealed)
                            WHERE namespace_id = (SELECT namespace_id FROM calls WHERE seq = OLD.seq); END;
                    CREATE TRIGGER results_end BEFORE DELETE ON results BEGIN
                        UPDATE kept SET bytes = bytes - length(OLD.sealed)
                            WHERE namespace_id = (SELECT namespace_id FROM calls WHERE seq = OLD.seq); END;
                    -- While the call still says whose they are.
                    CREATE TRIGGER calls_go BEFORE DELETE ON calls BEGIN
                        DELETE FROM requests WHERE seq = OLD.seq;
                        DELETE FROM results WHERE seq = OLD.seq; END;
                    CREATE TRIGGER calls_forget AFTER UPDATE OF state ON calls WHEN NEW.state IN ('succeeded', 'cancelled') BEGIN
                        DELETE FROM requests WHERE seq = NEW.seq; END;
                    """)
        }
        return migrator
    }()
}
