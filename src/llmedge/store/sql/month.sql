-- One month's rows, in SQLite: a file of its own. The columns are those of the table `ledger` for PostgreSQL.
CREATE TABLE IF NOT EXISTS {month}.ledger (
    uid text NOT NULL, at integer NOT NULL, request_id text NOT NULL,
    key_id text NOT NULL, key text NOT NULL, team text NOT NULL, project text NOT NULL, organization text NOT NULL,
    user_id text NOT NULL, end_user text NOT NULL, tags text NOT NULL,
    operation text NOT NULL, model text NOT NULL, provider text NOT NULL, target text NOT NULL, stream integer NOT NULL,
    status integer NOT NULL, outcome text NOT NULL, error_code text NOT NULL,
    input integer NOT NULL, cached integer NOT NULL, cache_write integer NOT NULL,
    output integer NOT NULL, reasoning integer NOT NULL, estimated integer NOT NULL,
    cost integer, unpriced integer NOT NULL, attempts integer NOT NULL,
    duration integer NOT NULL, first_event integer, detail text NOT NULL,
    cache text NOT NULL DEFAULT '', saved integer NOT NULL DEFAULT 0,
    spared_input integer NOT NULL DEFAULT 0, spared_output integer NOT NULL DEFAULT 0,
    PRIMARY KEY (at, uid)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {month}.ledger_request ON ledger (request_id);
CREATE INDEX IF NOT EXISTS {month}.ledger_key ON ledger (key_id, at);
