-- One row a call, and its sums by hour and by day. Money is in 10^-12 USD, times are in microseconds since 1970 (UTC).

-- postgresql:
CREATE TABLE ledger (
    uid text NOT NULL, at bigint NOT NULL, request_id text NOT NULL,
    key_id text NOT NULL, key text NOT NULL, team text NOT NULL, project text NOT NULL, organization text NOT NULL,
    user_id text NOT NULL, end_user text NOT NULL, tags text NOT NULL,
    operation text NOT NULL, model text NOT NULL, provider text NOT NULL, target text NOT NULL, stream integer NOT NULL,
    status integer NOT NULL, outcome text NOT NULL, error_code text NOT NULL,
    input bigint NOT NULL, cached bigint NOT NULL, cache_write bigint NOT NULL,
    output bigint NOT NULL, reasoning bigint NOT NULL, estimated integer NOT NULL,
    cost bigint, unpriced integer NOT NULL, attempts integer NOT NULL,
    duration bigint NOT NULL, first_event bigint, detail text NOT NULL,
    PRIMARY KEY (at, uid)
) PARTITION BY RANGE (at);
CREATE INDEX ledger_request ON ledger (request_id);
CREATE INDEX ledger_key ON ledger (key_id, at);

-- both:
CREATE TABLE rollup_day (
    day integer NOT NULL, key_id text NOT NULL, team text NOT NULL, project text NOT NULL, organization text NOT NULL,
    user_id text NOT NULL, model text NOT NULL, provider text NOT NULL,
    calls bigint NOT NULL, errors bigint NOT NULL, input bigint NOT NULL, cached bigint NOT NULL,
    cache_write bigint NOT NULL, output bigint NOT NULL, reasoning bigint NOT NULL, cost bigint NOT NULL,
    unpriced bigint NOT NULL, estimated bigint NOT NULL,
    PRIMARY KEY (day, key_id, team, project, organization, user_id, model, provider)
);
CREATE INDEX rollup_day_key ON rollup_day (key_id, day);
CREATE TABLE rollup_hour_key (
    hour integer NOT NULL, key_id text NOT NULL, team text NOT NULL, project text NOT NULL, organization text NOT NULL,
    user_id text NOT NULL,
    calls bigint NOT NULL, errors bigint NOT NULL, input bigint NOT NULL, cached bigint NOT NULL,
    cache_write bigint NOT NULL, output bigint NOT NULL, reasoning bigint NOT NULL, cost bigint NOT NULL,
    unpriced bigint NOT NULL, estimated bigint NOT NULL,
    PRIMARY KEY (hour, key_id, team, project, organization, user_id)
);
CREATE TABLE rollup_hour_model (
    hour integer NOT NULL, model text NOT NULL, provider text NOT NULL,
    calls bigint NOT NULL, errors bigint NOT NULL, input bigint NOT NULL, cached bigint NOT NULL,
    cache_write bigint NOT NULL, output bigint NOT NULL, reasoning bigint NOT NULL, cost bigint NOT NULL,
    unpriced bigint NOT NULL, estimated bigint NOT NULL,
    PRIMARY KEY (hour, model, provider)
);
CREATE TABLE spool_position (spool text PRIMARY KEY, segment bigint NOT NULL, place bigint NOT NULL);
CREATE TABLE lease (name text PRIMARY KEY, holder text NOT NULL, until bigint NOT NULL);
