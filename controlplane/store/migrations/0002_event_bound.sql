-- How many events there are of a host and an outcome, so that their bound
-- costs no count. The triggers keep it true whoever adds and removes.
CREATE TABLE event_counts (
  host_id TEXT NOT NULL,
  outcome TEXT NOT NULL,
  n       INTEGER NOT NULL,
  PRIMARY KEY (host_id, outcome)
) STRICT, WITHOUT ROWID;

INSERT INTO event_counts SELECT host_id, outcome, count(*) FROM access_events GROUP BY host_id, outcome;

CREATE TRIGGER access_events_added AFTER INSERT ON access_events BEGIN
  INSERT INTO event_counts VALUES (NEW.host_id, NEW.outcome, 1)
    ON CONFLICT (host_id, outcome) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER access_events_removed AFTER DELETE ON access_events BEGIN
  UPDATE event_counts SET n = n - 1 WHERE host_id = OLD.host_id AND outcome = OLD.outcome;
END;

-- The oldest of a host and an outcome.
CREATE INDEX access_events_oldest ON access_events (host_id, outcome, id);
