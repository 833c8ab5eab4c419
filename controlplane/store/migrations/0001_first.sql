-- Times are RFC 3339 text in UTC with milliseconds; expires_at is Unix seconds.

CREATE TABLE settings (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE companies (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;

-- The bootstrap operator has all_companies = 1 and may do everything.
CREATE TABLE operators (
  id            TEXT PRIMARY KEY,
  name          TEXT NOT NULL,
  token_hash    BLOB NOT NULL,
  all_companies INTEGER NOT NULL,
  created_at    TEXT NOT NULL
) STRICT;

CREATE TABLE operator_companies (
  operator_id TEXT NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
  company_id  TEXT NOT NULL REFERENCES companies (id),
  PRIMARY KEY (operator_id, company_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE hosts (
  id           TEXT PRIMARY KEY,
  company_id   TEXT NOT NULL REFERENCES companies (id),
  name         TEXT NOT NULL,
  public_key   BLOB NOT NULL,
  token_hash   BLOB NOT NULL,
  last_seen_at TEXT,
  created_at   TEXT NOT NULL,
  UNIQUE (company_id, name),
  UNIQUE (company_id, id) -- the target of agents' composite key
) STRICT;

-- A deleted secret keeps its row, so that its access events still have a
-- subject; its data key and its versions are gone.
CREATE TABLE secrets (
  id             TEXT PRIMARY KEY,
  company_id     TEXT NOT NULL REFERENCES companies (id),
  name           TEXT NOT NULL,
  key            TEXT NOT NULL,
  description    TEXT NOT NULL,
  purpose        TEXT NOT NULL,
  status         TEXT NOT NULL CHECK (status IN ('active', 'disabled', 'archived', 'deleted')),
  latest_version INTEGER NOT NULL,
  data_key       BLOB, -- wrapped by the master key
  created_at     TEXT NOT NULL,
  updated_at     TEXT NOT NULL,
  CHECK ((status = 'deleted') = (data_key IS NULL))
) STRICT;

CREATE UNIQUE INDEX secrets_key ON secrets (company_id, key) WHERE status <> 'deleted';

CREATE TABLE secret_versions (
  secret_id  TEXT NOT NULL REFERENCES secrets (id),
  version    INTEGER NOT NULL CHECK (version > 0),
  size       INTEGER NOT NULL, -- of the value, bytes
  ciphertext BLOB NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (secret_id, version)
) STRICT;

-- The composite key makes an assignment to another company's host impossible.
CREATE TABLE agents (
  id             TEXT PRIMARY KEY,
  company_id     TEXT NOT NULL REFERENCES companies (id),
  name           TEXT NOT NULL,
  adapter_type   TEXT NOT NULL,
  adapter_config TEXT NOT NULL, -- JSON object
  runtime_config TEXT NOT NULL, -- JSON object
  status         TEXT NOT NULL CHECK (status IN ('active', 'paused', 'terminated')),
  host_id        TEXT,
  created_at     TEXT NOT NULL,
  updated_at     TEXT NOT NULL,
  FOREIGN KEY (company_id, host_id) REFERENCES hosts (company_id, id)
) STRICT;

CREATE INDEX agents_company ON agents (company_id);
CREATE INDEX agents_host ON agents (host_id);

-- The newest bundle of each agent on each host, for the answer "unchanged".
CREATE TABLE issued_bundles (
  agent_id    TEXT NOT NULL REFERENCES agents (id),
  host_id     TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
  bundle_id   TEXT NOT NULL,
  key_id      BLOB NOT NULL,
  fingerprint BLOB NOT NULL,
  expires_at  INTEGER NOT NULL,
  PRIMARY KEY (agent_id, host_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX issued_bundles_expiry ON issued_bundles (expires_at);
CREATE INDEX issued_bundles_host ON issued_bundles (host_id);

-- Ids here are what was asked for: rows outlive what they name.
CREATE TABLE access_events (
  id            INTEGER PRIMARY KEY,
  company_id    TEXT NOT NULL,
  host_id       TEXT NOT NULL,
  secret_id     TEXT, -- null where the agent as a whole was refused
  version       INTEGER,
  consumer_type TEXT NOT NULL,
  consumer_id   TEXT NOT NULL,
  config_path   TEXT,
  outcome       TEXT NOT NULL,
  error_code    TEXT,
  created_at    TEXT NOT NULL
) STRICT;

CREATE INDEX access_events_secret ON access_events (secret_id, id);
CREATE INDEX access_events_host ON access_events (host_id, id);
